//! `POST /conversations/{conversation_id}/fork`

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::concurrency::{all_at_once, one_behind_the_other};
use crate::support::{App, Call};

/// A conversation's path, in which so many messages of ada's are stored.
async fn chat(app: &App, messages: usize) -> String {
    let path = format!("/conversations/{}", app.conversation().await);
    let say = |number: usize| json!({"role": (["user", "assistant"][number % 2]), "content": number.to_string()});
    let messages: Vec<Value> = (0..messages).map(say).collect();
    app.post(&format!("{path}/messages")).json(&json!({"messages": messages})).expect(201).await;
    path
}

fn fork<'a>(app: &'a App, path: &str, body: &Value) -> Call<'a> {
    app.post(&format!("{path}/fork")).json(body)
}

/// The path of a conversation in an answer.
fn path_of(conversation: &Value) -> String {
    format!("/conversations/{}", conversation["id"].as_str().unwrap())
}

/// Messages as they were sent, member by member, without what a copy has of its own.
fn copied(body: &str) -> Vec<BTreeMap<String, String>> {
    let messages: Vec<BTreeMap<String, Box<RawValue>>> = serde_json::from_str(body).unwrap();
    let texts = |message: BTreeMap<String, Box<RawValue>>| {
        let own = |name: &String| ["id", "conversation_id"].contains(&name.as_str());
        message.into_iter().filter(|(name, _)| !own(name)).map(|(name, value)| (name, value.get().to_owned())).collect()
    };
    messages.into_iter().map(texts).collect()
}

#[tokio::test]
async fn a_fork_has_the_messages_up_to_a_position_byte_for_byte() {
    let app = App::start().await;
    let new = json!({"new": true, "title": "Rain", "metadata": {"n": 1}, "expires_in": 3600});
    let path = path_of(&app.post("/conversations").json(&new).expect(201).await.json());
    let messages = format!("{path}/messages");
    let first = app.post(&messages).json(&json!({"role": "system", "content": "é🌧"})).expect(201).await.json();
    let rich = r#"{"messages": [
        {"role": "user", "content": [{"type": "text", "text": "hi",  "n": 1.50}], "name": "Zoë", "metadata": {"b":1, "a":[2]}, "token_count": 7},
        {"role": "assistant", "tool_calls": [{"id":"c", "n": 1.50E+2, "n": 2}]},
        {"role": "tool", "content": "", "tool_call_id": "c"},
        {"role": "assistant", "content": "half", "status": "in_progress"},
        {"role": "user", "content": "last"}]}"#;
    app.post(&messages).body(rich).expect(201).await;
    app.patch(&format!("{messages}/{}", first["id"].as_str().unwrap())).json(&json!({"content": "edited"})).expect(200).await;
    app.patch(&path).json(&json!({"archived": true, "pinned": true})).expect(200).await;
    let source = app.get(&path).expect(200).await;
    let stored = app.get(&messages).expect(200).await.body;

    for (at, count) in [(Some(1), 1), (Some(3), 3), (Some(5), 5), (Some(6), 6), (None, 6)] {
        let made = fork(&app, &path, &json!({"through": at})).expect(201).await;
        let forked = made.json();
        let fork_path = path_of(&forked);
        assert_eq!((made.headers["location"].as_str(), made.headers["etag"].as_str()), (fork_path.as_str(), "\"1\""));
        assert_eq!(app.get(&fork_path).expect(200).await.json(), forked);
        let copies = app.get(&format!("{fork_path}/messages")).expect(200).await;
        assert_eq!(copied(&copies.body), copied(&stored)[..count], "at {at:?}");
        let copies = copies.array();
        let source = source.json();
        let expected = json!({
            "id": forked["id"], "user_id": "ada", "title": "Rain", "metadata": {"n": 1}, "message_count": count,
            "created_at": forked["created_at"], "updated_at": forked["updated_at"], "last_message_at": copies[count - 1]["created_at"],
            "archived_at": null, "pinned_at": null, "expires_at": source["expires_at"],
            "forked_from": {"conversation_id": source["id"], "position": count}, "summary": null, "kept_count": 0
        });
        assert_eq!(forked, expected);
        assert!(forked["created_at"].as_str() > source["updated_at"].as_str());
        // The ids begin as the fork's does, and say that they are neither random nor times.
        let ids: Vec<Uuid> = copies.iter().map(|copy| copy["id"].as_str().unwrap().parse().unwrap()).collect();
        let fork_id: Uuid = forked["id"].as_str().unwrap().parse().unwrap();
        assert!(ids.iter().all(|id| id.as_bytes()[..6] == fork_id.as_bytes()[..6] && id.get_version_num() == 8), "{ids:?}");
        assert!(ids.iter().all(|id| id.get_variant() == uuid::Variant::RFC4122), "{ids:?}");
        assert_eq!(std::collections::BTreeSet::from_iter(&ids).len(), count);
        // It goes on behind what was copied.
        let next = app.post(&format!("{fork_path}/messages?role=user&content=more")).expect(201).await.json();
        assert_eq!(next["position"], count + 1);
    }
    let after = app.get(&path).expect(200).await;
    assert_eq!((after.json(), &after.headers["etag"]), (source.json(), &source.headers["etag"]), "the source is not touched");
    assert_eq!(app.get(&messages).expect(200).await.body, stored);
    let own = fork(&app, &path, &json!({"title": "Mine", "metadata": {"m": 2}})).expect(201).await.json();
    assert_eq!((&own["title"], &own["metadata"]), (&json!("Mine"), &json!({"m": 2})));
    // The source may go, and a fork may be forked.
    app.delete(&path).expect(204).await;
    let second = fork(&app, &path_of(&own), &json!({"through": 2})).expect(201).await.json();
    assert_eq!(second["forked_from"], json!({"conversation_id": own["id"], "position": 2}));
    assert_eq!(copied(&app.get(&format!("{}/messages", path_of(&second))).expect(200).await.body), copied(&stored)[..2]);
}

