//! The schema's history: an upgrade while the release before is running, locks, and databases that were made in other ways.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use migrate::database::connect_patiently;
use migrate::migrations::{apply_tables, create_functions};
use serde_json::json;
use shared::queries::release::{SCHEMA, schema};
use tokio_postgres::Client;

use crate::support::proxy::Proxy;
use crate::support::{App, project};

/// The stored functions of the release before this one, and the last migration that it knew.
const BEFORE: &str = include_str!("../releases/before.sql");
const BEFORE_MIGRATION: i32 = 4;

/// The call of a function of the release before that appends a message: `content`, `parts` and `tool_calls` are SQL.
fn append_before(conversation: &str, id: &str, [content, parts, tool_calls]: [&str; 3]) -> String {
    format!(
        "select taken, allowed from {}.add_message(
            '{conversation}', null, null, array['{id}']::uuid[], array['user'], array[{content}]::text[], array[{parts}]::text[],
            array[case when {parts} is null then null else 'Zoë, in parts' end], array[{tool_calls}]::text[], array[null]::text[],
            array[null]::text[], array['{{}}']
        )",
        schema(BEFORE)
    )
}

async fn number(client: &Client, query: &str) -> i64 {
    client.query_typed(query, &[]).await.unwrap()[0].get(0)
}

