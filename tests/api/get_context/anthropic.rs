//! `format=anthropic`

use serde_json::{Value, json};

use super::rules::messages_api_refuses;
use super::{call, conversation_of, result, say};
use crate::support::App;

/// The texts of a request, and how many calls and results it has.
pub fn said(request: &Value) -> (Vec<String>, usize, usize) {
    let (mut texts, mut calls, mut results) = (Vec::new(), 0, 0);
    for block in request["messages"].as_array().unwrap().iter().flat_map(|message| message["content"].as_array().unwrap()) {
        match block["type"].as_str().unwrap() {
            "text" => texts.push(block["text"].as_str().unwrap().to_owned()),
            "tool_use" => calls += 1,
            "tool_result" => results += 1,
            kind => panic!("{kind}?"),
        }
    }
    (texts, calls, results)
}

async fn anthropic(app: &App, messages: &[Value]) -> Value {
    let path = conversation_of(app, messages).await;
    let answer = app.get(&format!("{path}?format=anthropic")).expect(200).await.json();
    assert_eq!(messages_api_refuses(&answer), None);
    json!([answer["system"], answer["messages"]])
}

#[tokio::test]
async fn calls_of_chat_completions_become_blocks() {
    let app = App::start().await;
    let text = |text: &str| json!({"type": "text", "text": text});
    let mut named = say("user", "And in Bergen?");
    named["name"] = json!("Ada");
    let messages = [
        say("system", "Be brief."),
        say("user", "Is it raining in Oslo?"),
        json!({"role": "assistant", "content": "Let me see.", "tool_calls": [
            {"id": "call.1", "type": "function", "function": {"name": "get weather", "arguments": "{\"city\": \"Oslo\"}"}},
            {"id": "call_2", "type": "function", "function": {"name": "f", "arguments": ""}},
            {"id": "call_3", "type": "function", "function": {"name": "f", "arguments": "Oslo"}},
        ]}),
        result("call_2"),
        result("call.1"),
        json!({"role": "tool", "content": "", "tool_call_id": "call_3"}),
        say("developer", "Be kind."),
        named,
        say("assistant", "No. "),
    ];
    let use_ = |id: &str, name: &str, input: Value| json!({"type": "tool_use", "id": id, "name": name, "input": input});
    assert_eq!(
        anthropic(&app, &messages).await,
        json!([[text("Be brief."), text("Be kind.")], [
            {"role": "user", "content": [text("Is it raining in Oslo?")]},
            {"role": "assistant", "content": [
                text("Let me see."),
                use_("call_1_3_0", "get_weather", json!({"city": "Oslo"})),
                use_("call_2_3_1", "f", json!({})),
                use_("call_3_3_2", "f", json!({"arguments": "Oslo"})),
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "call_1_3_0", "content": "r"},
                {"type": "tool_result", "tool_use_id": "call_2_3_1", "content": "r"},
                {"type": "tool_result", "tool_use_id": "call_3_3_2"},
                text("And in Bergen?"),
            ]},
            {"role": "assistant", "content": [text("No.")]},
        ]])
    );
}

#[tokio::test]
async fn repeated_and_missing_ids_become_unique_ones() {
    let app = App::start().await;
    let empty = ["", ""];
    let messages = [
        say("user", "1"),
        call(&["a", "a"]),
        result("a"),
        result("a"),
        call(&["a"]),
        result("a"),
        call(&empty),
        result(""),
        say("tool", "r"),
        say("user", "2"),
        json!({"role": "assistant", "tool_calls": {"name": "f", "arguments": {"n": 1}}}),
        say("tool", "r"),
    ];
    let answer = anthropic(&app, &messages).await;
    let calls = answer[1].as_array().unwrap().iter().flat_map(|message| message["content"].as_array().unwrap());
    let ids: Vec<&str> = calls.filter_map(|block| block["id"].as_str()).collect();
    assert_eq!(ids, ["a_2_0", "a_2_1", "a_5_0", "call_7_0", "call_7_1", "call_11_0"]);
    assert_eq!(anthropic(&app, &messages).await, answer, "the same every time");
}

#[tokio::test]
async fn parts_of_other_apis_become_blocks_and_unknown_ones_are_left_out() {
    let app = App::start().await;
    let content = json!([
        {"type": "input_text", "text": "1"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "text", "text": " "},
        {"type": "text", "text": "2", "cache_control": {"type": "ephemeral"}},
    ]);
    let messages = [
        json!({"role": "user", "content": content}),
        json!({"role": "assistant", "content": [
            {"type": "tool_use", "id": "toolu_01A09q90qw90lq917835lq9", "name": "f", "input": {"n": 1}},
            {"type": "text", "text": "behind the call"},
        ]}),
        json!({"role": "user", "content": [
            {"type": "text", "text": "before the result"},
            {"type": "tool_result", "tool_use_id": "toolu_01A09q90qw90lq917835lq9", "content": "r", "is_error": true},
        ]}),
        json!({"role": "assistant", "content": "3"}),
        json!({"role": "user", "content": [{"type": "hologram"}]}),
    ];
    assert_eq!(
        anthropic(&app, &messages).await,
        json!([null, [
            {"role": "user", "content": [
                {"type": "text", "text": "1"},
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "text", "text": "[audio/wav, 3 bytes]"},
                {"type": "text", "text": "2", "cache_control": {"type": "ephemeral"}},
            ]},
            {"role": "assistant", "content": [
                {"type": "text", "text": "behind the call"},
                {"type": "tool_use", "id": "toolu_01A09q90qw90lq917835lq9", "name": "f", "input": {"n": 1}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_01A09q90qw90lq917835lq9", "content": "r", "is_error": true},
                {"type": "text", "text": "before the result"},
            ]},
            {"role": "assistant", "content": [{"type": "text", "text": "3"}]},
            {"role": "user", "content": [{"type": "text", "text": "[nothing that can be shown]"}]},
        ]])
    );
    assert_eq!(anthropic(&app, &[]).await, json!([null, []]));
}
