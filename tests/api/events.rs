//! The events in `tests/events`, one a function, for `cargo lambda invoke FUNCTION --data-file tests/events/FUNCTION.json`.

use serde_json::{Value, json};

use crate::support::{App, Call, project};

const CONVERSATION: &str = "01936b2e-5f00-7000-8000-000000000001";
const FORK: &str = "01936b2e-5f02-7000-8000-000000000003";
const LINE: &str = r#"{"conversation":{"id":"01936b2e-5f03-7000-8000-000000000005","metadata":{},"created_at":"2026-11-22T10:00:00.123456Z","updated_at":"2026-11-22T10:00:00.123456Z"},"summaries":[],"next_position":1}"#;
const QUESTION: &str = "01936b2e-5f04-7000-8000-000000000006";
const REPLY: &str = "01936b2e-5f04-7000-8000-000000000007";
const MESSAGE: &str = "01936b2e-5f01-7000-8000-000000000002";

/// A request to each function. In this order they tell a story, and each succeeds.
fn requests(app: &App) -> Vec<Call<'_>> {
    let path = format!("/conversations/{CONVERSATION}");
    vec![
        app.post("/conversations").json(&json!({"user_id": "ada", "id": CONVERSATION, "title": "Rain in Oslo"})),
        app.post(&format!("{path}/messages")).json(&json!({"id": MESSAGE, "role": "user", "content": "Is it raining in Oslo?"})),
        app.post(&format!("{path}/turn")).json(&json!({
            "id": QUESTION, "role": "user", "content": "And in Bergen?", "reply_id": REPLY, "context": {"format": "openai", "max_messages": 50},
        })).by_service(),
        app.get(&format!("{path}/messages?last=50")),
        app.get(&format!("{path}/context?format=openai&max_messages=50")),
        app.get("/users/ada/conversations?limit=20"),
        app.get("/users/ada/search?q=raining%20-snow"),
        app.get(&path),
        app.patch(&path).json(&json!({"title": "Weather"})),
        app.patch(&format!("{path}/messages/{MESSAGE}")).json(&json!({"content": "Is it raining in Bergen?"})),
        app.get(&format!("{path}/messages/{MESSAGE}?skip=3")),
        app.put(&format!("{path}/summary")).json(&json!({"through": 1, "content": "Ada asked about the weather."})),
        app.get(&format!("{path}/summary")),
        app.delete(&format!("{path}/summary")),
        app.post(&format!("{path}/fork")).json(&json!({"id": FORK, "through": 1})),
        app.put(&format!("{path}/line")).json(&json!({"message_id": MESSAGE, "newest": true})),
        app.delete(&format!("{path}/messages/{MESSAGE}")),
        app.delete(&format!("{path}/messages?from=1")),
        app.delete(&path),
        app.post("/users/guest-17/transfer").json(&json!({"to": "ada"})).by_service(),
        app.get("/users/ada/export"),
        app.post("/users/grace/import").header("content-type", "application/x-ndjson").body(LINE).base64().by_service(),
        app.delete("/users/ada"),
    ]
}

#[tokio::test]
async fn every_function_has_an_event_that_succeeds() {
    let app = App::start().await;
    let mut functions = local::project::functions();
    for call in requests(&app) {
        let (function, event) = call.event();
        let file = project().join(format!("tests/events/{function}.json"));
        if std::env::var_os("WRITE_EVENTS").is_some() {
            std::fs::write(&file, format!("{event:#}\n")).unwrap();
        }
        let stored: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(stored, event, "{}: WRITE_EVENTS=1 cargo test writes it anew", file.display());
        let answer = app.invoke(function, &stored).await;
        assert!(answer.status < 300, "{function}: {answer:?}");
        functions.remove(function);
    }
    assert!(functions.is_empty(), "requests in tests/api/events.rs has no request to {functions:?}");
}
