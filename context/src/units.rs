//! Splits a conversation into units that a model's API accepts one behind the other: an ordinary message, or a step of tool calls with
//! all its results. Calls that nobody answered are repaired here.
//!
//! A step is a run of adjacent assistant messages, the first with calls, and the results behind it. It ends where the user or the
//! assistant speaks again. Calls and results are matched within a step alone, because an id may come again in a later one.
//!
//! `matched` decides which call a result belongs to, and nothing else does. Each message that is sent says what was decided ([`Pairs`]).

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::value::RawValue;

use crate::formats::ai_sdk;
use crate::formats::spelling::{self, Read};
use crate::json::{Object, array, elements, is_filled_object, quoted, raw};
use crate::message::{Content, Message, Role, Source};
use crate::pairs::{CallKey, Pairs, Place};
use crate::part::{self, Kind, Spelling};
use crate::{Size, Unanswered};

/// What a model is told about a call that nobody answered.
const NO_RESULT: &str = "[no result: interrupted]";

/// Messages that are sent together or not at all.
#[derive(Default)]
pub(crate) struct Unit {
    /// What is sent. Nothing, for results that are left out.
    pub(crate) messages: Vec<Sent>,
    /// How many of `messages` are not stored.
    pub(crate) made: i64,
    /// The position of the first stored message.
    pub(crate) position: i64,
    /// Whether the user begins to speak here.
    pub(crate) begins_turn: bool,
    /// Whether the assistant speaks or calls first, and this is not the rest of a step whose beginning may be missing.
    pub(crate) begins_step: bool,
    /// The positions of stored messages that are sent in another way than they are stored, or not at all.
    pub(crate) repaired: Vec<i64>,
    /// How much is stored, what is left out included.
    pub(crate) stored: Size,
    /// How much is sent, in the larger of its formats.
    pub(crate) sent: Size,
}

impl Unit {
    /// A message of the user that begins a turn.
    pub(crate) fn of(message: Message) -> Self {
        Entry::of(message).alone()
    }

    fn send(&mut self, sent: Sent) {
        self.sent.add(&sent.message);
        self.messages.push(sent);
    }
}

/// A message that is sent.
pub(crate) struct Sent {
    pub(crate) message: Message,
    pub(crate) pairs: Pairs,
}

/// The units of these messages, which reach to the conversation's end, and the ids of the calls that are open there.
pub(crate) fn of(messages: Vec<Message>, unanswered: Unanswered) -> (Vec<Unit>, Vec<String>) {
    let entries: Vec<Entry> = messages.into_iter().map(Entry::of).collect();
    // Behind the last message that is no instruction, a step is at the end of the conversation.
    let end = entries.iter().rposition(|entry| !entry.instructs()).map_or(0, |last| last + 1);
    let mut repair = Repair { unanswered, units: Vec::with_capacity(entries.len()), open_calls: Vec::new() };
    let (mut entries, mut at) = (entries.into_iter(), 0);
    while let Some(first) = entries.as_slice().first() {
        if !first.is_assistants() {
            repair.units.extend(entries.next().map(Entry::alone));
            at += 1;
            continue;
        }
        let extent = Extent::of(entries.as_slice());
        let step: Vec<Entry> = entries.by_ref().take(extent.end).collect();
        at += extent.end;
        // Instructions interrupt nothing.
        repair.take_run(step, extent.run, !extent.spoken && at >= end);
    }
    (repair.units, repair.open_calls)
}

/// Whether the user begins to speak with this message, which is neither a result nor has one.
pub(crate) fn begins_turn(message: &Message) -> bool {
    message.role == Role::User && Tools::of(message).results.is_empty()
}

/// The size of messages of the assistant as one, whose calls are answered together: its characters and its bytes.
fn joined(messages: &[Sent]) -> Option<Message> {
    let messages = || messages.iter().map(|sent| &sent.message);
    let mut all = Message { token_count: None, ..messages().next()?.clone() };
    let contents: Vec<&Content> = messages().filter_map(|message| message.content.as_ref()).collect();
    let says: Vec<&Content> = contents.iter().filter(|content| !content.is_empty_text()).copied().collect();
    all.content = match &says[..] {
        [] => contents.first().map(|content| (*content).clone()),
        [only] => Some((*only).clone()),
        several => Some(join(several)),
    };
    let calls: Vec<&RawValue> = messages().filter_map(|message| message.tool_calls.as_deref()).collect();
    all.tool_calls = match &calls[..] {
        [] => None,
        [only] => Some((*only).to_owned()),
        several => Some(join_arrays(several)),
    };
    Some(all)
}

