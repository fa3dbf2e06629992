//! `GET /conversations/{conversation_id}/summary`

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::App;

/// The path of a conversation of ada's with so many questions.
async fn chat(app: &App, messages: usize) -> String {
    let path = format!("/conversations/{}", app.conversation().await);
    let messages = vec![json!({"role": "user", "content": "Is it raining in Oslo?"}); messages];
    app.post(&format!("{path}/messages")).json(&json!({"messages": messages})).expect(201).await;
    path
}

#[tokio::test]
async fn the_newest_summary_is_read_with_its_text_and_its_version() {
    let app = App::start().await;
    let path = chat(&app, 5).await;
    let summary = format!("{path}/summary");
    for (through, text, token_count) in [(2, "It rains.\n\"Really\" \u{1f327}", json!(7)), (4, "It rained.", Value::Null)] {
        let body = json!({"through": through, "content": text, "token_count": token_count});
        let conversation = app.put(&summary).json(&body).expect(200).await;
        let read = app.get(&summary).expect(200).await;
        let created_at = &conversation.json()["summary"]["created_at"];
        assert_eq!(read.json(), json!({"through": through, "content": text, "token_count": token_count, "created_at": created_at}));
        assert_eq!(read.headers["etag"], conversation.headers["etag"]);
    }
    // One that is stored for an earlier position is not the newest.
    app.put(&summary).json(&json!({"through": 3, "content": "It may rain."})).expect(200).await;
    assert_eq!(app.get(&summary).expect(200).await.json()["through"], 4);
}

#[tokio::test]
async fn a_caller_who_has_the_version_gets_a_304() {
    let app = App::start().await;
    let path = chat(&app, 3).await;
    let summary = format!("{path}/summary");
    let read = app.get(&summary);
    // There is nothing that the caller could have.
    read.clone().header("if-none-match", "*").refused(404, "not_found", None).await;
    let stored = app.put(&summary).json(&json!({"through": 2, "content": "It rains."})).expect(200).await;
    for known in [&stored.headers["etag"], "*", "\"1\", W/\"3\""] {
        let answer = read.clone().header("if-none-match", known).expect(304).await;
        assert_eq!((answer.body.as_str(), &answer.headers["etag"]), ("", &stored.headers["etag"]));
    }
    read.clone().header("if-none-match", "\"2\"").expect(200).await;
    read.clone().header("if-none-match", "3").refused(400, "invalid_parameter", "If-None-Match").await;
    app.post(&format!("{path}/messages?role=user&content=And%20now?")).expect(201).await;
    read.header("if-none-match", &stored.headers["etag"]).expect(200).await;
}

#[tokio::test]
async fn a_summary_that_no_longer_holds_is_not_read() {
    let app = App::start().await;
    let path = chat(&app, 5).await;
    let summary = format!("{path}/summary");
    let through = async || app.get(&summary).expect(200).await.json()["through"].as_u64().unwrap();
    for through in [1, 2, 4] {
        app.put(&summary).json(&json!({"through": through, "content": "It rains."})).expect(200).await;
    }
    assert_eq!(through().await, 4);
    app.delete(&format!("{path}/messages?from=4")).expect(200).await;
    assert_eq!(through().await, 2);
    let messages = app.get(&format!("{path}/messages")).expect(200).await.array();
    let second = format!("{path}/messages/{}", messages[1]["id"].as_str().unwrap());
    app.patch(&second).json(&json!({"content": "And in Bergen?"})).expect(200).await;
    assert_eq!(through().await, 1);
    app.delete(&format!("{path}/messages")).expect(200).await;
    app.get(&summary).refused(404, "not_found", None).await;
}

#[tokio::test]
async fn a_copy_has_the_summary_and_so_has_a_new_owner() {
    let app = App::start().await;
    let path = chat(&app, 3).await;
    app.put(&format!("{path}/summary")).json(&json!({"through": 2, "content": "It rains."})).expect(200).await;
    let fork = app.post(&format!("{path}/fork")).expect(201).await.json();
    let of_fork = format!("/conversations/{}/summary", fork["id"].as_str().unwrap());
    let read = app.get(&of_fork).expect(200).await.json();
    assert_eq!(read, app.get(&format!("{path}/summary")).expect(200).await.json());
    app.post("/users/ada/transfer").json(&json!({"to": "grace"})).by_service().expect(200).await;
    app.get(&of_fork).refused(404, "not_found", None).await;
    assert_eq!(app.get(&of_fork).by("grace").expect(200).await.json(), read);
}

/// A request of 4 MiB has no more control characters than a response of 6 MB can hold.
#[tokio::test]
async fn the_largest_summaries_can_be_read() {
    let app = App::start().await;
    let path = chat(&app, 3).await;
    let summary = format!("{path}/summary");
    for text in ["\u{1}".repeat(699_000), "\"".repeat(1 << 20), "é".repeat(1 << 19)] {
        app.put(&summary).json(&json!({"through": 2, "content": text})).expect(200).await;
        assert_eq!(app.get(&summary).expect(200).await.json()["content"], text);
    }
}

#[tokio::test]
async fn what_is_wrong_or_not_there_or_not_allowed_is_refused() {
    let app = App::start().await;
    let path = chat(&app, 3).await;
    let summary = format!("{path}/summary");
    app.get(&summary).refused(404, "not_found", None).await;
    app.put(&summary).json(&json!({"through": 2, "content": "It rains."})).expect(200).await;
    app.get(&summary).by("bob").refused(404, "not_found", None).await;
    app.get(&summary).by_nobody().refused(401, "unauthenticated", None).await;
    app.get(&format!("{summary}?through=2")).refused(400, "unknown_parameter", "through").await;
    app.get("/conversations/x/summary").refused(400, "invalid_uuid", "conversation_id").await;
    app.get(&format!("/conversations/{}/summary", Uuid::now_v7())).refused(404, "not_found", None).await;
    assert_eq!(app.get(&summary).by_service().expect(200).await.json()["content"], "It rains.");
    app.delete(&path).expect(204).await;
    app.get(&summary).refused(404, "not_found", None).await;
}
