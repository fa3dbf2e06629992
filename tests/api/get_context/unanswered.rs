//! Calls without results, and results without calls.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::anthropic::said;
use super::reference::{self, Expected, Limits};
use super::rules::{anthropic_refuses, chat_completions_refuses, messages_api_refuses, refused};
use super::{call, conversation_of, positions, result, say, spelling};
use crate::support::App;
use crate::transcripts::transcripts;

const NO_RESULT: &str = "[no result: interrupted]";
pub const NO_LIMITS: Limits = Limits { messages: usize::MAX, characters: usize::MAX, tokens: u64::MAX, step: None, results: None };

/// An assistant's calls as Anthropic's content parts.
fn tool_use(text: Option<&str>, ids: &[&str]) -> Value {
    let text = text.map(|text| json!({"type": "text", "text": text}));
    let calls = ids.iter().map(|id| json!({"type": "tool_use", "id": id, "name": "f", "input": {}}));
    json!({"role": "assistant", "content": text.into_iter().chain(calls).collect::<Vec<Value>>()})
}

fn tool_result(ids: &[&str], text: Option<&str>) -> Value {
    let text = text.map(|text| json!({"type": "text", "text": text}));
    let results = ids.iter().map(|id| json!({"type": "tool_result", "tool_use_id": id, "content": "r"}));
    json!({"role": "user", "content": results.chain(text).collect::<Vec<Value>>()})
}

pub async fn context(app: &App, path: &str, query: &str) -> Value {
    app.get(&format!("{path}?{query}")).expect(200).await.json()
}

/// Role, content and call ids of each message: short enough to compare by eye.
fn brief(answer: &Value) -> Vec<String> {
    let messages = answer["messages"].as_array().unwrap().iter();
    let brief = messages.map(|message| {
        let mut ids: Vec<&str> =
            message["tool_calls"].as_array().into_iter().flatten().filter_map(|call| call["id"].as_str()).collect();
        ids.extend(message["tool_call_id"].as_str());
        let content = message["content"].as_str().map_or_else(|| message["content"].to_string(), str::to_owned);
        format!("{} {content} {}", message["role"].as_str().unwrap(), ids.join(",")).trim_end().to_owned()
    });
    brief.collect()
}

#[tokio::test]
async fn an_open_call_costs_none_of_the_history_before_it() {
    let app = App::start().await;
    let mut messages = vec![say("system", "1")];
    for turn in 0..4 {
        messages.extend([say("user", &format!("question {turn}")), say("assistant", &format!("answer {turn}"))]);
    }
    messages.extend([say("user", "10"), call(&["a"])]);
    let path = conversation_of(&app, &messages).await;
    let answer = context(&app, &path, "").await;
    assert_eq!(positions(&app, &path, "").await, (1..=10).collect::<Vec<u64>>());
    assert_eq!((&answer["omitted"], &answer["open_calls"]), (&json!(1), &json!(["a"])));
    assert_eq!((&answer["repaired"], &answer["first_position"]), (&json!([]), &json!(2)));

    let partly = [say("user", "1"), call(&["a", "b", "c"]), result("a"), result("c")];
    let path = conversation_of(&app, &partly).await;
    for query in ["", "unanswered=drop", "max_messages=1", "max_chars=1"] {
        let answer = context(&app, &path, query).await;
        assert_eq!(positions(&app, &path, query).await, [1], "{query}: the open step takes no room");
        assert_eq!((&answer["omitted"], &answer["open_calls"]), (&json!(3), &json!(["b"])), "{query}");
    }

    let instructed = [say("user", "1"), call(&["a"]), say("developer", "3")];
    let path = conversation_of(&app, &instructed).await;
    assert_eq!(positions(&app, &path, "").await, [1, 3], "instructions interrupt nothing");
}

