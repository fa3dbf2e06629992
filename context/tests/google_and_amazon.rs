//! What only the APIs of Google and of Amazon Bedrock know. `round.rs` has what all APIs have in common.

#![expect(clippy::unwrap_used, unreachable_pub, dead_code, reason = "a test, which shares the checkers with others")]

mod support;

use serde_json::{Value, json};
use support::{accepted, answer};

const NO_SIGNATURE: &str = "skip_thought_signature_validator";
const NO_RESULT: &str = "[no result: interrupted]";

fn user(text: &str) -> Value {
    json!({"role": "user", "content": [{"text": text}]})
}

/// Two parallel calls of one function, as an older model makes them.
fn without_ids() -> Vec<Value> {
    let call = |city: &str| json!({"functionCall": {"name": "rain", "args": {"city": city}}});
    let result = |said: &str| json!({"functionResponse": {"name": "rain", "response": {"output": said}}});
    vec![
        user("q"),
        json!({"role": "assistant", "content": [call("Oslo"), call("Rome")]}),
        json!({"role": "user", "content": [result("yes"), result("no")]}),
        json!({"role": "assistant", "content": [{"text": "a", "thoughtSignature": "c2ln"}]}),
        user("more"),
    ]
}

#[test]
fn what_gemini_has_said_goes_back_as_it_was() {
    let called = json!({"functionCall": {"id": "a", "name": "f", "args": {"x": 1.0}}, "thoughtSignature": "c2ln"});
    let said = json!({"functionResponse": {"id": "a", "name": "f", "response": {"rain": true}}});
    let picture = json!({"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}, "thoughtSignature": "c2ln"});
    let thought = json!({"text": "hm", "thought": true});
    let last = json!({"text": "", "thoughtSignature": "c2ln"});
    let run = json!({"executableCode": {"language": "PYTHON", "code": "1"}});
    let messages = [
        user("q"),
        json!({"role": "assistant", "content": [thought, called]}),
        json!({"role": "user", "content": [said]}),
        json!({"role": "assistant", "content": [run, picture, last]}),
    ];
    let contents = accepted(&messages, "gemini")["contents"].clone();
    for (content, message) in contents.as_array().unwrap().iter().zip(&messages) {
        assert_eq!(content["parts"], message["content"]);
    }
    // No other model is sent the thought.
    for format in ["openai", "anthropic", "responses", "converse"] {
        let written = accepted(&messages, format).to_string();
        assert!(!written.contains("hm") && written.contains("rain") && written.contains("[image/png, 8 bytes]"), "{written}");
    }
}

#[test]
fn the_first_call_of_a_step_has_a_signature() {
    let contents = accepted(&without_ids(), "gemini")["contents"].clone();
    let signatures = [0, 1].map(|call| &contents[1]["parts"][call]["thoughtSignature"]);
    assert_eq!(signatures, [&json!(NO_SIGNATURE), &Value::Null]);
    // A signature comes back from where other APIs keep it.
    let call = json!({
        "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "c2ln"}}
    });
    let result = json!({"role": "tool", "tool_call_id": "a", "content": "r"});
    let messages = [user("q"), json!({"role": "assistant", "content": null, "tool_calls": [call]}), result.clone()];
    assert_eq!(accepted(&messages, "gemini")["contents"][1]["parts"][0]["thoughtSignature"], "c2ln");
    let google = json!({"google": {"thoughtSignature": "c2ln"}});
    let call = json!({"type": "tool-call", "toolCallId": "a", "toolName": "f", "input": {}, "providerOptions": google});
    let messages = [user("q"), json!({"role": "assistant", "content": [call]}), result.clone()];
    assert_eq!(accepted(&messages, "gemini")["contents"][1]["parts"][0]["thoughtSignature"], "c2ln");
    // One that is no base64 is none of Google's.
    let call = json!({"functionCall": {"id": "a", "name": "f", "args": {}}, "thoughtSignature": "msg_1!"});
    let messages = [user("q"), json!({"role": "assistant", "content": [call]}), result];
    assert_eq!(accepted(&messages, "gemini")["contents"][1]["parts"][0]["thoughtSignature"], NO_SIGNATURE);
}

#[test]
fn calls_without_ids_keep_their_results_in_order() {
    let messages = without_ids();
    let contents = accepted(&messages, "gemini")["contents"].clone();
    assert_eq!(contents[2]["parts"], messages[2]["content"]);
    assert!(!contents.to_string().contains("\"id\""));
    let written = accepted(&messages, "openai")["messages"].clone();
    let ids = [0, 1].map(|call| &written[1]["tool_calls"][call]["id"]);
    assert_ne!(ids[0], ids[1]);
    assert_eq!([&written[2]["tool_call_id"], &written[3]["tool_call_id"]], ids);
    assert_eq!([&written[2]["content"], &written[3]["content"]], ["yes", "no"]);
    // Results belong to the calls of their own functions.
    let named = |kind: &str, name: &str| json!({kind: {"name": name, "args": {}, "response": {"output": name}}});
    let messages = [
        user("q"),
        json!({"role": "assistant", "content": [named("functionCall", "f"), named("functionCall", "g")]}),
        json!({"role": "user", "content": [named("functionResponse", "g"), named("functionResponse", "f")]}),
    ];
    let written = accepted(&messages, "anthropic")["messages"].clone();
    assert_eq!([0, 1].map(|result| &written[2]["content"][result]["content"]), ["f", "g"]);
}

#[test]
fn results_of_gemini_have_nothing_beside_them() {
    let mut messages = without_ids();
    messages[2]["content"].as_array_mut().unwrap().push(json!({"text": "and tomorrow?"}));
    let contents = accepted(&messages, "gemini")["contents"].clone();
    assert_eq!(contents[3], json!({"role": "user", "parts": [{"text": "and tomorrow?"}]}));
}

#[test]
fn what_the_sdk_for_python_dumps_is_read() {
    let bytes = json!({"inline_data": {"mime_type": "image/png", "data": "iVBORw0KGgo_-w=="}});
    let call = json!({"function_call": {"id": "a", "name": "f", "args": {}}, "thought_signature": "c2ln", "text": null});
    let result = json!({"function_response": {"id": "a", "name": "f", "response": {"error": "no"}}});
    let messages = [
        json!({"role": "user", "content": [bytes]}),
        json!({"role": "assistant", "content": [call]}),
        json!({"role": "tool", "content": [result]}),
    ];
    let written = accepted(&messages, "anthropic")["messages"].clone();
    assert_eq!(written[0]["content"][0]["source"]["data"], "iVBORw0KGgo/+w==");
    let failed = json!({"type": "tool_result", "tool_use_id": "a_2_0", "content": "no", "is_error": true});
    assert_eq!(written[2]["content"], json!([failed]));
    let contents = answer(&messages, "gemini", "")["contents"].clone();
    assert_eq!(contents[1]["parts"][0], messages[1]["content"][0]);
}

#[test]
fn a_result_of_gemini_is_an_object() {
    let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
    let result =
        |id: &str, value: Value| json!({"type": "tool-result", "toolCallId": id, "output": {"type": "json", "value": value}});
    let messages = [
        user("q"),
        json!({"role": "assistant", "content": [call("a"), call("b"), call("c")]}),
        json!({"role": "tool", "content": [result("a", json!({"rain": 1})), result("b", json!([1])), result("c", json!("x"))]}),
    ];
    let parts = accepted(&messages, "gemini")["contents"][2]["parts"].clone();
    let said = [0, 1, 2].map(|at| &parts[at]["functionResponse"]["response"]);
    assert_eq!(said, [&json!({"rain": 1}), &json!({"output": [1]}), &json!({"output": "x"})]);
}

#[test]
fn documents_have_names_that_converse_takes() {
    let pdf = |name: &str| json!({"type": "file", "mediaType": "application/pdf", "filename": name, "data": "JVBERi0="});
    let messages = [
        json!({"role": "user", "content": [pdf("Q3_report (final)\u{a0} v2.pdf"), pdf("report.pdf")]}),
        json!({"role": "user", "content": [{"text": "and this"}, pdf("report.pdf"), pdf("\u{1f600}.pdf"), pdf(&"x".repeat(300))]}),
    ];
    let content = accepted(&messages, "converse")["messages"][0]["content"].clone();
    let names: Vec<&str> = content.as_array().unwrap().iter().filter_map(|block| block["document"]["name"].as_str()).collect();
    assert_eq!(names[..4], ["Q3-report (final) v2", "report", "report 2-0", "-"]);
    // A document needs a text beside it, in each message.
    assert_eq!(
        content[2]["text"],
        "[Q3_report (final)\u{a0} v2.pdf, application/pdf, 5 bytes]\n[report.pdf, application/pdf, 5 bytes]"
    );
}

#[test]
fn what_converse_has_said_goes_back_as_it_was() {
    let thought = json!({"reasoningContent": {"reasoningText": {"text": "hm", "signature": "EuYB"}}});
    let hidden = json!({"reasoningContent": {"redactedContent": "AAAA"}});
    let call = json!({"toolUse": {"toolUseId": "tooluse_kZJMlvQmRJ6eAyJE5GIl7Q", "name": "f", "input": {"x": 1.0}}});
    let picture = json!({"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}});
    let result = json!({"toolResult": {"toolUseId": "tooluse_kZJMlvQmRJ6eAyJE5GIl7Q", "content": [{"json": {"rain": 1}}, {"text": "t"}, picture]}});
    let cited = json!({"citationsContent": {"content": [{"text": "It rains."}], "citations": []}});
    let messages = [
        json!({"role": "user", "content": [{"text": "q"}, picture, {"cachePoint": {"type": "default"}}]}),
        json!({"role": "assistant", "content": [thought, hidden, call]}),
        json!({"role": "user", "content": [result]}),
        json!({"role": "assistant", "content": [cited]}),
    ];
    assert_eq!(accepted(&messages, "converse")["messages"], json!(messages));
    // Signatures of Anthropic's models are the same on both platforms.
    let written = accepted(&messages, "anthropic")["messages"].clone();
    assert_eq!(written[1]["content"][0], json!({"type": "thinking", "thinking": "hm", "signature": "EuYB"}));
    assert_eq!(written[3]["content"][0]["text"], "It rains.");
}

#[test]
fn an_error_that_says_nothing_says_so_in_converse() {
    let call = json!({"type": "tool_use", "id": "a", "name": "f", "input": {}});
    let result = json!({"type": "tool_result", "tool_use_id": "a", "content": " ", "is_error": true});
    let messages = [user("q"), json!({"role": "assistant", "content": [call]}), json!({"role": "user", "content": [result]})];
    let written = accepted(&messages, "converse")["messages"][2]["content"][0]["toolResult"].clone();
    assert_eq!(written, json!({"toolUseId": "a_2_0", "content": [{"text": "[no output]"}], "status": "error"}));
}

#[test]
fn interrupted_calls_get_results_in_one_message() {
    let gemini = |id: &str| json!({"functionCall": {"id": id, "name": "f", "args": {}}});
    let converse = |id: &str| json!({"toolUse": {"toolUseId": id, "name": "f", "input": {}}});
    let of_gemini = |id: &str| json!({"functionResponse": {"id": id, "name": "f", "response": {"error": NO_RESULT}}});
    let of_converse = |id: &str| json!({"toolResult": {"toolUseId": id, "content": [{"text": NO_RESULT}], "status": "error"}});
    for (calls, results) in [
        (json!([gemini("a"), gemini("b")]), json!([of_gemini("a"), of_gemini("b")])),
        (json!([converse("a"), converse("b")]), json!([of_converse("a"), of_converse("b")])),
    ] {
        let messages = [user("q"), json!({"role": "assistant", "content": calls}), user("go on")];
        assert_eq!(accepted(&messages, "gemini")["contents"].as_array().unwrap().len(), 4);
        accepted(&messages, "converse");
        assert_eq!(support::messages(&messages, "")[2], json!({"role": "user", "content": results}));
    }
}

#[test]
fn old_results_lose_their_contents() {
    let long = "x".repeat(200);
    let gemini = json!({"id": "a", "name": "f", "response": {"output": long}});
    let converse = json!([{"toolResult": {"toolUseId": "a", "content": [{"text": long}]}}]);
    let mut picture = gemini.clone();
    picture["parts"] = json!([{"inlineData": {"mimeType": "image/png", "data": long}}]);
    let call = json!({"type": "tool_use", "id": "a", "name": "f", "input": {}});
    for result in [json!([{"functionResponse": gemini}]), json!([{"functionResponse": picture}]), converse] {
        let messages = [user("q"), json!({"role": "assistant", "content": [call]}), json!({"role": "user", "content": result})];
        for format in support::rules::FORMATS {
            let answer = answer(&messages, format, "tool_results=0");
            assert_eq!(support::rules::refused(format, &answer), None, "{answer:#}");
            let written = answer.to_string();
            assert!(!written.contains("xxx") && written.contains("[omitted: "), "{written}");
        }
    }
}
