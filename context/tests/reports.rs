//! Small conversations that an API refused, after public reports, and what it takes instead.

#![expect(clippy::unwrap_used, unreachable_pub, dead_code, reason = "a test, which shares the checkers with others")]

mod support;

use serde_json::{Value, json};
use support::rules::FORMATS;
use support::{accepted, answer};

/// The messages of the request that stored them.
fn report(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/reports/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let body: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    body["messages"].as_array().cloned().unwrap_or_else(|| vec![body])
}

#[test]
fn each_thought_is_right_before_what_it_led_to() {
    let input = accepted(&report("05-reasoning-one-item-a-message"), "responses")["input"].clone();
    let kinds: Vec<&str> = input.as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap_or("said")).collect();
    assert_eq!(kinds, ["said", "reasoning", "function_call", "function_call_output", "reasoning", "message", "said"]);
    let ids: Vec<&Value> = input.as_array().unwrap().iter().map(|item| &item["id"]).filter(|id| !id.is_null()).collect();
    assert_eq!(ids, ["rs_1", "fc_1", "rs_2", "msg_1"]);
}

#[test]
fn an_item_without_its_thought_has_no_id() {
    let mut messages = report("05-reasoning-one-item-a-message");
    messages.retain(|message| message["content"][0]["type"] != "reasoning");
    let input = accepted(&messages, "responses")["input"].clone();
    assert!(input.as_array().unwrap().iter().all(|item| item.get("id").is_none()), "{input:#}");
    assert_eq!(input[3]["content"], "Rain.");
}

#[test]
fn a_long_id_becomes_a_shorter_one_unless_it_is_kept() {
    let messages = report("06-call-id-of-45-characters");
    let written = accepted(&messages, "openai")["messages"].clone();
    let id = written[1]["tool_calls"][0]["id"].as_str().unwrap();
    assert!(id.len() <= 40 && written[2]["tool_call_id"] == id, "{written:#}");
    assert_eq!(accepted(&messages, "openai")["messages"], written, "the same every time");
    let kept = answer(&messages, "openai", "call_ids=keep")["messages"].clone();
    assert_eq!(kept[1]["tool_calls"], messages[1]["tool_calls"]);
    assert_eq!(kept[2]["tool_call_id"], messages[2]["tool_call_id"]);

    // Ids that begin alike stay different.
    let long = |last: char| format!("{}{last}", "a".repeat(900));
    let call = |id: String| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let calls = json!({"role": "assistant", "content": null, "tool_calls": [call(long('b')), call(long('c'))]});
    let result = |id: String| json!({"role": "tool", "tool_call_id": id, "content": "r"});
    for format in FORMATS {
        accepted(&[messages[0].clone(), calls.clone(), result(long('c')), result(long('b'))], format);
    }
}

#[test]
fn names_are_in_the_alphabet() {
    for format in FORMATS {
        accepted(&report("06b-tool-name-with-a-dot"), format);
    }
    let written = accepted(&report("07-names-with-spaces"), "openai")["messages"].clone();
    assert_eq!([&written[0]["name"], &written[1]["name"]], ["Ada_Example", "User_Onboarding_Agent"]);
    let written = accepted(&[json!({"role": "user", "content": "hi", "name": "李雷"})], "openai")["messages"].clone();
    assert_eq!(written[0].get("name"), None);
}

#[test]
fn a_thought_without_a_signature_is_left_out() {
    let mut messages = report("08-thinking-without-signature");
    let written = accepted(&messages, "anthropic")["messages"].to_string();
    assert!(!written.contains("thinking"), "{written}");
    messages[3]["content"][0]["signature"] = json!("EuYB");
    let written = accepted(&messages, "anthropic")["messages"].clone();
    assert_eq!(written[3]["content"], messages[3]["content"]);
    // A turn that is nothing but a thought, or ends with one, is refused.
    let thought = json!({"type": "thinking", "thinking": "hm", "signature": "EuYB"});
    messages[3]["content"] = json!([thought]);
    accepted(&messages, "anthropic");
}

#[test]
fn what_a_model_has_thought_before_its_calls_goes_back() {
    let message = report("09-reasoning-content").remove(0);
    let result = json!({"role": "tool", "tool_call_id": "call_0", "content": "r"});
    let user = json!({"role": "user", "content": "q"});
    let thinks = json!({"role": "assistant", "content": "a", "reasoning_content": "hm"});
    let messages = [user.clone(), message.clone(), result, thinks.clone(), user.clone(), thinks.clone(), user];
    let written = accepted(&messages, "openai")["messages"].clone();
    assert_eq!(written[1]["reasoning_content"], message["reasoning_content"]);
    assert_eq!(written[3]["reasoning_content"], "hm", "the turn has calls");
    assert_eq!(written[5].get("reasoning_content"), None, "the turn has none");
    for format in FORMATS.into_iter().filter(|format| *format != "openai") {
        assert!(!accepted(&messages, format).to_string().contains("I should call"), "{format}");
    }
}

