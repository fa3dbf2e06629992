//! A message, and what is needed to store one.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use context::{MediaSize, Role};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Change, Cursor, Json, Metadata, Text, serialize_time, time_text};
use crate::invalid::{Fault, Invalid};
use crate::wire::{ToWire, Wire};

/// Whether all of a message is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Complete,
    InProgress,
    /// It was being written, and nobody has touched it for 60 seconds.
    Incomplete,
    /// It was being written, and its reader has stopped it.
    Cancelled,
}

impl Status {
    /// Reads what a request says. A message becomes incomplete by itself.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "complete" => Ok(Self::Complete),
            "in_progress" => Ok(Self::InProgress),
            "cancelled" => Ok(Self::Cancelled),
            "incomplete" => Err(Invalid::new(
                Fault::Parameter,
                "a message in_progress becomes incomplete when nobody touches it for 60 seconds; a request sets another status",
            )),
            _ => Err(Invalid::new(Fault::Parameter, "a status is complete, in_progress or cancelled")),
        }
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::InProgress => "in_progress",
            Self::Incomplete => "incomplete",
            Self::Cancelled => "cancelled",
        }
    }

    /// As the column `in_progress` has it. Null: complete, as almost all messages are.
    pub(crate) fn in_progress(self) -> Option<bool> {
        match self {
            Self::Complete => None,
            Self::InProgress | Self::Incomplete => Some(true),
            Self::Cancelled => Some(false),
        }
    }

    /// Reads what a stored function says.
    pub(crate) fn stored(text: Option<&str>) -> Self {
        match text {
            None => Self::Complete,
            Some("in_progress") => Self::InProgress,
            Some("cancelled") => Self::Cancelled,
            Some(_) => Self::Incomplete,
        }
    }
}

/// What a message says: text, or parts, at most 1 MiB of either.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Content {
    Text(Text),
    /// An array of objects that each have a `type`, or are parts of an API whose parts have none. Kept as it came.
    Parts(Box<RawValue>),
}

impl Content {
    /// How many bytes of UTF-8 or JSON it may have.
    pub(crate) const MAX_BYTES: i64 = 1 << 20;

    pub fn text(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = Text::parse(text)?;
        Self::check_size(text.as_str())?;
        Ok(Self::Text(text))
    }

    pub fn parts(json: Json) -> Result<Self, Invalid> {
        Self::check_size(json.as_str())?;
        let elements: Option<Vec<&RawValue>> = serde_json::from_str(json.as_str()).ok();
        let is_part = |part: &&RawValue| string_member(part, "type").is_some() || context::is_untyped_part(part);
        if elements.is_some_and(|elements| elements.iter().all(is_part)) {
            return Ok(Self::Parts(json.into_raw()));
        }
        Err(Invalid::new(
            Fault::Parameter,
            "content is a string, an array of objects that each have a type or are parts of Gemini or Converse, or null beside tool_calls",
        ))
    }

    /// Its string, if it is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.as_str()),
            Self::Parts(_) => None,
        }
    }

    /// Its parts, if it has them.
    pub(crate) fn as_parts(&self) -> Option<&str> {
        match self {
            Self::Text(_) => None,
            Self::Parts(parts) => Some(parts.get()),
        }
    }

    /// The texts of its parts, a line each, if there are any: what can be searched.
    pub(crate) fn parts_text(&self) -> Option<String> {
        let parts: Vec<&RawValue> = serde_json::from_str(self.as_parts()?).ok()?;
        let texts: Vec<String> = parts.iter().filter_map(|part| serde_json::from_str(string_member(part, "text")?).ok()).collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }

    /// Whether a part is the result of a tool's call, in any way of storing it that contexts read.
    pub(crate) fn has_results(&self) -> bool {
        const KINDS: [&str; 3] = ["tool_result", "function_call_output", "tool-result"];
        // Some APIs have parts without a `type`.
        const MEMBERS: [&str; 3] = ["functionResponse", "function_response", "toolResult"];
        let parts: Vec<&RawValue> = self.as_parts().and_then(|parts| serde_json::from_str(parts).ok()).unwrap_or_default();
        let is_result = |part: &RawValue| {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(part.get()).unwrap_or_default();
            let kind = members.get("type").and_then(|kind| serde_json::from_str::<String>(kind.get()).ok());
            let has = |name: &&str| members.get(*name).is_some_and(|value| value.get() != "null");
            kind.is_some_and(|kind| KINDS.contains(&&*kind)) || MEMBERS.iter().any(has)
        };
        parts.into_iter().any(is_result)
    }

    /// Its bytes; of parts, those of their JSON text.
    pub(crate) fn bytes(&self) -> usize {
        self.stored_text().len()
    }

    pub(crate) fn media(&self) -> Option<MediaSize> {
        MediaSize::of(self.as_parts()?)
    }

    fn stored_text(&self) -> &str {
        match self {
            Self::Text(text) => text.as_str(),
            Self::Parts(parts) => parts.get(),
        }
    }

    fn check_size(text: &str) -> Result<(), Invalid> {
        if i64::try_from(text.len()).is_ok_and(|bytes| bytes <= Self::MAX_BYTES) { Ok(()) } else { Err(Self::too_large()) }
    }

    pub(crate) fn too_large() -> Invalid {
        Invalid::new(
            Fault::TooLarge,
            "a message's content may have 1 MiB; store files elsewhere, and put a reference in a content part",
        )
    }
}

