//! What `get-context` answers, written for clearness: every rule on its own, and every start tried one by one.
//!
//! It takes messages as `get-chat-history` gives them. Their JSON must have been stored as `serde_json` writes it, because the
//! characters of `tool_calls` and of content parts are counted here from what it writes.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

/// What is expected. `messages` holds all that are sent, with the stored message's position for a synthetic result.
#[derive(Debug, Default)]
pub struct Expected {
    pub messages: Vec<Value>,
    pub omitted: usize,
    pub repaired: Vec<u64>,
    pub open_calls: Vec<String>,
    pub elided: usize,
    /// Not even the newest turn fits.
    pub is_shortened: bool,
}

#[derive(Clone, Copy)]
pub struct Limits {
    pub messages: usize,
    pub characters: usize,
    pub tokens: u64,
    /// By how much the start moves.
    pub step: Option<i64>,
    /// How many tool results keep their contents.
    pub results: Option<usize>,
}

const NO_RESULT: &str = "[no result: interrupted]";
pub const NO_OUTPUT: &str = "[no output]";

fn is_empty_result(message: &Value) -> bool {
    message["role"] == "tool" && message["content"] == ""
}

pub fn context(all: &[Value], drop: bool, limits: Limits) -> Expected {
    let instructions = all.iter().take_while(|message| instructs(message)).count();
    let (pinned, others) = all.split_at(instructions);
    let (others, open_calls) = without_open_calls(others);
    let groups = groups(&others);

    let expected = |kept: Vec<&[Value]>, is_shortened| {
        let (mut messages, mut repaired) = (pinned.to_vec(), Vec::new());
        for group in kept {
            let sent = sent(group, drop);
            repaired.extend(sent.repaired);
            messages.extend(sent.messages);
        }
        repaired.sort_unstable();
        let elided = limits.results.map_or(0, |keep| elide(&mut messages, keep, &Rulers { all, limits }));
        let stored = messages.iter().filter(|message| message["metadata"]["synthetic"].is_null()).count();
        Expected { messages, omitted: all.len() - stored, repaired, open_calls: open_calls.clone(), elided, is_shortened }
    };
    let fits = |kept: &[&[Value]]| {
        let stored = kept.iter().flat_map(|group| group.iter()).chain(pinned);
        let (count, size, stored_tokens) =
            stored.fold((0, 0, 0), |(count, size, sum), message| (count + 1, size + characters(message), sum + tokens(message)));
        let sent: Vec<Sent> = kept.iter().map(|group| sent(group, drop)).collect();
        let sent_count: usize = pinned.len() + sent.iter().map(|sent| sent.messages.len()).sum::<usize>();
        let sent_size: usize =
            pinned.iter().map(characters).sum::<usize>() + sent.iter().map(|sent| sent.characters).sum::<usize>();
        let sent_tokens = pinned.iter().chain(sent.iter().flat_map(|sent| &sent.messages)).map(tokens).sum();
        count.max(sent_count) <= limits.messages
            && size.max(sent_size) <= limits.characters
            && stored_tokens.max(sent_tokens) <= limits.tokens
    };

    let starts: Vec<usize> = (0..groups.len()).filter(|at| begins_turn(&groups[*at][0])).collect();
    let fitting: Vec<usize> = starts.iter().copied().filter(|start| fits(&groups[*start..])).collect();
    let ruler = Rulers { all, limits };
    if let Some(start) = fitting.first() {
        let without_step = limits.step.is_none() || fits(&groups);
        let from_mark = (!without_step).then(|| ruler.start(&groups, pinned, |at| starts.contains(&at), |at| fits(&groups[at..])));
        return expected(groups[from_mark.unwrap_or(Some(*start)).or(fitting.last().copied()).unwrap()..].to_vec(), false);
    }
    let Some(question) = starts.last() else { return expected(Vec::new(), true) };
    let shortened = |start: usize| [&[groups[*question]], &groups[start..]].concat();
    let is_start = |step: usize| step > *question && begins_step(&others, groups[..step].concat().len());
    let fitting: Vec<usize> = (0..groups.len()).filter(|step| is_start(*step) && fits(&shortened(*step))).collect();
    let base = [pinned, groups[*question]].concat();
    let from_mark = ruler.start(&groups, &base, is_start, |at| fits(&shortened(at)));
    let longest = if limits.step.is_some() { fitting.last() } else { fitting.first() };
    let start = from_mark.or(longest.copied()).unwrap_or(groups.len());
    expected(shortened(start), true)
}

