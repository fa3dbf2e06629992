//! Deletes a conversation.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::rows::get;
use crate::auth::Caller;
use crate::db::Database;
use crate::error::{Error, Result};
use crate::models::ETags;

/// Its messages go with it, by the foreign key. An append at the same moment comes before, and is deleted, or finds nothing.
const DELETE_CONVERSATION: &str = "
    with locked as (
        select id, $3::bigint[] is null or version = any($3) as current
        from conversations where id = $1 and ($2::text is null or user_id = $2)
        for update
    ), deleted as (
        delete from conversations where id = (select id from locked where current)
    )
    select current from locked";

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
    ];
    let rows = database.fetch(DELETE_CONVERSATION, &parameters).await?;
    match rows.first() {
        Some(row) if get(row, 0)? => Ok(()),
        Some(_) => Err(Error::PreconditionFailed),
        // Sent twice, because the connection was lost before the first answer came: that one has done it.
        None if database.usage().statements() - sent_before > 1 => Ok(()),
        None => Err(Error::NotFound),
    }
}
