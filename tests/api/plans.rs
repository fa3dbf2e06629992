//! How the database runs every statement, on tables large enough to tell a good plan from a bad one.
//!
//! The plans are those of the real requests: the server's own `auto_explain` logs what it has run, statements of stored functions and of
//! triggers included. What no plan may do is tested on every version of PostgreSQL: to read more rows than a request needs, or to sort or keep
//! more.
//!
//! The shape of each plan is kept in `tests/plans`, one file a function. Versions choose different shapes that are equally good, so the shapes
//! are those of one version, and are compared on that version alone. `WRITE_PLANS=1 cargo test` writes them anew. A changed shape may be as
//! good as the old one, which a reader has to judge.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::{App, Call, database_log, project};

/// The major version of PostgreSQL whose plans are kept in `tests/plans`: the oldest that is supported.
const RECORDED_ON: u32 = local::postgres::OLDEST;
/// The messages of an ordinary conversation.
const ORDINARY: u32 = 20;
/// The messages of ada's longest.
const LONG: u32 = 20_000;
/// The conversations of ada; an ordinary user has ten.
const BUSY: u32 = 1000;
/// The number of ada's longest conversation, which the others of hers follow.
const LONGEST: u32 = 20_001;
/// What may be read beyond what is asked for: the ends of ranges.
const FEW: u32 = 5;
/// How values that the requests name would stand in a plan that was made for them.
const PARAMETERS: [&str; 4] = ["'01936b2e-", "'ada'", "'user-1'", "'user-2'"];
/// How many messages a search reads at most, to find how far it may go. It reads the text of those that it needs, and their conversations.
const SEARCHED: u32 = 10_000;
/// The longest page that can be asked for, and the row that tells that there is more.
const PAGE: u32 = 1001;

/// The statistics are taken of 10,000 conversations of 1000 users. Afterwards a user gets a hundred times as many conversations, and a
/// conversation a thousand times as many messages. So the planner takes them for average ones, as on large tables. With fewer rows it
/// would rightly read a whole table for 500 of its ids.
///
/// Messages lie in the order of their arrival, as where many people write at once. So messages of one conversation lie far apart.
const FILL: &str = "
    create function test_id(p bigint, n bigint) returns uuid language sql immutable
        return ('01936b2e-' || lpad(to_hex(p), 4, '0') || '-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid;
    create procedure fill(user_id text, first bigint, last bigint, longest bigint) language sql as $$
        insert into conversations (id, user_id, message_count, next_position, created_at, updated_at)
        select test_id(0, n), coalesce(user_id, 'user-' || n % 1000), longest, longest + 1, at, at
        from generate_series(first, last) n, lateral (select timestamptz '2026-01-01' + n * interval '1 minute' as at) made;
        insert into messages (conversation_id, position, id, role, content, created_at, updated_at)
        select test_id(0, n), p, test_id(p, n), case when p = 1 then 'system' when p % 2 = 0 then 'user' else 'assistant' end,
            'Is it raining in Oslo?', at, at
        from generate_series(1, longest) p, generate_series(first, case when p <= 20 then last else first end) n,
            lateral (select timestamptz '2026-02-01' + p * interval '1 hour' + n * interval '1 second' as at) sent
    $$;
    alter table conversations set (autovacuum_enabled = off);
    alter table messages set (autovacuum_enabled = off);
    alter table kept_messages set (autovacuum_enabled = off);
    -- Without triggers that look something up for each row.
    set session_replication_role = replica;
    call fill(null, 1, 10000, 20);
    -- One conversation of ten has versions: three of its last message.
    insert into kept_messages (
        conversation_id, position, parent_position, id, role, content, metadata, created_at, updated_at, size, characters
    )
    select test_id(0, n), 20 + p, 19, test_id(20 + p, n), 'user', 'Is it raining in Oslo?', '{}', at, at, 24, 22
    from generate_series(1, 3) p, generate_series(5, 10000, 10) n, (values (timestamptz '2026-03-01')) sent (at);
    update conversations set kept_count = 3, next_position = 24 where id in (select conversation_id from kept_messages);
";

/// A request that is planned in a way of its own.
struct Case<'a> {
    what: &'static str,
    call: Call<'a>,
    /// How many rows it may read from tables and indexes, those that it reads and drops included.
    reads: u32,
    /// How many rows may wait in one sort, hash or intermediate result.
    holds: u32,
}

