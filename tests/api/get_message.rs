//! `GET /conversations/{conversation_id}/messages/{message_id}`

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::App;

#[tokio::test]
async fn a_message_is_read_as_the_history_shows_it() {
    let app = App::start().await;
    let messages = format!("/conversations/{}/messages", app.conversation().await);
    let body = json!({
        "role": "assistant", "content": "Réne 🌧 rains", "tool_calls": [{"id": "a"}], "name": "x", "metadata": {"a": 1}, "token_count": 4
    });
    let stored = app.post(&messages).json(&body).expect(201).await.json();
    let path = format!("{messages}/{}", stored["id"].as_str().unwrap());
    let answer = app.get(&path).expect(200).await;
    assert_eq!((answer.json(), answer.headers["etag"].as_str()), (stored.clone(), "\"2\""));
    assert_eq!(app.get(&messages).expect(200).await.array()[0], stored);
    for known in ["\"2\"", "*", "W/\"2\", \"9\""] {
        let answer = app.get(&path).header("if-none-match", known).expect(304).await;
        assert_eq!((answer.body.as_str(), answer.headers["etag"].as_str()), ("", "\"2\""), "{known}");
    }
    app.get(&path).header("if-none-match", "\"1\"").expect(200).await;
    app.get(&path).by_service().expect(200).await;

    // `from` counts characters, and changes nothing but the content.
    for (from, content) in [(0, "Réne 🌧 rains"), (4, " 🌧 rains"), (6, " rains"), (12, ""), (99, ""), (2_147_483_647, "")] {
        let part = app.get(&format!("{path}?skip={from}")).expect(200).await.json();
        let mut expected = stored.clone();
        expected["content"] = json!(content);
        assert_eq!(part, expected, "from={from}");
    }
    let call = app.post(&messages).json(&json!({"role": "assistant", "tool_calls": []})).expect(201).await.json();
    let call = format!("{messages}/{}?skip=1", call["id"].as_str().unwrap());
    assert_eq!(app.get(&call).expect(200).await.json()["content"], Value::Null);
}

#[tokio::test]
async fn what_is_wrong_or_not_there_or_not_allowed_is_refused() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    let messages = format!("/conversations/{conversation}/messages");
    let parts = json!({"role": "user", "content": [{"type": "text", "text": "x"}]});
    let stored = app.post(&messages).json(&parts).expect(201).await.json();
    let id = stored["id"].as_str().unwrap();
    let path = format!("{messages}/{id}");
    for from in ["-1", "x", "1.5", "2147483648", ""] {
        app.get(&format!("{path}?skip={from}")).refused(400, "invalid_parameter", "skip").await;
    }
    for wait in ["0", "21", "-1", "x", "1.5", ""] {
        app.get(&format!("{path}?wait={wait}")).refused(400, "invalid_parameter", "wait").await;
    }
    app.get(&format!("{path}?wait=20")).by("bob").header("if-none-match", "*").refused(404, "not_found", None).await;
    app.get(&format!("{path}?skip=0")).refused(400, "invalid_parameter", "skip").await;
    app.get(&path).header("if-none-match", "2").refused(400, "invalid_parameter", "If-None-Match").await;
    app.get(&path).by("bob").refused(404, "not_found", None).await;
    app.get(&path).by_nobody().refused(401, "unauthenticated", None).await;
    app.get(&format!("{messages}/{}", Uuid::now_v7())).refused(404, "not_found", None).await;
    app.get(&format!("{messages}/x")).refused(400, "invalid_uuid", "message_id").await;
    app.get(&format!("/conversations/{}/messages/{id}", Uuid::now_v7())).refused(404, "not_found", None).await;
    let other = app.conversation().await;
    app.get(&format!("/conversations/{other}/messages/{id}")).refused(404, "not_found", None).await;
}
