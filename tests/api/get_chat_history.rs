//! `GET /conversations/{conversation_id}/messages`

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::App;

/// A conversation of ada's with messages 1 to `count`.
async fn conversation_of(app: &App, count: usize) -> String {
    let conversation = app.conversation().await;
    let path = format!("/conversations/{conversation}/messages");
    let all: Vec<Value> = (1..=count).map(|n| json!({"role": "user", "content": n.to_string()})).collect();
    for batch in all.chunks(500) {
        app.post(&path).json(&json!({"messages": batch})).expect(201).await;
    }
    path
}

fn positions(messages: &[Value]) -> Vec<u64> {
    messages.iter().map(|message| message["position"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn an_empty_conversation_is_an_empty_array() {
    let app = App::start().await;
    let path = conversation_of(&app, 0).await;
    let answer = app.get(&path).expect(200).await;
    assert_eq!((answer.body.as_str(), answer.headers["etag"].as_str(), answer.next()), ("[]", "\"1\"", None));
    assert_eq!(answer.headers["cache-control"], "private, no-cache");
}

#[tokio::test]
async fn ranges_are_exclusive_and_in_the_order_asked_for() {
    let app = App::start().await;
    let path = conversation_of(&app, 10).await;
    for (query, expected) in [
        ("", vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        ("limit=3", vec![1, 2, 3]),
        ("limit=1000", (1..=10).collect()),
        ("after=0", (1..=10).collect()),
        ("after=7", vec![8, 9, 10]),
        ("after=10", vec![]),
        ("before=3", vec![1, 2]),
        ("before=0", vec![]),
        ("after=3&before=6", vec![4, 5]),
        ("after=6&before=3", vec![]),
        ("order=asc&limit=2", vec![1, 2]),
        ("order=desc", vec![10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ("order=desc&limit=2&before=5", vec![4, 3]),
        ("order=desc&limit=2&after=9", vec![10]),
        ("last=3", vec![8, 9, 10]),
        ("last=1000", (1..=10).collect()),
        ("after=9223372036854775807", vec![]),
        ("utm_unknown=parameter&utm_unknown=twice", (1..=10).collect()),
    ] {
        let answer = app.get(&format!("{path}?{query}")).expect(200).await;
        assert_eq!(positions(&answer.array()), expected, "{query}");
    }
    let answer = app.get(&path).json(&json!({"limit": 2, "after": 4})).expect(200).await;
    assert_eq!(positions(&answer.array()), [5, 6]);
}

#[tokio::test]
async fn links_lead_through_everything_once() {
    let app = App::start().await;
    let path = conversation_of(&app, 10).await;
    for (query, expected) in [
        ("limit=3", (1..=10).collect::<Vec<_>>()),
        ("limit=5", (1..=10).collect()),
        ("limit=3&after=2&before=9", (3..=8).collect()),
        ("limit=4&order=desc", (1..=10).rev().collect()),
        ("limit=4&order=desc&after=3&before=10", (4..=9).rev().collect()),
    ] {
        let mut target = format!("{path}?{query}");
        let mut seen = Vec::new();
        loop {
            let answer = app.get(&target).expect(200).await;
            seen.extend(positions(&answer.array()));
            let Some(next) = answer.next() else { break };
            assert!(next.starts_with(&path), "{next}");
            next.clone_into(&mut target);
        }
        assert_eq!(seen, expected, "{query}");
    }
    assert_eq!(app.get(&format!("{path}?last=3")).expect(200).await.next(), None);
}

#[tokio::test]
async fn what_does_not_fit_in_a_response_is_behind_its_link() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    let path = format!("/conversations/{conversation}/messages");
    let content = |n: usize| format!("{n} {}", ["x", "\"", "é\n"][n % 3].repeat(300_000));
    for n in 0..24 {
        app.post(&path).json(&json!({"role": "user", "content": content(n)})).expect(201).await;
    }
    for (query, numbers) in [
        ("", (0..24).collect::<Vec<_>>()),
        ("?limit=20", (0..24).collect()),
        ("?order=desc", (0..24).rev().collect()),
        ("?last=22", (2..24).collect()),
    ] {
        let mut target = format!("{path}{query}");
        let (mut seen, mut pages) = (Vec::new(), 0);
        loop {
            let answer = app.get(&target).expect(200).await;
            seen.extend(answer.array());
            pages += 1;
            let Some(next) = answer.next() else { break };
            next.clone_into(&mut target);
        }
        assert!(pages > 1, "{query}");
        assert_eq!(seen.len(), numbers.len(), "{query}");
        for (message, n) in seen.iter().zip(numbers) {
            assert!(message["content"] == json!(content(n)), "{query}: message {n}");
        }
    }
}

#[tokio::test]
async fn without_a_limit_thousands_of_messages_come_at_once() {
    let app = App::start().await;
    let path = conversation_of(&app, 2500).await;
    let answer = app.get(&path).expect(200).await;
    assert_eq!((answer.array().len(), answer.next()), (2500, None));
}

#[tokio::test]
async fn a_known_version_is_not_sent_again() {
    let app = App::start().await;
    let path = conversation_of(&app, 2).await;
    let etag = app.get(&path).expect(200).await.headers["etag"].clone();
    for header in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
        let answer = app.get(&path).header("if-none-match", header).expect(304).await;
        assert_eq!((answer.body.as_str(), &answer.headers["etag"]), ("", &etag));
    }
    app.get(&path).header("if-none-match", "\"1\"").expect(200).await;
    app.post(&format!("{path}?role=user&content=more")).expect(201).await;
    assert_eq!(app.get(&path).header("if-none-match", etag).expect(200).await.array().len(), 3);
    app.get(&path).header("if-none-match", "2").refused(400, "invalid_parameter", "If-None-Match").await;
}

#[tokio::test]
async fn bad_input_is_refused_by_name() {
    let app = App::start().await;
    let path = conversation_of(&app, 1).await;
    for (query, param) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=1.0", "limit"),
        ("limit=%2B1", "limit"),
        ("after=-1", "after"),
        ("before=99999999999999999999", "before"),
        ("order=up", "order"),
        ("last=0", "last"),
        ("last=1001", "last"),
        ("last=2&limit=2", "last"),
        ("last=2&after=0", "last"),
        ("last=2&before=2", "last"),
        ("last=2&order=asc", "last"),
    ] {
        app.get(&format!("{path}?{query}")).refused(400, "invalid_parameter", param).await;
    }
    app.get(&path).json(&json!({"limit": "5"})).refused(400, "invalid_parameter", "limit").await;
    app.get(&path).json(&json!({"offset": 5})).refused(400, "unknown_parameter", "offset").await;
    app.get(&format!("{path}?limit=1&limit=2")).refused(400, "ambiguous_parameter", "limit").await;
    app.get("/conversations/x/messages").refused(400, "invalid_uuid", "conversation_id").await;
}

#[tokio::test]
async fn a_missing_conversation_and_another_users_are_the_same() {
    let app = App::start().await;
    let path = conversation_of(&app, 1).await;
    app.get(&path).by("bob").refused(404, "not_found", None).await;
    app.get(&path).by("bob").header("if-none-match", "*").refused(404, "not_found", None).await;
    app.get(&format!("/conversations/{}/messages", Uuid::now_v7())).refused(404, "not_found", None).await;
    app.get(&path).by_nobody().refused(401, "unauthenticated", None).await;
    app.get(&path).by_service().expect(200).await;
}
