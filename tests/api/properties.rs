//! Any text and any JSON comes back as it went in, or is refused as the contract says.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::support::App;

const CASES: usize = 300;

/// Any text: control characters, U+0000, noncharacters, all planes.
pub fn any_text() -> impl Strategy<Value = String> {
    let character = prop_oneof![4 => any::<char>(), 1 => prop::sample::select(vec!['\0', '"', '\\', '\n', '\u{7f}', '\u{ffff}', '\u{feff}', '😀'])];
    prop::collection::vec(character, 0..40).prop_map(String::from_iter)
}

/// A JSON string as a peculiar client would write it: escapes where none are needed, halves of surrogate pairs.
fn any_json_string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any_text().prop_map(|text| {
            let quoted = serde_json::to_string(&text).unwrap();
            quoted[1..quoted.len() - 1].to_owned()
        }),
        any::<u16>().prop_map(|unit| format!("\\u{unit:04x}")),
        (0xd800_u16..0xe000).prop_map(|unit| format!("\\u{unit:04X}")),
        prop::sample::select(vec!["\\/", "\\u0000", "\\\\u0000", "\\b", "\\f", "\u{7f}"]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

/// Any JSON, with the spellings of numbers, the duplicate keys and the white space that JSON allows.
pub fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any_json_string(),
        prop::sample::select(vec![
            "null",
            "true",
            "false",
            "0",
            "-0",
            "1.0",
            "1.50e+10",
            "1E400",
            "-1e-400",
            "12345678901234567890123"
        ])
        .prop_map(str::to_owned),
        any::<f64>().prop_filter("JSON has no NaN", |number| number.is_finite()).prop_map(|number| json!(number).to_string()),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|elements| format!("[{}]", elements.join(" ,\n"))),
            prop::collection::vec((any_json_string(), inner), 0..6).prop_map(|members| {
                let members: Vec<_> = members.into_iter().map(|(name, value)| format!("{name}\t: {value}")).collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    })
}

/// Whether a JSON text holds U+0000: the escape, behind an even number of backslashes.
fn has_null_character(json: &str) -> bool {
    json.match_indices("\\u0000").any(|(at, _)| json[..at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 0)
}

#[tokio::test]
async fn any_text_and_any_json_survives_or_is_refused() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    let path = format!("/conversations/{conversation}/messages");
    let mut runner = TestRunner::deterministic();
    let strategy = (any_json_string(), any_json(), any_json(), any::<bool>());
    let (mut stored, mut refused) = (0, 0);
    for _ in 0..CASES {
        let (string, calls, part, base64) = strategy.new_tree(&mut runner).unwrap().current();
        let calls = if calls.starts_with(['[', '{']) { calls } else { format!("[{calls}]") };
        let parts = format!(r#"[{{"type":"text","more":{part}}}]"#);
        for content in [&string, &parts] {
            let body = format!(r#"{{"role":"assistant","content":{content},"tool_calls":{calls}}}"#);
            let call = app.post(&path).body(body.clone());
            let answer = if base64 { call.base64() } else { call }.send().await;
            let text = content.starts_with('"').then(|| serde_json::from_str::<String>(content));
            let refusable = matches!(text, Some(Err(_))) || has_null_character(&body);
            if refusable {
                assert_eq!(
                    (answer.status, answer.json()["code"].as_str()),
                    (400, Some("invalid_character")),
                    "{body}: {}",
                    answer.body
                );
                refused += 1;
                continue;
            }
            assert_eq!(answer.status, 201, "{body}: {}", answer.body);
            let read = app.get(&format!("{path}?last=1")).expect(200).await.body;
            let [message] = serde_json::from_str::<[std::collections::BTreeMap<String, Box<RawValue>>; 1]>(&read).unwrap();
            assert_eq!(message["tool_calls"].get(), calls);
            match text {
                Some(text) => assert_eq!(serde_json::from_str::<String>(message["content"].get()).unwrap(), text.unwrap()),
                None => assert_eq!(message["content"].get(), parts),
            }
            stored += 1;
        }
    }
    assert!(stored > CASES / 4 && refused > CASES / 4, "{stored} stored, {refused} refused: the cases are lopsided");
}

#[tokio::test]
async fn any_text_in_a_query_string_survives_or_is_refused() {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    let app = App::start().await;
    let conversation = app.conversation().await;
    let mut runner = TestRunner::deterministic();
    for _ in 0..CASES {
        let text = any_text().new_tree(&mut runner).unwrap().current();
        let encoded = utf8_percent_encode(&text, NON_ALPHANUMERIC);
        let call = app.post(&format!("/conversations/{conversation}/messages?role=user&content={encoded}"));
        if text.contains('\0') {
            call.refused(400, "invalid_character", "content").await;
        } else {
            assert_eq!(call.expect(201).await.json()["content"], Value::String(text));
        }
    }
}
