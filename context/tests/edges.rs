//! Small things that somebody stored, and that an API would refuse or a model would miss.

#![expect(clippy::unwrap_used, unreachable_pub, dead_code, reason = "a test, which shares the checkers with others")]

mod support;

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};
use support::rules::FORMATS;
use support::{accepted, answer};

fn user(part: &Value) -> Value {
    json!({"role": "user", "content": [part]})
}

fn asked() -> Value {
    json!({"role": "user", "content": "And now?"})
}

#[test]
fn an_item_with_a_string_says_it() {
    let said =
        |role: &str| json!({"role": role, "content": [{"type": "message", "role": role, "content": format!("{role} says")}]});
    for format in FORMATS {
        let written = accepted(&[said("user"), said("assistant"), asked()], format).to_string();
        assert!(written.contains("user says") && written.contains("assistant says"), "{format}: {written}");
    }
}

#[test]
fn items_go_back_without_members_that_are_null() {
    let reasoning =
        json!({"id": "rs_1", "type": "reasoning", "summary": [], "content": null, "encrypted_content": null, "status": null});
    let call = json!({"id": "fc_1", "type": "function_call", "call_id": "call_DdmO9pD3xa9XTPNJ32zg2hcA", "name": "f", "arguments": "{}", "status": null,
        "namespace": null, "parsed_arguments": null});
    let output = json!({"type": "function_call_output", "call_id": "call_DdmO9pD3xa9XTPNJ32zg2hcA", "output": "rain", "id": null, "status": null});
    let all = [
        asked(),
        json!({"role": "assistant", "content": [reasoning, call]}),
        json!({"role": "tool", "content": [output]}),
        json!({"role": "assistant", "content": "Rain."}),
    ];
    let input = accepted(&all, "responses")["input"].clone();
    assert_eq!(input[1], json!({"id": "rs_1", "type": "reasoning", "summary": []}));
    assert_eq!(
        input[2],
        json!({"id": "fc_1", "type": "function_call", "call_id": "call_DdmO9pD3xa9XTPNJ32zg2hcA", "name": "f", "arguments": "{}"})
    );
    assert_eq!(input[3], json!({"type": "function_call_output", "call_id": "call_DdmO9pD3xa9XTPNJ32zg2hcA", "output": "rain"}));
}

#[test]
fn what_the_api_ran_itself_goes_back_with_its_thought_alone() {
    let thought = json!({"id": "rs_1", "type": "reasoning", "summary": []});
    let search =
        json!({"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "rain"}});
    let said = json!({"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": "Rain.", "annotations": []}]});
    let all = |items: &[&Value]| [asked(), json!({"role": "assistant", "content": items}), asked()];
    let input = accepted(&all(&[&thought, &search, &said]), "responses")["input"].clone();
    assert_eq!(input.as_array().unwrap()[1..4], [thought, search.clone(), said.clone()]);
    let alone = accepted(&all(&[&search, &said]), "responses")["input"].to_string();
    assert!(!alone.contains("ws_1") && alone.contains("Rain."), "{alone}");
}

#[test]
fn an_empty_signature_is_none() {
    let thought = json!({"type": "reasoning", "text": "Hm.", "providerOptions": {"anthropic": {"signature": ""}}});
    let reply = json!({"role": "assistant", "content": [thought, {"type": "text", "text": "Yes."}]});
    for format in FORMATS {
        accepted(&[asked(), reply.clone(), asked()], format);
    }
}

#[test]
fn a_picture_is_sent_as_the_api_has_pictures() {
    let short = user(&json!({"type": "image_url", "image_url": "https://example.com/a.png"}));
    assert_eq!(accepted(&[short], "openai")["messages"][0]["content"][0]["image_url"], json!({"url": "https://example.com/a.png"}));
    let jpg = user(&json!({"type": "image_url", "image_url": {"url": "data:image/jpg;base64,/9j/4AAQ"}}));
    let anthropics = json!({"type": "base64", "media_type": "image/jpg", "data": "/9j/4AAQ"});
    for stored in [jpg, user(&json!({"type": "image", "source": anthropics}))] {
        let source = accepted(std::slice::from_ref(&stored), "anthropic")["messages"][0]["content"][0]["source"].clone();
        assert_eq!(source, json!({"type": "base64", "media_type": "image/jpeg", "data": "/9j/4AAQ"}));
        assert_eq!(accepted(&[stored], "converse")["messages"][0]["content"][0]["image"]["format"], "jpeg");
    }
}

#[test]
fn a_mark_for_a_cache_stands_for_no_instructions() {
    for mark in [json!({"cachePoint": {"type": "default"}}), json!({"guarded": "cachePoint"})] {
        let all = [json!({"role": "system", "content": [mark]}), asked()];
        assert_eq!(accepted(&all, "converse").get("system"), None);
    }
    let both = json!({"role": "system", "content": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}]});
    assert_eq!(accepted(&[both, asked()], "converse")["system"].as_array().unwrap().len(), 2);
}