#[tokio::test]
async fn a_large_open_step_takes_no_room_from_the_history() {
    let app = App::start().await;
    let ids: Vec<String> = (0..30).map(|id| id.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut messages = vec![say("user", "1"), say("assistant", "2"), say("user", "3"), say("assistant", "4"), say("user", "5")];
    messages.push(call(&ids));
    messages.extend(ids[1..].iter().map(|id| result(id)));
    let path = conversation_of(&app, &messages).await;
    assert_eq!(positions(&app, &path, "max_messages=3").await, [3, 4, 5]);
    assert_eq!(positions(&app, &path, "max_chars=5").await, [1, 2, 3, 4, 5]);
    assert_eq!(context(&app, &path, "max_messages=3").await["open_calls"], json!(["0"]));
}

#[tokio::test]
async fn an_interrupted_call_is_answered() {
    let app = App::start().await;
    let messages = [say("user", "1"), call(&["a", "b"]), result("a"), say("user", "4"), say("assistant", "5")];
    let path = conversation_of(&app, &messages).await;
    let answer = context(&app, &path, "").await;
    assert_eq!(
        brief(&answer),
        ["user 1", "assistant null a,b", "tool r a", &format!("tool {NO_RESULT} b"), "user 4", "assistant 5"]
    );
    let synthetic = &answer["messages"][3];
    assert_eq!((&synthetic["position"], &synthetic["metadata"]), (&json!(2), &json!({"synthetic": true})));
    assert_eq!(synthetic["created_at"], answer["messages"][1]["created_at"]);
    assert_eq!(context(&app, &path, "").await["messages"][3]["id"], synthetic["id"], "the id is always the same");
    assert_eq!((&answer["omitted"], &answer["repaired"], &answer["open_calls"]), (&json!(0), &json!([2]), &json!([])));
    assert_eq!(
        context(&app, &path, "format=openai").await["messages"][3],
        json!({"role": "tool", "content": NO_RESULT, "tool_call_id": "b"})
    );
    assert_eq!(positions(&app, &path, "max_messages=5").await, [4, 5], "the result counts");
    assert_eq!(positions(&app, &path, "max_messages=6").await.len(), 6);

    let answer = context(&app, &path, "unanswered=drop").await;
    assert_eq!(brief(&answer), ["user 1", "assistant null a", "tool r a", "user 4", "assistant 5"]);
    assert_eq!((&answer["omitted"], &answer["repaired"]), (&json!(0), &json!([2])));

    let went_on = [say("user", "1"), call(&["a"]), say("assistant", "3")];
    let path = conversation_of(&app, &went_on).await;
    assert_eq!(
        brief(&context(&app, &path, "").await),
        ["user 1", "assistant null a", &format!("tool {NO_RESULT} a"), "assistant 3"]
    );
    let answer = context(&app, &path, "unanswered=drop").await;
    assert_eq!((brief(&answer), &answer["omitted"]), (vec!["user 1".to_owned(), "assistant 3".to_owned()], &json!(1)));

    let history = app.get(&path.replace("/context", "/messages")).expect(200).await.array();
    assert_eq!(history.len(), 3, "what is stored is never touched");
}

#[tokio::test]
async fn an_interrupted_call_in_content_parts_is_answered_in_parts() {
    let app = App::start().await;
    let part = |id| json!([{"type": "tool_result", "tool_use_id": id, "content": NO_RESULT}]);
    let messages = [say("user", "1"), tool_use(Some("2"), &["a", "b"]), tool_result(&["a"], None), say("user", "4")];
    let path = conversation_of(&app, &messages).await;
    let answer = context(&app, &path, "").await;
    assert_eq!((&answer["messages"][3]["role"], &answer["messages"][3]["content"]), (&json!("user"), &part("b")));
    let answer = context(&app, &path, "unanswered=drop").await;
    assert_eq!(answer["messages"][1]["content"], tool_use(Some("2"), &["a"])["content"]);

    let spoken = [say("user", "1"), tool_use(None, &["a", "b"]), tool_result(&["a"], Some("stop")), say("assistant", "4")];
    let path = conversation_of(&app, &spoken).await;
    let answer = context(&app, &path, "").await;
    assert_eq!(answer["messages"][2]["content"], part("b"), "results come before what the user says");
    assert_eq!(anthropic_refuses(answer["messages"].as_array().unwrap()), None);

    let nothing = [say("user", "1"), tool_use(None, &["a"]), say("user", "3")];
    let path = conversation_of(&app, &nothing).await;
    assert_eq!(positions(&app, &path, "unanswered=drop").await, [1, 3], "a message of which nothing is left is left out");
}

#[tokio::test]
async fn late_results_and_results_without_calls_are_left_out() {
    let app = App::start().await;
    let late = [say("user", "1"), call(&["a"]), say("user", "3"), result("a"), say("assistant", "5")];
    let path = conversation_of(&app, &late).await;
    let answer = context(&app, &path, "").await;
    assert_eq!(brief(&answer), ["user 1", "assistant null a", &format!("tool {NO_RESULT} a"), "user 3", "assistant 5"]);
    assert_eq!((&answer["omitted"], &answer["repaired"]), (&json!(1), &json!([2, 4])));

    let orphan = [say("user", "1"), result("x"), say("user", "3"), tool_result(&["y"], Some("4"))];
    let path = conversation_of(&app, &orphan).await;
    let answer = context(&app, &path, "").await;
    assert_eq!(positions(&app, &path, "").await, [1, 3, 4]);
    assert_eq!(answer["messages"][2]["content"], json!([{"type": "text", "text": "4"}]));
    assert_eq!((&answer["omitted"], &answer["repaired"]), (&json!(1), &json!([2, 4])));
}

#[tokio::test]
async fn calls_in_messages_of_their_own_are_answered_together() {
    let app = App::start().await;
    let messages =
        [say("user", "1"), call(&["a"]), say("assistant", "3"), call(&["b"]), say("system", "5"), result("a"), result("b")];
    let path = conversation_of(&app, &messages).await;
    let answer = context(&app, &path, "format=openai").await;
    assert_eq!(brief(&answer), ["user 1", "assistant 3 a,b", "tool r a", "tool r b", "system 5"]);
    assert_eq!((&answer["omitted"], &answer["repaired"]), (&json!(0), &json!([5])));
    assert_eq!(positions(&app, &path, "").await, [1, 2, 3, 4, 6, 7, 5]);
}

/// A kind of event in a conversation and two choices within it.
pub type Event = (u8, u8, u8);

pub fn events() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec((0_u8..16, any::<u8>(), any::<u8>()), 1..14)
}

