//! Faults of the database and of the way there. The caller gets an answer in time, and the next request works at once.
//!
//! Sessions that are ended, answers that are lost and a database that is silent are in `database.rs`. Packets that are lost are in
//! `network.rs`, and poolers in `pooler.rs`.

use std::time::{Duration, Instant};

use migrate::database::FUNCTIONS_ROLE;
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::proxy::{Fault, Plan, Proxy, Way};
use crate::support::{Answer, App, Call, Function, OwnServer, pooled, signal, terminate_sessions};

/// As good as at once, on a machine that is busy with other tests.
pub const AT_ONCE: Duration = Duration::from_secs(2);
/// What a request may take, and as good as at once after that.
pub const IN_TIME: Duration = Duration::from_secs(12);

/// An app behind a proxy, with a warm connection, and a conversation in which all is stored that was acknowledged.
pub struct Scene {
    pub app: App,
    pub proxy: Proxy,
    pub path: String,
    own: Option<OwnServer>,
    stored: std::cell::Cell<u64>,
}

impl Scene {
    async fn set() -> Self {
        Self::behind(None).await
    }

    async fn with_a_server_of_its_own() -> Self {
        let (mut app, proxy) = (App::start().await, Proxy::start().await);
        let own = OwnServer::start(&mut app, &proxy).await;
        Self::of(app, proxy, Some(own)).await
    }

    /// With a pooler on this port.
    pub async fn behind(pooler: Option<u16>) -> Self {
        let (mut app, proxy) = (App::start().await, Proxy::start().await);
        app.set("DATABASE_URL", &proxy.url(&app));
        if let Some(port) = pooler {
            proxy.retarget(port);
        }
        Self::of(app, proxy, None).await
    }

    async fn of(app: App, proxy: Proxy, own: Option<OwnServer>) -> Self {
        let path = format!("/conversations/{}/messages", app.conversation().await);
        let scene = Self { app, proxy, path, own, stored: 0.into() };
        scene.stores(AT_ONCE * 2).await;
        scene
    }

