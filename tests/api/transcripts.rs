//! Real conversations go in and come back equal.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::App;

#[derive(Deserialize)]
pub struct Transcript {
    pub id: String,
    pub messages: Vec<BTreeMap<String, Box<RawValue>>>,
}

/// The file that `TRANSCRIPTS` names, or else the one beside the project. Tests that read it are ignored where there is none.
pub fn transcripts() -> Vec<Transcript> {
    let lines = std::fs::read_to_string(env!("TRANSCRIPTS_FILE")).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Puts a transcript into a conversation of its own; the path of its messages.
pub async fn store(app: &App, id: &str, messages: &[BTreeMap<String, Box<RawValue>>]) -> String {
    let conversation = Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes());
    app.post("/conversations").json(&json!({"id": conversation, "title": id})).expect(201).await;
    let path = format!("/conversations/{conversation}/messages");
    // Not through `json!`, which would write the numbers and the white space anew.
    app.post(&path).body(format!(r#"{{"messages":{}}}"#, serde_json::to_string(messages).unwrap())).expect(201).await;
    path
}

#[cfg_attr(not(has_transcripts), ignore = "there are no recorded conversations: name a file in TRANSCRIPTS")]
#[tokio::test]
async fn real_transcripts_come_back_member_for_member() {
    let transcripts = transcripts();
    let app = App::start().await;
    let mut compared = 0;
    for Transcript { id, messages } in transcripts {
        let path = store(&app, &id, &messages).await;
        let body = app.get(&path).expect(200).await.body;
        let stored: Vec<BTreeMap<String, Box<RawValue>>> = serde_json::from_str(&body).unwrap();
        assert_eq!(stored.len(), messages.len(), "{id}");
        for (sent, stored) in messages.iter().zip(&stored) {
            for (member, value) in sent {
                let (sent, stored) = (value.get(), stored[member].get());
                if sent.starts_with('"') {
                    // The same text, however it was escaped.
                    let [sent, stored] = [sent, stored].map(|text| serde_json::from_str::<Value>(text).unwrap());
                    assert_eq!(sent, stored, "{id}: {member}");
                } else {
                    assert_eq!(sent, stored, "{id}: {member}");
                }
            }
            for member in ["content", "tool_calls", "tool_call_id", "name"] {
                assert!(sent.contains_key(member) || stored[member].get() == "null", "{id}: {member} was not sent");
            }
            compared += 1;
        }
    }
    assert!(compared > 0);
}
