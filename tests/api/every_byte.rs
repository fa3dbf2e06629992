//! Every endpoint, with the connection cut after each byte of the request and of its reply. The caller gets a success. Where no other
//! connection can be made, the caller gets a problem in time. Then the database holds either the state before the request or the state
//! after it, and a retry succeeds. Connections are also cut while they are made.
//!
//! `cargo test` tries some of the bytes. All of them: `cargo test -p tests every_byte -- --ignored --nocapture`

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::support::proxy::{Fault, Plan, Proxy, Way};
use crate::support::{Answer, App, Call};

/// What a request may take when everything that it tries is cut.
const IN_TIME: Duration = Duration::from_secs(5);

/// The time-out of a function that finds no other connection. It would look for one until then.
const SHORT: Duration = Duration::from_millis(750);

#[tokio::test]
async fn a_request_is_done_once_whichever_byte_is_the_last_that_passes() {
    sweep(509).await;
}

#[tokio::test]
#[ignore = "minutes: cargo test -p tests every_byte -- --ignored --nocapture"]
async fn every_byte_of_each_request() {
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

/// A request in one of its uses.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    First,
    Create,
    Append,
    Replace,
    Branch,
    SelectLine,
    Turn,
    Update,
    Edit,
    Grow,
    Finish,
    Summarize,
    Forget,
    Fork,
    DeleteMessage,
    Rewind,
    Delete,
    Transfer,
    Import,
    Erase,
    Conversation,
    Summary,
    Message,
    History,
    Context,
    List,
    Search,
    Export,
}

impl Operation {
    /// Each endpoint is among them, which `sweep` asserts.
    const ALL: [Self; 28] = [
        Self::First,
        Self::Create,
        Self::Append,
        Self::Replace,
        Self::Branch,
        Self::SelectLine,
        Self::Turn,
        Self::Update,
        Self::Edit,
        Self::Grow,
        Self::Finish,
        Self::Summarize,
        Self::Forget,
        Self::Fork,
        Self::DeleteMessage,
        Self::Rewind,
        Self::Delete,
        Self::Transfer,
        Self::Import,
        Self::Erase,
        Self::Conversation,
        Self::Summary,
        Self::Message,
        Self::History,
        Self::Context,
        Self::List,
        Self::Search,
        Self::Export,
    ];

    fn reads(self) -> bool {
        [Self::Conversation, Self::Summary, Self::Message, Self::History, Self::Context, Self::List, Self::Search, Self::Export]
            .contains(&self)
    }

    /// Whether it finds two summaries.
    fn finds_summaries(self) -> bool {
        [Self::Forget, Self::Summary].contains(&self)
    }

    /// Whether it finds three messages.
    fn finds(self) -> bool {
        ![Self::First, Self::Create, Self::Turn, Self::Import].contains(&self)
    }
}

/// One of the operations, on things that were made for it alone.
struct Attempt<'a> {
    operation: Operation,
    user: String,
    conversation: Uuid,
    /// The id of a fork.
    copy: Uuid,
    call: Call<'a>,
}

/// What is stored, with other ids and no times.
#[derive(Clone, Debug, PartialEq)]
struct State {
    rows: Vec<String>,
    versions: i64,
}

