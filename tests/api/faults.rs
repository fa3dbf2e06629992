//! What can happen to a database and to the way there: the caller gets an answer in time, and the next request works at once.
//! (Sessions that are ended, answers that are lost and a database that is silent are in `database.rs`; poolers in `pooler.rs`.)

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::proxy::{Fault, Plan, Proxy, Way};
use crate::support::{Answer, App, Call, Function, OwnServer, pooled, signal, terminate_sessions};

/// As good as at once, on a machine that is busy with other tests.
pub const AT_ONCE: Duration = Duration::from_secs(2);
/// What a used connection is waited for, and as good as at once after that.
const AFTER_SILENCE: Duration = Duration::from_secs(5);
/// What a request may take, and as good as at once after that.
pub const IN_TIME: Duration = Duration::from_secs(12);

/// An app behind a proxy, with a warm connection, and a conversation in which all is stored that was acknowledged.
pub struct Scene {
    pub app: App,
    pub proxy: Proxy,
    path: String,
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

    fn append(&self) -> Call<'_> {
        self.app.post(&self.path).json(&json!({"id": Uuid::now_v7(), "role": "user", "content": "hello"}))
    }

    fn process(&self) -> u32 {
        self.app.function("add-message").process_ids()[0]
    }

    /// A message is stored, in this time.
    pub async fn stores(&self, within: Duration) {
        let (answer, took) = timed(self.append()).await;
        assert!([200, 201].contains(&answer.status), "{}", answer.body);
        assert!(took < within, "{took:?}");
        // None is stored twice, none that was refused before is there.
        self.stored.set(self.stored.get() + 1);
        assert_eq!(answer.json()["position"].as_u64(), Some(self.stored.get()));
    }

    /// A message is refused as the contract says, in this time.
    pub async fn refuses(&self, within: Duration) {
        let started = Instant::now();
        let answer = self.append().refused(500, "database_error", None).await;
        assert!(started.elapsed() < within, "{:?}", started.elapsed());
        assert!(!answer.body.contains("53100") && !answer.body.contains("read-only"), "{}", answer.body);
    }
}

async fn timed(call: Call<'_>) -> (Answer, Duration) {
    let started = Instant::now();
    let answer = call.send().await;
    (answer, started.elapsed())
}

/// A function that has begun to connect, through a proxy that gives its first connection no answer.
async fn connecting() -> (App, Proxy, Function) {
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
            (Fault::BlackHole, AFTER_SILENCE),
        ] {
            for after in [0, 50] {
                if (fault, after) == (Fault::BlackHole, 50) {
                    continue; // As silent as from the start, and as slow.
                }
                scene.proxy.arm(Plan { way, after, fault });
                scene.stores(within).await;
                assert!(!scene.proxy.disarm(), "{way:?} {fault:?} after {after} bytes has happened");
                scene.stores(AT_ONCE).await;
            }
        }
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
    // A gateway on the way has forgotten it, and tells nobody.
    signal(scene.process(), "STOP");
    scene.proxy.arm(Plan { way: Way::ToServer, after: 0, fault: Fault::BlackHole });
    signal(scene.process(), "CONT");
    scene.stores(AFTER_SILENCE).await;
    scene.stores(AT_ONCE).await;
}

#[tokio::test]
async fn a_function_that_was_frozen_while_it_connected_does_not_wait_for_what_was_lost() {
    let (app, _proxy, function) = connecting().await;
    let process = function.process_ids()[0];
    signal(process, "STOP");
    tokio::time::sleep(Duration::from_millis(3200)).await;
    signal(process, "CONT");
    let (answer, took) = timed(app.post("/conversations")).await;
    assert!(answer.status == 201 && took < AFTER_SILENCE, "{took:?} {}", answer.body);
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
        // A pooler lets its clients wait.
        scene.refuses(if pooled() { IN_TIME } else { AT_ONCE }).await;
        limit(-1).await;
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
        assert!(took + seconds(0.1) > budget && took < budget + seconds(0.4), "{took:?} of {timeout:?}");
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
async fn a_statement_that_nobody_waits_for_any_more_holds_up_nobody_and_is_not_done_twice() {
    let scene = Scene::set().await;
    let other = format!("/conversations/{}/messages", scene.app.conversation().await);
    let superuser = scene.app.superuser().await;
    superuser.batch_execute("begin; select from conversations for update").await.unwrap();
    let unanswered = scene.append();
    unanswered.clone().refused(500, "database_error", None).await;
    // Both of its statements still wait for the lock, each on its connection. Reads and other functions go on, and so does this one.
    let missing = format!("/conversations/{}/messages?role=user&content=x", Uuid::now_v7());
    for call in [scene.app.post(&missing), scene.app.get(&other)] {
        let (answer, took) = timed(call).await;
        assert!([200, 404].contains(&answer.status) && took < AT_ONCE, "{took:?} {}", answer.body);
    }
    superuser.batch_execute("commit").await.unwrap();
    let (answer, took) = timed(unanswered).await;
    assert!([200, 201].contains(&answer.status) && took < AT_ONCE, "{took:?} {}", answer.body);
    scene.stored.set(scene.stored.get() + 1);
    scene.stores(AT_ONCE).await;
}
