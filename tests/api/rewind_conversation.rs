//! `DELETE /conversations/{conversation_id}/messages`

use serde_json::json;
use uuid::Uuid;

use crate::support::App;

async fn conversation_of(app: &App, count: usize) -> String {
    let path = format!("/conversations/{}/messages", app.conversation().await);
    let messages: Vec<_> = (0..count).map(|n| json!({"role": "user", "content": n.to_string()})).collect();
    app.post(&path).json(&json!({"messages": messages})).expect(201).await;
    path
}

#[tokio::test]
async fn a_message_and_all_after_it_are_deleted() {
    let app = App::start().await;
    let path = conversation_of(&app, 5).await;
    let answer = app.delete(&format!("{path}?from=4")).expect(200).await;
    assert_eq!((answer.body.as_str(), answer.headers["etag"].as_str()), (r#"{"deleted":2}"#, "\"3\""));
    let next = app.post(&format!("{path}?role=user&content=anew")).expect(201).await.json();
    assert_eq!(next["position"], 6, "positions are never used again");
    assert_eq!(app.post("/conversations").expect(200).await.json()["message_count"], 4);
    let none = app.delete(&path).json(&json!({"from": 7})).expect(200).await;
    assert_eq!((none.body.as_str(), none.headers["etag"].as_str()), (r#"{"deleted":0}"#, "\"4\""), "nothing has changed");
    assert_eq!(app.delete(&path).expect(200).await.json(), json!({"deleted": 4}));
    assert_eq!(app.get(&path).expect(200).await.body, "[]");
    let found = app.post("/conversations").expect(200).await.json();
    assert_eq!(found["message_count"], 0);
}

#[tokio::test]
async fn if_match_decides_between_two_tabs() {
    let app = App::start().await;
    let path = conversation_of(&app, 3).await;
    app.delete(&format!("{path}?from=3")).header("if-match", "\"2\"").expect(200).await;
    app.delete(&format!("{path}?from=3")).header("if-match", "\"2\"").refused(412, "precondition_failed", "If-Match").await;
    app.delete(&path).header("if-match", "\"2\"").refused(412, "precondition_failed", "If-Match").await;
    assert_eq!(app.get(&path).expect(200).await.array().len(), 2);
}

#[tokio::test]
async fn what_is_wrong_or_not_there_or_not_allowed_is_refused() {
    let app = App::start().await;
    let path = conversation_of(&app, 1).await;
    for query in ["from=0", "from=-1", "from=x", "from=", "from=99999999999999999999"] {
        app.delete(&format!("{path}?{query}")).refused(400, "invalid_parameter", "from").await;
    }
    app.delete(&path).json(&json!({"to": 1})).refused(400, "unknown_parameter", "to").await;
    app.delete(&format!("{path}?from=1")).json(&json!({"from": 1})).refused(400, "ambiguous_parameter", "from").await;
    app.delete(&path).by("bob").refused(404, "not_found", None).await;
    app.delete(&path).by_nobody().refused(401, "unauthenticated", None).await;
    app.delete(&format!("/conversations/{}/messages", Uuid::now_v7())).refused(404, "not_found", None).await;
    app.delete("/conversations/x/messages").refused(400, "invalid_uuid", "conversation_id").await;
    assert_eq!(app.get(&path).expect(200).await.array().len(), 1);
}