impl<'a> Attempt<'a> {
    async fn prepare(app: &'a App, superuser: &Client, operation: Operation) -> Self {
        let (conversation, copy) = (Uuid::now_v7(), Uuid::now_v7());
        let user = format!("user-{conversation}");
        let path = format!("/conversations/{conversation}");
        let messages = format!("{path}/messages");
        let last = format!("{messages}/{copy}");
        if operation.finds() {
            // As an append of three leaves it. The newest is a reply that is being written.
            let fill = format!(
                "insert into conversations (id, user_id, message_count, next_position, version, characters_appended, tokens_appended)
                values ('{conversation}', '{user}', 3, 4, 2, 3, 15);
                insert into messages (
                    conversation_id, position, id, role, content, in_progress, size, characters, characters_before, tokens_before,
                    owner_key, appended_version, created_at, updated_at
                )
                select '{conversation}', n, case n when 3 then '{copy}'::uuid else gen_random_uuid() end, 'user', 'x',
                    case n when 3 then true end, 3, 1, n - 1, 5 * (n - 1), owner_key('{user}'), 2, now(), now()
                from generate_series(1, 3) n"
            );
            superuser.batch_execute(&fill).await.unwrap();
        }
        if operation.finds_summaries() {
            let fill = format!(
                "insert into summaries (conversation_id, through, content, messages, created_at)
                select '{conversation}', n, 'up to ' || n, n, now() from generate_series(1, 2) n;
                update conversations set summary_through = 2, summary_created_at = now() where id = '{conversation}'"
            );
            superuser.batch_execute(&fill).await.unwrap();
        }
        let message = |n| json!({"id": Uuid::now_v7(), "role": "user", "content": format!("message {n}")});
        let of_user = format!("/users/{user}");
        let call = match operation {
            Operation::First => app.post("/conversations").json(&json!({"title": "Rain in Oslo"})),
            Operation::Create => app.post("/conversations").json(&json!({"id": conversation, "title": "Rain in Oslo"})),
            Operation::Append => app.post(&messages).json(&json!({"messages": [message(1), message(2)]})),
            Operation::Replace => app.post(&messages).json(&json!({"messages": [message(1), message(2)], "from": 2})),
            // All messages leave the line.
            Operation::Branch => app.post(&messages).json(&json!({"messages": [message(1), message(2)], "parent_id": null})),
            Operation::SelectLine => app.put(&format!("{path}/line")).json(&json!({"message_id": null})),
            Operation::Turn => {
                let turn =
                    json!({"messages": [message(1), message(2)], "reply_id": copy, "conversation": {"title": "Rain in Oslo"}});
                app.post(&format!("{path}/turn")).json(&turn).by_service()
            }
            Operation::Update => app.patch(&path).json(&json!({"title": "Rain in Oslo", "metadata": {"a": 1}, "archived": true})),
            Operation::Edit => app.patch(&last).json(&json!({"content": "edited", "metadata": {"a": 1}})),
            Operation::Grow => app.patch(&last).json(&json!({"append": "yz", "at": 1})),
            Operation::Finish => app.patch(&last).json(&json!({"status": "complete"})),
            Operation::Summarize => app.put(&format!("{path}/summary")).json(&json!({"through": 2, "content": "short"})),
            // With a key: a second request of its own would delete the other summary.
            Operation::Forget => app.delete(&format!("{path}/summary")).header("idempotency-key", copy.to_string()),
            Operation::Fork => app.post(&format!("{path}/fork")).json(&json!({"id": copy, "through": 2})),
            Operation::DeleteMessage => app.delete(&last),
            Operation::Rewind => app.delete(&format!("{messages}?from=2")),
            Operation::Delete => app.delete(&path),
            Operation::Transfer => app.post(&format!("{of_user}/transfer")).json(&json!({"to": format!("to-{user}")})),
            Operation::Import => {
                let time = "2026-11-22T10:00:00.123456Z";
                let made = json!({"id": conversation, "metadata": {}, "created_at": time, "updated_at": time});
                let line = json!({"conversation": made, "summaries": [], "next_position": 1}).to_string();
                app.post(&format!("{of_user}/import")).header("content-type", "application/x-ndjson").body(line)
            }
            Operation::Erase => app.delete(&of_user),
            Operation::Conversation => app.get(&path),
            Operation::Summary => app.get(&format!("{path}/summary")),
            Operation::Message => app.get(&format!("{last}?skip=1")),
            Operation::History => app.get(&messages),
            Operation::Context => app.get(&format!("{path}/context")),
            Operation::List => app.get(&format!("{of_user}/conversations")),
            Operation::Search => app.get(&format!("{of_user}/search?q=x")),
            Operation::Export => app.get(&format!("{of_user}/export")),
        };
        let by_service = [Operation::Transfer, Operation::Import].contains(&operation);
        let call = if by_service { call.by_service() } else { call.by(&user) };
        Self { operation, user, conversation, copy, call }
    }

    async fn state(&self, superuser: &Client) -> State {
        let rows = "
            select row(c.id = $1, c.user_id = $3, c.title, c.metadata, c.message_count, c.kept_count, c.next_position,
                c.archived_at is null, c.summary_through, c.forked_position)::text, c.version
            from conversations c
            where c.user_id in ($3, 'to-' || $3)
            union all
            select row(m.conversation_id = $1, m.position, m.content, m.in_progress, m.metadata, m.owner_key = owner_key($3))::text, 0
            from messages m
            where m.conversation_id in ($1, $2)
            union all
            select row(k.conversation_id = $1, k.position, k.parent_position, k.content, k.in_progress)::text, 0
            from kept_messages k
            where k.conversation_id in ($1, $2)
            union all
            select row(s.conversation_id = $1, s.through, s.content)::text, 0 from summaries s where s.conversation_id in ($1, $2)
            union all
            select 'erased', 0 from erased_conversations e where e.user_id = $3
            order by 1";
        let ids = [(&self.conversation as _, Type::UUID), (&self.copy as _, Type::UUID), (&self.user as _, Type::TEXT)];
        let rows = superuser.query_typed(rows, &ids).await.unwrap();
        State { rows: rows.iter().map(|row| row.get(0)).collect(), versions: rows.iter().map(|row| row.get::<_, i64>(1)).sum() }
    }

