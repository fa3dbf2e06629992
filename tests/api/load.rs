//! Sixteen processes as fast as this machine goes: memory stays where it is, connections are few and used again, nothing fails.
//!
//! `MINUTES=30 cargo test --release -p tests load -- --ignored --nocapture`

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fastrand::Rng;
use migrate::database::FUNCTIONS_ROLE;
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{Answer, App, Function, binary, pooled, terminate_sessions};

/// Processes of each function; each has one client, who waits for nothing but its answers.
const PROCESSES: [(&str, usize); 8] = [
    ("add-message", 5),
    ("get-chat-history", 3),
    ("get-context", 2),
    ("get-or-create-conversation", 2),
    ("get-user-conversations", 1),
    ("get-conversation", 1),
    ("update-conversation", 1),
    ("rewind-conversation", 1),
];
const USERS: usize = 200;
/// What a process may grow from its first minute to its end. A leak of 100 bytes a request would be more in half an hour.
const GROWTH_KIB: u64 = 2048;
const SAMPLE: Duration = Duration::from_secs(5);

struct Load {
    app: App,
    /// One of each user.
    conversations: Vec<String>,
    started: Instant,
    duration: Duration,
    failed: AtomicU64,
    /// By function: how long each request took, in microseconds.
    took: Mutex<BTreeMap<&'static str, Vec<u32>>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "half an hour: MINUTES=30 cargo test --release -p tests load -- --ignored --nocapture"]
async fn half_an_hour_of_load_costs_no_memory_no_connection_and_no_error() {
    let minutes: f64 = std::env::var("MINUTES").map_or(30.0, |text| text.parse().unwrap());
    let duration = Duration::from_secs_f64(minutes * 60.0);
    let app = App::start().await;
    let mut conversations = Vec::new();
    for user in 0..USERS {
        let made = app.post("/conversations").by(&format!("user {user}")).expect(201).await.json();
        conversations.push(format!("/conversations/{}", made["id"].as_str().unwrap()));
    }
    let superuser = app.superuser().await;
    terminate_sessions(&superuser, "").await;
    let functions: Vec<_> = PROCESSES
        .iter()
        .map(|(name, count)| {
            let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("load-{name}-{}.log", Uuid::now_v7()));
            (*name, *count, Function::start(&binary(name), *count, app.environment(), log.clone()).unwrap(), log)
        })
        .collect();
    let processes: Vec<(u32, &str)> =
        functions.iter().flat_map(|(name, _, function, _)| function.process_ids().into_iter().map(|id| (id, *name))).collect();

    let started = Instant::now();
    let load = Load { app, conversations, started, duration, failed: AtomicU64::new(0), took: Mutex::default() };
    let (load, mut clients) = (Arc::new(load), JoinSet::new());
    for (name, count, function, _) in &functions {
        for client in 0..*count {
            clients.spawn(Arc::clone(&load).client(name, function.clone(), client as u64));
        }
    }

