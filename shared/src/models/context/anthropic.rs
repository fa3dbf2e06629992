//! Messages as the Messages API of Anthropic takes them.
//!
//! Roles alternate, so neighbours of one role are one turn. Calls are the last blocks of the assistant's turn. Their results are the first
//! blocks of the user's turn behind it. The API has no place for instructions between the messages, so all of them are in `system`.

use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::elements;
use super::spelling::{self, Answer, Call, Output, Spelling, kind, raw, with_member};
use super::turns::{Said, Step, Turn};
use crate::models::{Content, Message, Role};

/// What the user has said, if the API knows none of it: a turn must not be empty.
pub(super) const NOTHING: &str = "[nothing that can be shown]";

/// The members of a request that hold the conversation.
#[derive(Default, Serialize)]
pub(super) struct Request {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block>,
    messages: Vec<Spoken>,
}

#[derive(Serialize)]
struct Spoken {
    role: Role,
    content: Vec<Block>,
}

type Block = Box<RawValue>;

impl Request {
    pub(super) fn of(turns: &[Turn]) -> Self {
        let mut request = Self::default();
        for turn in turns {
            match turn {
                Turn::Instructions(message) => request.system.extend(instructions(message)),
                Turn::User(_, said) => {
                    let mut blocks: Vec<Block> = said.iter().flat_map(blocks).collect();
                    if blocks.is_empty() {
                        blocks.extend(text_block(NOTHING));
                    }
                    request.add(Role::User, blocks);
                }
                Turn::Step(step) => request.take(step),
            }
        }
        request.end();
        request
    }

    /// Takes the assistant's turn, and the results as the beginning of the user's.
    fn take(&mut self, step: &Step) {
        let said: Vec<Block> = step.said().flat_map(|said| blocks(&said)).collect();
        let calls = step.calls().filter_map(|(call, id)| tool_use(call, id));
        self.add(Role::Assistant, said.into_iter().chain(calls).collect());
        // Results of calls with the same id keep their order, and the order does not matter to the API otherwise.
        let mut results: Vec<_> = step.results.iter().collect();
        results.sort_by_key(|(number, ..)| *number);
        let results = results.into_iter().filter_map(|(number, answer, _)| tool_result(answer, step.call(*number)?.1));
        self.add(Role::User, results.collect());
    }

    fn add(&mut self, role: Role, blocks: Vec<Block>) {
        match self.messages.last_mut() {
            _ if blocks.is_empty() => {}
            Some(turn) if turn.role == role => turn.content.extend(blocks),
            _ => self.messages.push(Spoken { role, content: blocks }),
        }
    }

    /// The API refuses white space at the end of a reply that it is asked to continue.
    fn end(&mut self) {
        let Some(block) =
            self.messages.last_mut().filter(|turn| turn.role == Role::Assistant).and_then(|turn| turn.content.last_mut())
        else {
            return;
        };
        if kind(block) == "text"
            && let Some(text) = spelling::text(block)
            && let Some(trimmed) = with_member(block, "text", &json!(text.trim_end()))
        {
            *block = trimmed;
        }
    }
}

fn instructions(message: &Message) -> Vec<Block> {
    let blocks = match &message.content {
        Some(Content::Text(text)) => text_block(text.as_str()).into_iter().collect(),
        Some(Content::Parts(parts)) => elements(parts).into_iter().filter_map(block).collect(),
        None => Vec::new(),
    };
    blocks.into_iter().filter(|block| kind(block) == "text").collect()
}

fn blocks(said: &Said) -> Vec<Block> {
    match said {
        Said::Text(text) => text_block(text).into_iter().collect(),
        Said::Part(part) => spelling::inner_parts(part).unwrap_or_else(|| vec![part]).into_iter().filter_map(block).collect(),
    }
}

/// A content part of any API as a block. `None` for calls and results, and for what the API does not know.
fn block(part: &RawValue) -> Option<Block> {
    match &*kind(part) {
        "text" if !spelling::is_ai_sdk_text(part) => {
            spelling::text(part).filter(|text| !text.trim().is_empty()).and_then(|_| raw(part.get()))
        }
        "text" | "input_text" | "output_text" | "refusal" => text_block(&spelling::text(part)?),
        "image" if spelling::members(part).contains_key("source") => raw(part.get()),
        "image_url" | "input_image" | "image" | "file" | "media" | "image-data" | "image-url" => {
            let url = spelling::image(part)?;
            let source = match url.strip_prefix("data:").and_then(|data| data.split_once(";base64,")) {
                Some((media_type, data)) => json!({"type": "base64", "media_type": media_type, "data": data}),
                None => json!({"type": "url", "url": url}),
            };
            raw(&json!({"type": "image", "source": source}).to_string())
        }
        "document"
        | "search_result"
        | "thinking"
        | "redacted_thinking"
        | "server_tool_use"
        | "web_search_tool_result"
        | "web_fetch_tool_result"
        | "code_execution_tool_result"
        | "mcp_tool_use"
        | "mcp_tool_result"
        | "container_upload" => raw(part.get()),
        _ => None,
    }
}

fn tool_use(call: &Call, id: &str) -> Option<Block> {
    let id = json!(id);
    if call.spelling == Spelling::Anthropic {
        return with_member(call.object, "id", &id);
    }
    let name = json!(spelling::in_alphabet(&call.name, "tool"));
    raw(&format!(r#"{{"type":"tool_use","id":{id},"name":{name},"input":{}}}"#, input(call.arguments)))
}

fn tool_result(answer: &Answer, id: &str) -> Option<Block> {
    let id = json!(id);
    if let (Spelling::Anthropic, Some(object)) = (answer.spelling, answer.object) {
        return with_member(object, "tool_use_id", &id);
    }
    let content = match &answer.output {
        Output::Text(text) => (!text.is_empty()).then(|| json!(text).to_string()),
        Output::Json(json) => Some(json!(json.get()).to_string()),
        Output::Parts(parts) => {
            let known = parts.iter().filter_map(|part| block(part)).filter(|block| matches!(&*kind(block), "text" | "image"));
            let blocks: Vec<Block> = known.collect();
            (!blocks.is_empty()).then(|| serde_json::to_string(&blocks).unwrap_or_default())
        }
    };
    let content = content.map(|content| format!(r#","content":{content}"#)).unwrap_or_default();
    let error = if answer.is_error { r#","is_error":true"# } else { "" };
    raw(&format!(r#"{{"type":"tool_result","tool_use_id":{id}{content}{error}}}"#))
}

/// The input of a call: the object that its arguments are, as it is spelled.
fn input(arguments: Option<&RawValue>) -> String {
    let text = spelling::arguments_text(arguments);
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(object) if object.get().starts_with('{') => object.get().to_owned(),
        _ => json!({"arguments": text}).to_string(),
    }
}

fn text_block(text: &str) -> Option<Block> {
    (!text.trim().is_empty()).then(|| raw(&json!({"type": "text", "text": text}).to_string())).flatten()
}
