//! `GET /conversations/{conversation_id}/context`

mod anthropic;
mod reference;
mod responses;
mod results;
mod rules;
mod spelling;
mod step;
mod tokens;
mod unanswered;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, App};
use crate::transcripts::{store, transcripts};

/// A conversation of ada's with these messages; its context's path.
async fn conversation_of(app: &App, messages: &[Value]) -> String {
    let conversation = app.conversation().await;
    if !messages.is_empty() {
        app.post(&format!("/conversations/{conversation}/messages")).json(&json!({"messages": messages})).expect(201).await;
    }
    format!("/conversations/{conversation}/context")
}

fn say(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

fn call(ids: &[&str]) -> Value {
    let calls: Vec<Value> =
        ids.iter().map(|id| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}})).collect();
    json!({"role": "assistant", "content": null, "tool_calls": calls})
}

fn result(id: &str) -> Value {
    json!({"role": "tool", "content": "r", "tool_call_id": id})
}

async fn positions(app: &App, path: &str, query: &str) -> Vec<u64> {
    let context = app.get(&format!("{path}?{query}")).expect(200).await.json();
    let messages = context["messages"].as_array().unwrap();
    messages.iter().map(|message| message["position"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn pinned_messages_come_first_and_then_the_newest_turns_that_fit() {
    let app = App::start().await;
    let path = conversation_of(
        &app,
        &[
            say("system", "1"),
            say("developer", "2"),
            say("user", "3"),
            say("assistant", "4"),
            say("user", "5"),
            say("system", "6"),
            say("assistant", "7"),
        ],
    )
    .await;
    assert_eq!(positions(&app, &path, "").await, [1, 2, 3, 4, 5, 6, 7]);
    for (max_messages, expected) in [
        (7, vec![1, 2, 3, 4, 5, 6, 7]),
        (6, vec![1, 2, 5, 6, 7]),
        (5, vec![1, 2, 5, 6, 7]),
        // The newest turn is shortened.
        (4, vec![1, 2, 5, 7]),
        (3, vec![1, 2, 5]),
        (2, vec![1, 2, 5]),
        (1, vec![1, 2, 5]),
    ] {
        assert_eq!(positions(&app, &path, &format!("max_messages={max_messages}")).await, expected, "{max_messages}");
        assert_eq!(positions(&app, &path, &format!("max_chars={max_messages}")).await, expected, "{max_messages}");
    }
    assert_eq!(positions(&app, &path, "max_messages=7&max_chars=5").await, [1, 2, 5, 6, 7]);
    let answer = app.get(&format!("{path}?max_messages=5")).expect(200).await;
    assert_eq!((answer.json()["omitted"].as_u64(), answer.headers["etag"].as_str()), (Some(2), "\"2\""));
    assert_eq!(app.get(&path).header("if-none-match", "\"2\"").expect(304).await.body, "");
}

#[tokio::test]
async fn calls_and_results_stay_together() {
    let app = App::start().await;
    let parallel = [
        say("user", "1"),
        call(&["a", "b"]),
        result("b"),
        result("a"),
        say("assistant", "5"),
        say("user", "6"),
        say("assistant", "7"),
    ];
    let path = conversation_of(&app, &parallel).await;
    assert_eq!(positions(&app, &path, "max_messages=6").await, [6, 7]);
    assert_eq!(positions(&app, &path, "max_messages=7").await, [1, 2, 3, 4, 5, 6, 7]);

    let same_ids = [say("user", "1"), call(&["a"]), result("a"), say("user", "4"), call(&["a"]), result("a")];
    let path = conversation_of(&app, &same_ids).await;
    assert_eq!(positions(&app, &path, "max_messages=5").await, [4, 5, 6]);
    assert_eq!(positions(&app, &path, "").await, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn tools_of_other_spellings_are_understood() {
    let app = App::start().await;
    let anonymous = [
        say("user", "1"),
        json!({"role": "assistant", "tool_calls": {"name": "f"}}),
        say("tool", "3"),
        say("user", "4"),
        say("assistant", "5"),
    ];
    let path = conversation_of(&app, &anonymous).await;
    assert_eq!(positions(&app, &path, "").await, [1, 2, 3, 4, 5]);
    assert_eq!(positions(&app, &path, "max_messages=4").await, [4, 5]);

    let empty = [
        say("user", "1"),
        json!({"role": "assistant", "content": "2", "tool_calls": {}}),
        say("user", "3"),
        json!({"role": "assistant", "content": "4", "tool_calls": [{ }]}),
    ];
    let path = conversation_of(&app, &empty).await;
    assert_eq!(positions(&app, &path, "").await, [1, 2, 3, 4], "no member, no call");
    for ids in [["", ""], ["a", "a"]] {
        let path =
            conversation_of(&app, &[say("user", "1"), call(&ids), result(ids[0]), result(ids[1]), say("assistant", "5")]).await;
        assert_eq!(positions(&app, &path, "").await, [1, 2, 3, 4, 5], "{ids:?}");
    }

    let anthropic = [
        say("user", "1"),
        json!({"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]}),
        json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "r"}]}),
        say("assistant", "4"),
    ];
    let path = conversation_of(&app, &anthropic).await;
    assert_eq!(positions(&app, &path, "").await, [1, 2, 3, 4]);
    assert_eq!(positions(&app, &path, "max_messages=3").await, [1, 4], "a result is no start, and no question");
}

#[tokio::test]
async fn when_not_even_the_newest_turn_fits_it_is_shortened() {
    let app = App::start().await;
    let mut messages = vec![say("system", "be brief"), say("user", "old"), say("assistant", "old"), say("user", "question")];
    for step in 0..120 {
        let id = format!("call_{step}");
        messages.extend([call(&[&id]), result(&id)]);
    }
    let path = conversation_of(&app, &messages).await;
    assert_eq!(positions(&app, &path, "max_messages=6").await, [1, 4, 241, 242, 243, 244]);
    assert_eq!(positions(&app, &path, "max_messages=5").await, [1, 4, 243, 244]);
    assert_eq!(positions(&app, &path, "max_messages=2").await, [1, 4]);
    assert_eq!(positions(&app, &path, "max_chars=1").await, [1, 4]);
    let picture = json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]});
    let turn = [say("user", "old"), say("assistant", "old"), picture, call(&["a"]), result("a"), call(&["b"]), result("b")];
    let pictured = conversation_of(&app, &turn).await;
    assert_eq!(positions(&app, &pictured, "max_messages=3").await, [3, 6, 7], "a question need not have words");
    assert_eq!(positions(&app, &path, "max_messages=242").await, [1].into_iter().chain(4..=244).collect::<Vec<_>>());
    let answer = app.get(&format!("{path}?max_messages=5")).expect(200).await.json();
    assert_eq!(answer["omitted"], 240);
}

