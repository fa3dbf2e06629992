//! Deletes a conversation.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::rows::Columns;
use super::{call, done};
use crate::auth::Caller;
use crate::db::Database;
use crate::error::{Error, Result};
use crate::models::{ETags, Operation, Version};

/// Deletes a conversation and all its messages. Returns whether the operation was done before.
///
/// # Errors
/// [`Error::NotFound`]: no such conversation of the caller's. [`Error::PreconditionFailed`]: its version is none of `if_match`.
/// [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn delete_conversation(
    database: &Database,
    caller: &Caller,
    conversation_id: Uuid,
    operation: &Operation,
    if_match: Option<&ETags>,
) -> Result<bool> {
    let parameters = [
        (&conversation_id as _, Type::UUID),
        (&caller.owner() as _, Type::TEXT),
        (&operation.id as _, Type::UUID),
        (&operation.request("delete_conversation") as _, Type::INT4),
        (&if_match.and_then(ETags::versions) as _, Type::INT8_ARRAY),
        (&database.retention() as _, Type::INT4),
    ];
    let rows = call(database, "delete_conversation", &parameters).await?;
    let mut columns = Columns::of(rows.first().ok_or(Error::NotFound)?);
    let (outcome, version): (_, Option<i64>) = (columns.read()?, columns.read()?);
    done(operation, outcome, Version::new(version.unwrap_or_default()))
}
