//! `PUT /conversations/{conversation_id}/line`

use serde_json::json;
use uuid::Uuid;

use crate::concurrency::all_at_once;
use crate::support::{Answer, App};
use crate::versions::Tree;

fn is_replayed(answer: &Answer) -> bool {
    answer.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
}

#[tokio::test]
async fn the_line_ends_with_the_message() {
    let app = App::start().await;
    let tree = Tree::of_two_answers(&app).await;
    let selected = tree.select(Some(3)).expect(200).await;
    assert_eq!(selected.headers["etag"], "\"4\"");
    assert_eq!(selected.json(), tree.conversation().await);
    assert_eq!(tree.line().await, [1, 2, 3]);
    // By a back end, and in the query string.
    let by_query = app.put(&format!("{}/line?message_id={}&newest=true", tree.path, tree.id(1))).by_service();
    assert_eq!(by_query.expect(200).await.headers["etag"], "\"5\"");
    assert_eq!(tree.line().await, [1, 4, 5]);
    let with_false = json!({"message_id": tree.id(1), "newest": false});
    app.put(&format!("{}/line", tree.path)).json(&with_false).expect(200).await;
    assert_eq!(tree.line().await, [1]);
}

#[tokio::test]
async fn where_the_line_ends_there_already_nothing_changes() {
    let app = App::start().await;
    let tree = Tree::of_two_answers(&app).await;
    let read = async || {
        let all = tree.get("/messages?all=true").expect(200).await;
        (all.json(), all.headers["etag"].clone(), tree.conversation().await)
    };
    let before = read().await;
    for call in [tree.select(Some(5)), tree.select_newest(Some(5)), tree.select_newest(Some(4)), tree.select_newest(None)] {
        let same = call.expect(200).await;
        assert_eq!((&same.headers["etag"], same.json()), (&before.1, before.2.clone()));
        assert_eq!(read().await, before);
    }
    let empty = format!("/conversations/{}/line", app.conversation().await);
    for body in [json!({"message_id": null}), json!({"message_id": null, "newest": true})] {
        assert_eq!(app.put(&empty).json(&body).expect(200).await.headers["etag"], "\"1\"");
    }
}

#[tokio::test]
async fn if_match_decides_between_two_tabs() {
    let app = App::with_instances(4).await;
    let tree = Tree::of_two_answers(&app).await;
    tree.select(Some(3)).header("if-match", "\"2\"").refused(412, "precondition_failed", "If-Match").await;
    assert_eq!(tree.line().await, [1, 4, 5]);
    let answers = all_at_once([2, 3, 4, 1].map(|number| tree.select(Some(number)).header("if-match", "\"3\"")).into()).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(200), count(412)), (1, 3), "{answers:?}");
    tree.select(Some(5)).header("if-match", "*").expect(200).await;
}

#[tokio::test]
async fn a_request_that_comes_again_moves_nothing() {
    let app = App::start().await;
    let tree = Tree::of_two_answers(&app).await;
    let key = Uuid::now_v7().to_string();
    let select = || tree.select(Some(3)).header("idempotency-key", &key).header("if-match", "\"3\"");
    let first = select().expect(200).await;
    let again = select().expect(200).await;
    assert_eq!((again.json(), &again.headers["etag"]), (first.json(), &first.headers["etag"]));
    assert!(!is_replayed(&first) && is_replayed(&again));
    tree.select(Some(5)).expect(200).await;
    let late = select().expect(200).await;
    assert_eq!((&*late.headers["etag"], is_replayed(&late), tree.line().await), ("\"4\"", true, vec![1, 4, 5]));
    // The message may be gone by now.
    app.delete(&tree.at(3)).expect(204).await;
    assert!(is_replayed(&select().expect(200).await));
    // A key belongs to one request.
    for call in [tree.select(Some(2)), tree.select(None), tree.select_newest(Some(3))] {
        call.header("idempotency-key", &key).refused(409, "conflict", "Idempotency-Key").await;
    }
    app.patch(&tree.path)
        .json(&json!({"title": "x"}))
        .header("idempotency-key", &key)
        .refused(409, "conflict", "Idempotency-Key")
        .await;
}

#[tokio::test]
async fn what_is_wrong_or_not_there_or_not_allowed_is_refused() {
    let app = App::start().await;
    let tree = Tree::of_two_answers(&app).await;
    let path = format!("{}/line", tree.path);
    let before = app.everything().await;
    app.put(&path).json(&json!({})).refused(400, "missing_parameter", "message_id").await;
    app.put(&path).refused(400, "missing_parameter", "message_id").await;
    app.put(&path).json(&json!({"newest": true})).refused(400, "missing_parameter", "message_id").await;
    app.put(&path).json(&json!({"message_id": "x"})).refused(400, "invalid_uuid", "message_id").await;
    app.put(&path).json(&json!({"message_id": tree.id(2), "newest": 7})).refused(400, "invalid_parameter", "newest").await;
    app.put(&path).json(&json!({"message_id": tree.id(2), "line": 7})).refused(400, "unknown_parameter", "line").await;
    let twice = app.put(&format!("{path}?message_id={}", tree.id(2))).json(&json!({"message_id": tree.id(2)}));
    twice.refused(400, "ambiguous_parameter", "message_id").await;
    tree.select(Some(77)).refused(404, "not_found", None).await;
    // A message of another conversation.
    let other = json!({"message_id": Tree::of_two_answers(&app).await.id(2)});
    app.put(&path).json(&other).refused(404, "not_found", None).await;
    app.put(&format!("/conversations/{}/line", Uuid::now_v7())).json(&other).refused(404, "not_found", None).await;
    app.put("/conversations/x/line").json(&other).refused(400, "invalid_uuid", "conversation_id").await;
    tree.select(Some(2)).by("bob").refused(404, "not_found", None).await;
    tree.select(Some(2)).by_nobody().refused(401, "unauthenticated", None).await;
    tree.select(Some(2)).header("idempotency-key", "17").refused(400, "invalid_uuid", "Idempotency-Key").await;
    let after: Vec<String> = app.everything().await;
    assert!(before.iter().all(|row| after.contains(row)), "nothing was touched");
}
