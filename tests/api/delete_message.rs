//! `DELETE /conversations/{conversation_id}/messages/{message_id}`

use serde_json::json;
use uuid::Uuid;

use crate::support::App;

/// A conversation's path, and the paths of its messages.
async fn messages(app: &App, count: usize) -> (String, Vec<String>) {
    let conversation = format!("/conversations/{}", app.conversation().await);
    let mut paths = Vec::new();
    for number in 1..=count {
        let call = app.post(&format!("{conversation}/messages?role=user&content=number%20{number}"));
        paths.push(format!("{conversation}/messages/{}", call.expect(201).await.json()["id"].as_str().unwrap()));
    }
    (conversation, paths)
}

#[tokio::test]
async fn one_message_goes_and_the_others_keep_their_positions() {
    let app = App::start().await;
    let (conversation, paths) = messages(&app, 3).await;
    let answer = app.delete(&paths[1]).expect(204).await;
    assert_eq!((answer.body.as_str(), answer.headers["etag"].as_str()), ("", "\"5\""));
    let left = app.get(&format!("{conversation}/messages")).expect(200).await.array();
    assert_eq!(left.iter().map(|message| message["position"].as_i64().unwrap()).collect::<Vec<_>>(), [1, 3]);
    let read = app.get(&conversation).expect(200).await.json();
    assert_eq!((&read["message_count"], &read["last_message_at"]), (&json!(2), &left[1]["created_at"]));
    assert_eq!(app.get("/users/ada/search?q=number").expect(200).await.array().len(), 2);
    // The position of the newest is not used again either.
    app.delete(&paths[2]).expect(204).await;
    let next = app.post(&format!("{conversation}/messages?role=user&content=next")).expect(201).await.json();
    assert_eq!(next["position"], 4);
    for path in &paths[1..] {
        app.delete(path).refused(404, "not_found", None).await;
    }
}

#[tokio::test]
async fn a_summary_that_stood_for_the_message_is_void() {
    let app = App::start().await;
    let (conversation, paths) = messages(&app, 4).await;
    for through in [1, 3] {
        let summary = json!({"through": through, "content": format!("up to {through}")});
        app.put(&format!("{conversation}/summary")).json(&summary).expect(200).await;
    }
    app.delete(&paths[3]).expect(204).await;
    assert_eq!(app.get(&conversation).expect(200).await.json()["summary"]["through"], 3);
    app.delete(&paths[2]).expect(204).await;
    assert_eq!(app.get(&conversation).expect(200).await.json()["summary"]["through"], 1);
    app.delete(&paths[0]).expect(204).await;
    assert!(app.get(&conversation).expect(200).await.json()["summary"].is_null());
}

#[tokio::test]
async fn what_is_wrong_or_not_there_or_not_allowed_is_refused() {
    let app = App::start().await;
    let (conversation, paths) = messages(&app, 2).await;
    app.delete(&paths[0]).header("if-match", "\"2\"").refused(412, "precondition_failed", "If-Match").await;
    app.delete(&paths[0]).by("bob").refused(404, "not_found", None).await;
    app.delete(&paths[0]).by_nobody().refused(401, "unauthenticated", None).await;
    app.delete(&paths[0]).json(&json!({"from": 1})).refused(400, "unknown_parameter", "from").await;
    app.delete(&format!("{conversation}/messages/{}", Uuid::now_v7())).refused(404, "not_found", None).await;
    app.delete(&format!("{conversation}/messages/x")).refused(400, "invalid_uuid", "message_id").await;
    let id = paths[0].rsplit('/').next().unwrap();
    app.delete(&format!("/conversations/{}/messages/{id}", app.conversation().await)).refused(404, "not_found", None).await;
    assert_eq!(app.get(&format!("{conversation}/messages")).expect(200).await.array().len(), 2);
    app.delete(&paths[0]).header("if-match", "\"3\"").expect(204).await;
}