/// How much had been appended before each message of a conversation in which nothing was edited or deleted.
struct Rulers<'a> {
    all: &'a [Value],
    limits: Limits,
}

impl Rulers<'_> {
    /// Sizes as messages, characters and tokens.
    fn size<'m>(messages: impl Iterator<Item = &'m Value>) -> [i64; 3] {
        messages.fold([0; 3], |size, message| {
            let own = [1, whole(characters(message)), whole(tokens(message))];
            [0, 1, 2].map(|ruler| size[ruler] + own[ruler])
        })
    }

    fn place(&self, group: &[Value]) -> [i64; 3] {
        Self::size(self.all.iter().take_while(|message| message["position"] != group[0]["position"]))
    }

    /// The rulers of the limits.
    fn used(&self) -> Vec<usize> {
        let Limits { messages, characters, tokens, .. } = self.limits;
        let limited = [messages < usize::MAX, characters < usize::MAX, tokens < u64::MAX];
        let used: Vec<usize> = (0..3).filter(|ruler| limited[*ruler]).collect();
        if used.is_empty() { vec![0] } else { used }
    }

    /// The first start behind the lowest mark that keeps the limit, tried one by one.
    fn start(
        &self,
        groups: &[&[Value]],
        base: &[Value],
        is_start: impl Fn(usize) -> bool,
        fits: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let step = self.limits.step?;
        let limits = [whole(self.limits.messages), whole(self.limits.characters), whole(self.limits.tokens)];
        let used = self.used();
        let end = Self::size(self.all.iter());
        let marks: Vec<i64> = used
            .iter()
            .map(|ruler| {
                let has_room = |mark: &i64| {
                    let behind = groups.iter().position(|group| self.place(group)[*ruler] >= *mark);
                    behind.is_some_and(|first| {
                        let kept = Self::size(groups[first..].iter().flat_map(|group| group.iter()).chain(base));
                        kept[*ruler] + self.place(groups[first])[*ruler] - mark <= limits[*ruler]
                    })
                };
                (0..=end[*ruler] / step).map(|n| n * step).find(has_room).unwrap_or(i64::MAX)
            })
            .collect();
        let behind = |marks: &[i64]| {
            let is_behind = |at: &usize| used.iter().zip(marks).all(|(ruler, mark)| self.place(groups[*at])[*ruler] >= *mark);
            (0..groups.len()).find(|at| is_start(*at) && is_behind(at))
        };
        let start = behind(&marks)?;
        if fits(start) {
            return Some(start);
        }
        let too_large = (0..groups.len()).rfind(|at| !fits(*at)).unwrap();
        let place = self.place(groups[too_large])[used[0]];
        let higher: Vec<i64> = [(place / step + 1) * step].into_iter().chain(marks.into_iter().skip(1)).collect();
        behind(&higher)
    }
}

/// Replaces the contents of all but the newest results, or of those before the mark that comes before the newest.
fn elide(messages: &mut [Value], keep: usize, rulers: &Rulers) -> usize {
    let mut places: Vec<(usize, Option<usize>)> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let in_parts =
            parts(message).enumerate().filter(|(_, part)| part["type"] == "tool_result").map(|(part, _)| (at, Some(part)));
        places.extend((message["role"] == "tool").then_some((at, None)).into_iter().chain(in_parts));
    }
    let (old, newest) = places.split_at(places.len().saturating_sub(keep));
    let place = |at: usize| rulers.place(std::slice::from_ref(&messages[at]));
    let is_old = |at: usize| match (rulers.limits.step, newest.first()) {
        (Some(step), Some((first, _))) => {
            rulers.used().into_iter().all(|ruler| place(at)[ruler] < place(*first)[ruler] / step * step)
        }
        _ => true,
    };
    let old: Vec<(usize, Option<usize>)> = old.iter().copied().filter(|(at, _)| is_old(*at)).collect();
    let mut elided = 0;
    for (at, message) in messages.iter_mut().enumerate() {
        let (before, mut count) = (message.clone(), 0);
        for (_, part) in old.iter().filter(|(of, _)| *of == at) {
            let content = match part {
                None => &mut message["content"],
                Some(part) => &mut message["content"][*part]["content"],
            };
            let length = content.as_str().map_or_else(|| content.to_string(), str::to_owned).chars().count();
            let replacement = format!("[omitted: {length} characters]");
            if replacement.len() + 2 < length {
                *content = json!(replacement);
                message["token_count"] = Value::Null;
                count += 1;
            }
        }
        if tokens(message) > tokens(&before) {
            *message = before;
        } else {
            elided += count;
        }
    }
    elided
}

