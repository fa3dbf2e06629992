//! How calls and results are stored. Chat Completions has `tool_calls` and tool messages. Anthropic's Messages API, the Responses API and the AI
//! SDK have content parts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{elements, is_filled_object};
use crate::models::message::string_member;
use crate::models::{Content, Message, Role, Text};

/// The API whose way of storing calls it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// Chat Completions: `tool_calls`, and a tool message for each result.
    ChatCompletions,
    /// Anthropic: parts `tool_use` and `tool_result`.
    Anthropic,
    /// Items of the Responses API: `function_call` and `function_call_output`.
    Responses,
    /// The AI SDK's model messages: parts `tool-call` and `tool-result`.
    AiSdk,
    /// The AI SDK's UI messages: a call and its result in one part, `tool-NAME` or `dynamic-tool`.
    AiSdkUi,
}

#[derive(Clone)]
pub(super) struct Call<'a> {
    /// `None` for an empty id: some servers give every call the same empty one.
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) arguments: Option<&'a RawValue>,
    /// As it is stored.
    pub(super) object: &'a RawValue,
    pub(super) spelling: Spelling,
}

pub(super) struct Answer<'a> {
    pub(super) id: Option<String>,
    pub(super) output: Output<'a>,
    pub(super) is_error: bool,
    /// The part that it is stored as. `None`: a tool message.
    pub(super) object: Option<&'a RawValue>,
    pub(super) spelling: Spelling,
}

pub(super) enum Output<'a> {
    Text(String),
    Parts(Vec<&'a RawValue>),
    Json(&'a RawValue),
}

/// What a content part is.
pub(super) enum Part<'a> {
    Call(Call<'a>),
    Answer(Answer<'a>),
    /// A call and its result.
    Answered(Call<'a>, Answer<'a>),
    Other,
}

pub(super) type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// Reads a content part of a message of this role. Only the assistant calls, and instructions answer nothing.
pub(super) fn part(object: &RawValue, role: Role) -> Part<'_> {
    let kind = kind(object);
    let may_call = role == Role::Assistant;
    let may_answer = !matches!(role, Role::System | Role::Developer);
    let call = |id: &str, name: &str, arguments: &[&str], spelling| {
        let members = members(object);
        let arguments = arguments.iter().find_map(|name| members.get(*name).copied());
        let name = member(&members, name).unwrap_or_default();
        Part::Call(Call { id: id_of(&members, id), name, arguments, object, spelling })
    };
    match &*kind {
        "tool_use" if may_call => call("id", "name", &["input"], Spelling::Anthropic),
        "function_call" if may_call => call("call_id", "name", &["arguments"], Spelling::Responses),
        "tool_result" if may_answer => {
            let members = members(object);
            let is_error = members.get("is_error").is_some_and(|error| error.get() == "true");
            let output = members.get("content").map_or_else(|| Output::Text(String::new()), |content| output(content));
            let (id, spelling) = (id_of(&members, "tool_use_id"), Spelling::Anthropic);
            Part::Answer(Answer { id, output, is_error, object: Some(object), spelling })
        }
        "function_call_output" if may_answer => {
            let members = members(object);
            let output = members.get("output").map_or_else(|| Output::Text(String::new()), |content| output(content));
            let (id, spelling) = (id_of(&members, "call_id"), Spelling::Responses);
            Part::Answer(Answer { id, output, is_error: false, object: Some(object), spelling })
        }
        "dynamic-tool" => ui_part(object, &kind, may_call),
        _ if kind.starts_with("tool-") => match &*kind {
            "tool-call" if may_call && string_member(object, "state").is_none() => {
                call("toolCallId", "toolName", &["input", "args"], Spelling::AiSdk)
            }
            "tool-result" if may_answer && string_member(object, "state").is_none() => Part::Answer(model_result(object)),
            _ => ui_part(object, &kind, may_call),
        },
        _ => Part::Other,
    }
}

/// A tool part of the AI SDK's UI messages.
fn ui_part<'a>(object: &'a RawValue, kind: &str, may_call: bool) -> Part<'a> {
    let members = members(object);
    let id = id_of(&members, "toolCallId");
    let (Some(state), true, true) = (member(&members, "state"), may_call, id.is_some()) else { return Part::Other };
    let name = kind.strip_prefix("tool-").map_or_else(|| member(&members, "toolName").unwrap_or_default(), str::to_owned);
    let arguments = members.get("input").or_else(|| members.get("rawInput")).copied();
    let spelling = Spelling::AiSdkUi;
    let call = Call { id: id.clone(), name, arguments, object, spelling };
    let answer = |output, is_error| Answer { id, output, is_error, object: Some(object), spelling };
    match &*state {
        "output-available" => {
            let output = members.get("output").map_or_else(|| Output::Text(String::new()), |value| text_or_json(value));
            Part::Answered(call, answer(output, false))
        }
        "output-error" => {
            let text = member(&members, "errorText").unwrap_or_default();
            Part::Answered(call, answer(Output::Text(text), true))
        }
        "output-denied" => {
            let approval = members.get("approval").map(|approval| self::members(approval)).unwrap_or_default();
            let text = member(&approval, "reason").unwrap_or_else(|| "[the user did not allow this]".to_owned());
            Part::Answered(call, answer(Output::Text(text), true))
        }
        _ => Part::Call(call),
    }
}