/// A statement that the server has run: its text, and its plan with what became of it.
struct Run {
    text: String,
    plan: Value,
    compiled: bool,
}

/// The id of the fill's conversation of this number, or of its message at a position.
fn id(position: u32, conversation: u32) -> Uuid {
    format!("01936b2e-{position:04x}-7000-8000-{conversation:012x}").parse().unwrap()
}

/// A conversation of 500 messages, as an export writes it.
fn lines() -> String {
    let (time, conversation) = ("2026-11-22T10:00:00.123456Z", id(LONG + 3, 0));
    let of = json!({"id": conversation, "metadata": {}, "created_at": time, "updated_at": time});
    let mut lines = json!({"conversation": of, "summaries": [], "next_position": 501}).to_string();
    for position in 1..=500 {
        let message = json!({
            "id": id(LONG + 3, position), "conversation_id": conversation, "position": position, "role": "user",
            "content": "Is it raining in Oslo?", "created_at": time, "updated_at": time
        });
        write!(lines, "\n{}", json!({"message": message})).unwrap();
    }
    lines
}

/// Every function's requests, in an order in which each finds what it is about.
async fn cases(app: &App) -> Vec<Case<'_>> {
    let case = |what, call, reads| Case { what, call, reads: reads + FEW, holds: PAGE };
    let (path, other) = (format!("/conversations/{}", id(0, LONGEST)), format!("/conversations/{}", id(0, LONGEST + 1)));
    let (messages, summary) = (format!("{path}/messages"), format!("{path}/summary"));
    let batch: Vec<Value> =
        (0..500).map(|n| json!({"id": id(LONG + 1, n), "role": "user", "content": "Is it raining in Oslo?"})).collect();
    let batch = app.post(&messages).json(&json!({"messages": batch}));
    let replace = json!({"role": "user", "content": "Is it raining in Oslo?", "from": LONG + 499});
    let replace = app.post(&messages).json(&replace);
    let turn = json!({
        "id": id(LONG + 3, 1), "role": "user", "content": "Is it raining in Oslo?", "reply_id": id(LONG + 3, 2),
        "conversation": {"title": "Oslo"}, "context": {"max_messages": 50},
    });
    let fork = app.post(&format!("{other}/fork")).json(&json!({"id": id(LONG + 2, 1), "through": ORDINARY}));
    let lines = app.post("/users/user-5/import").header("content-type", "application/x-ndjson").body(lines()).by_service();
    let page = app.get("/users/ada/conversations?limit=900").expect(200).await;
    let hits = app.get("/users/ada/search?q=oslo&limit=1000").expect(200).await;
    vec![
        case("the user's most recent conversation", app.post("/conversations"), 1),
        case("a new user's first conversation", app.post("/conversations").by("new"), 0),
        case("one more conversation", app.post("/conversations?new=true"), 0),
        case("the conversation of an id", app.post(&format!("/conversations?id={}", id(0, LONGEST))), 1),
        case("a conversation", app.get(&path), 1),
        case("a user's conversations", app.get("/users/ada/conversations?limit=50"), 51),
        case("a user's conversations, far behind", app.get(page.next().unwrap()), BUSY - 900),
        case("a user's conversations, all of them", app.get("/users/ada/conversations"), BUSY),
        case("a user's conversations by activity", app.get("/users/ada/conversations?order=activity&limit=50"), 51),
        case("with their last messages", app.get("/users/ada/conversations?include=last_message&limit=50"), 4 * 51),
        case("by a part of the title", app.get("/users/ada/conversations?title=oslo"), 2 * BUSY),
        case("by metadata and activity", app.get("/users/ada/conversations?order=activity&metadata.a=b"), 2 * BUSY),
        case("those that are not archived", app.get("/users/ada/conversations?archived=false&limit=50"), 2 * 51),
        case("some by their ids", app.get(&format!("/users/ada/conversations?ids={},{}", id(0, LONGEST), id(0, 1))), 3),
        case("the last messages", app.get(&format!("{messages}?last=50")), 2 * 50),
        case("messages from the middle", app.get(&format!("{messages}?after=10000&limit=50")), 52),
        case("messages from the middle, backwards", app.get(&format!("{messages}?before=10000&limit=50&order=desc")), 52),
        case("messages that the caller has", app.get(&messages).header("if-none-match", "\"1\""), 1),
        case("all messages", app.get(&messages), LONG + 1),
        case("all messages, backwards", app.get(&format!("{messages}?order=desc")), LONG + 1),
        case("a context of few messages", app.get(&format!("{path}/context?max_messages=50")), 2 * 50 + 5),
        case("a context of few characters", app.get(&format!("{path}/context?max_chars=2000")), 2 * 100 + 5),
        case("a context of few tokens", app.get(&format!("{path}/context?max_tokens=1000")), 2 * 100 + 5),
        case("a context as long as can be", app.get(&format!("{path}/context")), 2 * LONG + 105),
        case("a turn", app.post(&format!("/conversations/{}/turn", id(0, LONGEST + 1))).json(&turn), 2 * 50 + 25),
        case("the same turn again", app.post(&format!("/conversations/{}/turn", id(0, LONGEST + 1))).json(&turn), 2 * 50 + 25),
        case("a summary", app.put(&summary).json(&json!({"through": LONG - 200, "content": "It rains."})), 10),
        case("the same summary", app.put(&summary).json(&json!({"through": LONG - 200, "content": "It rains."})), 10),
        case("the newest summary", app.get(&summary), 2),
        case("a summary that the caller has", app.get(&summary).header("if-none-match", "*"), 2),
        case("a context with a summary", app.get(&format!("{path}/context?max_messages=50")), 2 * 50 + 6),
        case("a conversation with a summary", app.get(&path), 1),
        case("conversations with summaries", app.get("/users/ada/conversations?limit=50"), 51),
        case("a summary deleted", app.delete(&summary), 6),
        case("the newest hits of a search", app.get("/users/ada/search?q=raining%20-snow&limit=20"), SEARCHED + 3 * 22),
        Case { holds: PAGE + 1, ..case("the hits behind", app.get(hits.next().unwrap()), SEARCHED + 4 * PAGE) },
        case("a fork", fork.clone(), 2 * ORDINARY + 10),
        case("the same fork again", fork, 3),
        Case {
            holds: 5000,
            ..case("a fork of a long conversation", app.post(&format!("{path}/fork?through=5000")), 2 * 5000 + 10)
        },
        case("another title and metadata", app.patch(&other).json(&json!({"title": "Oslo", "metadata": {"x": 1}})), 3),
        case("another content", app.patch(&format!("{messages}/{}", id(LONG, LONGEST))).json(&json!({"content": "Bergen?"})), 6),
        case("a message of the middle", app.get(&format!("{messages}/{}", id(10_000, LONGEST))), 2),
        case(
            "a message that the caller has",
            app.get(&format!("{messages}/{}", id(10_000, LONGEST))).header("if-none-match", "*"),
            2,
        ),
        case("a message", app.post(&messages).json(&json!({"role": "user", "content": "Is it raining in Oslo?"})), 4),
        case("500 messages", batch.clone(), 2 * 500 + 3),
        case("500 messages again", batch, 2 * 500 + 1),
        case("messages that replace the last ones", replace, 2 * 3 + 10),
        case("a message deleted", app.delete(&format!("{messages}/{}", id(9_000, LONGEST))), 5),
        case("the last message taken back", app.delete(&format!("{messages}?from={}", LONG + 501)), 3),
        Case { holds: LONG + 500, ..case("all messages taken back", app.delete(&format!("{messages}?from=1")), LONG + 500 + 2) },
        case("a conversation and its messages", app.delete(&other), ORDINARY + 2),
        case(
            "an ordinary user's conversations for another",
            app.post("/users/user-2/transfer?to=user-3").by_service(),
            10 * (ORDINARY + 9),
        ),
        case("an ordinary user's export", app.get("/users/user-4/export").by("user-4"), 10 * (3 + 2 * ORDINARY)),
        Case {
            holds: BUSY + 5,
            ..case("a page of a busy user's export", app.get("/users/ada/export"), BUSY + 3 * BUSY + 2 * 12_000)
        },
        case("lines of an export", lines.clone(), 3 * 500 + 10),
        case("the same lines again", lines, 7 * 500 + 10),
        case("an ordinary user's everything", app.delete("/users/user-1").by("user-1"), 10 * (ORDINARY + 9)),
    ]
}

