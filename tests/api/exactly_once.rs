//! A message that was acknowledged is stored exactly once, in order, whatever happened meanwhile.
//!
//! Eight processes append batches to shared and to private conversations, through a proxy that cuts, delays and swallows. Meanwhile
//! sessions are ended, and processes are killed and frozen. In the long run the server also crashes and restarts. Clients retry with
//! the same ids until they have an answer. Then everything is read, by SQL and through the API. A seed fixes what is sent, and which
//! fault meets which connection at which byte. It cannot fix when the processes are scheduled.
//!
//! Some batches have a parent of the client's choice, and some clients choose another line. What they leave is kept.
//!
//! Between its appends, each client also leads conversations of a guest through every endpoint. It replaces, streams, stops, summarizes, forks and
//! edits them. It deletes, transfers, exports, erases and imports them. It reads after each step. At last it erases them, so that the final
//! comparison finds whatever a lost request left behind.
//!
//! The long run: `BATCHES=100000 SEED=1 cargo test -p tests exactly_once -- --ignored --nocapture`

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::proxy::{Fault, Plan, Proxy, Way};
use crate::support::{Answer, App, Call, Function, OwnServer, signal, start_function, terminate_sessions};

const PROCESSES: usize = 8;
const CLIENTS: usize = 16;
const SHARED: usize = 2;
/// A client appends so many batches between two guests. More than there are clients.
const BATCHES_PER_GUEST: usize = 25;
/// A client branches behind one of its newest batches, so that no line has to move far.
const NEAR: usize = 5;
/// The lanes that run more than `add-message`. Fewer, so that there are not hundreds of processes.
const GUEST_LANES: usize = 2;
/// A request of a process that was killed may still be on its way to the server, behind a delay of the proxy.
const ON_ITS_WAY: Duration = Duration::from_millis(400);
/// Ada's: the shared conversations'.
const OWNER: &str = "ada";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_faults_every_acknowledged_message_is_stored_once_and_in_order() {
    run(7, 400, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes to an hour: BATCHES=100000 SEED=1 cargo test -p tests exactly_once -- --ignored --nocapture"]
async fn the_long_run() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().expect(name));
    run(number("SEED", 1), usize::try_from(number("BATCHES", 5000)).unwrap(), true).await;
}

/// One process of each function. It may never answer a request.
struct Lane {
    /// Held by the client that it serves, so that no client waits behind another client's request.
    free: tokio::sync::Mutex<()>,
    /// Started when they are first needed.
    processes: Mutex<BTreeMap<&'static str, Process>>,
}

#[derive(Clone)]
struct Process {
    function: Function,
    killed: Arc<Notify>,
}

struct Run {
    app: App,
    seed: u64,
    lanes: Vec<Lane>,
    /// Each conversation with its user: the shared ones, then one for each client.
    conversations: Vec<(String, Uuid)>,
    acknowledged: Mutex<Vec<Acknowledged>>,
    /// The lines that were chosen, and each client's in their order.
    selected: Mutex<Vec<Selected>>,
    counts: Counts,
    /// The functions that guests have called.
    called: Mutex<BTreeSet<&'static str>>,
}

#[derive(Default)]
struct Counts {
    batches: AtomicUsize,
    lines: AtomicUsize,
    guests: AtomicUsize,
    requests: AtomicUsize,
    refused: AtomicUsize,
    unanswered: AtomicUsize,
    given_up: AtomicUsize,
}

/// A batch, and what the client was told of it.
struct Acknowledged {
    conversation: Uuid,
    sent: Vec<(Uuid, String)>,
    told: Vec<(i64, String)>,
    /// The parent that it named.
    parent: Option<Uuid>,
    /// The version that it made.
    version: i64,
}

/// A line that was chosen.
struct Selected {
    conversation: Uuid,
    message: Uuid,
    /// The conversation's version behind it.
    version: i64,
}