#[tokio::test]
async fn the_same_id_again_is_the_same_fork_whatever_became_of_its_source() {
    let app = App::start().await;
    let path = chat(&app, 4).await;
    let id = Uuid::now_v7();
    let made = fork(&app, &path, &json!({"id": id, "through": 2, "title": "T"})).expect(201).await.json();
    let messages = app.get(&format!("/conversations/{id}/messages")).expect(200).await.body;
    let again = async |body: Value| {
        let found = fork(&app, &path, &body).expect(200).await;
        assert_eq!((found.json(), found.headers.get("location")), (made.clone(), None));
        assert_eq!(app.get(&format!("/conversations/{id}/messages")).expect(200).await.body, messages);
    };
    again(json!({"id": id, "through": 2})).await;
    again(json!({"id": id, "title": "other"})).await;
    app.post(&format!("{path}/messages?role=user&content=more")).expect(201).await;
    app.delete(&format!("{path}/messages?from=1")).expect(200).await;
    again(json!({"id": id, "through": 2})).await;

    // Another fork, or none.
    let other = chat(&app, 4).await;
    for (path, body) in
        [(&path, json!({"id": id, "through": 1})), (&other, json!({"id": id, "through": 2})), (&other, json!({"id": id}))]
    {
        fork(&app, path, &body).refused(409, "conflict", "id").await;
    }
    for taken in [&other, &path] {
        let taken = taken.rsplit('/').next().unwrap();
        fork(&app, &path, &json!({"id": taken})).refused(409, "conflict", "id").await;
    }
    app.delete(&path).expect(204).await;
    again(json!({"id": id, "through": 2})).await;
    fork(&app, &path, &json!({"id": id, "through": 1})).refused(404, "not_found", None).await;

    // It is ada's.
    let bobs = app.post("/conversations").by("bob").expect(201).await.json();
    fork(&app, &path, &json!({"id": id})).by("bob").refused(404, "not_found", None).await;
    fork(&app, &other, &json!({"id": id})).by("bob").refused(404, "not_found", None).await;
    fork(&app, &path_of(&bobs), &json!({"id": id})).by("bob").refused(409, "conflict", "id").await;
    fork(&app, &other, &json!({"id": bobs["id"]})).refused(409, "conflict", "id").await;
    let by_service = fork(&app, &other, &json!({})).by_service().expect(201).await.json();
    assert_eq!(by_service["user_id"], "ada");
}

