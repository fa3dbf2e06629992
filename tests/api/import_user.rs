//! `POST /users/{user_id}/import`, and that an export, an erasure and an import change nothing.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::concurrency::one_behind_the_other;
use crate::erase_user::fill;
use crate::export_user::{export, lines};
use crate::fork_conversation::written;
use crate::support::{App, Call};
use crate::transcripts::{self, Transcript};

/// By a back end.
fn import<'a>(app: &'a App, user: &str, body: &str) -> Call<'a> {
    app.post(&format!("/users/{user}/import")).header("content-type", "application/x-ndjson").body(body).by_service()
}

/// All pages of a user's export, one after the other.
async fn exported(app: &App, user: &str) -> String {
    export(app, user).await.into_iter().map(|page| page.body).collect()
}

/// Erases ada and imports what was exported of her. Asserts that the next export has the same bytes, and that the same import again
/// changes nothing.
async fn there_and_back(app: &App) {
    let pages = export(app, "ada").await;
    let before: String = pages.iter().map(|page| page.body.as_str()).collect();
    assert!(!before.is_empty());
    app.delete("/users/ada").expect(200).await;
    assert_eq!(exported(app, "ada").await, "");
    let (mut conversations, mut messages) = (0, 0);
    for page in &pages {
        let imported = import(app, "ada", &page.body).base64().expect(200).await.json();
        // A conversation whose summaries go on in another page is there already.
        let again = usize::from(page.body.lines().next().unwrap().contains("\"conversation\":") && conversations > 0);
        assert!(imported["skipped"].as_u64() <= Some(again as u64), "{imported}");
        conversations += imported["conversations"].as_u64().unwrap();
        messages += imported["messages"].as_u64().unwrap();
    }
    let rows = app.rows().await;
    assert_eq!((i64::try_from(conversations), i64::try_from(messages)), (Ok(rows["conversations"]), Ok(rows["messages"])));
    let after = exported(app, "ada").await;
    assert!(after == before, "{}", first_difference(&before, &after));
    let version = "select sum(version)::bigint from conversations";
    let versions = async || app.superuser().await.query_typed(version, &[]).await.unwrap()[0].get::<_, i64>(0);
    let stored = versions().await;
    for page in &pages {
        let imported = import(app, "ada", &page.body).expect(200).await.json();
        assert_eq!((&imported["conversations"], &imported["messages"]), (&json!(0), &json!(0)));
    }
    assert_eq!(versions().await, stored, "nothing has changed");
    assert!(exported(app, "ada").await == before);
    // What follows from the lines is as it would be if they had been written here.
    let counted = "
        select count(*)
        from conversations c
            join messages m on m.conversation_id = c.id
        where m.owner_key <> owner_key(c.user_id) or m.characters_before is null or m.size is null
            or c.message_count <> (select count(*) from messages n where n.conversation_id = c.id)
            or c.characters_appended <> (select sum(n.characters) from messages n where n.conversation_id = c.id)
            or m.characters_before <> (
                select coalesce(sum(n.characters), 0) from messages n where n.conversation_id = c.id and n.position < m.position
            )";
    if messages < 1000 {
        assert_eq!(app.superuser().await.query_typed(counted, &[]).await.unwrap()[0].get::<_, i64>(0), 0);
    }
}

fn first_difference(before: &str, after: &str) -> String {
    let differing = before.lines().zip(after.lines()).find(|(before, after)| before != after);
    format!("{differing:?}, {} and {} lines", before.lines().count(), after.lines().count())
}

