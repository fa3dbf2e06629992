//! `GET /conversations/{conversation_id}`

use serde_json::json;
use uuid::Uuid;

use crate::support::App;

#[tokio::test]
async fn a_conversation_is_read_with_its_version() {
    let app = App::start().await;
    let made = app.post("/conversations").json(&json!({"title": "Oslo", "metadata": {"a": 1}})).expect(201).await;
    let path = format!("/conversations/{}", made.json()["id"].as_str().unwrap());
    let read = app.get(&path).expect(200).await;
    assert_eq!((read.json(), read.headers["etag"].as_str()), (made.json(), "\"1\""));
    app.post(&format!("{path}/messages?role=user&content=x")).expect(201).await;
    let read = app.get(&path).expect(200).await;
    assert_eq!((read.json()["message_count"].as_u64(), read.headers["etag"].as_str()), (Some(1), "\"2\""));
    let known = app.get(&path).header("if-none-match", "\"2\"").expect(304).await;
    assert_eq!((known.body.as_str(), known.headers["etag"].as_str()), ("", "\"2\""));
    app.get(&path).header("if-none-match", "\"1\"").expect(200).await;
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_refused() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    let path = format!("/conversations/{conversation}");
    app.get(&path).by("bob").refused(404, "not_found", None).await;
    app.get(&format!("/conversations/{}", Uuid::now_v7())).refused(404, "not_found", None).await;
    app.get(&path).by_nobody().refused(401, "unauthenticated", None).await;
    app.get("/conversations/x").refused(400, "invalid_uuid", "conversation_id").await;
    app.get(&path).header("if-none-match", "x").refused(400, "invalid_parameter", "If-None-Match").await;
    app.get(&path).json(&json!({"x": 1})).refused(400, "unknown_parameter", "x").await;
    app.get(&path).by_service().expect(200).await;
}