/// A `tool-result` of the AI SDK's model messages: `output` has a type and a value. In older releases it is `result`.
fn model_result(object: &RawValue) -> Answer<'_> {
    let members = members(object);
    let typed = members.get("output").map(|output| self::members(output)).unwrap_or_default();
    let kind = member(&typed, "type").unwrap_or_default();
    let value = typed.get("value").copied();
    let output = match (&*kind, value) {
        ("content", Some(value)) => Output::Parts(elements(value)),
        ("execution-denied", _) => Output::Text(member(&typed, "reason").unwrap_or_default()),
        (_, Some(value)) => text_or_json(value),
        _ => {
            let value = members.get("output").or_else(|| members.get("result"));
            value.map_or_else(|| Output::Text(String::new()), |value| text_or_json(value))
        }
    };
    let is_error = kind.starts_with("error") || members.get("isError").is_some_and(|error| error.get() == "true");
    Answer { id: id_of(&members, "toolCallId"), output, is_error, object: Some(object), spelling: Spelling::AiSdk }
}

/// The calls in `tool_calls`, with their places. An object is one call. An empty object, or anything else, is in a form of the caller's own
/// and says nothing about results.
pub(super) fn tool_calls(message: &Message) -> Vec<(usize, Call<'_>)> {
    let Some(json) = message.tool_calls.as_ref().filter(|_| message.role == Role::Assistant) else { return Vec::new() };
    let objects = if json.get().starts_with('{') { vec![&**json] } else { elements(json) };
    let objects = objects.into_iter().enumerate().filter(|(_, call)| is_filled_object(call));
    let call = |object| {
        let outer = members(object);
        let function = outer.get("function").or_else(|| outer.get("custom")).map(|function| members(function)).unwrap_or_default();
        let inner = |name: &str| function.get(name).or_else(|| outer.get(name)).copied();
        let name = inner("name").and_then(string).unwrap_or_default();
        let arguments = inner("arguments").or_else(|| inner("input"));
        Call { id: id_of(&outer, "id"), name, arguments, object, spelling: Spelling::ChatCompletions }
    };
    objects.map(|(at, object)| (at, call(object))).collect()
}

/// The content parts, each with what it is.
pub(super) fn parts(message: &Message) -> Vec<(&RawValue, Part<'_>)> {
    let Some(Content::Parts(parts)) = &message.content else { return Vec::new() };
    let mut parts: Vec<(&RawValue, Part)> =
        elements(parts).into_iter().map(|object| (object, part(object, message.role))).collect();
    // A tool message says in two places which call it answers.
    let mut answers = parts.iter_mut().filter_map(|(_, part)| if let Part::Answer(answer) = part { Some(answer) } else { None });
    if let (Some(only), None, Role::Tool) = (answers.next(), answers.next(), message.role) {
        only.id = only.id.take().or_else(|| tool_call_id(message));
    }
    parts
}