async fn run(seed: u64, batches: usize, crashes: bool) {
    println!("SEED={seed} BATCHES={batches}");
    let started = Instant::now();
    let mut app = App::start().await;
    let proxy = Proxy::start().await;
    app.set("DATABASE_URL", &proxy.url(&app));
    let mut own = if crashes { Some(OwnServer::start(&mut app, &proxy).await) } else { None };
    let mut conversations = Vec::new();
    for n in 0..SHARED + CLIENTS {
        let user = if n < SHARED { OWNER.to_owned() } else { format!("client {}", n - SHARED) };
        let made = app.post("/conversations?new=true").by(&user).expect(201).await.json();
        conversations.push((user, made["id"].as_str().unwrap().parse().unwrap()));
    }
    proxy.plan(move |connection| Some(fault(seed, connection)));
    // Black holes are rare, and a short run's few connections may all end before theirs. This one comes for certain.
    proxy.arm(Plan { way: Way::ToServer, after: 100_000, fault: Fault::BlackHole });
    let lane = |_| {
        let append = Process::start("add-message", &app);
        Lane { free: tokio::sync::Mutex::default(), processes: Mutex::new(BTreeMap::from([("add-message", append)])) }
    };
    let lanes = (0..PROCESSES).map(lane).collect();
    let (acknowledged, selected, counts, called) = Default::default();
    let run = Arc::new(Run { app, seed, lanes, conversations, acknowledged, selected, counts, called });

    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let share = batches / CLIENTS + usize::from(client < batches % CLIENTS);
        clients.spawn(Arc::clone(&run).client(client, share));
    }
    let mut blows = BTreeMap::new();
    tokio::select! {
        () = Arc::clone(&run).strike(own.as_mut(), &mut blows) => unreachable!("it never ends"),
        // A client that fails has said why.
        _ = clients.join_all() => {}
    }
    // Whatever still runs for nobody ends, or has its say, before we look.
    proxy.plan(|_| None);
    let superuser = match &own {
        Some(own) => own.superuser_when_it_is_back().await,
        None => run.app.superuser().await,
    };
    terminate_sessions(&superuser, "").await;
    let messages = run.check(&superuser).await;
    assert_eq!(*run.called.lock().unwrap(), local::project::functions(), "`Run::guest` calls every function");
    let faults = proxy.faults();
    assert!(faults.len() == 4 && faults.values().all(|count| *count > 0), "SEED={seed}: too few faults: {faults:?}");

    let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
    println!(
        "{} batches of {messages} messages, {} moves of lines and {} guests acknowledged, in {} requests; {} answers were errors, {} never \
        came, {} were thrown away; \
        faults on the way: {faults:?}; beside it: {blows:?}; {:.0} s",
        count(&run.counts.batches),
        count(&run.counts.lines),
        count(&run.counts.guests),
        count(&run.counts.requests),
        count(&run.counts.refused),
        count(&run.counts.unanswered),
        count(&run.counts.given_up),
        started.elapsed().as_secs_f64(),
    );
}