/// The requests of a conversation with versions.
fn cases_of_versions(app: &App) -> Vec<Case<'_>> {
    let case = |what, call, reads| Case { what, call, reads: reads + FEW, holds: PAGE };
    // A conversation of 20 messages. Ten of them leave the line when one is stored behind the tenth, and come back.
    let (branched, behind) = (format!("/conversations/{}", id(0, LONGEST + 3)), id(ORDINARY / 2, LONGEST + 3));
    let line = format!("{branched}/line");
    let (newest, version) = (id(ORDINARY, LONGEST + 3), id(LONG + 4, 1));
    let other_version = json!({"id": version, "role": "user", "content": "Is it raining in Oslo?", "parent_id": behind});
    let other_version = app.post(&format!("{branched}/messages")).json(&other_version);
    let of_line = format!("line={version}");
    vec![
        case("a version of a message", other_version.clone(), 2 * 10 + 8),
        case("the same version again", other_version, 8),
        case("the line of before", app.put(&line).json(&json!({"message_id": newest})), 2 * 11 + 8),
        case("the line that it is", app.put(&line).json(&json!({"message_id": newest})), 8),
        case("the newest line", app.put(&line).json(&json!({"message_id": behind, "newest": true})), 2 * 11 + 20),
        case("messages with versions", app.get(&format!("{branched}/messages?include=versions&last=5")), 5 * 5 + 10),
        case("messages of a line", app.get(&format!("{branched}/messages?line={newest}&last=15")), 2 * 15 + 20),
        case("all messages, kept or not", app.get(&format!("{branched}/messages?all=true&limit=15")), 5 * 15 + 10),
        case("all messages, backwards", app.get(&format!("{branched}/messages?all=true&limit=15&order=desc")), 5 * 15 + 10),
        case("a kept message", app.get(&format!("{branched}/messages/{newest}")), 4),
        case("a message with its versions", app.get(&format!("{branched}/messages/{version}?include=versions")), 8),
        case("a context of another line", app.get(&format!("{branched}/context?max_messages=5&line={newest}")), 2 * 5 + 40),
        case("a context of the line", app.get(&format!("{branched}/context?max_messages=5&{of_line}")), 2 * 5 + 6 * 10),
        case(
            "another content of a kept message",
            app.patch(&format!("{branched}/messages/{newest}")).json(&json!({"content": "Bergen?"})),
            20,
        ),
        case("a kept message deleted", app.delete(&format!("{branched}/messages/{newest}")), 12),
        case("messages taken back with what is kept below", app.delete(&format!("{branched}/messages?from=2")), 4 * 20 + 10),
    ]
}

