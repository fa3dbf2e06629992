//! Messages as the Messages API of Anthropic takes them.
//!
//! Roles alternate, so neighbours of one role are one turn. Calls are the last blocks of the assistant's turn. Their results are the first
//! blocks of the user's turn behind it. The API has no place for instructions between the messages, so all of them are in `system`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{elements, is_filled_object};
use crate::models::{Content, Message, Role, Text};

/// What the user has said, if the API knows none of it: a turn must not be empty.
const NOTHING: &str = "[nothing that can be shown]";

/// The members of a request that hold the conversation.
#[derive(Default, Serialize)]
pub(super) struct Request {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block>,
    messages: Vec<Turn>,
}

#[derive(Serialize)]
struct Turn {
    role: Role,
    content: Vec<Block>,
}

type Block = Box<RawValue>;
type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// A turn of the assistant in the making, with what answers it.
#[derive(Default)]
struct Step {
    said: Vec<Block>,
    calls: Vec<Call>,
    results: Vec<(usize, Block)>,
}

struct Call {
    /// Empty: none.
    stored: String,
    id: String,
    block: Block,
    answered: bool,
}

impl Request {
    pub(super) fn of(messages: &[Message]) -> Self {
        let (mut request, mut used) = (Self::default(), BTreeSet::new());
        let mut step = Step::default();
        for message in messages {
            match message.role {
                Role::System | Role::Developer => {
                    let blocks = said(message).into_iter().filter(|block| kind(block) == "text");
                    request.system.extend(blocks);
                }
                Role::Assistant => {
                    // Behind results, the assistant speaks anew.
                    if !step.results.is_empty() {
                        request.take(std::mem::take(&mut step));
                    }
                    step.said.extend(said(message));
                    step.calls.extend(calls(message, &mut used));
                    step.answer(message);
                }
                Role::User | Role::Tool => {
                    step.answer(message);
                    let said = said(message);
                    let spoken = message.role == Role::User && (!said.is_empty() || !has_results(message));
                    if spoken {
                        request.take(std::mem::take(&mut step));
                        let nothing = said.is_empty().then(|| text_block(NOTHING)).flatten();
                        request.add(Role::User, said.into_iter().chain(nothing).collect());
                    }
                }
            }
        }
        request.take(step);
        request.end();
        request
    }

    /// Takes the assistant's turn, and the results as the beginning of the user's. A call without a result is left out.
    fn take(&mut self, step: Step) {
        let calls = step.calls.into_iter().filter(|call| call.answered).map(|call| call.block);
        self.add(Role::Assistant, step.said.into_iter().chain(calls).collect());
        self.add(Role::User, step.results.into_iter().map(|(_, block)| block).collect());
    }

