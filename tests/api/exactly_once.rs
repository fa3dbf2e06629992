//! A message that was acknowledged is stored exactly once, in order, whatever happened meanwhile.
//!
//! Eight processes append batches to shared and to private conversations, through a proxy that cuts, delays and swallows. Meanwhile
//! sessions are ended, and processes are killed and frozen. In the long run the server also crashes and restarts. Clients retry with
//! the same ids until they have an answer. Then everything is read, by SQL and through the API. A seed fixes what is sent, and which
//! fault meets which connection at which byte. It cannot fix when the processes are scheduled.
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
use crate::support::{Answer, App, Function, OwnServer, signal, start_function, terminate_sessions};

const PROCESSES: usize = 8;
const CLIENTS: usize = 16;
const SHARED: usize = 2;
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

/// One process. It may never answer a request.
struct Lane {
    /// Held by the client that it serves, so that no client waits behind another client's request.
    free: tokio::sync::Mutex<()>,
    function: Mutex<Function>,
    killed: Notify,
}

struct Run {
    app: App,
    seed: u64,
    lanes: Vec<Lane>,
    /// Each conversation with its user: the shared ones, then one for each client.
    conversations: Vec<(String, Uuid)>,
    acknowledged: Mutex<Vec<Acknowledged>>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    batches: AtomicUsize,
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
    /// The version that it made, where the first answer said that it was stored now.
    version: Option<i64>,
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
    let lane = |_| {
        let function = start_function("add-message", 1, app.environment());
        Lane { free: tokio::sync::Mutex::default(), function: Mutex::new(function), killed: Notify::new() }
    };
    let lanes = (0..PROCESSES).map(lane).collect();
    let run = Arc::new(Run { app, seed, lanes, conversations, acknowledged: Mutex::default(), counts: Counts::default() });

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
    let faults = proxy.faults();
    assert!(faults.len() == 4 && faults.values().all(|count| *count > 0), "SEED={seed}: too few faults: {faults:?}");

    let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
    println!(
        "{} batches of {messages} messages acknowledged, in {} requests; {} answers were errors, {} never came, {} were thrown away; \
        faults on the way: {faults:?}; beside it: {blows:?}; {:.0} s",
        count(&run.counts.batches),
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

impl Run {
    /// Sends its share of batches, each until it is acknowledged.
    async fn client(self: Arc<Self>, client: usize, share: usize) {
        let mut rng = Rng::with_seed(self.seed.wrapping_add(1000 + client as u64));
        for batch in 0..share {
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
            let path = format!("/conversations/{conversation}/messages");
            let (_, event) = self.app.post(&path).by(user).json(&json!({"messages": messages})).event();
            let event = event.to_string();
            let answer = self.acknowledged(&event, &mut rng).await;
            let told = answer.array();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let told = told.iter().map(|message| (message["position"].as_i64().unwrap(), text(&message["created_at"]))).collect();
            let version = (answer.status == 201).then(|| answer.headers["etag"].trim_matches('"').parse().unwrap());
            self.acknowledged.lock().unwrap().push(Acknowledged { conversation: *conversation, sent, told, version });
            if self.counts.batches.fetch_add(1, Ordering::SeqCst) % 10_000 == 9999 {
                println!("10,000 more");
            }
        }
    }

    /// The first answer that says that it is stored and that does not get lost.
    async fn acknowledged(&self, event: &str, rng: &mut Rng) -> Answer {
        for _ in 0..300 {
            let lane = &self.lanes[rng.usize(..self.lanes.len())];
            let _ours = lane.free.lock().await;
            let function = lane.function.lock().unwrap().clone();
            self.counts.requests.fetch_add(1, Ordering::SeqCst);
            let answer = tokio::select! {
                answer = function.invoke(event.to_owned()) => Answer::read(&answer.unwrap()),
                () = lane.killed.notified() => {
                    self.counts.unanswered.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
            };
            match answer.status {
                200 | 201 if rng.u8(..20) == 0 => {
                    self.counts.given_up.fetch_add(1, Ordering::SeqCst);
                }
                200 | 201 => return answer,
                500 if answer.json()["code"] == "database_error" => {
                    self.counts.refused.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(rng.u64(10..100))).await;
                }
                _ => panic!("SEED={}: {answer:?}", self.seed),
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
            let process = lane.function.lock().unwrap().process_ids()[0];
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
                    *lane.function.lock().unwrap() = start_function("add-message", 1, self.app.environment());
                    lane.killed.notify_waiters();
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
        let all = format!("select conversation_id, position, id, content, {time} from messages order by conversation_id, position");
        let mut stored: BTreeMap<Uuid, Vec<(i64, Uuid, String)>> = BTreeMap::new();
        for row in superuser.query_typed(&all, &[]).await.unwrap() {
            let (id, content): (Uuid, String) = (row.get(2), row.get(3));
            assert_eq!(expected.remove(&id), Some(&*content), "SEED={seed}: {id} was not sent, or is stored twice");
            stored.entry(row.get(0)).or_default().push((row.get(1), id, row.get(4)));
        }
        assert!(expected.is_empty(), "SEED={seed}: {} acknowledged messages are lost: {:?}", expected.len(), expected.keys());

        acknowledged.sort_by_key(|batch| (batch.conversation, batch.told[0].0));
        let owners: BTreeMap<Uuid, &str> = self.conversations.iter().map(|(user, id)| (*id, user.as_str())).collect();
        let counters = "select id, message_count, next_position, version from conversations";
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
            // A version for each batch, and each answer told its own.
            let version = 1 + i64::try_from(batches.len()).unwrap();
            let counters: [i64; 3] = [row.get(1), row.get(2), row.get(3)];
            assert_eq!(counters, [messages, messages + 1, version], "SEED={seed}: {conversation}");
            for (batch, own) in batches.iter().zip(2..) {
                assert!(batch.version.is_none_or(|version| version == own), "SEED={seed}: a version in {conversation}");
            }

            // And the API says the same.
            let ids = |answer: &Answer| {
                answer.array().iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
            };
            let mut read = Vec::new();
            let mut path = Some(format!("/conversations/{conversation}/messages?limit=1000"));
            while let Some(page) = path {
                let answer = self.app.get(&page).by(owners[&conversation]).expect(200).await;
                assert_eq!(answer.headers["etag"], format!("\"{version}\""));
                read.extend(ids(&answer));
                path = answer.next().map(str::to_owned);
            }
            assert_eq!(read, sent.iter().map(Uuid::to_string).collect::<Vec<_>>(), "SEED={seed}: history of {conversation}");
            let one = self.app.get(&format!("/conversations/{conversation}")).by(owners[&conversation]).expect(200).await;
            assert_eq!((one.json()["message_count"].as_i64(), &*one.headers["etag"]), (Some(messages), &*format!("\"{version}\"")));
        }
        assert!(stored.is_empty(), "SEED={seed}: messages without a conversation");
        acknowledged.iter().map(|batch| batch.sent.len()).sum()
    }
}