fn whole(size: impl TryInto<i64>) -> i64 {
    size.try_into().unwrap_or(i64::MAX)
}

fn instructs(message: &Value) -> bool {
    message["role"] == "system" || message["role"] == "developer"
}

fn parts(message: &Value) -> impl Iterator<Item = &Value> {
    message["content"].as_array().into_iter().flatten()
}

fn calls(message: &Value) -> Vec<String> {
    let in_parts = parts(message).filter(|part| part["type"] == "tool_use");
    let calls = message["tool_calls"].as_array().into_iter().flatten().chain(in_parts);
    calls.map(|call| call["id"].as_str().unwrap().to_owned()).collect()
}

fn results(message: &Value) -> Vec<String> {
    let in_parts = parts(message).filter(|part| part["type"] == "tool_result").map(|part| &part["tool_use_id"]);
    let id = (message["role"] == "tool").then_some(&message["tool_call_id"]);
    id.into_iter().chain(in_parts).map(|id| id.as_str().unwrap().to_owned()).collect()
}

fn begins_turn(message: &Value) -> bool {
    message["role"] == "user" && results(message).is_empty()
}

/// Results, and nothing said.
fn only_answers(message: &Value) -> bool {
    let says = message["content"].is_string() || parts(message).any(|part| part["type"] != "tool_result");
    message["role"] == "tool" || message["role"] == "user" && !says && !results(message).is_empty()
}

fn is_assistant(message: &Value) -> bool {
    message["role"] == "assistant"
}

/// The messages that may have results of this message's calls. Assistant messages may follow it directly. Behind these come results, up
/// to the next message in which somebody speaks. The user may speak in the last message that has results.
fn answers_of(messages: &[Value], caller: usize) -> std::ops::Range<usize> {
    let start = (caller..messages.len()).find(|at| !is_assistant(&messages[*at])).unwrap_or(messages.len());
    let first_other = (start..messages.len()).find(|at| !instructs(&messages[*at]) && !only_answers(&messages[*at]));
    let end = match first_other {
        None => messages.len(),
        Some(at) if messages[at]["role"] == "user" && !results(&messages[at]).is_empty() => at + 1,
        Some(at) => at,
    };
    let last_result = (start..end).rev().find(|at| !results(&messages[*at]).is_empty());
    start..last_result.map_or(start, |at| at + 1)
}

/// Which calls and results belong to each other: for each result of each message, the message with its call. The nearest calls of an id are
/// answered, and they get their results in order.
fn answered(messages: &[Value]) -> Vec<Vec<Option<usize>>> {
    // The places of results, and their callers.
    type Pairs = Vec<(usize, usize, usize)>;
    let (mut answered, mut unanswered) = (Vec::<Vec<Option<usize>>>::new(), messages.iter().map(calls).collect::<Vec<_>>());
    let mut answer = |at: usize, id: String| {
        let caller = (0..at).rev().find(|caller| {
            is_assistant(&messages[*caller]) && answers_of(messages, *caller).contains(&at) && unanswered[*caller].contains(&id)
        })?;
        let call = unanswered[caller].iter().position(|call| *call == id)?;
        unanswered[caller].remove(call);
        Some(caller)
    };
    let mut same: BTreeMap<(String, usize), Pairs> = BTreeMap::new();
    for (at, message) in messages.iter().enumerate() {
        let ids = results(message);
        answered.push(ids.iter().map(|id| answer(at, id.clone())).collect());
        for (result, id) in ids.into_iter().enumerate() {
            let Some(caller) = answered[at][result] else { continue };
            same.entry((id, answers_of(messages, caller).start)).or_default().push((at, result, caller));
        }
    }
    for pairs in same.into_values() {
        let mut callers: Vec<usize> = pairs.iter().map(|(.., caller)| *caller).collect();
        callers.sort_unstable();
        for ((at, result, _), caller) in pairs.into_iter().zip(callers) {
            answered[at][result] = Some(caller);
        }
    }
    answered
}

