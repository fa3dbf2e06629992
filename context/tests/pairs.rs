//! Each result stands behind the call that it was stored for, however often the ids of calls are repeated.

#![expect(clippy::unwrap_used, unreachable_pub, dead_code, reason = "a test, which shares the checkers with others")]

mod support;

use std::collections::BTreeMap;

use context::{Context, Options};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::rules::{FORMATS, refused};
use support::{accepted, answer, chosen, message, messages, written};

const NO_RESULT: &str = "[no result: interrupted]";

/// What is stored, one message each.
#[derive(Debug, Clone)]
enum Event {
    User,
    Says,
    /// Calls with these ids.
    Calls(Vec<&'static str>),
    /// The result of a call with this id.
    Result(&'static str),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let id = || prop::sample::select(vec!["a", "a", "b"]);
    let event = prop_oneof![
        1 => Just(Event::User),
        1 => Just(Event::Says),
        4 => prop::collection::vec(id(), 1..4).prop_map(Event::Calls),
        6 => id().prop_map(Event::Result),
    ];
    prop::collection::vec(event, 1..16)
}

#[derive(Debug, Clone, Copy)]
enum Spelling {
    OpenAi,
    /// All ids are empty.
    WithoutIds,
    Anthropic,
    Responses,
    AiSdk,
    Gemini,
    /// As older models have it: a result belongs to the next call of its function.
    GeminiWithoutIds,
    Converse,
}

const SPELLINGS: [Spelling; 8] = [
    Spelling::OpenAi,
    Spelling::WithoutIds,
    Spelling::Anthropic,
    Spelling::Responses,
    Spelling::AiSdk,
    Spelling::Gemini,
    Spelling::GeminiWithoutIds,
    Spelling::Converse,
];

/// What belongs to a stored conversation.
#[derive(Debug, Default, PartialEq)]
struct Expected {
    /// Each result that is sent: the numbers of its call and of the result.
    answered: Vec<(usize, usize)>,
    /// The calls without results, by number.
    interrupted: Vec<usize>,
    open: Vec<String>,
}

/// Written for clearness. In each run of the assistant's messages, the calls of an id that are answered are those of the nearest messages, and
/// the first ones there. They get their results in order.
fn expected(events: &[Event]) -> Expected {
    let mut expected = Expected::default();
    let (mut number, mut result, mut at) = (0, 0, 0);
    while at < events.len() {
        // The assistant's messages, with the number and the id of each call.
        let mut run: Vec<Vec<(usize, &str)>> = Vec::new();
        while let Some(Event::Calls(_) | Event::Says) = events.get(at) {
            let ids: &[&str] = if let Event::Calls(ids) = &events[at] { ids } else { &[] };
            run.push(ids.iter().enumerate().map(|(place, id)| (number + place, *id)).collect());
            number += ids.len();
            at += 1;
        }
        let mut results: Vec<(usize, &str)> = Vec::new();
        while let Some(Event::Result(id)) = events.get(at) {
            results.push((result, id));
            result += 1;
            at += 1;
        }
        let mut answered: Vec<(usize, usize)> = Vec::new();
        for wanted in ["a", "b"] {
            let results: Vec<usize> = results.iter().filter(|(_, id)| *id == wanted).map(|(result, _)| *result).collect();
            let nearest = run.iter().rev().flatten().filter(|(_, id)| *id == wanted);
            let mut calls: Vec<usize> = nearest.map(|(call, _)| *call).take(results.len()).collect();
            calls.sort_unstable();
            answered.extend(calls.into_iter().zip(results));
        }
        let is_answered = |call: usize| answered.iter().any(|(of, _)| *of == call);
        let last: Vec<(usize, &str)> = run.pop().unwrap_or_default();
        if at == events.len() && last.iter().any(|(call, _)| !is_answered(*call)) {
            expected.open = last.iter().filter(|(call, _)| !is_answered(*call)).map(|(_, id)| (*id).to_owned()).collect();
            answered.retain(|(call, _)| last.iter().all(|(open, _)| open != call));
        } else {
            run.push(last);
        }
        let is_answered = |call: usize| answered.iter().any(|(of, _)| *of == call);
        expected.interrupted.extend(run.iter().flatten().map(|(call, _)| *call).filter(|call| !is_answered(*call)));
        expected.answered.extend(answered);
        if let Some(Event::User) = events.get(at) {
            at += 1;
        }
    }
    expected.answered.sort_unstable();
    expected
}

/// The conversation in this spelling. A call has its number as an argument, and a result says which one it is.
fn spelled(events: &[Event], spelling: Spelling) -> Vec<Value> {
    let (mut number, mut result) = (0, 0);
    let stored = |id: &str, number: usize| if id == RANDOM { format!("toolu_01A09q90qw90lq{number}x") } else { id.to_owned() };
    let messages = events.iter().map(|event| match event {
        Event::User => json!({"role": "user", "content": "q"}),
        Event::Says => json!({"role": "assistant", "content": "hm"}),
        Event::Calls(ids) => {
            let calls: Vec<Value> = ids
                .iter()
                .map(|id| {
                    let (arguments, id) = (json!({"number": number}), stored(id, number));
                    number += 1;
                    match spelling {
                        Spelling::OpenAi | Spelling::WithoutIds => {
                            let id = if matches!(spelling, Spelling::OpenAi) { id } else { String::new() };
                            json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments.to_string()}})
                        }
                        Spelling::Anthropic => json!({"type": "tool_use", "id": id, "name": "f", "input": arguments}),
                        Spelling::Responses => {
                            json!({"type": "function_call", "call_id": id, "name": "f", "arguments": arguments.to_string()})
                        }
                        Spelling::AiSdk => json!({"type": "tool-call", "toolCallId": id, "toolName": "f", "input": arguments}),
                        Spelling::Gemini => json!({"functionCall": {"id": id, "name": "f", "args": arguments}}),
                        Spelling::GeminiWithoutIds => json!({"functionCall": {"name": id, "args": arguments}}),
                        Spelling::Converse => json!({"toolUse": {"toolUseId": id, "name": "f", "input": arguments}}),
                    }
                })
                .collect();
            if matches!(spelling, Spelling::OpenAi | Spelling::WithoutIds) {
                json!({"role": "assistant", "content": null, "tool_calls": calls})
            } else {
                json!({"role": "assistant", "content": calls})
            }
        }
        Event::Result(id) => {
            let said = format!("result {result}");
            result += 1;
            match spelling {
                Spelling::OpenAi => json!({"role": "tool", "tool_call_id": id, "content": said}),
                Spelling::WithoutIds => json!({"role": "tool", "tool_call_id": "", "content": said}),
                Spelling::Anthropic => {
                    json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": said}]})
                }
                Spelling::Responses => {
                    json!({"role": "tool", "content": [{"type": "function_call_output", "call_id": id, "output": said}]})
                }
                Spelling::AiSdk => {
                    let output = json!({"type": "text", "value": said});
                    json!({"role": "tool", "content": [{"type": "tool-result", "toolCallId": id, "toolName": "f", "output": output}]})
                }
                Spelling::Gemini | Spelling::GeminiWithoutIds => {
                    let mut response = json!({"name": "f", "id": id, "response": {"output": said}});
                    if matches!(spelling, Spelling::GeminiWithoutIds) {
                        response = json!({"name": id, "response": {"output": said}});
                    }
                    json!({"role": "user", "content": [{"functionResponse": response}]})
                }
                Spelling::Converse => {
                    json!({"role": "user", "content": [{"toolResult": {"toolUseId": id, "content": [{"text": said}]}}]})
                }
            }
        }
    });
    messages.collect()
}

