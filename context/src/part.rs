//! Texts, reasoning, pictures and files, calls and results: what a message says. Each API spells them in its own way. Every spelling is read
//! into a [`Part`], and every format is written from it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::formats::{ai_sdk, anthropic, converse, gemini, mcp, openai, responses};
use crate::json::{Json, Object, elements, is_filled_object, quoted, string};
use crate::media::Media;
use crate::message::{Content, Message, Role};

/// The API whose way of storing parts this is. A format gives parts of its own spelling back with all their members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// A string, or a part `text` with nothing else in it, which several APIs write alike.
    Plain,
    /// Chat Completions: `tool_calls`, and a tool message for each result.
    OpenAi,
    /// Anthropic: parts `tool_use` and `tool_result`.
    Anthropic,
    /// Items of the Responses API: `function_call` and `function_call_output`.
    Responses,
    /// The AI SDK's model messages: parts `tool-call` and `tool-result`.
    AiSdk,
    /// The AI SDK's UI messages: a call and its result in one part, `tool-NAME` or `dynamic-tool`.
    AiSdkUi,
    /// The Model Context Protocol, in results of tools.
    Mcp,
    /// Google's: parts without a type, such as `functionCall` and `functionResponse`.
    Gemini,
    /// Amazon Bedrock's Converse: parts without a type, such as `toolUse` and `toolResult`.
    Converse,
}

/// A part of what a message says.
#[derive(Clone)]
pub(crate) struct Part<'a> {
    /// As it is stored. `None`: the message's content is a string.
    pub(crate) stored: Option<&'a RawValue>,
    pub(crate) spelling: Spelling,
    pub(crate) kind: Kind<'a>,
}

#[derive(Clone)]
pub(crate) enum Kind<'a> {
    Text(Cow<'a, str>),
    /// What the model says instead of an answer.
    Refusal(Cow<'a, str>),
    Reasoning(Reasoning<'a>),
    Media(Media<'a>),
    Call(Call<'a>),
    Answer(Answer<'a>),
    /// A call and its result.
    Answered(Call<'a>, Answer<'a>),
    /// An item of the Responses API that has parts of its own.
    Item(Vec<Part<'a>>),
    /// Something that no other API knows.
    Other,
}

/// What the model has thought.
#[derive(Clone, Default)]
pub(crate) struct Reasoning<'a> {
    pub(crate) text: Cow<'a, str>,
    /// Anthropic's proof that the text is the model's own.
    pub(crate) signature: Option<Cow<'a, str>>,
    /// Anthropic's thoughts that are not shown, encrypted.
    pub(crate) redacted: Option<Cow<'a, str>>,
}

#[derive(Clone)]
pub(crate) struct Call<'a> {
    /// `None` for an empty id: some servers give every call the same empty one.
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) name: Cow<'a, str>,
    pub(crate) arguments: Option<&'a RawValue>,
    /// Google's proof of what the model thought before it called.
    pub(crate) signature: Option<Cow<'a, str>>,
    pub(crate) stored: &'a RawValue,
    pub(crate) spelling: Spelling,
}

#[derive(Clone)]
pub(crate) struct Answer<'a> {
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) output: Output<'a>,
    pub(crate) is_error: bool,
    /// The part that it is stored as. `None`: a tool message.
    pub(crate) stored: Option<&'a RawValue>,
    pub(crate) spelling: Spelling,
}

/// What a tool has said.
#[derive(Clone)]
pub(crate) enum Output<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
    Json(&'a RawValue),
}

impl Output<'_> {
    /// Its parts, if it has some.
    pub(crate) fn parts(&self) -> &[Part<'_>] {
        if let Self::Parts(parts) = self { parts } else { &[] }
    }
}

