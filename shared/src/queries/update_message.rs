//! Edits a message.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::rows::Columns;
use super::{call, refused, violates, violates_size};
use crate::auth::Caller;
use crate::db::Database;
use crate::error::{Error, Fault, Invalid, Result};
use crate::models::{Content, ETags, Json, Message, MessageChange, Metadata, Operation, Status, ToolCalls, Version, no_content};

/// Edits a message, which keeps its position. Values that are there already change nothing. Returns the message, the conversation's version,
/// and whether the operation was done before. A piece that the text has at its place already is not appended again. This is looked at before `if_match`, so that a retry of a
/// request whose answer was lost succeeds.
///
/// # Errors
/// [`Error::NotFound`]: no such message in a conversation of the caller's. [`Error::RoleForbidden`]: the caller may not write the
/// message's role, and does more than to change metadata or feedback or to cancel a reply. [`Error::Cancelled`]: a piece, or another end, for a reply
/// that has been cancelled. [`Error::Ended`]: a message is cancelled that is not being written. [`Error::PreconditionFailed`]: the conversation's version is none of `if_match`.
/// [`Error::KeyReused`]: the operation was another request's. [`Error::OtherLength`]: a piece is for a text of another length. `missing_parameter`: neither content nor `tool_calls` would be
/// left. [`Error::Database`],
/// [`Error::DatabaseTimeout`].
pub async fn update_message(
    database: &Database,
    caller: &Caller,
    conversation_id: Uuid,
    message_id: Uuid,
    change: &MessageChange,
    operation: &Operation,
    if_match: Option<&ETags>,
) -> Result<(Message, Version, bool)> {
    let content = change.content.value();
    caller.may_say(content, || "content".to_owned())?;
    let media = content.and_then(Content::media);
    let rows = call(
        database,
        "update_message",
        &[
            (&conversation_id, Type::UUID),
            (&caller.owner(), Type::TEXT),
            (&caller.roles(), Type::TEXT_ARRAY),
            (&message_id, Type::UUID),
            (&operation.id, Type::UUID),
            (&operation.request("update_message"), Type::INT4),
            (&if_match.and_then(ETags::versions), Type::INT8_ARRAY),
            (&change.content.is_keep(), Type::BOOL),
            (&content.and_then(Content::as_text), Type::TEXT),
            (&content.and_then(Content::as_parts), Type::TEXT),
            (&content.and_then(Content::parts_text), Type::TEXT),
            (&media.map(|media| media.bytes), Type::INT4),
            (&media.map(|media| media.tokens), Type::INT4),
            (&change.tool_calls.is_keep(), Type::BOOL),
            (&change.tool_calls.value().map(ToolCalls::as_str), Type::TEXT),
            (&change.metadata.is_keep(), Type::BOOL),
            (&change.metadata.value().map(Metadata::as_str), Type::TEXT),
            (&change.token_count.is_keep(), Type::BOOL),
            (&change.token_count.value(), Type::INT4),
            (&change.feedback.is_keep(), Type::BOOL),
            (&change.feedback.value().map(Json::as_str), Type::TEXT),
            (&change.append.as_ref().map(|piece| piece.text.as_str()), Type::TEXT),
            (&change.append.as_ref().map(|piece| piece.at), Type::INT8),
            (&Content::MAX_BYTES, Type::INT8),
            (&change.status.map(Status::as_str), Type::TEXT),
            (&database.retention(), Type::INT4),
        ],
    )
    .await
    .map_err(|error| match error {
        error if violates(&error, "messages_content") => no_content().at(changed(change)),
        error if violates(&error, "messages_metadata_size") => {
            Invalid::new(Fault::TooLarge, "metadata, with this merged into it, has 256 KiB of JSON at most").at("metadata")
        }
        error if violates_size(&error) => {
            let detail =
                "this edit would make a message that no response can hold, because of the control characters in its content";
            Invalid::new(Fault::TooLarge, detail).at(changed(change))
        }
        error => error,
    })?;
    let mut columns = Columns::of(rows.first().ok_or(Error::NotFound)?);
    let (outcome, length, version): (Option<&str>, _, _) = (columns.read()?, columns.read()?, columns.version()?);
    match outcome {
        None => Ok((columns.message(conversation_id)?, version, columns.read()?)),
        Some("role") => Err(caller.role_forbidden(changed(change))),
        Some("cancelled") => Err(Error::Cancelled),
        Some("ended") => Err(Error::Ended),
        Some("elsewhere") => Err(Error::OtherLength { length }),
        Some("large") => Err(Content::too_large().at("append")),
        Some("parts") => {
            Err(Invalid::new(Fault::Parameter, "only a content that is a string can grow; change content instead").at("append"))
        }
        outcome => Err(refused(outcome, version)),
    }
}

/// The first field of a change. Metadata comes last, because every caller may change it.
fn changed(change: &MessageChange) -> &'static str {
    if !change.content.is_keep() {
        "content"
    } else if !change.tool_calls.is_keep() {
        "tool_calls"
    } else if change.append.is_some() {
        "append"
    } else if change.status.is_some() {
        "status"
    } else if !change.token_count.is_keep() {
        "token_count"
    } else if !change.metadata.is_keep() {
        "metadata"
    } else {
        "feedback"
    }
}