/// The JSON text of an object's member that is a string. If the name is there twice, the last one counts. Nested members are not looked at.
fn string_member<'a>(object: &'a RawValue, name: &str) -> Option<&'a str> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(object.get()).ok()?;
    members.get(name).map(|value| value.get()).filter(|value| value.starts_with('"'))
}

/// A message as it is stored; serializes as the contract's `Message`.
#[derive(Debug, Clone, Serialize)]
pub struct Message {
    pub id: Uuid,
    /// The conversation that it is in.
    pub conversation_id: Uuid,
    /// Its place there: from 1, strictly increasing, never reused.
    pub position: i64,
    pub role: Role,
    /// What is said; null where `tool_calls` says it all.
    pub content: Option<Content>,
    /// The calls to tools, as they were given.
    pub tool_calls: Option<Box<RawValue>>,
    /// The call that a tool's message answers.
    pub tool_call_id: Option<Text>,
    /// The speaker's or the tool's name.
    pub name: Option<Text>,
    /// A JSON object, as it was given.
    pub metadata: Box<RawValue>,
    /// Its tokens, as the caller counted them.
    pub token_count: Option<i32>,
    /// Whether all of it is there.
    pub status: Status,
    /// When it was stored; never earlier than the message before it.
    #[serde(serialize_with = "serialize_time")]
    pub created_at: DateTime<Utc>,
    #[serde(serialize_with = "serialize_time")]
    pub updated_at: DateTime<Utc>,
    /// What `OpenAI`'s SDKs say of a message beside its content and its calls: a JSON object with some of [`EXTRA`](NewMessage::EXTRA).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<Box<RawValue>>,
    /// What the conversation's user thinks of it: a JSON object with a `rating`, and maybe a `comment`.
    pub feedback: Option<Box<RawValue>>,
    /// Where it stands among the versions, where that was asked for.
    #[serde(flatten)]
    pub tree: Option<Box<InTree>>,
}

/// Where a message stands in a conversation with versions. Each member is there if the request asked for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct InTree {
    /// The message that it follows; null: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<Option<Uuid>>,
    /// Whether it is on the current line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_line: Option<bool>,
    /// In an export: that it is beside the line.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub kept: bool,
    /// The messages that follow the same message, oldest first, itself among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions: Option<Vec<Uuid>>,
}

/// Where new messages are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// At the end of the line.
    #[default]
    End,
    /// In the place of the message at this position and all after it, which are deleted.
    InsteadOf(i64),
    /// Behind this message, or at the beginning. What followed there on the line is kept.
    Behind(Option<Uuid>),
}

impl Message {
    /// Where a list goes on behind it.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { time: self.created_at, id: self.conversation_id, position: self.position }
    }
}