#[tokio::test]
async fn conversations_without_a_question_are_their_instructions() {
    let app = App::start().await;
    for (messages, expected) in [
        (vec![], vec![]),
        (vec![say("system", "1"), say("system", "2")], vec![1, 2]),
        (vec![say("system", "1"), say("assistant", "2")], vec![1]),
        (vec![say("assistant", "1")], vec![]),
        (vec![call(&["a"])], vec![]),
        (vec![result("a")], vec![]),
    ] {
        let path = conversation_of(&app, &messages).await;
        assert_eq!(positions(&app, &path, "").await, expected, "{messages:?}");
        assert_eq!(positions(&app, &path, "max_messages=1").await, expected, "{messages:?}");
    }
}

#[tokio::test]
async fn what_a_response_cannot_hold_is_omitted() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    for n in 0..12 {
        let content = ["\"", "\u{1}", "é"][n % 3].repeat(500_000 / (1 + n % 3));
        let body = json!({"role": if n == 0 { "system" } else { "user" }, "content": content});
        app.post(&format!("/conversations/{conversation}/messages")).json(&body).expect(201).await;
    }
    let context = app.get(&format!("/conversations/{conversation}/context")).expect(200).await.json();
    let messages = context["messages"].as_array().unwrap();
    assert!(messages.len() >= 3 && messages.len() < 12);
    assert_eq!(messages[messages.len() - 1]["position"], 12);
    assert_eq!(context["omitted"], 12 - messages.len());
}

