//! Stores messages at the end of a conversation.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::rows::Columns;
use super::{call, refused};
use crate::auth::Caller;
use crate::db::{Database, Parameter};
use crate::error::{Error, Fault, Invalid, Result};
use crate::models::{Content, ETags, Json, Message, NewMessage, Place, Status, Text, ToolCalls, Version};

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
/// [`Place::InsteadOf`] takes the position of the next message at most. Nothing is deleted if all of these are stored already.
///
/// With [`Place::Behind`], the line moves to that message first. If the messages are stored already, they are the same if they stand there,
/// one behind the other.
///
/// ```no_run
/// use shared::Caller;
/// use shared::models::{Content, NewMessage, Place, Role};
/// use shared::queries::add_message;
/// # use shared::{Database, Error};
///
/// # async fn example(database: &Database, conversation_id: uuid::Uuid) -> Result<(), Error> {
/// let question = NewMessage::new(Role::User, Some(Content::text("Is it raining in Oslo?")?), None)?;
/// let appended = add_message(database, &Caller::Anyone, conversation_id, vec![question], Place::End, None).await?;
/// println!("at position {}", appended.messages[0].position);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::NotFound`]: no such conversation of the caller's, or no such message to stand behind. [`Error::Conflict`]: an id of this
/// conversation is taken, or its message stands elsewhere.
///
/// `invalid_parameter`: no message can be at this position. `payload_too_large`: too many messages would leave the line or come back to it.
/// [`Error::RoleForbidden`]: the caller may not write a message's role.
///
/// [`Error::PreconditionFailed`]: the conversation's version is none of `if_match`. [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn add_message(
    database: &Database,
    caller: &Caller,
    conversation_id: Uuid,
    messages: Vec<NewMessage>,
    place: Place,
    if_match: Option<&ETags>,
) -> Result<Appended> {
    let append = Append::of(caller, &messages)?;
    let owner = caller.owner();
    let if_match = if_match.and_then(ETags::versions);
    let retention = database.retention();
    let mut parameters: Vec<Parameter<'_>> =
        vec![(&conversation_id, Type::UUID), (&owner, Type::TEXT), (&if_match, Type::INT8_ARRAY)];
    parameters.extend(append.parameters());
    let (from, has_parent, parent) = columns_of(place);
    parameters.extend([(&from as _, Type::INT8), (&has_parent as _, Type::BOOL), (&parent as _, Type::UUID)]);
    parameters.extend([(&false as _, Type::BOOL), (&retention as _, Type::INT4)]);
    let rows = call(database, "add_message", &parameters).await?;
    let mut first = Columns::of(rows.first().ok_or(Error::NotFound)?);
    let (outcome, number): (Option<&str>, Option<i64>) = (first.read()?, first.read()?);
    let (replayed, version): (Option<bool>, _) = (first.read()?, first.version()?);
    if outcome.is_some() {
        return Err(refused_append(outcome, number, version, &messages));
    }
    let replayed = replayed == Some(true) && messages.iter().any(|message| message.id_is_given);
    let stored = |(message, row)| {
        let mut columns = Columns::of(row);
        // The first four columns are the same in all rows.
        let placed = Placed {
            position: columns.skip(4).read()?,
            status: Status::stored(columns.read()?),
            created_at: columns.read()?,
            updated_at: columns.read()?,
            feedback: columns.json()?,
        };
        Ok(placed.message(conversation_id, message))
    };
    let messages = messages.into_iter().zip(&rows).map(stored).collect::<Result<_>>()?;
    Ok(Appended { messages, replayed, version })
}

/// Messages in columns, as the stored functions take them.
pub(super) struct Append<'m> {
    ids: Vec<Uuid>,
    roles: Vec<&'m str>,
    texts: Vec<Option<&'m str>>,
    parts: Vec<Option<&'m str>>,
    parts_texts: Vec<Option<String>>,
    tool_calls: Vec<Option<&'m str>>,
    tool_call_ids: Vec<Option<&'m str>>,
    names: Vec<Option<&'m str>>,
    metadata: Vec<&'m str>,
    extras: Vec<Option<&'m str>>,
    token_counts: Vec<Option<i32>>,
    unfinished: Vec<Option<bool>>,
    characters: Vec<i64>,
    characters_through: Vec<i64>,
    tokens_through: Vec<i64>,
    media_bytes: Vec<Option<i32>>,
    media_tokens: Vec<Option<i32>>,
}

