//! The connection: one round trip a request, as a role that can do little, and what happens when the database fails.

use std::time::Duration;

use serde_json::json;
use shared::queries::release::SCHEMA;
use tokio_postgres::error::SqlState;

use crate::support::{App, Call, binary, database_log, pooled, proxy::Proxy};

/// A conversation, as an export writes it.
const LINE: &str = r#"{"conversation":{"id":"01936b2e-5f03-7000-8000-000000000004","metadata":{},"created_at":"2026-11-22T10:00:00.123456Z","updated_at":"2026-11-22T10:00:00.123456Z"},"summaries":[],"next_position":1}"#;

/// One request to each endpoint, on things that exist.
pub async fn one_of_each(app: &App) -> Vec<Call<'_>> {
    let (other, conversation) = (app.conversation().await, app.conversation().await);
    let message = app.post(&format!("/conversations/{conversation}/messages?role=user&content=x")).expect(201).await;
    let message = message.json()["id"].as_str().unwrap().to_owned();
    let second = app.post(&format!("/conversations/{other}/messages?role=user&content=x")).expect(201).await.json();
    let second = second["id"].as_str().unwrap().to_owned();
    let calls = vec![
        app.post("/conversations"),
        app.post(&format!("/conversations/{conversation}/messages")).json(&json!({"role": "user", "content": "hello"})),
        app.post(&format!("/conversations/{conversation}/turn")).json(&json!({"role": "user", "content": "hello"})),
        app.get(&format!("/conversations/{conversation}/messages?last=50")),
        app.get("/users/ada/conversations"),
        app.get(&format!("/conversations/{conversation}")),
        app.patch(&format!("/conversations/{conversation}")).json(&json!({"title": "x"})),
        app.patch(&format!("/conversations/{conversation}/messages/{message}")).json(&json!({"content": "edited"})),
        app.get(&format!("/conversations/{conversation}/context?max_messages=50")),
        app.post(&format!("/conversations/{conversation}/fork")).json(&json!({"through": 1})),
        app.put(&format!("/conversations/{conversation}/summary")).json(&json!({"through": 1, "content": "hello"})),
        app.get(&format!("/conversations/{conversation}/summary")),
        app.delete(&format!("/conversations/{other}/summary")),
        app.put(&format!("/conversations/{conversation}/line")).json(&json!({"message_id": message})),
        app.get("/users/ada/search?q=hello"),
        app.delete(&format!("/conversations/{conversation}/messages?from=1000")),
        app.get(&format!("/conversations/{conversation}/messages/{message}")),
        app.delete(&format!("/conversations/{other}/messages/{second}")),
        app.delete(&format!("/conversations/{other}")),
        app.get("/users/ada/export"),
        app.post("/users/eve/import").header("content-type", "application/x-ndjson").body(LINE).by_service(),
        app.post("/users/guest/transfer").json(&json!({"to": "eve"})).by_service(),
        app.delete("/users/bob").by("bob"),
    ];
    let called: std::collections::BTreeSet<&str> = calls.iter().map(|call| call.event().0).collect();
    assert_eq!(called, local::project::functions(), "one_of_each in tests/api/database.rs has a request to every function");
    calls
}

#[tokio::test]
async fn every_request_on_a_warm_connection_is_one_round_trip() {
    let mut app = App::start().await;
    let proxy = Proxy::start().await;
    app.set("DATABASE_URL", &proxy.url(&app));
    for call in one_of_each(&app).await {
        call.clone().send().await;
        for _ in 0..3 {
            let before = proxy.flights();
            let (function, _) = call.event();
            call.clone().send().await;
            assert_eq!(proxy.flights() - before, 1, "{function}");
        }
    }
}

#[tokio::test]
async fn every_request_is_one_unnamed_statement() {
    let app = App::start().await;
    let superuser = app.superuser().await;
    superuser.batch_execute(&format!("alter database {} set log_statement = 'all'", app.database)).await.unwrap();
    // The server's own account. No other test makes it log statements.
    let executed = || {
        let log = database_log();
        let statements = log.lines().filter(|line| ["LOG:  statement", "LOG:  execute"].iter().any(|kind| line.contains(kind)));
        statements.map(str::to_owned).collect::<Vec<_>>()
    };
    for call in one_of_each(&app).await {
        let before = executed().len();
        let (function, _) = call.event();
        call.send().await;
        let new = executed().split_off(before);
        assert_eq!(new.len(), 1, "{function}: {new:?}");
        assert!(new[0].contains("LOG:  execute <unnamed>: "), "{function}: {new:?}");
    }
}