#[tokio::test]
async fn everything_that_can_be_stored_comes_back() {
    let app = App::start().await;
    let new = json!({"new": true, "title": "Räin", "metadata": {"a": 1.50, "b": [null]}, "expires_in": 360_000});
    let made = app.post("/conversations").json(&new).expect(201).await.json();
    let path = format!("/conversations/{}", made["id"].as_str().unwrap());
    let messages = format!("{path}/messages");
    let rich = r#"{"messages": [
        {"role": "system", "content": "Be \"brief\".\n"},
        {"role": "user", "content": [{"type": "text",
            "text": "hi"}], "name": "Zoë", "metadata": {"b":1,
            "a":[2]}, "token_count": 7},
        {"role": "assistant", "content": null, "tool_calls": [{"id":"c", "n": 1e400, "n": 2},
            "\ud800"]},
        {"role": "tool", "content": "", "tool_call_id": "c"},
        {"role": "user", "content": "gone"},
        {"role": "developer", "content": "😀\u0001"},
        {"role": "assistant", "content": "half", "status": "in_progress"},
        {"role": "user", "content": "last"}]}"#;
    app.post(&messages).body(rich).expect(201).await;
    let ids: Vec<(String,)> = {
        let rows = app.superuser().await.query_typed("select id::text from messages order by position", &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0),)).collect()
    };
    for gone in [4, 7] {
        app.delete(&format!("{messages}/{}", ids[gone].0)).expect(204).await;
    }
    app.patch(&format!("{messages}/{}", ids[0].0)).json(&json!({"content": "edited"})).expect(200).await;
    let stopped = app.post(&format!("{messages}?role=assistant&content=stopped&status=in_progress")).expect(201).await.json();
    let stopped = format!("{messages}/{}", stopped["id"].as_str().unwrap());
    app.patch(&stopped)
        .json(&json!({"status": "cancelled", "feedback": {"rating": "down", "comment": "too \"long\" é"}}))
        .expect(200)
        .await;
    for (through, content) in [(2, "short"), (4, "longer\n\"é")] {
        app.put(&format!("{path}/summary"))
            .json(&json!({"through": through, "content": content, "token_count": 3}))
            .expect(200)
            .await;
    }
    app.post(&format!("{path}/fork?through=4")).expect(201).await;
    app.post(&format!("{path}/fork?title=mine")).expect(201).await;
    app.patch(&path).json(&json!({"archived": true, "pinned": true})).expect(200).await;
    app.conversation().await;
    // The reply has lost its writer, and is not one that will.
    app.superuser()
        .await
        .batch_execute("update messages set updated_at = updated_at - interval '1 hour' where in_progress")
        .await
        .unwrap();
    let read = async || {
        let conversation = app.get(&path).expect(200).await.json();
        let history = app.get(&messages).expect(200).await.body.replace(['\n', '\r'], " ");
        let context = app.get(&format!("{path}/context?max_messages=2")).expect(200).await.body.replace(['\n', '\r'], " ");
        let found = app.get("/users/ada/search?q=hi").expect(200).await.array().len();
        (conversation, history, context, found)
    };
    let before = read().await;
    there_and_back(&app).await;
    assert_eq!(read().await, before);
    // Positions that were deleted are not used again.
    let next = app.post(&format!("{messages}?role=user&content=more")).expect(201).await.json();
    assert_eq!(next["position"], 10);
}

#[tokio::test]
async fn any_conversations_come_back() {
    let app = App::start().await;
    let letters = || prop::collection::vec(prop::sample::select(vec!['s', 'u', 'u', 'a', 'a', 'c', 'p', 'i']), 0..14);
    let index = any::<prop::sample::Index>;
    let strategy = (letters(), prop::collection::vec((0..4, index()), 0..6));
    let mut runner = TestRunner::deterministic();
    let mut changes = 0;
    for _ in 0..25 {
        let (letters, operations) = strategy.new_tree(&mut runner).unwrap().current();
        let path = format!("/conversations/{}", app.conversation().await);
        let messages = format!("{path}/messages");
        let batch = written(&letters);
        if batch.is_empty() {
            continue;
        }
        let stored = app.post(&messages).json(&json!({"messages": batch})).expect(201).await.array();
        for (operation, at) in operations {
            let message = at.get(&stored);
            let (id, position) = (message["id"].as_str().unwrap(), &message["position"]);
            let answer = match operation {
                0 => app.delete(&format!("{messages}/{id}")).send().await,
                1 => {
                    app.patch(&format!("{messages}/{id}"))
                        .json(&json!({"content": "edited", "metadata": {"n": position}}))
                        .send()
                        .await
                }
                2 => app.put(&format!("{path}/summary")).json(&json!({"through": position, "content": "summary"})).send().await,
                _ => app.post(&format!("{path}/fork")).json(&json!({"through": position})).send().await,
            };
            changes += usize::from(answer.status < 300);
        }
    }
    assert!(changes > 25, "{changes} changes: the cases are lopsided");
    let pages = export(&app, "ada").await;
    app.delete("/users/ada").expect(200).await;
    for page in &pages {
        import(&app, "ada", &page.body).expect(200).await;
    }
    let before: String = pages.iter().map(|page| page.body.as_str()).collect();
    let after = exported(&app, "ada").await;
    assert!(after == before, "{}", first_difference(&before, &after));
}

#[cfg_attr(not(has_transcripts), ignore = "there are no recorded conversations: name a file in TRANSCRIPTS")]
#[tokio::test]
async fn real_conversations_come_back() {
    let app = App::start().await;
    for Transcript { id, messages } in transcripts::transcripts() {
        transcripts::store(&app, &id, &messages).await;
    }
    there_and_back(&app).await;
}

