//! `PUT /conversations/{conversation_id}/summary`, and what becomes of it in a context.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::support::{Answer, App, Call};

fn say(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

/// A conversation of ada's with these messages; its path, and the messages' ids.
async fn conversation_of(app: &App, messages: &[Value]) -> (String, Vec<String>) {
    let path = format!("/conversations/{}", app.conversation().await);
    let stored = app.post(&format!("{path}/messages")).json(&json!({"messages": messages})).expect(201).await.array();
    (path, stored.iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect())
}

/// Questions and answers behind instructions: 1 is instructions, even positions are the user's.
async fn chat(app: &App, messages: usize) -> (String, Vec<String>) {
    let role = |position| if position == 1 { "system" } else { ["user", "assistant"][position % 2] };
    let messages: Vec<Value> = (1..=messages).map(|position| say(role(position), &position.to_string())).collect();
    conversation_of(app, &messages).await
}

fn put<'a>(app: &'a App, path: &str, through: u64, content: &str) -> Call<'a> {
    app.put(&format!("{path}/summary")).json(&json!({"through": through, "content": content}))
}

async fn through(app: &App, path: &str) -> Option<u64> {
    app.get(path).expect(200).await.json()["summary"]["through"].as_u64()
}

async fn context(app: &App, path: &str, query: &str) -> Value {
    app.get(&format!("{path}/context?{query}")).expect(200).await.json()
}

