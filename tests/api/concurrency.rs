//! Many at once: one conversation, one order, nothing lost.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, App, Call};

/// Sends them all before it waits for any.
pub async fn all_at_once(calls: Vec<Call<'_>>) -> Vec<Answer> {
    let mut sent: Vec<_> = calls.into_iter().map(|call| Box::pin(call.send())).collect();
    let mut answers = Vec::new();
    std::future::poll_fn(|context| {
        sent.retain_mut(|call| match call.as_mut().poll(context) {
            std::task::Poll::Ready(answer) => {
                answers.push(answer);
                false
            }
            std::task::Poll::Pending => true,
        });
        if sent.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    answers
}

#[tokio::test]
async fn a_hundred_simultaneous_first_calls_make_one_conversation() {
    let app = App::with_instances(20).await;
    for user in ["ada", "bob"] {
        let answers = all_at_once((0..100).map(|_| app.post("/conversations").by(user)).collect()).await;
        let ids: BTreeSet<String> = answers.iter().map(|answer| answer.json()["id"].to_string()).collect();
        assert_eq!(ids.len(), 1);
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 99);
    }
}

/// What is archived or has expired is not a user's current conversation. The first call that finds no other makes one.
#[tokio::test]
async fn a_hundred_simultaneous_calls_make_one_conversation_where_the_first_is_archived_or_has_expired() {
    let app = App::with_instances(20).await;
    for (user, end) in
        [("ada", "archived_at = now()"), ("bob", "expires_at = now()"), ("eve", "archived_at = now(), is_first = false")]
    {
        for round in 1..=2 {
            let first = app.post("/conversations").by(user).send().await.json()["id"].clone();
            app.superuser().await.batch_execute(&format!("update conversations set {end} where user_id = '{user}'")).await.unwrap();
            let answers = all_at_once((0..100).map(|_| app.post("/conversations").by(user)).collect()).await;
            let ids: BTreeSet<String> = answers.iter().map(|answer| answer.json()["id"].to_string()).collect();
            assert_eq!(ids.len(), 1, "{user}");
            assert!(!ids.contains(&first.to_string()));
            let count = |status| answers.iter().filter(|answer| answer.status == status).count();
            assert_eq!((count(201), count(200)), (1, 99), "{user}");
            let rows = format!("select from conversations where user_id = '{user}'");
            assert_eq!(app.superuser().await.query_typed(&rows, &[]).await.unwrap().len(), 1 + round, "{user}");
        }
    }
}

#[tokio::test]
async fn simultaneous_calls_with_one_id_make_one_conversation() {
    let app = App::with_instances(10).await;
    for _ in 0..10 {
        let id = Uuid::now_v7();
        let calls = (0..40).map(|n| app.post("/conversations").json(&json!({"id": id})).by(if n % 2 == 0 { "ada" } else { "bob" }));
        let answers = all_at_once(calls.collect()).await;
        let count = |status| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!((count(201), count(200), count(409)), (1, 19, 20));
    }
}

#[tokio::test]
async fn forty_writers_to_one_conversation_take_turns() {
    const WRITERS: usize = 40;
    const BATCHES: usize = 5;
    let app = App::with_instances(20).await;
    let conversation = app.conversation().await;
    let path = format!("/conversations/{conversation}/messages");
    let mut calls = Vec::new();
    for writer in 0..WRITERS {
        for batch in 0..BATCHES {
            let size = 1 + (writer + batch) % 3;
            let messages: Vec<Value> = (0..size)
                .map(|n| json!({"id": Uuid::now_v7(), "role": "user", "content": format!("{writer}/{batch}/{n}")}))
                .collect();
            calls.push(app.post(&path).json(&json!({"messages": messages})));
        }
    }
    let answers = all_at_once(calls).await;
    let mut acknowledged = 0;
    for answer in &answers {
        assert_eq!(answer.status, 201, "{}", answer.body);
        let messages = answer.array();
        let first = messages[0]["position"].as_u64().unwrap();
        for (n, message) in messages.iter().enumerate() {
            assert_eq!(message["position"].as_u64().unwrap(), first + n as u64, "a batch is adjacent");
        }
        acknowledged += messages.len();
    }

    let history = app.get(&path).expect(200).await;
    let messages = history.array();
    assert_eq!(messages.len(), acknowledged);
    let positions: Vec<_> = messages.iter().map(|message| message["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, (1..=acknowledged as u64).collect::<Vec<_>>());
    let contents: BTreeSet<_> = messages.iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert_eq!(contents.len(), acknowledged, "none lost, none twice");
    assert!(messages.is_sorted_by_key(|message| message["created_at"].as_str().unwrap()), "time never runs backwards");
    let found = app.post("/conversations").expect(200).await;
    assert_eq!(found.json()["message_count"], json!(acknowledged));
    assert_eq!(found.headers["etag"], format!("\"{}\"", 1 + WRITERS * BATCHES), "a version for each change");
}

#[tokio::test]
async fn the_same_batch_from_many_at_once_is_stored_once() {
    let app = App::with_instances(10).await;
    let conversation = app.conversation().await;
    let path = format!("/conversations/{conversation}/messages");
    for _ in 0..5 {
        let messages: Vec<Value> =
            (0..3).map(|n| json!({"id": Uuid::now_v7(), "role": "user", "content": n.to_string()})).collect();
        let batch = json!({"messages": messages});
        let answers = all_at_once((0..10).map(|_| app.post(&path).json(&batch)).collect()).await;
        let count = |status| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!((count(201), count(200)), (1, 9));
        assert!(answers.iter().all(|answer| answer.array() == answers[0].array()));
    }
    assert_eq!(app.get(&path).expect(200).await.array().len(), 15);
}

#[tokio::test]
async fn of_many_writers_with_one_etag_one_wins() {
    let app = App::with_instances(10).await;
    let conversation = app.conversation().await;
    let path = format!("/conversations/{conversation}/messages?role=user&content=x");
    let answers = all_at_once((0..20).map(|_| app.post(&path).header("if-match", "\"1\"")).collect()).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(201), count(412)), (1, 19));
}

#[tokio::test]
async fn erasing_and_appending_at_once_leaves_no_orphan_and_loses_no_answer() {
    let app = App::with_instances(8).await;
    for round in 0..5 {
        let conversation = app.conversation().await;
        let path = format!("/conversations/{conversation}/messages?role=user&content=x");
        let erase = if round % 2 == 0 { app.delete("/users/ada") } else { app.delete(&format!("/conversations/{conversation}")) };
        let mut calls: Vec<_> = (0..30).map(|_| app.post(&path)).collect();
        calls.insert(10, erase);
        let answers = all_at_once(calls).await;
        let count = |status| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!(count(201) + count(404), 30, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
        assert_eq!(count(200) + count(204), 1);
        if let Some(erased) = answers.iter().find(|answer| answer.status == 200) {
            assert_eq!(erased.json()["messages"], json!(count(201)), "every stored message was counted");
        }
        assert!(app.rows().await.values().all(|rows| *rows == 0), "{:?}", app.rows().await);
    }
}

#[tokio::test]
async fn rewinds_edits_and_appends_at_once_keep_the_count_and_the_order() {
    let app = App::with_instances(8).await;
    let conversation = app.conversation().await;
    let path = format!("/conversations/{conversation}/messages");
    let first = app.post(&format!("{path}?role=user&content=first")).expect(201).await.json()["id"].as_str().unwrap().to_owned();
    let mut calls = Vec::new();
    for n in 0..60 {
        calls.push(match n % 6 {
            0 => app.delete(&format!("{path}?from={}", 2 + n)),
            1 => app.patch(&format!("{path}/{first}")).json(&json!({"content": n.to_string()})),
            2 => app.patch(&format!("/conversations/{conversation}")).json(&json!({"metadata": {(n.to_string()): n}})),
            _ => app.post(&format!("{path}?role=user&content={n}")),
        });
    }
    let answers = all_at_once(calls).await;
    assert!(answers.iter().all(|answer| [200, 201].contains(&answer.status)), "{answers:?}");
    let stored = 1 + answers.iter().filter(|answer| answer.status == 201).count();
    let deleted: u64 = answers.iter().filter_map(|answer| answer.json()["deleted"].as_u64()).sum();
    let conversation = app.get(&format!("/conversations/{conversation}")).expect(200).await.json();
    let messages = app.get(&path).expect(200).await.array();
    assert_eq!(messages.len() as u64, stored as u64 - deleted);
    assert_eq!(conversation["message_count"], json!(messages.len()));
    assert_eq!(conversation["metadata"].as_object().unwrap().len(), 10, "no patch overwrites another");
    assert!(messages.is_sorted_by_key(|message| (message["position"].as_u64(), message["created_at"].as_str().map(str::to_owned))));
}

#[tokio::test]
async fn an_edit_that_waits_sees_what_it_waited_for() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    let path = format!("/conversations/{conversation}/messages");
    let message = app.post(&format!("{path}?role=user&content=old")).expect(201).await.json()["id"].as_str().unwrap().to_owned();
    app.patch(&format!("{path}/{message}")).json(&json!({})).expect(200).await;
    // Another tab's edit, and then its rewind, hold the lock while ours arrives.
    for (change, ours, status) in
        [("update messages set content = 'new'", json!({}), 200), ("delete from messages", json!({"content": "ours"}), 404)]
    {
        let other = app.superuser().await;
        other.batch_execute(&format!("begin; update conversations set version = version + 1; {change}")).await.unwrap();
        let waiting = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            other.batch_execute("commit").await.unwrap();
        };
        let (answer, ()) = tokio::join!(app.patch(&format!("{path}/{message}")).json(&ours).send(), waiting);
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(status == 404 || answer.json()["content"] == "new", "{}", answer.body);
    }
    let version = app.get(&format!("/conversations/{conversation}")).expect(200).await.headers["etag"].clone();
    assert_eq!(version, "\"4\"", "what did not happen moved nothing");
}