/// Writes the same as `Serialize`, but each name at once: a page has thousands of them.
impl ToWire for Message {
    fn write(&self, wire: &mut Wire) -> serde_json::Result<()> {
        let Self { id, conversation_id, position, role, content, tool_calls, tool_call_id, name, metadata, .. } = self;
        let Self { token_count, status, created_at, updated_at, extra, feedback, tree, .. } = self;
        wire.escaped(r#"{\"id\":"#);
        wire.word(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        wire.escaped(r#",\"conversation_id\":"#);
        wire.word(conversation_id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        wire.escaped(r#",\"position\":"#);
        wire.value(position)?;
        wire.escaped(r#",\"role\":"#);
        wire.word(role.as_str());
        wire.escaped(r#",\"content\":"#);
        match content {
            Some(Content::Text(text)) => wire.string(text.as_str())?,
            parts_or_null => wire.value(parts_or_null)?,
        }
        wire.escaped(r#",\"tool_calls\":"#);
        wire.value(tool_calls)?;
        wire.escaped(r#",\"tool_call_id\":"#);
        wire.value(tool_call_id)?;
        wire.escaped(r#",\"name\":"#);
        wire.value(name)?;
        wire.escaped(r#",\"metadata\":"#);
        wire.value(metadata)?;
        wire.escaped(r#",\"token_count\":"#);
        wire.value(token_count)?;
        wire.escaped(r#",\"status\":"#);
        wire.word(status.as_str());
        wire.escaped(r#",\"created_at\":"#);
        wire.word(time_text(created_at, &mut [0; 27]));
        wire.escaped(r#",\"updated_at\":"#);
        wire.word(time_text(updated_at, &mut [0; 27]));
        if let Some(extra) = extra {
            wire.escaped(r#",\"extra\":"#);
            wire.value(extra)?;
        }
        wire.escaped(r#",\"feedback\":"#);
        wire.value(feedback)?;
        match tree {
            Some(tree) if **tree != InTree::default() => {
                wire.escaped(",");
                wire.members(tree)?;
            }
            _ => wire.escaped("}"),
        }
        Ok(())
    }
}

/// A model's calls to tools: a JSON object or array of at most 256 KiB, kept as it came.
#[derive(Debug, Clone)]
pub struct ToolCalls(Json);

impl ToolCalls {
    const MAX_BYTES: usize = 256 << 10;

    pub fn parse(json: Json) -> Result<Self, Invalid> {
        if json.as_str().len() > Self::MAX_BYTES {
            return Err(Invalid::new(
                Fault::TooLarge,
                "a message's tool_calls may have 256 KiB of JSON; store large arguments elsewhere, and put a reference in their place",
            ));
        }
        if !json.is_object() && !json.is_array() {
            return Err(Invalid::new(Fault::Parameter, "tool_calls are a JSON object or array, or null"));
        }
        Ok(Self(json))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn into_raw(self) -> Box<RawValue> {
        self.0.into_raw()
    }
}

/// A message to store. Its id is fixed before it is first sent to the database, so that it can be sent again.
#[derive(Debug, Clone)]
pub struct NewMessage {
    pub id: Uuid,
    /// Whether the caller chose the id. One that we have made up can only have been stored by us.
    pub(crate) id_is_given: bool,
    /// Its place in the batch that it came in, for an error's path.
    pub(crate) index: Option<usize>,
    pub(crate) role: Role,
    pub(crate) content: Option<Content>,
    pub(crate) tool_calls: Option<ToolCalls>,
    pub tool_call_id: Option<Text>,
    pub name: Option<Text>,
    pub metadata: Metadata,
    pub token_count: Option<i32>,
    pub status: Status,
    /// An object with some of [`NewMessage::EXTRA`], none of them null or empty.
    pub extra: Option<Json>,
}

impl NewMessage {
    /// The members of a message that `OpenAI`'s SDKs dump beside those that every message has.
    pub const EXTRA: [&str; 5] = ["refusal", "annotations", "audio", "function_call", "reasoning_content"];
    /// How many bytes of JSON these may have together.
    pub(crate) const MAX_EXTRA_BYTES: usize = 256 << 10;

    /// A message with an id of its own (UUID v7).
    pub fn new(role: Role, content: Option<Content>, tool_calls: Option<ToolCalls>) -> Result<Self, Invalid> {
        if content.is_none() && tool_calls.is_none() {
            return Err(no_content());
        }
        Ok(Self {
            id: Uuid::now_v7(),
            id_is_given: false,
            index: None,
            role,
            content,
            tool_calls,
            tool_call_id: None,
            name: None,
            metadata: Metadata::default(),
            token_count: None,
            status: Status::Complete,
            extra: None,
        })
    }

    /// What `max_chars` counts.
    pub(crate) fn characters(&self) -> i64 {
        context::characters(self.content.as_ref().map(Content::stored_text), self.tool_calls.as_ref().map(ToolCalls::as_str))
    }

    /// What `max_tokens` counts.
    pub(crate) fn tokens(&self) -> i64 {
        let (text, parts) = (self.content.as_ref().and_then(Content::as_text), self.content.as_ref().and_then(Content::as_parts));
        let (calls, name) = (self.tool_calls.as_ref().map(ToolCalls::as_str), self.name.as_ref().map(Text::as_str));
        self.token_count.map_or_else(|| context::estimate(text, parts, calls, name), i64::from)
    }

    pub(crate) fn media(&self) -> Option<MediaSize> {
        self.content.as_ref().and_then(Content::media)
    }

    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Says at which place it is in a batch, from 0, so that an error can name it.
    #[must_use]
    pub fn in_batch(mut self, index: usize) -> Self {
        self.index = Some(index);
        self
    }
}

/// A message says something, or calls something.
pub(crate) fn no_content() -> Invalid {
    Invalid::new(Fault::Missing, "content is required, unless there are tool_calls")
}

/// What becomes of a message.
#[derive(Debug, Clone)]
pub struct MessageChange {
    pub content: Change<Content>,
    pub tool_calls: Change<ToolCalls>,
    /// Its metadata: a JSON merge patch (RFC 7396), in which null deletes.
    pub metadata: Change<Metadata>,
    /// Its tokens. A change of content or calls that keeps them clears them, because they were counted for another text.
    pub token_count: Change<i32>,
    /// What the conversation's user thinks of it. It changes neither summaries nor what a model is sent.
    pub feedback: Change<Json>,
    /// Text that is appended.
    pub append: Option<Piece>,
    /// `None`: as it is.
    pub status: Option<Status>,
}

/// Text that belongs at one place of a message.
#[derive(Debug, Clone)]
pub struct Piece {
    pub text: Text,
    /// How many characters are before it.
    pub at: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_written_as_it_is_serialized() {
        let json = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let parts = json("[ {\"type\": \"text\",\n\"text\": \"\\\"a\\\\ \\u0041\"} ]");
        let every_character: String = ('\u{1}'..='\u{ff}').collect();
        let contents = [None, Some(Content::Text(Text::stored(every_character))), Some(Content::Parts(parts))];
        let statuses = [Status::Complete, Status::InProgress, Status::Incomplete, Status::Cancelled];
        let roles = [Role::User, Role::Assistant, Role::Tool, Role::System, Role::Developer];
        for number in 0..60 {
            let has = |bit: i64| number >> bit & 1 == 1;
            let at = |of: usize| usize::try_from(number).unwrap() % of;
            let time = DateTime::from_timestamp_micros(number * 1_234_567_890_123).unwrap();
            let message = Message {
                id: Uuid::now_v7(),
                conversation_id: Uuid::now_v7(),
                position: i64::MAX >> number,
                role: roles[at(5)],
                content: contents[at(3)].clone(),
                tool_calls: has(0).then(|| json("[{\"id\":\"a\"}]")),
                tool_call_id: has(1).then(|| Text::stored("call \"1\"\n".to_owned())),
                name: has(2).then(|| Text::stored("Zo\u{eb}\t".to_owned())),
                metadata: json(if has(3) { "{\"a\\n\": 1.50}" } else { "{}" }),
                token_count: has(4).then_some(12),
                status: statuses[at(4)],
                created_at: time,
                updated_at: time,
                extra: has(5).then(|| json("{\"refusal\":\"No.\"}")),
                feedback: has(1).then(|| json("{\"rating\": \"up\"}")),
                tree: None,
            };
            let mut wire = Wire::new();
            message.write(&mut wire).unwrap();
            let written: String = serde_json::from_str(wire.end().unwrap().get()).unwrap();
            assert_eq!(written, serde_json::to_string(&message).unwrap());
        }
    }
}
