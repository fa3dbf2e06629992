//! Reads a conversation.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::call;
use super::rows::Columns;
use crate::auth::Caller;
use crate::db::Database;
use crate::error::{Error, Result};
use crate::models::{Conditional, Conversation, ETags};

/// Reads a conversation, without its messages.
///
/// # Errors
/// [`Error::NotFound`]: no such conversation of the caller's. [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn get_conversation(
    database: &Database,
    caller: &Caller,
    conversation_id: Uuid,
    if_none_match: Option<&ETags>,
) -> Result<Conditional<Conversation>> {
    let parameters =
        [(&conversation_id as _, Type::UUID), (&caller.owner() as _, Type::TEXT), (&database.retention() as _, Type::INT4)];
    let rows = call(database, "get_conversation", &parameters).await?;
    let conversation = Columns::of(rows.first().ok_or(Error::NotFound)?).skip(2).conversation()?;
    let version = conversation.version;
    let is_known = if_none_match.is_some_and(|known| known.matches(version));
    Ok(if is_known { Conditional::NotModified(version) } else { Conditional::Modified(conversation, version) })
}
