//! `format=responses`, and parts of other APIs in `format=openai`.

use serde_json::{Value, json};

use super::rules::{chat_completions_refuses, responses_api_refuses};
use super::{call, conversation_of, result, say};
use crate::support::App;

async fn responses(app: &App, messages: &[Value]) -> Value {
    let path = conversation_of(app, messages).await;
    let answer = app.get(&format!("{path}?format=responses")).expect(200).await.json();
    assert_eq!(responses_api_refuses(&answer), None, "{answer:#}");
    json!([answer["instructions"], answer["input"]])
}

async fn openai(app: &App, messages: &[Value]) -> Value {
    let path = conversation_of(app, messages).await;
    let answer = app.get(&format!("{path}?format=openai")).expect(200).await.json();
    assert_eq!(chat_completions_refuses(answer["messages"].as_array().unwrap()), None, "{answer:#}");
    answer["messages"].clone()
}

#[tokio::test]
async fn calls_of_chat_completions_become_items() {
    let app = App::start().await;
    let function = |name: &str, arguments: &str| json!({"name": name, "arguments": arguments});
    let messages = [
        say("system", "Be brief."),
        say("developer", "Be kind."),
        say("user", "Is it raining in Oslo?"),
        json!({"role": "assistant", "content": "Let me see.", "tool_calls": [
            {"id": "call.1", "type": "function", "function": function("get weather", "{\"city\": \"Oslo\"}")},
            {"id": "call_2", "type": "function", "function": function("f", "")},
        ]}),
        result("call_2"),
        json!({"role": "tool", "content": [{"type": "text", "text": "rain"}], "tool_call_id": "call.1"}),
        say("developer", "Answer now."),
        say("assistant", "Yes."),
    ];
    assert_eq!(
        responses(&app, &messages).await,
        json!(["Be brief.\n\nBe kind.", [
            {"role": "user", "content": "Is it raining in Oslo?"},
            {"role": "assistant", "content": "Let me see."},
            {"type": "function_call", "call_id": "call_1_4_0", "name": "get_weather", "arguments": "{\"city\": \"Oslo\"}"},
            {"type": "function_call", "call_id": "call_2_4_1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_2_4_1", "output": "r"},
            {"type": "function_call_output", "call_id": "call_1_4_0", "output": [{"type": "input_text", "text": "rain"}]},
            {"role": "developer", "content": "Answer now."},
            {"role": "assistant", "content": "Yes."},
        ]])
    );
    assert_eq!(responses(&app, &[]).await, json!([null, []]));
}

#[tokio::test]
async fn items_go_along_untouched_and_repeated_ids_become_unique_ones() {
    let app = App::start().await;
    let reasoning = json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "AAAA"});
    let function_call = json!({"type": "function_call", "id": "fc_1", "call_id": "call_DdmO9pD3xa9XTPNJ32zg2hcA", "name": "f", "arguments": "{ }", "status": "completed"});
    let output = json!({"type": "function_call_output", "call_id": "call_DdmO9pD3xa9XTPNJ32zg2hcA", "output": "r"});
    let said = json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [
        {"type": "output_text", "text": "Yes.", "annotations": []},
    ]});
    let messages = [
        say("user", "1"),
        json!({"role": "assistant", "content": [reasoning, function_call]}),
        json!({"role": "tool", "tool_call_id": "call_DdmO9pD3xa9XTPNJ32zg2hcA", "content": [output]}),
        json!({"role": "assistant", "content": [reasoning, said]}),
        say("user", "5"),
        call(&["call_DdmO9pD3xa9XTPNJ32zg2hcA"]),
        result("call_DdmO9pD3xa9XTPNJ32zg2hcA"),
        say("assistant", "8"),
    ];
    let expected = json!([null, [
        {"role": "user", "content": "1"}, reasoning, function_call, output, reasoning, said,
        {"role": "user", "content": "5"},
        {"type": "function_call", "call_id": "call_DdmO9pD3xa9XTPNJ32zg2hcA_6_0", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_DdmO9pD3xa9XTPNJ32zg2hcA_6_0", "output": "r"},
        {"role": "assistant", "content": "8"},
    ]]);
    assert_eq!(responses(&app, &messages).await, expected);
    assert_eq!(responses(&app, &messages).await, expected, "the same every time");
    let written = openai(&app, &messages).await;
    assert_eq!(
        written[1]["tool_calls"][0],
        json!({"id": "call_DdmO9pD3xa9XTPNJ32zg2hcA", "type": "function", "function": {"name": "f", "arguments": "{ }"}})
    );
    assert_eq!(written[3]["content"], json!([{"type": "text", "text": "Yes."}]));
}

#[tokio::test]
async fn pictures_become_the_targets_own_and_unknown_parts_are_left_out() {
    let app = App::start().await;
    let data = "data:image/png;base64,AAAA";
    let content = json!([
        {"type": "text", "text": "1"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "file", "mediaType": "image/png", "url": data},
        {"type": "image", "image": "AAAA", "mediaType": "image/png"},
        {"type": "input_image", "image_url": data},
        {"type": "video", "video": "AAAA"},
    ]);
    let messages = [
        json!({"role": "user", "content": content}),
        json!({"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "2"}]}),
        json!({"role": "user", "content": [{"type": "video", "video": "AAAA"}]}),
    ];
    let image = |url: &str| json!({"type": "input_image", "image_url": url, "detail": "auto"});
    assert_eq!(
        responses(&app, &messages).await[1],
        json!([
            {"role": "user", "content": [
                {"type": "input_text", "text": "1"},
                {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"},
                image(data), image(data), image(data),
                {"type": "input_image", "image_url": data},
            ]},
            {"role": "assistant", "content": "2"},
            {"role": "user", "content": "[nothing that can be shown]"},
        ])
    );
    let image = json!({"type": "image_url", "image_url": {"url": data}});
    assert_eq!(
        openai(&app, &messages).await,
        json!([
            {"role": "user", "content": [
                {"type": "text", "text": "1"},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
                image, image, image, image,
            ]},
            {"role": "assistant", "content": [{"type": "text", "text": "2"}]},
            {"role": "user", "content": "[nothing that can be shown]"},
        ])
    );
}

#[tokio::test]
async fn a_message_with_calls_and_results_is_several_steps() {
    let app = App::start().await;
    let tool = |id: &str| json!({"type": "tool-f", "toolCallId": id, "state": "output-available", "input": {"id": id}, "output": {"n": 1}});
    let text = |text: &str| json!({"type": "text", "text": text});
    let messages = [
        say("user", "1"),
        json!({"role": "assistant", "content": [text("2"), tool("a"), tool("b"), {"type": "step-start"}, tool("c"), text("3")]}),
        say("user", "4"),
    ];
    let call =
        |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": format!("{{\"id\":\"{id}\"}}")}});
    let result = |id: &str| json!({"role": "tool", "content": "{\"n\":1}", "tool_call_id": id});
    assert_eq!(
        openai(&app, &messages).await,
        json!([
            {"role": "user", "content": "1"},
            {"role": "assistant", "content": [text("2")], "tool_calls": [call("a"), call("b")]},
            result("a"),
            result("b"),
            {"role": "assistant", "content": null, "tool_calls": [call("c")]},
            result("c"),
            {"role": "assistant", "content": [text("3")]},
            {"role": "user", "content": "4"},
        ])
    );
}