fn contents(context: &Value) -> Vec<&str> {
    context["messages"].as_array().unwrap().iter().map(|message| message["content"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_summary_takes_the_place_of_what_does_not_fit() {
    let app = App::start().await;
    let (path, _) = chat(&app, 9).await;
    let stored = put(&app, &path, 5, "2 to 5").expect(200).await;
    assert_eq!(stored.headers["etag"], "\"3\"");
    let conversation = stored.json();
    assert_eq!(conversation["summary"], json!({"through": 5, "created_at": conversation["updated_at"]}));
    assert_eq!(app.get(&path).expect(200).await.json(), conversation);
    assert_eq!(app.get("/users/ada/conversations").expect(200).await.array(), std::slice::from_ref(&conversation));
    assert_eq!(app.post("/conversations").expect(200).await.json(), conversation);
    let id = conversation["id"].as_str().unwrap();
    assert_eq!(app.post(&format!("/conversations?id={id}")).expect(200).await.json(), conversation);
    assert_eq!(app.patch(&path).json(&json!({})).expect(200).await.json(), conversation);

    let whole = context(&app, &path, "").await;
    assert_eq!((contents(&whole).len(), &whole["summary"]), (9, &Value::Null));
    assert_eq!(context(&app, &path, "max_messages=9").await, whole);
    for (max_messages, expected, omitted) in [
        (8, vec!["1", "2 to 5", "6", "7", "8", "9"], 0),
        (6, vec!["1", "2 to 5", "6", "7", "8", "9"], 0),
        (5, vec!["1", "2 to 5", "8", "9"], 2),
        (3, vec!["1", "2 to 5", "8"], 3),
        (1, vec!["1", "2 to 5", "8"], 3),
    ] {
        let context = context(&app, &path, &format!("max_messages={max_messages}")).await;
        assert_eq!((contents(&context), &context["omitted"]), (expected, &json!(omitted)), "{max_messages}");
        assert_eq!(context["summary"], json!({"through": 5}));
        assert_eq!(context["first_position"], if omitted == 0 { 6 } else { 8 });
        let summary = &context["messages"][1];
        assert_eq!((&summary["role"], &summary["position"]), (&json!("system"), &json!(5)));
    }
    let openai = context(&app, &path, "max_messages=6&format=openai").await;
    assert_eq!(openai["messages"][1], json!({"role": "system", "content": "2 to 5"}));
    let anthropic = context(&app, &path, "max_messages=6&format=anthropic").await;
    assert_eq!(anthropic["system"], json!([{"type": "text", "text": "1"}, {"type": "text", "text": "2 to 5"}]));
    assert_eq!(anthropic["messages"].as_array().unwrap().len(), 4);
    assert_eq!(contents(&context(&app, &path, "max_messages=5&step=2").await), ["1", "2 to 5", "8", "9"]);
    let whole_rest = context(&app, &path, "max_messages=7&step=3&tool_results=1&unanswered=drop").await;
    assert_eq!(contents(&whole_rest), ["1", "2 to 5", "6", "7", "8", "9"], "no step is needed where all of the rest fits");
}

#[tokio::test]
async fn a_summary_that_leaves_no_room_for_the_question_is_not_sent() {
    let app = App::start().await;
    let signs = "\u{1}".repeat(690_000);
    let (path, _) = conversation_of(&app, &[say("user", "x"), say("assistant", "y")]).await;
    put(&app, &path, 2, &signs).expect(200).await;
    app.post(&format!("{path}/messages")).json(&say("user", &signs)).expect(201).await;
    for query in
        ["max_messages=2", "max_messages=2&format=openai", "max_messages=2&format=anthropic", "max_tokens=9&format=responses"]
    {
        let context = context(&app, &path, query).await;
        assert_eq!((&context["omitted"], &context["summary"]), (&json!(2), &Value::Null), "{query}");
        assert!(context.to_string().len() > 4_140_000, "the question is there");
    }
    // Beside a question that leaves room, it is.
    app.post(&format!("{path}/messages")).json(&say("user", "z")).expect(201).await;
    let context = context(&app, &path, "max_messages=2").await;
    assert_eq!((&context["omitted"], &context["summary"]["through"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn the_ids_of_open_calls_leave_room_for_the_question() {
    let app = App::start().await;
    let (path, _) = conversation_of(&app, &[say("user", &"\u{1}".repeat(690_000))]).await;
    let calls: Vec<Value> =
        (0..990).map(|n| json!({"type": "tool_use", "id": format!("{n:01000}"), "name": "f", "input": {}})).collect();
    let message = json!({"role": "assistant", "content": calls});
    app.post(&format!("{path}/messages")).json(&message).expect(201).await;
    let context = context(&app, &path, "").await;
    assert_eq!(context["messages"].as_array().unwrap().len(), 1);
    let ids = context["open_calls"].as_array().unwrap().len();
    assert!((300..990).contains(&ids), "as many as fit: {ids}");
}

#[tokio::test]
async fn the_limits_count_the_summary() {
    let app = App::start().await;
    let (path, _) = chat(&app, 9).await;
    // Each message is estimated at 5 tokens, and has one character.
    put(&app, &path, 5, &"x".repeat(40)).expect(200).await;
    let read = context(&app, &path, "max_tokens=39").await;
    assert_eq!((&read["tokens"], &read["omitted"], &read["estimated"]), (&json!(39), &json!(0), &json!(true)));
    assert_eq!(context(&app, &path, "max_tokens=38").await["omitted"], 2);
    let counted = json!({"through": 5, "content": "x".repeat(40), "token_count": 2});
    app.put(&format!("{path}/summary")).json(&counted).expect(200).await;
    let read = context(&app, &path, "max_tokens=39").await;
    assert_eq!((&read["tokens"], &read["omitted"]), (&json!(27), &json!(0)));
    put(&app, &path, 5, "xx").expect(200).await;
    assert_eq!(context(&app, &path, "max_chars=7").await["omitted"], 0);
    assert_eq!(context(&app, &path, "max_chars=6").await["omitted"], 2);
}

#[tokio::test]
async fn the_same_summary_again_changes_nothing_and_another_one_replaces_it() {
    let app = App::start().await;
    let (path, _) = chat(&app, 9).await;
    let first = put(&app, &path, 5, "a").expect(200).await;
    let again = put(&app, &path, 5, "a").expect(200).await;
    assert_eq!((again.json(), &again.headers["etag"]), (first.json(), &first.headers["etag"]));
    let other = put(&app, &path, 5, "b").expect(200).await;
    assert_eq!(other.headers["etag"], "\"4\"");
    assert!(other.json()["summary"]["created_at"].as_str() > first.json()["summary"]["created_at"].as_str());
    assert_eq!(contents(&context(&app, &path, "max_messages=6").await)[1], "b");
    assert_eq!(app.rows().await["summaries"], 1);
    let by_query = app.put(&format!("{path}/summary?through=7&content=c&token_count=3")).expect(200).await.json();
    assert_eq!(by_query["summary"]["through"], 7);
    let earlier = put(&app, &path, 3, "d").expect(200).await.json();
    assert_eq!(earlier["summary"], by_query["summary"], "the newest is the one that stands for most");
}

#[tokio::test]
async fn an_edit_or_a_rewind_voids_the_summaries_of_what_it_changes() {
    let app = App::start().await;
    let (path, ids) = chat(&app, 12).await;
    let message = |position: usize| format!("{path}/messages/{}", ids[position - 1]);
    for at in [3, 5, 9] {
        put(&app, &path, at, &format!("up to {at}")).expect(200).await;
    }
    app.patch(&message(10)).json(&json!({"content": "x"})).expect(200).await;
    assert_eq!(through(&app, &path).await, Some(9), "an edit behind it");
    app.patch(&message(2)).json(&json!({"metadata": {"good": true}, "token_count": 7})).expect(200).await;
    assert_eq!(through(&app, &path).await, Some(9), "metadata is no part of it");
    app.patch(&message(9)).json(&json!({"content": "x"})).expect(200).await;
    assert_eq!(through(&app, &path).await, Some(5), "the older one takes its place");
    let read = context(&app, &path, "max_messages=9").await;
    assert_eq!((contents(&read)[1], &read["omitted"]), ("up to 5", &json!(0)));
    app.delete(&format!("{path}/messages?from=6")).expect(200).await;
    assert_eq!(through(&app, &path).await, Some(5), "a rewind behind it");
    app.delete(&format!("{path}/messages?from=5")).expect(200).await;
    assert_eq!(through(&app, &path).await, Some(3));
    app.patch(&message(1)).json(&json!({"content": "x"})).expect(200).await;
    assert_eq!(through(&app, &path).await, None);
    assert_eq!(context(&app, &path, "max_messages=1").await["summary"], Value::Null);
    assert_eq!(app.rows().await["summaries"], 0);
}

#[tokio::test]
async fn a_condition_is_about_what_the_summary_stands_for() {
    let app = App::start().await;
    let (path, ids) = chat(&app, 9).await;
    let edit = |position: usize| app.patch(&format!("{path}/messages/{}", ids[position - 1])).json(&json!({"content": "x"}));
    let put_if = |through, version: u64| put(&app, &path, through, "s").header("if-match", format!("\"{version}\""));
    let append = app.post(&format!("{path}/messages?role=user&content=new"));
    append.clone().expect(201).await;
    append.clone().expect(201).await;
    // Version 4. Positions 1 to 9 are of version 2.
    put_if(5, 2).expect(200).await;
    put_if(5, 2).expect(200).await;
    put_if(5, 1).refused(412, "precondition_failed", Some("If-Match")).await;
    put_if(5, 99).refused(412, "precondition_failed", Some("If-Match")).await;
    put_if(10, 2).refused(412, "precondition_failed", Some("If-Match")).await;
    put_if(10, 3).expect(200).await;
    edit(8).expect(200).await;
    put_if(7, 2).expect(200).await;
    put_if(8, 2).refused(412, "precondition_failed", Some("If-Match")).await;
    let edited = edit(4).expect(200).await.headers["etag"].trim_matches('"').parse().unwrap();
    put_if(3, 2).expect(200).await;
    put_if(5, edited - 1).refused(412, "precondition_failed", Some("If-Match")).await;
    put_if(5, edited).expect(200).await;
    app.delete(&format!("{path}/messages?from=7")).expect(200).await;
    append.expect(201).await;
    put_if(5, edited).expect(200).await;
    put_if(12, edited).refused(412, "precondition_failed", Some("If-Match")).await;
    put_if(8, edited).refused(412, "precondition_failed", Some("If-Match")).await;
    put(&app, &path, 12, "s").header("if-match", "*").expect(200).await;
}

/// More edits than a conversation keeps. Nothing that has changed is taken for unchanged.
#[tokio::test]
async fn many_edits_are_not_forgotten() {
    let app = App::start().await;
    let (path, ids) = chat(&app, 61).await;
    for position in 2..=60 {
        let edited = app.patch(&format!("{path}/messages/{}", ids[position - 1])).json(&json!({"content": "x"})).expect(200).await;
        assert_eq!(edited.headers["etag"], format!("\"{}\"", position + 1));
    }
    for position in 2..=60_u64 {
        let put_if = |version: u64| put(&app, &path, position, "s").header("if-match", format!("\"{version}\""));
        put_if(position).refused(412, "precondition_failed", Some("If-Match")).await;
        if position > 46 {
            put_if(position + 1).expect(200).await;
        }
    }
}

#[tokio::test]
async fn a_call_and_its_results_are_not_divided_however_they_are_spelled() {
    let app = App::start().await;
    let calls = json!([{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let part = |kind: &str| json!([{"type": kind, "id": "a", "call_id": "a", "tool_use_id": "a", "name": "f", "input": {}}]);
    let exchanges = [
        (json!({"role": "assistant", "tool_calls": calls}), json!({"role": "tool", "content": "r", "tool_call_id": "a"})),
        (json!({"role": "assistant", "tool_calls": {"name": "f"}}), say("tool", "r")),
        (json!({"role": "assistant", "content": part("tool_use")}), json!({"role": "user", "content": part("tool_result")})),
        (json!({"role": "assistant", "content": part("tool_use")}), json!({"role": "tool", "content": part("tool_result")})),
        (
            json!({"role": "assistant", "content": part("function_call")}),
            json!({"role": "tool", "content": part("function_call_output")}),
        ),
        (
            json!({"role": "assistant", "content": part("function_call")}),
            json!({"role": "user", "content": part("function_call_output")}),
        ),
        (
            json!({"role": "assistant", "content": [{"functionCall": {"name": "f", "args": {}}}]}),
            json!({"role": "user", "content": [{"functionResponse": {"name": "f", "response": {}}}]}),
        ),
        (
            json!({"role": "assistant", "content": [{"toolUse": {"toolUseId": "a", "name": "f", "input": {}}}]}),
            json!({"role": "user", "content": [{"toolResult": {"toolUseId": "a", "content": []}}]}),
        ),
        (json!({"role": "assistant", "content": part("tool-call")}), json!({"role": "tool", "content": part("tool-result")})),
    ];
    for (call, result) in exchanges {
        let messages =
            [say("user", "1"), say("assistant", "2"), call.clone(), result.clone(), say("assistant", "5"), say("user", "6")];
        let (path, _) = conversation_of(&app, &messages).await;
        for position in [1, 2, 4, 5, 6] {
            put(&app, &path, position, "s").expect(200).await;
        }
        assert_nearest(&put(&app, &path, 3, "s").refused(400, "invalid_parameter", Some("through")).await, Some(2));

        let two = call.clone();
        let messages = [say("user", "1"), call.clone(), two, say("system", "4"), result.clone(), result.clone(), say("user", "7")];
        let (path, _) = conversation_of(&app, &messages).await;
        for (position, nearest) in [(2, 1), (3, 1), (4, 6), (5, 6)] {
            assert_nearest(
                &put(&app, &path, position, "s").refused(400, "invalid_parameter", Some("through")).await,
                Some(nearest),
            );
        }
        put(&app, &path, 6, "s").expect(200).await;

        // At the end, results may follow, until all are there.
        let (path, _) = conversation_of(&app, &[say("system", "1"), call.clone(), result.clone()]).await;
        put(&app, &path, 3, "s").expect(200).await;
        let (path, _) = conversation_of(&app, &[say("system", "1"), call.clone()]).await;
        assert_nearest(&put(&app, &path, 2, "s").refused(400, "invalid_parameter", Some("through")).await, None);
        let (path, _) = conversation_of(&app, &[say("user", "1"), call.clone(), call, result]).await;
        assert_nearest(&put(&app, &path, 4, "s").refused(400, "invalid_parameter", Some("through")).await, Some(1));
    }
    // These are no calls, so no result is missing.
    let empty = [say("user", "1"), json!({"role": "assistant", "content": "2", "tool_calls": [{ }]})];
    let (path, _) = conversation_of(&app, &empty).await;
    put(&app, &path, 2, "s").expect(200).await;
    let interrupted = [say("user", "1"), json!({"role": "assistant", "tool_calls": calls}), say("user", "3"), say("tool", "late")];
    let (path, _) = conversation_of(&app, &interrupted).await;
    for position in 1..=4 {
        put(&app, &path, position, "s").expect(200).await;
    }
}

fn assert_nearest(answer: &Answer, nearest: Option<u64>) {
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    let expected = nearest.map_or_else(|| "nothing else to summarize".to_owned(), |nearest| format!("position is {nearest}"));
    assert!(detail.ends_with(&expected), "{detail}, but {nearest:?}");
}

#[tokio::test]
async fn a_position_where_no_summary_can_end_is_a_400_that_says_which_can() {
    let app = App::start().await;
    let (path, _) = chat(&app, 5).await;
    app.delete(&format!("{path}/messages?from=4")).expect(200).await;
    app.post(&format!("{path}/messages?role=user&content=x")).expect(201).await;
    for (position, detail) in [
        (1, "every context has the instructions at the beginning; the first message behind them has the position 2"),
        (4, "no message has this position; the message before it has the position 3"),
        (7, "the newest message has the position 6"),
    ] {
        let refused = put(&app, &path, position, "s").refused(400, "invalid_parameter", Some("through")).await;
        assert_eq!(refused.json()["detail"], detail);
    }
    let empty = format!("/conversations/{}", app.conversation().await);
    let refused = put(&app, &empty, 1, "s").refused(400, "invalid_parameter", Some("through")).await;
    assert_eq!(refused.json()["detail"], "the conversation has no messages");
    let (instructions, _) = chat(&app, 1).await;
    put(&app, &instructions, 1, "s").refused(400, "invalid_parameter", Some("through")).await;
}

#[tokio::test]
async fn malformed_summaries_are_refused() {
    let app = App::start().await;
    let (path, _) = chat(&app, 5).await;
    let summary = app.put(&format!("{path}/summary"));
    for (body, status, code, param) in [
        (json!({"content": "s"}), 400, "missing_parameter", "through"),
        (json!({"through": 3}), 400, "missing_parameter", "content"),
        (json!({"through": 0, "content": "s"}), 400, "invalid_parameter", "through"),
        (json!({"through": "x", "content": "s"}), 400, "invalid_parameter", "through"),
        (json!({"through": 3, "content": ""}), 400, "invalid_parameter", "content"),
        (json!({"through": 3, "content": ["s"]}), 400, "invalid_parameter", "content"),
        (json!({"through": 3, "content": "\0"}), 400, "invalid_character", "content"),
        (json!({"through": 3, "content": "s", "token_count": -1}), 400, "invalid_parameter", "token_count"),
        (json!({"through": 3, "content": "s", "title": "s"}), 400, "unknown_parameter", "title"),
        (json!({"through": 3, "content": "s".repeat((1 << 20) + 1)}), 413, "payload_too_large", "content"),
    ] {
        summary.clone().json(&body).refused(status, code, Some(param)).await;
    }
    summary.clone().json(&json!({"through": 3, "content": "s".repeat(1 << 20)})).expect(200).await;
    assert_eq!(context(&app, &path, "max_messages=2").await["messages"][1]["content"].as_str().unwrap().len(), 1 << 20);
}

#[tokio::test]
async fn a_summary_is_its_users_and_goes_with_its_conversation() {
    let app = App::start().await;
    let (path, _) = chat(&app, 5).await;
    put(&app, &path, 3, "s").by("bob").refused(404, "not_found", None).await;
    put(&app, &path, 3, "s").by_nobody().refused(401, "unauthenticated", None).await;
    put(&app, &format!("/conversations/{}", uuid::Uuid::now_v7()), 3, "s").refused(404, "not_found", None).await;
    put(&app, &path, 3, "s").by_service().expect(200).await;
    app.delete(&path).expect(204).await;
    assert_eq!(app.rows().await["summaries"], 0);
    let (path, _) = chat(&app, 5).await;
    put(&app, &path, 3, "s").expect(200).await;
    app.delete("/users/ada").expect(200).await;
    assert_eq!(app.rows().await["summaries"], 0);
}

/// Messages of a conversation as letters: instructions, user, assistant, and calls with all, some or none of their results.
fn written(letters: &[char]) -> Vec<Value> {
    let mut messages = Vec::new();
    for (number, letter) in letters.iter().enumerate() {
        let ids = [format!("{number}a"), format!("{number}b")];
        let calls: Vec<Value> =
            ids.iter().map(|id| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}})).collect();
        let result = |id: &str| json!({"role": "tool", "content": "r", "tool_call_id": id});
        match letter {
            's' => messages.push(say("system", "s")),
            'u' => messages.push(say("user", "u")),
            'a' => messages.push(say("assistant", "a")),
            _ => messages.push(json!({"role": "assistant", "tool_calls": calls})),
        }
        match letter {
            'c' => messages.extend(ids.iter().map(|id| result(id))),
            'p' => messages.push(result(&ids[1])),
            _ => {}
        }
    }
    messages
}

/// The positions that a call and one of its results have between them, the call's included.
fn divided(messages: &[Value]) -> BTreeSet<u64> {
    let mut called = BTreeMap::new();
    let mut inside = BTreeSet::new();
    for (position, message) in (1..).zip(messages) {
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            called.insert(call["id"].to_string(), position);
        }
        if let Some(of) = called.get(&message["tool_call_id"].to_string()) {
            inside.extend(*of..position);
        }
    }
    inside
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_between_a_summary_and_what_follows() {
    const CASES: usize = 60;
    let app = App::start().await;
    let letters = prop::collection::vec(prop::sample::select(vec!['s', 'u', 'u', 'u', 'a', 'a', 'c', 'c', 'p', 'i']), 2..14);
    let strategy = (0..3_usize, letters, any::<prop::sample::Index>(), 1..14_u64, 1..4_u64);
    let mut runner = TestRunner::deterministic();
    let (mut stored, mut refused, mut used, mut omitting) = (0, 0, 0, 0);
    for _ in 0..CASES {
        let (pinned, letters, at, limit, step) = strategy.new_tree(&mut runner).unwrap().current();
        let letters: Vec<char> = std::iter::repeat_n('s', pinned).chain(letters).collect();
        let messages = written(&letters);
        let role = |position: u64| messages[usize::try_from(position).unwrap() - 1]["role"].as_str().unwrap();
        let all: BTreeSet<u64> = (1..).take(messages.len()).collect();
        let pinned: BTreeSet<u64> = all.iter().copied().take_while(|position| role(*position) == "system").collect();
        let (path, _) = conversation_of(&app, &messages).await;
        let wanted = *at.get(&all.iter().copied().collect::<Vec<_>>());
        let told = format!("{} through {wanted}", letters.iter().collect::<String>());
        let answer = put(&app, &path, wanted, "summary").send().await;
        let through = if answer.status == 200 {
            stored += 1;
            wanted
        } else {
            assert_eq!(answer.status, 400, "{told}");
            refused += 1;
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            let Ok(nearest) = detail.rsplit(' ').next().unwrap().parse() else { continue };
            if !pinned.contains(&nearest) {
                let again = put(&app, &path, nearest, "summary").send().await;
                // What no summary can end at for two reasons is named one after the other.
                if again.status != 200 && pinned.contains(&wanted) {
                    continue;
                }
                assert_eq!(again.status, 200, "{told}, nearest {nearest}: {}", again.body);
            }
            nearest
        };
        assert!(!divided(&messages).contains(&through), "{told}: {through}");

        for query in [format!("max_messages={limit}"), format!("max_messages={limit}&step={step}&unanswered=drop")] {
            let context = context(&app, &path, &query).await;
            let told = || format!("{told}, {query}: {context}");
            let sent: Vec<u64> = context["messages"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|message| message["metadata"]["synthetic"] != true)
                .map(|message| message["position"].as_u64().unwrap())
                .collect();
            let positions: BTreeSet<u64> = sent.iter().copied().collect();
            assert_eq!(sent.len(), positions.len(), "twice: {}", told());
            let summarized: BTreeSet<u64> = match context["summary"]["through"].as_u64() {
                Some(used) => {
                    assert_eq!(used, through, "{}", told());
                    all.iter().copied().filter(|position| *position <= used).collect()
                }
                None => BTreeSet::new(),
            };
            // A repair adds messages.
            let fits = limit >= u64::try_from(all.len()).unwrap() && !letters.iter().any(|letter| ['i', 'p'].contains(letter));
            assert!(!fits || summarized.is_empty(), "{}", told());
            used += usize::from(!summarized.is_empty());
            let question = all.iter().copied().rfind(|position| role(*position) == "user");
            let doubled = positions.difference(&pinned).copied().filter(|position| summarized.contains(position));
            assert!(doubled.into_iter().all(|position| Some(position) == question), "{}", told());
            let represented: BTreeSet<u64> = positions.iter().chain(&summarized).copied().collect();
            omitting += usize::from(!summarized.is_empty() && represented != all);
            assert_eq!(context["omitted"], all.len() - represented.len(), "{}", told());
            assert!(pinned.is_subset(&positions), "{}", told());
        }
    }
    assert!(
        stored > CASES / 4 && refused > CASES / 10 && used > CASES / 2 && omitting > CASES / 10,
        "{stored} {refused} {used} {omitting}"
    );
}