/// The calls of a message that have no result, each with its index among the message's calls.
fn missing(messages: &[Value], answered: &[Vec<Option<usize>>], caller: usize) -> Vec<(usize, String)> {
    let mut missing: Vec<(usize, String)> = calls(&messages[caller]).into_iter().enumerate().collect();
    for (message, callers) in messages.iter().zip(answered) {
        for (id, _) in results(message).iter().zip(callers).filter(|(_, of)| **of == Some(caller)) {
            let call = missing.iter().position(|(_, call)| call == id).unwrap();
            missing.remove(call);
        }
    }
    missing
}

/// Leaves out the message whose calls are open, and its results.
fn without_open_calls(messages: &[Value]) -> (Vec<Value>, Vec<String>) {
    let speaks = |message: &Value| !instructs(message) && !only_answers(message);
    let Some(last) = messages.iter().rposition(speaks) else { return (messages.to_vec(), Vec::new()) };
    let answered = answered(messages);
    let open: Vec<String> = missing(messages, &answered, last).into_iter().map(|(_, id)| id).collect();
    if open.is_empty() {
        return (messages.to_vec(), open);
    }
    let others = (0..messages.len()).filter(|at| *at != last);
    let others = others.filter_map(|at| without_results(&messages[at], |result| answered[at][result] == Some(last))).collect();
    (others, open)
}

/// Without some of its results, if anything is left.
fn without_results(whole: &Value, drop: impl Fn(usize) -> bool) -> Option<Value> {
    let (mut message, mut result) = (whole.clone(), 0);
    if message["role"] == "tool" {
        return (!drop(0)).then_some(message);
    }
    if let Some(parts) = message["content"].as_array_mut() {
        parts.retain(|part| {
            let is_result = part["type"] == "tool_result";
            result += usize::from(is_result);
            !(is_result && drop(result - 1))
        });
    }
    if message["content"] != whole["content"] {
        message["token_count"] = Value::Null;
    }
    (message["content"] != json!([])).then_some(message)
}

/// Messages that are sent together: a step with everything up to its last result, or else one message.
fn groups(messages: &[Value]) -> Vec<&[Value]> {
    let answered = answered(messages);
    let (mut groups, mut at) = (Vec::new(), 0);
    while at < messages.len() {
        let has_result = answered.iter().flatten().any(|caller| *caller == Some(at));
        let end = if has_result || (is_last_of_run(messages, at) && !calls(&messages[at]).is_empty()) {
            answers_of(messages, at).end
        } else {
            at + 1
        };
        groups.push(&messages[at..end]);
        at = end;
    }
    groups
}

/// Whether a shortened turn may go on here: where the assistant begins, or goes on in a run to which all results behind it belong.
fn begins_step(messages: &[Value], at: usize) -> bool {
    let results = answers_of(messages, at);
    let goes_on = at > 0 && is_assistant(&messages[at - 1]);
    is_assistant(&messages[at]) && (!goes_on || answered(messages)[results].iter().flatten().all(Option::is_some))
}

fn is_last_of_run(messages: &[Value], at: usize) -> bool {
    is_assistant(&messages[at]) && messages.get(at + 1).is_none_or(|next| !is_assistant(next))
}

struct Sent {
    messages: Vec<Value>,
    characters: usize,
    repaired: Vec<u64>,
}

/// What is sent of a group, in the order in which an API takes it.
fn sent(group: &[Value], drop: bool) -> Sent {
    const CALLS: u8 = 0;
    const RESULTS: u8 = 1;
    const SYNTHETIC: u8 = 2;
    const SAID: u8 = 3;
    const INSTRUCTIONS: u8 = 4;
    let answered = answered(group);
    let (mut sent, mut repaired, mut last_answer) = (Vec::<(u8, Value)>::new(), Vec::new(), 0);
    for (at, message) in group.iter().enumerate() {
        let missing = missing(group, &answered, at);
        if !missing.is_empty() || answered[at].contains(&None) {
            repaired.push(position(message));
        }
        if let Some(rest) = without_results(message, |result| answered[at][result].is_none()) {
            let rank = if is_assistant(message) {
                CALLS
            } else if instructs(message) {
                INSTRUCTIONS
            } else if only_answers(message) {
                RESULTS
            } else {
                SAID
            };
            if rank == RESULTS || rank == SAID {
                last_answer = at;
            }
            let rest = if drop && !missing.is_empty() { without_calls(rest, &missing) } else { Some(rest) };
            sent.extend(rest.map(|rest| (rank, rest)));
        }
        if !drop {
            sent.extend(synthetic(message, &missing).into_iter().map(|result| (SYNTHETIC, result)));
        }
    }
    repaired.extend(group[..last_answer].iter().filter(|message| instructs(message)).map(position));
    sent.sort_by_key(|(rank, _)| *rank);
    let calling: Vec<&Value> = sent.iter().filter(|(rank, _)| *rank == CALLS).map(|(_, message)| message).collect();
    let apart: usize = calling.iter().map(|message| characters(message)).sum();
    let together = if calling.len() > 1 { characters(&joined(&calling)) } else { 0 };
    let others: usize = sent.iter().filter(|(rank, _)| *rank != CALLS).map(|(_, message)| characters(message)).sum();
    let messages = sent.iter().map(|(_, message)| message.clone()).collect();
    Sent { messages, characters: others + apart.max(together), repaired }
}

