//! Thousands of malformed requests and events. A client's mistake is never a 5xx. A gateway's mistake never ends the process.
//!
//! More of it: `CASES=1000 cargo test -p tests malformed`

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use local::http_api::HttpRequest;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::database::one_of_each;
use crate::properties::{any_json, any_text};
use crate::support::{Answer, App, Call};

/// Requests to each endpoint.
fn cases() -> usize {
    std::env::var("CASES").map_or(60, |text| text.parse().unwrap())
}

/// All fields that there are, and one that there is not. A test compares them with openapi.yaml.
pub const FIELDS: [&str; 56] = [
    "id",
    "user_id",
    "new",
    "title",
    "metadata",
    "role",
    "content",
    "tool_calls",
    "tool_call_id",
    "name",
    "token_count",
    "status",
    "refusal",
    "annotations",
    "audio",
    "function_call",
    "reasoning_content",
    "append",
    "at",
    "messages",
    "parent_id",
    "reply_id",
    "conversation",
    "context",
    "limit",
    "after",
    "before",
    "order",
    "last",
    "cursor",
    "q",
    "from",
    "skip",
    "max_messages",
    "max_chars",
    "max_tokens",
    "step",
    "tool_results",
    "unanswered",
    "call_ids",
    "format",
    "through",
    "expires_in",
    "archived",
    "pinned",
    "metadata.KEY",
    "ids",
    "include",
    "to",
    "wait",
    "feedback",
    "message_id",
    "newest",
    "line",
    "all",
    "unknown",
];
/// Right in some place, and wrong in most.
const VALUES: [&str; 24] = [
    "",
    "%",
    "%f",
    "%ff",
    "%00",
    "%ed%a0%80",
    "+",
    "&",
    "=",
    "0",
    "1",
    "-1",
    "1e3",
    "9223372036854775807",
    "9223372036854775808",
    "true",
    "asc",
    "null",
    "%5B",
    "%7B%7D",
    "user",
    "openai",
    "%22x%22",
    "01936b2e-5f00-7000-8000-000000000001",
];
const HEADERS: [&str; 14] = [
    "",
    "*",
    "\"1\"",
    "W/\"1\"",
    "\"1\", \"2\"",
    "\"",
    "\"x\"",
    "1",
    ",",
    "\"99999999999999999999\"",
    "application/json",
    "application/json; charset=utf-16",
    "text/plain",
    "é\u{1}",
];

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Anything of a list, or any text that fits the place.
fn any_of(known: &'static [&'static str], encode: bool) -> impl Strategy<Value = String> {
    let other = any_text().prop_map(move |text| if encode { encoded(&text) } else { text });
    prop_oneof![4 => select(known).prop_map(str::to_owned), 1 => other]
}

fn any_body() -> impl Strategy<Value = Option<String>> {
    let object = || {
        let value = prop_oneof![any_json(), select(vec!["\"user\"", "\"x\"", "[{}]", "{}"]).prop_map(str::to_owned)];
        prop::collection::vec((any_of(&FIELDS, false), value), 0..5).prop_map(|members| {
            let members = members.iter().map(|(name, value)| format!("{}:{value}", json!(name)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        })
    };
    let cut = (object(), any::<prop::sample::Index>())
        .prop_map(|(json, at)| json.chars().take(at.index(json.chars().count())).collect::<String>());
    let batch = prop::collection::vec(object(), 0..4).prop_map(|messages| format!("{{\"messages\":[{}]}}", messages.join(",")));
    prop_oneof![1 => Just(None), 6 => prop_oneof![3 => object(), 2 => batch, 1 => cut, 1 => any_json(), 1 => any_text()].prop_map(Some)]
}

#[derive(Clone, Debug)]
enum Body {
    Kept,
    /// By another one, or none.
    Replaced(Option<String>),
}

/// What becomes of a request that was right; of some, nothing.
#[derive(Clone, Debug)]
struct Mistakes {
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Body,
    members: Vec<(String, String)>,
    base64: bool,
    /// What is sent instead of the body, which need not be text.
    bytes: Option<Vec<u8>>,
    parameter: Option<String>,
}

fn any_mistakes() -> impl Strategy<Value = Mistakes> {
    let pair = (any_of(&FIELDS, true), any_of(&VALUES, true));
    let query = prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(pair, 1..4)];
    let header = (select(vec!["if-match", "if-none-match", "content-type"]).prop_map(str::to_owned), any_of(&HEADERS, false));
    let headers = prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(header, 1..3)];
    let body = prop_oneof![3 => Just(Body::Kept), 2 => any_body().prop_map(Body::Replaced)];
    let member = (any_of(&FIELDS, false), any_json());
    let members = prop_oneof![1 => Just(Vec::new()), 1 => prop::collection::vec(member, 1..3)];
    let bytes = prop_oneof![9 => Just(None), 1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Some)];
    let parameter = prop_oneof![4 => Just(None), 1 => any_of(&VALUES, true).prop_map(Some)];
    (query, headers, body, members, any::<bool>(), bytes, parameter).prop_map(
        |(query, headers, body, members, base64, bytes, parameter)| Mistakes {
            query,
            headers,
            body,
            members,
            base64,
            bytes,
            parameter,
        },
    )
}

