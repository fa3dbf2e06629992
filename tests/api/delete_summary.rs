//! `DELETE /conversations/{conversation_id}/summary`, and what a context has afterwards.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::App;

/// The path of a conversation of ada's with the messages 1 to 9, and with summaries up to these positions.
async fn chat(app: &App, throughs: &[u64]) -> String {
    let path = format!("/conversations/{}", app.conversation().await);
    let messages: Vec<Value> = (1..=9).map(|number| json!({"role": "user", "content": number.to_string()})).collect();
    app.post(&format!("{path}/messages")).json(&json!({"messages": messages})).expect(201).await;
    for through in throughs {
        let body = json!({"through": through, "content": format!("up to {through}")});
        app.put(&format!("{path}/summary")).json(&body).expect(200).await;
    }
    path
}

/// The contents of a context of few messages, and how many are in neither the messages nor the summary.
async fn context(app: &App, path: &str) -> (Vec<String>, Value, Value) {
    let context = app.get(&format!("{path}/context?max_messages=4")).expect(200).await.json();
    let contents = context["messages"].as_array().unwrap().iter().map(|message| message["content"].as_str().unwrap().to_owned());
    (contents.collect(), context["omitted"].clone(), context["summary"].clone())
}

#[tokio::test]
async fn an_older_summary_takes_the_place_of_one_that_is_deleted() {
    let app = App::start().await;
    let path = chat(&app, &[3, 6]).await;
    let summary = format!("{path}/summary");
    let older = app.get("/users/ada/export").expect(200).await.body;
    let older: Value = serde_json::from_str(older.lines().next().unwrap()).unwrap();
    assert_eq!(
        context(&app, &path).await,
        (vec!["up to 6".into(), "7".into(), "8".into(), "9".into()], json!(0), json!({"through": 6}))
    );

    let before = app.get(&path).expect(200).await.json();
    let deleted = app.delete(&summary).expect(204).await;
    assert_eq!((deleted.body.as_str(), deleted.headers["etag"].as_str()), ("", "\"5\""));
    let read = app.get(&summary).expect(200).await;
    let created_at = &older["summaries"][0]["created_at"];
    assert_eq!(read.json(), json!({"through": 3, "content": "up to 3", "token_count": null, "created_at": created_at}));
    assert_eq!(read.headers["etag"], deleted.headers["etag"]);
    let after = app.get(&path).expect(200).await.json();
    assert_eq!(after["summary"], json!({"through": 3, "created_at": created_at}));
    assert!(after["updated_at"].as_str() > before["updated_at"].as_str());
    assert_eq!((&after["last_message_at"], &after["message_count"]), (&before["last_message_at"], &json!(9)));
    assert_eq!(
        context(&app, &path).await,
        (vec!["up to 3".into(), "7".into(), "8".into(), "9".into()], json!(3), json!({"through": 3}))
    );

    app.delete(&summary).expect(204).await;
    assert_eq!(app.get(&path).expect(200).await.json()["summary"], Value::Null);
    let without = ["6", "7", "8", "9"].map(str::to_owned).to_vec();
    assert_eq!(context(&app, &path).await, (without, json!(5), Value::Null));
    app.get(&summary).refused(404, "not_found", None).await;
    app.delete(&summary).refused(404, "not_found", None).await;
    assert_eq!(app.rows().await["summaries"], 0);
}

/// No message has changed, so a summary that is being made while one is deleted still holds.
#[tokio::test]
async fn the_messages_count_as_unchanged() {
    let app = App::start().await;
    let path = chat(&app, &[3]).await;
    app.delete(&format!("{path}/summary")).expect(204).await;
    let new = json!({"through": 6, "content": "again"});
    app.put(&format!("{path}/summary")).json(&new).header("if-match", "\"2\"").expect(200).await;
    assert_eq!(context(&app, &path).await.0[0], "again");
}

