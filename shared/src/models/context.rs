//! What to send to a model: the newest part of a conversation that fits, and that the model's API accepts.

mod anthropic;
mod openai;
mod responses;
mod results;
mod spelling;
mod start;
mod steps;
mod turns;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use self::start::{Rulers, Step};
use self::steps::{Piece, Size};
use super::{Content, Message, Role, Status, Text};
use crate::error::{Fault, Invalid};

/// How much a model is sent, the pinned messages included.
#[derive(Debug, Clone, Copy, Default)]
pub struct ContextLimits {
    /// Messages, from 1.
    pub messages: Option<i64>,
    /// Characters (Unicode scalar values) of `content` and `tool_calls`, from 1; of what is JSON, the characters of its text.
    pub characters: Option<i64>,
    /// Tokens, from 1: what the caller counted, or else an estimate.
    pub tokens: Option<i64>,
}

/// What to send, and how much of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct ContextOptions {
    /// The limits.
    pub limits: ContextLimits,
    /// By how much the start moves once it has to: in messages, characters or tokens, as the limits are. From 1.
    pub step: Option<i64>,
    /// What becomes of a call that nobody answered.
    pub unanswered: Unanswered,
    /// How many of the newest tool results keep their contents. `None`: all.
    pub tool_results: Option<i64>,
}

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContextFormat {
    /// As everywhere else.
    Messages,
    /// As the Chat Completions API takes them.
    OpenAi,
    /// As the Messages API of Anthropic takes them.
    Anthropic,
    /// As items of the Responses API.
    Responses,
}

impl ContextFormat {
    /// # Errors
    /// No format is called so.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "messages" => Ok(Self::Messages),
            "openai" => Ok(Self::OpenAi),
            "anthropic" => Ok(Self::Anthropic),
            "responses" => Ok(Self::Responses),
            _ => Err(Invalid::new(Fault::Parameter, "a format is messages (the default), openai, anthropic or responses")),
        }
    }
}

/// What becomes of a call that nobody answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unanswered {
    /// The call gets a result that says so.
    #[default]
    Answer,
    /// The call is left out.
    Drop,
}

impl Unanswered {
    /// # Errors
    /// The text names none of them.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "answer" => Ok(Self::Answer),
            "drop" => Ok(Self::Drop),
            _ => Err(Invalid::new(Fault::Parameter, "unanswered is answer (the default) or drop")),
        }
    }
}

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
    ///
    /// # Errors
    /// The text is no text that could have been stored.
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
    /// The messages, in chronological order.
    pub messages: Vec<Message>,
    /// How many messages of the conversation neither `messages` nor the summary represents.
    pub omitted: i64,
    /// The position up to which the summary stands for messages. `None`: there is none in `messages`.
    pub summarized_through: Option<i64>,
    /// The position of the first message behind the pinned ones and the summary.
    pub first_position: Option<i64>,
    /// The positions of messages that were repaired: calls that nobody answered, results that are left out, and instructions that stood
    /// between a call and its result. Only those from the first chosen message on.
    pub repaired: Vec<i64>,
    /// The ids of the calls that wait for their results at the end of the conversation. An empty text stands for a call without an id.
    pub open_calls: Vec<String>,
    /// How many tool results have lost their contents.
    pub elided: i64,
    /// The tokens of `messages`: what callers counted, or else an estimate.
    pub tokens: i64,
    /// Whether the tokens of a message were estimated.
    pub estimated: bool,
}

impl Context {
    /// What a response can hold in JSON, however it has to be escaped on its way.
    const MAX_JSON_BYTES: usize = 4_480_000;
    /// What the ids of open calls take of this at most.
    const MAX_ID_BYTES: usize = 1_000_000;

