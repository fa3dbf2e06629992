//! Begins a turn: stores what the user said, and reads what to send to the model.

use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::add_message::{Append, Placed, columns_of, refused_append};
use super::get_context::chosen;
use super::rows::Columns;
use super::{RESPONSE_BYTES, RESPONSE_ROWS, call, violates};
use crate::auth::Caller;
use crate::db::{Database, Parameter};
use crate::error::{Error, Result};
use crate::models::{
    Content, Context, ContextFormat, ContextOptions, Conversation, ETags, Message, NewConversation, NewMessage, Place, Role,
    Status, Title, Version,
};

/// How many columns stand before those of a `context_row`: a `conversation_row`, and whether all messages were stored before.
const BEFORE_CONTEXT: usize = 20;

/// What to do before a model is called.
#[derive(Debug, Clone)]
pub struct NewTurn {
    /// What to store.
    pub messages: Vec<NewMessage>,
    /// Where.
    pub place: Place,
    /// The id of the reply that is to be written behind them.
    pub reply_id: Option<Uuid>,
    /// The conversation, which is created if it is not there.
    pub conversation: Option<NewConversation>,
    /// What to send to the model.
    pub context: ContextOptions,
}

/// A turn that has begun.
#[derive(Debug, Clone)]
pub struct Turn {
    /// The messages that were sent, in their order.
    pub messages: Vec<Message>,
    /// The place of the reply, or the reply as it is now.
    pub reply: Option<Message>,
    /// What to send to the model.
    pub context: Context,
    /// The conversation behind the messages, if the turn was to create it.
    pub conversation: Option<Conversation>,
    /// All messages were stored before this request.
    pub replayed: bool,
    /// The conversation's version behind the messages, as [`add_message`](super::add_message()) says it.
    pub version: Version,
}