#[tokio::test]
async fn an_id_is_free_when_its_conversation_has_expired_and_taken_while_it_is_erased() {
    let app = App::start().await;
    let superuser = app.superuser().await;
    let (path, expired) = (chat(&app, 2).await, chat(&app, 3).await);
    let id = expired.rsplit('/').next().unwrap();
    fork(&app, &path, &json!({"id": id})).refused(409, "conflict", "id").await;
    superuser.batch_execute(&format!("update conversations set expires_at = now() where id = '{id}'")).await.unwrap();
    fork(&app, &expired, &json!({})).refused(404, "not_found", None).await;
    let made = fork(&app, &path, &json!({"id": id})).expect(201).await.json();
    assert_eq!((made["message_count"].as_u64(), &made["expires_at"]), (Some(2), &Value::Null));
    assert_eq!(app.rows().await["messages"], 4, "those of the one that had expired are gone");
    let erased = Uuid::now_v7();
    superuser.batch_execute(&format!("insert into erased_conversations values ('{erased}', 'ada', 0)")).await.unwrap();
    fork(&app, &path, &json!({"id": erased})).refused(409, "conflict", "id").await;
    let purged = Uuid::now_v7();
    let half_purged = format!(
        "insert into erased_conversations values ('{purged}', 'ada', 1, null);
        insert into messages (conversation_id, position, id, role, content, created_at, updated_at)
        values ('{purged}', 1, gen_random_uuid(), 'user', 'x', now(), now())"
    );
    superuser.batch_execute(&half_purged).await.unwrap();
    fork(&app, &path, &json!({"id": purged})).expect(201).await;
    assert_eq!(app.rows().await["messages"], 6, "what the purge had left is gone");
}

#[tokio::test]
async fn a_position_behind_the_newest_is_refused_and_one_that_was_deleted_will_do() {
    let app = App::start().await;
    let path = chat(&app, 6).await;
    let answer = fork(&app, &path, &json!({"through": 7})).refused(400, "invalid_parameter", "through").await;
    assert!(answer.body.contains("has the position 6"), "{}", answer.body);
    for at in [json!(0), json!(-1), json!("x"), json!(1.5), json!([1])] {
        fork(&app, &path, &json!({"through": at})).refused(400, "invalid_parameter", "through").await;
    }
    fork(&app, &path, &json!({"id": "x"})).refused(400, "invalid_uuid", "id").await;
    fork(&app, &path, &json!({"from": 1})).refused(400, "unknown_parameter", "from").await;
    fork(&app, &path, &json!({"title": "t".repeat(513)})).refused(400, "invalid_parameter", "title").await;
    app.post(&format!("{path}/fork"))
        .header("content-type", "text/plain")
        .body("x")
        .refused(415, "unsupported_media_type", None)
        .await;

    let stored = app.get(&format!("{path}/messages")).expect(200).await.array();
    for gone in [2, 3, 5] {
        app.delete(&format!("{path}/messages/{}", stored[gone]["id"].as_str().unwrap())).expect(204).await;
    }
    // 1, 2 and 5 are left.
    fork(&app, &path, &json!({"through": 6})).refused(400, "invalid_parameter", "through").await;
    for (at, positions, next) in [(Some(4), vec![1, 2], 5), (Some(2), vec![1, 2], 3), (None, vec![1, 2, 5], 6)] {
        let forked = fork(&app, &path, &json!({"through": at})).expect(201).await.json();
        assert_eq!(
            (&forked["forked_from"]["position"], &forked["message_count"]),
            (&json!(at.unwrap_or(5)), &json!(positions.len()))
        );
        let messages = format!("{}/messages", path_of(&forked));
        let copies = app.get(&messages).expect(200).await.array();
        assert_eq!(copies.iter().map(|copy| copy["position"].as_u64().unwrap()).collect::<Vec<_>>(), positions);
        let more = app.post(&format!("{messages}?role=user&content=more")).expect(201).await.json();
        assert_eq!(more["position"], next, "what is up to the position of the fork was copied, and nothing else");
    }
    app.delete(&format!("{path}/messages?from=1")).expect(200).await;
    let answer = fork(&app, &path, &json!({"through": 1})).refused(400, "invalid_parameter", "through").await;
    assert!(answer.body.contains("has no messages"), "{}", answer.body);
    let empty = fork(&app, &path, &json!({})).expect(201).await.json();
    assert_eq!((&empty["forked_from"]["position"], &empty["last_message_at"]), (&json!(0), &Value::Null));
}