#[tokio::test]
async fn every_statement_has_the_plan_that_is_meant_for_it() {
    let mut app = App::start().await;
    app.set("RETENTION_DAYS", "36500");
    let superuser = app.superuser().await;
    let version = "select current_setting('server_version_num')::oid";
    let version = superuser.query_typed(version, &[]).await.unwrap()[0].get::<_, u32>(0) / 10_000;
    let write = std::env::var_os("WRITE_PLANS").is_some();
    assert!(!write || version == RECORDED_ON, "plans are recorded on PostgreSQL {RECORDED_ON}, and this is {version}: set PG_BIN");
    fill(&superuser).await;
    explain_everything(&app, &superuser).await;

    let mut files = BTreeMap::<&str, String>::new();
    let mut faults = Vec::new();
    for Case { what, call, reads, holds } in cases(&app).await.into_iter().chain(cases_of_versions(&app)) {
        let (function, _) = call.event();
        let before = database_log().len();
        let answer = call.send().await;
        let runs = runs(&database_log()[before..]);
        if answer.status >= 400 || runs.is_empty() {
            faults.push(format!("{function}, {what}: {} plans, and {}", runs.len(), answer.body));
            continue;
        }
        let file = files.entry(function).or_default();
        let separator = if file.is_empty() { "" } else { "\n" };
        write!(file, "{separator}{what}\n{}", shapes(&runs).concat()).unwrap();
        faults.extend(judge(&runs, reads, holds).into_iter().map(|fault| format!("{function}, {what}: {fault}")));
    }

    // The purge has no request. In two steps it looks at all conversations.
    let expire = format!("update conversations set expires_at = now() where id in ('{}', '{}')", id(0, 3), id(0, 4));
    superuser.batch_execute(&expire).await.unwrap();
    let before = database_log().len();
    let purged = app.function("purge-expired").invoke("{}".to_owned()).await.unwrap();
    assert_eq!(purged, json!({"conversations": 2, "messages": 2 * ORDINARY, "done": true}));
    let purge = runs(&database_log()[before..]);
    files.insert("purge-expired", format!("two conversations that have expired\n{}", shapes(&purge).concat()));
    let faults_of_purge = judge(&purge, 2 * (10_000 + BUSY + 2) + 2 * (ORDINARY + 12), PAGE);
    faults.extend(faults_of_purge.into_iter().map(|fault| format!("purge-expired: {fault}")));

    let explained: BTreeSet<&str> = files.keys().copied().collect();
    assert_eq!(
        explained,
        local::project::functions().into_iter().chain(local::project::SCHEDULED).collect(),
        "cases in tests/api/plans.rs has a request to every function"
    );
    if version != RECORDED_ON {
        files.clear();
    }
    for (function, plans) in files {
        let file = project().join(format!("tests/plans/{function}.txt"));
        if write {
            std::fs::write(&file, &plans).unwrap();
        }
        let stored = std::fs::read_to_string(&file).unwrap_or_default();
        if stored != plans {
            faults.push(format!("{}: is no longer so; WRITE_PLANS=1 cargo test writes it anew:\n{plans}", file.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn a_search_of_forks_of_one_batch_reads_no_more_messages_than_another() {
    let app = App::start().await;
    let superuser = app.superuser().await;
    // As 40 forks make them: one time for all messages.
    let forks = "
        insert into conversations (id, user_id, message_count, next_position)
        select gen_random_uuid(), 'ada', 500, 501 from generate_series(1, 41);
        insert into messages (conversation_id, position, id, role, content, created_at, updated_at)
        select c.id, n, gen_random_uuid(), 'user', 'Is it raining in Oslo?', timestamptz '2026-01-01', timestamptz '2026-01-01'
        from conversations c, generate_series(1, 500) n;
        insert into conversations (id, user_id) select gen_random_uuid(), 'user-' || n from generate_series(1, 10000) n";
    superuser.batch_execute(forks).await.unwrap();
    superuser.batch_execute("vacuum analyze").await.unwrap();
    explain_everything(&app, &superuser).await;
    // With eight words, a request reads 7,500 messages: once for their sizes, and once for their texts.
    let words = ["a", "b", "c", "d", "e", "f", "g", "h"].join("%20or%20");
    let mut target = Some(format!("/users/ada/search?q={words}"));
    let mut requests = 0;
    while let Some(path) = target {
        let before = database_log().len();
        let answer = app.get(&path).expect(200).await;
        let faults = judge(&runs(&database_log()[before..]), 2 * 7_500 + FEW, PAGE);
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        target = answer.next().map(str::to_owned);
        requests += 1;
    }
    assert_eq!(requests, 3);
}

async fn fill(superuser: &Client) {
    superuser.batch_execute(FILL).await.unwrap();
    // Not in a transaction, as several statements at once would be.
    superuser.batch_execute("vacuum analyze").await.unwrap();
    superuser.batch_execute(&format!("call fill('ada', {LONGEST}, {LONGEST} + {BUSY} - 1, {LONG})")).await.unwrap();
}

/// Makes the server log the plan of each statement on this database from now on. Plans of other databases must not be logged, because the
/// log does not say which database a plan belongs to.
async fn explain_everything(app: &App, superuser: &Client) {
    superuser.batch_execute("load 'auto_explain'").await.expect(
        "this Postgres has no auto_explain, which tells how it runs statements: it is one of the contrib modules, in Debian's package \
         postgresql, in Homebrew's, and in what cargo xtask fetches",
    );
    let settings = [
        ("session_preload_libraries", "auto_explain"),
        ("auto_explain.log_min_duration", "0"),
        ("auto_explain.log_nested_statements", "on"),
        ("auto_explain.log_analyze", "on"),
        ("auto_explain.log_timing", "off"),
        ("auto_explain.log_format", "json"),
    ];
    for (name, value) in settings {
        superuser.batch_execute(&format!("alter database {} set {name} = '{value}'", app.database)).await.unwrap();
    }
}

/// What `auto_explain` has logged: statements in triggers and functions before those that they belong to.
fn runs(log: &str) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut lines = log.lines().peekable();
    while let Some(line) = lines.next() {
        if !(line.contains("LOG:  duration: ") && line.ends_with("plan:")) {
            continue;
        }
        let mut entry = String::new();
        // The lines that belong to the one before are indented.
        while let Some(line) = lines.next_if(|line| line.starts_with('\t')) {
            entry.push_str(line);
        }
        let mut entry: Value = serde_json::from_str(&entry).unwrap();
        let text = entry["Query Text"].as_str().unwrap().to_owned();
        runs.push(Run { text, compiled: entry.get("JIT").is_some(), plan: entry["Plan"].take() });
    }
    runs
}

/// Plans in words: those of the statements that a function and its triggers run on tables, in their order, each once.
fn shapes(runs: &[Run]) -> Vec<String> {
    let mut shapes = Vec::new();
    for run in runs {
        let shape = describe(&run.plan, 1);
        if reads_or_writes_a_table(run) && !shapes.contains(&shape) {
            shapes.push(shape);
        }
    }
    shapes
}

/// Whether a statement does; the call of a stored function does not.
fn reads_or_writes_a_table(run: &Run) -> bool {
    let mut found = false;
    visit(&run.plan, &mut |node| found |= node.get("Relation Name").is_some());
    found
}

/// A node and those below it, in what all versions of Postgres call it: no costs, no counts, no conditions.
fn describe(node: &Value, depth: usize) -> String {
    let text = |key: &str| node[key].as_str().unwrap_or_default();
    let below = || node["Plans"].as_array().into_iter().flatten();
    // A bitmap of one index reads the same rows in another order, at nearly the same cost, so either may be chosen. Where the order
    // matters, a Sort shows the difference.
    let bitmap = below().find(|below| below["Node Type"] == "Bitmap Index Scan");
    let mut line = match text("Node Type") {
        "Bitmap Heap Scan" if bitmap.is_some() => "Index Scan".to_owned(),
        "ModifyTable" => text("Operation").to_owned(),
        // Requests of the cases move messages there, so how much of the table a vacuum has seen depends on the moment.
        "Index Only Scan" if text("Relation Name") == "kept_messages" => "Index Scan".to_owned(),
        "Aggregate" => format!("{} Aggregate", text("Strategy")),
        kind => kind.to_owned(),
    };
    if !matches!(text("Join Type"), "" | "Inner") {
        write!(line, " ({})", text("Join Type")).unwrap();
    }
    if text("Scan Direction") == "Backward" {
        line.push_str(" backwards");
    }
    let index = bitmap.unwrap_or(node)["Index Name"].as_str().unwrap_or_default();
    for name in [index, text("Relation Name"), text("CTE Name"), text("Function Name")] {
        if !name.is_empty() {
            write!(line, " {name}").unwrap();
        }
    }
    // "InitPlan 1 (returns $0)" was shortened and is numbered differently from version to version.
    let part = match text("Subplan Name").split_once(' ') {
        Some(("CTE", name)) => format!("{name}: "),
        Some((kind, _)) => format!("{kind}: "),
        None => String::new(),
    };
    let mut shape = format!("{}{part}{line}\n", "  ".repeat(depth));
    shape.extend(below().filter(|child| Some(*child) != bitmap).map(|child| describe(child, depth + 1)));
    shape
}

/// What is wrong with what has been run for a request.
fn judge(runs: &[Run], reads: u32, holds: u32) -> Vec<String> {
    let mut faults = Vec::new();
    // A function's plan is made without the parameters, so that it can be kept.
    if let Some(run) =
        runs.iter().find(|run| reads_or_writes_a_table(run) && PARAMETERS.iter().any(|value| run.plan.to_string().contains(value)))
    {
        faults.push(format!("planned for these parameters: {}", run.text));
    }
    let mut read = 0.0;
    for run in runs {
        if run.compiled {
            faults.push(format!("compiled, which takes longer than to run it: {}", run.text));
        }
        visit(&run.plan, &mut |node| {
            let kind = node["Node Type"].as_str().unwrap();
            let table = node["Relation Name"].as_str();
            if kind == "Seq Scan" {
                faults.push(format!("reads all of {}", table.unwrap_or_default()));
            }
            if table.is_some() && kind.ends_with("Scan") {
                read +=
                    rows(node, "Actual Rows") + rows(node, "Rows Removed by Filter") + rows(node, "Rows Removed by Index Recheck");
            }
            let held = match kind {
                // It keeps the rows that it returns, and no others.
                "Sort" if node["Sort Method"] == "top-N heapsort" => rows(node, "Actual Rows"),
                "Sort" | "Incremental Sort" => {
                    let sorted = node["Plans"].as_array().unwrap().iter().find(|below| below["Parent Relationship"] == "Outer");
                    rows(sorted.unwrap(), "Actual Rows")
                }
                "Hash" | "Materialize" | "Memoize" => rows(node, "Actual Rows"),
                _ if node["Subplan Name"].as_str().is_some_and(|name| name.starts_with("CTE ")) => rows(node, "Actual Rows"),
                _ => 0.0,
            };
            if held > f64::from(holds) {
                faults.push(format!("{kind} of {held} rows, not {holds} at most"));
            }
        });
    }
    if read > f64::from(reads) {
        faults.push(format!("reads {read} rows, not {reads} at most"));
    }
    faults
}

/// How many there were, in all rounds of a loop; before version 18 an average round's are a whole number, rounded.
fn rows(node: &Value, which: &str) -> f64 {
    node[which].as_f64().unwrap_or_default() * node["Actual Loops"].as_f64().unwrap()
}

fn visit(node: &Value, see: &mut impl FnMut(&Value)) {
    see(node);
    for child in node["Plans"].as_array().into_iter().flatten() {
        visit(child, see);
    }
}