/// Begins a turn, in one statement: what [`get_or_create_conversation`](super::get_or_create_conversation()),
/// [`add_message`](super::add_message()) and [`get_context`](super::get_context()) do, one after the other. All of it is done, or nothing.
///
/// The reply is a message of the assistant, empty and `in_progress`. If all messages are stored already, it is answered as it is now,
/// whatever has been written into it.
///
/// # Errors
/// Those of the three. [`Error::Conflict`]: the conversation is another user's, or an id is taken. [`Error::RoleForbidden`]: the caller may
/// not write a reply.
pub async fn begin_turn(
    database: &Database,
    caller: &Caller,
    conversation_id: Uuid,
    turn: NewTurn,
    if_match: Option<&ETags>,
) -> Result<Turn> {
    let NewTurn { mut messages, place, reply_id, conversation, context } = turn;
    if let Some(id) = reply_id {
        caller.may_write(Role::Assistant, || "reply_id".to_owned())?;
        let mut reply = NewMessage::new(Role::Assistant, Some(Content::text("")?), None)?;
        (reply.id, reply.id_is_given, reply.status) = (id, true, Status::InProgress);
        messages.push(reply);
    }
    let append = Append::of(caller, &messages)?;
    let (owner, if_match, retention) = (caller.owner(), if_match.and_then(ETags::versions), database.retention());
    let new = conversation.as_ref();
    let user = new.map(|new| new.user_id.as_str());
    let title = new.and_then(|new| new.title.as_ref().map(Title::as_str));
    let metadata = new.map(|new| new.metadata.as_str());
    let expires_in = new.and_then(|new| new.expires_in);
    let limits = context.limits;
    let most_messages = limits.messages.unwrap_or(RESPONSE_ROWS).min(RESPONSE_ROWS);
    let most_characters = limits.characters.unwrap_or(i64::MAX);
    let has_reply = reply_id.is_some();
    let mut parameters: Vec<Parameter<'_>> =
        vec![(&conversation_id, Type::UUID), (&owner, Type::TEXT), (&if_match, Type::INT8_ARRAY)];
    parameters.extend(append.parameters());
    let (from, has_parent, parent) = columns_of(place);
    let others: [Parameter<'_>; 13] = [
        (&from, Type::INT8),
        (&has_parent, Type::BOOL),
        (&parent, Type::UUID),
        (&has_reply, Type::BOOL),
        (&user, Type::TEXT),
        (&title, Type::TEXT),
        (&metadata, Type::TEXT),
        (&expires_in, Type::INT8),
        (&most_messages, Type::INT8),
        (&most_characters, Type::INT8),
        (&RESPONSE_BYTES, Type::INT8),
        (&limits.tokens, Type::INT8),
        (&retention, Type::INT4),
    ];
    parameters.extend(others);
    let rows = call(database, "begin_turn", &parameters).await.map_err(|error| match error {
        error if violates(&error, "erased_conversations_pkey") => Error::Conflict { param: "conversation_id".to_owned() },
        error => error,
    })?;

    let mut first = Columns::of(rows.first().ok_or(Error::NotFound)?);
    let (outcome, number): (Option<&str>, Option<i64>) = (first.read()?, first.read()?);
    if outcome == Some("taken") {
        return Err(Error::Conflict { param: "conversation_id".to_owned() });
    }
    let version = first.version()?;
    if outcome.is_some() {
        let is_reply = has_reply && number.is_some_and(|number| usize::try_from(number) == Ok(messages.len()));
        return Err(match refused_append(outcome, number, version, &messages) {
            Error::Conflict { .. } if is_reply => Error::Conflict { param: "reply_id".to_owned() },
            error => error,
        });
    }
    let replayed = first.skip(BEFORE_CONTEXT - 4).read::<Option<bool>>()? == Some(true);
    let replayed = replayed && messages.iter().any(|message| message.id_is_given);

    let (stored, rest) = rows.split_at(messages.len().min(rows.len()));
    let as_stored = |(message, row): (NewMessage, &Row)| {
        let mut columns = Columns::of(row);
        let kind: i32 = columns.skip(BEFORE_CONTEXT + 2).read()?;
        if kind == 6 {
            return columns.message(conversation_id);
        }
        // The columns of what was sent are between these.
        let placed = Placed {
            position: columns.read()?,
            status: Status::stored(columns.skip(9).read()?),
            created_at: columns.read()?,
            updated_at: columns.read()?,
            feedback: columns.skip(1).json()?,
        };
        Ok(placed.message(conversation_id, message))
    };
    let mut messages = messages.into_iter().zip(stored).map(as_stored).collect::<Result<Vec<_>>>()?;
    let reply = if has_reply { messages.pop() } else { None };
    let (conversation, rest) = match rest.split_first() {
        Some((row, rest)) if new.is_some() => (Some(Columns::of(row).skip(2).conversation()?), rest),
        _ => (None, rest),
    };
    let complete = Columns::of(rest.first().ok_or_else(|| Error::Internal("a turn without a context".into()))?)
        .skip(BEFORE_CONTEXT + 1)
        .read()?;
    // The messages stand beside the context.
    let taken = json_size(&messages)? + json_size(&reply)? + json_size(&conversation)?;
    let context = chosen(conversation_id, rest, BEFORE_CONTEXT, complete, ContextOptions { taken, ..context })?;
    Ok(Turn { messages, reply, context, conversation, replayed, version })
}

fn json_size(value: &impl Serialize) -> Result<usize> {
    serde_json::to_vec(value).map(|json| json.len()).map_err(|error| Error::Internal(error.into()))
}

impl Turn {
    /// The value to respond with.
    #[must_use]
    pub fn into_json(self, format: ContextFormat) -> impl Serialize {
        #[derive(Serialize)]
        struct Answer<C> {
            messages: Vec<Message>,
            #[serde(skip_serializing_if = "Option::is_none")]
            reply: Option<Message>,
            context: C,
            #[serde(skip_serializing_if = "Option::is_none")]
            conversation: Option<Conversation>,
        }
        let Self { messages, reply, context, conversation, .. } = self;
        Answer { messages, reply, context: context.into_json(format), conversation }
    }
}
