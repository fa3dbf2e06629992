//! What Neon's proxy reports while a function connects, and what a first deployment gets wrong.
//!
//! Neon's proxy reports everything with SQLSTATE XX000, also what PgBouncer and PostgreSQL have told it. So the moment decides: before a
//! statement was sent, whatever may pass is tried again. What cannot pass ends at once, with one line that says what to do.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::faults::{AT_ONCE, IN_TIME, timed};
use crate::support::proxy::Proxy;
use crate::support::{App, pooled};

/// What passes by itself: a compute that wakes up, a slot that becomes free, a limit of the proxy's own.
const PASSES: [&str; 8] = [
    "Control plane request failed",
    "Couldn't connect to compute node",
    "Failed to acquire permit to connect to the database. Too many database connection attempts are currently ongoing.",
    "Too many connections to this endpoint. Please try again later.",
    "no more connections allowed (max_client_conn)",
    "remaining connection slots are reserved for roles with the SUPERUSER attribute",
    "the database system is shutting down",
    "the database system is starting up",
];

/// What stays as it is, and a word of what to do about it.
const STAYS: [(&str, &str); 10] = [
    ("password authentication failed for user 'scrollback_functions'", "password"),
    ("database \"neondb\" does not exist", "database"),
    ("role \"scrollback_functions\" does not exist", "role"),
    ("Control plane request failed: endpoint cannot be found", "endpoint"),
    ("The endpoint has been disabled. Enable it using Neon API and retry.", "Enable"),
    ("Control plane request failed: endpoint is disabled", "Enable"),
    (
        "Endpoint ID is not specified. Either please upgrade the postgres client library (libpq) for SNI support or pass the endpoint ID \
        (first part of the domain name) as a parameter: '?options=endpoint%3D<endpoint-id>'. See more at https://neon.tech/sni",
        "host",
    ),
    (
        "This IP address 192.0.2.7 is not allowed to connect to this endpoint. Please add it to the allowed list in the Neon console. Make \
        sure to check for IPv4 or IPv6 addresses.",
        "IP Allow",
    ),
    (
        "unsupported startup parameter in options: search_path. Please use unpooled connection or remove this parameter from the startup \
        package. More details: https://neon.tech/docs/connect/connection-errors#unsupported-startup-parameter",
        "parameter",
    ),
    ("Your account or project has exceeded the compute time quota. Upgrade your plan to increase limits.", "quota"),
];

