//! `DELETE /conversations/{conversation_id}`

use serde_json::json;
use uuid::Uuid;

use crate::support::App;

#[tokio::test]
async fn a_conversation_goes_with_its_messages() {
    let app = App::start().await;
    let (gone, stays) = (app.conversation().await, app.conversation().await);
    for conversation in [gone, stays] {
        app.post(&format!("/conversations/{conversation}/messages?role=user&content=x")).expect(201).await;
    }
    let deleted = app.delete(&format!("/conversations/{gone}")).expect(204).await;
    assert_eq!(deleted.body, "");
    app.get(&format!("/conversations/{gone}")).refused(404, "not_found", None).await;
    app.get(&format!("/conversations/{gone}/messages")).refused(404, "not_found", None).await;
    app.delete(&format!("/conversations/{gone}")).refused(404, "not_found", None).await;
    let rows = app.rows().await;
    assert_eq!((rows["conversations"], rows["messages"]), (1, 1));
    app.delete(&format!("/conversations/{stays}")).expect(204).await;
    assert!(app.rows().await.values().all(|rows| *rows == 0), "no row in any table: {:?}", app.rows().await);
}

#[tokio::test]
async fn if_match_guards_what_has_changed_since() {
    let app = App::start().await;
    let path = format!("/conversations/{}", app.conversation().await);
    app.post(&format!("{path}/messages?role=user&content=x")).expect(201).await;
    app.delete(&path).header("if-match", "\"1\"").refused(412, "precondition_failed", "If-Match").await;
    app.delete(&path).header("if-match", "\"2\"").expect(204).await;
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_refused() {
    let app = App::start().await;
    let path = format!("/conversations/{}", app.conversation().await);
    app.delete(&path).by("bob").refused(404, "not_found", None).await;
    app.delete(&path).by_nobody().refused(401, "unauthenticated", None).await;
    app.delete(&format!("/conversations/{}", Uuid::now_v7())).refused(404, "not_found", None).await;
    app.delete("/conversations/x").refused(400, "invalid_uuid", "conversation_id").await;
    app.delete(&path).json(&json!({"x": 1})).refused(400, "unknown_parameter", "x").await;
    app.get(&path).expect(200).await;
}