impl<'m> Append<'m> {
    /// Messages that the caller may write.
    pub(super) fn of(caller: &Caller, messages: &'m [NewMessage]) -> Result<Self> {
        for message in messages {
            let param = |name: &str| message.index.map_or_else(|| name.to_owned(), |index| format!("messages[{index}].{name}"));
            caller.may_write(message.role, || param("role"))?;
            caller.may_say(message.content.as_ref(), || param("content"))?;
        }
        let contents = || messages.iter().map(|message| message.content.as_ref());
        let media = || messages.iter().map(NewMessage::media);
        let characters: Vec<i64> = messages.iter().map(NewMessage::characters).collect();
        Ok(Self {
            ids: messages.iter().map(|message| message.id).collect(),
            roles: messages.iter().map(|message| message.role.as_str()).collect(),
            texts: contents().map(|content| content.and_then(Content::as_text)).collect(),
            parts: contents().map(|content| content.and_then(Content::as_parts)).collect(),
            parts_texts: contents().map(|content| content.and_then(Content::parts_text)).collect(),
            tool_calls: messages.iter().map(|message| message.tool_calls.as_ref().map(ToolCalls::as_str)).collect(),
            tool_call_ids: messages.iter().map(|message| message.tool_call_id.as_ref().map(Text::as_str)).collect(),
            names: messages.iter().map(|message| message.name.as_ref().map(Text::as_str)).collect(),
            metadata: messages.iter().map(|message| message.metadata.as_str()).collect(),
            extras: messages.iter().map(|message| message.extra.as_ref().map(Json::as_str)).collect(),
            token_counts: messages.iter().map(|message| message.token_count).collect(),
            unfinished: messages.iter().map(|message| message.status.in_progress()).collect(),
            characters_through: running_totals(characters.iter().copied()),
            tokens_through: running_totals(messages.iter().map(NewMessage::tokens)),
            media_bytes: media().map(|media| Some(media?.bytes)).collect(),
            media_tokens: media().map(|media| Some(media?.tokens)).collect(),
            characters,
        })
    }

    /// The parameters of the stored functions, from `ids` on.
    pub(super) fn parameters(&self) -> [Parameter<'_>; 17] {
        [
            (&self.ids, Type::UUID_ARRAY),
            (&self.roles, Type::TEXT_ARRAY),
            (&self.texts, Type::TEXT_ARRAY),
            (&self.parts, Type::TEXT_ARRAY),
            (&self.parts_texts, Type::TEXT_ARRAY),
            (&self.tool_calls, Type::TEXT_ARRAY),
            (&self.tool_call_ids, Type::TEXT_ARRAY),
            (&self.names, Type::TEXT_ARRAY),
            (&self.metadata, Type::TEXT_ARRAY),
            (&self.extras, Type::TEXT_ARRAY),
            (&self.token_counts, Type::INT4_ARRAY),
            (&self.unfinished, Type::BOOL_ARRAY),
            (&self.characters, Type::INT8_ARRAY),
            (&self.characters_through, Type::INT8_ARRAY),
            (&self.tokens_through, Type::INT8_ARRAY),
            (&self.media_bytes, Type::INT4_ARRAY),
            (&self.media_tokens, Type::INT4_ARRAY),
        ]
    }
}

/// Why these messages were not stored.
pub(super) fn refused_append(outcome: Option<&str>, number: Option<i64>, version: Version, messages: &[NewMessage]) -> Error {
    match (outcome, number) {
        (Some("conflict"), Some(number)) => {
            let taken = usize::try_from(number - 1).ok().and_then(|at| messages.get(at)?.index);
            Error::Conflict { param: taken.map_or_else(|| "id".to_owned(), |index| format!("messages[{index}].id")) }
        }
        (Some("beyond"), Some(next)) => {
            let detail = format!("no message has this position; the next one gets the position {next}, so from is {next} at most");
            Invalid::new(Fault::Parameter, detail).at("from")
        }
        (Some("parent"), _) => Error::NotFound,
        (Some("large"), Some(moved)) => too_many_moved(moved).at("parent_id"),
        _ => refused(outcome, version),
    }
}

/// A place as the stored functions take it: the position from which messages are replaced, and whether there is a parent, and which one.
pub(super) fn columns_of(place: Place) -> (Option<i64>, bool, Option<Uuid>) {
    match place {
        Place::End => (None, false, None),
        Place::InsteadOf(position) => (Some(position), false, None),
        Place::Behind(parent) => (None, true, parent),
    }
}

/// Why the line of a conversation did not move.
pub(super) fn too_many_moved(moved: i64) -> Invalid {
    let detail = format!(
        "{moved} messages would leave the line or come back to it, and a request moves 10000 at most; \
         fork the conversation instead, or go there in several steps with select-line"
    );
    Invalid::new(Fault::TooLarge, detail)
}

/// What storing a message adds to it.
pub(super) struct Placed {
    pub(super) position: i64,
    pub(super) status: Status,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
    pub(super) feedback: Option<Box<RawValue>>,
}

impl Placed {
    /// The message as it is stored.
    pub(super) fn message(self, conversation_id: Uuid, sent: NewMessage) -> Message {
        let Self { position, status, created_at, updated_at, feedback } = self;
        Message {
            id: sent.id,
            conversation_id,
            position,
            role: sent.role,
            content: sent.content,
            tool_calls: sent.tool_calls.map(ToolCalls::into_raw),
            tool_call_id: sent.tool_call_id,
            name: sent.name,
            metadata: sent.metadata.into_raw(),
            token_count: sent.token_count,
            status,
            created_at,
            updated_at,
            extra: sent.extra.map(Json::into_raw),
            feedback,
            tree: None,
        }
    }
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