    fn add(&mut self, role: Role, blocks: Vec<Block>) {
        match self.messages.last_mut() {
            _ if blocks.is_empty() => {}
            Some(turn) if turn.role == role => turn.content.extend(blocks),
            _ => self.messages.push(Turn { role, content: blocks }),
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
            && let Some(text) = text_of(&members(block))
            && let Some(trimmed) = with_member(block, "text", &json!(text.trim_end()))
        {
            *block = trimmed;
        }
    }
}

impl Step {
    /// Finds the calls that the message answers.
    fn answer(&mut self, message: &Message) {
        for (stored, block) in results(message) {
            let fits = |call: &&mut Call| !call.answered && call.stored == stored;
            let call = match self.calls.iter_mut().position(|call| fits(&call)) {
                // Either of them has no id.
                None => self.calls.iter().position(|call| !call.answered && (stored.is_empty() || call.stored.is_empty())),
                found => found,
            };
            let Some(at) = call else { continue };
            let call = &mut self.calls[at];
            if let Some(block) = with_member(&block, "tool_use_id", &json!(call.id)) {
                call.answered = true;
                self.results.push((at, block));
            }
        }
        // Results of calls with the same id keep their order, and the order does not matter to the API otherwise.
        self.results.sort_by_key(|(at, _)| *at);
    }
}

/// What is said in a message, without calls and results.
fn said(message: &Message) -> Vec<Block> {
    match &message.content {
        None => Vec::new(),
        _ if message.role == Role::Tool => Vec::new(),
        Some(Content::Text(text)) => text_block(text.as_str()).into_iter().collect(),
        Some(Content::Parts(parts)) => elements(parts).into_iter().filter_map(block).collect(),
    }
}

/// A content part of any API as a block. `None` for calls and results, and for what the API does not know.
fn block(part: &RawValue) -> Option<Block> {
    let members = members(part);
    match &*kind(part) {
        "text" => text_of(&members).filter(|text| !text.trim().is_empty()).and_then(|_| raw(part.get())),
        "input_text" | "output_text" => text_block(&text_of(&members)?),
        "refusal" => text_block(&string(members.get("refusal")?)?),
        "image_url" | "input_image" => {
            let image = members.get("image_url")?;
            let url = string(image).or_else(|| string(self::members(image).get("url")?))?;
            let source = match url.strip_prefix("data:").and_then(|data| data.split_once(";base64,")) {
                Some((media_type, data)) => json!({"type": "base64", "media_type": media_type, "data": data}),
                None => json!({"type": "url", "url": url}),
            };
            raw(&json!({"type": "image", "source": source}).to_string())
        }
        "image"
        | "document"
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

fn calls(message: &Message, used: &mut BTreeSet<String>) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut add = |stored: String, block: &dyn Fn(&str) -> Option<Block>| {
        let id = free_id(&stored, message.position, used);
        if let Some(block) = block(&id) {
            used.insert(id.clone());
            calls.push(Call { stored, id, block, answered: false });
        }
    };
    if let Some(json) = &message.tool_calls {
        let objects = if json.get().starts_with('{') { vec![&**json] } else { elements(json) };
        for object in objects.into_iter().filter(|object| is_filled_object(object)) {
            let outer = members(object);
            let function =
                outer.get("function").or_else(|| outer.get("custom")).map(|function| members(function)).unwrap_or_default();
            let member = |name: &str| function.get(name).or_else(|| outer.get(name)).copied();
            let name = member("name").and_then(string).unwrap_or_default();
            let input = input(member("arguments").or_else(|| member("input")));
            let id = outer.get("id").and_then(|id| string(id)).unwrap_or_default();
            let name = json!(in_alphabet(&name, "tool"));
            add(id, &|id| raw(&format!(r#"{{"type":"tool_use","id":{},"name":{name},"input":{input}}}"#, json!(id))));
        }
    }
    if let Some(Content::Parts(parts)) = &message.content {
        for part in elements(parts).into_iter().filter(|part| kind(part) == "tool_use") {
            let stored = members(part).get("id").and_then(|id| string(id)).unwrap_or_default();
            add(stored, &|id| with_member(part, "id", &json!(id)));
        }
    }
    calls
}

/// The results in a message, each with the id that it is stored with. An empty id: none.
fn results(message: &Message) -> Vec<(String, Block)> {
    let parts = match &message.content {
        Some(Content::Parts(parts)) => elements(parts),
        _ => Vec::new(),
    };
    let in_parts: Vec<(String, Block)> = parts
        .iter()
        .filter(|part| kind(part) == "tool_result")
        .filter_map(|part| {
            let id = members(part).get("tool_use_id").and_then(|id| string(id)).unwrap_or_default();
            Some((id, raw(part.get())?))
        })
        .collect();
    if message.role != Role::Tool || !in_parts.is_empty() {
        return in_parts;
    }
    let content = match &message.content {
        Some(Content::Text(text)) if !text.as_str().is_empty() => Some(json!(text.as_str()).to_string()),
        Some(Content::Parts(_)) => {
            let known = |part: &&RawValue| matches!(&*kind(part), "text" | "image" | "image_url" | "input_text" | "output_text");
            let blocks: Vec<Block> = parts.into_iter().filter(known).filter_map(block).collect();
            (!blocks.is_empty()).then(|| serde_json::to_string(&blocks).unwrap_or_default())
        }
        _ => None,
    };
    let content = content.map(|content| format!(r#","content":{content}"#)).unwrap_or_default();
    let id = message.tool_call_id.as_ref().map(Text::as_str).unwrap_or_default();
    raw(&format!(r#"{{"type":"tool_result","tool_use_id":""{content}}}"#)).map(|block| (id.to_owned(), block)).into_iter().collect()
}

fn has_results(message: &Message) -> bool {
    !results(message).is_empty()
}

/// An id in the API's alphabet that no earlier call has: the stored one, if it is such an id.
fn free_id(stored: &str, position: i64, used: &BTreeSet<String>) -> String {
    let id = in_alphabet(stored, "call");
    if !used.contains(&id) {
        return id;
    }
    let numbered = (0..).map(|number| format!("{id}_{position}_{number}"));
    numbered.into_iter().find(|id| !used.contains(id)).unwrap_or(id)
}

/// Letters, digits, `_` and `-`, 1 to 64 of them.
fn in_alphabet(text: &str, empty: &str) -> String {
    const LENGTH: usize = 64;
    let known = |character: char| if character.is_ascii_alphanumeric() || character == '-' { character } else { '_' };
    let text: String = text.chars().take(LENGTH).map(known).collect();
    if text.is_empty() { empty.to_owned() } else { text }
}

/// The input of a call: the object that its arguments are, as it is spelled.
fn input(arguments: Option<&RawValue>) -> String {
    let Some(arguments) = arguments else { return "{}".to_owned() };
    let text = string(arguments).unwrap_or_else(|| arguments.get().to_owned());
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(object) if object.get().starts_with('{') => object.get().to_owned(),
        _ if text.trim().is_empty() => "{}".to_owned(),
        _ => json!({"arguments": text}).to_string(),
    }
}

fn text_block(text: &str) -> Option<Block> {
    (!text.trim().is_empty()).then(|| raw(&json!({"type": "text", "text": text}).to_string())).flatten()
}

fn text_of(members: &Members) -> Option<String> {
    string(members.get("text")?)
}

fn members(object: &RawValue) -> Members<'_> {
    serde_json::from_str(object.get()).unwrap_or_default()
}

fn kind(part: &RawValue) -> String {
    members(part).get("type").and_then(|kind| string(kind)).unwrap_or_default()
}

fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// The object with another value for a member. Everything else keeps its spelling.
fn with_member(object: &RawValue, name: &str, value: &Value) -> Option<Block> {
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

fn raw(json: &str) -> Option<Block> {
    RawValue::from_string(json.to_owned()).ok()
}
