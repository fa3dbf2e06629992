//! Texts, reasoning, pictures and files, calls and results: what a message says. Each API spells them in its own way. Every spelling is read
//! into a [`Part`] (`formats/spelling.rs`), and every format is written from it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::json::{Json, Object, quoted, string};
use crate::media::Media;

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

/// An id, unless it is empty.
pub(crate) fn id<'a>(object: &Object<'a>, name: &str) -> Option<Cow<'a, str>> {
    object.text(name).filter(|id| !id.is_empty())
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