/// What a format says: the calls with their ids, and the results with the ids of their calls, in order. Without ids, names are in their place.
enum Heard {
    Call(String, usize),
    Result(String, String),
}

fn heard(answer: &Value, format: &str) -> Vec<Heard> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |arguments: &Value| {
        let parsed = arguments.as_str().map(|text| serde_json::from_str::<Value>(text).unwrap());
        usize::try_from(parsed.as_ref().unwrap_or(arguments)["number"].as_u64().unwrap()).unwrap()
    };
    let id_or_name = |value: &Value| text(value.get("id").unwrap_or(&value["name"]));
    let said = |value: &Value| text(if value.is_array() { &value[0]["text"] } else { value });
    let mut heard = Vec::new();
    let messages = ["messages", "input", "contents"].iter().find_map(|name| answer.get(name)).unwrap();
    for message in messages.as_array().unwrap() {
        if message["role"] == "tool" {
            heard.push(Heard::Result(text(&message["tool_call_id"]), said(&message["content"])));
        }
        if format == "responses" && message.get("call_id").is_some() {
            heard.push(match message.get("output") {
                Some(output) => Heard::Result(text(&message["call_id"]), said(output)),
                None => Heard::Call(text(&message["call_id"]), number(&message["arguments"])),
            });
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            heard.push(Heard::Call(text(&call["id"]), number(&call["function"]["arguments"])));
        }
        let parts = message.get("content").or_else(|| message.get("parts"));
        for part in parts.and_then(Value::as_array).into_iter().flatten() {
            heard.extend(match format {
                "anthropic" if part["type"] == "tool_use" => Some(Heard::Call(text(&part["id"]), number(&part["input"]))),
                "anthropic" if part["type"] == "tool_result" => {
                    Some(Heard::Result(text(&part["tool_use_id"]), said(&part["content"])))
                }
                "gemini" if part["functionCall"].is_object() => {
                    Some(Heard::Call(id_or_name(&part["functionCall"]), number(&part["functionCall"]["args"])))
                }
                "gemini" if part["functionResponse"].is_object() => {
                    let own = &part["functionResponse"];
                    let said = own["response"].get("output").unwrap_or(&own["response"]["error"]);
                    Some(Heard::Result(id_or_name(own), text(said)))
                }
                "converse" if part["toolUse"].is_object() => {
                    Some(Heard::Call(text(&part["toolUse"]["toolUseId"]), number(&part["toolUse"]["input"])))
                }
                "converse" if part["toolResult"].is_object() => {
                    let own = &part["toolResult"];
                    Some(Heard::Result(text(&own["toolUseId"]), said(&own["content"])))
                }
                _ => None,
            });
        }
    }
    heard
}