    let connections =
        format!("select count(*) from pg_stat_activity where datname = current_database() and usename = '{FUNCTIONS_ROLE}'");
    let count = async || superuser.query_typed(&connections, &[]).await.unwrap()[0].get::<_, i64>(0);
    let memory = || processes.iter().map(|(id, _)| resident(*id)).collect::<Vec<_>>();
    let few = i64::try_from(processes.len()).unwrap();
    let (mut first, mut most_connections, mut samples) = (None, 0, 0);
    // The first minute, or a tenth of less.
    let warm = Duration::from_mins(1).min(duration / 10);
    while started.elapsed() < duration {
        tokio::time::sleep(SAMPLE.min(duration / 20)).await;
        let mut now = count().await;
        if now > few {
            // One that a process has just closed may still be saying goodbye.
            tokio::time::sleep(Duration::from_millis(200)).await;
            now = count().await;
        }
        most_connections = most_connections.max(now);
        samples += 1;
        if started.elapsed() > warm && first.is_none() {
            first = Some(memory());
        }
        // A log line for each of millions of requests is gigabytes.
        for (_, _, _, log) in &functions {
            File::options().write(true).open(log).unwrap().set_len(0).unwrap();
        }
    }
    let (first, last) = (first.unwrap(), memory());
    clients.join_all().await;
    load.report(processes.len());
    let sessions = "select sessions from pg_stat_database where datname = current_database()";
    let opened: i64 = superuser.query_typed(sessions, &[]).await.unwrap()[0].get(0);
    let sum = |memory: &[u64]| memory.iter().sum::<u64>() / 1024;
    println!(
        "memory: {} MiB after {:.0} s, {} MiB at the end, {} KiB the most that a process grew; \
        connections: {most_connections} the most in {samples} samples, {opened} opened (ours among them)",
        sum(&first),
        warm.as_secs_f64(),
        sum(&last),
        first.iter().zip(&last).map(|(first, last)| last.saturating_sub(*first)).max().unwrap(),
    );
    assert_eq!(load.failed.load(Ordering::SeqCst), 0);
    for (((id, name), first), last) in processes.iter().zip(&first).zip(&last) {
        assert!(*last <= first + GROWTH_KIB, "{name} ({id}) grew from {first} to {last} KiB");
    }
    assert!(most_connections <= few, "{most_connections} connections at a time");
    // One at the start and one every ten minutes; the rest is what this test has opened, and what made its conversations.
    #[expect(clippy::cast_possible_truncation, reason = "minutes")]
    let expected = few * (1 + (minutes / 10.0) as i64) + 10;
    assert!(pooled() || opened <= expected, "{opened} connections were opened: they are not used again");
}

impl Load {
    async fn client(self: Arc<Self>, name: &'static str, function: Function, seed: u64) {
        let mut rng = Rng::with_seed(seed);
        let mut took = Vec::new();
        while self.started.elapsed() < self.duration {
            let event = self.event(name, &mut rng);
            let sent = Instant::now();
            let answer = Answer::read(&function.invoke(event).await.unwrap());
            took.push(u32::try_from(sent.elapsed().as_micros()).unwrap());
            if answer.status >= 300 {
                println!("{name}: {answer:?}");
                self.failed.fetch_add(1, Ordering::SeqCst);
            }
        }
        self.took.lock().unwrap().entry(name).or_default().extend(took);
    }

    fn report(&self, processes: usize) {
        let (seconds, mut took) = (self.started.elapsed().as_secs_f64(), self.took.lock().unwrap());
        let requests: usize = took.values().map(Vec::len).sum();
        let failed = self.failed.load(Ordering::SeqCst);
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let rate = requests as f64 / seconds;
        println!("{requests} requests in {seconds:.0} s, {rate:.0} a second, by {processes} processes; {failed} failed");
        for (name, took) in took.iter_mut() {
            took.sort_unstable();
            let at = |percent: usize| f64::from(took[(took.len() - 1) * percent / 100]) / 1000.0;
            println!("{name:>28}: {:>8} requests, p50 {:>6.2} ms, p99 {:>6.2} ms", took.len(), at(50), at(99));
        }
    }

    /// One request to a function.
    fn event(&self, name: &str, rng: &mut Rng) -> String {
        let user = rng.usize(..USERS);
        let (app, path) = (&self.app, &self.conversations[user]);
        let call = match name {
            "add-message" => {
                let text = "x".repeat(rng.usize(1..2000));
                let message = |role| json!({"id": Uuid::now_v7(), "role": role, "content": text});
                app.post(&format!("{path}/messages")).json(&json!({"messages": [message("user"), message("assistant")]}))
            }
            "get-chat-history" => app.get(&format!("{path}/messages?last={}", rng.usize(1..50))),
            "get-context" => app.get(&format!("{path}/context?max_messages=50&max_chars=20000")),
            "get-or-create-conversation" => app.post("/conversations"),
            "get-user-conversations" => app.get(&format!("/users/user%20{user}/conversations?limit=20")),
            "get-conversation" => app.get(path),
            "update-conversation" => app.patch(path).json(&json!({"title": rng.u32(..).to_string()})),
            // Mostly behind the end, so that the conversations grow.
            _ => app.delete(&format!("{path}/messages?from={}", rng.usize(1..100_000))),
        };
        call.by(&format!("user {user}")).event().1.to_string()
    }
}

/// The memory of a process that is in use, in KiB.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
