//! An append, a creation, a rewind and a deletion, with the connection cut after each byte of the request and of its reply. The caller
//! gets a success. Where no other connection can be made, the caller gets a problem in time. Then the database holds either the state
//! before the request or the state after it, and a retry succeeds. Connections are also cut while they are made.
//!
//! `cargo test` tries some of the bytes. All of them: `cargo test -p tests every_byte -- --ignored --nocapture`

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::support::proxy::{Fault, Plan, Proxy, Way};
use crate::support::{Answer, App, Call};

/// What a request may take when everything that it tries is cut.
const IN_TIME: Duration = Duration::from_secs(5);
const OPERATIONS: [Operation; 4] = [Operation::Append, Operation::Create, Operation::Rewind, Operation::Delete];

#[tokio::test]
async fn a_write_is_done_once_whichever_byte_is_the_last_that_passes() {
    sweep(211).await;
}

#[tokio::test]
#[ignore = "minutes: cargo test -p tests every_byte -- --ignored --nocapture"]
async fn every_byte_of_each_write() {
    sweep(1).await;
}

#[tokio::test]
async fn a_connection_that_is_cut_while_it_is_made_costs_an_error_at_most() {
    connects(487).await;
}

#[tokio::test]
#[ignore = "a minute: cargo test -p tests every_byte -- --ignored --nocapture"]
async fn every_byte_of_a_connection_in_the_making() {
    connects(1).await;
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Append,
    Create,
    Rewind,
    Delete,
}

/// One of the operations, on things that were made for it alone.
struct Attempt<'a> {
    operation: Operation,
    conversation: Uuid,
    call: Call<'a>,
}

impl<'a> Attempt<'a> {
    async fn prepare(app: &'a App, superuser: &Client, operation: Operation) -> Self {
        let conversation = Uuid::now_v7();
        let path = format!("/conversations/{conversation}");
        let messages = format!("{path}/messages");
        if !matches!(operation, Operation::Create) {
            // As an append of three leaves it.
            let fill = format!(
                "insert into conversations (id, user_id, message_count, next_position, version) values ('{conversation}', 'ada', 3, 4, 2);
                insert into messages (conversation_id, position, id, role, content, created_at, updated_at)
                select '{conversation}', n, gen_random_uuid(), 'user', 'x', now(), now() from generate_series(1, 3) n"
            );
            superuser.batch_execute(&fill).await.unwrap();
        }
        let call = match operation {
            Operation::Append => {
                let message = |n| json!({"id": Uuid::now_v7(), "role": "user", "content": format!("message {n}")});
                app.post(&messages).json(&json!({"messages": [message(1), message(2)]}))
            }
            Operation::Create => app.post("/conversations").json(&json!({"id": conversation, "title": "Rain in Oslo"})),
            Operation::Rewind => app.delete(&format!("{messages}?from=2")),
            Operation::Delete => app.delete(&path),
        };
        Self { operation, conversation, call }
    }

    /// Messages that are there, that are counted, the next position and the version; nothing, if there is no conversation.
    async fn state(&self, superuser: &Client) -> Option<[i64; 4]> {
        let state = "select (select count(*) from messages where conversation_id = $1), message_count, next_position, version
            from conversations where id = $1";
        let rows = superuser.query_typed(state, &[(&self.conversation, Type::UUID)]).await.unwrap();
        rows.first().map(|row| [row.get(0), row.get(1), row.get(2), row.get(3)])
    }

    fn before(&self) -> Option<[i64; 4]> {
        (!matches!(self.operation, Operation::Create)).then_some([3, 3, 4, 2])
    }

    fn after(&self) -> Option<[i64; 4]> {
        match self.operation {
            Operation::Append => Some([5, 5, 6, 3]),
            Operation::Create => Some([0, 0, 1, 1]),
            Operation::Rewind => Some([1, 1, 4, 3]),
            Operation::Delete => None,
        }
    }

    fn succeeded(&self, answer: &Answer) -> bool {
        match self.operation {
            Operation::Append => [200, 201].contains(&answer.status) && answer.array()[1]["position"] == 5,
            Operation::Create => [200, 201].contains(&answer.status) && answer.json()["title"] == "Rain in Oslo",
            Operation::Rewind => answer.status == 200 && answer.json() == json!({"deleted": 2}),
            Operation::Delete => answer.status == 204,
        }
    }

    /// What a second request may be told of a first that may have been done, although nobody heard of it.
    fn succeeded_before(&self, answer: &Answer) -> bool {
        match self.operation {
            Operation::Append | Operation::Create => self.succeeded(answer),
            Operation::Rewind => answer.status == 200 && [json!({"deleted": 2}), json!({"deleted": 0})].contains(&answer.json()),
            Operation::Delete => [204, 404].contains(&answer.status),
        }
    }
}