    /// Chooses from what was read: the `pinned` messages, the newest message of the user, and the `newest` messages without a gap. The
    /// newest may or may not reach back to the user's. The conversation holds as many messages as `stored` says.
    ///
    /// Calls without results and results without calls are repaired first ([`steps`]). The context is the pinned messages and the longest
    /// run of the newest that is within the limits and starts with a user's message. When not even the newest turn fits, it is shortened:
    /// its user's message stays, and the longest run of its newest steps that fits. The pinned messages and that message are sent even if
    /// they alone are over the limits: without them there is nothing to answer.
    ///
    /// If the conversation as a whole is not within the limits, a summary is sent behind the pinned messages. Then the rest is chosen from
    /// what comes behind the messages that it stands for.
    ///
    /// With a step, the start is the first possible one behind a mark on a ruler ([`start`]).
    ///
    /// The limits hold for the answer, repairs included, and for the stored messages that it was made from. So nothing but the stored
    /// size decides how far back the database reads.
    pub(crate) fn choose(
        mut pinned: Vec<Message>,
        newest_of_user: Option<Message>,
        newest: Vec<(Message, Before)>,
        summary: Option<ContextSummary>,
        stored: i64,
        options: ContextOptions,
    ) -> Self {
        let count = |messages: usize| i64::try_from(messages).unwrap_or(i64::MAX);
        let mut is_whole = count(pinned.len() + newest.len()) >= stored;
        let step = options.step.map(|every| Step::new(every, options.limits, Rulers::of(&newest)));
        let mut newest: Vec<Message> = newest.into_iter().map(|(message, _)| message).collect();
        let whole_fits = || {
            let mut room = Room::within(options.limits);
            let (pieces, _) = steps::pieces(newest.clone(), options.unanswered);
            pinned.iter().all(|message| room.take_message(message)) && pieces.iter().all(|piece| room.take(piece))
        };
        // The question stays, so a summary is sent only if it fits in the response beside it.
        let asked = newest.iter().rfind(|message| steps::begins_turn(message)).or(newest_of_user.as_ref()).map_or(0, json_bytes);
        let fits = |summary: &ContextSummary| asked + json_bytes(&summary.message) <= Self::MAX_JSON_BYTES;
        let summary = summary.filter(|summary| (!is_whole || !whole_fits()) && fits(summary));
        let mut represented = 0;
        if let Some(summary) = &summary {
            newest.retain(|message| message.position > summary.message.position);
            is_whole = count(newest.len()) >= stored - summary.messages;
            represented = (summary.messages - count(pinned.len())).max(0);
        }
        let (mut pieces, mut open_calls) = steps::pieces(newest, options.unanswered);
        let question = pieces.iter().rposition(|piece| piece.begins_turn);
        let newest_of_user = newest_of_user.filter(|message| question.is_none() && steps::begins_turn(message)).map(Piece::of);

        let mut room = Room::within(options.limits);
        // Whatever else there is, the question fits in the response.
        let reserved = question.map(|at| &pieces[at]).or(newest_of_user.as_ref()).map_or(0, |question| question.sent.json_bytes);
        let reserved = (reserved + summary.as_ref().map_or(0, |summary| json_bytes(&summary.message))).min(room.json_bytes);
        room.json_bytes -= reserved;
        // The ids are in no message that is sent. Beyond their room they are left out.
        let (room_of_ids, mut ids) = (room.json_bytes.min(Self::MAX_ID_BYTES), 0);
        open_calls.retain(|id| {
            let size = escaped(id) + r#""","#.len();
            let fits = ids + size <= room_of_ids;
            ids += if fits { size } else { 0 };
            fits
        });
        room.json_bytes -= ids;
        let kept = pinned.iter().take_while(|message| room.take_json(json_bytes(message))).count();
        pinned.truncate(kept);
        room.json_bytes += reserved;
        for message in &pinned {
            room.take_counted(message);
        }
        if let Some(summary) = &summary {
            room.take_message(&summary.message);
        }

        let mut chosen = Vec::new();
        if let Some(start) = start::of(&pieces, &room, step.as_ref(), is_whole, |piece| piece.begins_turn) {
            chosen = pieces.split_off(start);
        } else {
            let steps = pieces.split_off(question.map_or(0, |at| at + 1));
            if let Some(question) = pieces.pop().or(newest_of_user) {
                room.take(&question);
                chosen.push(question);
                let start = start::of(&steps, &room, step.as_ref(), false, |piece| piece.begins_step).unwrap_or(steps.len());
                chosen.extend(steps.into_iter().skip(start));
            }
        }

        let mut repaired: Vec<i64> = chosen.iter().flat_map(|piece| &piece.repaired).copied().collect();
        repaired.sort_unstable();
        let synthetic: i64 = chosen.iter().map(|piece| piece.synthetic).sum();
        let mut messages = pinned;
        represented += count(messages.len());
        let summarized_through = summary.as_ref().map(|summary| summary.message.position);
        messages.extend(summary.map(|summary| summary.message));
        let first_chosen = messages.len();
        // The question stays, even if the summary stands for it, too.
        let chosen_messages = || chosen.iter().flat_map(|piece| &piece.messages);
        let twice =
            chosen_messages().filter(|message| summarized_through.is_some_and(|through| message.position <= through)).count();
        represented += count(chosen_messages().count()) - synthetic - count(twice);
        messages.extend(chosen.into_iter().flat_map(|piece| piece.messages));
        let elided = options.tool_results.map_or(0, |keep| results::elide(&mut messages, keep, step.as_ref()));
        let first_position = messages.get(first_chosen).map(|message| message.position);
        let tokens = messages.iter().map(Message::tokens).sum();
        let estimated = messages.iter().any(|message| message.token_count.is_none());
        let omitted = stored - represented;
        Self { messages, omitted, summarized_through, first_position, repaired, open_calls, elided, tokens, estimated }
    }