impl Mistakes {
    /// In a request that was right; what API Gateway makes of it, if it has a route.
    fn make(self, mut request: HttpRequest) -> Option<(&'static str, Value)> {
        for (name, value) in self.query {
            let and = if request.query.is_empty() { "" } else { "&" };
            request.query.extend([and, &name, "=", &value]);
        }
        if let Body::Replaced(body) = self.body {
            request.body = body;
        } else if let Some(object) = request.body.as_deref().and_then(|body| body.strip_suffix('}')) {
            let members = self.members.iter().map(|(name, value)| format!(",{}:{value}", json!(name)));
            request.body = Some(format!("{object}{}}}", members.collect::<String>()));
        }
        request.base64 = self.base64;
        if request.body.is_some() {
            request.headers.entry("content-type".to_owned()).or_insert_with(|| "application/json".to_owned());
        }
        request.headers.extend(self.headers);
        if let Some(parameter) = &self.parameter {
            let mut segments: Vec<_> = request.path.split('/').collect();
            // The last that is an id.
            if let Some(id) = segments.iter_mut().skip(2).step_by(2).last() {
                *id = parameter;
            }
            request.path = segments.join("/");
        }
        let (function, mut event) = request.event()?;
        if let Some(bytes) = self.bytes {
            event["headers"]["content-type"] = json!("application/json");
            event["isBase64Encoded"] = json!(true);
            event["body"] = json!(STANDARD.encode(bytes));
        }
        Some((function, event))
    }
}

/// An answer that a client's mistake may have, and none that is ours.
fn is_no_fault_of_ours(answer: &Answer, event: &Value) {
    assert!(answer.status < 500, "{}: {event}", answer.body);
    if answer.status >= 400 {
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{event}");
        assert!(answer.json()["code"].is_string(), "{event}");
    }
}

#[tokio::test]
async fn nothing_that_a_client_sends_is_a_5xx() {
    let app = App::start().await;
    let mut runner = TestRunner::deterministic();
    let mut statuses = BTreeMap::<u16, usize>::new();
    for _ in 0..cases() {
        for call in one_of_each(&app).await {
            let mistakes = any_mistakes().new_tree(&mut runner).unwrap().current();
            let Some((function, event)) = mistakes.make(call.request()) else { continue };
            let answer = app.invoke(function, &event).await;
            is_no_fault_of_ours(&answer, &event);
            *statuses.entry(answer.status).or_default() += 1;
        }
    }
    println!("{statuses:?}");
    let count = |kind| statuses.iter().filter(|(status, _)| *status / 100 == kind).map(|(_, count)| count).sum::<usize>();
    assert!(count(2) > cases() && count(4) > cases(), "the cases are lopsided: {statuses:?}");
}