/// The same as `expected`, as far as a format says it.
fn paired(heard: Vec<Heard>, open: Vec<String>) -> Expected {
    let mut paired = Expected { open, ..Expected::default() };
    let mut waiting: Vec<(String, usize)> = Vec::new();
    for said in heard {
        match said {
            Heard::Call(id, number) => waiting.push((id, number)),
            Heard::Result(id, text) => {
                let at = waiting.iter().position(|(call, _)| *call == id).unwrap();
                let (_, call) = waiting.remove(at);
                match text.strip_prefix("result ") {
                    Some(result) => paired.answered.push((call, result.parse().unwrap())),
                    None if text == NO_RESULT => paired.interrupted.push(call),
                    None => panic!("{text}?"),
                }
            }
        }
    }
    assert_eq!(waiting, [], "calls without results");
    paired.answered.sort_unstable();
    paired.interrupted.sort_unstable();
    paired
}

/// Stands for an id that no other call has.
const RANDOM: &str = "?";
/// Ids of 70 characters that begin alike.
const LONG: [&str; 2] = [
    "call_00000000000000000000000000000000000000000000000000000000000000001",
    "call_00000000000000000000000000000000000000000000000000000000000000002",
];

/// Conversations whose calls all have ids that come again, or that an API does not take.
fn calls() -> impl Strategy<Value = Vec<Event>> {
    let ids = ["a", "a", "b", "a_3_0", "a_3_1", "functions.f:0", "functions_f_0", RANDOM, LONG[0], LONG[1]];
    let calls = prop::collection::vec(prop::sample::select(ids.to_vec()), 1..4);
    let event = prop_oneof![2 => Just(Event::User), 1 => Just(Event::Says), 4 => calls.prop_map(Event::Calls)];
    prop::collection::vec(event, 1..16)
}