    /// The value to respond with.
    #[must_use]
    pub fn as_json(&self, format: ContextFormat) -> impl Serialize + '_ {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(flatten)]
            messages: Conversation<'a>,
            omitted: i64,
            tokens: i64,
            estimated: bool,
            first_position: Option<i64>,
            repaired: &'a [i64],
            open_calls: &'a [String],
            elided: i64,
            summary: Option<Summary>,
        }
        #[derive(Serialize)]
        struct Summary {
            through: i64,
        }
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Conversation<'a> {
            Messages { messages: &'a [Message] },
            OpenAi(openai::Request<'a>),
            Anthropic(anthropic::Request),
            Responses(responses::Request),
        }
        let messages = match format {
            ContextFormat::Messages => Conversation::Messages { messages: &self.messages },
            ContextFormat::OpenAi => Conversation::OpenAi(openai::Request::of(&turns::of(&self.messages))),
            ContextFormat::Anthropic => Conversation::Anthropic(anthropic::Request::of(&turns::of(&self.messages))),
            ContextFormat::Responses => Conversation::Responses(responses::Request::of(&turns::of(&self.messages))),
        };
        Body {
            messages,
            omitted: self.omitted,
            tokens: self.tokens,
            estimated: self.estimated,
            first_position: self.first_position,
            repaired: &self.repaired,
            open_calls: &self.open_calls,
            elided: self.elided,
            summary: self.summarized_through.map(|through| Summary { through }),
        }
    }
}

/// How many characters and tokens had been appended to the conversation before a message; `None` for a message of old.
pub(crate) type Before = [Option<i64>; 2];

/// What is left of the limits.
#[derive(Clone)]
struct Room {
    /// For what is sent.
    sent: Counted,
    /// For what is stored.
    stored: Counted,
    /// In the response.
    json_bytes: usize,
}

/// What a caller limits.
#[derive(Clone)]
struct Counted {
    messages: i64,
    characters: i64,
    tokens: i64,
}

