//! What to send to a model: the newest part of a conversation that fits, and that the model's API accepts.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::value::RawValue;

use super::message::string_member;
use super::{Content, Message, Role, Text};
use crate::error::{Fault, Invalid};

/// How much a model is sent, the pinned messages included.
#[derive(Debug, Clone, Copy, Default)]
pub struct ContextLimits {
    /// Messages, from 1.
    pub messages: Option<i64>,
    /// Characters (Unicode scalar values) of `content` and `tool_calls`, from 1; of what is JSON, the characters of its text.
    pub characters: Option<i64>,
}

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContextFormat {
    /// As everywhere else.
    Messages,
    /// As the Chat Completions API takes them.
    OpenAi,
}

impl ContextFormat {
    /// # Errors
    /// No format is called so.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "messages" => Ok(Self::Messages),
            "openai" => Ok(Self::OpenAi),
            _ => Err(Invalid::new(Fault::Parameter, "a format is messages (the default) or openai")),
        }
    }
}

/// What to send to a model.
#[derive(Debug, Clone)]
pub struct Context {
    /// The messages, in chronological order.
    pub messages: Vec<Message>,
    /// How many more the conversation holds.
    pub omitted: i64,
}

impl Context {
    /// What a response can hold in JSON, however it has to be escaped on its way.
    const MAX_JSON_BYTES: usize = 4_480_000;

    /// Chooses from what was read: the `pinned` messages, the newest message of the user, and the `newest` messages without a gap, which
    /// may or may not reach back to it.
    ///
    /// That is the pinned messages and the longest run of the newest that is within the limits, starts with a user's message and is
    /// complete: no result without its call, no call without all its results. Where not even the newest turn fits, that turn is
    /// thinned: its user's message stays, and of what follows it the longest run of the newest that is complete and fits. The
    /// pinned messages and that message are sent even if they alone are over the limits: without them there is nothing to answer.
    pub(crate) fn choose(
        mut pinned: Vec<Message>,
        newest_of_user: Option<Message>,
        mut newest: Vec<Message>,
        limits: ContextLimits,
    ) -> Vec<Message> {
        let mut room = Room {
            messages: limits.messages.unwrap_or(i64::MAX),
            characters: limits.characters.unwrap_or(i64::MAX),
            json_bytes: Self::MAX_JSON_BYTES,
        };
        let begins_turn = |message: &Message| message.role == Role::User && Tools::of(message).results.is_empty();
        let question = newest.iter().rposition(begins_turn);
        // Whatever else there is, the question fits in the response.
        let reserved = question.map(|at| &newest[at]).or(newest_of_user.as_ref()).map_or(0, json_bytes).min(Self::MAX_JSON_BYTES);
        room.json_bytes -= reserved;
        let kept = pinned.iter().take_while(|message| room.take_json(message)).count();
        pinned.truncate(kept);
        room.json_bytes += reserved;
        for message in &pinned {
            room.take_counted(message);
        }

        if let Some(start) = longest_complete(&newest, room.clone(), |message| message.role == Role::User) {
            pinned.extend(newest.drain(start..));
            return pinned;
        }
        let (question, answers) = match question {
            Some(at) => {
                let answers = newest.split_off(at + 1);
                (newest.pop(), answers)
            }
            None => (newest_of_user.filter(begins_turn), newest),
        };
        if let Some(question) = question {
            room.take_json(&question);
            room.take_counted(&question);
            pinned.push(question);
            let start = longest_complete(&answers, room, |_| true).unwrap_or(answers.len());
            pinned.extend(answers.into_iter().skip(start));
        }
        pinned
    }

    /// The value to respond with.
    #[must_use]
    pub fn as_json(&self, format: ContextFormat) -> impl Serialize + '_ {
        #[derive(Serialize)]
        struct Body<'a> {
            messages: Vec<Written<'a>>,
            omitted: i64,
        }
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Written<'a> {
            Message(&'a Message),
            OpenAi {
                role: Role,
                content: Option<&'a Content>,
                #[serde(skip_serializing_if = "Option::is_none")]
                tool_calls: Option<&'a RawValue>,
                #[serde(skip_serializing_if = "Option::is_none")]
                tool_call_id: Option<&'a Text>,
                #[serde(skip_serializing_if = "Option::is_none")]
                name: Option<&'a Text>,
            },
        }
        let write = |message| match format {
            ContextFormat::Messages => Written::Message(message),
            ContextFormat::OpenAi => Written::OpenAi {
                role: message.role,
                content: message.content.as_ref(),
                tool_calls: message.tool_calls.as_deref(),
                tool_call_id: message.tool_call_id.as_ref(),
                name: message.name.as_ref(),
            },
        };
        Body { messages: self.messages.iter().map(write).collect(), omitted: self.omitted }
    }
}

/// What is left of the limits.
#[derive(Clone)]
struct Room {
    messages: i64,
    characters: i64,
    json_bytes: usize,
}

impl Room {
    /// Whether the message is within the limits that a caller sets; takes its room in any case.
    fn take_counted(&mut self, message: &Message) -> bool {
        self.messages -= 1;
        self.characters = self.characters.saturating_sub(characters(message));
        self.messages >= 0 && self.characters >= 0
    }

