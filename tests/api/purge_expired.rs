//! The purge, which a schedule runs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::queries::release::SCHEMA;

use crate::support::App;

/// Runs a purge, as the schedule does.
async fn purge(app: &App) -> Value {
    app.function("purge-expired").invoke("{}".to_owned()).await.unwrap()
}

/// The log line of the last purge.
fn line(app: &App) -> Value {
    let log = app.function("purge-expired").log();
    serde_json::from_str(log.lines().next_back().unwrap()).unwrap()
}

async fn sql(app: &App, statement: &str) {
    app.superuser().await.batch_execute(statement).await.unwrap();
}

/// Stores conversations with so many messages each.
async fn fill(app: &App, user: &str, conversations: u32, messages: u32, change: &str) {
    let fill = format!(
        "insert into conversations (id, user_id, message_count, next_position)
        select gen_random_uuid(), '{user}', {messages}, {messages} + 1 from generate_series(1, {conversations});
        insert into messages (conversation_id, position, id, role, content, created_at, updated_at)
        select c.id, n, gen_random_uuid(), 'user', 'Is it raining in Oslo?', now(), now()
        from conversations c, generate_series(1, {messages}) n where c.user_id = '{user}';
        update conversations set {change} where user_id = '{user}';
        analyze"
    );
    sql(app, &fill).await;
}

const EXPIRED: &str = "expires_at = now()";
const OLD: &str = "updated_at = now() - interval '30 days'";

#[tokio::test]
async fn what_has_expired_is_deleted_and_nothing_that_is_kept_is_touched() {
    let mut app = App::start().await;
    app.set("RETENTION_DAYS", "30");
    for (user, change) in [
        ("ada", "updated_at = now() - interval '29 days 23 hours', archived_at = now()"),
        ("bob", "expires_at = now() + interval '1 minute', pinned_at = now()"),
        ("eve", "created_at = now() - interval '99 days'"),
    ] {
        fill(&app, user, 3, 4, change).await;
    }
    let kept = app.everything().await;
    assert_eq!(purge(&app).await, json!({"conversations": 0, "messages": 0, "done": true}));
    assert_eq!(app.everything().await, kept);

    fill(&app, "sam", 3, 4, EXPIRED).await;
    fill(&app, "tim", 2, 4, OLD).await;
    // The first and the last id that there are.
    let ends = "
        update conversations set id = '00000000-0000-0000-0000-000000000000' where id = (select min(id::text)::uuid from conversations where user_id = 'tim');
        update conversations set id = 'ffffffff-ffff-ffff-ffff-ffffffffffff' where id = (select max(id::text)::uuid from conversations where user_id = 'tim');
        insert into summaries (conversation_id, through, content, messages, created_at)
        select id, 1, 'x', 1, now() from conversations where user_id in ('sam', 'tim')";
    sql(&app, ends).await;
    let purged = purge(&app).await;
    assert_eq!((&purged["conversations"], &purged["done"]), (&json!(5), &json!(true)), "{purged}");
    let line = line(&app);
    assert_eq!((&line["message"], &line["level"], &line["function"]), (&json!("purge"), &json!("INFO"), &json!("purge-expired")));
    assert_eq!(line["purge"], purged);
    assert!(line["duration"]["ms"].is_number() && line["db"]["statements"].is_number(), "{line}");
    // Messages of the two whose ids were changed by hand are nobody's.
    sql(&app, "delete from messages m where not exists (select from conversations c where c.id = m.conversation_id)").await;
    assert_eq!(app.everything().await, kept);
    assert_eq!(purge(&app).await, json!({"conversations": 0, "messages": 0, "done": true}));
}

#[tokio::test]
async fn many_are_deleted_in_batches() {
    let mut app = App::start().await;
    app.set("RETENTION_DAYS", "30");
    fill(&app, "ada", 11_000, 0, EXPIRED).await;
    fill(&app, "bob", 1_000, 20, OLD).await;
    fill(&app, "eve", 12_000, 0, "title = 'kept'").await;
    assert_eq!(purge(&app).await, json!({"conversations": 12_000, "messages": 20_000, "done": true}));
    let rows = app.rows().await;
    assert_eq!((rows["conversations"], rows["messages"], rows["erased_conversations"]), (12_000, 0, 0));
    // A batch deletes 10,000 rows at most.
    let statements = line(&app)["db"]["statements"].as_u64().unwrap();
    assert!((4..12).contains(&statements), "{statements}");
}