#[tokio::test]
async fn the_release_before_works_on_the_new_tables_and_the_new_one_finds_all_that_it_stored() {
    let app = App::on_an_empty_database("").await;
    let mut superuser = app.superuser().await;
    apply_tables(&mut superuser, Some(BEFORE_MIGRATION)).await.unwrap();
    let before = schema(BEFORE);
    create_functions(&superuser, &before, BEFORE).await.unwrap();
    let role = app.functions_role().await;
    let ids: Vec<String> = (0..12).map(|n| format!("019a3a51-5d2c-7a60-9d33-{n:012}")).collect();
    let conversations = ["019a3a51-5d2c-7a60-9d33-0c9f6f0b3d01", "019a3a51-5d2c-7a60-9d33-0c9f6f0b3d02"];
    for (conversation, user) in conversations.iter().zip(["ada", "bob"]) {
        let make = format!("select from {before}.get_or_create_conversation('{conversation}', '{user}', null, '{{}}', true)");
        role.query_typed(&make, &[]).await.unwrap();
    }
    let kinds = [
        ["'Zoë'", "null", "null"],
        ["null", r#"'[{"type": "text", "text": "Zoë, in parts"}]'"#, "null"],
        ["null", "null", r#"'[{"id": "Zoë"}]'"#],
    ];
    let append = async |conversation: &str, ids: &[String]| {
        for (id, kind) in ids.iter().zip(kinds) {
            let row = &role.query_typed(&append_before(conversation, id, kind), &[]).await.unwrap()[0];
            assert_eq!((row.get::<_, Option<i64>>(0), row.get::<_, bool>(1)), (None, true));
        }
    };
    append(conversations[0], &ids[0..3]).await;

    let applied = app.migrate().await;
    assert!(applied.len() > 1 && applied.last().unwrap() == SCHEMA, "{applied:?}");
    let newest = "select count(*) from conversations c
        where c.last_message_at = (select max(m.created_at) from messages m where m.conversation_id = c.id)";
    assert_eq!(number(&superuser, newest).await, 1, "what was stored before has its last activity");
    let valid = "select count(*) from pg_constraint
        where conname in ('messages_metadata_size', 'messages_response_size') and convalidated";
    assert_eq!(number(&superuser, valid).await, 2);
    // The release before does everything on the new tables.
    append(conversations[0], &ids[3..6]).await;
    append(conversations[1], &ids[6..9]).await;
    assert_eq!(number(&superuser, newest).await, 2, "a column that the release before does not fill is filled");
    let edit = format!(
        "select content from {before}.update_message(
            '{}', 'ada', '{}', gen_random_uuid(), null, false, 'Zoë, edited', null, null, true, null, true, null
        )",
        conversations[0], ids[0]
    );
    assert_eq!(role.query_typed(&edit, &[]).await.unwrap()[0].get::<_, &str>(0), "Zoë, edited");
    let history =
        format!("select position from {before}.get_chat_history('{}', 'ada', null, 0, 99, null, false, 9, 9999)", conversations[0]);
    assert_eq!(role.query_typed(&history, &[]).await.unwrap().len(), 1 + 6);
    let derived = |of: &str| {
        format!(
            "select count(*) from messages where {of}
            and size = {SCHEMA}.message_size(content, content_parts::text, tool_calls::text, tool_call_id, name, metadata::text, extra::text)
            and characters = {SCHEMA}.message_characters(content, content_parts::text, tool_calls::text)"
        )
    };
    assert_eq!(number(&superuser, &derived("true")).await, 9, "columns that the release before does not fill are filled");
    let owners =
        "select count(*) from messages m join conversations c on c.id = m.conversation_id where m.owner_key = owner_key(c.user_id)";
    assert_eq!(number(&superuser, owners).await, 9);

    // The new release reads all of it, and goes on.
    let path = format!("/conversations/{}/messages", conversations[0]);
    let stored = app.get(&path).expect(200).await.array();
    assert!(stored.iter().map(|message| message["position"].as_u64().unwrap()).eq(1..=6));
    assert_eq!(stored[0]["content"], "Zoë, edited");
    let found = async || app.get("/users/ada/search?q=zo%C3%AB").expect(200).await.array().len();
    assert_eq!(found().await, 4, "before and after the migration, text and parts");
    let message = json!({"id": ids[9], "role": "user", "content": "Zoë"});
    app.post(&path).json(&message).expect(201).await;
    app.patch(&format!("{path}/{}", ids[3])).json(&json!({"content": "nobody"})).expect(200).await;
    assert_eq!((found().await, number(&superuser, &derived("true")).await), (4, 10));
    let context = app.get(&format!("/conversations/{}/context?max_chars=9", conversations[0])).expect(200).await.json();
    assert_eq!(context["messages"].as_array().unwrap().len(), 1);
    // The release before sees the line, and appends to it.
    let version = json!({"id": ids[10], "role": "user", "content": "Zoë", "parent_id": ids[3]});
    app.post(&path).json(&version).expect(201).await;
    assert_eq!(role.query_typed(&history, &[]).await.unwrap().len(), 1 + 5);
    append(conversations[0], &ids[11..12]).await;
    let conversation = app.get(&format!("/conversations/{}", conversations[0])).expect(200).await.json();
    assert_eq!((&conversation["message_count"], &conversation["kept_count"]), (&json!(6), &json!(3)));
    // An older release erases in steps, and knows nothing of what is kept.
    superuser
        .batch_execute(
            "insert into erased_conversations (id, user_id, messages) values ('019a3a51-5d2c-7a60-9d33-0c9f6f0b3d03', 'eve', 0);
            insert into kept_messages (
                conversation_id, position, parent_position, id, role, metadata, created_at, updated_at, size, characters
            )
            values ('019a3a51-5d2c-7a60-9d33-0c9f6f0b3d03', 2, 1, gen_random_uuid(), 'user', '{}', now(), now(), 0, 0);
            delete from erased_conversations",
        )
        .await
        .unwrap();
    assert_eq!(number(&superuser, "select count(*) from kept_messages").await, 3);

    // A conversation that a release without expiry has begun to erase has not expired, so its id is not free.
    let erased = format!("insert into erased_conversations (id, user_id, messages) values ('{}', 'eve', 0)", ids[11]);
    superuser.batch_execute(&erased).await.unwrap();
    assert_eq!(number(&superuser, "select count(*) from erased_conversations where erased_at is not null").await, 1);
    app.delete("/users/eve").by("eve").expect(200).await;

    // Both delete without a trace what the other one has stored.
    assert_eq!(number(&role, &format!("select messages from {before}.erase_user('ada')")).await, 6);
    app.delete(&format!("/conversations/{}", conversations[1])).by("bob").expect(204).await;
    assert!(app.rows().await.values().all(|rows| *rows == 0), "{:?}", app.rows().await);
}

#[tokio::test]
async fn a_migration_that_waits_for_a_lock_gives_up_before_requests_queue_behind_it() {
    let app = App::on_an_empty_database("").await;
    let mut superuser = app.superuser().await;
    apply_tables(&mut superuser, Some(BEFORE_MIGRATION)).await.unwrap();
    let other = app.superuser().await;
    other.batch_execute("begin; select from messages").await.unwrap();
    let started = Instant::now();
    let error = app.try_migrate().await.unwrap_err();
    assert!((Duration::from_secs(4)..Duration::from_secs(9)).contains(&started.elapsed()), "{:?}", started.elapsed());
    assert!(error.contains("another session has held a lock") && error.contains("Run this again"), "{error}");
    other.batch_execute("rollback").await.unwrap();
    app.migrate().await;
    app.conversation().await;
}

#[tokio::test]
async fn a_migration_waits_for_a_database_that_wakes_up_and_for_nothing_else() {
    let (app, proxy) = (App::start().await, Proxy::start().await);
    let (url, authority) = (proxy.url(&app), app.environment().iter().find(|(name, _)| name == "SSL_CERT_FILE").unwrap().1.clone());
    let connect = async || {
        let started = Instant::now();
        let outcome = connect_patiently(&url, Some(Path::new(&authority))).await.map_err(|error| format!("{error:#}"));
        (outcome.map(drop), started.elapsed())
    };
    let (mut first, mut refused) = (None, 0);
    let asleep = Duration::from_secs(2);
    proxy.refuse_logins(move || {
        refused += 1;
        (first.get_or_insert_with(Instant::now).elapsed() < asleep || refused <= 2).then_some("Couldn't connect to compute node")
    });
    let (outcome, took) = connect().await;
    assert!(outcome.is_ok() && (asleep..asleep * 5).contains(&took) && proxy.refusals() > 1, "{took:?} {outcome:?}");

    let refusals = proxy.refusals();
    proxy.refuse_logins(|| Some("password authentication failed for user 'ada'"));
    let (outcome, took) = connect().await;
    let error = outcome.unwrap_err();
    assert!(error.starts_with("cannot connect to the database: ") && error.contains("password authentication failed"), "{error}");
    assert!(proxy.refusals() == refusals + 1 && took < asleep, "{took:?}");
}

#[tokio::test]
async fn a_migration_does_not_wait_for_ever_for_a_server_that_says_nothing() {
    let (app, proxy) = (App::start().await, Proxy::start().await);
    proxy.swallow(true);
    let started = Instant::now();
    let error = format!("{:#}", connect_patiently(&proxy.url(&app), None).await.err().unwrap());
    assert!(error.contains(&format!("localhost does not answer on port {}. Check host and port", proxy.port())), "{error}");
    assert!(started.elapsed() < Duration::from_secs(15) && !error.contains('@'), "{:?} {error}", started.elapsed());
}

#[tokio::test]
async fn an_error_names_the_stored_function_and_the_line_that_the_server_refuses() {
    let app = App::start().await;
    let function = |name: &str, body: &str| {
        format!("-- Zoë\ncreate function {name}(x int) returns int language plpgsql as $$\nbegin\n    {body}\nend\n$$;\n")
    };
    for (body, message) in [("return x +;", "syntax error"), ("x := * 3;", "syntax error")] {
        let sql = function("right", "return x;") + &function("wrong", body) + &function("right_as_well", "return x;");
        let error = format!("{:#}", create_functions(&app.superuser().await, &schema(&sql), &sql).await.unwrap_err());
        assert!(error.starts_with(&format!("wrong, at \"{body}\": ")) && error.contains(message), "{error}");
    }
}

#[tokio::test]
async fn search_knows_upper_and_lower_case_whatever_the_locale_of_the_database() {
    let app = App::on_an_empty_database("encoding 'UTF8' locale 'C'").await;
    app.migrate().await;
    let path = format!("/conversations/{}/messages", app.conversation().await);
    for content in ["Zoë ÄRGER", "ärgerlich", "ΟΔΟΣ, Ωmega"] {
        app.post(&path).json(&json!({"role": "user", "content": content})).expect(201).await;
    }
    for (query, hits) in [("%C3%A4rger", 1), ("ZO%C3%8B", 1), ("%C3%84RGERLICH", 1), ("%CF%89mega", 1), ("rger", 0), ("zo", 0)] {
        let found = app.get(&format!("/users/ada/search?q={query}")).expect(200).await.array();
        assert_eq!(found.len(), hits, "{query}");
    }
}

/// An error is translated by the name of its constraint, so the database must have a constraint of that name, and others stay a 500.
#[tokio::test]
async fn only_the_constraint_that_is_meant_becomes_the_callers_error() {
    let app = App::start().await;
    let superuser = app.superuser().await;
    let names = "select conname::text from pg_constraint union select relname::text from pg_class where relkind = 'i'";
    let names: BTreeSet<String> = superuser.query_typed(names, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    let mut translated = 0;
    for file in std::fs::read_dir(project().join("shared/src/queries")).unwrap() {
        let source = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for name in source.split("violates(&error, \"").skip(1) {
            let name = name.split('"').next().unwrap();
            assert!(names.contains(name), "no constraint {name}");
            translated += 1;
        }
    }
    assert!(translated > 1);

    let path = format!("/conversations/{}", app.conversation().await);
    let message = app.post(&format!("{path}/messages?role=user&content=x")).expect(201).await.json();
    let other = "alter table conversations add check (title <> 'other'); alter table messages add check (content <> 'other')";
    superuser.batch_execute(other).await.unwrap();
    app.patch(&path).json(&json!({"title": "other"})).refused(500, "database_error", None).await;
    let message = format!("{path}/messages/{}", message["id"].as_str().unwrap());
    app.patch(&message).json(&json!({"content": "other"})).refused(500, "database_error", None).await;
    app.patch(&message).json(&json!({"content": null})).refused(400, "missing_parameter", "content").await;
}