#[tokio::test]
async fn openai_messages_have_no_nulls_but_a_null_content() {
    let app = App::start().await;
    let calls = r#"[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"n\": 1.0}"}}]"#;
    let conversation = app.conversation().await;
    let path = format!("/conversations/{conversation}/messages");
    app.post(&path).json(&json!({"role": "user", "content": "1", "name": "Ada", "metadata": {"a": 1}})).expect(201).await;
    app.post(&path).body(format!(r#"{{"role":"assistant","content":null,"tool_calls":{calls}}}"#)).expect(201).await;
    app.post(&path).json(&json!({"role": "tool", "content": "r", "tool_call_id": "a"})).expect(201).await;
    let body = app.get(&format!("/conversations/{conversation}/context?format=openai")).expect(200).await.body;
    assert_eq!(
        body,
        format!(
            r#"{{"messages":[{{"role":"user","content":"1","name":"Ada"}},{{"role":"assistant","content":null,"tool_calls":{calls}}},{{"role":"tool","content":"r","tool_call_id":"a"}}],"omitted":0,"tokens":35,"estimated":true,"first_position":1,"repaired":[],"open_calls":[],"elided":0,"summary":null}}"#
        )
    );
    app.get(&format!("/conversations/{conversation}/context?format=messages")).expect(200).await;
}

#[tokio::test]
async fn what_is_wrong_or_not_there_or_not_allowed_is_refused() {
    let app = App::start().await;
    let path = conversation_of(&app, &[say("user", "1")]).await;
    for (query, param) in [
        ("max_messages=0", "max_messages"),
        ("max_messages=x", "max_messages"),
        ("max_chars=0", "max_chars"),
        ("max_chars=-1", "max_chars"),
        ("max_tokens=0", "max_tokens"),
        ("step=0", "step"),
        ("tool_results=-1", "tool_results"),
        ("format=xml", "format"),
        ("unanswered=keep", "unanswered"),
        ("call_ids=drop", "call_ids"),
    ] {
        app.get(&format!("{path}?{query}")).refused(400, "invalid_parameter", param).await;
    }
    app.get(&path).json(&json!({"max_words": 5})).refused(400, "unknown_parameter", "max_words").await;
    app.get(&path).header("if-none-match", "x").refused(400, "invalid_parameter", "If-None-Match").await;
    app.get(&path).by("bob").refused(404, "not_found", None).await;
    app.get(&path).by_nobody().refused(401, "unauthenticated", None).await;
    app.get(&format!("/conversations/{}/context", Uuid::now_v7())).refused(404, "not_found", None).await;
    app.get("/conversations/x/context").refused(400, "invalid_uuid", "conversation_id").await;
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap().try_into().unwrap()
}

fn characters(message: &Value) -> usize {
    let content = message["content"].as_str().map_or(0, |content| content.chars().count());
    content + if message["tool_calls"].is_null() { 0 } else { number(&message["raw_tool_calls_characters"]) }
}

/// No result without its call before it, no call without all its results behind it.
fn is_complete(messages: &[&Value]) -> bool {
    let (mut called, mut open) = (BTreeSet::new(), BTreeSet::new());
    for message in messages {
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            called.insert(call["id"].as_str().unwrap());
            open.insert(call["id"].as_str().unwrap());
        }
        if message["role"] == "tool" {
            let id = message["tool_call_id"].as_str().unwrap();
            if !called.contains(id) {
                return false;
            }
            open.remove(id);
        }
    }
    open.is_empty()
}

/// The answer by trying every start; `None`: not even the newest turn fits.
fn longest_by_trial(all: &[Value], max_messages: usize, max_characters: usize) -> Option<Vec<&Value>> {
    let pinned = all.iter().take_while(|message| message["role"] == "system" || message["role"] == "developer").count();
    (pinned..all.len()).find_map(|start| {
        let suffix: Vec<&Value> = all[start..].iter().collect();
        let window: Vec<&Value> = all[..pinned].iter().chain(suffix.iter().copied()).collect();
        let fits =
            window.len() <= max_messages && window.iter().map(|message| characters(message)).sum::<usize>() <= max_characters;
        (all[start]["role"] == "user" && fits && is_complete(&suffix)).then_some(window)
    })
}

/// Checks what holds for every answer. Returns whether the answer is a shortened turn.
fn prove(all: &[Value], answer: &Answer, max_messages: usize, max_characters: usize) -> bool {
    let context = answer.json();
    let messages = context["messages"].as_array().unwrap();
    let positions: Vec<&Value> = messages.iter().map(|message| &message["position"]).collect();
    assert_eq!(number(&context["omitted"]), all.len() - messages.len());
    if let Some(expected) = longest_by_trial(all, max_messages, max_characters) {
        assert_eq!(positions, expected.iter().map(|message| &message["position"]).collect::<Vec<_>>());
        return false;
    }
    let pinned = all.iter().take_while(|message| message["role"] == "system").count();
    let question = all.iter().rfind(|message| message["role"] == "user").unwrap();
    let kept: Vec<&Value> = all[..pinned].iter().chain([question]).map(|message| &message["position"]).collect();
    assert!(positions.starts_with(&kept));
    assert!(is_complete(&messages.iter().collect::<Vec<_>>()));
    let rest = &positions[kept.len()..];
    assert!(all.iter().map(|message| &message["position"]).collect::<Vec<_>>().ends_with(rest), "the newest of the turn");
    assert!(rest.is_empty() || messages.len() <= max_messages);
    true
}

#[cfg_attr(not(has_transcripts), ignore = "there are no recorded conversations: name a file in TRANSCRIPTS")]
#[tokio::test]
async fn on_every_real_transcript_every_window_is_the_longest_that_a_model_accepts() {
    let transcripts = transcripts();
    let app = App::with_instances(2).await;
    let (mut windows, mut shortened) = (0, 0);
    for transcript in transcripts {
        let messages_path = store(&app, &transcript.id, &transcript.messages).await;
        let path = messages_path.replace("/messages", "/context");
        let mut all = app.get(&messages_path).expect(200).await.array();
        for (message, sent) in all.iter_mut().zip(&transcript.messages) {
            if let Some(calls) = sent.get("tool_calls") {
                message["raw_tool_calls_characters"] = json!(calls.get().chars().count());
            }
        }
        let total: usize = all.iter().map(characters).sum();
        for max_messages in 1..=all.len() {
            let answer = app.get(&format!("{path}?max_messages={max_messages}")).expect(200).await;
            shortened += usize::from(prove(&all, &answer, max_messages, usize::MAX));
            windows += 1;
        }
        for max_characters in (1..=10).map(|tenth| total * tenth / 10).chain([1, total - 1, total + 1]) {
            let answer = app.get(&format!("{path}?max_chars={max_characters}")).expect(200).await;
            shortened += usize::from(prove(&all, &answer, usize::MAX, max_characters));
            windows += 1;
        }
        for query in ["", "&max_messages=10", "&max_messages=3&max_chars=10000"] {
            for format in rules::FORMATS {
                let answer = app.get(&format!("{path}?format={format}{query}")).expect(200).await.json();
                assert_eq!(rules::refused(format, &answer), None);
            }
        }
    }
    println!("{windows} windows proved, {shortened} of them shortened turns");
    assert!(windows > shortened && shortened > 0);
}

#[tokio::test]
async fn large_instructions_and_a_large_question_fit_in_a_response() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    let path = format!("/conversations/{conversation}/messages");
    for (role, content) in [("system", "\"".repeat(590_000)), ("user", "\u{1}".repeat(640_000))] {
        app.post(&path).json(&json!({"role": role, "content": content})).base64().expect(201).await;
    }
    let context = app.get(&format!("/conversations/{conversation}/context")).expect(200).await.json();
    assert_eq!(context["messages"].as_array().unwrap().last().unwrap()["role"], "user", "the question is there");

    let conversation = app.conversation().await;
    let path = format!("/conversations/{conversation}/messages");
    let instructions = "a".repeat(700_000) + &"\"".repeat(340_000);
    app.post(&path).json(&json!({"role": "system", "content": instructions})).base64().expect(201).await;
    app.post(&path).json(&json!({"role": "user", "content": "hi"})).expect(201).await;
    let context = app.get(&format!("/conversations/{conversation}/context")).expect(200).await.json();
    assert_eq!((context["messages"].as_array().unwrap().len(), &context["omitted"]), (2, &json!(0)));
}