#[tokio::test]
async fn summaries_that_hold_come_along_and_those_behind_the_position_do_not() {
    let app = App::start().await;
    let path = chat(&app, 12).await;
    let summarize = async |through: u64, token_count: Option<u64>| {
        let body = json!({"through": through, "content": format!("up to {through}"), "token_count": token_count});
        app.put(&format!("{path}/summary")).json(&body).expect(200).await
    };
    summarize(2, Some(5)).await;
    summarize(6, None).await;
    let source = summarize(10, Some(3)).await.json();
    let through = async |path: &str| app.get(path).expect(200).await.json()["summary"]["through"].as_u64();
    for (at, expected) in [(1, None), (2, Some(2)), (5, Some(2)), (6, Some(6)), (9, Some(6)), (10, Some(10)), (12, Some(10))] {
        let forked = fork(&app, &path, &json!({"through": at})).expect(201).await.json();
        assert_eq!(forked["summary"]["through"].as_u64(), expected, "at {at}");
        assert!(expected != Some(10) || forked["summary"] == source["summary"]);
        let context = app.get(&format!("{}/context?max_messages=1", path_of(&forked))).expect(200).await.json();
        assert_eq!(context["summary"]["through"].as_u64(), expected.filter(|_| at > 1), "at {at}: {context}");
        let text = expected.map(|through| json!(format!("up to {through}")));
        assert!(text.is_none_or(|text| context["messages"][0]["content"] == text), "{context}");
        // An older one takes the place of the newest here, too, and the source keeps its own.
        if let Some(from) = expected {
            app.delete(&format!("{}/messages?from={from}", path_of(&forked))).expect(200).await;
            let older = match from {
                10 => Some(6),
                6 => Some(2),
                _ => None,
            };
            assert_eq!(through(&path_of(&forked)).await, older);
        }
        assert_eq!(through(&path).await, Some(10));
    }
    // A void summary is none that could come along.
    app.delete(&format!("{path}/messages?from=9")).expect(200).await;
    let forked = fork(&app, &path, &json!({})).expect(201).await.json();
    assert_eq!(forked["summary"]["through"], 6);
    // If-Match of a summary counts the fork's own versions.
    let summary = format!("{}/summary", path_of(&forked));
    let put = |version: &str| app.put(&summary).json(&json!({"through": 4, "content": "s"})).header("if-match", version);
    app.post(&format!("{}/messages?role=user&content=more", path_of(&forked))).expect(201).await;
    put("\"1\"").expect(200).await;
}

/// A conversation in letters: instructions, user, assistant, and calls with all, some or none of their results.
pub fn written(letters: &[char]) -> Vec<Value> {
    let mut messages = Vec::new();
    for (number, letter) in letters.iter().enumerate() {
        let ids = [format!("{number}a"), format!("{number}b")];
        let call = |id: &String| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
        let result = |id: &String| json!({"role": "tool", "content": "r", "tool_call_id": id});
        match letter {
            's' => messages.push(json!({"role": "system", "content": "s"})),
            'u' => messages.push(json!({"role": "user", "content": "u".repeat(number * 7 % 40), "token_count": number})),
            'a' => messages.push(json!({"role": "assistant", "content": "a".repeat(number * 11 % 60)})),
            'w' => messages.push(json!({"role": "assistant", "content": "w", "status": "in_progress"})),
            _ => messages.push(json!({"role": "assistant", "tool_calls": ids.iter().map(call).collect::<Vec<_>>()})),
        }
        match letter {
            'c' => messages.extend(ids.iter().map(result)),
            'p' => messages.push(result(&ids[1])),
            _ => {}
        }
    }
    messages
}

