//! Messages as the Chat Completions API takes them.
//!
//! Calls are `tool_calls`, and each result is a tool message right behind them. What is stored so is written as it is stored. Ids stay, too:
//! the API allows one to come again in a later message.

use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::anthropic::NOTHING;
use super::elements;
use super::spelling::{self, Answer, Call, Output, Spelling, kind, raw, with_member};
use super::turns::{Said, Step, Turn};
use crate::models::{Content, Message, Role, Text};

/// The member of a request that holds the conversation.
#[derive(Default, Serialize)]
pub(super) struct Request<'a> {
    messages: Vec<Written<'a>>,
}

#[derive(Serialize)]
struct Written<'a> {
    role: Role,
    content: Option<WrittenContent>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a Text>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WrittenContent {
    Text(String),
    Parts(Vec<Box<RawValue>>),
}

impl<'a> Request<'a> {
    pub(super) fn of(turns: &[Turn<'a>]) -> Self {
        let mut request = Self::default();
        for turn in turns {
            match turn {
                Turn::Instructions(message) => {
                    let said: Vec<Said> = match &message.content {
                        Some(Content::Text(text)) => vec![Said::Text(text.as_str())],
                        Some(Content::Parts(parts)) => elements(parts).into_iter().map(Said::Part).collect(),
                        None => Vec::new(),
                    };
                    let content = content(&said, message.role);
                    request.messages.extend(content.map(|content| Written::of(message, message.role, Some(content))));
                }
                Turn::User(message, said) => {
                    let content = content(said, Role::User).unwrap_or_else(|| WrittenContent::Text(NOTHING.to_owned()));
                    request.messages.push(Written::of(message, Role::User, Some(content)));
                }
                Turn::Step(step) => request.take(step),
            }
        }
        request
    }

    fn take(&mut self, step: &Step<'a>) {
        let Some(message) = step.message else { return };
        let said: Vec<Said> = step.said().collect();
        let tool_calls: Vec<Box<RawValue>> = step.calls().filter_map(|(call, id)| tool_call(call, id)).collect();
        let content = content(&said, Role::Assistant);
        if content.is_none() && tool_calls.is_empty() {
            return;
        }
        self.messages.push(Written { tool_calls, ..Written::of(message, Role::Assistant, content) });
        for (number, answer, source) in &step.results {
            let Some((call, id)) = step.call(*number) else { continue };
            let name = source.name.as_ref().filter(|_| source.role == Role::Tool);
            self.messages.push(Written {
                role: Role::Tool,
                content: Some(output(answer)),
                tool_calls: Vec::new(),
                tool_call_id: Some(call.id.clone().unwrap_or_else(|| id.to_owned())),
                name,
            });
        }
    }
}

impl<'a> Written<'a> {
    fn of(message: &'a Message, role: Role, content: Option<WrittenContent>) -> Self {
        Self { role, content, tool_calls: Vec::new(), tool_call_id: None, name: message.name.as_ref() }
    }
}

/// What is said, as a text if all of it is texts. `None` if the API knows nothing of it.
fn content(said: &[Said], role: Role) -> Option<WrittenContent> {
    let texts: Option<Vec<&str>> = said.iter().map(|said| if let Said::Text(text) = said { Some(*text) } else { None }).collect();
    let spoken = |text: &&str| !text.is_empty();
    if let Some(texts) = texts.filter(|texts| !texts.is_empty()) {
        return Some(WrittenContent::Text(texts.into_iter().filter(spoken).collect::<Vec<_>>().join("\n\n")));
    }
    let mut parts = Vec::new();
    for said in said {
        match said {
            Said::Text(text) => parts.extend(Some(text).filter(|text| spoken(text)).and_then(|text| text_part(text))),
            Said::Part(object) => {
                let inner = spelling::inner_parts(object).unwrap_or_else(|| vec![object]);
                parts.extend(inner.into_iter().filter_map(|object| part(object, role)));
            }
        }
    }
    (!parts.is_empty()).then_some(WrittenContent::Parts(parts))
}

/// A content part of any API as the API takes it in a message of this role.
fn part(object: &RawValue, role: Role) -> Option<Box<RawValue>> {
    match &*kind(object) {
        "text" if !spelling::is_ai_sdk_text(object) => raw(object.get()),
        "refusal" if role == Role::Assistant => raw(object.get()),
        "text" | "input_text" | "output_text" | "refusal" => text_part(&spelling::text(object)?),
        "image_url" | "input_audio" if role == Role::User => raw(object.get()),
        "file" if role == Role::User && spelling::members(object).contains_key("file") => raw(object.get()),
        _ if role == Role::User => {
            let url = spelling::image(object)?;
            raw(&json!({"type": "image_url", "image_url": {"url": url}}).to_string())
        }
        _ => None,
    }
}

fn tool_call(call: &Call, id: &str) -> Option<Box<RawValue>> {
    if call.spelling == Spelling::ChatCompletions && is_native(call.object) {
        return if call.id.is_some() { raw(call.object.get()) } else { with_member(call.object, "id", &json!(id)) };
    }
    let name = spelling::in_alphabet(&call.name, "tool");
    let function = json!({"name": name, "arguments": spelling::arguments_text(call.arguments)});
    raw(&json!({"id": call.id.as_deref().unwrap_or(id), "type": "function", "function": function}).to_string())
}

/// Whether an element of `tool_calls` is as the API writes it.
fn is_native(object: &RawValue) -> bool {
    let members = spelling::members(object);
    let inner = |name: &str| members.get(name).map(|inner| spelling::members(inner)).unwrap_or_default();
    let has_texts = |object: &str, [one, other]: [&str; 2]| {
        let members = inner(object);
        spelling::member(&members, one).is_some() && spelling::member(&members, other).is_some()
    };
    match spelling::member(&members, "type").as_deref() {
        Some("function") => has_texts("function", ["name", "arguments"]),
        Some("custom") => has_texts("custom", ["name", "input"]),
        _ => false,
    }
}

/// What a tool has said. A tool message takes texts alone.
fn output(answer: &Answer) -> WrittenContent {
    match &answer.output {
        Output::Text(text) => WrittenContent::Text(text.clone()),
        Output::Json(json) => WrittenContent::Text(json.get().to_owned()),
        Output::Parts(parts) => {
            let parts: Vec<_> = parts.iter().filter_map(|object| part(object, Role::Tool)).collect();
            if parts.is_empty() { WrittenContent::Text(String::new()) } else { WrittenContent::Parts(parts) }
        }
    }
}

fn text_part(text: &str) -> Option<Box<RawValue>> {
    raw(&json!({"type": "text", "text": text}).to_string())
}