#[tokio::test]
async fn a_page_may_begin_in_the_middle_of_a_conversation() {
    let app = App::start().await;
    fill(&app, "ada", 2, 9_000).await;
    let newest =
        "update conversations c set last_message_at = (select max(m.created_at) from messages m where m.conversation_id = c.id)";
    app.superuser().await.batch_execute(newest).await.unwrap();
    let path = format!("/conversations/{}", app.conversation().await);
    let say = vec![json!({"role": "user", "content": "x"}); 20];
    app.post(&format!("{path}/messages")).json(&json!({"messages": say})).expect(201).await;
    for through in 1..=9 {
        let summary = json!({"through": through, "content": through.to_string().repeat(1 << 20)});
        app.put(&format!("{path}/summary")).json(&summary).expect(200).await;
    }
    let pages = export(&app, "ada").await;
    assert!(pages.len() > 3 && pages.iter().any(|page| page.body.starts_with("{\"message\"")));
    there_and_back(&app).await;
    // Nor does it matter how often, but a conversation comes before its messages.
    let page = pages.iter().find(|page| page.body.starts_with("{\"message\"")).unwrap();
    app.delete("/users/ada").expect(200).await;
    import(&app, "ada", &page.body).refused(400, "invalid_parameter", "line 1: message.conversation_id").await;
    assert!(app.rows().await.values().all(|rows| *rows == 0), "{:?}", app.rows().await);
}

#[tokio::test]
async fn lines_that_grow_when_they_are_escaped_come_back() {
    let app = App::start().await;
    let path = format!("/conversations/{}", app.conversation().await);
    app.post(&format!("{path}/messages"))
        .json(&json!({"messages": vec![json!({"role": "user", "content": "x"}); 8]}))
        .expect(201)
        .await;
    for through in [2, 4, 6, 8] {
        let summary = json!({"through": through, "content": "\"".repeat(1 << 20)});
        app.put(&format!("{path}/summary")).json(&summary).expect(200).await;
    }
    let control = json!({"role": "user", "content": "\u{1}".repeat(690_000)});
    let large = app.post(&format!("{path}/messages")).json(&control).expect(201).await.json();
    let metadata = json!({"metadata": {"x": "x".repeat(200_000)}});
    app.patch(&format!("{path}/messages/{}", large["id"].as_str().unwrap())).json(&metadata).expect(200).await;
    there_and_back(&app).await;
    // Two lines are no more than any other body.
    let line = export(&app, "ada").await.pop().unwrap().body;
    assert!(line.len() > 4 << 20 && line.lines().count() == 1);
    import(&app, "ada", &format!("{line}\n{{}}\n")).refused(413, "payload_too_large", None).await;
}

#[tokio::test]
async fn a_line_may_be_there_twice_and_a_summary_may_not() {
    let app = App::start().await;
    let lines = small(Uuid::now_v7());
    let twice = [&lines[..], &lines[..]].concat();
    assert_eq!(
        import(&app, "ada", &body(&twice)).expect(200).await.json(),
        json!({"conversations": 1, "messages": 2, "skipped": 3, "expired": 0})
    );
    let new = small(Uuid::now_v7());
    let other = with(&new, 1, "/summaries/0/content", json!("other"));
    let answer = import(&app, "ada", &body(&[new, other].concat())).refused(400, "ambiguous_parameter", "line 4: summaries").await;
    assert!(answer.json()["detail"].as_str().unwrap().contains("twice"));
    assert_eq!(app.rows().await["conversations"], 1);
}

#[tokio::test]
async fn messages_that_come_back_end_a_summary_that_was_made_without_them() {
    let app = App::start().await;
    let path = format!("/conversations/{}", app.conversation().await);
    let say = vec![json!({"role": "user", "content": "x".repeat(100)}); 12];
    app.post(&format!("{path}/messages")).json(&json!({"messages": say})).expect(201).await;
    let page = export(&app, "ada").await.remove(0).body;
    let gone = page.lines().nth(5).unwrap();
    let id = serde_json::from_str::<Value>(gone).unwrap()["message"]["id"].clone();
    app.delete(&format!("{path}/messages/{}", id.as_str().unwrap())).expect(204).await;
    let summary = json!({"through": 8, "content": "what was said"});
    let summarized = app.put(&format!("{path}/summary")).json(&summary).expect(200).await;
    assert_eq!(summarized.json()["summary"]["through"], 8);
    let omitted = async || app.get(&format!("{path}/context?max_chars=600")).expect(200).await.json()["omitted"].clone();
    assert_eq!(omitted().await, 0);

    assert_eq!(import(&app, "ada", gone).expect(200).await.json()["messages"], 1);
    assert_eq!(app.get(&path).expect(200).await.json()["summary"], Value::Null);
    assert_eq!(omitted().await, 6);
    let late = app.put(&format!("{path}/summary")).json(&summary).header("if-match", &summarized.headers["etag"]);
    late.refused(412, "precondition_failed", "If-Match").await;
    app.put(&format!("{path}/summary")).json(&summary).expect(200).await;
    assert_eq!(omitted().await, 0);
}