#[tokio::test]
async fn the_role_calls_its_functions_and_can_do_nothing_else() {
    let app = App::start().await;
    // Postgres lets everybody execute a function, unless its schema is closed to them.
    let other = "
        create schema other;
        create function other.read_everything() returns setof public.messages language sql security definer
            as 'select * from public.messages'";
    app.superuser().await.batch_execute(other).await.unwrap();
    let role = app.functions_role().await;
    for statement in [
        "select from public.messages",
        "select from public.conversations",
        "select from public.summaries",
        "select from public.kept_messages",
        "delete from public.kept_messages",
        "insert into public.conversations (id, user_id) values (gen_random_uuid(), 'ada')",
        "update public.messages set content = 'x'",
        "delete from public.conversations",
        "select * from public.refinery_schema_history",
        "select other.read_everything()",
        "create table public.more (id int)",
        "create function public.more() returns int language sql return 1",
        &format!("create or replace function {SCHEMA}.erase_user(of_user text) returns int language sql return 1"),
        &format!("drop schema {SCHEMA} cascade"),
        "drop table public.messages",
        "truncate public.messages",
        "alter table public.messages add column more int",
        "create index on public.messages (role)",
        "create role more",
        "copy public.messages to program 'cat'",
    ] {
        let error = role.batch_execute(statement).await.expect_err(statement);
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}: {error:?}");
    }
    for (setting, expected) in [("statement_timeout", "12s"), ("jit", "off")] {
        let shown = role.query_typed(&format!("show {setting}"), &[]).await.unwrap();
        assert_eq!(shown[0].get::<_, &str>(0), expected, "{setting}");
    }
    role.batch_execute(&format!("select {SCHEMA}.erase_user('ada', 9, 9, null)")).await.unwrap();
}

#[tokio::test]
async fn a_failing_database_is_a_problem_that_shows_nothing_of_it() {
    let app = App::start().await;
    for call in one_of_each(&app).await {
        call.clone().send().await;
        app.superuser().await.batch_execute("alter table conversations rename to gone").await.unwrap();
        let answer = call.clone().refused(500, "database_error", None).await;
        for word in ["conversations", "relation", "42P01", "gone"] {
            assert!(!answer.body.contains(word), "{}", answer.body);
        }
        app.superuser().await.batch_execute("alter table gone rename to conversations").await.unwrap();
        let (function, _) = call.event();
        let log = app.function(function).log();
        let line: serde_json::Value = serde_json::from_str(log.lines().next_back().unwrap()).unwrap();
        assert_eq!((&line["level"], &line["sqlstate"]), (&"ERROR".into(), &"42P01".into()), "{line}");
        assert!(line["cause"].as_str().unwrap().contains("does not exist"), "the cause is in the log: {line}");
        assert!(call.send().await.status < 500, "and the next request works");
    }
}

