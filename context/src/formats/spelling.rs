//! Reads what is stored, in every spelling: each module beside this one knows its own.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{ai_sdk, anthropic, converse, gemini, mcp, openai, responses};
use crate::json::{Object, elements, is_filled_object, quoted, string};
use crate::message::{Content, Message, Role};
use crate::part::{Answer, Call, Kind, Output, OutputPlace, Part, Spelling};

/// Reads a content part of a message of this role. Only the assistant calls, and instructions answer nothing.
pub(crate) fn part(stored: &RawValue, role: Role) -> Part<'_> {
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
    Part { stored: Some(stored), spelling, kind }
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
    Output::Parts(parts.into_iter().map(|stored| part(stored, Role::Tool)).collect())
}

pub(crate) fn text_or_json(value: &RawValue) -> Output<'_> {
    string(value).map(Output::Text).or_else(|| mcp::result(value)).unwrap_or(Output::Json(value))
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
    let mut parts: Vec<Part> = elements(parts).into_iter().map(|stored| part(stored, message.role)).collect();
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

/// Where a part says what a tool has said. `None`: it is no result, or has nothing to say.
pub(crate) fn place_of_output(stored: &RawValue, role: Role) -> Option<OutputPlace<'_>> {
    let (Kind::Answer(answer) | Kind::Answered(_, answer)) = part(stored, role).kind else { return None };
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
