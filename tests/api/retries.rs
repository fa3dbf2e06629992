//! Requests that are sent again: what they are recognized by, and what they are answered.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, App, Call};

fn version(answer: &Answer) -> i64 {
    answer.headers["etag"].trim_matches('"').parse().unwrap()
}

fn is_replayed(answer: &Answer) -> bool {
    answer.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
}

fn new_key() -> String {
    Uuid::now_v7().to_string()
}

async fn append(app: &App, path: &str, content: &str) -> Answer {
    app.post(&format!("{path}/messages")).json(&json!({"role": "user", "content": content})).expect(201).await
}

#[tokio::test]
async fn a_replayed_append_has_the_version_that_its_messages_were_stored_with() {
    let app = App::start().await;
    let path = format!("/conversations/{}", app.conversation().await);
    append(&app, &path, "before").await;
    let ours = json!({"id": Uuid::now_v7(), "role": "user", "content": "ours"});
    let send = || app.post(&format!("{path}/messages")).json(&ours).header("if-match", "\"2\"");
    assert_eq!(version(&send().expect(201).await), 3);
    append(&app, &path, "by another tab").await;
    let again = send().expect(200).await;
    assert_eq!((version(&again), is_replayed(&again)), (3, true));
    // So nothing that was not seen is lost.
    let instead = json!({"role": "user", "content": "instead", "from": 2});
    let lost = app.post(&format!("{path}/messages")).json(&instead).header("if-match", again.headers["etag"].clone());
    lost.refused(412, "precondition_failed", "If-Match").await;
    assert_eq!(app.get(&format!("{path}/messages")).expect(200).await.array().len(), 3);

    // A batch has the version of its last part.
    let both = json!({"messages": [ours, {"id": Uuid::now_v7(), "role": "user", "content": "more"}]});
    let both = || app.post(&format!("{path}/messages")).json(&both);
    assert_eq!(version(&both().expect(201).await), 5);
    append(&app, &path, "by another tab").await;
    assert_eq!(version(&both().expect(200).await), 5);

    // A message that an import has added to a conversation which was there: no request before has seen it.
    let export = app.get("/users/ada/export").expect(200).await.body;
    let kept: Vec<&str> = export.lines().take(3).collect();
    app.delete("/users/ada").expect(200).await;
    for lines in [kept.join("\n"), export.clone()] {
        app.post("/users/ada/import").by_service().header("content-type", "application/x-ndjson").body(lines).expect(200).await;
    }
    assert_eq!(version(&app.get(&path).expect(200).await), 2);
    assert_eq!(version(&send().expect(200).await), 1);
    assert_eq!(version(&both().expect(200).await), 2);
}

/// A request for each endpoint that takes a key, with what it is about: `path` is a conversation of three messages.
fn writes<'a>(app: &'a App, path: &str, ids: &[String]) -> Vec<Call<'a>> {
    vec![
        app.patch(path).json(&json!({"title": "A", "archived": true})),
        app.patch(&format!("{path}/messages/{}", ids[1])).json(&json!({"content": "edited", "metadata": {"a": 1}})),
        app.put(&format!("{path}/summary")).json(&json!({"through": 1, "content": "summary"})),
        app.delete(&format!("{path}/summary")),
        app.put(&format!("{path}/line")).json(&json!({"message_id": ids[1]})),
        app.delete(&format!("{path}/messages/{}", ids[1])),
        app.put(&format!("{path}/line")).json(&json!({"message_id": ids[0], "newest": true})),
        app.delete(&format!("{path}/messages?from=3")),
        app.delete(path),
    ]
}

#[tokio::test]
async fn a_write_that_is_sent_again_with_its_key_is_answered_as_it_was_the_first_time() {
    let app = App::start().await;
    let path = format!("/conversations/{}", app.conversation().await);
    let ids = [new_key(), new_key(), new_key()];
    let three: Vec<Value> = ids.iter().map(|id| json!({"id": id, "role": "user", "content": "x"})).collect();
    let mut current = version(&app.post(&format!("{path}/messages")).json(&json!({"messages": three})).expect(201).await);
    for write in writes(&app, &path, &ids) {
        let write = write.header("idempotency-key", new_key()).header("if-match", format!("\"{current}\""));
        let (first, again) = (write.clone().send().await, write.clone().send().await);
        assert!([200, 204].contains(&first.status) && !is_replayed(&first), "{first:?}");
        assert_eq!((again.status, &again.body, again.headers.get("etag")), (first.status, &first.body, first.headers.get("etag")));
        assert!(is_replayed(&again), "{again:?}");
        current += 1;
        assert!(first.headers.get("etag").is_none_or(|etag| *etag == format!("\"{current}\"")), "{first:?}");
    }
    app.get(&path).expect(404).await;
    // Without a key, it is another request.
    app.delete(&path).refused(404, "not_found", None).await;
}