/// A conversation and two messages, as lines.
fn small(id: Uuid) -> Vec<Value> {
    let time = |second: u32| format!("2026-11-22T10:00:0{second}.123456Z");
    let message = |position: u32| {
        json!({"message": {
            "id": Uuid::new_v5(&id, &[u8::try_from(position).unwrap()]), "conversation_id": id, "position": position, "role": "user",
            "content": position.to_string(), "tool_calls": null, "tool_call_id": null, "name": null, "metadata": {},
            "token_count": null, "status": "complete", "created_at": time(position), "updated_at": time(position), "feedback": null
        }})
    };
    let conversation = json!({
        "id": id, "user_id": "ada", "title": "T", "metadata": {}, "message_count": 2, "kept_count": 0, "created_at": time(0), "updated_at": time(2),
        "last_message_at": time(2), "archived_at": null, "pinned_at": null, "expires_at": null, "forked_from": null,
        "summary": {"through": 1, "created_at": time(3)}
    });
    let summaries = json!([{"through": 1, "content": "s", "token_count": null, "messages": 1, "created_at": time(3)}]);
    vec![json!({"conversation": conversation, "summaries": summaries, "next_position": 3}), message(1), message(2)]
}

fn body(lines: &[Value]) -> String {
    lines.iter().map(|line| line.to_string() + "\n").collect()
}

/// These lines, with another value at one place of one line.
fn with(lines: &[Value], line: usize, pointer: &str, value: Value) -> Vec<Value> {
    let mut lines = lines.to_vec();
    *lines[line - 1].pointer_mut(pointer).unwrap() = value;
    lines
}

#[tokio::test]
async fn a_line_that_is_stored_with_other_content_refuses_the_whole_request() {
    let app = App::start().await;
    let (stored, new) = (small(Uuid::now_v7()), small(Uuid::now_v7()));
    assert_eq!(
        import(&app, "ada", &body(&stored)).expect(200).await.json(),
        json!({"conversations": 1, "messages": 2, "skipped": 0, "expired": 0})
    );
    assert_eq!(
        import(&app, "ada", &body(&stored)).expect(200).await.json(),
        json!({"conversations": 0, "messages": 0, "skipped": 3, "expired": 0})
    );
    let before = exported(&app, "ada").await;
    let time = json!("2026-11-22T11:00:00.000000Z");
    for (line, pointer, value) in [
        (1, "/conversation/title", json!("other")),
        (1, "/conversation/metadata", json!({"n": 1})),
        (1, "/conversation/created_at", time.clone()),
        (1, "/conversation/updated_at", time.clone()),
        (1, "/conversation/last_message_at", time.clone()),
        (1, "/conversation/archived_at", time.clone()),
        (1, "/conversation/pinned_at", time.clone()),
        (1, "/conversation/expires_at", json!("2999-11-22T11:00:00.000000Z")),
        (1, "/conversation/forked_from", json!({"conversation_id": Uuid::now_v7(), "position": 1})),
        (1, "/next_position", json!(4)),
        (1, "/summaries/0/content", json!("other")),
        (1, "/summaries/0/messages", json!(0)),
        (1, "/summaries/0/created_at", time.clone()),
        (3, "/message/content", json!("other")),
        (3, "/message/id", json!(Uuid::now_v7())),
        (3, "/message/position", json!(3)),
        (3, "/message/role", json!("assistant")),
        (3, "/message/metadata", json!({"n": 1})),
        (3, "/message/tool_calls", json!([])),
        (3, "/message/name", json!("other")),
        (3, "/message/token_count", json!(1)),
        (3, "/message/status", json!("in_progress")),
        (3, "/message/status", json!("cancelled")),
        (3, "/message/feedback", json!({"rating": "up"})),
        (3, "/message/created_at", time.clone()),
        (3, "/message/updated_at", time),
    ] {
        let changed = with(&stored, line, pointer, value);
        let changed = [new.clone(), changed].concat();
        import(&app, "ada", &body(&changed)).refused(409, "conflict", format!("line {}", line + 3).as_str()).await;
        assert!(exported(&app, "ada").await == before, "{pointer}: nothing was stored");
    }
    // Those of another user, and those that are being erased.
    import(&app, "bob", &body(&stored)).refused(409, "conflict", "line 1").await;
    import(&app, "bob", &body(&stored[1..])).refused(400, "invalid_parameter", "line 1: message.conversation_id").await;
    let id = new[0]["conversation"]["id"].as_str().unwrap();
    let erased = format!("insert into erased_conversations values ('{id}', 'ada', 0)");
    app.superuser().await.batch_execute(&erased).await.unwrap();
    import(&app, "ada", &body(&[stored.clone(), new.clone()].concat())).refused(409, "conflict", "line 4").await;
    app.superuser().await.batch_execute("delete from erased_conversations").await.unwrap();
    // One that has expired counts as deleted, also while a purge deletes it.
    let purged = small(Uuid::now_v7());
    let half_purged = format!(
        "insert into erased_conversations values ({0}, 'ada', 1, null);
        insert into messages (conversation_id, position, id, role, content, created_at, updated_at)
        values ({0}, 1, gen_random_uuid(), 'user', 'x', now(), now())",
        purged[0]["conversation"]["id"].to_string().replace('"', "'")
    );
    app.superuser().await.batch_execute(&half_purged).await.unwrap();
    assert_eq!(
        import(&app, "eve", &body(&purged)).expect(200).await.json(),
        json!({"conversations": 1, "messages": 2, "skipped": 0, "expired": 0})
    );
    assert_eq!(app.delete("/users/eve").by("eve").expect(200).await.json(), json!({"conversations": 1, "messages": 2}));
    let expired = format!(
        "insert into conversations (id, user_id, expires_at, next_position) values ('{id}', 'bob', now(), 2);
        insert into messages (conversation_id, position, id, role, content, created_at, updated_at)
        values ('{id}', 1, gen_random_uuid(), 'user', 'x', now(), now())"
    );
    app.superuser().await.batch_execute(&expired).await.unwrap();
    let both = body(&[stored, new].concat());
    assert_eq!(
        import(&app, "ada", &both).expect(200).await.json(),
        json!({"conversations": 1, "messages": 2, "skipped": 3, "expired": 0})
    );
    assert_eq!(app.rows().await["messages"], 4);
}

