//! Reads a message.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::call;
use super::rows::{self, get};
use crate::auth::Caller;
use crate::db::Database;
use crate::error::{Error, Fault, Invalid, Result};
use crate::models::{Conditional, Content, ETags, Message, Version};

/// Reads a message; with `from`, its content is only what comes behind that many characters. So a reader can follow a reply that is
/// being written.
///
/// If `if_none_match` names the conversation's version, nothing is read, unless the message is incomplete: it became so without a change.
///
/// # Errors
/// [`Error::NotFound`]: no such message in a conversation of the caller's. `invalid_parameter`: `from`, and the content is no string.
/// [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn get_message(
    database: &Database,
    caller: &Caller,
    conversation_id: Uuid,
    message_id: Uuid,
    from: Option<i64>,
    if_none_match: Option<&ETags>,
) -> Result<Conditional<Message>> {
    let rows = call(
        database,
        "get_message",
        &[
            (&conversation_id, Type::UUID),
            (&caller.owner(), Type::TEXT),
            (&message_id, Type::UUID),
            (&ETags::known(if_none_match), Type::INT8_ARRAY),
            (&from, Type::INT8),
            (&database.retention(), Type::INT4),
        ],
    )
    .await?;
    let row = rows.first().ok_or(Error::NotFound)?;
    let version = Version(get(row, 0)?);
    if get(row, 1)? {
        return Ok(Conditional::NotModified(version));
    }
    let message = rows::message(row, 2, conversation_id)?;
    if from.is_some() && matches!(message.content, Some(Content::Parts(_))) {
        return Err(Invalid::new(
            Fault::Parameter,
            "this content has parts, and only a string has characters to skip; leave from out",
        )
        .at("from"));
    }
    Ok(Conditional::Modified(message, version))
}
