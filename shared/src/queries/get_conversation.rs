//! Reads a conversation.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::rows::{self, conversation_columns};
use crate::auth::Caller;
use crate::db::Database;
use crate::error::{Error, Result};
use crate::models::Conversation;

const GET_CONVERSATION: &str =
    concat!("select ", conversation_columns!(), " from conversations where id = $1 and ($2::text is null or user_id = $2)");

/// Reads a conversation, without its messages.
///
/// # Errors
/// [`Error::NotFound`]: no such conversation of the caller's. [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn get_conversation(database: &Database, caller: &Caller, conversation_id: Uuid) -> Result<Conversation> {
    let rows = database.fetch(GET_CONVERSATION, &[(&conversation_id, Type::UUID), (&caller.owner(), Type::TEXT)]).await?;
    rows::conversation(rows.first().ok_or(Error::NotFound)?, 0)
}