#[tokio::test]
async fn no_event_ends_the_process() {
    let app = App::start().await;
    let mut runner = TestRunner::deterministic();
    let (mut no_events, mut others) = (0, 0);
    for _ in 0..cases() {
        for call in one_of_each(&app).await {
            let (function, mut event) = call.event();
            for _ in 0..runner.rng().random_range(1..4) {
                damage(&mut event, &mut runner);
            }
            let answer = app.invoke(function, &event).await;
            is_no_fault_of_ours(&answer, &event);
            *(if answer.body.contains("the event is not") { &mut no_events } else { &mut others }) += 1;
        }
    }
    println!("{no_events} were no events, {others} were");
    assert!(no_events > cases() && others > cases(), "the cases are lopsided: {no_events} were no events, {others} were");
}

/// Takes a member of the event away, or puts something else there.
fn damage(event: &mut Value, runner: &mut TestRunner) {
    let mut at = event;
    loop {
        let down = runner.rng().random_range(0..3) > 0;
        let count = at.as_object().map_or(0, serde_json::Map::len);
        if count == 0 {
            break;
        }
        let index = runner.rng().random_range(0..count);
        let members = at.as_object_mut().unwrap();
        let name = members.keys().nth(index).unwrap().clone();
        if !down || !members[&name].is_object() {
            let other = any_json().new_tree(runner).unwrap().current();
            match (runner.rng().random_range(0..3), serde_json::from_str(&other)) {
                // API Gateway's own, and in the log.
                _ if name == "routeKey" => members.remove(&name),
                (1, Ok(other)) => members.insert(name, other),
                (2, _) => members.insert(name, Value::String(any_text().new_tree(runner).unwrap().current())),
                _ => members.remove(&name),
            };
            return;
        }
        at = members.get_mut(&name).unwrap();
    }
}

#[tokio::test]
async fn too_much_of_anything_is_refused() {
    let app = App::start().await;
    let path = format!("/conversations/{}/messages", app.conversation().await);
    let process = app.function("add-message").process_ids();
    let send = async |event: Value| app.invoke("add-message", &event).await;
    let event = |call: Call<'_>| call.event().1;
    let text = "x".repeat(6 << 20);
    let message = json!({"role": "user", "content": text});
    let mut spoilt = event(app.post(&path).json(&json!({})).base64());
    spoilt["body"] = json!(STANDARD.encode(vec![0xff; 4 << 20]));
    for (status, event) in [
        (413, event(app.post(&path).json(&message))),
        (413, event(app.post(&path).json(&message).base64())),
        (413, event(app.post(&path).body("[".repeat(6 << 20)))),
        (413, event(app.post(&path).json(&json!({"role": "user", "content": &text[..2 << 20]})))),
        (400, spoilt),
        (400, event(app.post(&path).body("[".repeat(4 << 20)))),
        (400, event(app.post(&path).body("{\"content\":".repeat(300_000)))),
    ] {
        let answer = send(event).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }

    let many = |each: fn(usize) -> String| (0..10_000).map(each).collect::<Vec<_>>();
    let members = many(|n| format!("\"x{n}\":{n}")).join(",");
    for call in [
        app.post(&format!("{path}?{}", many(|n| format!("x{n}={n}")).join("&"))),
        app.post(&format!("{path}?{}", many(|_| "role=user".to_owned()).join("&"))),
        app.post(&path).body(format!("{{{members}}}")),
        app.post(&path)
            .body(format!("{{\"role\":\"user\",\"content\":\"x\",\"messages\":[{}]}}", many(|_| "{}".to_owned()).join(","))),
        app.post(&path).body(format!("{{\"messages\":[{}]}}", many(|_| "{}".to_owned()).join(","))),
    ] {
        let answer = call.send().await;
        assert_eq!(answer.status, 400, "{}", answer.body);
    }
    let mut event = event(app.post(&path).json(&json!({"role": "user", "content": "x"})));
    for n in 0..10_000 {
        event["headers"][format!("x-{n}")] = json!("x");
        event["pathParameters"][format!("x{n}")] = json!("x");
        event["requestContext"]["authorizer"]["jwt"]["claims"][format!("x{n}")] = json!([n]);
    }
    assert_eq!(send(event).await.status, 201);
    assert_eq!(app.function("add-message").process_ids(), process);
}