    /// Whether the message fits in a response.
    fn take_json(&mut self, message: &Message) -> bool {
        let left = self.json_bytes.checked_sub(json_bytes(message));
        self.json_bytes = left.unwrap_or(0);
        left.is_some()
    }
}

/// The start of the longest complete run up to the end that fits and starts where `may_start` says.
fn longest_complete(messages: &[Message], mut room: Room, may_start: impl Fn(&Message) -> bool) -> Option<usize> {
    let (mut longest, mut unclaimed) = (None, Unclaimed::default());
    for (index, message) in messages.iter().enumerate().rev() {
        let fits = room.take_counted(message) & room.take_json(message);
        if !fits || !unclaimed.add_before(message) {
            break;
        }
        if unclaimed.is_empty() && may_start(message) {
            longest = Some(index);
        }
    }
    longest
}

/// Results whose calls have not been met yet, going backwards.
#[derive(Default)]
struct Unclaimed {
    ids: HashSet<String>,
    /// Results that do not say which call they are of: each is of any.
    anonymous: usize,
}

impl Unclaimed {
    /// Goes on to the message before; false: it has a call without a result, so that no run with it is complete.
    fn add_before(&mut self, message: &Message) -> bool {
        let mut tools = Tools::of(message);
        tools.calls.sort_unstable();
        // Of two calls of one message with the same id, a result is of both.
        tools.calls.dedup_by(|a, b| a.is_some() && a == b);
        for call in tools.calls.into_iter().rev() {
            let claimed = match &call {
                Some(id) => self.ids.remove(id) || self.take_anonymous(),
                None => self.take_anonymous() || self.take_any(),
            };
            if !claimed {
                return false;
            }
        }
        for result in tools.results {
            match result {
                Some(id) => drop(self.ids.insert(id)),
                None => self.anonymous += 1,
            }
        }
        true
    }

    fn take_anonymous(&mut self) -> bool {
        let found = self.anonymous > 0;
        self.anonymous -= usize::from(found);
        found
    }

    fn take_any(&mut self) -> bool {
        let any = self.ids.iter().next().cloned();
        any.is_some_and(|id| self.ids.remove(&id))
    }

    fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.anonymous == 0
    }
}

/// The calls and results of a message, by id where they have one.
#[derive(Default)]
struct Tools {
    calls: Vec<Option<String>>,
    results: Vec<Option<String>>,
}

impl Tools {
    /// Reads `tool_calls` and `tool_call_id` as the Chat Completions API has them, and parts of the types `tool_use` and
    /// `tool_result` as the Messages API of Anthropic has them.
    fn of(message: &Message) -> Self {
        // Some servers give every call the same empty id, which says as much as none.
        let id = |object, name| serde_json::from_str(string_member(object, name)?).ok().filter(|id: &String| !id.is_empty());
        let mut tools = Self::default();
        if let Some(calls) = &message.tool_calls {
            // One call is an object. What is none, or empty, is in a form of the caller's own, that says nothing about results.
            let calls = if calls.get().starts_with('{') { vec![&**calls] } else { elements(calls) };
            tools.calls.extend(calls.into_iter().filter(|call| is_filled_object(call)).map(|call| id(call, "id")));
        }
        if message.role == Role::Tool {
            let id = message.tool_call_id.as_ref().map(Text::as_str).filter(|id| !id.is_empty());
            tools.results.push(id.map(str::to_owned));
        }
        if let Some(Content::Parts(parts)) = &message.content {
            for part in elements(parts) {
                match id(part, "type").as_deref() {
                    Some("tool_use") => tools.calls.push(id(part, "id")),
                    Some("tool_result") => tools.results.push(id(part, "tool_use_id")),
                    _ => {}
                }
            }
        }
        tools
    }
}

fn is_filled_object(json: &RawValue) -> bool {
    let members = json.get().strip_prefix('{').and_then(|json| json.strip_suffix('}'));
    members.is_some_and(|members| !members.trim().is_empty())
}

fn elements(array: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(array.get()).unwrap_or_default()
}

/// What `max_chars` counts; the column `characters` says the same.
fn characters(message: &Message) -> i64 {
    let content = match &message.content {
        Some(Content::Text(text)) => text.as_str().chars().count(),
        Some(Content::Parts(parts)) => parts.get().chars().count(),
        None => 0,
    };
    let tool_calls = message.tool_calls.as_ref().map_or(0, |calls| calls.get().chars().count());
    i64::try_from(content + tool_calls).unwrap_or(i64::MAX)
}

/// What a message takes in a response, at most.
fn json_bytes(message: &Message) -> usize {
    const IDS_TIMES_AND_NAMES: usize = 400;
    let escaped = |text: &str| {
        let byte = |byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
            0..0x20 => 6,
            _ => 1,
        };
        text.bytes().map(byte).sum::<usize>()
    };
    let text = |text: &Option<Text>| text.as_ref().map_or(0, |text| escaped(text.as_str()));
    let content = match &message.content {
        Some(Content::Text(text)) => escaped(text.as_str()),
        Some(Content::Parts(parts)) => parts.get().len(),
        None => 0,
    };
    let tool_calls = message.tool_calls.as_ref().map_or(0, |calls| calls.get().len());
    IDS_TIMES_AND_NAMES + content + tool_calls + text(&message.tool_call_id) + text(&message.name) + message.metadata.get().len()
}