impl Counted {
    fn take(&mut self, size: Size) -> bool {
        self.messages -= size.messages;
        self.characters = self.characters.saturating_sub(size.characters);
        self.tokens = self.tokens.saturating_sub(size.tokens);
        self.messages >= 0 && self.characters >= 0 && self.tokens >= 0
    }
}

impl Room {
    fn within(limits: ContextLimits) -> Self {
        let [messages, characters, tokens] =
            [limits.messages, limits.characters, limits.tokens].map(|limit| limit.unwrap_or(i64::MAX));
        let counted = Counted { messages, characters, tokens };
        Self { sent: counted.clone(), stored: counted, json_bytes: Context::MAX_JSON_BYTES }
    }

    /// Whether the piece is within the limits; takes its room in any case.
    fn take(&mut self, piece: &Piece) -> bool {
        self.sent.take(piece.sent) & self.stored.take(piece.stored) & self.take_json(piece.sent.json_bytes)
    }

    /// The same for a message as it is stored.
    fn take_message(&mut self, message: &Message) -> bool {
        self.take_counted(message) & self.take_json(json_bytes(message))
    }

    fn take_counted(&mut self, message: &Message) -> bool {
        let size = Size::of(message);
        self.sent.take(size) & self.stored.take(size)
    }

    fn take_json(&mut self, bytes: usize) -> bool {
        let left = self.json_bytes.checked_sub(bytes);
        self.json_bytes = left.unwrap_or(0);
        left.is_some()
    }
}

fn is_filled_object(json: &RawValue) -> bool {
    let members = json.get().strip_prefix('{').and_then(|json| json.strip_suffix('}'));
    members.is_some_and(|members| !members.trim().is_empty())
}

fn elements(array: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(array.get()).unwrap_or_default()
}

/// What a message takes in a response, at most.
fn json_bytes(message: &Message) -> usize {
    const IDS_TIMES_AND_NAMES: usize = 400;
    let text = |text: &Option<Text>| text.as_ref().map_or(0, |text| escaped(text.as_str()));
    let content = match &message.content {
        Some(Content::Text(text)) => escaped(text.as_str()),
        // A format may write them as text.
        Some(Content::Parts(parts)) if spelling::may_have_calls(parts) => escaped(parts.get()),
        Some(Content::Parts(parts)) => parts.get().len(),
        None => 0,
    };
    let tool_calls = message.tool_calls.as_ref().map_or(0, |calls| calls.get().len());
    IDS_TIMES_AND_NAMES + content + tool_calls + text(&message.tool_call_id) + text(&message.name) + message.metadata.get().len()
}

/// What a text takes inside a JSON string.
fn escaped(text: &str) -> usize {
    // The compiler makes vector code of sums of single bytes. A sum of 32 fits in one: a byte adds at most 5.
    let added = |byte: &u8| {
        // From \b to \r, all but \v.
        let is_short = byte.wrapping_sub(0x08) < 6 && *byte != 0x0b;
        u8::from(*byte == b'"' || *byte == b'\\') + 5 * u8::from(*byte < 0x20) - 4 * u8::from(is_short)
    };
    let chunks = text.as_bytes().chunks(32);
    text.len() + chunks.map(|chunk| usize::from(chunk.iter().map(added).sum::<u8>())).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_takes_no_more_than_what_is_reckoned() {
        let every_character: String = ('\u{1}'..='\u{ff}').collect();
        for text in [every_character.repeat(7), "\u{b}".repeat(63), "\n\"\\".repeat(33), "é".repeat(31)] {
            let summary = ContextSummary::new(Uuid::nil(), 1, text, None, 1, DateTime::UNIX_EPOCH).unwrap();
            let (written, reckoned) = (serde_json::to_string(&summary.message).unwrap().len(), json_bytes(&summary.message));
            assert!((written..written + 400).contains(&reckoned), "{reckoned} for {written}");
        }
    }
}