fn without_calls(mut message: Value, missing: &[(usize, String)]) -> Option<Value> {
    // A message has its calls either in `tool_calls` or in parts.
    let mut call = 0;
    let mut keep = |is_call: bool| {
        call += usize::from(is_call);
        !(is_call && missing.iter().any(|(at, _)| *at == call - 1))
    };
    if let Some(calls) = message["tool_calls"].as_array_mut() {
        calls.retain(|_| keep(true));
    } else if let Some(parts) = message["content"].as_array_mut() {
        parts.retain(|part| keep(part["type"] == "tool_use"));
    }
    message["token_count"] = Value::Null;
    if message["tool_calls"] == json!([]) {
        message["tool_calls"] = Value::Null;
    }
    let says = !matches!(message["content"].as_str(), Some("")) && message["content"] != json!([]) && !message["content"].is_null();
    (says || !message["tool_calls"].is_null()).then_some(message)
}

fn synthetic(message: &Value, missing: &[(usize, String)]) -> Vec<Value> {
    let new = |role: &str, content: Value, tool_call_id: Value| {
        let mut new = message.clone();
        new["role"] = json!(role);
        new["content"] = content;
        new["tool_calls"] = Value::Null;
        new["tool_call_id"] = tool_call_id;
        new["name"] = Value::Null;
        new["token_count"] = Value::Null;
        new["metadata"] = json!({"synthetic": true});
        new
    };
    if message["tool_calls"].is_array() {
        return missing.iter().map(|(_, id)| new("tool", json!(NO_RESULT), json!(id))).collect();
    }
    let part = |id: &String| json!({"type": "tool_result", "tool_use_id": id, "content": NO_RESULT});
    let parts: Vec<Value> = missing.iter().map(|(_, id)| part(id)).collect();
    if parts.is_empty() { Vec::new() } else { vec![new("user", json!(parts), Value::Null)] }
}

/// Assistant messages that are answered together, as `format=openai` has them.
fn joined(messages: &[&Value]) -> Value {
    let contents: Vec<&Value> = messages.iter().map(|message| &message["content"]).collect();
    let said: Vec<&&Value> = contents.iter().filter(|content| !content.is_null() && **content != "").collect();
    let texts: Vec<&str> = said.iter().filter_map(|content| content.as_str()).collect();
    let content = match said.len() {
        0 => contents.iter().find(|content| content.is_string()).map_or(Value::Null, |content| (*content).clone()),
        all if all == texts.len() => json!(texts.join("\n\n")),
        _ => {
            let parts = |content: &Value| match content.as_array() {
                Some(parts) => parts.clone(),
                None => vec![json!({"text": content, "type": "text"})],
            };
            said.into_iter().flat_map(|content| parts(content)).collect()
        }
    };
    let calls: Vec<&Value> = messages.iter().filter_map(|message| message["tool_calls"].as_array()).flatten().collect();
    let mut joined = messages[0].clone();
    joined["content"] = content;
    joined["tool_calls"] = if calls.is_empty() { Value::Null } else { json!(calls) };
    joined
}

/// A call's id, the same in a unique form, and the position of its message.
type Id = (String, String, u64);

