//! Changes what is said about a conversation.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::rows::Columns;
use super::{call, done, violates};
use crate::auth::Caller;
use crate::db::Database;
use crate::error::{Error, Fault, Invalid, Result};
use crate::models::{Conversation, ConversationChange, ETags, Metadata, Operation, Title};

/// Changes a conversation's title, metadata, place or end. Values that are there already change nothing. Returns the conversation, and
/// whether the operation was done before.
///
/// # Errors
/// [`Error::NotFound`]: no such conversation of the caller's. [`Error::PreconditionFailed`]: its version is none of `if_match`.
/// [`Error::KeyReused`]: the operation was another request's.
/// `payload_too_large`: the merged metadata. [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn update_conversation(
    database: &Database,
    caller: &Caller,
    conversation_id: Uuid,
    change: &ConversationChange,
    operation: &Operation,
    if_match: Option<&ETags>,
) -> Result<(Conversation, bool)> {
    let rows = call(
        database,
        "update_conversation",
        &[
            (&conversation_id, Type::UUID),
            (&caller.owner(), Type::TEXT),
            (&operation.id, Type::UUID),
            (&operation.request("update_conversation"), Type::INT4),
            (&if_match.and_then(ETags::versions), Type::INT8_ARRAY),
            (&change.title.is_keep(), Type::BOOL),
            (&change.title.value().map(Title::as_str), Type::TEXT),
            (&change.metadata.is_keep(), Type::BOOL),
            (&change.metadata.value().map(Metadata::as_str), Type::TEXT),
            (&change.archived, Type::BOOL),
            (&change.pinned, Type::BOOL),
            (&change.expires_in.is_keep(), Type::BOOL),
            (&change.expires_in.value(), Type::INT8),
            (&database.retention(), Type::INT4),
        ],
    )
    .await
    .map_err(|error| match error {
        error if violates(&error, "conversations_metadata_size") => {
            Invalid::new(Fault::TooLarge, "metadata, with this merged into it, has 16 KiB of JSON at most").at("metadata")
        }
        error => error,
    })?;
    let mut columns = Columns::of(rows.first().ok_or(Error::NotFound)?);
    let outcome = columns.read()?;
    let conversation = columns.skip(1).conversation()?;
    let repeated = done(operation, outcome, conversation.version)?;
    Ok((conversation, repeated))
}
