//! The rules that APIs publish for the messages they take. They are written from the published descriptions, not from our code.
//!
//! | API | rule | source |
//! |---|---|---|
//! | Chat Completions | roles, members and types of parts by role | <https://platform.openai.com/docs/api-reference/chat/create>, `messages` |
//! | | `content` is required unless there are `tool_calls`, a `refusal` or an `audio` | the same, *Assistant message* |
//! | | a tool message follows the message with its call, and each call has one | the same; error "must be followed by tool messages responding to each `tool_call_id`" |
//! | | `tool_calls[].id`: 40 characters | error `string_above_max_length`, "maximum length 40" |
//! | | ids are unique in a message | error "Duplicate value for `tool_call_id`" |
//! | | names of functions, and `name` of speakers: `^[a-zA-Z0-9_-]+$`, 64 characters | the same reference, *Function*; error "Expected a string that matches the pattern" |
//! | | a tool message has texts alone, and says something | the same reference, *Tool message* |
//! | Messages API | roles alternate, and the first is `user` | <https://docs.anthropic.com/en/api/messages>, `messages` |
//! | | texts are not empty, and the last text of the assistant does not end with white space | errors "text content blocks must be non-empty", "final assistant content cannot end with trailing whitespace" |
//! | | `tool_use.id` and names: `^[a-zA-Z0-9_-]+$`; ids are unique | errors "String should match pattern", "`tool_use` ids must be unique" |
//! | | results come first in the turn behind the calls, and all of them | <https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/implement-tool-use> |
//! | | a thought has its signature, and no turn ends with one | <https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking>; error "The final block in an assistant message cannot be `thinking`" |
//! | | pictures: PNG, JPEG, GIF, WebP; documents: PDF and text | <https://docs.anthropic.com/en/docs/build-with-claude/vision>, <https://docs.anthropic.com/en/docs/build-with-claude/pdf-support> |
//! | | four marks for a cache at most, in `system`, messages and blocks of results; none with `ttl` `1h` behind a shorter one | <https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching>; errors "A maximum of 4 blocks with `cache_control` may be provided", "a ttl='1h' `cache_control` block must not come after a ttl='5m' `cache_control` block" |
//! | Responses API | types and members of items | <https://platform.openai.com/docs/api-reference/responses/create>, `input` |
//! | | each call has one output with its `call_id`, of 64 characters at most | the same; error "No tool output found for function call" |
//! | | a thought is followed by the item that it led to | error "was provided without its required following item" |
//! | | an item with its own `id` follows the thought that led to it | error "was provided without its required 'reasoning' item" |
//! | Gemini API | roles `user` and `model`, types and members of parts, no empty content | <https://ai.google.dev/api/caching#Content>; error "contents.parts must not be empty" |
//! | | a content with calls is behind a user's content, and as many results follow it at once | errors "function call turn comes immediately after a user turn", "the number of function response parts is equal to the number of function call parts" |
//! | | nothing is beside results | error "Requests ending with a model turn are not supported", which Vertex says to such contents |
//! | | a result has the `name` of its call, and its `id` if the call has one | <https://ai.google.dev/gemini-api/docs/function-calling>, `FunctionResponse` |
//! | | names: a letter or `_`, then letters, digits, `_`, `.`, `:` and `-`; 128 characters | `FunctionDeclaration.name` in Google's SDKs |
//! | | the first call of each step has a signature in base64, or the documented words in its place | <https://ai.google.dev/gemini-api/docs/thought-signatures>, *FAQs* |
//! | | pictures: PNG, JPEG, WebP, HEIC, HEIF; in results PNG, JPEG, WebP and PDF | <https://ai.google.dev/gemini-api/docs/image-understanding>, <https://ai.google.dev/gemini-api/docs/function-calling#multimodal> |
//! | Converse | roles alternate, and the first is `user`; a block has one member | <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>, `messages` |
//! | | no text is blank, and no content is empty | errors "The text field in the ContentBlock object … is blank", "The content field in the Message object … is empty" |
//! | | `toolUseId` and `name`: `[a-zA-Z0-9_-]+`, 64 characters; `input` is an object | <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolUseBlock.html> |
//! | | all results are in the user's message behind the calls, before everything else | error "Expected toolResult blocks at messages.…" |
//! | | an error says something, and `json` is an object | errors "cannot be empty when status value is error", "Provide a json object for the field" |
//! | | pictures and documents are the user's, and a document has a text beside it | <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html>; error "A text block must be included when using documents" |
//! | | a document's name: letters, digits, single white space, hyphens, brackets; 200 characters; unique | <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_DocumentBlock.html>; error "duplicate document names" |
//! | | a thought has its signature, and no message ends with one | as in the Messages API, whose models these are |
//! | | four `cachePoint` at most, in the same order; none in a result, and none alone in a message | <https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html>, *Cache checkpoints per request* |

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

