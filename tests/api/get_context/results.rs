//! `tool_results`: old results lose their contents.

use serde_json::{Value, json};

use super::{call, conversation_of, say};
use crate::support::App;

fn long_result(id: &str, length: usize) -> Value {
    json!({"role": "tool", "content": "é".repeat(length), "tool_call_id": id})
}

fn contents(answer: &Value) -> Vec<String> {
    let tools = answer["messages"].as_array().unwrap().iter().filter(|message| message["role"] == "tool");
    tools.map(|message| message["content"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn all_but_the_newest_results_lose_their_contents() {
    let app = App::start().await;
    let mut messages = vec![say("user", "1")];
    for (id, length) in [("a", 100), ("b", 20), ("c", 1000), ("d", 100)] {
        messages.extend([call(&[id]), long_result(id, length)]);
    }
    messages[2]["token_count"] = json!(3);
    let path = conversation_of(&app, &messages).await;
    let stored = app.get(&path).expect(200).await.json();
    assert_eq!(stored["elided"], 0);
    let (a, b, d) = ("é".repeat(100), "é".repeat(20), "é".repeat(100));
    for (keep, expected, elided) in [
        // One counts fewer tokens as it is, and another is no longer than its replacement.
        (0, vec![&*a, &*b, "[omitted: 1000 characters]", "[omitted: 100 characters]"], 2),
        (1, vec![&*a, &*b, "[omitted: 1000 characters]", &*d], 1),
    ] {
        let answer = app.get(&format!("{path}?tool_results={keep}")).expect(200).await.json();
        assert_eq!((contents(&answer), &answer["elided"]), (expected.iter().map(ToString::to_string).collect(), &json!(elided)));
        assert!(answer["tokens"].as_u64() < stored["tokens"].as_u64());
        assert_eq!((&answer["omitted"], &answer["repaired"]), (&json!(0), &json!([])));
    }
    for keep in [2, 4, i64::MAX] {
        let answer = app.get(&format!("{path}?tool_results={keep}")).expect(200).await.json();
        assert_eq!(answer, stored, "{keep}");
    }
    let history = app.get(&path.replace("/context", "/messages")).expect(200).await.array();
    assert_eq!(history[6]["content"], "é".repeat(1000), "what is stored is never touched");
}

#[tokio::test]
async fn results_in_parts_keep_everything_but_their_contents() {
    let app = App::start().await;
    let path = conversation_of(&app, &[say("user", "1")]).await;
    let messages = path.replace("/context", "/messages");
    app.post(&messages)
        .body(r#"{"role":"assistant","content":[{"type":"tool_use","id":"t","input":{}},{"type":"tool_use","id":"u","input":{}}]}"#)
        .expect(201)
        .await;
    let content = format!(r#"[{{"text":"{}","type":"text"}}]"#, "x".repeat(50));
    let results = |content: &str| {
        format!(
            r#"[{{"tool_use_id":"t", "content":"old","is_error":true,"n":1.50,"content" : {content} ,"type":"tool_result"}},{{"type":"tool_result","tool_use_id":"u","content":"new"}}]"#
        )
    };
    app.post(&messages).body(format!(r#"{{"role":"user","content":{}}}"#, results(&content))).expect(201).await;
    let body = app.get(&format!("{path}?tool_results=1")).expect(200).await.body;
    let expected = results(&format!("\"[omitted: {} characters]\"", content.len()));
    assert!(body.contains(&expected), "{body}\nlacks\n{expected}");
    assert!(body.contains(r#""elided":1"#), "{body}");
}

#[tokio::test]
async fn with_a_step_results_lose_their_contents_together() {
    const KEEP: usize = 2;
    let app = App::start().await;
    let path = conversation_of(&app, &[say("user", "1")]).await;
    let mut elided = Vec::new();
    for n in 0..24_usize {
        let id = n.to_string();
        let step = json!({"messages": [call(&[&id]), long_result(&id, 100)]});
        app.post(&path.replace("/context", "/messages")).json(&step).expect(201).await;
        let answer = app.get(&format!("{path}?tool_results={KEEP}&step=10")).expect(200).await.json();
        elided.push(usize::try_from(answer["elided"].as_u64().unwrap()).unwrap());
        assert!(elided[n] + KEEP <= n.max(KEEP) + 1, "the newest keep theirs: {elided:?}");
        assert!(n < 7 || elided[n] + KEEP + 10 / 2 > n, "{elided:?}");
    }
    let mut moved = elided.clone();
    moved.dedup();
    assert_eq!(moved.len(), 5, "every ten messages, which are five results: {elided:?}");
}
