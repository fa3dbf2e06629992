//! Deletes a message.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::rows::Columns;
use super::{call, done};
use crate::auth::Caller;
use crate::db::Database;
use crate::error::{Error, Result};
use crate::models::{ETags, Operation, Version};

/// Deletes a message. The others keep their positions. Returns the conversation's version, and whether the operation was done before.
///
/// # Errors
/// [`Error::NotFound`]: no such message in a conversation of the caller's. [`Error::PreconditionFailed`]: the conversation's version is none
/// of `if_match`. [`Error::KeyReused`]: the operation was another request's. [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn delete_message(
    database: &Database,
    caller: &Caller,
    conversation_id: Uuid,
    message_id: Uuid,
    operation: &Operation,
    if_match: Option<&ETags>,
) -> Result<(Version, bool)> {
    let rows = call(
        database,
        "delete_message",
        &[
            (&conversation_id, Type::UUID),
            (&caller.owner(), Type::TEXT),
            (&message_id, Type::UUID),
            (&operation.id, Type::UUID),
            (&operation.request("delete_message"), Type::INT4),
            (&if_match.and_then(ETags::versions), Type::INT8_ARRAY),
            (&database.retention(), Type::INT4),
        ],
    )
    .await?;
    let mut columns = Columns::of(rows.first().ok_or(Error::NotFound)?);
    let (outcome, version) = (columns.read()?, columns.version()?);
    Ok((version, done(operation, outcome, version)?))
}
