//! Stores messages at the end of a conversation.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::rows::Columns;
use super::{call, refused};
use crate::auth::Caller;
use crate::db::Database;
use crate::error::{Error, Fault, Invalid, Result};
use crate::models::{Content, ETags, Json, Message, NewMessage, Status, Text, ToolCalls, Version};

/// What became of the messages.
#[derive(Debug, Clone)]
pub struct Appended {
    /// The messages, in the order given.
    pub messages: Vec<Message>,
    /// All of them were stored before this request.
    pub replayed: bool,
    /// The conversation's version behind these messages. If all were stored before, it is the version that they were stored with.
    pub version: Version,
}

/// Stores messages at the end of a conversation: all of them or none, in the order given, at adjacent positions.
///
/// A message whose id is stored already, in this conversation and with the same content, is not stored again. This is looked at before
/// `if_match`, so that a retry of a request whose answer was lost succeeds.
///
/// With `from`, the message at that position and all after it are replaced by these. It is the position of the next message at most. Nothing is deleted if all of these are stored already.
///
/// ```no_run
/// use shared::Caller;
/// use shared::models::{Content, NewMessage, Role};
/// use shared::queries::add_message;
/// # use shared::{Database, Error};
///
/// # async fn example(database: &Database, conversation_id: uuid::Uuid) -> Result<(), Error> {
/// let question = NewMessage::new(Role::User, Some(Content::text("Is it raining in Oslo?")?), None)?;
/// let appended = add_message(database, &Caller::Anyone, conversation_id, vec![question], None, None).await?;
/// println!("at position {}", appended.messages[0].position);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::NotFound`]: no such conversation of the caller's. [`Error::Conflict`]: an id of this conversation is taken.
/// `invalid_parameter`: `from` is behind the position of the next message.
/// [`Error::RoleForbidden`]: the caller may not write a message's role.
/// [`Error::PreconditionFailed`]: the conversation's version is none of `if_match`. [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn add_message(
    database: &Database,
    caller: &Caller,
    conversation_id: Uuid,
    messages: Vec<NewMessage>,
    from: Option<i64>,
    if_match: Option<&ETags>,
) -> Result<Appended> {
    for message in &messages {
        let param = |name: &str| message.index.map_or_else(|| name.to_owned(), |index| format!("messages[{index}].{name}"));
        caller.may_write(message.role, || param("role"))?;
        caller.may_say(message.content.as_ref(), || param("content"))?;
    }
    let ids: Vec<Uuid> = messages.iter().map(|message| message.id).collect();
    let roles: Vec<&str> = messages.iter().map(|message| message.role.as_str()).collect();
    let contents = || messages.iter().map(|message| message.content.as_ref());
    let texts: Vec<Option<&str>> = contents().map(|content| content.and_then(Content::as_text)).collect();
    let parts: Vec<Option<&str>> = contents().map(|content| content.and_then(Content::as_parts)).collect();
    let parts_texts: Vec<Option<String>> = contents().map(|content| content.and_then(Content::parts_text)).collect();
    let tool_calls: Vec<Option<&str>> = messages.iter().map(|message| message.tool_calls.as_ref().map(ToolCalls::as_str)).collect();
    let tool_call_ids: Vec<Option<&str>> = messages.iter().map(|message| message.tool_call_id.as_ref().map(Text::as_str)).collect();
    let names: Vec<Option<&str>> = messages.iter().map(|message| message.name.as_ref().map(Text::as_str)).collect();
    let token_counts: Vec<Option<i32>> = messages.iter().map(|message| message.token_count).collect();
    let unfinished: Vec<Option<bool>> = messages.iter().map(|message| message.status.in_progress()).collect();
    let characters: Vec<i64> = messages.iter().map(NewMessage::characters).collect();
    let media = || messages.iter().map(NewMessage::media);
    let media_bytes: Vec<Option<i32>> = media().map(|media| Some(media?.bytes)).collect();
    let media_tokens: Vec<Option<i32>> = media().map(|media| Some(media?.tokens)).collect();
    let metadata: Vec<&str> = messages.iter().map(|message| message.metadata.as_str()).collect();
    let extras: Vec<Option<&str>> = messages.iter().map(|message| message.extra.as_ref().map(Json::as_str)).collect();
    let rows = call(
        database,
        "add_message",
        &[
            (&conversation_id, Type::UUID),
            (&caller.owner(), Type::TEXT),
            (&if_match.and_then(ETags::versions), Type::INT8_ARRAY),
            (&ids, Type::UUID_ARRAY),
            (&roles, Type::TEXT_ARRAY),
            (&texts, Type::TEXT_ARRAY),
            (&parts, Type::TEXT_ARRAY),
            (&parts_texts, Type::TEXT_ARRAY),
            (&tool_calls, Type::TEXT_ARRAY),
            (&tool_call_ids, Type::TEXT_ARRAY),
            (&names, Type::TEXT_ARRAY),
            (&metadata, Type::TEXT_ARRAY),
            (&extras, Type::TEXT_ARRAY),
            (&token_counts, Type::INT4_ARRAY),
            (&unfinished, Type::BOOL_ARRAY),
            (&characters, Type::INT8_ARRAY),
            (&running_totals(characters.iter().copied()), Type::INT8_ARRAY),
            (&running_totals(messages.iter().map(NewMessage::tokens)), Type::INT8_ARRAY),
            (&media_bytes, Type::INT4_ARRAY),
            (&media_tokens, Type::INT4_ARRAY),
            (&from, Type::INT8),
            (&database.retention(), Type::INT4),
        ],
    )
    .await?;
    let mut first = Columns::of(rows.first().ok_or(Error::NotFound)?);
    let (outcome, number): (Option<&str>, Option<i64>) = (first.read()?, first.read()?);
    let (replayed, version): (Option<bool>, _) = (first.read()?, first.version()?);
    match (outcome, number) {
        (None, _) => {}
        (Some("conflict"), Some(number)) => {
            let taken = usize::try_from(number - 1).ok().and_then(|at| messages.get(at)?.index);
            return Err(Error::Conflict { param: taken.map_or_else(|| "id".to_owned(), |index| format!("messages[{index}].id")) });
        }
        (Some("beyond"), Some(next)) => {
            let detail = format!("no message has this position; the next one gets the position {next}, so from is {next} at most");
            return Err(Invalid::new(Fault::Parameter, detail).at("from"));
        }
        _ => return Err(refused(outcome, version)),
    }
    let replayed = replayed == Some(true) && messages.iter().any(|message| message.id_is_given);
    let messages = messages
        .into_iter()
        .zip(&rows)
        .map(|(message, row)| {
            let mut columns = Columns::of(row);
            // The first four columns are the same in all rows.
            columns.skip(4);
            Ok(Message {
                id: message.id,
                conversation_id,
                position: columns.read()?,
                role: message.role,
                content: message.content,
                tool_calls: message.tool_calls.map(ToolCalls::into_raw),
                tool_call_id: message.tool_call_id,
                name: message.name,
                metadata: message.metadata.into_raw(),
                token_count: message.token_count,
                status: Status::stored(columns.read()?),
                created_at: columns.read()?,
                updated_at: columns.read()?,
                extra: message.extra.map(Json::into_raw),
                feedback: columns.json()?,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Appended { messages, replayed, version })
}

/// The running totals of these sizes.
fn running_totals(sizes: impl Iterator<Item = i64>) -> Vec<i64> {
    sizes
        .scan(0, |total, size| {
            *total += size;
            Some(*total)
        })
        .collect()
}
