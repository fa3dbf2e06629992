//! Deletes a conversation.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::call;
use super::rows::get;
use crate::auth::Caller;
use crate::db::Database;
use crate::error::{Error, Result};
use crate::models::ETags;

/// Deletes a conversation and all its messages.
///
/// # Errors
/// [`Error::NotFound`]: no such conversation of the caller's. [`Error::PreconditionFailed`]: its version is none of `if_match`.
/// [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn delete_conversation(
    database: &Database,
    caller: &Caller,
    conversation_id: Uuid,
    if_match: Option<&ETags>,
) -> Result<()> {
    let sent_before = database.usage().statements();
    let parameters = [
        (&conversation_id as _, Type::UUID),
        (&caller.owner() as _, Type::TEXT),
        (&if_match.and_then(ETags::versions) as _, Type::INT8_ARRAY),
        (&database.retention() as _, Type::INT4),
    ];
    let rows = call(database, "delete_conversation", &parameters).await?;
    match rows.first() {
        Some(row) if get(row, 0)? => Ok(()),
        Some(_) => Err(Error::PreconditionFailed),
        // Sent twice, because the connection was lost before the first answer came: that one has done it.
        None if database.usage().statements() - sent_before > 1 => Ok(()),
        None => Err(Error::NotFound),
    }
}