/// A message as the reference of the Chat Completions API describes it.
#[derive(Deserialize)]
#[serde(tag = "role", rename_all = "lowercase", deny_unknown_fields)]
#[expect(dead_code, reason = "the shape is the test")]
pub enum ChatCompletionMessage {
    System {
        content: Text,
        name: Option<String>,
    },
    Developer {
        content: Text,
        name: Option<String>,
    },
    User {
        content: Text,
        name: Option<String>,
    },
    Assistant {
        content: Option<Text>,
        tool_calls: Option<Vec<ToolCall>>,
        name: Option<String>,
        refusal: Option<String>,
        audio: Option<Value>,
        // DeepSeek, Kimi and GLM speak this API, and want this member back.
        reasoning_content: Option<String>,
    },
    // A tool's `name` is from the API's earlier days; it is accepted, and the transcripts have it.
    Tool {
        content: Text,
        tool_call_id: String,
        name: Option<String>,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
#[expect(dead_code, reason = "the shape is the test")]
pub enum Text {
    String(String),
    Parts(Vec<Value>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the shape is the test")]
pub struct ToolCall {
    id: String,
    r#type: FunctionKind,
    function: Function,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FunctionKind {
    Function,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the shape is the test")]
pub struct Function {
    name: String,
    arguments: String,
}

fn is_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(known)
}

/// Why the Chat Completions API would refuse this content in a message of this role.
fn content_refused(role: &str, content: &Value) -> Option<String> {
    let Some(parts) = content.as_array() else {
        return (role == "tool" && content.as_str() == Some("")).then(|| "a tool message says nothing".to_owned());
    };
    let known = |part: &Value| match (part["type"].as_str().unwrap_or_default(), role) {
        ("text", _) => part["text"].is_string() && part.as_object().unwrap().len() == 2,
        ("refusal", "assistant") => part["refusal"].is_string(),
        ("image_url", "user") => part["image_url"]["url"].is_string(),
        ("input_audio", "user") => ["wav", "mp3"].contains(&part["input_audio"]["format"].as_str().unwrap_or_default()),
        ("file", "user") => {
            part["file"]["file_id"].is_string() || part["file"]["file_data"].is_string() && part["file"]["filename"].is_string()
        }
        _ => false,
    };
    if parts.is_empty() {
        return Some("an array that is too short".to_owned());
    }
    parts.iter().find(|part| !known(part)).map(|part| format!("a part of a message of the {role}: {part}"))
}

/// Why the Chat Completions API would refuse these messages.
pub fn chat_completions_refuses(messages: &[Value]) -> Option<String> {
    let mut at = 0;
    for message in messages {
        if let Some(why) = content_refused(message["role"].as_str().unwrap_or_default(), &message["content"]) {
            return Some(why);
        }
        if message.get("name").is_some_and(|name| !name.as_str().is_some_and(is_name)) {
            return Some(format!("the name of a speaker: {message}"));
        }
        let mut ids = BTreeSet::new();
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let id = call["id"].as_str().unwrap_or_default();
            let kind = call["type"].as_str().unwrap_or_default();
            if !(1..=40).contains(&id.chars().count()) || !ids.insert(id) || !call[kind]["name"].as_str().is_some_and(is_name) {
                return Some(format!("a call: {call}"));
            }
        }
    }
    while let Some(message) = messages.get(at) {
        match serde_json::from_value(message.clone()) {
            Err(error) => return Some(format!("message {at}: {error}")),
            Ok(ChatCompletionMessage::Tool { .. }) => {
                return Some(format!("message {at}: a tool message must follow an assistant message with tool_calls"));
            }
            Ok(ChatCompletionMessage::Assistant { content, tool_calls, refusal, audio, .. }) => {
                if tool_calls.as_ref().is_some_and(Vec::is_empty) {
                    return Some(format!("message {at}: tool_calls is too short"));
                }
                if content.is_none() && tool_calls.is_none() && refusal.is_none() && audio.is_none() {
                    return Some(format!("message {at}: content is required unless tool_calls is specified"));
                }
                let mut missing = Counts::default();
                for call in tool_calls.into_iter().flatten() {
                    missing.add(&call.id);
                }
                while missing.is_some() {
                    at += 1;
                    let id = messages.get(at).filter(|message| message["role"] == "tool").map(|message| &message["tool_call_id"]);
                    let Some(id) = id else {
                        return Some(format!("message {at}: tool messages must respond to each tool_call_id: {missing:?}"));
                    };
                    if !missing.take(id.as_str().unwrap_or_default()) {
                        return Some(format!("message {at}: no call {id} before it lacks a response"));
                    }
                }
            }
            Ok(_) => {}
        }
        at += 1;
    }
    None
}

/// Why the Messages API of Anthropic would refuse these messages, once instructions are taken out of them. Neighbours of one role
/// are one turn there.
pub fn anthropic_refuses(messages: &[Value]) -> Option<String> {
    let spoken = messages.iter().filter(|message| message["role"] != "system" && message["role"] != "developer");
    let mut turns: Vec<(&str, Vec<&Value>)> = Vec::new();
    for message in spoken {
        let role = message["role"].as_str().unwrap();
        if turns.last().is_none_or(|(last, _)| *last != role) {
            turns.push((role, Vec::new()));
        }
        let turn = &mut turns.last_mut().unwrap().1;
        match &message["content"] {
            Value::Array(parts) if !parts.is_empty() => turn.extend(parts),
            text @ Value::String(_) => turn.push(text),
            other => return Some(format!("content is {other}")),
        }
    }
    let mut missing = Counts::default();
    for (role, parts) in turns {
        match role {
            "user" => {
                let results = parts.iter().take_while(|part| part["type"] == "tool_result").count();
                for part in &parts[..results] {
                    let id = part["tool_use_id"].as_str().unwrap();
                    if !missing.take(id) {
                        return Some(format!("no tool_use {id} before it lacks a result"));
                    }
                }
                if parts[results..].iter().any(|part| part["type"] == "tool_result") {
                    return Some("a tool_result is behind other content".to_owned());
                }
                if missing.is_some() {
                    return Some(format!("tool_use without tool_result right behind it: {missing:?}"));
                }
            }
            "assistant" => {
                for part in parts.iter().filter(|part| part["type"] == "tool_use") {
                    missing.add(part["id"].as_str().unwrap());
                }
            }
            role => return Some(format!("the role {role}")),
        }
    }
    missing.is_some().then(|| format!("tool_use without tool_result right behind it: {missing:?}"))
}

/// Why the APIs of Anthropic and of Amazon Bedrock would refuse the marks for a cache of a request with these `system` and `messages`.
fn marks_refused(request: &Value) -> Option<String> {
    let content = request["messages"].as_array().into_iter().flatten().flat_map(|message| message["content"].as_array().unwrap());
    let blocks = request["system"].as_array().into_iter().flatten().chain(content);
    let in_results = |block: &Value| block["content"].as_array().cloned().unwrap_or_default();
    let all: Vec<Value> = blocks.flat_map(|block| in_results(block).into_iter().chain([block.clone()])).collect();
    let marks: Vec<&Value> =
        all.iter().filter_map(|block| block.get("cache_control").or_else(|| block.get("cachePoint"))).collect();
    if marks.len() > 4 {
        return Some(format!("a maximum of 4 blocks with cache_control may be provided: {marks:?}"));
    }
    let is_long = |mark: &&Value| mark["ttl"] == "1h";
    let first_short = marks.iter().position(|mark| !is_long(mark)).unwrap_or(marks.len());
    marks[first_short..].iter().any(is_long).then(|| "a ttl='1h' block must not come after a ttl='5m' block".to_owned())
}

/// Why the Messages API of Anthropic would refuse a request with these `system` and `messages`.
pub fn messages_api_refuses(request: &Value) -> Option<String> {
    if let Some(why) = marks_refused(request) {
        return Some(why);
    }
    let is_text = |block: &Value| block["type"] == "text" && block["text"].as_str().is_some_and(|text| !text.trim().is_empty());
    if let Some(system) = request.get("system")
        && !system.as_array().is_some_and(|blocks| !blocks.is_empty() && blocks.iter().all(is_text))
    {
        return Some(format!("system: {system}"));
    }
    let is_name = |name: &Value| name.as_str().is_some_and(is_name);
    let is_source = |block: &Value| {
        let (source, is_image) = (&block["source"], block["type"] == "image");
        let media_type = source["media_type"].as_str().unwrap_or_default();
        match source["type"].as_str() {
            Some("url") => source["url"].as_str().is_some_and(|url| url.starts_with("http")),
            Some("base64") if is_image => ["image/png", "image/jpeg", "image/gif", "image/webp"].contains(&media_type),
            Some("base64") => media_type == "application/pdf",
            Some("text") => !is_image && media_type == "text/plain" && source["data"].is_string(),
            _ => false,
        }
    };
    let (mut expected, mut called) = ("user", BTreeSet::new());
    let mut missing: BTreeSet<&str> = BTreeSet::new();
    let messages = request["messages"].as_array()?;
    for (at, message) in messages.iter().enumerate() {
        let refuse = |why: &str| Some(format!("messages.{at}: {why}: {message}"));
        if message["role"] != expected {
            return refuse("roles must alternate, and the first is user");
        }
        let members: Vec<&String> = message.as_object().unwrap().keys().collect();
        if members != ["content", "role"] {
            return refuse("extra inputs are not permitted");
        }
        let Some(blocks) = message["content"].as_array().filter(|blocks| !blocks.is_empty()) else {
            return refuse("content must not be empty");
        };
        let (mut other, mut call) = (false, false);
        for block in blocks {
            match (block["type"].as_str(), expected) {
                (Some("text"), _) if !is_text(block) => return refuse("text blocks must be non-empty"),
                (Some("thinking"), "assistant") if block["signature"].as_str().is_none_or(str::is_empty) => {
                    return refuse("a thought without a signature");
                }
                (Some("text"), _) | (Some("thinking" | "redacted_thinking"), "assistant") => other = true,
                (Some("image" | "document"), "user") if is_source(block) => other = true,
                (Some("tool_use"), "assistant") => {
                    if !is_name(&block["id"]) || !is_name(&block["name"]) || !block["input"].is_object() {
                        return refuse("a tool_use has an id, a name and an input");
                    }
                    let id = block["id"].as_str().unwrap();
                    if !called.insert(id) {
                        return refuse("tool_use ids must be unique");
                    }
                    missing.insert(id);
                    call = true;
                    continue;
                }
                (Some("tool_result"), "user") if other => return refuse("a tool_result must not be behind other content"),
                (Some("tool_result"), "user") => {
                    let content = &block["content"];
                    let blocks =
                        content.as_array().is_some_and(|blocks| blocks.iter().all(|block| is_text(block) || is_source(block)));
                    if !(content.is_null() || content.is_string() || blocks) {
                        return refuse("the content of a tool_result");
                    }
                    if !missing.remove(block["tool_use_id"].as_str().unwrap()) {
                        return refuse("a tool_result must have a tool_use in the message before");
                    }
                    continue;
                }
                _ => return refuse("unexpected block"),
            }
            if call {
                return refuse("tool_use must be the last");
            }
        }
        if expected == "assistant" && blocks.last().is_some_and(|block| block["type"].as_str().unwrap().contains("thinking")) {
            return refuse("the final block cannot be thinking");
        }
        if expected == "user" && !missing.is_empty() || at + 1 == messages.len() && call {
            return refuse("a tool_use without a tool_result in the next message");
        }
        expected = if expected == "user" { "assistant" } else { "user" };
    }
    let last = messages.last().filter(|message| message["role"] == "assistant")?["content"].as_array()?.last()?;
    let trailing = last["text"].as_str().is_some_and(|text| text.ends_with(char::is_whitespace));
    trailing.then(|| "final assistant content cannot end with trailing whitespace".to_owned())
}

/// Items of tools that the Responses API runs itself.
const RUN_BY_THE_API: [&str; 6] =
    ["web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_call", "mcp_list_tools"];

fn a_thought_leads_to(item: &Value) -> bool {
    let kind = item["type"].as_str().unwrap_or_default();
    matches!(kind, "reasoning" | "function_call") || RUN_BY_THE_API.contains(&kind) || item["role"] == "assistant"
}

/// Why the Responses API would refuse a request with these `instructions` and `input`.
pub fn responses_api_refuses(request: &Value) -> Option<String> {
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    if let Some(instructions) = request.get("instructions")
        && !is_text(instructions)
    {
        return Some(format!("instructions: {instructions}"));
    }
    let has_only = |item: &Value, names: &[&str]| item.as_object().unwrap().keys().all(|name| names.contains(&name.as_str()));
    let has_status = |item: &Value| {
        item.get("status")
            .is_none_or(|status| ["in_progress", "completed", "incomplete"].contains(&status.as_str().unwrap_or_default()))
    };
    let is_id = |id: &Value| id.as_str().is_some_and(|id| (1..=64).contains(&id.len()));
    let is_input = |part: &Value| match part["type"].as_str() {
        Some("input_text") => has_only(part, &["type", "text"]) && part["text"].is_string(),
        Some("input_image") => {
            has_only(part, &["type", "detail", "image_url", "file_id"])
                && (part["image_url"].is_string() || part["file_id"].is_string())
                && ["low", "high", "auto"].contains(&part["detail"].as_str().unwrap_or("auto"))
        }
        Some("input_file") => has_only(part, &["type", "file_id", "filename", "file_data", "file_url"]),
        _ => false,
    };
    let is_output = |part: &Value| match part["type"].as_str() {
        Some("output_text") => has_only(part, &["type", "text", "annotations", "logprobs"]) && part["text"].is_string(),
        Some("refusal") => has_only(part, &["type", "refusal"]) && part["refusal"].is_string(),
        _ => false,
    };
    let are = |parts: &Value, known: &dyn Fn(&Value) -> bool| {
        parts.as_array().is_some_and(|parts| !parts.is_empty() && parts.iter().all(known))
    };
    let (mut called, mut missing) = (BTreeSet::new(), BTreeSet::new());
    let input = request["input"].as_array()?;
    let mut thought = false;
    for (at, item) in input.iter().enumerate() {
        let refuse = |why: &str| Some(format!("input[{at}]: {why}: {item}"));
        let kind = item.get("type").map_or("message", |kind| kind.as_str().unwrap_or_default());
        let has_run = RUN_BY_THE_API.contains(&kind);
        if !has_run && !has_status(item) {
            return refuse("status");
        }
        let is_models = has_run || kind == "function_call" || kind == "reasoning" || item["role"] == "assistant";
        thought = is_models && (thought || kind == "reasoning");
        if is_models && !thought && item.get("id").is_some() {
            return refuse("an id without the reasoning that led to it");
        }
        match kind {
            "message" => {
                let content = &item["content"];
                let fits = match item["role"].as_str() {
                    Some("user" | "system" | "developer") => {
                        has_only(item, &["type", "role", "content", "status"]) && are(content, &is_input)
                    }
                    Some("assistant") => has_only(item, &["type", "role", "content", "status", "id"]) && are(content, &is_output),
                    _ => return refuse("the role of a message"),
                };
                if !content.is_string() && !fits {
                    return refuse("the content of a message");
                }
            }
            "function_call" => {
                let name = item["name"].as_str().unwrap_or_default();
                let in_alphabet = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
                if !(1..=64).contains(&name.len()) || !in_alphabet || !item["arguments"].is_string() || !is_id(&item["call_id"]) {
                    return refuse("a function_call has a call_id, a name and arguments");
                }
                if !has_only(item, &["type", "id", "call_id", "name", "arguments", "status"]) {
                    return refuse("unknown parameter");
                }
                if !called.insert(item["call_id"].as_str().unwrap()) {
                    return refuse("call_ids must be unique");
                }
                missing.insert(item["call_id"].as_str().unwrap());
            }
            "function_call_output" => {
                if !has_only(item, &["type", "id", "call_id", "output", "status"]) {
                    return refuse("unknown parameter");
                }
                if !item["output"].is_string() && !are(&item["output"], &is_input) {
                    return refuse("the output of a function_call_output");
                }
                if !missing.remove(item["call_id"].as_str().unwrap_or_default()) {
                    return refuse("no tool call found for function call output with this call_id");
                }
            }
            "reasoning" => {
                if !has_only(item, &["type", "id", "summary", "content", "encrypted_content", "status"])
                    || !item["summary"].is_array()
                {
                    return refuse("a reasoning has a summary");
                }
                if !input.get(at + 1).is_some_and(a_thought_leads_to) {
                    return refuse("reasoning was provided without its required following item");
                }
            }
            _ if has_run && is_id(&item["id"]) => {}
            _ => return refuse("unknown type"),
        }
    }
    missing.first().map(|id| format!("no tool output found for function call {id}"))
}

/// The only one of an object's members that says what it is, and whether there are others than those that may be beside it.
fn only_member<'a>(part: &'a Value, kinds: &[&'a str], beside: &[&str]) -> Option<&'a str> {
    let members: Vec<&str> = part.as_object()?.keys().map(String::as_str).filter(|name| !beside.contains(name)).collect();
    kinds.iter().copied().find(|kind| members == [*kind])
}

fn is_base64(text: &Value) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte);
    text.as_str().is_some_and(|text| !text.is_empty() && text.len() % 4 == 0 && text.bytes().all(known))
}

/// Why Google's Gemini API would refuse a request with these `systemInstruction` and `contents`.
pub fn gemini_api_refuses(request: &Value) -> Option<String> {
    const KINDS: [&str; 7] =
        ["text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult"];
    const IN_RESULTS: [&str; 4] = ["image/png", "image/jpeg", "image/webp", "application/pdf"];
    let says = |part: &Value| part["text"].as_str().is_some_and(|text| !text.is_empty());
    if let Some(instruction) = request.get("systemInstruction")
        && !instruction["parts"].as_array().is_some_and(|parts| !parts.is_empty() && parts.iter().all(says))
    {
        return Some(format!("systemInstruction: {instruction}"));
    }
    let is_name = |name: &Value| {
        let name = name.as_str().unwrap_or_default();
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
        name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') && name.len() <= 128 && name.bytes().all(known)
    };
    let is_inline = |part: &Value, known: &[&str]| {
        let (mime_type, data) = (part["inlineData"]["mimeType"].as_str().unwrap_or_default(), &part["inlineData"]["data"]);
        let is_known = known.contains(&mime_type) || known.len() > IN_RESULTS.len() && mime_type.starts_with(['a', 'v']);
        is_known && is_base64(data)
    };
    let all_images = [&IN_RESULTS[..], &["image/heic", "image/heif"]].concat();
    let contents = request["contents"].as_array()?;
    let (mut last, mut calls): (&str, Vec<(&Value, &Value)>) = ("", Vec::new());
    for (at, content) in contents.iter().enumerate() {
        let refuse = |why: &str| Some(format!("contents[{at}]: {why}: {content}"));
        let members: Vec<&String> = content.as_object().unwrap().keys().collect();
        let Some(parts) = content["parts"].as_array().filter(|parts| !parts.is_empty() && members == ["parts", "role"]) else {
            return refuse("a content has a role and parts");
        };
        let is_model = match content["role"].as_str() {
            Some("user") => false,
            Some("model") => true,
            _ => return refuse("the role"),
        };
        let mut kinds = BTreeSet::new();
        let mut next: Vec<(&Value, &Value)> = Vec::new();
        for part in parts {
            let Some(kind) = only_member(part, &KINDS, &["thought", "thoughtSignature"]) else { return refuse("a part") };
            kinds.insert(kind);
            if part.get("thoughtSignature").is_some_and(|signature| !is_base64(signature)) || part["thought"] == true && !is_model {
                return refuse("a signature or a thought");
            }
            let fits = match kind {
                "text" => says(part) || part.get("thoughtSignature").is_some(),
                "inlineData" => is_inline(part, &all_images),
                "fileData" => part["fileData"]["fileUri"].is_string() && part["fileData"]["mimeType"].is_string(),
                "functionCall" => {
                    let call = &part["functionCall"];
                    if next.is_empty() && part.get("thoughtSignature").is_none() {
                        return refuse("function call is missing a thought_signature");
                    }
                    next.push((&call["name"], &call["id"]));
                    is_model && is_name(&call["name"]) && (call["args"].is_object() || call.get("args").is_none())
                }
                "functionResponse" => {
                    let result = &part["functionResponse"];
                    let media = result.get("parts").is_none_or(|parts| {
                        parts.as_array().is_some_and(|parts| parts.iter().all(|part| is_inline(part, &IN_RESULTS)))
                    });
                    let known = ["id", "name", "parts", "response"];
                    let found = calls.iter().position(|(name, id)| **name == result["name"] && **id == result["id"]);
                    let Some(found) = found else { return refuse("a function response without its call") };
                    calls.remove(found);
                    let members = result.as_object().unwrap().keys().all(|name| known.contains(&name.as_str()));
                    !is_model && media && members && result["response"].is_object()
                }
                _ => is_model,
            };
            if !fits {
                return refuse("a part of this kind");
            }
        }
        let answers = kinds.contains("functionResponse");
        if answers && kinds.len() > 1 {
            return refuse("a function response must not be mixed with other parts");
        }
        if !calls.is_empty() {
            return refuse("the number of function response parts is equal to the number of function call parts");
        }
        let role = if is_model {
            "model"
        } else if answers {
            "results"
        } else {
            "user"
        };
        if role == last || last.is_empty() && role != "user" {
            return refuse("the first content is the user's, and roles alternate");
        }
        (last, calls) = (role, next);
    }
    (!calls.is_empty()).then(|| "function calls without their responses".to_owned())
}

/// Why the Converse API of Amazon Bedrock would refuse a request with these `system` and `messages`.
#[expect(clippy::too_many_lines, reason = "a rule behind the other")]
pub fn converse_api_refuses(request: &Value) -> Option<String> {
    const KINDS: [&str; 11] = [
        "text",
        "image",
        "document",
        "video",
        "audio",
        "toolUse",
        "toolResult",
        "reasoningContent",
        "cachePoint",
        "citationsContent",
        "guardContent",
    ];
    let is_text = |block: &Value| block["text"].as_str().is_some_and(|text| !text.trim().is_empty());
    let is_mark = |block: &Value| block["cachePoint"].is_object();
    if let Some(why) = marks_refused(request) {
        return Some(why);
    }
    if let Some(system) = request.get("system")
        && !system.as_array().is_some_and(|blocks| {
            blocks.first().is_some_and(is_text) && blocks.iter().all(|block| is_text(block) || is_mark(block))
        })
    {
        return Some(format!("system: {system}"));
    }
    let is_name = |name: &Value| name.as_str().is_some_and(is_name);
    let is_source = |media: &Value| {
        is_base64(&media["source"]["bytes"])
            || media["source"]["s3Location"]["uri"].as_str().is_some_and(|uri| uri.starts_with("s3://"))
    };
    let mut names = BTreeSet::new();
    let mut is_media = |block: &Value| {
        let format = |media: &Value, known: &[&str]| known.contains(&media["format"].as_str().unwrap_or_default());
        if let Some(image) = block.get("image") {
            return format(image, &["png", "jpeg", "gif", "webp"]) && is_source(image);
        }
        let Some(document) = block.get("document") else { return block.get("video").or(block.get("audio")).is_some_and(is_source) };
        let name = document["name"].as_str().unwrap_or_default();
        let known = |character: char| character.is_ascii_alphanumeric() || " -()[]".contains(character);
        format(document, &["pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"])
            && (1..=200).contains(&name.len())
            && name.chars().all(known)
            && !name.contains("  ")
            && names.insert(name.to_owned())
            && is_source(document)
    };
    let (mut expected, mut called) = ("user", BTreeSet::new());
    let mut missing: BTreeSet<&str> = BTreeSet::new();
    let messages = request["messages"].as_array()?;
    for (at, message) in messages.iter().enumerate() {
        let refuse = |why: &str| Some(format!("messages.{at}: {why}: {message}"));
        if message["role"] != expected {
            return refuse("roles must alternate, and the first is user");
        }
        let members: Vec<&String> = message.as_object().unwrap().keys().collect();
        let Some(blocks) = message["content"].as_array().filter(|blocks| !blocks.is_empty() && members == ["content", "role"])
        else {
            return refuse("a message has a role and a content");
        };
        if blocks.iter().all(is_mark) {
            return refuse("a message that is nothing but a mark for a cache");
        }
        let (mut other, mut call, mut kinds) = (false, false, BTreeSet::new());
        for block in blocks {
            let Some(kind) = only_member(block, &KINDS, &[]) else { return refuse("a block has one member") };
            kinds.insert(kind);
            match (kind, expected) {
                ("text", _) if !is_text(block) => return refuse("the text field is blank"),
                ("reasoningContent", "assistant") => {
                    let thought = &block["reasoningContent"];
                    let is_signed = thought["reasoningText"]["signature"].as_str().is_some_and(|text| !text.is_empty());
                    if !is_signed && !thought["redactedContent"].is_string() {
                        return refuse("a thought without a signature");
                    }
                }
                ("image" | "document" | "video" | "audio", "user") if is_media(block) => {}
                ("text" | "cachePoint" | "guardContent", _) | ("citationsContent", "assistant") => {}
                ("toolUse", "assistant") => {
                    let own = &block["toolUse"];
                    if !is_name(&own["toolUseId"]) || !is_name(&own["name"]) || !own["input"].is_object() {
                        return refuse("a toolUse has an id, a name and an input");
                    }
                    let id = own["toolUseId"].as_str().unwrap();
                    if !called.insert(id) {
                        return refuse("toolUseIds must be unique");
                    }
                    missing.insert(id);
                    call = true;
                    continue;
                }
                ("toolResult", "user") => {
                    let own = &block["toolResult"];
                    let Some(content) = own["content"].as_array() else { return refuse("the content of a toolResult") };
                    let known = |block: &Value| is_text(block) || block["json"].is_object();
                    if !content.iter().all(|block| known(block) || is_media(block)) {
                        return refuse("the content of a toolResult");
                    }
                    if own["status"] == "error" && content.is_empty() {
                        return refuse("content cannot be empty when status value is error");
                    }
                    if other || !missing.remove(own["toolUseId"].as_str().unwrap_or_default()) {
                        return refuse("a toolResult must come first and have a toolUse in the message before");
                    }
                    continue;
                }
                _ => return refuse("unexpected block"),
            }
            if call {
                return refuse("toolUse must be the last");
            }
            other = true;
        }
        if kinds.contains("document") && !kinds.contains("text") {
            return refuse("a text block must be included when using documents");
        }
        if expected == "assistant" && blocks.last().is_some_and(|block| block.get("reasoningContent").is_some()) {
            return refuse("the final block cannot be a thought");
        }
        if expected == "user" && !missing.is_empty() || at + 1 == messages.len() && call {
            return refuse("expected toolResult blocks for all toolUse blocks");
        }
        expected = if expected == "user" { "assistant" } else { "user" };
    }
    let last = messages.last().filter(|message| message["role"] == "assistant")?["content"].as_array()?.last()?;
    let trailing = last["text"].as_str().is_some_and(|text| text.ends_with(char::is_whitespace));
    trailing.then(|| "final assistant content cannot end with trailing whitespace".to_owned())
}

/// Why the API of this format would refuse the answer.
pub fn refused(format: &str, answer: &Value) -> Option<String> {
    match format {
        "openai" => chat_completions_refuses(answer["messages"].as_array().unwrap()),
        "anthropic" => messages_api_refuses(answer),
        "responses" => responses_api_refuses(answer),
        "gemini" => gemini_api_refuses(answer),
        "converse" => converse_api_refuses(answer),
        format => panic!("no API has the format {format}"),
    }
}

/// The formats that an API takes.
pub const FORMATS: [&str; 5] = ["openai", "anthropic", "responses", "gemini", "converse"];

/// How often each id is still expected.
#[derive(Debug, Default)]
struct Counts(BTreeMap<String, usize>);

impl Counts {
    fn add(&mut self, id: &str) {
        *self.0.entry(id.to_owned()).or_default() += 1;
    }

    fn take(&mut self, id: &str) -> bool {
        let count = self.0.get_mut(id).filter(|count| **count > 0);
        count.map(|count| *count -= 1).is_some()
    }

    fn is_some(&self) -> bool {
        self.0.values().any(|count| *count > 0)
    }
}