/// A conversation with calls that are answered, answered in part, late or never.
pub fn conversation(events: &[Event], in_parts: bool) -> Vec<Value> {
    const IDS: [&str; 4] = ["a", "b", "c", "d"];
    let mut messages: Vec<Value> = Vec::new();
    let mut called: Vec<&str> = Vec::new();
    let answer = |messages: &mut Vec<Value>, ids: &[&str], spoken: bool| {
        if in_parts && !ids.is_empty() {
            messages.push(tool_result(ids, spoken.then_some("stop")));
        } else if !in_parts {
            messages.extend(
                ids.iter().map(|id| if spoken { json!({"role": "tool", "content": "", "tool_call_id": id}) } else { result(id) }),
            );
        }
    };
    for (at, (kind, one, other)) in events.iter().enumerate() {
        let (text, pick) = (format!("{at}{}", "x".repeat(usize::from(other % 20))), usize::from(*one));
        match kind {
            0..=2 => messages.push(say("user", &text)),
            3 | 4 => messages.push(say("assistant", &text)),
            5 => messages.push(say(if one % 2 == 0 { "system" } else { "developer" }, &text)),
            6..=9 => {
                // Sometimes the same id twice.
                called = (0..=other % 3).map(|call| IDS[(pick + usize::from(call * (1 + other % 2))) % 3]).collect();
                if in_parts {
                    messages.push(tool_use((one % 2 == 0).then_some(&text), &called));
                } else {
                    let mut message = call(&called);
                    message["content"] = [Value::Null, json!(""), json!(text), json!([{"type": "text", "text": text}])]
                        [usize::from(one % 4)]
                    .clone();
                    messages.push(message);
                }
            }
            10..=12 => answer(&mut messages, &called, false),
            13 => answer(&mut messages, &called, true),
            14 => answer(&mut messages, &called[called.len().min(1)..], one % 2 == 0),
            _ => answer(&mut messages, &[IDS[pick % 4]], one % 3 == 0),
        }
    }
    for (at, message) in messages.iter_mut().enumerate() {
        // Some results are long enough to be left out, as text and as parts.
        let text = |at: usize| json!("é".repeat(at * 53 % 190));
        let content = |at: usize| if at.is_multiple_of(3) { json!([{"text": text(at), "type": "text"}]) } else { text(at) };
        if message["role"] == "tool" && message["content"] == "r" {
            message["content"] = content(at);
        }
        for (part, value) in message["content"].as_array_mut().into_iter().flatten().enumerate() {
            if value["type"] == "tool_result" {
                value["content"] = content(at + part);
            }
        }
    }
    for (at, message) in messages.iter_mut().enumerate().filter(|(at, _)| at % 5 < 2) {
        message["token_count"] = json!(at * 7 % 40);
    }
    messages
}

fn without_made_up_ids(messages: &[Value]) -> Vec<Value> {
    let mut messages = messages.to_vec();
    for message in &mut messages {
        if message["metadata"]["synthetic"] == true {
            message["id"] = Value::Null;
        }
    }
    messages
}