impl<'a> Output<'a> {
    /// Adds what is said beside it.
    pub(crate) fn extend(&mut self, others: Vec<Part<'a>>) {
        if others.is_empty() {
            return;
        }
        let text = |text| Part { stored: None, spelling: Spelling::Plain, kind: Kind::Text(text) };
        let mut parts = match std::mem::replace(self, Self::Parts(Vec::new())) {
            Self::Text(said) => vec![text(said)],
            Self::Json(json) => vec![text(Cow::Borrowed(json.get()))],
            Self::Parts(parts) => parts,
        };
        parts.extend(others);
        *self = Self::Parts(parts);
    }
}

impl<'a> Part<'a> {
    /// Reads a content part of a message of this role. Only the assistant calls, and instructions answer nothing.
    pub(crate) fn read(stored: &'a RawValue, role: Role) -> Self {
        let object = Object::of(stored);
        let kind = object.text("type").unwrap_or_default();
        let readers = [openai::read, anthropic::read, responses::read, ai_sdk::read, mcp::read, gemini::read, converse::read];
        let read = readers.iter().find_map(|read| read(&kind, stored, &object));
        let (spelling, kind) = read.unwrap_or((Spelling::Plain, Kind::Other));
        let (may_call, may_answer) = (role == Role::Assistant, !role.instructs());
        let kind = match kind {
            Kind::Call(_) | Kind::Answered(..) if !may_call => Kind::Other,
            Kind::Answer(_) if !may_answer => Kind::Other,
            kind => kind,
        };
        Self { stored: Some(stored), spelling, kind }
    }

    /// A content that is a string.
    pub(crate) fn text(text: &'a str) -> Self {
        Self { stored: None, spelling: Spelling::Plain, kind: Kind::Text(Cow::Borrowed(text)) }
    }

    /// Itself, or the parts that it holds.
    pub(crate) fn leaves(&self) -> &[Self] {
        if let Kind::Item(parts) = &self.kind { parts } else { std::slice::from_ref(self) }
    }

    /// What it says in words.
    pub(crate) fn words(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) | Kind::Refusal(text) => Some(text),
            _ => None,
        }
    }

    /// As it is stored and without other members, if it is in this spelling.
    pub(crate) fn own(&self, spelling: Spelling, members: &[&str]) -> Option<Json<'a>> {
        let stored = self.stored_as(spelling)?;
        let object = Object::of(stored);
        let is_known = object.names().all(|name| members.contains(&name));
        Some(if is_known { stored.into() } else { object.only(members).into() })
    }

    /// As it is stored, if it is in this spelling.
    pub(crate) fn stored_as(&self, spelling: Spelling) -> Option<&'a RawValue> {
        self.stored.filter(|_| self.spelling == spelling)
    }
}

/// Whether this is a part as the APIs have parts that have no `type`, Gemini and Converse: such a part has a member that says what it is.
#[must_use]
pub fn is_untyped_part(stored: &RawValue) -> bool {
    let object = Object::of(stored);
    let has = |name: &&str| object.get(name).is_some_and(|value| value.get().starts_with('{'));
    let is_known = object.text("text").is_some() || gemini::MEMBERS.iter().chain(&converse::MEMBERS).any(has);
    is_known && object.names().all(|name| name != "type")
}

/// What a tool has said: a text, parts, or any other JSON.
pub(crate) fn output(value: Option<&RawValue>) -> Output<'_> {
    match value {
        None => Output::Text(Cow::Borrowed("")),
        Some(value) if value.get().starts_with('[') => output_parts(elements(value)),
        Some(value) => text_or_json(value),
    }
}

pub(crate) fn output_parts(parts: Vec<&RawValue>) -> Output<'_> {
    Output::Parts(parts.into_iter().map(|part| Part::read(part, Role::Tool)).collect())
}

pub(crate) fn text_or_json(value: &RawValue) -> Output<'_> {
    string(value).map(Output::Text).or_else(|| mcp::result(value)).unwrap_or(Output::Json(value))
}

/// An id, unless it is empty.
pub(crate) fn id<'a>(object: &Object<'a>, name: &str) -> Option<Cow<'a, str>> {
    object.text(name).filter(|id| !id.is_empty())
}