#[tokio::test]
async fn the_context_of_a_fork_is_that_of_its_source() {
    const CASES: usize = 60;
    let app = App::start().await;
    let letters =
        || prop::collection::vec(prop::sample::select(vec!['s', 'u', 'u', 'u', 'a', 'a', 'c', 'c', 'p', 'i', 'w']), 2..14);
    let index = any::<prop::sample::Index>;
    let strategy =
        (letters(), prop::collection::vec(index(), 0..3), prop::collection::vec(index(), 1..4), index(), 1..14_u64, 1..4_u64);
    let mut runner = TestRunner::deterministic();
    let (mut summarized, mut shortened) = (0, 0);
    for _ in 0..CASES {
        let (letters, deleted, throughs, at, limit, step) = strategy.new_tree(&mut runner).unwrap().current();
        let path = format!("/conversations/{}", app.conversation().await);
        let messages = format!("{path}/messages");
        let batch = json!({"messages": written(&letters)});
        let stored = app.post(&messages).json(&batch).expect(201).await.array();
        for gone in deleted {
            app.delete(&format!("{messages}/{}", gone.get(&stored)["id"].as_str().unwrap())).send().await;
        }
        for through in throughs {
            let through = &through.get(&stored)["position"];
            app.put(&format!("{path}/summary"))
                .json(&json!({"through": through, "content": format!("up to {through}")}))
                .send()
                .await;
        }
        let newest = app.get(&format!("{messages}?last=1")).expect(200).await.array();
        let Some(newest) = newest.first().map(|message| message["position"].as_u64().unwrap()) else { continue };
        let at = 1 + u64::try_from(at.index(usize::try_from(newest).unwrap())).unwrap();
        let whole = fork(&app, &path, &json!({})).expect(201).await.json();
        let part = fork(&app, &path, &json!({"through": at})).expect(201).await.json();
        let told = format!("{} at {at}", letters.iter().collect::<String>());
        for fork in [whole, part] {
            if fork["forked_from"]["position"] == at && at < newest {
                // What a fork up to a position leaves out is what a rewind takes away.
                app.delete(&format!("{messages}?from={}", at + 1)).expect(200).await;
            }
            for query in [
                "unanswered=drop".to_owned(),
                format!("max_messages={limit}"),
                format!("max_messages={limit}&step={step}"),
                format!("max_tokens={}&step={}", limit * 9, step * 5),
                format!("max_chars={}&step={}&tool_results=1", limit * 11, step * 7),
                format!("max_messages={limit}&format=anthropic"),
            ] {
                let context = async |path: &str| {
                    let mut context = app.get(&format!("{path}/context?{query}")).expect(200).await.json();
                    for message in context["messages"].as_array_mut().unwrap() {
                        if let Some(message) = message.as_object_mut() {
                            message.retain(|name, _| !["id", "conversation_id"].contains(&name.as_str()));
                        }
                    }
                    context
                };
                let (of_fork, of_source) = (context(&path_of(&fork)).await, context(&path).await);
                assert_eq!(of_fork, of_source, "{told}, {query}");
                summarized += usize::from(!of_fork["summary"].is_null());
                shortened += usize::from(of_fork["omitted"] != 0);
            }
            let [of_fork, of_source] = [app.get(&path_of(&fork)).expect(200).await, app.get(&path).expect(200).await];
            assert_eq!(of_fork.json()["summary"], of_source.json()["summary"], "{told}");
            // Rulers go on where those of the source do.
            if fork["forked_from"]["position"] == newest {
                let rulers = "select characters_appended, tokens_appended from conversations where id = any ($1::text[]::uuid[])";
                let ids = vec![path.rsplit('/').next().unwrap().to_owned(), fork["id"].as_str().unwrap().to_owned()];
                let rows =
                    app.superuser().await.query_typed(rulers, &[(&ids, tokio_postgres::types::Type::TEXT_ARRAY)]).await.unwrap();
                let [source, fork] = [&rows[0], &rows[1]].map(|row| (row.get::<_, Option<i64>>(0), row.get::<_, Option<i64>>(1)));
                assert_eq!(source, fork, "{told}");
            }
        }
    }
    assert!(summarized > CASES && shortened > CASES, "{summarized} with a summary, {shortened} not whole: the cases are lopsided");
}

#[tokio::test]
async fn the_rulers_of_a_fork_go_on_from_its_last_message() {
    let app = App::start().await;
    let path = chat(&app, 5).await;
    let forked = path_of(&fork(&app, &path, &json!({"through": 3})).expect(201).await.json());
    app.post(&format!("{forked}/messages?role=user&content=x")).expect(201).await;
    let before = async |path: &str| {
        let id = path.rsplit('/').next().unwrap();
        let rows = format!("select characters_before, tokens_before from messages where conversation_id = '{id}' and position = 4");
        let row = &app.superuser().await.query_typed(&rows, &[]).await.unwrap()[0];
        (row.get::<_, Option<i64>>(0), row.get::<_, Option<i64>>(1))
    };
    assert_eq!(before(&forked).await, before(&path).await);
    assert_eq!(before(&path).await, (Some(3), Some(15)));
}

#[tokio::test]
async fn of_identical_forks_at_once_one_is_made() {
    let app = App::with_instances(8).await;
    let path = chat(&app, 30).await;
    for _ in 0..5 {
        let body = json!({"id": Uuid::now_v7(), "through": 20});
        let answers = all_at_once((0..16).map(|_| fork(&app, &path, &body)).collect()).await;
        let count = |status| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!((count(201), count(200)), (1, 15));
        assert!(answers.iter().all(|answer| answer.json() == answers[0].json()));
    }
    assert_eq!(app.rows().await["messages"], 30 + 5 * 20);
    // Two different ones with one id.
    let other = chat(&app, 3).await;
    let id = json!({"id": Uuid::now_v7()});
    let [first, second] = one_behind_the_other(&app, fork(&app, &path, &id), fork(&app, &other, &id)).await;
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
}