fn join(contents: &[&Content]) -> Content {
    let texts: Option<Vec<&str>> =
        contents.iter().map(|content| if let Content::Text(text) = content { Some(text.as_str()) } else { None }).collect();
    if let Some(texts) = texts {
        return Content::Text(texts.join("\n\n"));
    }
    let parts: Vec<Box<RawValue>> = contents
        .iter()
        .map(|content| match content {
            Content::Parts(parts) => parts.clone(),
            Content::Text(text) => raw(format!(r#"[{{"type":"text","text":{}}}]"#, quoted(text))),
        })
        .collect();
    Content::Parts(join_arrays(&parts.iter().map(|parts| &**parts).collect::<Vec<_>>()))
}

/// The elements of all; an object stands for an array that holds just it.
fn join_arrays(arrays: &[&RawValue]) -> Box<RawValue> {
    let all = arrays.iter().flat_map(|json| if json.get().starts_with('{') { vec![*json] } else { elements(json) });
    raw(array(&all.map(RawValue::get).collect::<Vec<_>>()))
}

/// The calls and results of a message, in every spelling.
struct Tools {
    calls: Vec<Call>,
    results: Vec<ToolResult>,
    /// The calls that the message answers itself, and where the results are. They are not among the others.
    own: Vec<(Place, Place)>,
    /// Whether there are content parts beside the results.
    has_other_parts: bool,
}

impl Tools {
    fn of(message: &Message) -> Self {
        let (mut calls, mut results, mut has_other_parts) = (Vec::new(), Vec::new(), false);
        // A message without parts and calls is read at once.
        if message.tool_calls.is_some() || matches!(message.content, Some(Content::Parts(_))) {
            let read = Read::of(message);
            let call = |call: part::Call, place| Call {
                id: call.id.map(Into::into),
                name: call.name.into_owned(),
                spelling: call.spelling,
                place,
                answered: false,
            };
            calls.extend(read.tool_calls.into_iter().map(|(at, found)| call(found, Place::ToolCalls(at))));
            for (at, part) in read.parts.into_iter().enumerate() {
                let place = Place::Part(at);
                match part.kind {
                    Kind::Call(found) => calls.push(call(found, place)),
                    Kind::Answer(answer) => results.push(ToolResult { id: answer.id.map(Into::into), place, answers: None }),
                    // It needs no other message.
                    _ => has_other_parts = true,
                }
            }
        }
        if message.role == Role::Tool && results.is_empty() {
            let id = spelling::tool_call_id(message).map(str::to_owned);
            results.push(ToolResult { id, place: Place::Message, answers: None });
        }
        let mut tools = Self { calls, results, own: Vec::new(), has_other_parts };
        tools.take_out_own_answers();
        tools
    }

    /// A message that answers its own calls needs no other message.
    fn take_out_own_answers(&mut self) {
        if self.calls.is_empty() || self.results.is_empty() {
            return;
        }
        let time = |place: Place| if let Place::Part(at) = place { at + 1 } else { 0 };
        let calls = self.calls.iter().map(|call| Timed { time: time(call.place), message: 0, id: call.id.as_deref() });
        let results = self.results.iter().map(|result| Timed { time: time(result.place), message: 0, id: result.id.as_deref() });
        let matched = matched(&calls.collect::<Vec<_>>(), &results.collect::<Vec<_>>());
        let mut matched = matched.into_iter();
        self.results.retain(|result| {
            let Some(call) = matched.next().flatten() else { return true };
            self.calls[call].answered = true;
            self.own.push((self.calls[call].place, result.place));
            false
        });
        self.calls.retain(|call| !call.answered);
        self.has_other_parts |= !self.own.is_empty();
    }

    /// Whether a message of this role is results and nothing else.
    fn only_answer(&self, role: Role) -> bool {
        match role {
            Role::Tool => true,
            Role::User => !self.results.is_empty() && !self.has_other_parts,
            // Items of the Responses API are stored so.
            Role::Assistant => !self.results.is_empty() && !self.has_other_parts && self.calls.is_empty(),
            Role::System | Role::Developer => false,
        }
    }

    /// Whether the assistant speaks or calls in a message of this role.
    fn are_the_assistants(&self, role: Role) -> bool {
        role == Role::Assistant && !self.only_answer(role)
    }
}

/// A message with its calls and results.
struct Entry {
    message: Message,
    tools: Tools,
}

struct Call {
    /// `None` for an empty id.
    id: Option<String>,
    name: String,
    spelling: Spelling,
    place: Place,
    answered: bool,
}

struct ToolResult {
    id: Option<String>,
    place: Place,
    answers: Option<CallKey>,
}

impl Entry {
    fn of(message: Message) -> Self {
        let tools = Tools::of(&message);
        Self { message, tools }
    }

    fn instructs(&self) -> bool {
        self.message.role.instructs()
    }

    fn only_answers(&self) -> bool {
        self.tools.only_answer(self.message.role)
    }

    fn is_assistants(&self) -> bool {
        self.tools.are_the_assistants(self.message.role)
    }

    fn has_unanswered(&self) -> bool {
        self.tools.calls.iter().any(|call| !call.answered)
    }

    /// The unit of a message that is in no step: no call belongs to its results.
    fn alone(self) -> Unit {
        let size = Size::of(&self.message);
        let mut unit = Unit { position: self.message.position, stored: size, ..Unit::default() };
        let pairs = self.pairs(false);
        if self.tools.results.is_empty() {
            unit.begins_turn = self.message.role == Role::User;
            unit.sent = size;
            unit.messages = vec![Sent { message: self.message, pairs }];
        } else {
            unit.repaired.push(self.message.position);
            if let Some(message) = self.without_results(|_| true) {
                unit.send(Sent { message, pairs });
            }
        }
        unit
    }

    /// Which of its calls and results are sent, and which of them belong together. `all` says whether the calls without results get some.
    fn pairs(&self, all: bool) -> Pairs {
        let Tools { calls, results, own, .. } = &self.tools;
        if calls.is_empty() && results.is_empty() && own.is_empty() {
            return Pairs::default();
        }
        let position = self.message.position;
        let is_sent = |call: &&Call| call.answered || all && call.spelling != Spelling::AiSdkUi;
        let mut places: Vec<Place> = calls.iter().filter(is_sent).map(|call| call.place).collect();
        places.extend(own.iter().map(|(call, _)| *call));
        places.sort_unstable();
        let mut answers: Vec<(Place, CallKey)> =
            results.iter().filter_map(|result| Some((result.place, result.answers?))).collect();
        answers.extend(own.iter().map(|(call, result)| (*result, (position, *call))));
        answers.sort_unstable();
        let calls = places.into_iter().map(|place| (position, place)).collect();
        Pairs::of(calls, answers.into_iter().map(|(_, call)| call).collect())
    }

    /// The message without some of its results, if anything of it is left.
    fn without_results(self, dropped: impl Fn(&ToolResult) -> bool) -> Option<Message> {
        let results = &self.tools.results;
        let dropped: HashSet<Place> = results.iter().filter(|result| dropped(result)).map(|result| result.place).collect();
        let nothing_left = self.message.role == Role::Tool && dropped.len() == results.len();
        if nothing_left { None } else { without(self.message, &dropped) }
    }
}

/// The message without what is in these places, if anything of it is left.
fn without(mut message: Message, places: &HashSet<Place>) -> Option<Message> {
    if places.is_empty() {
        return Some(message);
    }
    // It was counted for the whole message.
    message.token_count = None;
    message.tool_calls = message.tool_calls.and_then(|calls| {
        if calls.get().starts_with('{') {
            return (!places.contains(&Place::ToolCalls(0))).then_some(calls);
        }
        let kept = filtered(&calls, |at| !places.contains(&Place::ToolCalls(at)))?;
        elements(&kept).into_iter().any(is_filled_object).then_some(kept)
    });
    if let Some(Content::Parts(parts)) = &message.content {
        let role = message.role;
        let thinks = |part: &RawValue| {
            let is_beginning = Object::of(part).text("type").is_some_and(|kind| kind == "step-start");
            is_beginning || matches!(spelling::part(part, role).kind, Kind::Reasoning(_))
        };
        // The Responses API refuses reasoning without the item that it led to.
        let (all, mut led_to) = (elements(parts), HashSet::new());
        for (at, part) in all.iter().enumerate().rev() {
            let reasons = || Object::of(part).text("type").is_some_and(|kind| kind == "reasoning");
            if places.contains(&Place::Part(at)) || (led_to.contains(&(at + 1)) && reasons()) {
                led_to.insert(at);
            }
        }
        let kept = filtered(parts, |at| !led_to.contains(&at));
        // What the model thought before a call says nothing without the call.
        let says = |part: &&RawValue| !thinks(part);
        let kept = kept.filter(|parts| message.tool_calls.is_some() || elements(parts).iter().any(says));
        message.content = kept.map(Content::Parts);
    }
    let says_something = message.content.as_ref().is_some_and(|content| !content.is_empty_text());
    (says_something || message.tool_calls.is_some()).then_some(message)
}

/// The message with results in the parts of these calls, as the AI SDK's UI messages have them.
fn answered_in_place(mut message: Message, places: &HashSet<Place>) -> Message {
    if let Some(Content::Parts(parts)) = message.content.as_ref().filter(|_| !places.is_empty()) {
        let answered = elements(parts).into_iter().enumerate().map(|(at, part)| {
            let is_missing = places.contains(&Place::Part(at));
            if is_missing { ai_sdk::with_error(part, NO_RESULT) } else { part.to_owned() }
        });
        let answered: Vec<Box<RawValue>> = answered.collect();
        message.content = Some(Content::Parts(raw(array(&answered.iter().map(|part| part.get()).collect::<Vec<_>>()))));
        message.token_count = None;
    }
    message
}

/// The array with the wanted elements, as they were written; `None` if there are none.
fn filtered(array: &RawValue, wanted: impl Fn(usize) -> bool) -> Option<Box<RawValue>> {
    let all = elements(array);
    let kept = all.iter().enumerate().filter(|(at, _)| wanted(*at));
    let kept: Vec<&str> = kept.map(|(_, element)| element.get()).collect();
    match kept.len() {
        0 => None,
        length if length == all.len() => Some(array.to_owned()),
        _ => Some(raw(crate::json::array(&kept))),
    }
}

/// How far the step reaches that begins with the first message.
struct Extent {
    /// Where the run of assistant messages ends.
    run: usize,
    /// Where the step ends.
    end: usize,
    /// Whether the user speaks in the last message, behind results.
    spoken: bool,
}

impl Extent {
    fn of(entries: &[Entry]) -> Self {
        let run = entries.iter().take_while(|entry| entry.is_assistants()).count();
        let mut extent = Self { run, end: run, spoken: false };
        for (at, entry) in entries.iter().enumerate().skip(run) {
            // Instructions between a call and its result interrupt nothing. Behind the last result they are in no step.
            if entry.instructs() {
                continue;
            }
            extent.spoken = !entry.only_answers();
            if entry.is_assistants() || entry.tools.results.is_empty() {
                break;
            }
            extent.end = at + 1;
            if extent.spoken {
                break;
            }
        }
        extent
    }
}

struct Repair {
    unanswered: Unanswered,
    units: Vec<Unit>,
    open_calls: Vec<String>,
}

impl Repair {
    /// Takes a run of messages of the assistant, as many as `run` says, and what answers them. While the assistant went on without a result
    /// of the first, that one is a unit of its own. What is left is a step.
    fn take_run(&mut self, mut all: Vec<Entry>, run: usize, at_end: bool) {
        match_step(&mut all, run);
        // Otherwise the call of a result may be in a message that was not read.
        let is_whole = all.iter().flat_map(|entry| &entry.tools.results).all(|result| result.answers.is_some());
        let last = run - 1;
        let is_of_step = |entry: &Entry| entry.tools.calls.iter().any(|call| call.answered);
        let calls = |entry: &Entry| !entry.tools.calls.is_empty();
        let first = all[..last].iter().position(is_of_step).unwrap_or_else(|| if calls(&all[last]) { last } else { run });
        let mut all = all.into_iter();
        for (at, entry) in all.by_ref().take(first).enumerate() {
            let begins_step = at == 0 || is_whole;
            if calls(&entry) {
                self.take_closed(vec![entry], 1, begins_step);
            } else {
                self.units.push(Unit { begins_step, ..entry.alone() });
            }
        }
        if first == run {
            self.units.extend(all.map(Entry::alone));
        } else {
            self.take_step(all.collect(), run - first, at_end, first == 0 || is_whole);
        }
    }

    /// Takes a step. Its messages of the assistant are as many as `run` says.
    fn take_step(&mut self, mut step: Vec<Entry>, run: usize, at_end: bool, begins_step: bool) {
        if !at_end || !step[run - 1].has_unanswered() {
            return self.take_closed(step, run, begins_step);
        }
        let open = step.remove(run - 1);
        let ids = open.tools.calls.iter().filter(|call| !call.answered).map(|call| call.id.clone().unwrap_or_default());
        self.open_calls.extend(ids);
        // The results so far go with their calls.
        let of_open = |result: &ToolResult| result.answers.is_some_and(|(position, _)| position == open.message.position);
        let rest = step.into_iter().filter_map(|entry| {
            if !entry.tools.results.iter().any(of_open) {
                return Some(entry);
            }
            let others: Vec<_> =
                entry.tools.results.iter().filter(|result| !of_open(result)).map(|result| result.answers).collect();
            let mut entry = Entry::of(entry.without_results(of_open)?);
            entry.tools.results.iter_mut().zip(others).for_each(|(result, answers)| result.answers = answers);
            Some(entry)
        });
        let rest: Vec<Entry> = rest.collect();
        if run == 1 {
            self.units.extend(rest.into_iter().map(Entry::alone));
        } else {
            self.take_closed(rest, run - 1, begins_step);
        }
    }

    /// Takes a step in which no call is open: messages of the assistant, as many as `run` says, and what answers them.
    fn take_closed(&mut self, step: Vec<Entry>, run: usize, begins_step: bool) {
        let position = step.first().map_or(0, |entry| entry.message.position);
        let mut unit = Unit { position, begins_step, ..Unit::default() };
        let (mut calling, mut answers, mut said) = (Vec::new(), Vec::new(), Vec::new());
        let (mut made, mut instructions, mut moved) = (Vec::new(), Vec::new(), 0);
        for (at, entry) in step.into_iter().enumerate() {
            unit.stored.add(&entry.message);
            if entry.instructs() {
                instructions.push(entry.message);
                continue;
            }
            let stray = |result: &ToolResult| result.answers.is_none();
            let pairs = entry.pairs(self.unanswered == Unanswered::Answer);
            if entry.has_unanswered() || entry.tools.results.iter().any(stray) {
                unit.repaired.push(entry.message.position);
            }
            let missing = || entry.tools.calls.iter().filter(|call| !call.answered);
            let in_place = missing().filter(|call| call.spelling == Spelling::AiSdkUi).map(|call| call.place).collect();
            let missing = missing().map(|call| call.place).collect();
            if self.unanswered == Unanswered::Answer {
                made.extend(missing_results(&entry));
            }
            let only_answers = entry.only_answers();
            let Some(message) = entry.without_results(stray) else { continue };
            if at < run {
                let message = match self.unanswered {
                    Unanswered::Drop => without(message, &missing),
                    Unanswered::Answer => Some(answered_in_place(message, &in_place)),
                };
                calling.extend(message.map(|message| Sent { message, pairs }));
                continue;
            }
            moved = instructions.len();
            if only_answers { &mut answers } else { &mut said }.push(Sent { message, pairs });
        }
        // An API wants the results right behind the calls, and what the user says in a message with results behind all results.
        unit.repaired.extend(instructions[..moved].iter().map(|message: &Message| message.position));
        unit.made = i64::try_from(made.len()).unwrap_or(i64::MAX);
        let joint = (calling.len() > 1).then(|| joined(&calling)).flatten();
        for sent in &calling {
            unit.sent.add(&sent.message);
        }
        if let Some(joint) = joint {
            // A format may send them as one message, which can have more characters than its parts.
            unit.sent.characters = unit.sent.characters.max(joint.characters());
            unit.sent.json_bytes = unit.sent.json_bytes.max(joint.json_bytes());
        }
        unit.messages = calling;
        let instructions = instructions.into_iter().map(|message| Sent { message, pairs: Pairs::default() });
        for sent in answers.into_iter().chain(made).chain(said).chain(instructions) {
            unit.send(sent);
        }
        self.units.push(unit);
    }
}

/// Finds the call of every result of a step. Its messages of the assistant are as many as `run` says.
fn match_step(step: &mut [Entry], run: usize) {
    let (mut calls, mut results) = (Vec::new(), Vec::new());
    let (mut places_of_calls, mut places_of_results) = (Vec::new(), Vec::new());
    for (at, entry) in step.iter().enumerate() {
        for (of, call) in entry.tools.calls.iter().enumerate().filter(|_| at < run) {
            calls.push(Timed { time: at, message: at, id: call.id.as_deref() });
            places_of_calls.push((at, of));
        }
        for (of, result) in entry.tools.results.iter().enumerate() {
            results.push(Timed { time: at, message: at, id: result.id.as_deref() });
            places_of_results.push((at, of));
        }
    }
    for ((at, result), call) in places_of_results.into_iter().zip(matched(&calls, &results)) {
        let Some((caller, call)) = call.map(|call| places_of_calls[call]) else { continue };
        let position = step[caller].message.position;
        let call = &mut step[caller].tools.calls[call];
        call.answered = true;
        step[at].tools.results[result].answers = Some((position, call.place));
    }
}

/// A call, or a result.
struct Timed<'a> {
    /// A result can belong to calls of an earlier time.
    time: usize,
    message: usize,
    id: Option<&'a str>,
}

/// The call of every result, as its index. Calls and results are in the order of time.
///
/// An id decides first. Then a call without an id takes any result, and a result without an id answers any call. Where more calls wait than
/// results come, calls of the nearest message are answered, and the first ones there: the others were given up. The calls that are answered
/// get their results in order, because programs store the results of parallel calls in the order of the calls.
fn matched(calls: &[Timed], results: &[Timed]) -> Vec<Option<usize>> {
    type Key = for<'a> fn(Option<&'a str>) -> Option<&'a str>;
    let mut found = vec![None; results.len()];
    let mut answered = vec![false; calls.len()];
    let passes: [(Key, Key); 3] = [
        (|call| call, |result| result),
        (|call| if call.is_none() { Some("") } else { None }, |result| result.map(|_| "")),
        (|_| Some(""), |result| if result.is_none() { Some("") } else { None }),
    ];
    for (of_call, of_result) in passes {
        let mut waiting: HashMap<&str, BTreeSet<(Reverse<usize>, usize)>> = HashMap::new();
        let mut taken: HashMap<&str, (Vec<usize>, Vec<usize>)> = HashMap::new();
        let mut next = 0;
        for (at, result) in results.iter().enumerate() {
            while let Some(call) = calls.get(next).filter(|call| call.time < result.time) {
                if let Some(key) = of_call(call.id).filter(|_| !answered[next]) {
                    waiting.entry(key).or_default().insert((Reverse(call.message), next));
                }
                next += 1;
            }
            let Some(key) = of_result(result.id).filter(|_| found[at].is_none()) else { continue };
            if let Some((_, call)) = waiting.get_mut(key).and_then(BTreeSet::pop_first) {
                answered[call] = true;
                let (results, calls) = taken.entry(key).or_default();
                results.push(at);
                calls.push(call);
            }
        }
        for (results, mut calls) in taken.into_values() {
            calls.sort_unstable();
            for (result, call) in results.into_iter().zip(calls) {
                found[result] = Some(call);
            }
        }
    }
    found
}