#[test]
fn four_marks_for_a_cache_are_sent_at_most() {
    let anthropics =
        |text: &str, ttl: &str| json!({"type": "text", "text": text, "cache_control": {"type": "ephemeral", "ttl": ttl}});
    let said = |role: &str, text: &str, ttl: &str| json!({"role": role, "content": [anthropics(text, ttl)]});
    let marked = |all: &[Value], format: &str| -> Vec<String> {
        let answer = accepted(all, format);
        let messages = answer["messages"].as_array().unwrap().iter().flat_map(|message| message["content"].as_array().unwrap());
        let blocks: Vec<&Value> = answer["system"].as_array().into_iter().flatten().chain(messages).collect();
        let before = |at: usize| if format == "converse" { at - 1 } else { at };
        let is_marked = |block: &Value| block.get("cache_control").is_some() || block.get("cachePoint").is_some();
        let places = (0..blocks.len()).filter(|at| is_marked(blocks[*at]));
        places.map(|at| blocks[before(at)]["text"].as_str().unwrap_or_default().to_owned()).collect()
    };
    // The last mark of the instructions stays, and the newest others.
    let mut all = vec![said("system", "a", "5m"), said("system", "b", "5m")];
    all.extend(["1", "2", "3", "4", "5"].map(|text| said("user", text, "5m")));
    assert_eq!(marked(&all, "anthropic"), ["b", "3", "4", "5"]);
    assert_eq!(marked(&all[..4], "anthropic"), ["a", "b", "1", "2"]);
    assert_eq!(marked(&all[2..], "anthropic"), ["2", "3", "4", "5"]);
    // None for an hour is behind one for five minutes.
    let all = [said("system", "a", "1h"), said("user", "1", "5m"), said("assistant", "2", "1h"), said("user", "3", "1h")];
    assert_eq!(marked(&all, "anthropic"), ["a", "1", "2", "3"]);
    // Blocks in results count, too.
    let call = |id: &str| json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "f", "input": {}}]});
    let result = |id: &str| {
        json!({"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": id, "content": [anthropics("r", "5m"), anthropics("s", "5m")], "cache_control": {"type": "ephemeral"}}]})
    };
    let all = [asked(), call("a"), result("a"), call("b"), result("b"), said("user", "5", "5m")];
    let written = accepted(&all, "anthropic").to_string();
    assert_eq!(written.matches("cache_control").count(), 4, "{written}");

    let converses =
        |role: &str, text: &str| json!({"role": role, "content": [{"text": text}, {"cachePoint": {"type": "default"}}]});
    let mut all = vec![converses("system", "a"), converses("system", "b")];
    all.extend(["1", "2", "3", "4", "5"].map(|text| converses("user", text)));
    assert_eq!(marked(&all, "converse"), ["b", "3", "4", "5"]);
    // A mark says nothing.
    let mark = json!({"cachePoint": {"type": "default"}});
    let call = json!({"role": "assistant", "content": [{"toolUse": {"toolUseId": "a", "name": "f", "input": {}}}]});
    let result = json!({"role": "user", "content": [{"toolResult": {"toolUseId": "a", "content": [{"text": "r"}, mark]}}]});
    for role in ["user", "assistant"] {
        accepted(&[asked(), json!({"role": role, "content": [mark]}), call.clone(), result.clone()], "converse");
    }
    accepted(&[json!({"role": "user", "content": [mark]})], "converse");
}

#[test]
fn a_call_that_is_left_out_takes_its_output_with_it() {
    let function = json!({"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}"});
    for kind in ["custom_tool_call", "shell_call"] {
        let custom = json!({"type": kind, "call_id": "c1", "name": "grep", "input": "secret"});
        let output = json!({"type": format!("{kind}_output"), "call_id": "c1", "output": "a needle"});
        for role in ["tool", "user", "assistant"] {
            let all = [
                asked(),
                json!({"role": "assistant", "content": [custom]}),
                json!({"role": "assistant", "content": [function]}),
                json!({"role": role, "content": [output]}),
                asked(),
            ];
            for format in FORMATS {
                let written = accepted(&all, format).to_string();
                assert!(!written.contains("needle") && !written.contains("secret"), "{format}: {written}");
                assert!(written.contains("[no result: interrupted]"), "{format}: {written}");
            }
        }
    }
}

#[test]
fn four_kib_are_four_kib() {
    for (bytes, tokens) in [(1, 1000), (4095, 1000), (4096, 1000), (4097, 2000), (8192, 2000)] {
        let data = BASE64_STANDARD.encode(vec![0; bytes]);
        let part = json!({"type": "file", "mediaType": "application/zip", "data": data});
        assert_eq!(context::MediaSize::of(&json!([part]).to_string()).unwrap().tokens, tokens, "{bytes}");
    }
}

#[test]
fn a_text_beside_a_result_belongs_to_it() {
    let calling = json!({"role": "assistant", "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
    let results = json!({"role": "tool", "content": [
        {"type": "tool_result", "tool_use_id": "c1", "content": "rain"}, {"type": "text", "text": "since noon"}]});
    for format in FORMATS {
        let written = accepted(&[asked(), calling.clone(), results.clone(), asked()], format).to_string();
        assert!(written.contains("rain") && written.contains("since noon"), "{format}: {written}");
    }
}

#[test]
fn an_answer_fits_in_a_response() {
    let parts = json!(vec![json!({"text": "a"}); 80_000]);
    let signs = BASE64_STANDARD.encode(vec![1; 2_000_000]);
    let file = json!([{"type": "file", "mediaType": "text/plain", "data": signs}]);
    for content in [parts, file] {
        let all = vec![json!({"role": "user", "content": content}); 5];
        for format in FORMATS {
            let written = answer(&all, format, "").to_string().len();
            assert!(written < 6_000_000, "{format}: {written} bytes");
        }
    }
}