#[test]
fn an_id_twice_in_a_message_becomes_two() {
    let written = accepted(&report("10-same-id-twice-in-one-message"), "openai")["messages"].clone();
    let ids = [0, 1].map(|call| &written[1]["tool_calls"][call]["id"]);
    assert_ne!(ids[0], ids[1]);
    assert_eq!([&written[2]["tool_call_id"], &written[3]["tool_call_id"]], ids);
    assert_eq!([&written[2]["content"], &written[3]["content"]], ["first", "second"]);
}

#[test]
fn a_picture_in_a_result_stays_or_leaves_a_text() {
    for name in ["12-mcp-image-in-a-tool-result", "12b-image-url-in-a-tool-result"] {
        let written = accepted(&report(name), "openai")["messages"].clone();
        assert_eq!(written[2]["content"], json!([{"type": "text", "text": "[image/png, 8 bytes]"}]), "{name}");
        let written = accepted(&report(name), "anthropic")["messages"].clone();
        let source = json!({"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="});
        assert_eq!(written[2]["content"][0]["content"], json!([{"type": "image", "source": source}]), "{name}");
        let written = accepted(&report(name), "responses")["input"].clone();
        let image = json!({"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "auto"});
        assert_eq!(written[2]["output"], json!([image]), "{name}");
        let written = accepted(&report(name), "gemini")["contents"].clone();
        let image = json!({"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}});
        assert_eq!(written[2]["parts"][0]["functionResponse"]["parts"], json!([image]), "{name}");
        let written = accepted(&report(name), "converse")["messages"].clone();
        let image = json!({"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}});
        assert_eq!(written[2]["content"][0]["toolResult"]["content"], json!([image]), "{name}");
    }
}

#[test]
fn a_pdf_reaches_every_api() {
    let messages = report("12c-pdf-of-the-ai-sdk");
    let data = "data:application/pdf;base64,JVBERi0=";
    for (format, part) in [
        ("openai", json!({"type": "file", "file": {"filename": "document.pdf", "file_data": data}})),
        (
            "anthropic",
            json!({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}),
        ),
        ("responses", json!({"type": "input_file", "filename": "document.pdf", "file_data": data})),
        ("gemini", json!({"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}})),
        ("converse", json!({"document": {"format": "pdf", "name": "document", "source": {"bytes": "JVBERi0="}}})),
    ] {
        let written = accepted(&messages, format);
        let content = ["messages", "input", "contents"].into_iter().find_map(|name| written.get(name)).unwrap()[0].clone();
        let parts = content.get("content").or(content.get("parts")).unwrap();
        assert_eq!(parts[1], part, "{format}");
    }
}

#[test]
fn what_an_api_does_not_take_leaves_a_text_in_its_place() {
    let archive = format!("data:application/zip;base64,{}", "A".repeat(200_000));
    let archive = json!({"type": "file", "mediaType": "application/zip", "filename": "a.zip", "url": archive});
    let text = json!({"type": "file", "mediaType": "text/plain", "url": "data:text/plain;base64,aGVsbG8="});
    let messages = [json!({"role": "user", "content": [archive, text]})];
    for format in FORMATS {
        let written = accepted(&messages, format).to_string();
        assert!(written.contains("[a.zip, application/zip, 150 kB]"), "{format}: {written}");
        // Converse takes a text file as a document.
        assert!(written.contains(if format == "converse" { "aGVsbG8=" } else { "hello" }), "{format}: {written}");
    }
}

#[test]
fn an_empty_result_says_so_where_it_must_say_something() {
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    for content in [json!(""), json!([]), json!([{"type": "text", "text": ""}])] {
        let messages = [
            json!({"role": "user", "content": "q"}),
            json!({"role": "assistant", "content": null, "tool_calls": [call]}),
            json!({"role": "tool", "tool_call_id": "a", "content": content}),
        ];
        for format in FORMATS {
            accepted(&messages, format);
        }
    }
}

#[test]
fn a_picture_counts_as_a_picture() {
    let picture = format!("data:image/png;base64,{}", "A".repeat(200_000));
    let mut messages: Vec<Value> = (0..5).map(|n| json!({"role": "user", "content": n.to_string()})).collect();
    messages.push(json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": picture}}]}));
    let answer = answer(&messages, "openai", "max_tokens=8000");
    assert_eq!(answer["omitted"], 0);
    let tokens = answer["tokens"].as_i64().unwrap();
    assert!((1600..1660).contains(&tokens), "{tokens}");
}
