//! Every way of storing calls, in every format.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::reference::{self, Limits};
use super::rules::{FORMATS, refused};
use super::unanswered::{NO_LIMITS, context, conversation, events};
use super::{call, conversation_of, positions, result, say};
use crate::support::App;
use crate::transcripts::transcripts;

/// What no format may lose: the texts, the names and arguments of calls, and the outputs, in alphabetical order.
pub fn survived(answer: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for value in
        ["instructions", "system", "systemInstruction", "messages", "input", "contents"].iter().filter_map(|name| answer.get(name))
    {
        survivors(value, "text", &mut found);
    }
    // It stands for nothing.
    found.retain(|found| *found != format!("output {}", reference::NO_OUTPUT));
    found.sort();
    found
}

fn survivors(value: &Value, kind: &str, found: &mut Vec<String>) {
    let call = |name: &Value, arguments: &Value| {
        let text = arguments
            .as_str()
            .map_or_else(|| arguments.clone(), |text| serde_json::from_str(text).unwrap_or(json!({"arguments": text})));
        format!("call {} {text}", name.as_str().unwrap())
    };
    match value {
        // A format may join texts.
        Value::String(text) => {
            let texts = text.split("\n\n").map(str::trim).filter(|text| !text.is_empty());
            found.extend(texts.map(|text| format!("{kind} {text}")));
        }
        Value::Array(all) => all.iter().for_each(|value| survivors(value, kind, found)),
        Value::Object(object) => match object.get("type").and_then(Value::as_str) {
            Some("function") => found.push(call(&value["function"]["name"], &value["function"]["arguments"])),
            Some("tool_use") => found.push(call(&value["name"], &value["input"])),
            Some("function_call") => found.push(call(&value["name"], &value["arguments"])),
            Some("tool_result") => survivors(&value["content"], "output", found),
            Some("function_call_output") => survivors(&value["output"], "output", found),
            Some("text" | "input_text" | "output_text") => survivors(&value["text"], kind, found),
            None if object.contains_key("functionCall") => {
                found.push(call(&value["functionCall"]["name"], &value["functionCall"]["args"]));
            }
            None if object.contains_key("toolUse") => found.push(call(&value["toolUse"]["name"], &value["toolUse"]["input"])),
            None if object.contains_key("functionResponse") => {
                let response = &value["functionResponse"]["response"];
                let said = response.get("output").or(response.get("error"));
                survivors(said.unwrap_or(response), "output", found);
            }
            None if object.contains_key("toolResult") => survivors(&value["toolResult"]["content"], "output", found),
            None if object.contains_key("text") => survivors(&value["text"], kind, found),
            None if object.contains_key("parts") => survivors(&value["parts"], kind, found),
            None | Some("message") => {
                survivors(&value["content"], if value["role"] == "tool" { "output" } else { kind }, found);
                survivors(&value["tool_calls"], kind, found);
            }
            Some(_) => {}
        },
        _ => {}
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Spelling {
    ChatCompletions,
    Anthropic,
    /// Outputs in tool messages.
    Responses,
    ResponsesInAssistant,
    ResponsesInUser,
    AiSdk,
    Gemini,
    Converse,
}

const SPELLINGS: [Spelling; 8] = [
    Spelling::ChatCompletions,
    Spelling::Anthropic,
    Spelling::Responses,
    Spelling::ResponsesInAssistant,
    Spelling::ResponsesInUser,
    Spelling::AiSdk,
    Spelling::Gemini,
    Spelling::Converse,
];

impl Spelling {
    /// Whether the results of one message are in one message, which is the user's.
    fn answers_together(self) -> bool {
        matches!(self, Self::Anthropic | Self::Gemini | Self::Converse)
    }
}

/// A conversation in the spelling of Chat Completions in another one: as many messages, and each says the same.
fn spelled(messages: &[Value], spelling: Spelling) -> Vec<Value> {
    let text = |text: &Value| match spelling {
        Spelling::Anthropic | Spelling::AiSdk => json!({"type": "text", "text": text}),
        Spelling::Gemini | Spelling::Converse => json!({"text": text}),
        _ => json!({"type": "output_text", "text": text}),
    };
    let spell = |message: &Value| {
        if spelling == Spelling::ChatCompletions || (message["role"] != "tool" && message["tool_calls"].is_null()) {
            return message.clone();
        }
        let content = &message["content"];
        let id = &message["tool_call_id"];
        if message["role"] == "tool" {
            let parts: Vec<Value> =
                content.as_array().into_iter().flatten().map(|part| json!({"type": "input_text", "text": part["text"]})).collect();
            let output = if content.is_array() { json!(parts) } else { content.clone() };
            let item = json!([{"type": "function_call_output", "call_id": id, "output": output}]);
            return match spelling {
                Spelling::Anthropic => {
                    json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": content}]})
                }
                Spelling::Gemini => {
                    let texts = parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n\n");
                    let output = if content.is_array() { json!(texts) } else { content.clone() };
                    let response = json!({"id": id, "name": "f", "response": {"output": output}});
                    json!({"role": "user", "content": [{"functionResponse": response}]})
                }
                Spelling::Converse => {
                    let one = || json!([{"text": content}]);
                    let many = || parts.iter().map(|part| json!({"text": part["text"]})).collect();
                    let content = if content.is_array() { many() } else { one() };
                    json!({"role": "user", "content": [{"toolResult": {"toolUseId": id, "content": content}}]})
                }
                Spelling::ResponsesInAssistant => json!({"role": "assistant", "content": item}),
                Spelling::ResponsesInUser => json!({"role": "user", "content": item}),
                Spelling::AiSdk => {
                    let output = json!({"type": if content.is_array() { "content" } else { "text" }, "value": content});
                    json!({"role": "tool", "content": [{"type": "tool-result", "toolCallId": id, "toolName": "f", "output": output}]})
                }
                _ => json!({"role": "tool", "tool_call_id": id, "content": item}),
            };
        }
        let mut parts: Vec<Value> = match content {
            Value::String(said) if !said.is_empty() => vec![text(content)],
            Value::Array(parts) => parts.iter().map(|part| text(&part["text"])).collect(),
            _ => Vec::new(),
        };
        if matches!(spelling, Spelling::Responses | Spelling::ResponsesInAssistant | Spelling::ResponsesInUser) {
            parts.push(json!({"type": "reasoning", "id": "rs_1", "summary": []}));
        }
        for call in message["tool_calls"].as_array().unwrap() {
            let (id, name, arguments) = (&call["id"], &call["function"]["name"], &call["function"]["arguments"]);
            let input: Value = serde_json::from_str(arguments.as_str().unwrap()).unwrap();
            parts.push(match spelling {
                Spelling::Anthropic => json!({"type": "tool_use", "id": id, "name": name, "input": input}),
                Spelling::AiSdk => json!({"type": "tool-call", "toolCallId": id, "toolName": name, "input": input}),
                Spelling::Gemini => json!({"functionCall": {"id": id, "name": name, "args": input}}),
                Spelling::Converse => json!({"toolUse": {"toolUseId": id, "name": name, "input": input}}),
                _ => json!({"type": "function_call", "id": "fc_1", "call_id": id, "name": name, "arguments": arguments, "status": "completed"}),
            });
        }
        json!({"role": "assistant", "content": parts})
    };
    messages.iter().map(spell).collect()
}

/// Without the counts of tokens, and with arguments that can be told apart.
fn told_apart(mut messages: Vec<Value>) -> Vec<Value> {
    for (at, message) in messages.iter_mut().enumerate() {
        message.as_object_mut().unwrap().remove("token_count");
        for (call, value) in message["tool_calls"].as_array_mut().into_iter().flatten().enumerate() {
            value["function"]["arguments"] = json!(json!({"at": at, "call": call}).to_string());
        }
        if message["tool_calls"].is_null() {
            message.as_object_mut().unwrap().remove("tool_calls");
        }
    }
    messages
}

async fn accepted(app: &App, path: &str, query: &str) -> Vec<Value> {
    let mut answers = Vec::new();
    for format in FORMATS {
        let answer = context(app, path, &format!("{query}&format={format}")).await;
        assert_eq!(refused(format, &answer), None, "{query}: {answer:#}");
        answers.push(answer);
    }
    answers
}

/// Compares a conversation in another spelling with what is expected of it in that of Chat Completions.
async fn prove(app: &App, messages: &[Value], spelling: Spelling, drop: bool, limits: Limits) -> usize {
    let mut all = messages.to_vec();
    for (at, message) in all.iter_mut().enumerate() {
        message["position"] = json!(at + 1);
        message["metadata"] = json!({});
    }
    let expected = reference::context(&all, drop, limits);
    let path = conversation_of(app, &spelled(messages, spelling)).await;
    let mut query = format!("unanswered={}", if drop { "drop" } else { "answer" });
    if limits.messages < usize::MAX {
        write!(query, "&max_messages={}", limits.messages).unwrap();
    }
    let answer = context(app, &path, &query).await;
    let told = || format!("{spelling:?} {query}: {:#}\nof {:#}", answer, json!(messages));
    for (member, value) in
        [("omitted", json!(expected.omitted)), ("repaired", json!(expected.repaired)), ("open_calls", json!(expected.open_calls))]
    {
        assert_eq!(answer[member], value, "{member}: {}", told());
    }
    let sent = |messages: &[Value]| {
        let mut sent: Vec<(u64, bool)> = messages
            .iter()
            .map(|message| (message["position"].as_u64().unwrap(), message["metadata"]["synthetic"] == true))
            .collect();
        // Results that are parts are in one message.
        sent.dedup();
        sent
    };
    assert_eq!(sent(answer["messages"].as_array().unwrap()), sent(&expected.messages), "{}", told());
    for answer in accepted(app, &path, &query).await {
        assert_eq!(survived(&answer), survived(&json!({"messages": expected.messages})), "{answer:#} {}", told());
    }
    expected.repaired.len() + expected.open_calls.len()
}

#[tokio::test]
async fn every_spelling_gives_the_same_context_in_every_format() {
    const CASES: usize = 40;
    let app = App::start().await;
    let mut runner = TestRunner::deterministic();
    let mut repaired = 0;
    for _ in 0..CASES {
        let messages = told_apart(conversation(&events().new_tree(&mut runner).unwrap().current(), false));
        for spelling in SPELLINGS {
            for drop in [false, true] {
                // Results that are added are one message there.
                let limited = (!spelling.answers_together()).then_some(Limits { messages: 5, ..NO_LIMITS });
                for limits in [NO_LIMITS].into_iter().chain(limited) {
                    repaired += prove(&app, &messages, spelling, drop, limits).await;
                }
            }
        }
    }
    assert!(repaired > CASES * 4, "{repaired}");
}

#[cfg_attr(not(has_transcripts), ignore = "there are no recorded conversations: name a file in TRANSCRIPTS")]
#[tokio::test]
async fn real_transcripts_survive_in_every_spelling_and_format() {
    let transcripts = transcripts();
    let app = App::with_instances(2).await;
    for (at, transcript) in transcripts.iter().enumerate() {
        let messages: Vec<Value> = serde_json::from_str(&serde_json::to_string(&transcript.messages).unwrap()).unwrap();
        for spelling in SPELLINGS {
            prove(&app, &messages, spelling, at % 2 == 1, NO_LIMITS).await;
        }
        // And with an interrupted call.
        let result = messages.iter().rposition(|message| message["role"] == "tool");
        let without: Vec<Value> =
            messages.iter().enumerate().filter(|(at, _)| Some(*at) != result).map(|(_, message)| message.clone()).collect();
        prove(&app, &without, SPELLINGS[at % SPELLINGS.len()], at % 2 == 1, NO_LIMITS).await;
    }
}

/// A UI message of the AI SDK, and what no format may lose of it. The last says whether a call waits for its result.
fn ui_message(at: usize, parts: &[(u8, u8)]) -> (Value, Vec<String>, bool) {
    let (mut content, mut lost, mut waits) = (Vec::new(), Vec::new(), false);
    for (part, (kind, state)) in parts.iter().enumerate() {
        let (id, input) = (format!("call {at} {part}"), json!({"at": at, "part": part}));
        let called = format!("call f {input}");
        let mut tool = json!({"type": "tool-f", "toolCallId": id, "input": input});
        if state % 2 == 1 {
            tool["type"] = json!("dynamic-tool");
            tool["toolName"] = json!("f");
        }
        match kind {
            0 => {
                content.push(json!({"type": "text", "text": format!("{at} {part}"), "state": "done"}));
                lost.push(format!("text {at} {part}"));
                continue;
            }
            1 => {
                content.push(
                    [json!({"type": "step-start"}), json!({"type": "reasoning", "text": "hm"})][usize::from(state % 2)].clone(),
                );
                continue;
            }
            2 => {
                tool["state"] = json!("output-available");
                tool["output"] = json!(format!("{at} {part}"));
                lost.push(format!("output {at} {part}"));
            }
            3 => {
                tool["state"] = json!("output-error");
                tool["errorText"] = json!(format!("{at} {part}"));
                lost.push(format!("output {at} {part}"));
            }
            _ => {
                tool["state"] = json!(["input-available", "input-streaming"][usize::from(state % 2)]);
                waits = true;
                lost.push("output [no result: interrupted]".to_owned());
            }
        }
        content.push(tool);
        lost.push(called);
    }
    content.push(json!({"type": "text", "text": format!("end {at}")}));
    lost.push(format!("text end {at}"));
    (json!({"role": "assistant", "content": content}), lost, waits)
}

#[tokio::test]
async fn calls_that_are_stored_with_their_results_survive() {
    let app = App::start().await;
    let mut runner = TestRunner::deterministic();
    let parts = prop::collection::vec((0_u8..5, 0_u8..4), 0..5);
    let conversations = prop::collection::vec((parts, any::<bool>()), 1..5);
    let mut opened = 0;
    for _ in 0..60 {
        let (mut messages, mut expected, mut open) = (vec![say("user", "q")], vec!["text q".to_owned()], false);
        for (at, (parts, answered)) in conversations.new_tree(&mut runner).unwrap().current().iter().enumerate() {
            let (message, lost, waits) = ui_message(at, parts);
            messages.push(message);
            open = waits && !answered;
            if open {
                break;
            }
            expected.extend(lost);
            messages.push(json!({"role": "user", "content": [{"type": "text", "text": "go on"}]}));
            expected.push("text go on".to_owned());
        }
        opened += usize::from(open);
        expected.sort();
        let path = conversation_of(&app, &messages).await;
        for answer in accepted(&app, &path, "").await {
            assert_eq!(survived(&answer), expected, "{answer:#}\nof {:#}", json!(messages));
            assert_eq!(answer["open_calls"] != json!([]), open);
        }
    }
    assert!(opened > 5);
}

#[tokio::test]
async fn an_open_step_is_read_whole_and_takes_no_room_in_every_spelling() {
    let app = App::start().await;
    let ids: Vec<String> = (0..20).map(|id| id.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut messages =
        vec![say("user", "1"), say("assistant", "2"), say("user", "3"), say("assistant", "4"), say("user", "5"), call(&ids)];
    messages.extend(ids[1..].iter().map(|id| result(id)));
    for spelling in SPELLINGS {
        let path = conversation_of(&app, &spelled(&messages, spelling)).await;
        assert_eq!(positions(&app, &path, "max_messages=3").await, [3, 4, 5], "{spelling:?}");
        assert_eq!(context(&app, &path, "max_messages=3").await["open_calls"], json!(["0"]), "{spelling:?}");
    }
}

#[tokio::test]
async fn interrupted_calls_are_answered_in_their_spelling() {
    const NO_RESULT: &str = "[no result: interrupted]";
    let app = App::start().await;
    let messages = [say("user", "1"), call(&["a", "b"]), result("b"), say("user", "4")];
    for (spelling, part) in [
        (Spelling::Responses, json!({"type": "function_call_output", "call_id": "a", "output": NO_RESULT})),
        (
            Spelling::AiSdk,
            json!({"type": "tool-result", "toolCallId": "a", "toolName": "f", "output": {"type": "error-text", "value": NO_RESULT}}),
        ),
    ] {
        let path = conversation_of(&app, &spelled(&messages, spelling)).await;
        let answer = context(&app, &path, "").await;
        let synthetic = &answer["messages"][3];
        let members = ["role", "tool_call_id", "content"].map(|member| &synthetic[member]);
        assert_eq!(members, [&json!("tool"), &json!("a"), &json!([part])], "{answer:#}");
    }
    let part = json!({"type": "tool-f", "toolCallId": "a", "state": "input-available", "input": {}});
    let path = conversation_of(&app, &[say("user", "1"), json!({"role": "assistant", "content": [part]}), say("user", "3")]).await;
    let answer = context(&app, &path, "").await;
    let answered = json!([{"type": "tool-f", "toolCallId": "a", "state": "output-error", "input": {}, "errorText": NO_RESULT}]);
    assert_eq!((&answer["messages"][1]["content"], &answer["repaired"]), (&answered, &json!([2])));
    assert_eq!(positions(&app, &path, "unanswered=drop").await, [1, 3]);

    // Without a call, what the model thought before it is left out, too.
    let thought = |id: &str| json!({"type": "reasoning", "id": id, "summary": []});
    let called = |id: &str| json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"});
    let calls = json!({"role": "assistant", "content": [thought("rs_a"), called("a"), thought("rs_b"), called("b")]});
    let path = conversation_of(&app, &[say("user", "1"), calls, result("b"), say("user", "4")]).await;
    let answer = context(&app, &path, "unanswered=drop").await;
    assert_eq!(answer["messages"][1]["content"], json!([thought("rs_b"), called("b")]));
}

#[tokio::test]
async fn results_lose_their_contents_in_every_spelling() {
    let app = App::start().await;
    let long = json!({"role": "tool", "tool_call_id": "a", "content": "x".repeat(200)});
    let messages = [say("user", "1"), call(&["a"]), long, say("assistant", "4")];
    for spelling in SPELLINGS {
        let path = conversation_of(&app, &spelled(&messages, spelling)).await;
        for answer in accepted(&app, &path, "tool_results=0").await {
            assert_eq!(answer["elided"], 1, "{spelling:?}");
            let outputs: Vec<String> = survived(&answer).into_iter().filter(|text| text.starts_with("output")).collect();
            let x = "x".repeat(200);
            let count = match spelling {
                Spelling::AiSdk => json!({"type": "text", "value": x}).to_string().len(),
                Spelling::Gemini => json!({"output": x}).to_string().len(),
                Spelling::Converse => json!([{"text": x}]).to_string().len(),
                _ => 200,
            };
            assert_eq!(outputs, [format!("output [omitted: {count} characters]")], "{spelling:?}");
        }
    }
}
