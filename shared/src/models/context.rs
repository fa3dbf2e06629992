//! What to send to a model. The crate `context` chooses and writes it; here are the messages that it was chosen from.

use chrono::{DateTime, Utc};
use context::{Before, Format, Options, Source, Summary};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Content, Message, Role, Status, Text};
use crate::invalid::Invalid;
use crate::wire::{ToWire, Wire};

/// A text that stands for all messages up to a position.
#[derive(Debug, Clone)]
pub struct ContextSummary {
    /// What the model is sent: instructions, at the position of the last message that it stands for.
    message: Message,
    /// How many messages it stands for, the pinned ones included.
    messages: i64,
}

impl ContextSummary {
    /// From what is stored.
    pub fn new(
        conversation_id: Uuid,
        through: i64,
        content: String,
        token_count: Option<i32>,
        messages: i64,
        created_at: DateTime<Utc>,
    ) -> Result<Self, Invalid> {
        let message = Message {
            // The same id every time, so that a caller can tell it from others.
            id: Uuid::new_v5(&conversation_id, format!("summary through {through}").as_bytes()),
            conversation_id,
            position: through,
            role: Role::System,
            content: Some(Content::text(content)?),
            tool_calls: None,
            tool_call_id: None,
            name: None,
            metadata: synthetic(),
            token_count,
            status: Status::Complete,
            created_at,
            updated_at: created_at,
            extra: None,
            feedback: None,
            tree: None,
        };
        Ok(Self { message, messages })
    }
}

/// The metadata of a message that nobody has stored.
fn synthetic() -> Box<RawValue> {
    RawValue::from_string(r#"{"synthetic":true}"#.to_owned()).expect("this is JSON")
}

/// What to send to a model.
#[derive(Debug, Clone)]
pub struct Context {
    chosen: context::Context,
    /// The messages that it was chosen from, without what the chosen ones have.
    frames: Vec<Message>,
}

impl Context {
    /// Chooses from what was read, as [`context::Context::choose`] says.
    pub(crate) fn choose(
        pinned: Vec<Message>,
        newest_of_user: Option<Message>,
        newest: Vec<(Message, Before)>,
        summary: Option<ContextSummary>,
        stored: i64,
        options: Options,
    ) -> Self {
        let mut frames = Vec::with_capacity(pinned.len() + newest.len() + 2);
        let mut take = |message: Message| {
            let (said, frame) = split(message, frames.len());
            frames.push(frame);
            said
        };
        let pinned = pinned.into_iter().map(&mut take).collect();
        let newest_of_user = newest_of_user.map(&mut take);
        let newest = newest.into_iter().map(|(message, before)| (take(message), before)).collect();
        let summary = summary.map(|summary| Summary { message: take(summary.message), messages: summary.messages });
        Self { chosen: context::Context::choose(pinned, newest_of_user, newest, summary, stored, options), frames }
    }

    /// The value to respond with.
    #[must_use]
    pub fn into_json(mut self, format: Format) -> impl ToWire {
        let stored = match format {
            Format::Messages => {
                let mut frames: Vec<Option<Message>> = self.frames.into_iter().map(Some).collect();
                // What is made for a message stands behind it, and is joined before it takes its frame.
                let chosen = std::mem::take(&mut self.chosen.messages).into_iter().rev();
                let mut stored: Vec<Message> = chosen.filter_map(|said| join(said, &mut frames)).collect();
                stored.reverse();
                Some(stored)
            }
            _ => None,
        };
        Answer { context: self.chosen, stored, format }
    }
}

/// The members of an answer.
struct Answer {
    context: context::Context,
    /// The messages, if they are not written for an API.
    stored: Option<Vec<Message>>,
    format: Format,
}

/// The members beside the messages.
#[derive(Serialize)]
struct Rest<'a> {
    omitted: i64,
    tokens: i64,
    estimated: bool,
    first_position: Option<i64>,
    repaired: &'a [i64],
    open_calls: &'a [String],
    elided: i64,
    summary: Option<Through>,
}

#[derive(Serialize)]
struct Through {
    through: i64,
}

impl Answer {
    fn rest(&self) -> Rest<'_> {
        let context = &self.context;
        Rest {
            omitted: context.omitted,
            tokens: context.tokens,
            estimated: context.estimated,
            first_position: context.first_position,
            repaired: &context.repaired,
            open_calls: &context.open_calls,
            elided: context.elided,
            summary: context.summarized_through.map(|through| Through { through }),
        }
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Body<'a, W> {
            #[serde(flatten)]
            messages: Written<'a, W>,
            #[serde(flatten)]
            rest: Rest<'a>,
        }
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Written<'a, W> {
            Messages { messages: &'a [Message] },
            For(W),
        }
        let messages = match &self.stored {
            Some(messages) => Written::Messages { messages },
            None => Written::For(self.context.written(self.format)),
        };
        Body { messages, rest: self.rest() }.serialize(serializer)
    }
}

impl ToWire for Answer {
    fn write(&self, wire: &mut Wire) -> serde_json::Result<()> {
        let Some(messages) = &self.stored else { return wire.value(self) };
        wire.escaped(r#"{\"messages\":["#);
        for (at, message) in messages.iter().enumerate() {
            wire.escaped(if at == 0 { "" } else { "," });
            message.write(wire)?;
        }
        wire.escaped("],");
        wire.members(&self.rest())
    }
}

/// What the message says, and what it has besides.
fn split(mut message: Message, number: usize) -> (context::Message, Message) {
    let content = message.content.take().map(|content| match content {
        Content::Text(text) => context::Content::Text(text.into_string()),
        Content::Parts(parts) => context::Content::Parts(parts),
    });
    let said = context::Message {
        source: Source::Stored(number),
        position: message.position,
        role: message.role,
        content,
        tool_calls: message.tool_calls.take(),
        tool_call_id: message.tool_call_id.take().map(Text::into_string),
        name: message.name.take().map(Text::into_string),
        token_count: message.token_count,
        extra: message.extra.take(),
        other_bytes: message.metadata.get().len() + message.feedback.as_ref().map_or(0, |feedback| feedback.get().len()),
    };
    (said, message)
}

/// The message that was split.
fn join(said: context::Message, frames: &mut [Option<Message>]) -> Option<Message> {
    let content = said.content.map(|content| match content {
        context::Content::Text(text) => Content::Text(Text::stored(text)),
        context::Content::Parts(parts) => Content::Parts(parts),
    });
    let frame = match &said.source {
        Source::Stored(number) => frames[*number].take()?,
        // The same id every time, so that a caller can tell it from others.
        Source::Made { of, name } => {
            let frame = frames[*of].as_ref()?.clone();
            Message { id: Uuid::new_v5(&frame.id, name.as_bytes()), metadata: synthetic(), feedback: None, ..frame }
        }
    };
    Some(Message {
        role: said.role,
        content,
        tool_calls: said.tool_calls,
        tool_call_id: said.tool_call_id.map(Text::stored),
        name: said.name.map(Text::stored),
        token_count: said.token_count,
        extra: said.extra,
        ..frame
    })
}
