//! Chooses the current line of a conversation.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::add_message::too_many_moved;
use super::rows::Columns;
use super::{call, refused};
use crate::auth::Caller;
use crate::db::Database;
use crate::error::{Error, Result};
use crate::models::{Conversation, ETags, NewLine, Operation};

/// Makes the line of a conversation end with a message. What leaves the line is kept, so nothing is deleted. If the line ends there already,
/// nothing changes. Returns the conversation, and whether the operation was done before.
///
/// # Errors
/// [`Error::NotFound`]: no such conversation of the caller's, or no such message in it. `payload_too_large`: too many messages would leave the
/// line or come back to it. [`Error::PreconditionFailed`]: the conversation's version is none of `if_match`.
/// [`Error::KeyReused`]: the operation was another request's. [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn select_line(
    database: &Database,
    caller: &Caller,
    conversation_id: Uuid,
    line: NewLine,
    operation: &Operation,
    if_match: Option<&ETags>,
) -> Result<(Conversation, bool)> {
    let rows = call(
        database,
        "select_line",
        &[
            (&conversation_id, Type::UUID),
            (&caller.owner(), Type::TEXT),
            (&operation.id, Type::UUID),
            (&operation.request("select_line"), Type::INT4),
            (&if_match.and_then(ETags::versions), Type::INT8_ARRAY),
            (&line.message_id, Type::UUID),
            (&line.newest, Type::BOOL),
            (&database.retention(), Type::INT4),
        ],
    )
    .await?;
    let mut columns = Columns::of(rows.first().ok_or(Error::NotFound)?);
    let (outcome, moved): (Option<&str>, Option<i64>) = (columns.read()?, columns.read()?);
    match (outcome, moved) {
        (None | Some("repeated"), _) => Ok((columns.conversation()?, outcome.is_some() && operation.id_is_given)),
        (Some("large"), Some(moved)) => Err(too_many_moved(moved).at("message_id")),
        (Some(_), _) => Err(refused(outcome, columns.version()?)),
    }
}
