//! `max_tokens`, and how good the estimate is.

use std::fmt::Write as _;
use std::sync::LazyLock;

use serde_json::{Value, json};
use tiktoken_rs::CoreBPE;

use super::{call, conversation_of, positions, reference, result, say};
use crate::support::App;
use crate::transcripts::transcripts;

/// A real tokenizer: that of GPT-4o, GPT-5 and their siblings.
static O200K: LazyLock<CoreBPE> = LazyLock::new(|| tiktoken_rs::o200k_base().unwrap());

/// What the model counts: the tokens of the texts, and four for the frame of a message.
pub fn counted(message: &Value) -> u64 {
    let count = |value: &Value| match value {
        Value::Null => 0,
        Value::String(text) => O200K.encode_ordinary(text).len(),
        json => O200K.encode_ordinary(&json.to_string()).len(),
    };
    (count(&message["content"]) + count(&message["tool_calls"]) + count(&message["name"])) as u64 + 4
}

#[tokio::test]
async fn a_message_counts_its_token_count_or_else_a_quarter_of_its_bytes() {
    let app = App::start().await;
    let mut sized = say("assistant", &"é".repeat(10));
    sized["name"] = json!("ab");
    let mut told = say("user", "Is it raining in Oslo?");
    told["token_count"] = json!(2);
    let messages = [say("user", ""), say("assistant", "abcd"), say("user", "abcde"), sized, told, call(&["a"]), result("a")];
    let path = conversation_of(&app, &messages).await;
    let calls = messages[5]["tool_calls"].to_string().len() as u64;
    let each = [4, 5, 6, 6 + 4, 2, calls.div_ceil(4) + 4, 1 + 4];
    let answer = app.get(&path).expect(200).await.json();
    assert_eq!((&answer["tokens"], &answer["estimated"]), (&json!(each.iter().sum::<u64>()), &json!(true)));
    for (start, expected) in [(0, vec![1, 2, 3, 4, 5, 6, 7]), (2, vec![3, 4, 5, 6, 7]), (4, vec![5, 6, 7])] {
        let tokens: u64 = each[start..].iter().sum();
        assert_eq!(positions(&app, &path, &format!("max_tokens={tokens}")).await, expected);
        let one_less = positions(&app, &path, &format!("max_tokens={}", tokens - 1)).await;
        assert!(one_less.len() < expected.len(), "{tokens}: {one_less:?}");
    }

    let mut all_told = [say("system", "1"), say("user", "2"), say("assistant", "3")];
    for message in &mut all_told {
        message["token_count"] = json!(1000);
    }
    let path = conversation_of(&app, &all_told).await;
    let answer = app.get(&format!("{path}?max_tokens=3000")).expect(200).await.json();
    assert_eq!((&answer["tokens"], &answer["estimated"], &answer["omitted"]), (&json!(3000), &json!(false), &json!(0)));
    let none = conversation_of(&app, &[]).await;
    let answer = app.get(&none).expect(200).await.json();
    assert_eq!((&answer["tokens"], &answer["estimated"]), (&json!(0), &json!(false)));
}

#[tokio::test]
async fn large_metadata_and_call_ids_cost_no_tokens() {
    let app = App::start().await;
    let mut large = result(&"a".repeat(1000));
    large["metadata"] = json!({"x": (0..3000).map(|n| n.to_string()).collect::<String>()});
    let path = conversation_of(&app, &[say("user", "1"), call(&["b"]), large.clone(), say("user", "4")]).await;
    let all: u64 = app.get(&path).expect(200).await.json()["tokens"].as_u64().unwrap();
    assert_eq!(positions(&app, &path, &format!("max_tokens={}", all + 5)).await[0], 1);
}

/// How far the estimates of these messages are from what the tokenizer counts, in percent.
fn error<'a>(messages: impl Iterator<Item = &'a Value>) -> (f64, u64) {
    let (estimated, counted) =
        messages.fold((0, 0), |(estimated, sum), message| (estimated + reference::tokens(message), sum + counted(message)));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let percent = 100.0 * (estimated as f64 / counted as f64 - 1.0);
    (percent, counted)
}

/// Texts of the project's own, in messages of a paragraph each.
fn texts() -> Vec<(&'static str, Vec<Value>)> {
    let paragraphs = |text: &str| text.lines().map(|line| say("assistant", line)).collect();
    let whole = |text: &str| vec![say("assistant", text)];
    vec![
        ("English", paragraphs(include_str!("texts/english.txt"))),
        ("German", paragraphs(include_str!("texts/german.txt"))),
        ("Chinese", paragraphs(include_str!("texts/chinese.txt"))),
        ("Japanese", paragraphs(include_str!("texts/japanese.txt"))),
        ("Rust", whole(include_str!("texts/code.rs.txt"))),
        ("Python", whole(include_str!("texts/code.py.txt"))),
        ("JSON", whole(include_str!("texts/data.json.txt"))),
    ]
}

#[test]
fn the_estimate_is_as_far_off_as_the_documentation_says() {
    let documented = std::fs::read_to_string(crate::support::project().join("docs/context.md")).unwrap();
    let mut missing = String::new();
    for (what, messages) in texts() {
        let (percent, counted) = error(messages.iter());
        let row = format!("| {what} | {counted} | {percent:+.0} % |");
        if !documented.contains(&row) {
            writeln!(missing, "{row}").unwrap();
        }
    }
    assert!(missing.is_empty(), "docs/context.md lacks:\n{missing}");
}

#[cfg_attr(not(has_transcripts), ignore = "there are no recorded conversations: name a file in TRANSCRIPTS")]
#[test]
fn on_real_transcripts_the_estimate_is_as_far_off_as_the_documentation_says() {
    let (mut all, mut conversations) = (Vec::new(), Vec::new());
    for transcript in transcripts() {
        let messages: Vec<Value> = serde_json::from_str(&serde_json::to_string(&transcript.messages).unwrap()).unwrap();
        conversations.push(error(messages.iter()).0);
        all.extend(messages);
    }
    conversations.sort_unstable_by(f64::total_cmp);
    let documented = std::fs::read_to_string(crate::support::project().join("docs/context.md")).unwrap();
    let mut rows = Vec::new();
    for role in ["user", "assistant", "tool", "system"] {
        let (percent, counted) = error(all.iter().filter(|message| message["role"] == role));
        rows.push(format!("| transcripts, `{role}` | {counted} | {percent:+.0} % |"));
    }
    let (percent, counted) = error(all.iter());
    rows.push(format!("| transcripts, all | {counted} | {percent:+.0} % |"));
    let (least, most) = (conversations[0], conversations[conversations.len() - 1]);
    rows.push(format!("{least:+.0} % to {most:+.0} %"));
    rows.retain(|row| !documented.contains(row));
    assert!(rows.is_empty(), "docs/context.md lacks:\n{}", rows.join("\n"));
}