#[tokio::test]
async fn a_late_duplicate_undoes_nothing() {
    let app = App::start().await;
    let id = app.conversation().await;
    let path = format!("/conversations/{id}");
    let key = || new_key();
    let title = |title: &str| app.patch(&path).json(&json!({"title": title})).header("idempotency-key", key());
    let first = title("A");
    assert_eq!(version(&first.clone().expect(200).await), 2);
    title("B").expect(200).await;
    let late = first.clone().expect(200).await;
    assert_eq!((&late.json()["title"], version(&late), is_replayed(&late)), (&json!("B"), 2, true));

    // A rewind, behind appends, and one that had found nothing.
    append(&app, &path, "1").await;
    for found in [1, 0] {
        let rewind = app.delete(&format!("{path}/messages?from=1")).header("idempotency-key", key());
        let done = rewind.clone().expect(200).await;
        assert_eq!(done.json(), json!({"deleted": found}));
        append(&app, &path, "2").await;
        let late = rewind.expect(200).await;
        assert_eq!((late.json(), version(&late)), (done.json(), version(&done)), "what it was answered");
        assert_eq!(app.get(&format!("{path}/messages")).expect(200).await.array().len(), 1);
        app.delete(&format!("{path}/messages?from=1")).expect(200).await;
    }

    // A change that changed nothing.
    let same = title("B");
    same.clone().expect(200).await;
    title("C").expect(200).await;
    assert_eq!(same.expect(200).await.json()["title"], "C");

    // A message that was deleted, and stored again.
    let message = json!({"id": key(), "role": "user", "content": "3"});
    let (append, delete) =
        (app.post(&format!("{path}/messages")).json(&message), format!("{path}/messages/{}", message["id"].as_str().unwrap()));
    append.clone().expect(201).await;
    let delete = app.delete(&delete).header("idempotency-key", key());
    delete.clone().expect(204).await;
    append.expect(201).await;
    assert!(is_replayed(&delete.expect(204).await));
    assert_eq!(app.get(&path).expect(200).await.json()["message_count"], 1);

    // A conversation that was deleted, and made again.
    let delete = app.delete(&path).header("idempotency-key", key());
    delete.clone().expect(204).await;
    app.post("/conversations").json(&json!({"id": id})).expect(201).await;
    assert!(is_replayed(&delete.expect(204).await));
    app.get(&path).expect(200).await;

    // The newest eight are remembered.
    let first = title("first");
    first.clone().expect(200).await;
    for n in 0..7 {
        title(&n.to_string()).expect(200).await;
    }
    assert_eq!(first.clone().expect(200).await.json()["title"], "6");
    title("7").expect(200).await;
    assert_eq!(first.expect(200).await.json()["title"], "first", "more are not");
}

#[tokio::test]
async fn a_key_belongs_to_one_request() {
    let app = App::start().await;
    let path = format!("/conversations/{}", app.conversation().await);
    let ids = [new_key(), new_key(), new_key()];
    let three: Vec<Value> = ids.iter().map(|id| json!({"id": id, "role": "user", "content": "x"})).collect();
    app.post(&format!("{path}/messages")).json(&json!({"messages": three})).expect(201).await;
    let key = new_key();
    let first = app.patch(&path).json(&json!({"title": "A"})).header("idempotency-key", &key);
    first.clone().expect(200).await;
    let mut writes = writes(&app, &path, &ids);
    writes.push(app.patch(&path).json(&json!({"title": "B"})));
    writes.push(app.patch(&format!("{path}?title=A")));
    for write in writes {
        let refused = write.header("idempotency-key", &key).refused(409, "conflict", "Idempotency-Key").await;
        assert_eq!(refused.headers.get("etag"), None);
    }
    // Whatever the condition says, it is the same request.
    assert!(is_replayed(&first.header("if-match", "\"7\"").expect(200).await));
    app.patch(&path)
        .json(&json!({"title": "A"}))
        .header("idempotency-key", "17")
        .refused(400, "invalid_uuid", "Idempotency-Key")
        .await;
    // It means nothing in another conversation.
    let other = format!("/conversations/{}", app.conversation().await);
    assert!(!is_replayed(&app.patch(&other).json(&json!({"title": "B"})).header("idempotency-key", &key).expect(200).await));
}

