//! What to send to a model: the newest part of a conversation that fits, and that the model's API accepts.
//!
//! [`Context::choose`] takes messages as they are stored. It repairs calls that nobody answered (`units`), chooses the messages that fit
//! (`start`), and shortens old results (`results`). [`Context::written`] writes the chosen messages for an API. It reads every spelling of texts,
//! calls and pictures into one representation (`part`). From the parts it makes turns (`turns`), and each of the `formats` writes the turns.
//!
//! Nothing here knows a database or HTTP.

mod formats;
mod ids;
mod json;
mod media;
mod message;
mod pairs;
mod part;
mod results;
mod size;
mod start;
mod turn;
mod turns;
mod units;

use serde::Serialize;

pub use crate::formats::spelling::is_untyped_part;
use crate::ids::IdRule;
pub use crate::message::{Content, Message, Role, Source};
use crate::pairs::Pairs;
pub use crate::size::{MediaSize, characters, estimate};
use crate::start::{Marks, Rulers};
use crate::units::Unit;

/// How much a model is sent, the pinned messages included.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Messages, from 1.
    pub messages: Option<i64>,
    /// Characters (Unicode scalar values) of `content` and `tool_calls`, from 1; of what is JSON, the characters of its text.
    pub characters: Option<i64>,
    /// Tokens, from 1: what the caller counted, or else an estimate.
    pub tokens: Option<i64>,
}

/// What to send, and how much of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The limits.
    pub limits: Limits,
    /// By how much the start moves once it has to: in messages, characters or tokens, as the limits are. From 1.
    pub step: Option<i64>,
    /// What becomes of a call that nobody answered.
    pub unanswered: Unanswered,
    /// What becomes of the ids of calls.
    pub call_ids: CallIds,
    /// How many of the newest tool results keep their contents. `None`: all.
    pub tool_results: Option<i64>,
    /// Bytes of JSON that the response holds beside the context.
    pub taken: usize,
}

/// How messages are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// As they are stored.
    #[default]
    Messages,
    /// As the Chat Completions API takes them.
    OpenAi,
    /// As the Messages API of Anthropic takes them.
    Anthropic,
    /// As items of the Responses API.
    Responses,
    /// As Google's Gemini API takes them.
    Gemini,
    /// As the Converse API of Amazon Bedrock takes them.
    Converse,
}

impl Format {
    /// # Errors
    /// No format is called so. The text says what would be right.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "messages" => Ok(Self::Messages),
            "openai" => Ok(Self::OpenAi),
            "anthropic" => Ok(Self::Anthropic),
            "responses" => Ok(Self::Responses),
            "gemini" => Ok(Self::Gemini),
            "converse" => Ok(Self::Converse),
            _ => Err("a format is messages (the default), openai, anthropic, responses, gemini or converse"),
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
    /// The text names none of them. The error says what would be right.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "answer" => Ok(Self::Answer),
            "drop" => Ok(Self::Drop),
            _ => Err("unanswered is answer (the default) or drop"),
        }
    }
}

/// What becomes of the ids of calls in a format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CallIds {
    /// They are unique, and within the length and the alphabet of the API.
    #[default]
    Fit,
    /// They stay as they are stored, for providers that hide a signature in them.
    Keep,
}

impl CallIds {
    /// # Errors
    /// The text names none of them. The error says what would be right.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "fit" => Ok(Self::Fit),
            "keep" => Ok(Self::Keep),
            _ => Err("call_ids is fit (the default) or keep"),
        }
    }
}

/// A text that stands for all messages up to a position.
#[derive(Debug, Clone)]
pub struct Summary {
    /// What the model is sent: instructions, at the position of the last message that it stands for.
    pub message: Message,
    /// How many messages it stands for, the pinned ones included.
    pub messages: i64,
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
    /// Which calls and results belong together, for each of `messages`.
    pairs: Vec<Pairs>,
    call_ids: CallIds,
}

impl Context {
    /// What a response can hold in JSON, however it has to be escaped on its way.
    const MAX_JSON_BYTES: usize = 4_480_000;
    /// What the ids of open calls take of this at most.
    const MAX_ID_BYTES: usize = 1_000_000;

