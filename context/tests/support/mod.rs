//! Conversations as JSON, and what is answered.

#[path = "../../../tests/api/get_context/rules.rs"]
pub mod rules;

use context::{CallIds, Content, Context, Format, Limits, Message, Options, Role, Source, Unanswered};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

/// A message of a conversation, as a request has it.
pub fn message(position: usize, message: &Value) -> Message {
    let raw = |name: &str| message.get(name).filter(|value| !value.is_null()).map(|value| to_raw_value(value).unwrap());
    let text = |name: &str| message[name].as_str().map(str::to_owned);
    let extra: serde_json::Map<String, Value> = ["reasoning_content", "refusal", "audio"]
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), message.get(*name)?.clone())))
        .collect();
    Message {
        source: Source::Stored(position),
        position: i64::try_from(position).unwrap() + 1,
        role: Role::parse(message["role"].as_str().unwrap()).unwrap(),
        content: match &message["content"] {
            Value::String(text) => Some(Content::Text(text.clone())),
            Value::Null => None,
            parts => Some(Content::Parts(to_raw_value(parts).unwrap())),
        },
        tool_calls: raw("tool_calls"),
        tool_call_id: text("tool_call_id"),
        name: text("name"),
        token_count: None,
        extra: (!extra.is_empty()).then(|| to_raw_value(&extra).unwrap()),
        other_bytes: 2,
    }
}

/// The answer in this format, with the parameters of `chosen`.
pub fn answer(messages: &[Value], format: &str, query: &str) -> Value {
    let chosen = chosen(messages, query);
    let mut answer = json!({"omitted": chosen.omitted, "tokens": chosen.tokens});
    answer.as_object_mut().unwrap().extend(written(&chosen, format).as_object().unwrap().clone());
    answer
}

/// The members of the answer that this format has.
pub fn written(context: &Context, format: &str) -> Value {
    serde_json::to_value(context.written(Format::parse(format).unwrap())).unwrap()
}

/// The messages as they are stored, with what was repaired.
pub fn messages(messages: &[Value], query: &str) -> Vec<Value> {
    let role = |role: Role| serde_json::to_value(role).unwrap();
    let content = |content: &Option<Content>| match content {
        Some(Content::Text(text)) => json!(text),
        Some(Content::Parts(parts)) => serde_json::from_str(parts.get()).unwrap(),
        None => Value::Null,
    };
    let chosen = chosen(messages, query).messages.into_iter();
    chosen.map(|message| json!({"role": role(message.role), "content": content(&message.content)})).collect()
}

/// The context, with the parameters `max_tokens`, `max_messages`, `call_ids`, `tool_results` and `unanswered`.
pub fn chosen(messages: &[Value], query: &str) -> Context {
    let mut options = Options::default();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match name {
            "max_tokens" => options.limits = Limits { tokens: Some(value.parse().unwrap()), ..options.limits },
            "max_messages" => options.limits = Limits { messages: Some(value.parse().unwrap()), ..options.limits },
            "unanswered" => options.unanswered = Unanswered::parse(value).unwrap(),
            "call_ids" => options.call_ids = CallIds::parse(value).unwrap(),
            "tool_results" => options.tool_results = Some(value.parse().unwrap()),
            _ => panic!("{name}?"),
        }
    }
    let stored = messages.iter().enumerate().map(|(at, value)| (message(at, value), [None, None]));
    let (pinned, newest): (Vec<_>, Vec<_>) = {
        let leading = messages.iter().take_while(|message| ["system", "developer"].contains(&message["role"].as_str().unwrap()));
        let leading = leading.count();
        let mut all: Vec<_> = stored.collect();
        let rest = all.split_off(leading);
        (all.into_iter().map(|(message, _)| message).collect(), rest)
    };
    let count = i64::try_from(messages.len()).unwrap();
    Context::choose(pinned, None, newest, None, count, options)
}

/// The answer in this format, which its API accepts.
pub fn accepted(messages: &[Value], format: &str) -> Value {
    let answer = answer(messages, format, "");
    assert_eq!(rules::refused(format, &answer), None, "{answer:#}");
    answer
}