/// What meets a connection, and at which byte: connecting takes about 2 kB up and 5 kB down, an append about 5 and 1.
fn fault(seed: u64, connection: usize) -> Plan {
    let mut rng = Rng::with_seed(seed ^ (connection as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let way = if rng.bool() { Way::ToServer } else { Way::ToClient };
    let fault = match rng.u32(0..100) {
        0..45 => Fault::Reset,
        45..75 => Fault::HalfClose,
        75..97 => Fault::Delay(Duration::from_millis(rng.u64(1..300))),
        _ => Fault::BlackHole,
    };
    let after = if way == Way::ToServer { rng.usize(0..40_000) } else { rng.usize(0..12_000) };
    // Black holes in the handshake cost the client its whole patience, and show nothing that the others don't.
    let after = if fault == Fault::BlackHole { after + 8000 } else { after };
    Plan { way, after, fault }
}

impl Process {
    fn start(name: &'static str, app: &App) -> Self {
        Self { function: start_function(name, 1, app.environment()), killed: Arc::default() }
    }
}

impl Run {
    /// Sends its share of batches, each until it is acknowledged.
    async fn client(self: Arc<Self>, client: usize, share: usize) {
        let mut rng = Rng::with_seed(self.seed.wrapping_add(1000 + client as u64));
        // The last messages of this client's batches, by their conversation.
        let mut ends = BTreeMap::<Uuid, Vec<Uuid>>::new();
        for batch in 0..share {
            // The clients take turns.
            if batch % BATCHES_PER_GUEST == client {
                self.guest(&format!("{client}-{batch}"), &mut rng).await;
                self.counts.guests.fetch_add(1, Ordering::SeqCst);
            }
            let shared = rng.u8(..4) > 0;
            let (user, conversation) = &self.conversations[if shared { rng.usize(..SHARED) } else { SHARED + client }];
            let size = if rng.u8(..20) == 0 { rng.usize(10..60) } else { rng.usize(1..5) };
            let filler = "x".repeat(rng.usize(..if size < 5 { 3000 } else { 100 }));
            let sent: Vec<_> = (0..size)
                .map(|n| {
                    let id = uuid::Builder::from_random_bytes(rng.u128(..).to_be_bytes()).into_uuid();
                    (id, format!("{client}/{batch}/{n} {filler}"))
                })
                .collect();
            let messages: Vec<Value> =
                sent.iter().map(|(id, content)| json!({"id": id, "role": "user", "content": content})).collect();
            let path = format!("/conversations/{conversation}");
            let ends = ends.entry(*conversation).or_default();
            let mut near = |one_in: u8| {
                let near = &ends[ends.len().saturating_sub(NEAR)..];
                if near.is_empty() || rng.u8(..one_in) > 0 { None } else { Some(near[rng.usize(..near.len())]) }
            };
            let (parent, chosen) = (near(6), near(8));
            let mut body = json!({"messages": messages});
            if let Some(parent) = parent {
                body["parent_id"] = json!(parent);
            }
            let append = self.app.post(&format!("{path}/messages")).by(user).json(&body);
            let answer = self.acknowledged(&append, &[200, 201], &mut rng).await;
            let told = answer.array();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let told = told.iter().map(|message| (message["position"].as_i64().unwrap(), text(&message["created_at"]))).collect();
            let version = |answer: &Answer| answer.headers["etag"].trim_matches('"').parse().unwrap();
            let (conversation, version_of_batch) = (*conversation, version(&answer));
            ends.push(sent.last().unwrap().0);
            let batch = Acknowledged { conversation, sent, told, parent, version: version_of_batch };
            self.acknowledged.lock().unwrap().push(batch);
            if let Some(message) = chosen {
                let key = uuid::Builder::from_random_bytes(rng.u128(..).to_be_bytes()).into_uuid();
                let select = self.app.put(&format!("{path}/line")).by(user).json(&json!({"message_id": message}));
                let select = select.header("idempotency-key", key.to_string());
                let answer = self.acknowledged(&select, &[200], &mut rng).await;
                self.selected.lock().unwrap().push(Selected { conversation, message, version: version(&answer) });
                self.counts.lines.fetch_add(1, Ordering::SeqCst);
            }
            if self.counts.batches.fetch_add(1, Ordering::SeqCst) % 10_000 == 9999 {
                println!("10,000 more");
            }
        }
    }

    /// Leads a guest's conversations through every endpoint. Each request is sent until it is acknowledged. Nothing is left at the end.
    async fn guest(&self, name: &str, rng: &mut Rng) {
        let (app, seed) = (&self.app, self.seed);
        let (guest, account) = (format!("guest-{name}"), format!("account-{name}"));
        let mut id = || uuid::Builder::from_random_bytes(rng.u128(..).to_be_bytes()).into_uuid();
        let (source, copy, ids) = (id(), id(), [id(), id(), id(), id(), id(), id(), id(), id()]);
        let [path, copied] = [source, copy].map(|id| format!("/conversations/{id}"));
        let message = |n: usize, role: &str| json!({"id": ids[n], "role": role, "content": format!("raining {n}")});
        let [messages, first, second, reply] = ["", &format!("/{}", ids[0]), &format!("/{}", ids[1]), &format!("/{}", ids[4])]
            .map(|end| format!("{path}/messages{end}"));
        // Only a POST has another answer where a first attempt has done it. The others are recognized by their keys.
        let [done, made, gone] = [&[200][..], &[200, 201], &[204]];

        self.by(&guest, app.post("/conversations").json(&json!({"id": source})), made, rng).await;
        let three = json!({"messages": [message(0, "user"), message(1, "assistant"), message(2, "user")]});
        self.by(&guest, app.post(&messages).json(&three), made, rng).await;
        let instead = json!({"messages": [message(3, "user")], "from": 3});
        let replaced = self.by(&guest, app.post(&messages).json(&instead), made, rng).await;
        assert_eq!(replaced.array()[0]["position"], 4, "SEED={seed}: {replaced:?}");
        // The next question, a place for its reply, and the context: a turn, in the conversation that the first request made.
        let turn = json!({
            "id": ids[6], "role": "user", "content": "raining 6", "reply_id": ids[4], "conversation": {"user_id": guest},
            "context": {"max_messages": 2},
        });
        let turned = self.by_service(app.post(&format!("{path}/turn")).json(&turn), made, rng).await.json();
        let sent: Vec<&Value> =
            turned["context"]["messages"].as_array().unwrap().iter().map(|message| &message["position"]).collect();
        assert_eq!((&turned["reply"]["position"], sent), (&json!(6), vec![&json!(4), &json!(5)]), "SEED={seed}: {turned}");
        // The empty piece is a sign of life.
        for (piece, at) in [("It é", 0), ("", 4), ("It é", 4)] {
            self.by(&guest, app.patch(&reply).json(&json!({"append": piece, "at": at})), done, rng).await;
        }
        let last = json!({"append": " rains", "at": 8, "status": "complete"});
        self.by(&guest, app.patch(&reply).json(&last), done, rng).await;
        let rest = self.by(&guest, app.get(&format!("{reply}?skip=4")), done, rng).await.json();
        assert_eq!((&rest["content"], &rest["status"]), (&json!("It é rains"), &json!("complete")), "SEED={seed}");
        // A reply that its reader stops. What its writer sends from then on is refused.
        let begin = json!({"id": ids[5], "role": "assistant", "content": "So", "status": "in_progress"});
        self.by(&guest, app.post(&messages).json(&begin), made, rng).await;
        let stopped = format!("{messages}/{}", ids[5]);
        let cancelled = self.by(&guest, app.patch(&stopped).json(&json!({"status": "cancelled"})), done, rng).await.json();
        assert_eq!((&cancelled["content"], &cancelled["status"]), (&json!("So"), &json!("cancelled")), "SEED={seed}");
        for (piece, at) in [(" what", 2), ("", 2)] {
            let late = self.by(&guest, app.patch(&stopped).json(&json!({"append": piece, "at": at})), &[409], rng).await.json();
            assert_eq!(late["code"], "cancelled", "SEED={seed}: {late}");
        }
        self.versions_of_reply(&guest, &path, [ids[6], ids[4], ids[7]], rng).await;
        let summary = format!("{path}/summary");
        for (through, text) in [(1, "drizzle"), (2, "rain")] {
            self.by(&guest, app.put(&summary).json(&json!({"through": through, "content": text})), done, rng).await;
            let read = self.by(&guest, app.get(&summary), done, rng).await.json();
            assert_eq!((&read["through"], &read["content"]), (&json!(through), &json!(text)), "SEED={seed}: {read}");
        }
        let context = self.by(&guest, app.get(&format!("{path}/context?max_messages=5")), done, rng).await.json();
        assert_eq!((&context["summary"]["through"], &context["omitted"]), (&json!(2), &json!(0)), "SEED={seed}: {context}");

        let fork = app.post(&format!("{path}/fork")).json(&json!({"id": copy, "through": 4}));
        let fork = self.by(&guest, fork, made, rng).await.json();
        let shown = (&fork["message_count"], &fork["forked_from"]["position"], &fork["summary"]["through"]);
        assert_eq!(shown, (&json!(3), &json!(4), &json!(2)), "SEED={seed}: {fork}");
        let rewound = self.by(&guest, app.delete(&format!("{copied}/messages?from=4")), done, rng).await.json();
        assert_eq!(rewound, json!({"deleted": 1}), "SEED={seed}");
        self.by(&guest, app.delete(&summary), gone, rng).await;
        let older = self.by(&guest, app.get(&summary), done, rng).await.json();
        assert_eq!((&older["through"], &older["content"]), (&json!(1), &json!("drizzle")), "SEED={seed}: {older}");
        self.by(&guest, app.patch(&first).json(&json!({"metadata": {"seen": true}})), done, rng).await;
        self.by(&guest, app.delete(&second), gone, rng).await;
        self.by(&guest, app.patch(&path).json(&json!({"title": "Oslo", "pinned": true})), done, rng).await;
        let one = self.by(&guest, app.get(&path), done, rng).await.json();
        assert_eq!(
            (&one["title"], &one["message_count"], &one["summary"]["through"]),
            (&json!("Oslo"), &json!(5), &json!(1)),
            "SEED={seed}"
        );
        let history = async |path: &str, rng: &mut Rng| {
            let answer = self.by(&guest, app.get(&format!("{path}/messages")), done, rng).await;
            let shown = answer.array();
            shown
                .iter()
                .map(|one| (one["position"].as_i64().unwrap(), one["content"].as_str().unwrap().to_owned()))
                .collect::<Vec<_>>()
        };
        let expected = |messages: &[(i64, &str)]| messages.iter().map(|(at, text)| (*at, (*text).to_owned())).collect::<Vec<_>>();
        let of_source = expected(&[(1, "raining 0"), (4, "raining 3"), (5, "raining 6"), (6, "It éIt é rains"), (7, "So")]);
        assert_eq!(history(&path, rng).await, of_source, "SEED={seed}: {name}");
        assert_eq!(history(&copied, rng).await, expected(&[(1, "raining 0"), (2, "raining 1")]), "SEED={seed}: {name}");
        let found = self.by(&guest, app.get(&format!("/users/{guest}/search?q=raining")), done, rng).await.array();
        let listed = self.by(&guest, app.get(&format!("/users/{guest}/conversations")), done, rng).await.array();
        assert_eq!((found.len(), listed.len()), (5, 2), "SEED={seed}: {name}");

        self.by_service(app.post(&format!("/users/{guest}/transfer")).json(&json!({"to": account})), done, rng).await;
        let left = self.by(&guest, app.get(&format!("/users/{guest}/conversations")), done, rng).await.array();
        assert_eq!(left, [Value::Null; 0], "SEED={seed}: {name}");
        self.by(&account, app.delete(&copied), gone, rng).await;
        let export = app.get(&format!("/users/{account}/export"));
        let exported = self.by(&account, export.clone(), done, rng).await.body;
        assert_eq!(exported.lines().count(), 7, "SEED={seed}: {exported}");
        let erase = app.delete(&format!("/users/{account}"));
        self.by(&account, erase.clone(), done, rng).await;
        assert_eq!(self.by(&account, export.clone(), done, rng).await.body, "", "SEED={seed}: {name}");
        let import = app.post(&format!("/users/{account}/import")).header("content-type", "application/x-ndjson").body(&*exported);
        self.by_service(import, done, rng).await;
        assert_eq!(self.by(&account, export, done, rng).await.body, exported, "SEED={seed}: {name}");
        self.by(&account, erase, done, rng).await;
    }

    /// A question gets another answer, and then the first one is chosen again. The other is kept.
    async fn versions_of_reply(&self, guest: &str, path: &str, [question, reply, other]: [Uuid; 3], rng: &mut Rng) {
        let seed = self.seed;
        let message = json!({"id": other, "role": "assistant", "content": "raining 7", "parent_id": question});
        let append = self.app.post(&format!("{path}/messages")).json(&message);
        self.by(guest, append, &[200, 201], rng).await;
        let line = self.app.put(&format!("{path}/line")).json(&json!({"message_id": reply, "newest": true}));
        let line = self.by(guest, line, &[200], rng).await.json();
        assert_eq!((&line["message_count"], &line["kept_count"]), (&json!(6), &json!(1)), "SEED={seed}: {line}");
        let read = self.app.get(&format!("{path}/messages/{reply}?include=versions"));
        let read = self.by(guest, read, &[200], rng).await.json();
        assert_eq!(read["versions"], json!([reply, other]), "SEED={seed}: {read}");
    }

    /// A guest's request, as this user.
    async fn by(&self, user: &str, call: Call<'_>, statuses: &[u16], rng: &mut Rng) -> Answer {
        self.of_guest(&call.by(user), statuses, rng).await
    }

    async fn by_service(&self, call: Call<'_>, statuses: &[u16], rng: &mut Rng) -> Answer {
        self.of_guest(&call.by_service(), statuses, rng).await
    }

    async fn of_guest(&self, call: &Call<'_>, statuses: &[u16], rng: &mut Rng) -> Answer {
        let (name, event) = call.event();
        self.called.lock().unwrap().insert(name);
        // Every attempt has the same key.
        let key = uuid::Builder::from_random_bytes(rng.u128(..).to_be_bytes()).into_uuid();
        let is_keyed = ["PATCH", "PUT", "DELETE"].iter().any(|method| event["requestContext"]["http"]["method"] == *method);
        let call = if is_keyed { call.clone().header("idempotency-key", key.to_string()) } else { call.clone() };
        self.acknowledged(&call, statuses, rng).await
    }

    /// The first answer with one of these statuses that does not get lost.
    async fn acknowledged(&self, call: &Call<'_>, statuses: &[u16], rng: &mut Rng) -> Answer {
        let (name, event) = call.event();
        let event = event.to_string();
        let is_append = name == "add-message";
        for _ in 0..300 {
            let lane = &self.lanes[rng.usize(..if is_append { PROCESSES } else { GUEST_LANES })];
            let _ours = lane.free.lock().await;
            let process = lane.processes.lock().unwrap().entry(name).or_insert_with(|| Process::start(name, &self.app)).clone();
            self.counts.requests.fetch_add(1, Ordering::SeqCst);
            let answer = tokio::select! {
                answer = process.function.invoke(event.clone()) => Answer::read(&answer.unwrap()),
                () = process.killed.notified() => {
                    self.counts.unanswered.fetch_add(1, Ordering::SeqCst);
                    if !is_append {
                        tokio::time::sleep(ON_ITS_WAY).await;
                    }
                    continue;
                }
            };
            match answer.status {
                status if statuses.contains(&status) && rng.u8(..20) == 0 => {
                    self.counts.given_up.fetch_add(1, Ordering::SeqCst);
                }
                status if statuses.contains(&status) => return answer,
                500 if answer.json()["code"] == "database_error" => {
                    self.counts.refused.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(rng.u64(10..100))).await;
                }
                _ => panic!("SEED={}: {name}: {answer:?}", self.seed),
            }
        }
        panic!("SEED={}: no acknowledgement", self.seed);
    }

    /// Every few batches, something worse than a connection's end.
    async fn strike(self: Arc<Self>, mut own: Option<&mut OwnServer>, blows: &mut BTreeMap<&'static str, usize>) {
        let mut rng = Rng::with_seed(self.seed.wrapping_add(999));
        let mut next = 0;
        loop {
            next += if own.is_some() { rng.usize(50..200) } else { rng.usize(20..60) };
            while self.counts.batches.load(Ordering::SeqCst) < next {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let lane = &self.lanes[rng.usize(..self.lanes.len())];
            let (name, struck) = {
                let processes = lane.processes.lock().unwrap();
                let (name, process) = processes.iter().nth(rng.usize(..processes.len())).unwrap();
                (*name, process.clone())
            };
            let process = struck.function.process_ids()[0];
            let blow = match (rng.u32(0..100), own.as_mut()) {
                (0..35, None) => {
                    terminate_sessions(&self.app.superuser().await, "order by random() limit 2").await;
                    "sessions ended"
                }
                (0..35, Some(own)) => {
                    terminate_sessions(&own.superuser_when_it_is_back().await, "order by random() limit 2").await;
                    "sessions ended"
                }
                (35..60, _) => {
                    signal(process, "STOP");
                    tokio::time::sleep(Duration::from_millis(rng.u64(50..1000))).await;
                    signal(process, "CONT");
                    "functions frozen"
                }
                (60..90, _) | (_, None) => {
                    // As Lambda does with a sandbox. The waiting client gets an error at once, as from API Gateway.
                    signal(process, "KILL");
                    lane.processes.lock().unwrap().insert(name, Process::start(name, &self.app));
                    struck.killed.notify_waiters();
                    "functions killed"
                }
                (90..98, Some(own)) => {
                    let superuser = own.superuser_when_it_is_back().await;
                    let backend = superuser.query_typed("select pg_backend_pid()", &[]).await.unwrap()[0].get::<_, i32>(0);
                    signal(backend.try_into().unwrap(), "KILL");
                    "server crashes"
                }
                (_, Some(own)) => {
                    own.server.stop();
                    tokio::time::sleep(Duration::from_millis(rng.u64(1..500))).await;
                    own.server.start_again().await.unwrap();
                    "server restarts"
                }
            };
            *blows.entry(blow).or_default() += 1;
        }
    }

    /// Reads everything, and compares. How many messages there are.
    async fn check(&self, superuser: &Client) -> usize {
        let seed = self.seed;
        let mut acknowledged = std::mem::take(&mut *self.acknowledged.lock().unwrap());
        let mut expected: BTreeMap<Uuid, &str> = BTreeMap::new();
        for (id, content) in acknowledged.iter().flat_map(|batch| &batch.sent) {
            assert!(expected.insert(*id, content).is_none());
        }
        // Every one once, and none that nobody sent: the ids are the same, and as many.
        let time = r#"to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#;
        let columns = format!("conversation_id, position, id, content, {time}");
        let all = format!("select {columns} from messages union all select {columns} from kept_messages order by 1, 2");
        let mut stored: BTreeMap<Uuid, Vec<(i64, Uuid, String)>> = BTreeMap::new();
        for row in superuser.query_typed(&all, &[]).await.unwrap() {
            let (id, content): (Uuid, String) = (row.get(2), row.get(3));
            assert_eq!(expected.remove(&id), Some(&*content), "SEED={seed}: {id} was not sent, or is stored twice");
            stored.entry(row.get(0)).or_default().push((row.get(1), id, row.get(4)));
        }
        assert!(expected.is_empty(), "SEED={seed}: {} acknowledged messages are lost: {:?}", expected.len(), expected.keys());

        acknowledged.sort_by_key(|batch| (batch.conversation, batch.told[0].0));
        let selected = std::mem::take(&mut *self.selected.lock().unwrap());
        let shared: BTreeSet<Uuid> = self.conversations[..SHARED].iter().map(|(_, id)| *id).collect();
        let owners: BTreeMap<Uuid, &str> = self.conversations.iter().map(|(user, id)| (*id, user.as_str())).collect();
        let counters = "select id, message_count, coalesce(kept_count, 0), next_position, version from conversations";
        for row in superuser.query_typed(counters, &[]).await.unwrap() {
            let conversation: Uuid = row.get(0);
            let stored = stored.remove(&conversation).unwrap_or_default();
            let batches: Vec<_> = acknowledged.iter().filter(|batch| batch.conversation == conversation).collect();
            assert!(stored.is_sorted_by(|a, b| a.0 < b.0 && a.2 <= b.2), "SEED={seed}: positions and times of {conversation}");
            // In the order of their positions, the batches as they were sent are the conversation: whole and adjacent.
            let sent: Vec<Uuid> = batches.iter().flat_map(|batch| batch.sent.iter().map(|(id, _)| *id)).collect();
            assert_eq!(stored.iter().map(|(_, id, _)| *id).collect::<Vec<_>>(), sent, "SEED={seed}: order in {conversation}");
            let told: Vec<_> = batches.iter().flat_map(|batch| batch.told.clone()).collect();
            let is: Vec<_> = stored.iter().map(|(position, _, time)| (*position, time.clone())).collect();
            assert_eq!(is, told, "SEED={seed}: what was answered and what is stored in {conversation}");
            let positions: Vec<_> = stored.iter().map(|(position, ..)| *position).collect();
            let messages = i64::try_from(stored.len()).unwrap();
            assert_eq!(positions, (1..=messages).collect::<Vec<_>>(), "SEED={seed}: a position is left out in {conversation}");
            let times: BTreeSet<_> = stored.iter().map(|(.., time)| time).collect();
            assert_eq!(times.len(), batches.len(), "SEED={seed}: a time for each batch of {conversation}");
            // A version for each batch and for each move, and each answer told its own.
            let [on_line, kept, next, version]: [i64; 4] = [1, 2, 3, 4].map(|column| row.get(column));
            assert_eq!((on_line + kept, next), (messages, messages + 1), "SEED={seed}: {conversation}");
            let versions: Vec<i64> = batches.iter().map(|batch| batch.version).collect();
            assert!(versions.is_sorted_by(|a, b| a < b), "SEED={seed}: versions in {conversation}: {versions:?}");
            let moves = selected.iter().filter(|line| line.conversation == conversation);
            assert!(moves.clone().all(|line| line.version <= version), "SEED={seed}: versions in {conversation}");

            // And the API says the same: each message where its batch wanted it.
            let tree = self.tree(conversation, owners[&conversation], version).await;
            assert_eq!(tree.iter().map(|node| node.id).collect::<Vec<_>>(), sent, "SEED={seed}: {conversation}");
            let mut nodes = tree.iter();
            for batch in &batches {
                let first = nodes.next().unwrap();
                assert!(batch.parent.is_none() || first.parent == batch.parent, "SEED={seed}: the parent in {conversation}");
                let rest = batch.sent.windows(2).map(|pair| (pair[1].0, Some(pair[0].0)));
                assert!(
                    rest.eq(nodes.by_ref().take(batch.sent.len() - 1).map(|node| (node.id, node.parent))),
                    "SEED={seed}: a batch"
                );
            }
            if !shared.contains(&conversation) {
                // One client wrote it, so the order of its changes is known.
                let moves: Vec<_> = moves.map(|line| (line.version, line.message)).collect();
                let (end, changes) = replay(&batches, &moves, &tree);
                assert_eq!(version, 1 + changes, "SEED={seed}: a version for each change of {conversation}");
                assert_eq!(tree.iter().rev().find(|node| node.on_line).map(|node| node.id), end, "SEED={seed}: {conversation}");
            }
            // The line is a path.
            let line: Vec<&Node> = tree.iter().filter(|node| node.on_line).collect();
            assert_eq!(i64::try_from(line.len()).unwrap(), on_line, "SEED={seed}: {conversation}");
            assert!(line.first().is_none_or(|first| first.parent.is_none()), "SEED={seed}: {conversation}");
            assert!(line.windows(2).all(|pair| pair[1].parent == Some(pair[0].id)), "SEED={seed}: the line of {conversation}");
            let one = self.app.get(&format!("/conversations/{conversation}")).by(owners[&conversation]).expect(200).await;
            assert_eq!((one.json()["message_count"].as_i64(), &*one.headers["etag"]), (Some(on_line), &*format!("\"{version}\"")));
            assert_eq!(one.json()["kept_count"].as_i64(), Some(kept), "SEED={seed}: {conversation}");
        }
        assert!(stored.is_empty(), "SEED={seed}: messages without a conversation");
        acknowledged.iter().map(|batch| batch.sent.len()).sum()
    }

    /// All messages of a conversation with their places in the tree, page by page.
    async fn tree(&self, conversation: Uuid, owner: &str, version: i64) -> Vec<Node> {
        let id = |value: &Value| value.as_str().map(|text| text.parse().unwrap());
        let mut tree = Vec::new();
        let mut path = Some(format!("/conversations/{conversation}/messages?all=true&limit=1000"));
        while let Some(page) = path {
            let answer = self.app.get(&page).by(owner).expect(200).await;
            assert_eq!(answer.headers["etag"], format!("\"{version}\""));
            let node = |message: &Value| Node {
                id: id(&message["id"]).unwrap(),
                parent: id(&message["parent_id"]),
                on_line: message["on_line"].as_bool().unwrap(),
            };
            tree.extend(answer.array().iter().map(node));
            path = answer.next().map(str::to_owned);
        }
        tree
    }
}

/// A message in the tree.
struct Node {
    id: Uuid,
    parent: Option<Uuid>,
    on_line: bool,
}

/// Does what one client did, in the order of the versions. Where the line ends then, and how many versions that made. Asserts that each
/// batch without a parent went to the end of the line.
fn replay(batches: &[&Acknowledged], moves: &[(i64, Uuid)], tree: &[Node]) -> (Option<Uuid>, i64) {
    let parents: BTreeMap<Uuid, Option<Uuid>> = tree.iter().map(|node| (node.id, node.parent)).collect();
    // A move that changes nothing has the version of the change before it.
    let mut changes: Vec<(i64, bool, usize)> = batches.iter().enumerate().map(|(n, batch)| (batch.version, false, n)).collect();
    changes.extend(moves.iter().enumerate().map(|(n, (version, _))| (*version, true, n)));
    changes.sort_unstable();
    let (mut end, mut count) = (None, 0);
    for (version, is_move, n) in changes {
        let new = if is_move { moves[n].1 } else { batches[n].sent.last().unwrap().0 };
        if !is_move {
            assert!(batches[n].parent.is_some() || parents[&batches[n].sent[0].0] == end, "a batch goes to the end of the line");
        }
        if end != Some(new) {
            count += 1;
        }
        assert_eq!(version, 1 + count, "a version for each change");
        end = Some(new);
    }
    (end, count)
}