    fn succeeded(&self, answer: &Answer) -> bool {
        let json = || answer.json();
        match self.operation {
            Operation::First | Operation::Create => [200, 201].contains(&answer.status) && json()["title"] == "Rain in Oslo",
            Operation::Append | Operation::Replace | Operation::Branch => {
                [200, 201].contains(&answer.status) && json()[1]["position"] == 5
            }
            Operation::SelectLine => answer.status == 200 && json()["kept_count"] == 3,
            Operation::Turn => {
                let (turn, sent) = (json(), json()["context"]["messages"].as_array().map(Vec::len));
                [200, 201].contains(&answer.status)
                    && turn["reply"]["position"] == 3
                    && turn["conversation"]["message_count"] == 3
                    && sent == Some(2)
            }
            Operation::Update => answer.status == 200 && json()["title"] == "Rain in Oslo" && json()["metadata"] == json!({"a": 1}),
            Operation::Edit => answer.status == 200 && json()["content"] == "edited",
            Operation::Grow => answer.status == 200 && json()["content"] == "xyz",
            Operation::Finish => answer.status == 200 && json()["status"] == "complete",
            Operation::Summarize => answer.status == 200 && json()["summary"]["through"] == 2,
            Operation::Fork => [200, 201].contains(&answer.status) && json()["message_count"] == 2,
            Operation::Rewind => answer.status == 200 && json() == json!({"deleted": 2}),
            Operation::DeleteMessage | Operation::Forget | Operation::Delete => answer.status == 204,
            // What they have counted may be missing the part whose answer was lost.
            Operation::Transfer | Operation::Import | Operation::Erase => answer.status == 200,
            Operation::Conversation => answer.status == 200 && json()["message_count"] == 3,
            Operation::Summary => answer.status == 200 && json()["content"] == "up to 2",
            Operation::Message => answer.status == 200 && json()["content"] == "",
            Operation::History | Operation::Search => answer.status == 200 && answer.array().len() == 3,
            Operation::Context => answer.status == 200 && json()["messages"].as_array().map(Vec::len) == Some(2),
            Operation::List => answer.status == 200 && answer.array().len() == 1,
            Operation::Export => answer.status == 200 && answer.body.lines().count() == 4,
        }
    }

    /// What a second request may be told of a first that may have been done, although nobody heard of it.
    fn succeeded_before(&self, answer: &Answer) -> bool {
        self.succeeded(answer)
            || match self.operation {
                Operation::Rewind => answer.status == 200 && answer.json() == json!({"deleted": 0}),
                Operation::DeleteMessage | Operation::Delete => answer.status == 404,
                _ => false,
            }
    }

    /// What a second request may leave. An edit that is made again is another version.
    fn is_done_again(&self, state: &State, result: &State) -> bool {
        let edits = [Operation::Update, Operation::Edit].contains(&self.operation);
        state.rows == result.rows && (state.versions == result.versions || edits && state.versions == result.versions + 1)
    }
}

async fn sweep(stride: usize) {
    let mut app = App::start().await;
    let proxy = Proxy::start().await;
    app.set("DATABASE_URL", &proxy.url(&app));
    let superuser = app.superuser().await;
    let (mut cuts, mut refused, mut done_unheard) = (0, 0, 0);
    let mut called = BTreeSet::new();
    for operation in Operation::ALL {
        let reference = Attempt::prepare(&app, &superuser, operation).await;
        called.insert(reference.call.event().0);
        let initial = reference.state(&superuser).await;
        let answer = reference.call.clone().send().await;
        assert!(reference.succeeded(&answer), "{operation:?}: {answer:?}");
        let result = reference.state(&superuser).await;
        assert_eq!(operation.reads(), initial == result, "{operation:?}: {result:?}");
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
                assert_eq!(attempt.state(&superuser).await, result, "{what}");
                cuts += 1;

                let attempt = Attempt::prepare(&app, &superuser, operation).await;
                proxy.arm(Plan { way, after, fault });
                proxy.refuse(true);
                let (function, event) = attempt.call.event();
                let answer = app.function(function).invoke_within(SHORT, event.to_string()).await.unwrap();
                let answer = Answer::read(&answer);
                let what = format!("{operation:?}, {after} bytes {way:?}, and no other connection: {answer:?}");
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
                assert!([&initial, &result].contains(&&state), "{what}: {state:?}");
                let again = attempt.call.clone().send().await;
                let done = state == result && !operation.reads();
                done_unheard += usize::from(done && answer.status == 500);
                assert!(attempt.succeeded_before(&again), "{what}; then {again:?}");
                let state = attempt.state(&superuser).await;
                assert!(attempt.is_done_again(&state, &result), "{what}; then {again:?}: {state:?}");
                cuts += 1;
            }
            println!("{operation:?} {way:?}: {bytes} bytes");
            assert!(bytes > 20, "{operation:?} {way:?}: {bytes} bytes");
        }
    }
    assert_eq!(called, local::project::functions(), "`Operation` has a request to every function");
    println!("{cuts} cuts; {refused} times a 500 where no other connection was to be had, {done_unheard} of them of what was done");
}

impl Attempt<'_> {
    /// The state, when no statement runs any more.
    async fn settled(&self, superuser: &Client) -> State {
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