/// The result that a tool message is, unless its parts are results.
pub(super) fn whole_answer(message: &Message) -> Answer<'_> {
    let output = match &message.content {
        Some(Content::Text(text)) => Output::Text(text.as_str().to_owned()),
        Some(Content::Parts(parts)) => Output::Parts(elements(parts)),
        None => Output::Text(String::new()),
    };
    Answer { id: tool_call_id(message), output, is_error: false, object: None, spelling: Spelling::ChatCompletions }
}

pub(super) fn tool_call_id(message: &Message) -> Option<String> {
    message.tool_call_id.as_ref().map(Text::as_str).filter(|id| !id.is_empty()).map(str::to_owned)
}

/// What the tool has said, as it stands in a result's part.
pub(super) fn content_of_result(object: &RawValue, role: Role) -> Option<&RawValue> {
    let (Part::Answer(answer) | Part::Answered(_, answer)) = part(object, role) else { return None };
    let members = members(object);
    let names: &[&str] = match answer.spelling {
        Spelling::ChatCompletions | Spelling::Anthropic => &["content"],
        Spelling::Responses => &["output"],
        Spelling::AiSdk => &["output", "result"],
        Spelling::AiSdkUi => &["output", "errorText"],
    };
    names.iter().find_map(|name| members.get(*name).copied())
}

/// Whether this member of the part is an `output` of the AI SDK's model messages, which has a type and a value.
pub(super) fn is_typed_output(object: &RawValue, member: &RawValue) -> bool {
    kind(object) == "tool-result" && string_member(object, "state").is_none() && members(member).contains_key("type")
}

/// The part of a UI message with a result for its call.
pub(super) fn with_error(object: &RawValue, text: &str) -> Option<Box<RawValue>> {
    with_member(&with_member(object, "state", &json!("output-error"))?, "errorText", &json!(text))
}