#[tokio::test]
async fn a_large_conversation_is_deleted_in_steps_while_its_id_is_free() {
    let app = App::start().await;
    fill(&app, "ada", 1, 35_000, EXPIRED).await;
    let superuser = app.superuser().await;
    let id: String = superuser.query_typed("select id::text from conversations", &[]).await.unwrap()[0].get(0);
    let step = format!("select conversations, messages, done from {SCHEMA}.purge_expired(null, 10000, null)");
    let step = superuser.query_typed(&step, &[]).await.unwrap();
    assert_eq!((step[0].get::<_, i64>(0), step[0].get::<_, i64>(1), step[0].get::<_, bool>(2)), (0, 10_000, false));
    app.get(&format!("/conversations/{id}")).expect(404).await;
    // Another purge goes on where this one was.
    assert_eq!(purge(&app).await, json!({"conversations": 1, "messages": 25_000, "done": true}));
    assert_eq!(line(&app)["db"]["statements"], 4, "10,000, 10,000, the rest, and a look for more");
    assert!(app.rows().await.values().all(|rows| *rows == 0), "{:?}", app.rows().await);

    fill(&app, "ada", 1, 12_000, EXPIRED).await;
    let id: String = superuser.query_typed("select id::text from conversations", &[]).await.unwrap()[0].get(0);
    superuser.batch_execute(&format!("select {SCHEMA}.purge_expired(null, 10000, null)")).await.unwrap();
    assert_eq!(app.rows().await["messages"], 2_000);
    app.post("/conversations").json(&json!({"id": id})).by("bob").expect(201).await;
    app.post(&format!("/conversations/{id}/messages?role=user&content=new")).by("bob").expect(201).await;
    assert_eq!(app.delete("/users/ada").expect(200).await.json(), json!({"conversations": 0, "messages": 0}));
    assert_eq!(purge(&app).await, json!({"conversations": 0, "messages": 0, "done": true}));
    assert_eq!(app.get(&format!("/conversations/{id}/messages")).by("bob").expect(200).await.array().len(), 1);
    assert_eq!(app.rows().await["messages"], 1);
}

#[tokio::test]
async fn an_erasure_counts_nothing_of_what_a_purge_has_begun_to_delete() {
    let app = App::start().await;
    fill(&app, "ada", 1, 25_000, EXPIRED).await;
    sql(&app, &format!("select {SCHEMA}.purge_expired(null, 10000, null)")).await;
    app.post("/conversations").expect(201).await;
    assert_eq!(app.delete("/users/ada").expect(200).await.json(), json!({"conversations": 1, "messages": 0}));
    assert!(app.rows().await.values().all(|rows| *rows == 0), "{:?}", app.rows().await);
}

#[tokio::test]
async fn a_purge_waits_for_nobody() {
    let mut app = App::start().await;
    app.set("RETENTION_DAYS", "30");
    fill(&app, "ada", 10, 2, EXPIRED).await;
    fill(&app, "bob", 10, 2, OLD).await;
    // One is locked, and a change that makes the other young is not committed yet.
    let other = app.superuser().await;
    let hold = "
        begin;
        select from conversations where id = (select min(id::text)::uuid from conversations where user_id = 'ada') for update;
        update conversations set updated_at = now(), title = 'young'
        where id = (select min(id::text)::uuid from conversations where user_id = 'bob')";
    other.batch_execute(hold).await.unwrap();
    let started = Instant::now();
    assert_eq!(purge(&app).await, json!({"conversations": 18, "messages": 36, "done": true}));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    other.batch_execute("commit").await.unwrap();
    assert_eq!(purge(&app).await, json!({"conversations": 1, "messages": 2, "done": true}));
    let left = app.superuser().await.query_typed("select title from conversations", &[]).await.unwrap();
    assert_eq!(left.iter().map(|row| row.get(0)).collect::<Vec<&str>>(), ["young"]);
    assert_eq!(app.rows().await["messages"], 2);

    // What another purge or an erasure is deleting is left to it.
    fill(&app, "eve", 2, 3, EXPIRED).await;
    sql(
        &app,
        "with gone as (delete from conversations where user_id = 'eve' returning id)
        insert into erased_conversations (id, user_id, messages, erased_at) select id, 'eve', 3, null from gone",
    )
    .await;
    other
        .batch_execute(
            "begin; select from erased_conversations where id = (select min(id::text)::uuid from erased_conversations) for update",
        )
        .await
        .unwrap();
    assert_eq!(purge(&app).await["conversations"], 1);
    other.batch_execute("commit").await.unwrap();
    assert_eq!(purge(&app).await["conversations"], 1);
}

