//! Behind a transaction pooler: nobody's rows in anybody else's answer, and what happens when the pooler restarts or is full.
//! `POOLER=pgbouncer cargo test -p tests` runs all tests through a PgBouncer.

use std::time::Duration;

use serde_json::json;

use crate::faults::{AT_ONCE, IN_TIME, Scene, cancels};
use crate::support::{Answer, App, at_port, connect_to, own_pooler};

const PROCESSES: [&str; 4] = ["get-chat-history", "get-context", "get-user-conversations", "search-messages"];
const REQUESTS: usize = 2000;
const USERS: usize = 25;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_holds_another_users_row() {
    let app = App::start().await;
    // All that is said of a user says whose it is.
    let mut conversations = Vec::new();
    for user in 0..USERS {
        let user = format!("user-{user:02}");
        let made = app.post("/conversations").by(&user).json(&json!({"title": format!("of {user}")})).expect(201).await;
        let path = format!("/conversations/{}", made.json()["id"].as_str().unwrap());
        let messages = json!({"messages": [{"role": "user", "content": format!("of {user}")}, {"role": "user", "content": format!("{user} again")}]});
        app.post(&format!("{path}/messages")).by(&user).json(&messages).expect(201).await;
        conversations.push((user, path));
    }
    // Each process has a statement of its own, and they take turns at the pooler's two connections.
    let mut processes = tokio::task::JoinSet::new();
    for name in PROCESSES {
        let calls = conversations.iter().map(|(user, path)| {
            let path = match name {
                "get-chat-history" => format!("{path}/messages"),
                "get-context" => format!("{path}/context"),
                "get-user-conversations" => format!("/users/{user}/conversations"),
                _ => format!("/users/{user}/search?q=of"),
            };
            let (function, event) = app.get(&path).by(user).event();
            assert_eq!(function, name);
            (user.clone(), event.to_string())
        });
        let (calls, function) = (calls.collect::<Vec<_>>(), app.function(name));
        processes.spawn(async move {
            for n in 0..REQUESTS {
                let (user, event) = &calls[(n * 7) % USERS];
                let answer = Answer::read(&function.invoke(event.clone()).await.unwrap());
                assert_eq!(answer.status, 200, "{name} for {user}: {}", answer.body);
                let users: Vec<&str> =
                    answer.body.match_indices("user-").map(|(at, _)| &answer.body[at..at + user.len()]).collect();
                assert!(!users.is_empty() && users.iter().all(|found| found == user), "{name} for {user}: {}", answer.body);
            }
        });
    }
    processes.join_all().await;
}

#[tokio::test]
#[ignore = "needs PgBouncer: cargo test -p tests pooler -- --include-ignored"]
async fn a_pooler_that_restarts_is_used_again_at_once() {
    let pooler = own_pooler(2).await;
    let scene = Scene::behind(Some(pooler.port())).await;
    drop(pooler);
    scene.refuses(IN_TIME).await;
    let pooler = own_pooler(2).await;
    scene.proxy.retarget(pooler.port());
    scene.stores(AT_ONCE).await;
    // Another one takes over, between two requests.
    let next = own_pooler(2).await;
    scene.proxy.retarget(next.port());
    drop(pooler);
    scene.stores(AT_ONCE).await;
}

#[tokio::test]
#[ignore = "needs PgBouncer: cargo test -p tests pooler -- --include-ignored"]
async fn a_pooler_without_a_free_connection_is_waited_for_and_then_given_up() {
    let pooler = own_pooler(1).await;
    let scene = Scene::behind(Some(pooler.port())).await;
    let other = connect_to(&at_port(&scene.app.url(), pooler.port())).await;
    other.batch_execute("begin; select 1").await.unwrap();
    let freed = async {
        tokio::time::sleep(Duration::from_millis(2500)).await;
        other.batch_execute("commit").await.unwrap();
    };
    tokio::join!(scene.stores(Duration::from_secs(5)), freed);

    other.batch_execute("begin; select 1").await.unwrap();
    scene.refuses(IN_TIME).await;
    other.batch_execute("commit").await.unwrap();
    scene.stores(AT_ONCE).await;
}

#[tokio::test]
#[ignore = "needs PgBouncer: cargo test -p tests pooler -- --include-ignored"]
async fn a_reader_that_waits_holds_no_connection_of_the_poolers() {
    let pooler = own_pooler(1).await;
    let scene = Scene::behind(Some(pooler.port())).await;
    let app = &scene.app;
    let reply = app.post(&format!("{}?role=assistant&status=in_progress", scene.path)).expect(201).await;
    let path = format!("{}/{}", scene.path, reply.json()["id"].as_str().unwrap());
    let wait = app.get(&format!("{path}?wait=20")).header("if-none-match", &*reply.headers["etag"]).send();
    let others = async {
        crate::replies::is_waiting(app).await;
        // The pooler has one connection to the server, and other clients get it. A transaction that holds it keeps the reader from looking.
        let other = connect_to(&at_port(&app.url(), pooler.port())).await;
        for _ in 0..20 {
            other.batch_execute("begin; select 1; commit").await.unwrap();
        }
        app.patch(&path).json(&json!({"append": "x", "at": 0, "status": "complete"})).expect(200).await
    };
    let (read, _) = tokio::join!(wait, others);
    assert_eq!((read.status, read.json()["content"].as_str()), (200, Some("x")));
}

#[tokio::test]
#[ignore = "needs PgBouncer: cargo test -p tests pooler -- --include-ignored"]
async fn a_statement_is_cancelled_through_the_pooler_when_its_time_is_over() {
    let pooler = own_pooler(2).await;
    cancels(&Scene::behind(Some(pooler.port())).await).await;
}