/// What a message says and calls, in every spelling.
pub(crate) struct Read<'a> {
    pub(crate) message: &'a Message,
    /// The parts of its content, if it is no string.
    pub(crate) parts: Vec<Part<'a>>,
    /// The calls in `tool_calls`, with their places.
    pub(crate) tool_calls: Vec<(usize, Call<'a>)>,
}

impl<'a> Read<'a> {
    pub(crate) fn of(message: &'a Message) -> Self {
        Self { message, parts: parts(message), tool_calls: tool_calls(message) }
    }

    /// Whether the assistant speaks or calls in this message. Items of the Responses API may be its messages and yet be results.
    pub(crate) fn is_the_assistants(&self) -> bool {
        let answers = |part: &Part| matches!(part.kind, Kind::Answer(_));
        let only_answers = self.tool_calls.is_empty() && !self.parts.is_empty() && self.parts.iter().all(answers);
        self.message.role == Role::Assistant && !only_answers
    }

    /// The result that a tool message is, unless its parts are results.
    pub(crate) fn whole_answer(&self) -> Answer<'a> {
        let output = match &self.message.content {
            Some(Content::Text(text)) => Output::Text(Cow::Borrowed(text)),
            Some(Content::Parts(_)) => Output::Parts(self.parts.clone()),
            None => Output::Text(Cow::Borrowed("")),
        };
        Answer {
            id: tool_call_id(self.message).map(Cow::Borrowed),
            output,
            is_error: false,
            stored: None,
            spelling: Spelling::OpenAi,
        }
    }
}

/// The content parts, each with what it is.
pub(crate) fn parts(message: &Message) -> Vec<Part<'_>> {
    let Some(Content::Parts(parts)) = &message.content else { return Vec::new() };
    let mut parts: Vec<Part> = elements(parts).into_iter().map(|part| Part::read(part, message.role)).collect();
    // A tool message says in two places which call it answers.
    let mut answers =
        parts.iter_mut().filter_map(|part| if let Kind::Answer(answer) = &mut part.kind { Some(answer) } else { None });
    if let (Some(only), None, Role::Tool) = (answers.next(), answers.next(), message.role) {
        only.id = only.id.take().or_else(|| tool_call_id(message).map(Cow::Borrowed));
    }
    parts
}

/// The calls in `tool_calls`, with their places. An object is one call. An empty object, or anything else, is in a form of the caller's own
/// and says nothing about results.
fn tool_calls(message: &Message) -> Vec<(usize, Call<'_>)> {
    let Some(json) = message.tool_calls.as_ref().filter(|_| message.role == Role::Assistant) else { return Vec::new() };
    let objects = if json.get().starts_with('{') { vec![&**json] } else { elements(json) };
    let objects = objects.into_iter().enumerate().filter(|(_, call)| is_filled_object(call));
    objects.map(|(at, call)| (at, openai::tool_call(call))).collect()
}

pub(crate) fn tool_call_id(message: &Message) -> Option<&str> {
    message.tool_call_id.as_deref().filter(|id| !id.is_empty())
}

/// Where a result's part says what the tool has said, and what has to be around a text in its place.
pub(crate) struct OutputPlace<'a> {
    pub(crate) value: &'a RawValue,
    pub(crate) before: Cow<'static, str>,
    pub(crate) after: &'static str,
}

impl<'a> OutputPlace<'a> {
    /// A text may take the value's place.
    pub(crate) fn of(value: &'a RawValue) -> Self {
        Self::in_json(value, "\"", "\"")
    }

    pub(crate) fn in_json(value: &'a RawValue, before: impl Into<Cow<'static, str>>, after: &'static str) -> Self {
        Self { value, before: before.into(), after }
    }
}

/// Where a part says what a tool has said. `None`: it is no result, or has nothing to say.
pub(crate) fn place_of_output(stored: &RawValue, role: Role) -> Option<OutputPlace<'_>> {
    let part = Part::read(stored, role);
    let (Kind::Answer(answer) | Kind::Answered(_, answer)) = part.kind else { return None };
    let object = Object::of(stored);
    match answer.spelling {
        Spelling::Plain | Spelling::OpenAi | Spelling::Mcp | Spelling::Anthropic => object.get("content").map(OutputPlace::of),
        Spelling::Responses => object.get("output").map(OutputPlace::of),
        Spelling::AiSdk | Spelling::AiSdkUi => ai_sdk::place_of_output(&object, answer.spelling),
        Spelling::Gemini => gemini::place_of_output(&object),
        Spelling::Converse => converse::place_of_output(&object),
    }
}