#[tokio::test]
async fn purges_at_the_same_time_delete_everything_once() {
    let mut app = App::with_instances(3).await;
    app.set("RETENTION_DAYS", "30");
    fill(&app, "ada", 2_000, 10, EXPIRED).await;
    fill(&app, "bob", 2_000, 10, OLD).await;
    fill(&app, "eve", 500, 10, "title = 'kept'").await;
    let (a, b, c) = tokio::join!(purge(&app), purge(&app), purge(&app));
    let last = purge(&app).await;
    let sum = |member: &str| [&a, &b, &c, &last].iter().map(|purged| purged[member].as_i64().unwrap()).sum::<i64>();
    assert_eq!((sum("conversations"), sum("messages")), (4_000, 40_000), "{a} {b} {c} {last}");
    let rows = app.rows().await;
    assert_eq!((rows["conversations"], rows["messages"], rows["erased_conversations"]), (500, 5_000, 0));
}

#[tokio::test]
async fn appends_beside_a_purge_are_stored_or_refused() {
    let mut app = App::with_instances(4).await;
    app.set("RETENTION_DAYS", "30");
    fill(&app, "old", 3_000, 10, OLD).await;
    let (live, ending) = (app.conversation().await, app.conversation().await);
    sql(&app, &format!("update conversations set expires_at = now() + interval '1 second' where id = '{ending}'")).await;
    let append = async |id| {
        let (mut stored, mut refused) = (0, 0);
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(3) {
            let answer = app.post(&format!("/conversations/{id}/messages?role=user&content=x")).send().await;
            match answer.status {
                201 => stored += 1,
                404 => refused += 1,
                status => panic!("{status}: {}", answer.body),
            }
        }
        (stored, refused)
    };
    let purges = async {
        for _ in 0..6 {
            purge(&app).await;
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    };
    let (live_answers, ending_answers, ()) = tokio::join!(append(live), append(ending), purges);
    assert_eq!(live_answers.1, 0);
    assert!(ending_answers.0 > 0 && ending_answers.1 > 0, "{ending_answers:?}");
    assert_eq!(app.get(&format!("/conversations/{live}")).expect(200).await.json()["message_count"], json!(live_answers.0));
    purge(&app).await;
    let rows = app.rows().await;
    assert_eq!((rows["conversations"], rows["messages"], rows["erased_conversations"]), (1, i64::from(live_answers.0), 0));
}

#[tokio::test]
async fn what_an_erasure_has_left_is_deleted_after_an_hour() {
    let app = App::start().await;
    for (user, age) in [("ada", "2 hours"), ("bob", "10 minutes")] {
        fill(&app, user, 3, 5, "title = null").await;
        let erase = format!(
            "with gone as (delete from conversations where user_id = '{user}' returning id)
            insert into erased_conversations (id, user_id, messages, erased_at) select id, '{user}', 5, now() - interval '{age}' from gone"
        );
        sql(&app, &erase).await;
    }
    assert_eq!(purge(&app).await, json!({"conversations": 3, "messages": 15, "done": true}));
    assert_eq!(app.delete("/users/bob").by("bob").expect(200).await.json(), json!({"conversations": 3, "messages": 15}));
    assert!(app.rows().await.values().all(|rows| *rows == 0), "{:?}", app.rows().await);
}

#[tokio::test]
async fn a_purge_that_fails_says_so_and_the_next_one_works() {
    let app = App::start().await;
    fill(&app, "ada", 1, 1, EXPIRED).await;
    purge(&app).await;
    sql(&app, "alter table conversations rename to gone").await;
    let error = app.function("purge-expired").invoke("{}".to_owned()).await.unwrap_err();
    assert!(!error.to_string().contains("conversations"), "{error}");
    let log = app.function("purge-expired").log();
    let failed = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|line| line["message"] == "purge" && line["level"] == "ERROR");
    let failed = failed.unwrap_or_else(|| panic!("{log}"));
    assert_eq!((&failed["sqlstate"], &failed["code"]), (&json!("42P01"), &json!("database_error")));
    assert!(failed["cause"].as_str().unwrap().contains("does not exist"), "{failed}");
    sql(&app, "alter table gone rename to conversations").await;
    assert_eq!(purge(&app).await["done"], true);
}