#[tokio::test]
async fn a_piece_that_comes_again_has_the_version_behind_it_or_an_older_one() {
    let app = App::start().await;
    let path = format!("/conversations/{}", app.conversation().await);
    let begin = json!({"role": "assistant", "content": "", "status": "in_progress"});
    let reply = app.post(&format!("{path}/messages")).json(&begin).expect(201).await.json()["id"].as_str().unwrap().to_owned();
    let key = new_key();
    let piece = || {
        let piece = app.patch(&format!("{path}/messages/{reply}")).json(&json!({"append": "It rains", "at": 0}));
        piece.header("idempotency-key", &key)
    };
    let first = piece().expect(200).await;
    assert_eq!((version(&first), is_replayed(&first)), (3, false));
    let again = piece().expect(200).await;
    assert_eq!((version(&again), is_replayed(&again), &again.body), (3, true, &first.body));
    append(&app, &path, "by another tab").await;
    let late = piece().expect(200).await;
    assert!(version(&late) <= 3 && is_replayed(&late), "a conditional write that follows sees the other message: {late:?}");
    // Pieces do not push out what is remembered.
    let title = app.patch(&path).json(&json!({"title": "A"})).header("idempotency-key", new_key());
    title.clone().expect(200).await;
    for n in 0..9 {
        let more = json!({"append": "x", "at": 8 + n});
        app.patch(&format!("{path}/messages/{reply}")).json(&more).header("idempotency-key", new_key()).expect(200).await;
    }
    app.patch(&path).json(&json!({"title": "B"})).expect(200).await;
    assert_eq!(title.expect(200).await.json()["title"], "B");
    // An empty piece has no place to be recognized by, so with a condition it is recognized by its key.
    let current = version(&app.get(&path).expect(200).await);
    let end = app.patch(&format!("{path}/messages/{reply}")).json(&json!({"append": "", "at": 17, "status": "complete"}));
    let end = end.header("idempotency-key", new_key()).header("if-match", format!("\"{current}\""));
    let (first, again) = (end.clone().expect(200).await, end.expect(200).await);
    assert_eq!((version(&first), version(&again), &again.body), (current + 1, current + 1, &first.body));
}