#[tokio::test]
async fn a_lost_connection_costs_the_caller_nothing() {
    let app = App::start().await;
    for call in one_of_each(&app).await {
        call.clone().send().await;
        let others =
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
        app.superuser().await.batch_execute(others).await.unwrap();
        assert!(call.send().await.status < 500);
    }
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_done_once() {
    let mut app = App::start().await;
    let proxy = Proxy::start().await;
    app.set("DATABASE_URL", &proxy.url(&app));
    let conversation = app.conversation().await;
    let path = format!("/conversations/{conversation}");
    let (messages, summary) = (format!("{path}/messages"), format!("{path}/summary"));
    let batch =
        json!({"messages": [{"role": "user", "content": "1"}, {"role": "user", "content": "2"}, {"role": "user", "content": "3"}]});
    let stored = app.post(&messages).json(&batch).expect(201).await.array();
    let message = format!("{messages}/{}", stored[0]["id"].as_str().unwrap());
    // Each function's connection is warm before its answer is cut.
    app.patch(&path).json(&json!({})).expect(200).await;
    app.patch(&message).json(&json!({})).expect(200).await;
    app.put(&summary).json(&json!({"through": 99, "content": "x"})).expect(400).await;
    app.post(&format!("{path}/fork")).json(&json!({"through": 99})).expect(400).await;
    app.delete(&format!("{messages}?from=99")).expect(200).await;
    app.delete(&summary).expect(404).await;
    app.put(&format!("{path}/line")).json(&json!({"message_id": uuid::Uuid::now_v7()})).expect(404).await;
    app.post(&format!("/conversations/{}/turn", uuid::Uuid::now_v7())).json(&batch).expect(404).await;
    app.delete(&format!("/conversations/{}", uuid::Uuid::now_v7())).expect(404).await;

    let cut = async |call: Call<'_>| {
        let (function, _) = call.event();
        proxy.cut_next_answer();
        let answer = call.send().await;
        let log = app.function(function).log();
        assert!(log.contains("trying a fresh one"), "{function}: {log}");
        answer
    };
    let made = cut(app.post("/conversations?new=true")).await;
    assert_eq!(made.status, 201);
    assert_eq!(app.get("/users/ada/conversations").expect(200).await.array().len(), 2);
    let again = cut(app.post(&messages).json(&json!({"role": "user", "content": "4"}))).await;
    assert_eq!((again.status, again.json()["position"].as_u64()), (201, Some(4)));
    let ours = json!({"id": uuid::Uuid::now_v7(), "role": "user", "content": "5"});
    let again = cut(app.post(&messages).json(&ours)).await;
    assert_eq!(
        (again.status, again.json()["position"].as_u64()),
        (200, Some(5)),
        "an id of the caller's may have been stored before"
    );
    // A turn in a conversation that it creates.
    let turn = json!({"role": "user", "content": "1", "reply_id": uuid::Uuid::now_v7(), "conversation": {"title": "turn"}});
    let begun = cut(app.post(&format!("/conversations/{}/turn", uuid::Uuid::now_v7())).json(&turn)).await;
    assert_eq!(
        (begun.status, &begun.headers["etag"], &begun.json()["conversation"]["message_count"]),
        (200, &"\"2\"".to_owned(), &json!(2))
    );
    app.delete(&format!("/conversations/{}", begun.json()["conversation"]["id"].as_str().unwrap())).expect(204).await;
    let patched = cut(app.patch(&path).json(&json!({"title": "new"})).header("if-match", "\"4\"")).await;
    assert_eq!((patched.status, patched.headers["etag"].as_str()), (200, "\"5\""));
    let edited = cut(app.patch(&message).json(&json!({"content": "edited"})).header("if-match", "\"5\"")).await;
    assert_eq!((edited.status, edited.headers["etag"].as_str(), edited.json()["content"].as_str()), (200, "\"6\"", Some("edited")));
    let summarized = cut(app.put(&summary).json(&json!({"through": 1, "content": "1"})).header("if-match", "\"6\"")).await;
    assert_eq!((summarized.status, summarized.headers["etag"].as_str()), (200, "\"7\""));
    // The second attempt does not delete the summary before it.
    app.put(&summary).json(&json!({"through": 2, "content": "2"})).expect(200).await;
    let deleted = cut(app.delete(&summary).header("if-match", "\"8\"")).await;
    assert_eq!((deleted.status, deleted.headers["etag"].as_str()), (204, "\"9\""));
    assert_eq!(app.get(&summary).expect(200).await.json()["through"], 1);
    let forks = format!("{path}/fork");
    for (body, status) in [(json!({"through": 2}), 201), (json!({"through": 2, "id": uuid::Uuid::now_v7()}), 200)] {
        let forked = cut(app.post(&forks).json(&body)).await;
        assert_eq!((forked.status, forked.json()["message_count"].as_u64()), (status, Some(2)), "{}", forked.body);
    }
    assert_eq!(app.get("/users/ada/conversations").expect(200).await.array().len(), 4);
    let rewound = cut(app.delete(&format!("{messages}?from=3")).header("if-match", "\"9\"")).await;
    assert_eq!((rewound.status, rewound.json(), rewound.headers["etag"].as_str()), (200, json!({"deleted": 3}), "\"10\""));
    let read = app.get(&path).expect(200).await;
    assert_eq!((read.json()["message_count"].as_u64(), read.json()["title"].as_str()), (Some(2), Some("new")));
    assert_eq!(app.get(&messages).expect(200).await.array().len(), 2);
    // The line moves once, and a version of a message is stored once.
    let line = json!({"message_id": stored[0]["id"]});
    let selected = cut(app.put(&format!("{path}/line")).json(&line).header("if-match", "\"10\"")).await;
    assert_eq!(
        (selected.status, selected.headers["etag"].as_str(), selected.json()["kept_count"].as_u64()),
        (200, "\"11\"", Some(1))
    );
    let version = json!({"id": uuid::Uuid::now_v7(), "role": "user", "content": "6", "parent_id": stored[0]["id"]});
    let branched = cut(app.post(&messages).json(&version).header("if-match", "\"11\"")).await;
    assert_eq!((branched.status, branched.headers["etag"].as_str()), (200, "\"12\""));
    let all = app.get(&format!("{messages}?all=true")).expect(200).await.array();
    assert_eq!(all.iter().map(|message| message["on_line"] == true).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(cut(app.delete(&path)).await.status, 204);
    app.get(&path).expect(404).await;
}

#[tokio::test]
async fn a_silent_database_is_given_up_in_time_and_forgotten() {
    let mut app = App::start().await;
    let proxy = Proxy::start().await;
    app.set("DATABASE_URL", &proxy.url(&app));
    let conversation = app.conversation().await;
    let path = format!("/conversations/{conversation}/messages?role=user&content=hello");
    app.post(&path).expect(201).await;
    proxy.swallow(true);
    let started = std::time::Instant::now();
    app.post(&path).refused(500, "database_error", None).await;
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
    proxy.swallow(false);
    let started = std::time::Instant::now();
    app.post(&path).expect(201).await;
    assert!(started.elapsed() < Duration::from_secs(5), "nothing queues behind a dead statement: {:?}", started.elapsed());
}

#[tokio::test]
async fn what_the_caller_has_is_not_read() {
    let app = App::start().await;
    let superuser = app.superuser().await;
    let conversation = app.conversation().await;
    let fill = format!(
        "insert into messages (conversation_id, position, id, role, content, created_at, updated_at)
        select '{conversation}', n, gen_random_uuid(), 'user', 'x', now(), now() from generate_series(1, 5000) n;
        update conversations set message_count = 5000, next_position = 5001; analyze"
    );
    superuser.batch_execute(&fill).await.unwrap();
    let read = async || {
        superuser.batch_execute("select pg_stat_clear_snapshot()").await.unwrap();
        let rows = "select coalesce(idx_tup_fetch, 0) + seq_tup_read from pg_stat_user_tables where relname = 'messages'";
        superuser.query_typed(rows, &[]).await.unwrap()[0].get::<_, i64>(0)
    };
    // The start of the last 50 is looked up before they are read.
    for (path, header, most) in
        [("messages", true, 10), ("context", true, 10), ("messages?last=50", false, 110), ("context?max_messages=50", false, 300)]
    {
        let call = app.get(&format!("/conversations/{conversation}/{path}"));
        let call = if header { call.header("if-none-match", "\"1\"") } else { call };
        let before = read().await;
        assert_eq!(call.clone().send().await.status, if header { 304 } else { 200 });
        // A session reports what it has read when it ends, at the latest.
        let ours = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
        superuser.batch_execute(ours).await.unwrap();
        let rows = read().await - before;
        assert!(rows <= most, "{path}: {rows} rows were read");
    }
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let mut app = App::start().await;
    app.set("SSL_CERT_FILE", "/dev/null");
    app.post("/conversations").refused(500, "database_error", None).await;
    let log = app.function("get-or-create-conversation").log();
    assert!(log.contains("certificate verify failed"), "{log}");
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_certificate_for_another_host_is_refused() {
    let mut app = App::start().await;
    let proxy = Proxy::start_on("127.0.0.2").await;
    app.set("DATABASE_URL", &proxy.url(&app).replace("@localhost:", "@127.0.0.2:"));
    app.post("/conversations").refused(500, "database_error", None).await;
    let log = app.function("get-or-create-conversation").log();
    assert!(log.contains("IP address mismatch"), "{log}");
}

#[tokio::test]
async fn a_url_that_cannot_work_ends_the_start_with_its_reason() {
    let app = App::start().await;
    let started = |url: &str| {
        let output = std::process::Command::new(binary("add-message"))
            .env_clear()
            .envs(app.environment().iter().map(|(name, value)| (name, value)))
            .env("DATABASE_URL", url)
            .env("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9")
            .env("AWS_LAMBDA_FUNCTION_NAME", "add-message")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    for (url, part) in [
        ("", "DATABASE_URL: is not set"),
        // As Secrets Manager's console makes a secret of one key.
        (r#"{"DATABASE_URL":"postgresql://ada:s3cr3t@db/x"}"#, "DATABASE_URL: is not a URL"),
        ("postgresql://ada:s3cr3t@db/x?sslmode=disable", "DATABASE_URL: sslmode=disable"),
        ("postgresql://ada:s3cr3t@db/x?schema=public", "DATABASE_URL: the parameter schema"),
        ("postgresql://ada:s3cr3t@db", "DATABASE_URL: the URL has no database"),
    ] {
        let said = started(url);
        assert!(said.contains(part) && !said.contains("s3cr3t") && said.lines().count() == 1, "{said}");
        assert!(said.contains("the secret that DatabaseSecretArn names"), "{said}");
    }
}

#[tokio::test]
async fn a_url_as_neon_prints_it_works() {
    let mut app = App::start().await;
    // PgBouncer has no channel binding; Neon's pooler and Postgres have.
    let binding = if pooled() { "" } else { "&channel_binding=require" };
    let url = app.url().replace("sslmode=require", &format!("sslmode=verify-full{binding}"));
    app.set("DATABASE_URL", &url);
    app.post("/conversations").expect(201).await;
}