#[tokio::test]
async fn parts_of_any_kind_hide_no_tools() {
    let app = App::start().await;
    let messages = [
        say("user", "1"),
        json!({"role": "assistant", "content": [{"type": "tool_use", "id": "t"}]}),
        json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}, {"type": "image", "id": 5}]}),
        say("assistant", "4"),
    ];
    let path = conversation_of(&app, &messages).await;
    assert_eq!(positions(&app, &path, "max_messages=2").await, [1, 4]);
    let conversation = app.conversation().await;
    let deep = format!(r#"{{"role":"assistant","tool_calls":[{{"id":"d","x":{}{}}}]}}"#, "[".repeat(300), "]".repeat(300));
    for body in [say("user", "1").to_string(), deep, result("d").to_string()] {
        app.post(&format!("/conversations/{conversation}/messages")).body(body).expect(201).await;
    }
    let body = app.get(&format!("/conversations/{conversation}/context")).expect(200).await.body;
    assert!(body.contains(r#""omitted":0,"tokens":169,"estimated":true,"first_position":1,"repaired":[],"#), "{body}");
}

#[tokio::test]
async fn a_question_that_alone_is_over_the_limit_is_found_behind_larger_messages() {
    let app = App::start().await;
    let path = conversation_of(
        &app,
        &[say("user", "q"), say("assistant", &"long ".repeat(100)), say("assistant", &"longer ".repeat(100))],
    )
    .await;
    assert_eq!(positions(&app, &path, "max_chars=10").await, [1]);
}