/// The ids of the calls of messages that are one.
fn unique_ids(messages: &[&Value]) -> Vec<Id> {
    let mut ids: Vec<Id> = Vec::new();
    for message in messages {
        for (number, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
            let old = call["id"].as_str().unwrap_or_default().to_owned();
            let is_used = ids.iter().any(|(_, used, _)| *used == old);
            let new = if is_used { format!("{old}_{}_{number}", message["position"]) } else { old.clone() };
            ids.push((old, new, position(message)));
        }
    }
    ids
}

/// The ids that these results have in their unique form. A synthetic result belongs to the last calls of its id in its message.
fn ids_of_results(results: &[&Value], mut ids: Vec<Id>) -> VecDeque<String> {
    let mut found: Vec<Option<String>> = vec![None; results.len()];
    for (result, found) in results.iter().zip(&mut found).rev().filter(|(result, _)| result["metadata"]["synthetic"] == true) {
        let at = ids.iter().rposition(|(old, _, of)| result["tool_call_id"] == **old && *of == position(result)).unwrap();
        *found = Some(ids.remove(at).1);
    }
    for (result, found) in results.iter().zip(&mut found).filter(|(result, _)| result["metadata"]["synthetic"].is_null()) {
        let at = ids.iter().position(|(old, ..)| result["tool_call_id"] == **old).unwrap();
        *found = Some(ids.remove(at).1);
    }
    found.into_iter().map(Option::unwrap).collect()
}

/// The messages in Chat Completions' form.
pub fn as_openai(messages: &[Value]) -> Vec<Value> {
    let (mut written, mut ids): (Vec<Value>, VecDeque<String>) = (Vec::new(), VecDeque::new());
    let mut rest = messages;
    while let Some(first) = rest.first() {
        let run = rest.iter().take_while(|message| is_assistant(message)).count();
        let together = if run > 1 && !calls(first).is_empty() { run } else { 1 };
        let mut message = if together > 1 { joined(&rest[..together].iter().collect::<Vec<_>>()) } else { first.clone() };
        if is_assistant(first) {
            let unique = unique_ids(&rest[..together].iter().collect::<Vec<_>>());
            let calls = message["tool_calls"].as_array_mut().into_iter().flatten();
            for (call, (_, new, _)) in calls.zip(&unique) {
                call["id"] = json!(new);
            }
            let results: Vec<&Value> = rest[together..].iter().take_while(|message| message["role"] == "tool").collect();
            ids = ids_of_results(&results, unique);
        } else if message["role"] == "tool" {
            message["tool_call_id"] = json!(ids.pop_front().unwrap());
        }
        let mut new = json!({"role": message["role"], "content": message["content"]});
        if is_empty_result(&message) {
            new["content"] = json!(NO_OUTPUT);
        }
        for member in ["tool_calls", "tool_call_id", "name"] {
            if !message[member].is_null() {
                new[member] = message[member].clone();
            }
        }
        written.push(new);
        rest = &rest[together..];
    }
    written
}

/// The texts of all roles but instructions, and how many calls and results there are: what no format may lose.
pub fn said(messages: &[Value]) -> (Vec<String>, usize, usize) {
    let spoken: Vec<&Value> = messages.iter().filter(|message| !instructs(message) && message["role"] != "tool").collect();
    let texts = spoken.iter().flat_map(|message| {
        let text = message["content"].as_str().map(str::to_owned);
        text.into_iter().chain(parts(message).filter_map(|part| part["text"].as_str().map(str::to_owned)))
    });
    let count = |of: fn(&Value) -> Vec<String>| messages.iter().map(|message| of(message).len()).sum();
    (texts.filter(|text| !text.trim().is_empty()).collect(), count(calls), count(results))
}

pub fn characters(message: &Value) -> usize {
    let count = |value: &Value| match value {
        Value::Null => 0,
        Value::String(text) => text.chars().count(),
        json => json.to_string().chars().count(),
    };
    count(&message["content"]) + count(&message["tool_calls"])
}

/// What the caller counted, or else a quarter of the bytes and four more.
pub fn tokens(message: &Value) -> u64 {
    let bytes = |value: &Value| match value {
        Value::Null => 0,
        Value::String(text) => text.len(),
        json => json.to_string().len(),
    };
    let bytes = bytes(&message["content"]) + bytes(&message["tool_calls"]) + bytes(&message["name"]);
    message["token_count"].as_u64().unwrap_or(bytes.div_ceil(4) as u64 + 4)
}

fn position(message: &Value) -> u64 {
    message["position"].as_u64().unwrap()
}