    /// Chooses from what was read: the `pinned` messages, the newest message of the user, and the `newest` messages without a gap. The
    /// newest may or may not reach back to the user's. The conversation holds as many messages as `stored` says.
    ///
    /// Calls without results and results without calls are repaired first (`units`). The context is the pinned messages and the longest
    /// run of the newest that is within the limits and starts with a user's message. When not even the newest turn fits, it is shortened:
    /// its user's message stays, and the longest run of its newest steps that fits. The pinned messages and that message are sent even if
    /// they alone are over the limits: without them there is nothing to answer.
    ///
    /// If the conversation as a whole is not within the limits, a summary is sent behind the pinned messages. Then the rest is chosen from
    /// what comes behind the messages that it stands for.
    ///
    /// With a step, the start is the first possible one behind a mark on a ruler (`start`).
    ///
    /// The limits hold for the answer, repairs included, and for the stored messages that it was made from. So nothing but the stored
    /// size decides how far back the database reads.
    #[must_use]
    pub fn choose(
        mut pinned: Vec<Message>,
        newest_of_user: Option<Message>,
        newest: Vec<(Message, Before)>,
        summary: Option<Summary>,
        stored: i64,
        options: Options,
    ) -> Self {
        let count = |messages: usize| i64::try_from(messages).unwrap_or(i64::MAX);
        let mut is_whole = count(pinned.len() + newest.len()) >= stored;
        let marks = options.step.map(|every| Marks::new(every, options.limits, Rulers::of(&newest)));
        let mut newest: Vec<Message> = newest.into_iter().map(|(message, _)| message).collect();
        let whole_fits = || {
            let mut room = Room::within(options);
            let (units, _) = units::of(newest.clone(), options.unanswered);
            pinned.iter().all(|message| room.take_message(message)) && units.iter().all(|unit| room.take(unit))
        };
        // The question stays, so a summary is sent only if it fits in the response beside it.
        let fits = |summary: &Summary| {
            let asked = newest.iter().rfind(|message| units::begins_turn(message)).or(newest_of_user.as_ref());
            asked.map_or(0, Message::json_bytes) + summary.message.json_bytes() + options.taken <= Self::MAX_JSON_BYTES
        };
        let summary = summary.filter(|summary| (!is_whole || !whole_fits()) && fits(summary));
        let mut represented = 0;
        if let Some(summary) = &summary {
            newest.retain(|message| message.position > summary.message.position);
            is_whole = count(newest.len()) >= stored - summary.messages;
            represented = (summary.messages - count(pinned.len())).max(0);
        }
        let (mut units, mut open_calls) = units::of(newest, options.unanswered);
        let question = units.iter().rposition(|unit| unit.begins_turn);
        let newest_of_user = newest_of_user.filter(|message| question.is_none() && units::begins_turn(message)).map(Unit::of);

        let mut room = Room::within(options);
        // Whatever else there is, the question fits in the response.
        let reserved = question.map(|at| &units[at]).or(newest_of_user.as_ref()).map_or(0, |question| question.sent.json_bytes);
        let reserved = (reserved + summary.as_ref().map_or(0, |summary| summary.message.json_bytes())).min(room.json_bytes);
        room.json_bytes -= reserved;
        // The ids are in no message that is sent. Beyond their room they are left out.
        let (room_of_ids, mut ids) = (room.json_bytes.min(Self::MAX_ID_BYTES), 0);
        open_calls.retain(|id| {
            let size = json::escaped_bytes(id) + r#""","#.len();
            let fits = ids + size <= room_of_ids;
            ids += if fits { size } else { 0 };
            fits
        });
        room.json_bytes -= ids;
        let kept = pinned.iter().take_while(|message| room.take_json(message.json_bytes())).count();
        pinned.truncate(kept);
        room.json_bytes += reserved;
        for message in &pinned {
            room.take_counted(message);
        }
        if let Some(summary) = &summary {
            room.take_message(&summary.message);
        }

        let mut chosen = Vec::new();
        if let Some(start) = start::of(&units, &room, marks.as_ref(), is_whole, |unit| unit.begins_turn) {
            chosen = units.split_off(start);
        } else {
            let steps = units.split_off(question.map_or(0, |at| at + 1));
            if let Some(question) = units.pop().or(newest_of_user) {
                room.take(&question);
                chosen.push(question);
                let start = start::of(&steps, &room, marks.as_ref(), false, |unit| unit.begins_step).unwrap_or(steps.len());
                chosen.extend(steps.into_iter().skip(start));
            }
        }

        let mut repaired: Vec<i64> = chosen.iter().flat_map(|unit| &unit.repaired).copied().collect();
        repaired.sort_unstable();
        let made: i64 = chosen.iter().map(|unit| unit.made).sum();
        let mut messages = pinned;
        represented += count(messages.len());
        let summarized_through = summary.as_ref().map(|summary| summary.message.position);
        messages.extend(summary.map(|summary| summary.message));
        let first_chosen = messages.len();
        // The question stays, even if the summary stands for it, too.
        let mut pairs = vec![Pairs::default(); first_chosen];
        let length: usize = chosen.iter().map(|unit| unit.messages.len()).sum();
        messages.reserve(length);
        pairs.reserve(length);
        for sent in chosen.into_iter().flat_map(|unit| unit.messages) {
            let is_twice = summarized_through.is_some_and(|through| sent.message.position <= through);
            represented += i64::from(!is_twice);
            messages.push(sent.message);
            pairs.push(sent.pairs);
        }
        represented -= made;
        let elided = options.tool_results.map_or(0, |keep| results::elide(&mut messages, keep, marks.as_ref()));
        let first_position = messages.get(first_chosen).map(|message| message.position);
        let tokens = messages.iter().map(Message::tokens).sum();
        let estimated = messages.iter().any(|message| message.token_count.is_none());
        let omitted = stored - represented;
        Self {
            messages,
            omitted,
            summarized_through,
            first_position,
            repaired,
            open_calls,
            elided,
            tokens,
            estimated,
            pairs,
            call_ids: options.call_ids,
        }
    }

