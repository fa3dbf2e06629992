//! Deletes a message.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::call;
use super::rows::get;
use crate::auth::Caller;
use crate::db::Database;
use crate::error::{Error, Result};
use crate::models::{ETags, Version};

/// Deletes a message. The others keep their positions. Returns the conversation's version.
///
/// # Errors
/// [`Error::NotFound`]: no such message in a conversation of the caller's. [`Error::PreconditionFailed`]: the conversation's version is none
/// of `if_match`. [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn delete_message(
    database: &Database,
    caller: &Caller,
    conversation_id: Uuid,
    message_id: Uuid,
    if_match: Option<&ETags>,
) -> Result<Version> {
    let rows = call(
        database,
        "delete_message",
        &[
            (&conversation_id, Type::UUID),
            (&caller.owner(), Type::TEXT),
            (&message_id, Type::UUID),
            (&Uuid::now_v7(), Type::UUID),
            (&if_match.and_then(ETags::versions), Type::INT8_ARRAY),
            (&database.retention(), Type::INT4),
        ],
    )
    .await?;
    let row = rows.first().ok_or(Error::NotFound)?;
    if get(row, 0)? { Ok(Version::new(get(row, 1)?)) } else { Err(Error::PreconditionFailed) }
}