/// The ids of the calls, by their numbers, in a context of the messages from one of them on.
fn ids_from(first: usize, all: &[Value], format: &str) -> BTreeMap<usize, String> {
    let read = all.iter().enumerate().skip(first).map(|(at, value)| (message(at, value), [None, None])).collect();
    let context = Context::choose(Vec::new(), None, read, None, i64::try_from(all.len()).unwrap(), Options::default());
    let answer = written(&context, format);
    assert_eq!(refused(format, &answer), None, "{answer:#}");
    let calls = heard(&answer, format).into_iter();
    calls.filter_map(|heard| if let Heard::Call(id, number) = heard { Some((number, id)) } else { None }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_call_has_the_same_id_in_every_context(events in calls()) {
        let events: Vec<Event> = std::iter::once(Event::User).chain(events).chain([Event::User]).collect();
        for spelling in SPELLINGS.into_iter().filter(|spelling| !matches!(spelling, Spelling::GeminiWithoutIds)) {
            let all = spelled(&events, spelling);
            for format in FORMATS {
                let whole = ids_from(0, &all, format);
                let starts = (1..all.len()).filter(|at| matches!(events[*at], Event::User));
                for first in starts {
                    for (number, id) in ids_from(first, &all, format) {
                        prop_assert_eq!(&id, &whole[&number], "{:?} in {} from {}: {:#}", spelling, format, first, json!(all));
                    }
                }
            }
        }
    }
}

#[test]
fn a_call_keeps_an_id_that_the_api_takes_and_no_other_call_has() {
    let call =
        |id: &str| json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "f", "input": {"number": 0}}]});
    let random = "toolu_01A09q90qw90lq917835lq9";
    for (format, stored, expected) in [
        ("anthropic", random, random),
        ("anthropic", "call_12345678901234567890", "call_12345678901234567890"),
        ("anthropic", "call_0", "call_0_2_0"),
        ("responses", "functions.f:0", "functions_f_0_2_0"),
        ("converse", "call_get_weather_12", "call_get_weather_12_2_0"),
        ("gemini", "a1b2c3d4", "a1b2c3d4"),
        ("openai", "call_0", "call_0"),
        ("openai", "functions.f:0", "functions.f:0"),
        ("openai", LONG[0], "call_0000000000000000000000000000000_2_0"),
    ] {
        let all = [json!({"role": "user", "content": "q"}), call(stored), json!({"role": "user", "content": "q"})];
        assert_eq!(ids_from(0, &all, format)[&0], expected, "{format}");
    }
    // Whatever was stored twice, no id comes twice.
    let all = [json!({"role": "user", "content": "q"}), call(random), call(random), json!({"role": "user", "content": "q"})];
    for format in ["anthropic", "responses", "converse"] {
        let written = accepted(&all, format).to_string();
        assert!(written.contains(&format!("{random}_3_0")), "{format}: {written}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_result_stands_behind_the_call_that_it_was_stored_for(events in events()) {
        let events: Vec<Event> = std::iter::once(Event::User).chain(events).collect();
        for spelling in SPELLINGS {
            let is_without_ids = matches!(spelling, Spelling::WithoutIds);
            let same = |event: &Event| match event {
                Event::Calls(ids) if is_without_ids => Event::Calls(vec!["a"; ids.len()]),
                Event::Result(_) if is_without_ids => Event::Result("a"),
                event => event.clone(),
            };
            let events: Vec<Event> = events.iter().map(same).collect();
            let messages = spelled(&events, spelling);
            let mut expected = expected(&events);
            if is_without_ids {
                expected.open.fill(String::new());
            }
            for drop in [false, true] {
                if drop {
                    expected.interrupted.clear();
                }
                let query = if drop { "unanswered=drop" } else { "" };
                let open = chosen(&messages, query).open_calls;
                for format in FORMATS {
                    let answer = answer(&messages, format, query);
                    let told = format!("{spelling:?} in {format}: {:#}\n{answer:#}", json!(messages));
                    prop_assert_eq!(refused(format, &answer), None, "{}", told);
                    prop_assert_eq!(&paired(heard(&answer, format), open.clone()), &expected, "{}", told);
                }
            }
        }
    }
}

#[test]
fn a_message_may_answer_its_own_calls() {
    let call = json!({"type": "tool-call", "toolCallId": "", "toolName": "f", "input": {}});
    let result =
        |said: &str| json!({"type": "tool-result", "toolCallId": "", "toolName": "f", "output": {"type": "text", "value": said}});
    let blocks = json!([call, call, result("rain"), result("sun"), {"type": "text", "text": "So."}]);
    let called = json!([{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let beside = json!([{"type": "text", "text": "So."}, {"type": "tool_result", "tool_use_id": "a", "content": "rain sun"}]);
    for said in
        [json!({"role": "assistant", "content": blocks}), json!({"role": "assistant", "content": beside, "tool_calls": called})]
    {
        let all = [json!({"role": "user", "content": "q"}), said, json!({"role": "user", "content": "q"})];
        assert_eq!(messages(&all, "")[1]["content"], all[1]["content"], "nothing is repaired");
        for format in FORMATS {
            let written = accepted(&all, format).to_string();
            assert!(["rain", "sun", "So."].into_iter().all(|word| written.contains(word)), "{format}: {written}");
        }
    }
}

#[test]
fn a_result_before_a_call_of_its_id_belongs_to_the_call_before() {
    let call = json!({"type": "tool_use", "id": "a", "name": "f", "input": {}});
    let result = |said: &str| json!({"type": "tool_result", "tool_use_id": "a", "content": said});
    let all = [
        json!({"role": "user", "content": "q"}),
        json!({"role": "assistant", "content": [call]}),
        json!({"role": "assistant", "content": [result("rain"), call]}),
        json!({"role": "user", "content": [result("sun")]}),
    ];
    assert_eq!(chosen(&all, "").repaired, [] as [i64; 0]);
    for format in FORMATS {
        let written = accepted(&all, format).to_string();
        assert!(written.contains("rain") && written.contains("sun"), "{format}: {written}");
    }
}