/// A result that says `text`, as a part in the spelling of this call.
pub(super) fn result_part(id: &str, name: &str, spelling: Spelling, text: &str) -> Option<Box<RawValue>> {
    let (id, text) = (json!(id), json!(text));
    let json = match spelling {
        Spelling::Anthropic => format!(r#"{{"type":"tool_result","tool_use_id":{id},"content":{text}}}"#),
        Spelling::Responses => format!(r#"{{"type":"function_call_output","call_id":{id},"output":{text}}}"#),
        Spelling::AiSdk => {
            let name = json!(name);
            format!(
                r#"{{"type":"tool-result","toolCallId":{id},"toolName":{name},"output":{{"type":"error-text","value":{text}}}}}"#
            )
        }
        Spelling::ChatCompletions | Spelling::AiSdkUi => return None,
    };
    raw(&json)
}

/// Whether the parts may have calls or results, whose JSON another API takes as text.
pub(super) fn may_have_calls(parts: &RawValue) -> bool {
    ["\"tool_use\"", "\"tool_result\"", "\"function_call", "\"toolCallId\""].iter().any(|name| parts.get().contains(name))
}

/// What a call is given, as text: most often a JSON object.
pub(super) fn arguments_text(arguments: Option<&RawValue>) -> String {
    let text = arguments.map(|arguments| string(arguments).unwrap_or_else(|| arguments.get().to_owned())).unwrap_or_default();
    if text.trim().is_empty() { "{}".to_owned() } else { text }
}

/// The address of the picture that a part is, of any API: `https:` or `data:`.
pub(super) fn image(part: &RawValue) -> Option<String> {
    let members = members(part);
    let data = |media_type: &str, data: String| {
        let is_address = ["http:", "https:", "data:"].iter().any(|scheme| data.starts_with(scheme));
        if is_address { data } else { format!("data:{media_type};base64,{data}") }
    };
    let media_type = || member(&members, "mediaType").or_else(|| member(&members, "mimeType"));
    match &*kind(part) {
        "image_url" | "input_image" => {
            let image = members.get("image_url")?;
            string(image).or_else(|| member(&self::members(image), "url"))
        }
        "image" => match members.get("source") {
            Some(source) => {
                let source = self::members(source);
                match &*member(&source, "type")? {
                    "base64" => Some(data(&member(&source, "media_type")?, member(&source, "data")?)),
                    "url" => member(&source, "url"),
                    _ => None,
                }
            }
            None => Some(data(&media_type().unwrap_or_else(|| "image/png".to_owned()), member(&members, "image")?)),
        },
        "file" | "media" | "image-data" | "image-url" => {
            let media_type = media_type().or_else(|| (&*kind(part) == "image-url").then(|| "image/*".to_owned()))?;
            let picture = member(&members, "url").or_else(|| member(&members, "data"))?;
            media_type.starts_with("image/").then(|| data(&media_type, picture))
        }
        _ => None,
    }
}

/// The text that a part is, of any API.
pub(super) fn text(part: &RawValue) -> Option<String> {
    match &*kind(part) {
        "text" | "input_text" | "output_text" => member(&members(part), "text"),
        "refusal" => member(&members(part), "refusal"),
        _ => None,
    }
}

/// Whether a part of type `text` has members of the AI SDK, which no API takes.
pub(super) fn is_ai_sdk_text(part: &RawValue) -> bool {
    let members = members(part);
    ["state", "providerMetadata", "providerOptions"].iter().any(|name| members.contains_key(*name))
}

/// The parts of a message item of the Responses API that was stored as a part.
pub(super) fn inner_parts(part: &RawValue) -> Option<Vec<&RawValue>> {
    let content = if kind(part) == "message" { members(part).get("content").copied()? } else { return None };
    Some(elements(content))
}

/// Letters, digits, `_` and `-`, 1 to 64 of them.
pub(super) fn in_alphabet(text: &str, empty: &str) -> String {
    const LENGTH: usize = 64;
    let known = |character: char| if character.is_ascii_alphanumeric() || character == '-' { character } else { '_' };
    let text: String = text.chars().take(LENGTH).map(known).collect();
    if text.is_empty() { empty.to_owned() } else { text }
}

fn output(value: &RawValue) -> Output<'_> {
    if value.get().starts_with('[') { Output::Parts(elements(value)) } else { text_or_json(value) }
}

fn text_or_json(value: &RawValue) -> Output<'_> {
    string(value).map_or(Output::Json(value), Output::Text)
}

fn id_of(members: &Members, name: &str) -> Option<String> {
    member(members, name).filter(|id| !id.is_empty())
}

pub(super) fn member(members: &Members, name: &str) -> Option<String> {
    string(members.get(name)?)
}

pub(super) fn members(object: &RawValue) -> Members<'_> {
    serde_json::from_str(object.get()).unwrap_or_default()
}

pub(super) fn kind(part: &RawValue) -> String {
    string_member(part, "type").and_then(|kind| serde_json::from_str(kind).ok()).unwrap_or_default()
}

pub(super) fn string(value: &RawValue) -> Option<String> {
    if value.get().starts_with('"') { serde_json::from_str(value.get()).ok() } else { None }
}

/// The object with another value for a member. Everything else keeps its spelling.
pub(super) fn with_member(object: &RawValue, name: &str, value: &Value) -> Option<Box<RawValue>> {
    let text = object.get();
    let members = members(object);
    let Some(old) = members.get(name) else {
        let rest = text.strip_prefix('{')?;
        let separator = if members.is_empty() { "" } else { "," };
        return raw(&format!("{{{}:{value}{separator}{rest}", json!(name)));
    };
    // A raw value is a piece of the text that it was read from.
    let start = old.get().as_ptr().addr() - text.as_ptr().addr();
    raw(&format!("{}{value}{}", text.get(..start)?, text.get(start + old.get().len()..)?))
}

pub(super) fn raw(json: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(json.to_owned()).ok()
}