    /// A message that was never sent before.
    pub fn append(&self) -> Call<'_> {
        self.app.post(&self.path).json(&json!({"id": Uuid::now_v7(), "role": "user", "content": "hello"}))
    }

    pub fn process(&self) -> u32 {
        self.app.function("add-message").process_ids()[0]
    }

    /// A message is stored, in this time. How long it took.
    pub async fn stores(&self, within: Duration) -> Duration {
        let (answer, took) = timed(self.append()).await;
        assert!([200, 201].contains(&answer.status), "{}", answer.body);
        assert!(took < within, "{took:?}");
        // None is stored twice, none that was refused before is there.
        self.stored.set(self.stored.get() + 1);
        assert_eq!(answer.json()["position"].as_u64(), Some(self.stored.get()));
        took
    }

    /// What the last request cost, by its line in the log.
    pub fn cost(&self) -> Value {
        let log = self.app.function("add-message").log();
        let line: Value = serde_json::from_str(log.lines().next_back().unwrap()).unwrap();
        json!({"statements": line["db"]["statements"], "connects": line["db"]["connects"]})
    }

    /// Waits until the server works on exactly so many statements of the functions.
    pub async fn runs(&self, statements: i64) {
        let superuser = self.app.superuser().await;
        let started = Instant::now();
        while running(&superuser).await != statements {
            assert!(started.elapsed() < AT_ONCE, "the server does not work on {statements} statements");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Reads until a pooler that could not log in has done so. A client that asks makes it try again, and is refused meanwhile.
    async fn is_let_in(&self) {
        let started = Instant::now();
        loop {
            let answer = self.app.get(&self.path).send().await;
            if answer.status == 200 {
                return;
            }
            assert_eq!(answer.json()["code"], "database_error", "{}", answer.body);
            assert!(started.elapsed() < IN_TIME, "the pooler does not log in again");
        }
    }

    /// A message is refused as the contract says, by a function with this time-out.
    pub async fn refuses_within(&self, timeout: Duration) {
        let (function, event) = self.append().event();
        let answer = Answer::read(&self.app.function(function).invoke_within(timeout, event.to_string()).await.unwrap());
        assert_eq!((answer.status, answer.json()["code"].as_str()), (500, Some("database_error")), "{}", answer.body);
    }

    /// A message is refused as the contract says, in this time.
    pub async fn refuses(&self, within: Duration) {
        let started = Instant::now();
        let answer = self.append().refused(500, "database_error", None).await;
        assert!(started.elapsed() < within, "{:?}", started.elapsed());
        assert!(!answer.body.contains("53100") && !answer.body.contains("read-only"), "{}", answer.body);
    }
}

/// How many statements of the functions the server works on.
async fn running(superuser: &Client) -> i64 {
    let active = format!(
        "select count(*) from pg_stat_activity where datname = current_database() and usename = '{FUNCTIONS_ROLE}' and state = 'active'"
    );
    superuser.query_typed(&active, &[]).await.unwrap()[0].get(0)
}

pub async fn timed(call: Call<'_>) -> (Answer, Duration) {
    let started = Instant::now();
    let answer = call.send().await;
    (answer, started.elapsed())
}

/// A function that has begun to connect, through a proxy that gives its first connection no answer.
pub async fn connecting() -> (App, Proxy, Function) {
    let mut app = App::start().await;
    let proxy = Proxy::start().await;
    app.set("DATABASE_URL", &proxy.url(&app));
    proxy.plan(|number| (number == 0).then_some(Plan { way: Way::ToClient, after: 0, fault: Fault::BlackHole }));
    let function = app.function("get-or-create-conversation");
    while proxy.faults().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (app, proxy, function)
}

#[tokio::test]
async fn whatever_becomes_of_a_connection_costs_a_delay_at_most() {
    let scene = Scene::set().await;
    for way in [Way::ToServer, Way::ToClient] {
        for (fault, within) in [
            (Fault::Reset, AT_ONCE),
            (Fault::HalfClose, AT_ONCE),
            (Fault::Delay(Duration::from_secs(1)), AT_ONCE + Duration::from_secs(1)),
        ] {
            for after in [0, 50] {
                scene.proxy.arm(Plan { way, after, fault });
                scene.stores(within).await;
                assert!(!scene.proxy.disarm(), "{way:?} {fault:?} after {after} bytes has happened");
                // What is lost is sent once more, and what is only late is not.
                let (statements, connects) = if matches!(fault, Fault::Delay(_)) { (1, 0) } else { (2, 1) };
                assert_eq!(scene.cost(), json!({"statements": statements, "connects": connects}), "{way:?} {fault:?}");
                scene.stores(AT_ONCE).await;
            }
        }
    }
}

#[tokio::test]
async fn a_connection_that_swallows_everything_is_waited_for_until_the_deadline() {
    let scene = Scene::set().await;
    // The statement is not there, or it is done and the answer is not. From here they look the same as a server that is slow.
    for (way, again) in [(Way::ToServer, 201), (Way::ToClient, 200)] {
        let append = scene.append();
        scene.proxy.arm(Plan { way, after: 0, fault: Fault::BlackHole });
        let (function, event) = append.event();
        let started = Instant::now();
        let answer = scene.app.function(function).invoke_within(Duration::from_secs(6), event.to_string()).await.unwrap();
        assert_eq!(Answer::read(&answer).status, 500, "{answer}");
        assert!(started.elapsed() > Duration::from_secs(5), "{:?}", started.elapsed());
        assert_eq!(scene.cost(), json!({"statements": 1, "connects": 0}), "{way:?}");
        let (answer, took) = timed(append).await;
        assert!(answer.status == again && took < AT_ONCE, "{way:?} {took:?} {}", answer.body);
        scene.stored.set(scene.stored.get() + 1);
        scene.stores(AT_ONCE).await;
    }
}

#[tokio::test]
async fn a_frozen_function_whose_connection_dies_meanwhile_answers_after_its_thaw() {
    let scene = Scene::set().await;
    for _ in 0..3 {
        signal(scene.process(), "STOP");
        scene.proxy.reset_all();
        tokio::time::sleep(Duration::from_millis(100)).await;
        signal(scene.process(), "CONT");
        scene.stores(AT_ONCE).await;
    }
    signal(scene.process(), "STOP");
    terminate_sessions(&scene.app.superuser().await, "").await;
    signal(scene.process(), "CONT");
    scene.stores(AT_ONCE).await;
}

#[tokio::test]
async fn after_a_freeze_of_half_a_minute_a_connection_is_not_even_tried() {
    let scene = Scene::set().await;
    let used = scene.app.function("add-message");
    let size = used.log_size();
    let (app, _proxy, connecting) = connecting().await;
    let processes = [&used, &connecting].map(|function| function.process_ids()[0]);
    for process in processes {
        signal(process, "STOP");
    }
    tokio::time::sleep(Duration::from_millis(30_500)).await;
    for process in processes {
        signal(process, "CONT");
    }
    scene.stores(AT_ONCE).await;
    let (answer, took) = timed(app.post("/conversations")).await;
    assert!(answer.status == 201 && took < AT_ONCE, "{took:?} {}", answer.body);
    for log in [used.log_after(size), connecting.log()] {
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [line] = lines.as_slice() else { panic!("{log}") };
        assert_eq!((&line["db"]["connects"], &line["db"]["statements"]), (&json!(1), &json!(1)), "{log}");
    }
}

#[tokio::test]
async fn a_server_that_restarts_or_crashes_loses_nothing_and_is_used_again_at_once() {
    let mut scene = Scene::with_a_server_of_its_own().await;
    scene.own.as_mut().unwrap().server.stop();
    scene.refuses(IN_TIME).await;
    scene.own.as_mut().unwrap().server.start_again().await.unwrap();
    scene.stores(AT_ONCE).await;

    // A backend that is killed makes the server end all others, and recover from its log.
    let superuser = scene.own.as_ref().unwrap().superuser().await;
    let backend = superuser.query_typed("select pg_backend_pid()", &[]).await.unwrap()[0].get::<_, i32>(0);
    signal(backend.try_into().unwrap(), "KILL");
    tokio::time::sleep(Duration::from_millis(20)).await;
    let retried = scene.append();
    let (answer, took) = timed(retried.clone()).await;
    assert!(took < IN_TIME, "{took:?}");
    assert!([200, 201].contains(&answer.status) || answer.json()["code"] == "database_error", "{}", answer.body);
    scene.own.as_ref().unwrap().superuser_when_it_is_back().await;
    assert!([200, 201].contains(&retried.send().await.status));
    scene.stored.set(scene.stored.get() + 1);
    scene.stores(AT_ONCE).await;
}

#[tokio::test]
async fn a_database_that_has_no_connection_left_is_a_500_until_it_has() {
    let scene = Scene::set().await;
    let superuser = scene.app.superuser().await;
    let limit = async |limit: i32| {
        let statement = format!("alter database {} connection limit {limit}", scene.app.database);
        superuser.batch_execute(&statement).await.unwrap();
        terminate_sessions(&superuser, "").await;
    };
    for _ in 0..3 {
        limit(0).await;
        scene.refuses_within(Duration::from_secs(3)).await;
        limit(-1).await;
        if pooled() {
            scene.is_let_in().await;
        }
        scene.stores(AT_ONCE).await;
    }
}

#[tokio::test]
async fn a_full_disk_is_a_500_until_it_has_room() {
    let scene = Scene::set().await;
    let superuser = scene.app.superuser().await;
    let full = "
        create function disk_is_full() returns trigger language plpgsql as $$
        begin
            raise exception 'could not extend file \"base/1/2\": No space left on device' using errcode = 'disk_full';
        end $$;
        create trigger disk_is_full before insert on messages for each statement execute function disk_is_full();";
    superuser.batch_execute(full).await.unwrap();
    for _ in 0..3 {
        scene.refuses(AT_ONCE).await;
    }
    scene.app.get(&scene.path).expect(200).await;
    superuser.batch_execute("drop function disk_is_full cascade").await.unwrap();
    scene.stores(AT_ONCE).await;
}

#[tokio::test]
async fn a_read_only_database_is_a_500_until_it_can_be_written_to() {
    let scene = Scene::set().await;
    let superuser = scene.app.superuser().await;
    let read_only = format!("alter database {} set default_transaction_read_only = on", scene.app.database);
    superuser.batch_execute(&read_only).await.unwrap();
    terminate_sessions(&superuser, "").await;
    scene.refuses(AT_ONCE).await;
    scene.app.get(&scene.path).expect(200).await;
    scene.refuses(AT_ONCE).await;
    superuser.batch_execute(&format!("alter database {} reset all", scene.app.database)).await.unwrap();
    if pooled() {
        // The pooler keeps its own connections, which stay as they began.
        terminate_sessions(&superuser, "").await;
    }
    scene.stores(AT_ONCE).await;
}

#[tokio::test]
async fn a_database_that_has_to_wake_up_is_waited_for() {
    let mut app = App::start().await;
    let proxy = Proxy::start().await;
    app.set("DATABASE_URL", &proxy.url(&app));
    // Neon accepts the connection, and answers when the compute has started.
    proxy.plan(|number| {
        let fault = Fault::Delay(Duration::from_secs(5));
        (number < 2).then_some(Plan { way: Way::ToClient, after: 0, fault })
    });
    let conversation = app.get(&format!("/conversations/{}", Uuid::now_v7()));
    // One sandbox gets its request at once; another was started ahead, has connected for a while and waits for less.
    let early = timed(app.post("/conversations"));
    app.function("get-conversation");
    let late = async {
        tokio::time::sleep(Duration::from_millis(3500)).await;
        timed(conversation).await
    };
    let ((early, early_took), (late, late_took)) = tokio::join!(early, late);
    assert_eq!((early.status, late.status), (201, 404), "{} {}", early.body, late.body);
    assert!(early_took > Duration::from_secs(4) && early_took < IN_TIME && late_took < IN_TIME, "{early_took:?} {late_took:?}");
}

#[tokio::test]
async fn a_black_holed_database_is_a_500_before_the_functions_own_time_out() {
    let mut app = App::start().await;
    let proxy = Proxy::start().await;
    app.set("DATABASE_URL", &proxy.url(&app));
    app.post("/conversations").expect(201).await;
    proxy.swallow(true);
    let seconds = Duration::from_secs_f64;
    // Warm, twice, and cold: less half a second for the answer, and never longer than ten.
    let (warm, event) = app.post("/conversations").event();
    let (cold, cold_event) = app.get("/users/ada/conversations").event();
    let invoke = async |function: &str, timeout: Duration, event: &serde_json::Value| {
        let started = Instant::now();
        let answer = app.function(function).invoke_within(timeout, event.to_string()).await.unwrap();
        let problem = Answer::read(&answer);
        assert_eq!((problem.status, problem.json()["code"].as_str()), (500, Some("database_error")));
        let (took, budget) = (started.elapsed(), timeout.saturating_sub(seconds(0.5)).min(seconds(10.0)));
        assert!(took + seconds(0.1) > budget && took < budget + seconds(2.0), "{took:?} of {timeout:?}");
    };
    tokio::join!(
        async {
            invoke(warm, seconds(3.0), &event).await;
            invoke(warm, seconds(15.0), &event).await;
        },
        async {
            invoke(cold, seconds(1.0), &cold_event).await;
            invoke(cold, seconds(30.0), &cold_event).await;
        }
    );
    proxy.swallow(false);
    for call in [app.post("/conversations"), app.get("/users/ada/conversations")] {
        let (answer, took) = timed(call).await;
        assert!(answer.status == 200 && took < AT_ONCE, "{took:?} {}", answer.body);
    }
}

#[tokio::test]
async fn a_slow_database_gets_each_statement_once() {
    const REQUESTS: usize = 4;
    let (mut app, proxy) = (App::with_instances(REQUESTS).await, Proxy::start().await);
    let own = OwnServer::start(&mut app, &proxy).await;
    // Only new sessions log their statements, so this comes before the functions connect.
    let superuser = own.superuser().await;
    superuser.batch_execute(&format!("alter database {} set log_statement = 'all'", app.database)).await.unwrap();
    let executed = || std::fs::read_to_string(own.server.log_file()).unwrap().matches("LOG:  execute <unnamed>: ").count();
    let mut appends = Vec::new();
    for _ in 0..REQUESTS {
        let path = format!("/conversations/{}/messages?role=user&content=x", app.conversation().await);
        // Each process gets its turn, and has a warm connection then.
        app.post(&path).expect(201).await;
        appends.push(app.post(&path));
    }
    // A sequence keeps what it counted even where the statement is undone.
    let slow = "
        create sequence begun;
        create function slow() returns trigger language plpgsql security definer as $$
            begin perform nextval('public.begun'), pg_sleep(3.5); return null; end
        $$;
        create trigger slow before insert on messages for each statement execute function slow();";
    superuser.batch_execute(slow).await.unwrap();

    let before = executed();
    // A pooler has two connections for the four, so that two of them take 7 s.
    let mut requests = tokio::task::JoinSet::new();
    for append in appends {
        let ((name, event), function) = (append.event(), app.function("add-message"));
        assert_eq!(name, "add-message");
        requests.spawn(async move { Answer::read(&function.invoke(event.to_string()).await.unwrap()) });
    }
    for answer in requests.join_all().await {
        assert_eq!(answer.status, 201, "{}", answer.body);
    }
    assert_eq!(executed() - before, REQUESTS, "statements that the server got");
    let begun: i64 = superuser.query_typed("select last_value from begun", &[]).await.unwrap()[0].get(0);
    assert_eq!(begun, i64::try_from(REQUESTS).unwrap(), "inserts that the server began");
    let log = app.function("add-message").log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines[lines.len() - REQUESTS..] {
        let expected = (&json!("request"), &json!(1), &json!(0));
        assert_eq!((&line["message"], &line["db"]["statements"], &line["db"]["connects"]), expected, "{line}");
    }
}

#[tokio::test]
async fn a_statement_is_cancelled_when_its_time_is_over() {
    cancels(&Scene::set().await).await;
}

/// A statement that waits for a lock until the deadline is cancelled, holds up nobody and is not done twice.
pub async fn cancels(scene: &Scene) {
    let other = format!("/conversations/{}/messages", scene.app.conversation().await);
    let superuser = scene.app.superuser().await;
    superuser.batch_execute("begin; select from conversations for update").await.unwrap();
    let unanswered = scene.append();
    let (answer, took) = timed(unanswered.clone()).await;
    assert!(answer.status == 500 && took > Duration::from_secs(9) && took < IN_TIME, "{took:?} {}", answer.body);
    assert_eq!(running(&scene.app.superuser().await).await, 0, "the server still works on it");
    assert_eq!(scene.cost(), json!({"statements": 1, "connects": 0}));
    let missing = format!("/conversations/{}/messages?role=user&content=x", Uuid::now_v7());
    for call in [scene.app.post(&missing), scene.app.get(&other)] {
        let (answer, took) = timed(call).await;
        assert!([200, 404].contains(&answer.status) && took < AT_ONCE, "{took:?} {}", answer.body);
    }
    superuser.batch_execute("commit").await.unwrap();
    let (answer, took) = timed(unanswered).await;
    assert!(answer.status == 201 && took < AT_ONCE, "{took:?} {}", answer.body);
    scene.stored.set(scene.stored.get() + 1);
    scene.stores(AT_ONCE).await;
}
