//! Chooses and writes one conversation of a bad kind, in every format: `worst KIND NUMBER`. A test counts the instructions that it takes.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for a test")]

use context::{Content, Context, Format, Message, Options, Role, Source};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The kinds of conversations, each with so many of the thing that it is named for.
fn conversation(kind: &str, number: usize) -> Vec<Value> {
    let question = json!({"role": "user", "content": "What is the weather?"});
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "weather", "arguments": "{}"}});
    let calls = |calls: Vec<Value>| json!({"role": "assistant", "tool_calls": calls});
    let result = |id: &str| json!({"role": "tool", "content": "rain", "tool_call_id": id});
    let each = |make: &dyn Fn(usize) -> Value| (0..number).map(make).collect::<Vec<_>>();
    let name = |at: usize| format!("call_{at}");
    let mut all = vec![question.clone()];
    match kind {
        "unanswered calls" => all.extend(each(&|at| calls(vec![call(&name(at))]))),
        "late results" => {
            all.extend(each(&|at| calls(vec![call(&name(at))])));
            all.extend(each(&|at| result(&name(number - 1 - at))));
        }
        "calls of one id" => {
            all.push(calls(each(&|_| call("a"))));
            all.extend(each(&|_| result("a")));
        }
        "calls without ids" => {
            all.push(calls(each(&|_| json!({"type": "function", "function": {"name": "weather", "arguments": "{}"}}))));
            all.extend(each(&|_| json!({"role": "tool", "content": "rain"})));
        }
        "stray results" => all.extend(each(&|at| result(&name(at)))),
        "instructions" => {
            all.push(calls(vec![call("a")]));
            all.extend(each(&|_| json!({"role": "system", "content": "Be brief."})));
            all.push(result("a"));
        }
        "parts" => {
            let called = each(&|at| json!({"type": "tool_use", "id": name(at), "name": "weather", "input": {}}));
            all.push(json!({"role": "assistant", "content": called}));
            let results = each(&|at| json!({"type": "tool_result", "tool_use_id": name(at), "content": "rain"}));
            all.push(json!({"role": "user", "content": results}));
        }
        "documents" => {
            all.push(json!({"role": "user", "content": each(&|_| json!({"document": {"format": "pdf", "name": "a", "source": {"bytes": "JVBERi0="}}}))}));
        }
        "long ids" => {
            let name = |at: usize| format!("{}_{:013}", "a".repeat(50), at / 2);
            all.push(calls(each(&|at| call(&name(at)))));
            all.extend(each(&|at| result(&name(at))));
        }
        "reasoning" => {
            all.extend(each(&|at| json!({"role": "assistant", "content": [{"type": "reasoning", "id": name(at), "summary": []}]})));
        }
        "turns" => {
            all.extend(each(&|at| if at % 2 == 0 { json!({"role": "assistant", "content": "Rain."}) } else { question.clone() }));
        }
        _ => panic!("there is no kind {kind}"),
    }
    all
}

fn stored(position: usize, message: &Value) -> Message {
    let raw = |value: &Value| RawValue::from_string(value.to_string()).unwrap();
    let text = |name: &str| message[name].as_str().map(str::to_owned);
    Message {
        source: Source::Stored(position),
        position: i64::try_from(position).unwrap() + 1,
        role: Role::parse(message["role"].as_str().unwrap()).unwrap(),
        content: match &message["content"] {
            Value::Null => None,
            Value::String(text) => Some(Content::Text(text.clone())),
            parts => Some(Content::Parts(raw(parts))),
        },
        tool_calls: message.get("tool_calls").map(raw),
        tool_call_id: text("tool_call_id"),
        name: None,
        token_count: None,
        extra: None,
        other_bytes: 2,
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, kind, number] = &arguments[..] else { panic!("worst KIND NUMBER") };
    let all = conversation(kind, number.parse().unwrap());
    let count = i64::try_from(all.len()).unwrap();
    let newest = all.iter().enumerate().map(|(at, message)| (stored(at, message), [None, None])).collect();
    let context = Context::choose(Vec::new(), None, newest, None, count, Options { tool_results: Some(1), ..Options::default() });
    for format in ["openai", "anthropic", "responses", "gemini", "converse"] {
        println!("{}", serde_json::to_string(&context.written(Format::parse(format).unwrap())).unwrap().len());
    }
}