#[tokio::test]
async fn a_retry_with_its_key_deletes_no_second_summary() {
    let app = App::start().await;
    let path = chat(&app, &[3, 6]).await;
    let delete = app.delete(&format!("{path}/summary")).header("idempotency-key", Uuid::now_v7().to_string());
    let first = delete.clone().header("if-match", "\"4\"").expect(204).await;
    assert!(!first.headers.contains_key("idempotent-replayed"));
    for call in [delete.clone().header("if-match", "\"4\""), delete.clone()] {
        let again = call.expect(204).await;
        assert_eq!((&again.headers["etag"], again.headers["idempotent-replayed"].as_str()), (&first.headers["etag"], "true"));
    }
    assert_eq!(app.get(&path).expect(200).await.json()["summary"]["through"], 3);
    // A late duplicate of the request that stored it does not bring it back.
    let key = Uuid::now_v7().to_string();
    let store = app.put(&format!("{path}/summary")).json(&json!({"through": 7, "content": "x"})).header("idempotency-key", &key);
    store.clone().expect(200).await;
    app.delete(&format!("{path}/summary")).expect(204).await;
    assert_eq!(store.expect(200).await.json()["summary"]["through"], 3);
    // The key of another request.
    app.delete(&format!("{path}/summary")).header("idempotency-key", key).refused(409, "conflict", "Idempotency-Key").await;
}

#[tokio::test]
async fn it_is_deleted_only_at_the_version_that_the_caller_has_seen() {
    let app = App::start().await;
    let path = chat(&app, &[3]).await;
    let delete = app.delete(&format!("{path}/summary"));
    let seen = app.get(&format!("{path}/summary")).expect(200).await.headers["etag"].clone();
    // Another process stores a better one, which the caller does not mean.
    app.put(&format!("{path}/summary")).json(&json!({"through": 6, "content": "better"})).expect(200).await;
    let refused = delete.clone().header("if-match", &seen).refused(412, "precondition_failed", "If-Match").await;
    assert_eq!(refused.headers["etag"], "\"4\"");
    assert_eq!(app.get(&format!("{path}/summary")).expect(200).await.json()["content"], "better");
    delete.clone().header("if-match", "W/\"4\"").expect(204).await;
    delete.clone().header("if-match", "*").expect(204).await;
    delete.header("if-match", "\"99\"").refused(404, "not_found", None).await;
}

#[tokio::test]
async fn what_is_wrong_or_not_there_or_not_allowed_is_refused() {
    let app = App::start().await;
    let path = chat(&app, &[3, 5, 6]).await;
    let delete = app.delete(&format!("{path}/summary"));
    delete.clone().by("bob").refused(404, "not_found", None).await;
    delete.clone().by_nobody().refused(401, "unauthenticated", None).await;
    delete.clone().json(&json!({"through": 3})).refused(400, "unknown_parameter", "through").await;
    delete.clone().header("idempotency-key", "x").refused(400, "invalid_uuid", "Idempotency-Key").await;
    delete.clone().header("if-match", "4").refused(400, "invalid_parameter", "If-Match").await;
    app.delete("/conversations/x/summary").refused(400, "invalid_uuid", "conversation_id").await;
    app.delete(&format!("/conversations/{}/summary", Uuid::now_v7())).refused(404, "not_found", None).await;
    assert_eq!(app.rows().await["summaries"], 3);
    delete.by_service().expect(204).await;
}

/// A summary counts as a message of the role `system`. To delete one puts no words into anybody's mouth.
#[tokio::test]
async fn a_user_deletes_a_summary_that_only_a_back_end_may_store() {
    let mut app = App::start().await;
    app.set("USER_ROLES", "user");
    let path = format!("/conversations/{}", app.conversation().await);
    app.post(&format!("{path}/messages?role=user&content=x")).expect(201).await;
    let body = json!({"through": 1, "content": "x"});
    app.put(&format!("{path}/summary")).json(&body).refused(403, "forbidden", "content").await;
    app.put(&format!("{path}/summary")).json(&body).by_service().expect(200).await;
    app.delete(&format!("{path}/summary")).expect(204).await;
}
