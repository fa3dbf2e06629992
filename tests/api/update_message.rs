//! `PATCH /conversations/{conversation_id}/messages/{message_id}`

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::App;

/// A conversation's messages' path, and one message's.
async fn message(app: &App) -> (String, String, Value) {
    let messages = format!("/conversations/{}/messages", app.conversation().await);
    let body = json!({"role": "assistant", "content": "one", "tool_calls": [{"id": "a"}], "metadata": {"a": 1}});
    let message = app.post(&messages).json(&body).expect(201).await.json();
    app.post(&format!("{messages}?role=user&content=two")).expect(201).await;
    (messages.clone(), format!("{messages}/{}", message["id"].as_str().unwrap()), message)
}

#[tokio::test]
async fn what_is_named_changes_and_the_rest_stays() {
    let app = App::start().await;
    let (messages, path, before) = message(&app).await;
    let answer = app.patch(&path).json(&json!({"content": "edited"})).expect(200).await;
    let after = answer.json();
    assert_eq!((&after["content"], answer.headers["etag"].as_str()), (&json!("edited"), "\"4\""));
    for member in ["id", "conversation_id", "position", "role", "tool_calls", "metadata", "created_at"] {
        assert_eq!(after[member], before[member], "{member}");
    }
    assert!(after["updated_at"].as_str() > before["updated_at"].as_str());
    assert_eq!(app.get(&messages).expect(200).await.array()[0], after);
    assert_eq!(app.post("/conversations").expect(200).await.json()["updated_at"], after["updated_at"]);

    let after = app.patch(&path).json(&json!({"content": null, "metadata": {"b": 2}})).expect(200).await.json();
    assert_eq!((&after["content"], &after["metadata"]), (&Value::Null, &json!({"a": 1, "b": 2})), "metadata is merged");
    let after = app.patch(&path).json(&json!({"metadata": {"a": null, "c": {"d": null, "e": 1}}})).expect(200).await.json();
    assert_eq!(after["metadata"], json!({"b": 2, "c": {"e": 1}}));
    let parts = json!([{"type": "text", "text": "parts"}]);
    let after = app.patch(&path).json(&json!({"content": parts, "tool_calls": null, "metadata": null})).expect(200).await.json();
    assert_eq!((&after["content"], &after["tool_calls"], &after["metadata"]), (&parts, &Value::Null, &json!({})));
    assert_eq!(app.patch(&format!("{path}?content=query")).expect(200).await.json()["content"], "query");
    let raw = r#"{"tool_calls": [{"b":1.0,"a":null}]}"#;
    assert!(app.patch(&path).body(raw).expect(200).await.body.contains(r#"[{"b":1.0,"a":null}]"#));
    let same = app.patch(&path).json(&json!({})).expect(200).await;
    assert_eq!(same.headers["etag"], "\"9\"", "nothing to change changes nothing");
    assert_eq!(app.get("/users/ada/search?q=query").expect(200).await.array().len(), 1);
    assert_eq!(app.get("/users/ada/search?q=parts").expect(200).await.array().len(), 0, "search sees the edit");
}

#[tokio::test]
async fn a_token_count_lasts_until_what_it_counted_changes() {
    let app = App::start().await;
    let (messages, path, _) = message(&app).await;
    for (edit, expected) in [
        (json!({"token_count": 12}), json!(12)),
        (json!({"metadata": {"b": 2}}), json!(12)),
        (json!({"content": "another", "token_count": 13}), json!(13)),
        (json!({"content": "one more"}), Value::Null),
        (json!({"token_count": 0}), json!(0)),
        (json!({"tool_calls": [{"id": "b"}]}), Value::Null),
        (json!({"token_count": 2_147_483_647}), json!(2_147_483_647)),
        (json!({"token_count": null}), Value::Null),
    ] {
        assert_eq!(app.patch(&path).json(&edit).expect(200).await.json()["token_count"], expected, "{edit}");
    }
    app.patch(&format!("{path}?token_count=5")).expect(200).await;
    assert_eq!(app.get(&messages).expect(200).await.array()[0]["token_count"], 5);
    assert_eq!(app.get("/users/ada/search?q=more").expect(200).await.array()[0]["message"]["token_count"], 5);
    let context = app.get(&messages.replace("/messages", "/context")).expect(200).await.json();
    assert_eq!(context["messages"], json!([app.get(&messages).expect(200).await.array()[1]]));
}

#[tokio::test]
async fn if_match_decides_between_two_tabs() {
    let app = App::start().await;
    let (_, path, _) = message(&app).await;
    app.patch(&path).json(&json!({"content": "edited"})).header("if-match", "\"3\"").expect(200).await;
    app.patch(&path)
        .json(&json!({"content": "two"}))
        .header("if-match", "\"3\"")
        .refused(412, "precondition_failed", "If-Match")
        .await;
}

#[tokio::test]
async fn what_is_wrong_or_not_there_or_not_allowed_is_refused() {
    let app = App::start().await;
    let (messages, path, _) = message(&app).await;
    for (body, status, code, param) in [
        (json!({"content": 7}), 400, "invalid_parameter", "content"),
        (json!({"content": "\u{0}"}), 400, "invalid_character", "content"),
        (json!({"content": "x".repeat((1 << 20) + 1)}), 413, "payload_too_large", "content"),
        (json!({"tool_calls": 7}), 400, "invalid_parameter", "tool_calls"),
        (json!({"tool_calls": ["x".repeat(256 << 10)]}), 413, "payload_too_large", "tool_calls"),
        (json!({"token_count": -1}), 400, "invalid_parameter", "token_count"),
        (json!({"metadata": 7}), 400, "invalid_parameter", "metadata"),
        (json!({"metadata": {"x": "x".repeat(256 << 10)}}), 413, "payload_too_large", "metadata"),
        (json!({"content": null, "tool_calls": null}), 400, "missing_parameter", "content"),
        (json!({"role": "user"}), 400, "unknown_parameter", "role"),
        (json!({"append": "x"}), 400, "missing_parameter", "at"),
        (json!({"at": 3}), 400, "missing_parameter", "append"),
        (json!({"append": "x", "at": -1}), 400, "invalid_parameter", "at"),
        (json!({"append": "x", "at": 2_147_483_648_u32}), 400, "invalid_parameter", "at"),
        (json!({"append": "\u{0}", "at": 3}), 400, "invalid_character", "append"),
        (json!({"append": "x", "at": 3, "content": "y"}), 400, "ambiguous_parameter", "append"),
        (json!({"status": "incomplete"}), 400, "invalid_parameter", "status"),
        (json!({"status": "done"}), 400, "invalid_parameter", "status"),
    ] {
        app.patch(&path).json(&body).refused(status, code, param).await;
    }
    // Each patch is within the limit, but not what it would make of the metadata.
    app.patch(&path).json(&json!({"metadata": {"x": "x".repeat(200 << 10)}})).expect(200).await;
    app.patch(&path).json(&json!({"metadata": {"y": "x".repeat(100 << 10)}})).refused(413, "payload_too_large", "metadata").await;
    let before = app.patch(&path).json(&json!({"metadata": {"x": null}})).expect(200).await.json();
    let edit = json!({"content": "x"});
    app.patch(&format!("{path}?content=y")).json(&edit).refused(400, "ambiguous_parameter", "content").await;
    app.patch(&path).body("x").header("content-type", "text/plain").refused(415, "unsupported_media_type", None).await;
    app.patch(&path).json(&edit).by("bob").refused(404, "not_found", None).await;
    app.patch(&path).json(&edit).by_nobody().refused(401, "unauthenticated", None).await;
    app.patch(&format!("{messages}/{}", Uuid::now_v7())).json(&edit).refused(404, "not_found", None).await;
    app.patch(&format!("{messages}/x")).json(&edit).refused(400, "invalid_uuid", "message_id").await;
    let id = before["id"].as_str().unwrap();
    app.patch(&format!("/conversations/x/messages/{id}")).json(&edit).refused(400, "invalid_uuid", "conversation_id").await;
    let other = app.conversation().await;
    app.patch(&format!("/conversations/{other}/messages/{id}")).json(&edit).refused(404, "not_found", None).await;
    let missing = Uuid::now_v7();
    app.patch(&format!("/conversations/{missing}/messages/{id}")).json(&edit).refused(404, "not_found", None).await;
    assert_eq!(app.get(&messages).expect(200).await.array()[0], before, "nothing half done");
}