/// Compares an answer with what is expected, in both formats.
async fn prove(app: &App, path: &str, all: &[Value], drop: bool, limits: Limits, in_parts: bool) -> Expected {
    let expected = reference::context(all, drop, limits);
    let mut query = format!("unanswered={}", if drop { "drop" } else { "answer" });
    if limits.messages < usize::MAX {
        write!(query, "&max_messages={}", limits.messages).unwrap();
    }
    if limits.characters < usize::MAX {
        write!(query, "&max_chars={}", limits.characters).unwrap();
    }
    if limits.tokens < u64::MAX {
        write!(query, "&max_tokens={}", limits.tokens).unwrap();
    }
    if let Some(step) = limits.step {
        write!(query, "&step={step}").unwrap();
    }
    if let Some(results) = limits.results {
        write!(query, "&tool_results={results}").unwrap();
    }
    let answer = context(app, path, &query).await;
    let stored = json!({"messages": all});
    let told = || format!("{query}: {:#?}\nof {:#?}", brief(&answer), brief(&stored));
    let messages = answer["messages"].as_array().unwrap();
    assert_eq!(without_made_up_ids(messages), without_made_up_ids(&expected.messages), "{}", told());
    assert_eq!(answer["elided"], expected.elided, "{}", told());
    assert_eq!(answer["omitted"], expected.omitted, "{}", told());
    assert_eq!(answer["repaired"], json!(expected.repaired), "{}", told());
    assert_eq!(answer["open_calls"], json!(expected.open_calls), "{}", told());
    assert_eq!(answer["tokens"], messages.iter().map(reference::tokens).sum::<u64>(), "{}", told());
    assert_eq!(answer["estimated"], messages.iter().any(|message| message["token_count"].is_null()), "{}", told());
    let ids: BTreeSet<&str> = messages.iter().map(|message| message["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), messages.len(), "each has an id of its own: {}", told());
    let pinned = messages.iter().take_while(|message| matches!(message["role"].as_str(), Some("system" | "developer"))).count();
    assert!(messages.get(pinned).is_none_or(|first| first["role"] == "user"), "{}", told());
    assert_eq!(answer["first_position"], messages.get(pinned).map_or(Value::Null, |first| first["position"].clone()), "{}", told());

    let openai = context(app, path, &format!("{query}&format=openai")).await;
    let written = openai["messages"].as_array().unwrap();
    assert_eq!(chat_completions_refuses(written), None, "{}", told());
    if !in_parts {
        assert_eq!(*written, reference::as_openai(&expected.messages), "{}", told());
    }
    if !expected.is_shortened || messages.len() > pinned + 1 {
        assert!(messages.len() <= limits.messages, "{}", told());
        assert!(answer["tokens"].as_u64().unwrap() <= limits.tokens, "{}", told());
        // Other spellings have as many messages and characters as they need.
        for sent in [messages, if in_parts { messages } else { written }] {
            assert!(sent.iter().map(reference::characters).sum::<usize>() <= limits.characters, "{}", told());
        }
    }
    let anthropic = context(app, path, &format!("{query}&format=anthropic")).await;
    assert_eq!(messages_api_refuses(&anthropic), None, "{}", told());
    assert_eq!(said(&anthropic), reference::said(&expected.messages), "{}", told());
    let mut answers = vec![openai, anthropic];
    for format in ["responses", "gemini", "converse"] {
        let answer = context(app, path, &format!("{query}&format={format}")).await;
        assert_eq!(refused(format, &answer), None, "{}", told());
        answers.push(answer);
    }
    for answer in &answers {
        assert_eq!(spelling::survived(answer), spelling::survived(&json!({"messages": expected.messages})), "{}", told());
    }
    if in_parts {
        assert_eq!(anthropic_refuses(messages), None, "{}", told());
    }
    expected
}

#[tokio::test]
async fn whatever_was_interrupted_the_context_is_the_longest_that_a_model_accepts() {
    const CASES: usize = 150;
    let app = App::start().await;
    let mut runner = TestRunner::deterministic();
    let (mut repaired, mut open, mut shortened, mut omitted, mut elided) = (0, 0, 0, 0, 0);
    for case in 0..CASES {
        let in_parts = case % 2 == 1;
        let messages = conversation(&events().new_tree(&mut runner).unwrap().current(), in_parts);
        let path = conversation_of(&app, &messages).await;
        let all = app.get(&path.replace("/context", "/messages")).expect(200).await.array();
        let characters: usize = all.iter().map(reference::characters).sum();
        let tokens: u64 = all.iter().map(reference::tokens).sum();
        for drop in [false, true] {
            let by_messages = [usize::MAX, 1, 2, 3, 5, 8].map(|messages| Limits { messages, ..NO_LIMITS });
            let by_characters = [1, 2, 3].map(|part| Limits { characters: 1 + characters * part / 4, ..NO_LIMITS });
            let by_tokens = [1, 2, 3].map(|part| Limits { tokens: 1 + tokens * part / 4, ..NO_LIMITS });
            let by_all = [Limits { messages: 4, characters: 1 + characters / 2, tokens: 1 + tokens / 2, ..NO_LIMITS }];
            // Steps that are shorter and longer than what fits.
            let in_steps = [2, 5].into_iter().flat_map(|step| {
                let part = |all: usize| i64::try_from(1 + all / usize::try_from(step * 2).unwrap()).unwrap();
                let by_messages = Limits { messages: 6, step: Some(step), ..NO_LIMITS };
                let by_characters = Limits { characters: 1 + characters / 2, step: Some(part(characters)), ..NO_LIMITS };
                let by_tokens =
                    Limits { tokens: 1 + tokens * 2 / 3, step: Some(part(usize::try_from(tokens).unwrap())), ..NO_LIMITS };
                let by_both = Limits { messages: 5, step: Some(4), ..by_characters };
                let elided = Limits { step: Some(step), results: Some(1), ..NO_LIMITS };
                let elided_by_tokens = Limits { results: Some(2), ..by_tokens };
                [by_messages, by_characters, by_tokens, by_both, elided, elided_by_tokens]
            });
            let with_results = [0, 1, 3].map(|results| Limits { results: Some(results), ..NO_LIMITS });
            let by_all = by_all.into_iter().chain(in_steps).chain(with_results);
            for limits in by_messages.into_iter().chain(by_characters).chain(by_tokens).chain(by_all) {
                let expected = prove(&app, &path, &all, drop, limits, in_parts).await;
                repaired += usize::from(!expected.repaired.is_empty());
                open += usize::from(!expected.open_calls.is_empty());
                shortened += usize::from(expected.is_shortened);
                omitted += usize::from(expected.omitted > 0);
                elided += expected.elided;
            }
        }
    }
    println!(
        "{CASES} conversations; of their windows {repaired} repaired, {open} open, {shortened} shortened, {omitted} not whole; {elided} results elided"
    );
    assert!(repaired > CASES && open > CASES && shortened > CASES && omitted > CASES && elided > CASES, "the cases are lopsided");
}

#[cfg_attr(not(has_transcripts), ignore = "there are no recorded conversations: name a file in TRANSCRIPTS")]
#[tokio::test]
async fn real_transcripts_are_accepted_after_every_message_and_without_any_one_result() {
    let transcripts = transcripts();
    let app = App::with_instances(2).await;
    let (mut cut, mut removed) = (0, 0);
    for transcript in transcripts {
        let messages: Vec<Value> = serde_json::from_str(&serde_json::to_string(&transcript.messages).unwrap()).unwrap();
        let path = conversation_of(&app, &[]).await;
        let messages_path = path.replace("/context", "/messages");
        let mut all = Vec::new();
        for message in &messages {
            all.push(app.post(&messages_path).json(message).expect(201).await.json());
            prove(&app, &path, &all, cut % 2 == 1, NO_LIMITS, false).await;
            cut += 1;
        }
        let results = (0..messages.len()).filter(|at| messages[*at]["role"] == "tool");
        for at in results {
            let mut messages = messages.clone();
            messages.remove(at);
            let path = conversation_of(&app, &[]).await;
            let all =
                app.post(&path.replace("/context", "/messages")).json(&json!({"messages": messages})).expect(201).await.array();
            for limits in [NO_LIMITS, Limits { messages: 12, ..NO_LIMITS }] {
                let expected = prove(&app, &path, &all, removed % 2 == 1, limits, false).await;
                assert!(limits.messages < usize::MAX || expected.repaired.len() == 1 || expected.open_calls.len() == 1);
            }
            removed += 1;
        }
    }
    println!("{cut} beginnings of conversations, {removed} results removed");
    assert!(cut > 1000 && removed > 300, "{cut}, {removed}");
}
