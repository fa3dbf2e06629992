//! Messages as items of the Responses API.
//!
//! The leading instructions are `instructions`. What the assistant says, its reasoning and its calls are items in the order in which they
//! are stored. The outputs of the calls come behind them, paired by `call_id`.

use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::anthropic::NOTHING;
use super::elements;
use super::spelling::{self, Answer, Call, Output, Spelling, kind, raw, with_member};
use super::turns::{Element, Said, Step, Turn};
use crate::models::{Content, Message};

/// The members of a request that hold the conversation.
#[derive(Default, Serialize)]
pub(super) struct Request {
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<String>,
    input: Vec<Item>,
}

type Item = Box<RawValue>;

impl Request {
    pub(super) fn of(turns: &[Turn]) -> Self {
        let mut request = Self::default();
        let leading = turns.iter().take_while(|turn| matches!(turn, Turn::Instructions(_))).count();
        let (leading, turns) = turns.split_at(leading);
        let texts = leading.iter().filter_map(|turn| if let Turn::Instructions(message) = turn { text_of(message) } else { None });
        let texts: Vec<String> = texts.collect();
        request.instructions = (!texts.is_empty()).then(|| texts.join("\n\n"));
        for turn in turns {
            match turn {
                Turn::Instructions(message) => {
                    let item = text_of(message).map(|text| json!({"role": message.role, "content": text}).to_string());
                    request.input.extend(item.and_then(|item| raw(&item)));
                }
                Turn::User(_, said) => {
                    let content = match said[..] {
                        [Said::Text(text)] => Some(json!(text).to_string()),
                        _ => array(&said.iter().filter_map(input_part).collect::<Vec<_>>()),
                    };
                    let content = content.unwrap_or_else(|| json!(NOTHING).to_string());
                    request.input.extend(raw(&format!(r#"{{"role":"user","content":{content}}}"#)));
                }
                Turn::Step(step) => request.take(step),
            }
        }
        request
    }

    fn take(&mut self, step: &Step) {
        // Reasoning belongs to the item behind it. The API refuses it without one.
        let (mut reasoning, mut said) = (Vec::new(), Vec::new());
        for element in &step.elements {
            match element {
                Element::Said(Said::Part(part)) if is_reasoning(part) => {
                    self.say(&mut said, &mut reasoning);
                    reasoning.extend(raw(part.get()));
                }
                Element::Said(Said::Part(part)) if is_message(part) => {
                    self.say(&mut said, &mut reasoning);
                    self.input.append(&mut reasoning);
                    self.input.extend(raw(part.get()));
                }
                Element::Said(Said::Part(part)) => {
                    said.extend(spelling::inner_parts(part).unwrap_or_else(|| vec![part]).into_iter().filter_map(output_part));
                }
                Element::Said(Said::Text(text)) => {
                    self.say(&mut said, &mut reasoning);
                    if !text.is_empty() {
                        self.input.append(&mut reasoning);
                        self.input.extend(raw(&json!({"role": "assistant", "content": text}).to_string()));
                    }
                }
                Element::Call { call, unique_id, number } => {
                    self.say(&mut said, &mut reasoning);
                    if step.is_answered(*number) {
                        self.input.append(&mut reasoning);
                        self.input.extend(function_call(call, unique_id));
                    } else {
                        reasoning.clear();
                    }
                }
            }
        }
        self.say(&mut said, &mut reasoning);
        for (number, answer, _) in &step.results {
            self.input.extend(step.call(*number).and_then(|(_, id)| function_call_output(answer, id)));
        }
    }

    /// What the assistant has said in adjacent parts is one message.
    fn say(&mut self, said: &mut Vec<Item>, reasoning: &mut Vec<Item>) {
        if let Some(content) = array(&std::mem::take(said)) {
            self.input.append(reasoning);
            self.input.extend(raw(&format!(r#"{{"type":"message","role":"assistant","content":{content}}}"#)));
        }
    }
}

/// The texts of instructions.
fn text_of(message: &Message) -> Option<String> {
    let text = match message.content.as_ref()? {
        Content::Text(text) => text.as_str().to_owned(),
        Content::Parts(parts) => elements(parts).into_iter().filter_map(spelling::text).collect::<Vec<_>>().join("\n\n"),
    };
    (!text.is_empty()).then_some(text)
}

/// Whether it is a reasoning item of this API. The AI SDK's parts of that name have no `summary`.
fn is_reasoning(part: &RawValue) -> bool {
    let is_summary = |members: &spelling::Members| members.get("summary").is_some_and(|summary| summary.get().starts_with('['));
    kind(part) == "reasoning" && is_summary(&spelling::members(part))
}

/// Whether it is a message of the assistant as this API has answered.
fn is_message(part: &RawValue) -> bool {
    let members = spelling::members(part);
    let is_whole = || ["id", "status"].iter().all(|name| spelling::member(&members, name).is_some());
    kind(part) == "message"
        && spelling::member(&members, "role").is_some_and(|role| role == "assistant")
        && members.get("content").is_some_and(|content| content.get().starts_with('['))
        && is_whole()
}

/// A content part of any API as the user's messages, and outputs, have it here.
fn input_part(said: &Said) -> Option<Item> {
    let part = match said {
        Said::Text("") => return None,
        Said::Text(text) => return raw(&json!({"type": "input_text", "text": text}).to_string()),
        Said::Part(part) => *part,
    };
    match &*kind(part) {
        "input_text" | "input_image" | "input_file" => raw(part.get()),
        "text" | "output_text" | "refusal" => raw(&json!({"type": "input_text", "text": spelling::text(part)?}).to_string()),
        "file" if spelling::members(part).contains_key("file") => {
            let file = spelling::members(part).get("file").map(|file| spelling::members(file)).unwrap_or_default();
            let mut item = json!({"type": "input_file"});
            for name in ["file_id", "file_data", "filename"] {
                if let Some(value) = spelling::member(&file, name) {
                    item[name] = json!(value);
                }
            }
            raw(&item.to_string())
        }
        kind => {
            let url = spelling::image(part)?;
            let image =
                spelling::members(part).get("image_url").filter(|_| kind == "image_url").map(|image| spelling::members(image));
            let detail = image.and_then(|image| spelling::member(&image, "detail")).unwrap_or_else(|| "auto".to_owned());
            raw(&json!({"type": "input_image", "image_url": url, "detail": detail}).to_string())
        }
    }
}

/// A content part of any API as the assistant's messages have it here.
fn output_part(part: &RawValue) -> Option<Item> {
    match &*kind(part) {
        "output_text" | "refusal" => raw(part.get()),
        _ => raw(&json!({"type": "output_text", "text": spelling::text(part)?}).to_string()),
    }
}

fn function_call(call: &Call, id: &str) -> Option<Item> {
    if call.spelling == Spelling::Responses {
        return with_member(call.object, "call_id", &json!(id));
    }
    let (name, arguments) = (spelling::in_alphabet(&call.name, "tool"), spelling::arguments_text(call.arguments));
    raw(&json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments}).to_string())
}

fn function_call_output(answer: &Answer, id: &str) -> Option<Item> {
    if let (Spelling::Responses, Some(object)) = (answer.spelling, answer.object) {
        return with_member(object, "call_id", &json!(id));
    }
    let output = match &answer.output {
        Output::Text(text) => json!(text).to_string(),
        Output::Json(json) => json!(json.get()).to_string(),
        Output::Parts(parts) => {
            let parts: Vec<Item> = parts.iter().filter_map(|part| input_part(&Said::Part(part))).collect();
            array(&parts).unwrap_or_else(|| "\"\"".to_owned())
        }
    };
    raw(&format!(r#"{{"type":"function_call_output","call_id":{},"output":{output}}}"#, json!(id)))
}

/// `None` without elements: the API takes no empty content.
fn array(items: &[Item]) -> Option<String> {
    if items.is_empty() { None } else { serde_json::to_string(items).ok() }
}