/// The results that the message's calls lack, spelled as the calls are. Each call gets a tool message, or all get one user's message where
/// the API has results there. The AI SDK's UI messages hold their own results.
fn missing_results(entry: &Entry) -> Vec<Sent> {
    let sent = |calls: &[&Call], role, content| {
        let call = calls.first()?;
        let place = match call.place {
            Place::ToolCalls(at) => format!("tool_calls[{at}]"),
            Place::Part(at) => format!("content[{at}]"),
            Place::Message => String::new(),
        };
        let name = format!("{place} {}", call.id.as_deref().unwrap_or_default());
        let message = Message {
            source: Source::Made { of: entry.message.source.stored(), name },
            role,
            content: Some(content),
            tool_calls: None,
            tool_call_id: call.id.clone().filter(|_| role == Role::Tool),
            name: None,
            token_count: None,
            extra: None,
            other_bytes: Message::MADE_BYTES,
            ..entry.message.clone()
        };
        let results = calls.iter().map(|call| (entry.message.position, call.place)).collect();
        Some(Sent { message, pairs: Pairs::of(Vec::new(), results) })
    };
    let part = |call: &Call| spelling::result_part(call.id.as_deref().unwrap_or_default(), &call.name, call.spelling, NO_RESULT);
    let missing = || entry.tools.calls.iter().filter(|call| !call.answered);
    let together = [Spelling::Anthropic, Spelling::Gemini, Spelling::Converse];
    let alone = missing().filter(|call| !together.contains(&call.spelling)).filter_map(|call| match call.spelling {
        Spelling::OpenAi => sent(&[call], Role::Tool, Content::Text(NO_RESULT.to_owned())),
        _ => sent(&[call], Role::Tool, Content::Parts(raw(array(&[part(call)?])))),
    });
    let of_one = |spelling: Spelling| {
        let calls: Vec<&Call> = missing().filter(|call| call.spelling == spelling).collect();
        let parts: Vec<String> = calls.iter().filter_map(|call| part(call)).collect();
        sent(&calls, Role::User, Content::Parts(raw(array(&parts))))
    };
    alone.chain(together.into_iter().filter_map(of_one)).collect()
}