#[tokio::test]
async fn a_patch_with_the_values_that_are_there_changes_nothing() {
    let app = App::start().await;
    let made = json!({"title": "A", "metadata": {"a": {"b": [1, 2.50]}, "c": "d"}, "expires_in": 3600});
    let made = app.post("/conversations").json(&made).expect(201).await.json();
    let path = format!("/conversations/{}", made["id"].as_str().unwrap());
    let message = json!({"role": "user", "content": "x", "tool_calls": [{"id": "1"}], "metadata": {"a": 1}, "token_count": 7});
    let parts = json!({"role": "user", "content": [{"type": "text", "text": "x"}]});
    let stored = app.post(&format!("{path}/messages")).json(&json!({"messages": [message, parts]})).expect(201).await.array();
    let [message, parts] = [0, 1].map(|n: usize| format!("{path}/messages/{}", stored[n]["id"].as_str().unwrap()));
    app.patch(&path).json(&json!({"archived": true, "pinned": true})).expect(200).await;
    app.put(&format!("{path}/summary")).json(&json!({"through": 2, "content": "summary"})).expect(200).await;
    let before = app.get(&path).expect(200).await;
    for (path, body) in [
        (&path, r#"{"title": "A"}"#),
        (&path, r#"{"archived": true, "pinned": true}"#),
        (&path, r#"{"metadata": {"c": "d"}}"#),
        (&path, r#"{"metadata": {"a":{"b" : [1,2.50] }, "e": null}}"#),
        (&path, r#"{"metadata": {}}"#),
        (&path, "{}"),
        (&message, r#"{"content": "x"}"#),
        (&message, r#"{"tool_calls": [{"id":"1"}]}"#),
        (&message, r#"{"content": "x", "token_count": 7, "metadata": {"a": 1, "b": null}, "status": "complete"}"#),
        (&message, r#"{"metadata": {}}"#),
        (&parts, r#"{"content": [{"text":"x","type":"text"}], "token_count": null, "tool_calls": null}"#),
    ] {
        let answer = app.patch(path).body(body).expect(200).await;
        assert_eq!(answer.headers["etag"], before.headers["etag"], "{body}");
    }
    let after = app.get(&path).expect(200).await;
    assert_eq!((&after.body, &after.headers["etag"]), (&before.body, &before.headers["etag"]), "the summary is there, too");
    assert_eq!(app.get(&format!("{path}/messages")).expect(200).await.array(), stored, "the token count is there, too");
    // What changes a part of it, changes it.
    app.patch(&message).json(&json!({"content": "x", "metadata": {"a": 2}})).expect(200).await;
    let facts = app.get(&path).expect(200).await;
    assert_eq!((version(&facts), &facts.json()["summary"]["through"]), (version(&before) + 1, &json!(2)));
    let counted = app.patch(&message).json(&json!({"content": "y"})).expect(200).await.json();
    assert_eq!(counted["token_count"], Value::Null);
    assert_eq!(app.get(&path).expect(200).await.json()["summary"], Value::Null);
    // A number that jsonb does not take is compared as it is spelled.
    for (number, changes) in [("1e999999", 1), ("1e999999", 0), ("1e999998", 1)] {
        let before = version(&app.get(&path).expect(200).await);
        let changed = app.patch(&path).body(format!(r#"{{"metadata": {{"n": {number}}}}}"#)).expect(200).await;
        assert_eq!(version(&changed), before + changes, "{number}");
    }
}

#[tokio::test]
async fn from_is_the_position_of_the_next_message_at_most() {
    let app = App::start().await;
    let path = format!("/conversations/{}", app.conversation().await);
    append(&app, &path, "1").await;
    append(&app, &path, "2").await;
    app.delete(&format!("{path}/messages?from=2")).expect(200).await;
    let messages = format!("{path}/messages");
    let from = |from: i64| app.post(&messages).json(&json!({"role": "user", "content": "3", "from": from}));
    let refused = from(4).refused(400, "invalid_parameter", "from").await;
    assert!(refused.json()["detail"].as_str().unwrap().contains("position 3"), "{}", refused.body);
    assert_eq!(app.get(&messages).expect(200).await.array().len(), 1);
    assert_eq!(from(3).expect(201).await.json()["position"], 3);
    from(i64::MAX).refused(400, "invalid_parameter", "from").await;
}

#[tokio::test]
async fn a_refused_condition_says_the_current_version() {
    let app = App::start().await;
    let path = format!("/conversations/{}", app.conversation().await);
    let ids = [new_key(), new_key(), new_key()];
    let three: Vec<Value> = ids.iter().map(|id| json!({"id": id, "role": "user", "content": "x"})).collect();
    app.post(&format!("{path}/messages")).json(&json!({"messages": three})).expect(201).await;
    app.put(&format!("{path}/summary")).json(&json!({"through": 1, "content": "x"})).expect(200).await;
    let append = app.post(&format!("{path}/messages")).json(&json!({"role": "user", "content": "y"}));
    for write in writes(&app, &path, &ids).into_iter().chain([append.clone()]) {
        let refused = write.header("if-match", "\"1\"").refused(412, "precondition_failed", "If-Match").await;
        assert_eq!(refused.headers["etag"], "\"3\"");
    }
    // A proxy that compresses makes an ETag weak.
    assert_eq!(version(&append.header("if-match", "W/\"3\"").expect(201).await), 4);
}

#[tokio::test]
async fn what_a_deletion_leaves_says_nothing_and_goes_with_a_later_purge() {
    let app = App::start().await;
    let (id, key) = (app.conversation().await, new_key());
    let path = format!("/conversations/{id}");
    app.delete(&path).header("idempotency-key", &key).expect(204).await;
    // Another caller who knows the key learns nothing from it.
    app.delete(&path).by("bob").header("idempotency-key", &key).refused(404, "not_found", None).await;
    let superuser = app.superuser().await;
    let left = async || superuser.query_typed("select to_json(d)::text from deletions d", &[]).await.unwrap();
    let rows = left().await;
    assert_eq!(rows.len(), 1);
    let row: Value = serde_json::from_str(rows[0].get(0)).unwrap();
    assert_eq!(row.as_object().unwrap().keys().collect::<Vec<_>>(), ["deleted_at", "id"]);
    assert!(![id.to_string(), key].contains(&row["id"].as_str().unwrap().to_owned()));
    let purge = async || {
        app.function("purge-expired").invoke("{}".to_owned()).await.unwrap();
    };
    purge().await;
    assert_eq!(left().await.len(), 1, "a late duplicate may still come");
    superuser.batch_execute("update deletions set deleted_at = now() - interval '61 minutes'").await.unwrap();
    purge().await;
    assert_eq!(left().await.len(), 0);
}