async fn sweep(stride: usize) {
    let mut app = App::start().await;
    let proxy = Proxy::start().await;
    app.set("DATABASE_URL", &proxy.url(&app));
    let superuser = app.superuser().await;
    let (mut cuts, mut refused, mut done_unheard) = (0, 0, 0);
    for operation in OPERATIONS {
        for way in [Way::ToServer, Way::ToClient] {
            let mut bytes = 0;
            for after in (0..).step_by(stride) {
                let fault = if after % 2 == 0 { Fault::Reset } else { Fault::HalfClose };
                // Warm, and then cut: first with another connection to be had, then without.
                let warm = Attempt::prepare(&app, &superuser, operation).await;
                assert!(warm.succeeded(&warm.call.clone().send().await));
                let attempt = Attempt::prepare(&app, &superuser, operation).await;
                proxy.arm(Plan { way, after, fault });
                let answer = attempt.call.clone().send().await;
                if proxy.disarm() {
                    // Nothing happened: there were not so many bytes.
                    bytes = after;
                    assert!(attempt.succeeded(&answer));
                    break;
                }
                let what = format!("{operation:?}, {after} bytes {way:?}: {answer:?}");
                assert!(attempt.succeeded(&answer), "{what}");
                assert_eq!(attempt.state(&superuser).await, attempt.after(), "{what}");
                cuts += 1;

                let attempt = Attempt::prepare(&app, &superuser, operation).await;
                proxy.arm(Plan { way, after, fault });
                proxy.refuse(true);
                let started = Instant::now();
                let answer = attempt.call.clone().send().await;
                let what = format!("{operation:?}, {after} bytes {way:?}, and no other connection: {answer:?}");
                assert!(started.elapsed() < IN_TIME, "{what}: {:?}", started.elapsed());
                proxy.disarm();
                proxy.refuse(false);
                if answer.status == 500 {
                    assert_eq!(answer.json()["code"], "database_error", "{what}");
                    refused += 1;
                } else {
                    // All of the reply had passed.
                    assert!(attempt.succeeded(&answer), "{what}");
                }
                let state = attempt.settled(&superuser).await;
                assert!([attempt.before(), attempt.after()].contains(&state), "{what}: {state:?}");
                let again = attempt.call.clone().send().await;
                let done = state == attempt.after();
                done_unheard += usize::from(done && answer.status == 500);
                assert!(attempt.succeeded_before(&again), "{what}; then {again:?}");
                assert_eq!(attempt.state(&superuser).await, attempt.after(), "{what}; then {again:?}");
                cuts += 1;
            }
            println!("{operation:?} {way:?}: {bytes} bytes");
            assert!(bytes > 20, "{operation:?} {way:?}: {bytes} bytes");
        }
    }
    println!("{cuts} cuts; {refused} times a 500 where no other connection was to be had, {done_unheard} of them of what was done");
}

impl Attempt<'_> {
    /// The state, when no statement runs any more.
    async fn settled(&self, superuser: &Client) -> Option<[i64; 4]> {
        let running = "select from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend' and state = 'active'";
        while !superuser.query_typed(running, &[]).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.state(superuser).await
    }
}

/// The idle connection is gone, and the one that replaces it is cut while it is made, or in its first statement.
async fn connects(stride: usize) {
    let mut app = App::start().await;
    let proxy = Proxy::start().await;
    app.set("DATABASE_URL", &proxy.url(&app));
    let conversation = app.conversation().await;
    let path = format!("/conversations/{conversation}/messages");
    let message = |id: Uuid| app.post(&path).json(&json!({"id": id, "role": "user", "content": "hello"}));
    let (mut stored, mut refused, mut bytes) = (0, 0, Value::Null);
    for way in [Way::ToServer, Way::ToClient] {
        for after in (0..).step_by(stride) {
            stored += 1;
            let id = Uuid::now_v7();
            proxy.reset_all();
            proxy.arm(Plan { way, after, fault: if after % 2 == 0 { Fault::Reset } else { Fault::HalfClose } });
            let started = Instant::now();
            let answer = message(id).send().await;
            assert!(started.elapsed() < IN_TIME, "{after} bytes {way:?}: {:?}", started.elapsed());
            let happened = !proxy.disarm();
            if answer.status == 500 {
                assert_eq!(answer.json()["code"], "database_error");
                refused += 1;
            }
            let again = if answer.status == 500 { message(id).send().await } else { answer };
            assert_eq!(again.json()["position"], stored, "{after} bytes {way:?}: {again:?}");
            if !happened {
                bytes[format!("{way:?}")] = json!(after);
                break;
            }
        }
    }
    println!("connecting and one append: {bytes} bytes; {stored} connections cut, {refused} times a 500");
    let read = app.get(&path).expect(200).await;
    assert_eq!((read.array().len(), &*read.headers["etag"]), (stored, &*format!("\"{}\"", stored + 1)));
}
