//! Stores what an export has read.

use serde::Serialize;
use tokio_postgres::types::Type;

use super::rows::Columns;
use super::{call, violates, violates_size};
use crate::db::{Database, Parameters};
use crate::error::{Error, Fault, Invalid, Result};
use crate::models::{Content, Import, ImportedMessage, Json, Text, Title, ToolCalls, UserId};

/// What became of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Conversations that were stored.
    pub conversations: i64,
    /// Messages that were stored.
    pub messages: i64,
    /// Lines that were stored before, or are in the request a second time, with the same content.
    pub skipped: i64,
    /// Lines of conversations that have expired. They count as deleted.
    pub expired: i64,
}

/// Stores the lines of an export for a user: all of them that are not there yet, or none. Ids, positions and times are kept. What follows from
/// other lines is counted and not believed: how many messages a summary stands for, and when the newest message came.
///
/// The same lines again change nothing.
///
/// # Errors
/// [`Error::OtherContent`]: a line is stored with other content, or belongs to another user. `invalid_parameter`: a message is of no
/// conversation of the user's. [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn import_user(database: &Database, user_id: &UserId, import: &Import) -> Result<Imported> {
    macro_rules! column {
        ($of:expr, $one:ident => $value:expr) => {
            $of.iter().map(|$one| $value).collect::<Vec<_>>()
        };
    }
    let conversations = &import.conversations;
    let summaries: Vec<_> = conversations.iter().flat_map(|one| one.summaries.iter().map(move |summary| (one, summary))).collect();
    let messages = &import.messages;
    let parts_texts: Vec<Option<String>> = column!(messages, one => one.message.content.as_ref().and_then(Content::parts_text));
    let parameters: &Parameters<'_> = &[
        (&user_id.as_str(), Type::TEXT),
        (&column!(conversations, one => one.line), Type::INT8_ARRAY),
        (&column!(conversations, one => one.id), Type::UUID_ARRAY),
        (&column!(conversations, one => one.title.as_ref().map(Title::as_str)), Type::TEXT_ARRAY),
        (&column!(conversations, one => one.metadata.as_str()), Type::TEXT_ARRAY),
        (&column!(conversations, one => one.created_at), Type::TIMESTAMPTZ_ARRAY),
        (&column!(conversations, one => one.updated_at), Type::TIMESTAMPTZ_ARRAY),
        (&column!(conversations, one => one.last_message_at), Type::TIMESTAMPTZ_ARRAY),
        (&column!(conversations, one => one.archived_at), Type::TIMESTAMPTZ_ARRAY),
        (&column!(conversations, one => one.pinned_at), Type::TIMESTAMPTZ_ARRAY),
        (&column!(conversations, one => one.expires_at), Type::TIMESTAMPTZ_ARRAY),
        (&column!(conversations, one => one.forked_from.map(|from| from.conversation_id)), Type::UUID_ARRAY),
        (&column!(conversations, one => one.forked_from.map(|from| from.position)), Type::INT8_ARRAY),
        (&column!(conversations, one => one.next_position), Type::INT8_ARRAY),
        (&column!(summaries, one => one.1.line), Type::INT8_ARRAY),
        (&column!(summaries, one => one.0.id), Type::UUID_ARRAY),
        (&column!(summaries, one => one.1.through), Type::INT8_ARRAY),
        (&column!(summaries, one => one.1.content.as_str()), Type::TEXT_ARRAY),
        (&column!(summaries, one => one.1.token_count), Type::INT4_ARRAY),
        (&column!(summaries, one => one.1.messages), Type::INT8_ARRAY),
        (&column!(summaries, one => one.1.created_at), Type::TIMESTAMPTZ_ARRAY),
        (&column!(messages, one => one.line), Type::INT8_ARRAY),
        (&column!(messages, one => one.conversation_id), Type::UUID_ARRAY),
        (&column!(messages, one => one.position), Type::INT8_ARRAY),
        (&column!(messages, one => one.message.id), Type::UUID_ARRAY),
        (&column!(messages, one => one.message.role.as_str()), Type::TEXT_ARRAY),
        (&column!(messages, one => one.message.content.as_ref().and_then(Content::as_text)), Type::TEXT_ARRAY),
        (&column!(messages, one => one.message.content.as_ref().and_then(Content::as_parts)), Type::TEXT_ARRAY),
        (&parts_texts, Type::TEXT_ARRAY),
        (&column!(messages, one => one.message.tool_calls.as_ref().map(ToolCalls::as_str)), Type::TEXT_ARRAY),
        (&column!(messages, one => one.message.tool_call_id.as_ref().map(Text::as_str)), Type::TEXT_ARRAY),
        (&column!(messages, one => one.message.name.as_ref().map(Text::as_str)), Type::TEXT_ARRAY),
        (&column!(messages, one => one.message.metadata.as_str()), Type::TEXT_ARRAY),
        (&column!(messages, one => one.message.extra.as_ref().map(Json::as_str)), Type::TEXT_ARRAY),
        (&column!(messages, one => one.feedback.as_ref().map(Json::as_str)), Type::TEXT_ARRAY),
        (&column!(messages, one => one.message.token_count), Type::INT4_ARRAY),
        // Null: complete, as almost all messages are.
        (&column!(messages, one => one.message.status.in_progress()), Type::BOOL_ARRAY),
        (&column!(messages, one => one.created_at), Type::TIMESTAMPTZ_ARRAY),
        (&column!(messages, one => one.updated_at), Type::TIMESTAMPTZ_ARRAY),
        (&column!(messages, one => one.message.characters()), Type::INT8_ARRAY),
        (&column!(messages, one => one.message.tokens()), Type::INT8_ARRAY),
        (&column!(messages, one => one.message.media().map(|media| media.bytes)), Type::INT4_ARRAY),
        (&column!(messages, one => one.message.media().map(|media| media.tokens)), Type::INT4_ARRAY),
        (&column!(messages, one => one.kept_behind.is_some()), Type::BOOL_ARRAY),
        (&column!(messages, one => one.kept_behind.flatten()), Type::UUID_ARRAY),
        (&database.retention(), Type::INT4),
    ];
    let taken = ["conversations_pkey", "erased_conversations_pkey"];
    let rows = call(database, "import_user", parameters).await.map_err(|error| match error {
        // Somebody else has made a conversation with one of the ids at this moment.
        error if taken.iter().any(|constraint| violates(&error, constraint)) => {
            Error::Conflict { param: "conversation.id".to_owned() }
        }
        error if violates_size(&error) => {
            // One line is nearly all of a request that is so large.
            let bytes = |one: &&ImportedMessage| one.message.content.as_ref().map_or(0, Content::bytes);
            let line = messages.iter().max_by_key(bytes).map_or(0, |one| one.line);
            let detail = "no response can hold this message, because of the control characters in its content";
            Invalid::new(Fault::TooLarge, detail).at(format!("line {line}: message.content"))
        }
        error => error,
    })?;
    // The function always returns one row.
    let mut columns = Columns::of(&rows[0]);
    match (columns.read::<Option<&str>>()?, columns.read::<Option<i64>>()?) {
        (None, _) => Ok(Imported {
            conversations: columns.read()?,
            messages: columns.read()?,
            skipped: columns.read::<i64>()? + import.repeated,
            expired: columns.read()?,
        }),
        (Some("conflict"), line) => Err(Error::OtherContent { param: format!("line {}", line.unwrap_or_default()) }),
        (Some("parent"), line) => {
            let detail = "a kept message follows a message of its conversation that has a smaller position, which is in no line before it \
                          and is not stored";
            Err(Invalid::new(Fault::Parameter, detail).at(format!("line {}: message.parent_id", line.unwrap_or_default())))
        }
        (Some(_), line) => {
            let detail = "the message's conversation is in no line before it, and the user has none with this id";
            Err(Invalid::new(Fault::Parameter, detail).at(format!("line {}: message.conversation_id", line.unwrap_or_default())))
        }
    }
}