/// A result that says `text`, as a part in the spelling of this call. `None`: results are no parts there.
pub(crate) fn result_part(id: &str, name: &str, spelling: Spelling, text: &str) -> Option<String> {
    let (id, text) = (quoted(id), quoted(text));
    match spelling {
        Spelling::Anthropic => Some(format!(r#"{{"type":"tool_result","tool_use_id":{id},"content":{text}}}"#)),
        Spelling::Responses => Some(format!(r#"{{"type":"function_call_output","call_id":{id},"output":{text}}}"#)),
        Spelling::AiSdk => {
            let (name, output) = (quoted(name), format!(r#"{{"type":"error-text","value":{text}}}"#));
            Some(format!(r#"{{"type":"tool-result","toolCallId":{id},"toolName":{name},"output":{output}}}"#))
        }
        Spelling::Gemini => Some(gemini::result(&id, &quoted(name), &text)),
        Spelling::Converse => {
            Some(format!(r#"{{"toolResult":{{"toolUseId":{id},"content":[{{"text":{text}}}],"status":"error"}}}}"#))
        }
        Spelling::Plain | Spelling::OpenAi | Spelling::AiSdkUi | Spelling::Mcp => None,
    }
}

/// Whether the parts may have calls or results, whose JSON another API takes as text.
pub(crate) fn may_have_calls(parts: &str) -> bool {
    const NAMES: [&str; 10] = [
        "tool_use",
        "tool_result",
        "function_call",
        "function_call_output",
        "toolCallId",
        "functionCall",
        "functionResponse",
        "function_response",
        "toolUse",
        "toolResult",
    ];
    parts.split('"').any(|word| NAMES.contains(&word))
}

/// What a call is given, as text: most often a JSON object.
pub(crate) fn arguments_text(arguments: Option<&RawValue>) -> Cow<'_, str> {
    let text = arguments.map(|arguments| string(arguments).unwrap_or(Cow::Borrowed(arguments.get()))).unwrap_or_default();
    if text.trim().is_empty() { Cow::Borrowed("{}") } else { text }
}

/// What a call is given, as an object: the arguments as they are spelled, or an object that holds them.
pub(crate) fn arguments_object(arguments: Option<&RawValue>) -> String {
    let text = arguments_text(arguments);
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(object) if object.get().starts_with('{') => object.get().to_owned(),
        _ => format!(r#"{{"arguments":{}}}"#, quoted(&text)),
    }
}

/// Letters, digits, `_` and `-`, 1 to 64 of them.
pub(crate) fn in_alphabet(text: &str, empty: &str) -> String {
    let known = |character: char| if character.is_ascii_alphanumeric() || character == '-' { character } else { '_' };
    let mapped: String = text.chars().map(known).collect();
    if mapped.is_empty() { empty.to_owned() } else { within(mapped, text, 64) }
}

/// A text of so many bytes at most. A longer one ends with a hash of `original`, so that texts that begin alike stay different.
pub(crate) fn within(mut text: String, original: &str, bytes: usize) -> String {
    if text.len() > bytes {
        // FNV-1a: it is the same in every release.
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = format!("_{:016x}", original.bytes().fold(0xcbf2_9ce4_8422_2325, step));
        text.truncate(text.floor_char_boundary(bytes - hash.len()));
        text.push_str(&hash);
    }
    text
}

/// The name of a speaker in the alphabet. `None`: nothing of it would be left.
pub(crate) fn speaker(name: &str) -> Option<String> {
    name.contains(|character: char| character.is_ascii_alphanumeric()).then(|| in_alphabet(name, ""))
}