/// Sends two requests that both wait for the lock of ada's conversations, the first before the second, and then releases the lock.
///
/// Asserts that each request was one statement: what a request has waited for is no reason to send its statement again.
pub async fn one_behind_the_other<'a>(app: &'a App, first: Call<'a>, second: Call<'a>) -> [Answer; 2] {
    let other = app.superuser().await;
    let superuser = app.superuser().await;
    let statements = |function: &str| {
        let line = app.function(function).log();
        serde_json::from_str::<Value>(line.lines().next_back().unwrap()).unwrap()["db"]["statements"].clone()
    };
    let functions = [first.event().0, second.event().0];
    other.batch_execute("begin; select from conversations for update").await.unwrap();
    let waits = async |sessions: i64| {
        let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        let started = Instant::now();
        while superuser.query_typed(waiting, &[]).await.unwrap()[0].get::<_, i64>(0) < sessions {
            assert!(started.elapsed() < Duration::from_secs(10), "{functions:?}: {sessions} sessions do not wait for the lock");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let second = async {
        waits(1).await;
        second.send().await
    };
    let release = async {
        waits(2).await;
        other.batch_execute("commit").await.unwrap();
    };
    let (first, second, ()) = tokio::join!(first.send(), second, release);
    for function in functions {
        assert_eq!(statements(function), 1, "{function}: {}", app.function(function).log());
    }
    [first, second]
}

/// A conversation's path with two messages stored, for requests that race.
async fn scene() -> (App, String) {
    let app = App::with_instances(2).await;
    let path = format!("/conversations/{}", app.conversation().await);
    let two = json!({"messages": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]});
    app.post(&format!("{path}/messages")).json(&two).expect(201).await;
    (app, path)
}

#[tokio::test]
async fn a_rewind_that_waits_for_an_append_deletes_what_was_appended() {
    let (app, path) = scene().await;
    let messages = format!("{path}/messages");
    let append = app.post(&messages).json(&json!({"role": "user", "content": "3"}));
    let [appended, rewound] = one_behind_the_other(&app, append, app.delete(&format!("{messages}?from=2"))).await;
    assert_eq!((appended.status, appended.json()["position"].as_u64()), (201, Some(3)));
    assert_eq!((rewound.status, rewound.json(), rewound.headers["etag"].as_str()), (200, json!({"deleted": 2}), "\"4\""));
    let left: Vec<_> = app.get(&messages).expect(200).await.array().iter().map(|message| message["position"].clone()).collect();
    assert_eq!(left, [1]);
}

#[tokio::test]
async fn an_append_that_waits_for_a_rewind_is_stored_behind_it() {
    let (app, path) = scene().await;
    let messages = format!("{path}/messages");
    let append = app.post(&messages).json(&json!({"role": "user", "content": "3"}));
    let [rewound, appended] = one_behind_the_other(&app, app.delete(&format!("{messages}?from=2")), append).await;
    assert_eq!((rewound.status, rewound.json()), (200, json!({"deleted": 1})));
    assert_eq!((appended.status, appended.json()["position"].as_u64()), (201, Some(3)), "position 2 is not given out again");
}

#[tokio::test]
async fn an_edit_finds_the_message_that_was_appended_while_it_waited() {
    let (app, path) = scene().await;
    let messages = format!("{path}/messages");
    let id = Uuid::now_v7();
    let append = app.post(&messages).json(&json!({"id": id, "role": "user", "content": "3"}));
    let edit = app.patch(&format!("{messages}/{id}")).json(&json!({"content": "edited"}));
    let [appended, edited] = one_behind_the_other(&app, append, edit).await;
    assert_eq!((appended.status, appended.json()["content"].as_str()), (201, Some("3")));
    assert_eq!((edited.status, edited.json()["content"].as_str()), (200, Some("edited")), "{}", edited.body);
    assert_eq!(edited.headers["etag"], "\"4\"");
}

#[tokio::test]
async fn of_two_identical_appends_the_second_is_a_replay() {
    let (app, path) = scene().await;
    let messages = format!("{path}/messages");
    let batch: Vec<Value> = (3..6).map(|n| json!({"id": Uuid::now_v7(), "role": "user", "content": n.to_string()})).collect();
    let append = app.post(&messages).json(&json!({"messages": batch}));
    let [first, second] = one_behind_the_other(&app, append.clone(), append).await;
    assert_eq!((first.status, second.status, second.headers["idempotent-replayed"].as_str()), (201, 200, "true"));
    assert_eq!((first.array(), &first.headers["etag"]), (second.array(), &second.headers["etag"]));
    assert_eq!(app.get(&messages).expect(200).await.array().len(), 5);
}

#[tokio::test]
async fn an_id_with_two_contents_at_once_is_a_conflict_for_the_second() {
    let (app, path) = scene().await;
    let messages = format!("{path}/messages");
    let id = Uuid::now_v7();
    let append = |content: &str| app.post(&messages).json(&json!({"id": id, "role": "user", "content": content}));
    let [first, second] = one_behind_the_other(&app, append("this"), append("that")).await;
    assert_eq!((first.status, second.status, &second.json()["param"]), (201, 409, &json!("id")));
}

#[tokio::test]
async fn what_an_append_has_changed_meanwhile_is_another_version() {
    let (app, path) = scene().await;
    let messages = format!("{path}/messages");
    let first = app.get(&messages).expect(200).await.array()[0]["id"].as_str().unwrap().to_owned();
    for change in [
        app.post(&messages).json(&json!({"role": "user", "content": "mine"})),
        app.patch(&path).json(&json!({"title": "mine"})),
        app.patch(&format!("{messages}/{first}")).json(&json!({"content": "mine"})),
        app.delete(&format!("{messages}?from=1")),
        app.delete(&path),
    ] {
        let (function, _) = change.event();
        let seen = app.get(&path).expect(200).await.headers["etag"].clone();
        let append = app.post(&messages).json(&json!({"role": "user", "content": "theirs"}));
        let [appended, changed] = one_behind_the_other(&app, append, change.header("if-match", seen)).await;
        assert_eq!((appended.status, changed.status), (201, 412), "{function}: {}", changed.body);
    }
    assert_eq!(app.get(&messages).expect(200).await.array().len(), 7, "nothing but the appends took effect");
}

#[tokio::test]
async fn an_append_beside_a_deletion_comes_before_it_or_finds_nothing() {
    let (app, path) = scene().await;
    let append = app.post(&format!("{path}/messages?role=user&content=x"));
    let [deleted, appended] = one_behind_the_other(&app, app.delete(&path), append).await;
    assert_eq!((deleted.status, appended.status), (204, 404), "{}", appended.body);
    let (app, path) = scene().await;
    let append = app.post(&format!("{path}/messages?role=user&content=x"));
    let [appended, deleted] = one_behind_the_other(&app, append, app.delete(&path)).await;
    assert_eq!((appended.status, deleted.status), (201, 204));
    assert!(app.rows().await.values().all(|rows| *rows == 0), "{:?}", app.rows().await);
}

#[tokio::test]
async fn an_append_beside_an_erasure_comes_before_it_or_finds_nothing() {
    let (app, path) = scene().await;
    let append = app.post(&format!("{path}/messages?role=user&content=x"));
    let [erased, appended] = one_behind_the_other(&app, app.delete("/users/ada"), append).await;
    assert_eq!((erased.json(), appended.status), (json!({"conversations": 1, "messages": 2}), 404), "{}", appended.body);
    assert!(app.rows().await.values().all(|rows| *rows == 0), "{:?}", app.rows().await);
    // A back end may write to any user's conversations, too.
    for by_service in [false, true] {
        let (app, path) = scene().await;
        let append = app.post(&format!("{path}/messages?role=user&content=x"));
        let append = if by_service { append.by_service() } else { append };
        let [appended, erased] = one_behind_the_other(&app, append, app.delete("/users/ada")).await;
        assert_eq!((appended.status, erased.json()), (201, json!({"conversations": 1, "messages": 3})));
        assert!(app.rows().await.values().all(|rows| *rows == 0), "{:?}", app.rows().await);
    }
}

#[tokio::test]
async fn of_two_erasures_at_once_one_finds_everything_and_an_id_is_free_only_behind_them() {
    let (app, path) = scene().await;
    let [first, second] = one_behind_the_other(&app, app.delete("/users/ada"), app.delete("/users/ada")).await;
    assert_eq!(first.json(), json!({"conversations": 1, "messages": 2}));
    assert_eq!(second.json(), json!({"conversations": 0, "messages": 0}));
    // A request that creates the conversation anew waits for the step of the erasure, which has the id.
    let id = path.rsplit('/').next().unwrap();
    let superuser = app.superuser().await;
    app.post("/conversations").json(&json!({"id": id})).expect(201).await;
    let hide = "begin; with gone as (delete from conversations returning id) insert into erased_conversations select id, 'ada', 0 from gone";
    superuser.batch_execute(hide).await.unwrap();
    let commit = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        superuser.batch_execute("commit").await.unwrap();
    };
    let create = app.post("/conversations").json(&json!({"id": id})).by("bob");
    let (created, ()) = tokio::join!(create.send(), commit);
    assert_eq!(created.status, 409, "{}", created.body);
    assert_eq!(app.delete("/users/ada").expect(200).await.json(), json!({"conversations": 1, "messages": 0}));
    app.post("/conversations").json(&json!({"id": id})).expect(201).await;
}