#[tokio::test]
async fn an_append_beside_a_fork_is_copied_whole_or_not_at_all() {
    for appended_first in [false, true] {
        let app = App::with_instances(2).await;
        let path = chat(&app, 2).await;
        let append =
            app.post(&format!("{path}/messages")).json(&json!({"messages": vec![json!({"role": "user", "content": "x"}); 3]}));
        let fork = fork(&app, &path, &json!({}));
        let [appended, forked] = if appended_first {
            one_behind_the_other(&app, append, fork).await
        } else {
            let [forked, appended] = one_behind_the_other(&app, fork, append).await;
            [appended, forked]
        };
        assert_eq!((appended.status, forked.status), (201, 201));
        let expected = if appended_first { 5 } else { 2 };
        assert_eq!(
            (&forked.json()["message_count"], &forked.json()["forked_from"]["position"]),
            (&json!(expected), &json!(expected))
        );
        let copies = app.get(&format!("{}/messages", path_of(&forked.json()))).expect(200).await.array();
        assert_eq!(copies.len(), expected);
    }
}

#[tokio::test]
async fn no_fork_outlives_an_erasure_beside_it() {
    let app = App::with_instances(2).await;
    for by_service in [false, true] {
        let path = chat(&app, 2).await;
        let fork = fork(&app, &path, &json!({}));
        let fork = if by_service { fork.by_service() } else { fork };
        let [forked, erased] = one_behind_the_other(&app, fork.clone(), app.delete("/users/ada")).await;
        assert_eq!((forked.status, erased.json()), (201, json!({"conversations": 2, "messages": 4})));
        assert!(app.rows().await.values().all(|rows| *rows == 0), "{:?}", app.rows().await);

        let path = chat(&app, 2).await;
        let fork = app.post(&format!("{path}/fork"));
        let fork = if by_service { fork.by_service() } else { fork };
        let [erased, forked] = one_behind_the_other(&app, app.delete("/users/ada"), fork).await;
        assert_eq!((forked.status, erased.json()), (404, json!({"conversations": 1, "messages": 2})));
        assert!(app.rows().await.values().all(|rows| *rows == 0), "{:?}", app.rows().await);
    }
}

/// Stores a conversation of ada's with so many messages of so many characters, by SQL.
async fn fill(app: &App, messages: u32, characters: u32) -> String {
    let id = Uuid::now_v7();
    let fill = format!(
        "insert into conversations (id, user_id, message_count, next_position) values ('{id}', 'ada', {messages}, {messages} + 1);
        insert into messages (conversation_id, position, id, role, content, created_at, updated_at)
        select '{id}', n, gen_random_uuid(), 'user', left(repeat(md5(n::text), {characters} / 32 + 1), {characters}), now(), now()
        from generate_series(1, {messages}) n;
        analyze messages"
    );
    app.superuser().await.batch_execute(&fill).await.unwrap();
    format!("/conversations/{id}")
}

#[tokio::test]
async fn more_than_a_request_can_copy_is_refused_with_what_can_be_copied() {
    let app = App::start().await;
    for (messages, characters, fitting) in [(10_001, 10, 10_000), (66, 1 << 20, 63)] {
        let path = fill(&app, messages, characters).await;
        let before = app.rows().await;
        let answer = fork(&app, &path, &json!({})).refused(413, "payload_too_large", "through").await;
        assert!(answer.body.contains(&format!("send a through of at most {fitting},")), "{}", answer.body);
        fork(&app, &path, &json!({"through": fitting + 1})).refused(413, "payload_too_large", "through").await;
        assert_eq!(app.rows().await, before, "nothing was stored");
        let forked = fork(&app, &path, &json!({"through": fitting})).expect(201).await.json();
        assert_eq!(forked["message_count"], fitting);
    }
}

#[tokio::test]
#[ignore = "measures: forks of up to 10,000 messages"]
async fn what_a_fork_takes() {
    let app = App::start().await;
    for (messages, characters) in [(10, 400), (1_000, 400), (10_000, 400), (10_000, 6_000), (63, 1 << 20)] {
        let path = fill(&app, messages, characters).await;
        let mut times = Vec::new();
        for _ in 0..7 {
            let started = std::time::Instant::now();
            fork(&app, &path, &json!({})).expect(201).await;
            times.push(started.elapsed());
        }
        times.sort_unstable();
        println!("{messages} messages of {characters} characters: median {:?}, slowest {:?}", times[3], times[6]);
    }
}
