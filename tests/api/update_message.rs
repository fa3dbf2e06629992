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

#[tokio::test]
async fn the_conversations_own_user_rates_any_message_and_nothing_else_changes() {
    let mut app = App::start().await;
    app.set("USER_ROLES", "none");
    let conversation = format!("/conversations/{}", app.conversation().await);
    let messages = format!("{conversation}/messages");
    let batch = json!({"messages": [
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "content": "Yes.", "token_count": 2},
        {"role": "tool", "content": "rain", "tool_call_id": "a"},
        {"role": "assistant", "content": "It", "status": "in_progress"},
    ]});
    let stored = app.post(&messages).json(&batch).by_service().expect(201).await.array();
    let path = |index: usize| format!("{messages}/{}", stored[index]["id"].as_str().unwrap());
    app.put(&format!("{conversation}/summary")).json(&json!({"through": 2, "content": "x"})).by_service().expect(200).await;
    let context = async |format: &str| app.get(&format!("{conversation}/context?format={format}")).expect(200).await.body;
    let before = (context("openai").await, context("anthropic").await, context("responses").await);
    assert!(stored.iter().all(|message| message["feedback"].is_null()));

    for (index, feedback) in [
        (0, json!({"rating": "up"})),
        (1, json!({"rating": "down", "comment": "It \"snows\"\n🌨\u{1}"})),
        (2, json!({"rating": null})),
        (3, json!({"rating": null, "comment": "x".repeat(4096)})),
    ] {
        let rated = app.patch(&path(index)).json(&json!({"feedback": feedback})).expect(200).await;
        let mut expected = stored[index].clone();
        (expected["feedback"], expected["updated_at"]) = (feedback.clone(), rated.json()["updated_at"].clone());
        assert_eq!(rated.json(), expected);
        assert_ne!(expected["updated_at"], stored[index]["updated_at"]);
        assert_eq!(app.get(&path(index)).expect(200).await.json(), expected);
        assert_eq!(app.get(&messages).expect(200).await.array()[index], expected);
        // The same again changes nothing, in another spelling neither.
        let spelled = format!("{{\"feedback\": {}}}", feedback.to_string().replace(',', " , "));
        let again = app.patch(&path(index)).body(&spelled).expect(200).await;
        assert_eq!((again.json(), &again.headers["etag"]), (expected, &rated.headers["etag"]));
        app.patch(&path(index)).json(&json!({"feedback": feedback})).by("bob").refused(404, "not_found", None).await;
    }
    assert_eq!((context("openai").await, context("anthropic").await, context("responses").await), before);
    assert_eq!(app.get(&conversation).expect(200).await.json()["summary"]["through"], 2);
    let found = app.get("/users/ada/search?q=Yes").expect(200).await.array();
    assert_eq!(found[0]["message"]["feedback"]["rating"], "down");
    let last = app.get("/users/ada/conversations?include=last_message").expect(200).await.array();
    assert_eq!(last[0]["last_message"]["feedback"]["comment"].as_str().unwrap().len(), 4096);
    let all = app.get(&format!("{conversation}/context")).expect(200).await.json();
    assert_eq!(all["messages"][1]["feedback"]["rating"], "down");

    // A copy has it. What is appended again comes with what was thought of it.
    let fork = app.post(&format!("{conversation}/fork")).by_service().expect(201).await.json();
    let copy = app.get(&format!("/conversations/{}/messages", fork["id"].as_str().unwrap())).expect(200).await.array();
    assert_eq!(copy[1]["feedback"]["rating"], "down");
    let mut again = batch["messages"][1].clone();
    again["id"] = stored[1]["id"].clone();
    assert_eq!(app.post(&messages).json(&again).by_service().expect(200).await.json()["feedback"]["rating"], "down");
    // And it can be taken back.
    assert!(app.patch(&path(1)).json(&json!({"feedback": null})).expect(200).await.json()["feedback"].is_null());
    let by_query = format!("{}?feedback=%7B%22rating%22%3A%22up%22%7D", path(1));
    assert_eq!(app.patch(&by_query).expect(200).await.json()["feedback"], json!({"rating": "up"}));

    // It is no sign of the writer.
    let superuser = app.superuser().await;
    let age = "update messages set updated_at = updated_at - interval '60 seconds', alive_at = alive_at - interval '60 seconds'
        where in_progress";
    superuser.batch_execute(age).await.unwrap();
    let rated = app.patch(&path(3)).json(&json!({"feedback": {"rating": "down"}})).expect(200).await.json();
    assert_eq!(rated["status"], "incomplete");
}

#[tokio::test]
async fn feedback_is_a_rating_and_maybe_a_comment() {
    let app = App::start().await;
    let messages = format!("/conversations/{}/messages", app.conversation().await);
    let stored = app.post(&format!("{messages}?role=user&content=x")).expect(201).await.json();
    let path = format!("{messages}/{}", stored["id"].as_str().unwrap());
    for (feedback, status, code, param) in [
        (json!("up"), 400, "invalid_parameter", "feedback"),
        (json!([]), 400, "invalid_parameter", "feedback"),
        (json!({}), 400, "missing_parameter", "feedback.rating"),
        (json!({"comment": "x"}), 400, "missing_parameter", "feedback.rating"),
        (json!({"rating": "good"}), 400, "invalid_parameter", "feedback.rating"),
        (json!({"rating": 1}), 400, "invalid_parameter", "feedback.rating"),
        (json!({"rating": "up", "comment": 1}), 400, "invalid_parameter", "feedback.comment"),
        (json!({"rating": "up", "comment": "\u{0}"}), 400, "invalid_character", "feedback"),
        (json!({"rating": "up", "comment": "é".repeat(2049)}), 413, "payload_too_large", "feedback.comment"),
        (json!({"rating": "up", "stars": 5}), 400, "unknown_parameter", "feedback.stars"),
    ] {
        app.patch(&path).json(&json!({"feedback": feedback})).refused(status, code, param).await;
    }
    let new = json!({"role": "user", "content": "x", "feedback": {"rating": "up"}});
    app.post(&messages).json(&new).refused(400, "unknown_parameter", "feedback").await;
    assert_eq!(app.get(&path).expect(200).await.json(), stored);
}