#[tokio::test]
async fn a_malformed_line_is_named_with_its_field() {
    let app = App::start().await;
    let good = small(Uuid::now_v7());
    for (line, pointer, value, status, code, field) in [
        (1, "/conversation/id", json!("x"), 400, "invalid_uuid", "conversation.id"),
        (1, "/conversation/id", json!(null), 400, "missing_parameter", "conversation.id"),
        (1, "/conversation/title", json!("t".repeat(513)), 400, "invalid_parameter", "conversation.title"),
        (1, "/conversation/metadata", json!([]), 400, "invalid_parameter", "conversation.metadata"),
        (1, "/conversation/metadata", json!({"x": "x".repeat(16 << 10)}), 413, "payload_too_large", "conversation.metadata"),
        (1, "/conversation/created_at", json!("yesterday"), 400, "invalid_parameter", "conversation.created_at"),
        (1, "/conversation/updated_at", json!("9999-12-31T23:59:59.999999Z"), 400, "invalid_parameter", "conversation.updated_at"),
        (3, "/message/created_at", json!("2999-01-01T00:00:00Z"), 400, "invalid_parameter", "message.created_at"),
        (1, "/next_position", json!(i64::MAX), 400, "invalid_parameter", "next_position"),
        (1, "/summaries/0", json!(1), 400, "invalid_parameter", "summaries[0]"),
        (1, "/conversation/updated_at", json!(null), 400, "missing_parameter", "conversation.updated_at"),
        (1, "/conversation/forked_from", json!(1), 400, "invalid_parameter", "conversation.forked_from"),
        (
            1,
            "/conversation/forked_from",
            json!({"position": 1}),
            400,
            "missing_parameter",
            "conversation.forked_from.conversation_id",
        ),
        (1, "/next_position", json!(0), 400, "invalid_parameter", "next_position"),
        (1, "/next_position", json!(null), 400, "missing_parameter", "next_position"),
        (1, "/summaries/0/through", json!("x"), 400, "invalid_parameter", "summaries[0].through"),
        // What a line claims has to be possible.
        (1, "/summaries/0/through", json!(3), 400, "invalid_parameter", "summaries[0].through"),
        (1, "/summaries/0/messages", json!(2), 400, "invalid_parameter", "summaries[0].messages"),
        (1, "/next_position", json!(1_u64 << 53), 400, "invalid_parameter", "next_position"),
        (2, "/message/position", json!((1_u64 << 53) - 1), 400, "invalid_parameter", "message.position"),
        (
            1,
            "/conversation/forked_from",
            json!({"conversation_id": Uuid::nil(), "position": 1_u64 << 52}),
            400,
            "invalid_parameter",
            "conversation.forked_from.position",
        ),
        (1, "/summaries/0/content", json!(""), 400, "invalid_parameter", "summaries[0].content"),
        (1, "/summaries", json!({}), 400, "invalid_parameter", "summaries"),
        (2, "/message/role", json!("robot"), 400, "invalid_parameter", "message.role"),
        (2, "/message/content", json!(1), 400, "invalid_parameter", "message.content"),
        (2, "/message/content", json!(null), 400, "missing_parameter", "message.content"),
        (2, "/message/content", json!("\0"), 400, "invalid_character", "message.content"),
        (2, "/message/position", json!(0), 400, "invalid_parameter", "message.position"),
        (2, "/message/status", json!("done"), 400, "invalid_parameter", "message.status"),
        (3, "/message/id", json!(good[1]["message"]["id"]), 400, "ambiguous_parameter", "message.id"),
        (3, "/message/position", json!(1), 400, "ambiguous_parameter", "message.position"),
        (3, "/message/created_at", json!("10000-01-01T00:00:00Z"), 400, "invalid_parameter", "message.created_at"),
    ] {
        let lines = with(&good, line, pointer, value);
        import(&app, "ada", &body(&lines)).refused(status, code, format!("line {line}: {field}").as_str()).await;
    }
    for (lines, code, param) in [
        ("{}\n".to_owned(), "invalid_body", "line 1"),
        (body(&good) + "\n", "invalid_body", "line 4"),
        (body(&good) + "[]", "invalid_body", "line 4"),
        (body(&good) + "{\"message\": ", "invalid_body", "line 4"),
        (body(&good) + r#"{"message": {}, "conversation": {}}"#, "invalid_body", "line 4"),
        (body(&good).replacen("\"title\"", "\"name\"", 1), "unknown_parameter", "line 1: conversation.name"),
        (body(&good).replacen("\"next_position\"", "\"more\":1,\"next_position\"", 1), "unknown_parameter", "line 1: more"),
        (
            body(&[good[0].clone(), with(&good, 1, "/conversation/title", json!("other"))[0].clone()]),
            "ambiguous_parameter",
            "line 2: conversation.id",
        ),
    ] {
        import(&app, "ada", &lines).refused(400, code, param).await;
    }
    assert!(app.rows().await.values().all(|rows| *rows == 0), "{:?}", app.rows().await);
    // A line without a line break at its end will do, and so will no line.
    let nothing = json!({"conversations": 0, "messages": 0, "skipped": 0, "expired": 0});
    assert_eq!(app.post("/users/ada/import").by_service().expect(200).await.json(), nothing);
    import(&app, "ada", body(&good).trim_end()).expect(200).await;
}

#[tokio::test]
async fn only_a_back_end_may_import_and_only_lines() {
    let app = App::start().await;
    let lines = body(&small(Uuid::now_v7()));
    for user in ["ada", "bob"] {
        import(&app, "ada", &lines).by(user).refused(403, "forbidden", None).await;
    }
    import(&app, "ada", &lines).by_nobody().refused(401, "unauthenticated", None).await;
    import(&app, "a%0Ab", &lines).refused(400, "invalid_character", "user_id").await;
    for kind in ["application/json", "text/plain", "application/json; charset=utf-8"] {
        let call = app.post("/users/ada/import").header("content-type", kind).body(lines.as_str()).by_service();
        call.refused(415, "unsupported_media_type", None).await;
    }
    // And lines are nothing that another endpoint takes.
    let call = app.post("/conversations").header("content-type", "application/x-ndjson").body("{}");
    call.refused(415, "unsupported_media_type", None).await;
    import(&app, "ada", &"x".repeat((4 << 20) + 1)).base64().refused(413, "payload_too_large", None).await;
    assert!(app.rows().await.values().all(|rows| *rows == 0), "{:?}", app.rows().await);
    import(&app, "eve", &lines).header("content-type", "Application/X-NDJSON; charset=utf-8").expect(200).await;
    assert_eq!(exported(&app, "eve").await.lines().count(), 3);
    assert_eq!(app.get("/users/eve/conversations").by("eve").expect(200).await.json()[0]["user_id"], "eve");
}

#[tokio::test]
async fn what_is_appended_between_two_pages_is_kept() {
    let app = App::start().await;
    let id = Uuid::now_v7();
    let all = small(id);
    // The second message came when the line of the conversation had been written.
    let all = with(&all, 1, "/conversation/updated_at", json!("2026-11-22T10:00:05.123456Z"));
    let early =
        with(&with(&all, 1, "/next_position", json!(2)), 1, "/conversation/last_message_at", json!("2026-11-22T10:00:01.123456Z"));
    import(&app, "ada", &body(&early[..2])).expect(200).await;
    let etag = app.get(&format!("/conversations/{id}")).expect(200).await.headers["etag"].clone();
    import(&app, "ada", &body(&early[2..])).expect(200).await;
    let read = app.get(&format!("/conversations/{id}")).expect(200).await;
    assert_ne!(read.headers["etag"], etag);
    assert_eq!(
        (&read.json()["message_count"], &read.json()["last_message_at"]),
        (&json!(2), &json!("2026-11-22T10:00:02.123456Z"))
    );
    import(&app, "ada", &body(&early)).expect(200).await;
    let next = app.post(&format!("/conversations/{id}/messages?role=user&content=x")).expect(201).await.json();
    assert_eq!(next["position"], 3);
    import(&app, "ada", &body(&early)).refused(409, "conflict", "line 1").await;
}

#[tokio::test]
async fn of_an_import_and_an_erasure_at_once_one_waits() {
    let app = App::with_instances(2).await;
    let lines = body(&small(Uuid::now_v7()));
    import(&app, "ada", &lines).expect(200).await;
    let more = lines.clone() + &body(&small(Uuid::now_v7()));
    let [imported, erased] = one_behind_the_other(&app, import(&app, "ada", &more), app.delete("/users/ada")).await;
    assert_eq!((imported.json()["skipped"].as_u64(), erased.json()), (Some(3), json!({"conversations": 2, "messages": 4})));
    import(&app, "ada", &lines).expect(200).await;
    let [erased, imported] = one_behind_the_other(&app, app.delete("/users/ada"), import(&app, "ada", &lines)).await;
    assert_eq!((imported.json()["messages"].as_u64(), erased.json()), (Some(2), json!({"conversations": 1, "messages": 2})));
    assert_eq!(lines, body(&lines_of(&app).await));
}

/// A conversation of five messages, as lines. Its summary stands for the positions up to 5, and the message at 3 is gone.
fn summarized(id: Uuid, claim: u64) -> Vec<Value> {
    let mut lines = small(id);
    lines[0]["summaries"][0]["through"] = json!(5);
    lines[0]["summaries"][0]["messages"] = json!(claim);
    lines[0]["next_position"] = json!(7);
    for position in [3, 4, 5, 6] {
        let mut line = lines[2].clone();
        line["message"]["id"] = json!(Uuid::new_v5(&id, &[position]));
        line["message"]["position"] = json!(position);
        lines.push(line);
    }
    lines.remove(3);
    lines
}

#[tokio::test]
async fn what_a_summary_stands_for_is_counted() {
    let app = App::start().await;
    let state = async |id: Uuid| {
        let path = format!("/conversations/{id}");
        let context = app.get(&format!("{path}/context?max_messages=2")).expect(200).await.json();
        (context["omitted"].as_i64().unwrap(), app.get(&path).expect(200).await.json()["summary"]["through"].as_u64())
    };
    // Too many, all of them, and too few. A summary that does not know of a message does not stand for it.
    for (claim, omitted, through) in [(5, 0, Some(5)), (4, 0, Some(5)), (3, 3, None)] {
        let id = Uuid::now_v7();
        let lines = summarized(id, claim);
        import(&app, "ada", &body(&lines)).expect(200).await;
        assert_eq!(state(id).await, (omitted, through), "{claim}");
        let again = import(&app, "ada", &body(&lines)).send().await;
        assert_eq!(again.status, 200, "{}", again.body);
        assert_eq!(state(id).await, (omitted, through), "{claim}, again");
    }
    // The lines may come in any number of requests, and until then the summary stands for those that are there.
    let id = Uuid::now_v7();
    let lines = summarized(id, 4);
    for (line, omitted) in lines.iter().zip([0, 0, 0, 0, 0, 0]) {
        import(&app, "ada", &body(std::slice::from_ref(line))).expect(200).await;
        assert_eq!(state(id).await, (omitted, Some(5)), "{line}");
    }
    let stored = "select count(*) from summaries where messages <> 4 or claimed is not null and claimed <> 5";
    assert_eq!(app.superuser().await.query_typed(stored, &[]).await.unwrap()[0].get::<_, i64>(0), 0);
    // The message that was gone comes back.
    let gone = with(&with(&lines, 2, "/message/position", json!(3)), 2, "/message/id", json!(Uuid::now_v7())).remove(1);
    import(&app, "ada", &body(&[gone])).expect(200).await;
    assert_eq!(state(id).await, (4, None));
}

#[tokio::test]
async fn the_time_of_the_newest_message_follows_from_the_messages() {
    let app = App::start().await;
    let last = async |id: Uuid| app.get(&format!("/conversations/{id}")).expect(200).await.json()["last_message_at"].clone();
    let time = |second: u32| json!(format!("2026-11-22T10:00:0{second}.123456Z"));
    for (claim, expected) in [(json!(null), time(2)), (time(1), time(2)), (time(3), time(3))] {
        let id = Uuid::now_v7();
        let lines = with(&small(id), 1, "/conversation/last_message_at", claim.clone());
        for at_once in [&lines[..2], &lines[2..]] {
            import(&app, "ada", &body(at_once)).expect(200).await;
        }
        assert_eq!(last(id).await, expected, "{claim}");
        let again = import(&app, "ada", &body(&lines)).expect(200).await.json();
        assert_eq!((&again["skipped"], last(id).await), (&json!(3), expected), "{claim}, again");
    }
}

#[tokio::test]
async fn a_position_is_one_that_every_reader_can_hold_and_an_export_can_be_imported() {
    let app = App::start().await;
    let id = Uuid::now_v7();
    let far = 1_700_000_000_000_000_u64;
    let lines = with(&small(id), 1, "/next_position", json!(far));
    import(&app, "ada", &body(&lines)).expect(200).await;
    let appended = app.post(&format!("/conversations/{id}/messages?role=user&content=x")).expect(201).await.json();
    assert_eq!(appended["position"], far);
    there_and_back(&app).await;
}

#[tokio::test]
async fn what_has_expired_is_counted_and_leaves_nothing_to_read() {
    let mut app = App::start().await;
    app.set("RETENTION_DAYS", "36500");
    let now = chrono::Utc::now();
    let times = [
        ("/conversation/expires_at", json!("2026-11-22T10:00:05.123456Z")),
        ("/conversation/updated_at", json!((now - chrono::TimeDelta::days(36_501)).to_rfc3339())),
    ];
    for (pointer, time) in times {
        let (gone, kept) = (small(Uuid::now_v7()), small(Uuid::now_v7()));
        let gone = with(&gone, 1, pointer, time);
        let both = body(&[&gone[..2], &kept[..], &gone[2..]].concat());
        let answer = json!({"conversations": 1, "messages": 2, "skipped": 0, "expired": 3});
        assert_eq!(import(&app, "ada", &both).expect(200).await.json(), answer);
        let again = json!({"conversations": 0, "messages": 0, "skipped": 3, "expired": 3});
        assert_eq!(import(&app, "ada", &both).expect(200).await.json(), again);
        // A later page knows the conversation.
        let later = json!({"conversations": 0, "messages": 0, "skipped": 0, "expired": 1});
        assert_eq!(import(&app, "ada", &body(&gone[1..2])).expect(200).await.json(), later);
        app.get(&format!("/conversations/{}", gone[0]["conversation"]["id"].as_str().unwrap()))
            .refused(404, "not_found", None)
            .await;
        assert_eq!(exported(&app, "ada").await.lines().count(), 3);
        assert_eq!(app.rows().await["messages"], 2);
        // It is free for one that has not expired.
        let revived = with(&gone, 1, "/conversation/expires_at", json!("2999-11-22T10:00:05.123456Z"));
        let revived = with(&revived, 1, "/conversation/updated_at", json!("2026-11-22T10:00:05.123456Z"));
        assert_eq!(import(&app, "ada", &body(&revived)).expect(200).await.json()["messages"], 2);
        app.delete("/users/ada").expect(200).await;
    }
}

#[tokio::test]
async fn a_line_that_no_response_can_hold_is_refused_by_its_number() {
    let app = App::start().await;
    let line = with(&small(Uuid::now_v7()), 2, "/message/content", json!("\u{1}".repeat(747_000)));
    import(&app, "ada", &body(&line[..1])).expect(200).await;
    let call = import(&app, "ada", &line[1].to_string());
    call.refused(413, "payload_too_large", "line 1: message.content").await;
    // The most that is taken can be read, whatever its other fields have.
    let signs = |count: usize| json!("\u{1}".repeat(count));
    let mut line = with(&line, 2, "/message/content", signs(700_000));
    for (member, value) in [("tool_call_id", signs(16 << 10)), ("name", signs(1 << 10))] {
        line[1]["message"][member] = value;
    }
    let path = format!("/conversations/{}/messages", line[0]["conversation"]["id"].as_str().unwrap());
    let stored = import(&app, "ada", &line[1].to_string()).send().await.status;
    assert!([200, 413].contains(&stored), "{stored}");
    let message =
        json!({"role": "assistant", "content": "", "status": "in_progress", "tool_call_id": signs(16 << 10), "name": signs(1024)});
    let message = app.post(&path).json(&message).expect(201).await.json();
    let of = format!("{path}/{}", message["id"].as_str().unwrap());
    let mut at = 0;
    for count in [600_000, 100_000, 20_000, 10_000, 5_000, 2_500, 1_000, 500, 250, 100, 50] {
        let edited = app.patch(&of).json(&json!({"append": "\u{1}".repeat(count), "at": at})).send().await;
        at += if edited.status == 200 { count } else { 0 };
    }
    assert!(at > 690_000, "{at}");
    app.get(&of).expect(200).await;
    app.patch(&format!("/conversations/{}", line[0]["conversation"]["id"].as_str().unwrap()))
        .json(&json!({"metadata": {"x": "x".repeat(16_000)}, "title": "\u{1}".repeat(512)}))
        .send()
        .await;
    assert_eq!(app.get("/users/ada/conversations?include=last_message").expect(200).await.array().len(), 1);
    assert!(app.get(&path).expect(200).await.array().len() <= 2);
}

/// The lines of ada's export.
async fn lines_of(app: &App) -> Vec<Value> {
    export(app, "ada").await.iter().flat_map(lines).collect()
}

#[tokio::test]
#[ignore = "measures: 300,000 messages"]
async fn what_an_import_takes() {
    let app = App::start().await;
    fill(&app, "ada", 3_000, 100).await;
    let pages = export(&app, "ada").await;
    app.delete("/users/ada").expect(200).await;
    let mut times = Vec::new();
    for page in &pages {
        let started = std::time::Instant::now();
        import(&app, "ada", &page.body).expect(200).await;
        times.push(started.elapsed());
    }
    println!(
        "300,000 messages: {} pages, slowest {:?}, all {:?}",
        pages.len(),
        times.iter().max(),
        times.iter().sum::<std::time::Duration>()
    );
}