/// The lines that a function has logged.
fn lines(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// An app whose every connection goes through this proxy.
async fn app_behind(proxy: &Proxy) -> App {
    let mut app = App::start().await;
    app.set("DATABASE_URL", &proxy.url(&app));
    app
}

/// The first request of a function whose logins are all refused with `text` for so long, and two of them on the slowest machine.
async fn wakes(text: &'static str, asleep: Duration) {
    let proxy = Proxy::start().await;
    let app = app_behind(&proxy).await;
    let (mut first, mut refused) = (None, 0);
    proxy.refuse_logins(move || {
        refused += 1;
        (first.get_or_insert_with(Instant::now).elapsed() < asleep || refused <= 2).then_some(text)
    });
    let answer = app.post("/conversations").send().await;
    assert_eq!(answer.status, 201, "{text}: {}", answer.body);
    let refusals = proxy.refusals();
    assert!((2..15).contains(&refusals), "{text}: {refusals} logins were refused in {asleep:?}");

    let log = app.function("get-or-create-conversation").log();
    let [warning, request] = &lines(&log)[..] else { panic!("{log}") };
    assert_eq!((&warning["level"], &warning["sqlstate"]), (&json!("WARN"), &json!("XX000")), "{log}");
    assert!(warning["cause"].as_str().unwrap().contains(text) && warning["hint"].is_string(), "{log}");
    assert!(request["duration"]["ms"].as_f64() < Some((asleep + 2 * AT_ONCE).as_secs_f64() * 1e3), "{log}");
    let attempts = json!({"statements": 1, "connects": refusals + 1});
    assert_eq!(json!({"statements": request["db"]["statements"], "connects": request["db"]["connects"]}), attempts, "{log}");
}

#[tokio::test]
async fn a_login_that_is_refused_for_a_while_is_tried_until_it_succeeds() {
    let mut cold_starts = JoinSet::new();
    for text in PASSES {
        cold_starts.spawn(wakes(text, Duration::from_secs(1)));
    }
    cold_starts.spawn(wakes(PASSES[0], Duration::from_secs(4)));
    while let Some(cold_start) = cold_starts.join_next().await {
        cold_start.unwrap();
    }
}

#[tokio::test]
async fn a_slot_that_is_free_after_three_tenths_of_a_second_is_found() {
    wakes("no more connections allowed (max_client_conn)", Duration::from_millis(300)).await;
}

#[tokio::test]
async fn a_login_that_is_always_refused_is_a_500_within_the_functions_time() {
    let proxy = Proxy::start().await;
    let app = app_behind(&proxy).await;
    proxy.refuse_logins(|| Some(PASSES[3]));
    let (function, event) = app.post("/conversations").event();
    let started = Instant::now();
    let answer = app.function(function).invoke_within(Duration::from_secs(4), event.to_string()).await.unwrap();
    assert_eq!((answer["statusCode"].as_u64(), started.elapsed() < Duration::from_secs(4)), (Some(500), true), "{answer}");
    // As long as there is time for another attempt.
    assert!(started.elapsed() > Duration::from_millis(2400), "{:?}", started.elapsed());
    let log = app.function(function).log();
    let last = lines(&log).pop().unwrap();
    assert!(last["cause"].as_str().unwrap().contains(PASSES[3]) && last["sqlstate"] == "XX000", "{log}");
    proxy.refuse_logins(|| None);
    let (answer, took) = timed(app.post("/conversations")).await;
    assert!(answer.status == 201 && took < AT_ONCE, "{took:?} {}", answer.body);
}

#[tokio::test]
async fn what_will_not_change_ends_at_once_with_one_line_that_says_what_to_do() {
    let proxy = Proxy::start().await;
    let app = app_behind(&proxy).await;
    app.post("/conversations").expect(201).await;
    let function = app.function("get-or-create-conversation");
    for (text, advice) in STAYS {
        proxy.refuse_logins(move || Some(text));
        proxy.reset_all();
        let (size, refusals) = (function.log_size(), proxy.refusals());
        let (answer, took) = timed(app.post("/conversations")).await;
        assert!(answer.status == 500 && took < AT_ONCE, "{text}: {took:?} {}", answer.body);
        assert!(!answer.body.contains(text), "{}", answer.body);
        assert_eq!(proxy.refusals() - refusals, 1, "{text}");
        let log = function.log_after(size);
        // That the old connection was lost is another line.
        let refused: Vec<_> =
            lines(&log).into_iter().filter(|line| line["cause"].as_str().is_some_and(|cause| cause.contains(text))).collect();
        let [line] = &refused[..] else { panic!("{log}") };
        assert_eq!((&line["level"], &line["sqlstate"]), (&json!("ERROR"), &json!("XX000")), "{log}");
        assert!(line["hint"].as_str().is_some_and(|hint| hint.contains(advice)), "{text}: {log}");
    }
    proxy.refuse_logins(|| None);
    app.post("/conversations").expect(200).await;
}

#[tokio::test]
async fn a_failure_before_the_first_request_is_not_its_answer() {
    let proxy = Proxy::start().await;
    let app = app_behind(&proxy).await;
    // Also a failure that would end a request: the password may have been mended meanwhile.
    for (text, name, call) in [
        (PASSES[4], "get-or-create-conversation", app.post("/conversations")),
        (STAYS[0].0, "get-user-conversations", app.get("/users/ada/conversations")),
    ] {
        let refusals = proxy.refusals();
        proxy.refuse_logins(move || Some(text));
        let function = app.function(name);
        while proxy.refusals() == refusals {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        proxy.refuse_logins(|| None);
        let (answer, took) = timed(call).await;
        assert!(answer.status < 300 && took < AT_ONCE, "{took:?} {}", answer.body);
        let log = function.log();
        let [line] = &lines(&log)[..] else { panic!("{log}") };
        assert_eq!((&line["db"]["connects"], &line["db"]["statements"]), (&json!(2), &json!(1)), "{log}");
    }
}

#[tokio::test]
async fn an_internal_error_of_a_statement_is_final() {
    let app = App::start().await;
    let path = format!("/conversations/{}/messages?role=user&content=x", app.conversation().await);
    app.post(&path).expect(201).await;
    let broken = "
        create function broken() returns trigger language plpgsql as $$
            begin raise exception 'unexpected chunk number 0' using errcode = 'internal_error'; end
        $$;
        create trigger broken before insert on messages for each statement execute function broken()";
    app.superuser().await.batch_execute(broken).await.unwrap();
    let (answer, took) = timed(app.post(&path)).await;
    assert!(answer.status == 500 && took < AT_ONCE, "{took:?} {}", answer.body);
    let log = app.function("add-message").log();
    let line = lines(&log).pop().unwrap();
    assert_eq!((&line["sqlstate"], &line["db"]["statements"]), (&json!("XX000"), &json!(1)), "{log}");
}

#[tokio::test]
async fn a_server_that_takes_no_more_connections_is_asked_again_until_it_does() {
    let app = App::start().await;
    let superuser = app.superuser().await;
    let limit = |limit: i32| format!("alter database {} connection limit {limit}", app.database);
    superuser.batch_execute(&limit(0)).await.unwrap();
    let freed = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        superuser.batch_execute(&limit(-1)).await.unwrap();
    };
    let ((answer, took), ()) = tokio::join!(timed(app.post("/conversations")), freed);
    // A pooler lets its clients in, and refuses their statements. These are sent twice at most.
    assert!(answer.status == 201 || pooled(), "{}", answer.body);
    assert!(took < IN_TIME, "{took:?}");
}

#[tokio::test]
async fn each_error_of_a_first_deployment_is_one_line_that_says_what_to_do() {
    let app = App::start().await;
    let url = app.url();
    let (start, rest) = url.split_once("://").unwrap();
    let (login, place) = rest.split_once('@').unwrap();
    let (role, password) = login.split_once(':').unwrap();
    let with = |login: String, place: &str| format!("{start}://{login}@{place}");
    let wrong = [
        (with(format!("{role}:not-the-password"), place), "password"),
        (with(format!("nobody_of_this_name:{password}"), place), "role"),
        (url.replace(&app.database, "no_database_of_this_name"), "database"),
    ];
    for (url, advice) in wrong {
        let mut app = App::start().await;
        app.set("DATABASE_URL", &url);
        let (answer, took) = timed(app.post("/conversations")).await;
        assert!(answer.status == 500 && took < AT_ONCE, "{took:?} {}", answer.body);
        let log = app.function("get-or-create-conversation").log();
        let [line] = &lines(&log)[..] else { panic!("{log}") };
        assert_eq!(line["level"], "ERROR", "{log}");
        assert!(line["hint"].as_str().is_some_and(|hint| hint.contains(advice)), "{advice}: {log}");
        assert!(!log.contains(password) && !log.contains("not-the-password"), "{log}");
    }

    let empty = App::on_an_empty_database("").await;
    empty.post("/conversations").expect(500).await;
    let log = empty.function("get-or-create-conversation").log();
    let [line] = &lines(&log)[..] else { panic!("{log}") };
    assert!(line["hint"].as_str().is_some_and(|hint| hint.contains("cargo xtask migrate")), "{log}");

    let mut direct = App::start().await;
    direct.set("DATABASE_URL", "postgresql://scrollback_functions:secret@ep-cool-name-123456.eu-central-1.aws.neon.tech/neondb");
    let function = direct.function("get-or-create-conversation");
    let started = Instant::now();
    while function.log().is_empty() && started.elapsed() < AT_ONCE {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let log = function.log();
    let [line] = &lines(&log)[..] else { panic!("{log}") };
    assert_eq!(line["level"], "WARN", "{log}");
    assert!(line["hint"].as_str().is_some_and(|hint| hint.contains("-pooler")) && !log.contains("secret"), "{log}");
}