    /// The members of an answer that hold the messages, as a format has them. `None`: that of the messages as they are stored.
    #[must_use]
    pub fn written(&self, format: Format) -> Option<impl Serialize + '_> {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Request<'a> {
            OpenAi(formats::openai::Request<'a>),
            Anthropic(formats::anthropic::Request<'a>),
            Responses(formats::responses::Request<'a>),
            Gemini(formats::gemini::Request<'a>),
            Converse(formats::converse::Request<'a>),
        }
        let turns =
            |ids: IdRule| turns::of(&self.messages, &self.pairs, if self.call_ids == CallIds::Keep { IdRule::Keep } else { ids });
        match format {
            Format::Messages => None,
            Format::OpenAi => Some(Request::OpenAi(formats::openai::Request::of(turns(formats::openai::IDS)))),
            Format::Anthropic => Some(Request::Anthropic(formats::anthropic::Request::of(turns(formats::anthropic::IDS)))),
            Format::Responses => Some(Request::Responses(formats::responses::Request::of(turns(formats::responses::IDS)))),
            Format::Gemini => Some(Request::Gemini(formats::gemini::Request::of(turns(formats::gemini::IDS)))),
            Format::Converse => Some(Request::Converse(formats::converse::Request::of(turns(formats::converse::IDS)))),
        }
    }
}

/// How many characters and tokens had been appended to the conversation before a message; `None` for a message of old.
pub type Before = [Option<i64>; 2];

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
    fn within(options: Options) -> Self {
        let limits = options.limits;
        let [messages, characters, tokens] =
            [limits.messages, limits.characters, limits.tokens].map(|limit| limit.unwrap_or(i64::MAX));
        let counted = Counted { messages, characters, tokens };
        Self { sent: counted.clone(), stored: counted, json_bytes: Context::MAX_JSON_BYTES.saturating_sub(options.taken) }
    }

    /// Whether the unit is within the limits; takes its room in any case.
    fn take(&mut self, unit: &Unit) -> bool {
        self.sent.take(unit.sent) & self.stored.take(unit.stored) & self.take_json(unit.sent.json_bytes)
    }

    /// The same for a message as it is stored.
    fn take_message(&mut self, message: &Message) -> bool {
        self.take_counted(message) & self.take_json(message.json_bytes())
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

/// What limits count.
#[derive(Clone, Copy, Default)]
struct Size {
    messages: i64,
    characters: i64,
    tokens: i64,
    json_bytes: usize,
}

impl Size {
    fn of(message: &Message) -> Self {
        let mut size = Self::default();
        size.add(message);
        size
    }

    fn add(&mut self, message: &Message) {
        self.messages += 1;
        self.characters = self.characters.saturating_add(message.characters());
        self.tokens = self.tokens.saturating_add(message.tokens());
        self.json_bytes += message.json_bytes();
    }
}
