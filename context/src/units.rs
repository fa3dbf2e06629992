//! Splits a conversation into units that a model's API accepts one behind the other: an ordinary message, or a step of tool calls with
//! all its results. Calls that nobody answered are repaired here.
//!
//! A step is a run of adjacent assistant messages, the first with calls, and the results behind it. It ends where the user or the
//! assistant speaks again. Calls and results are matched within a step alone, because an id may come again in a later one.

use std::collections::{HashMap, HashSet};

use serde_json::value::RawValue;

use crate::formats::ai_sdk;
use crate::json::{Object, array, elements, is_filled_object, quoted, raw};
use crate::message::{Content, Message, Role, Source};
use crate::part::{self, Kind, Spelling};
use crate::{Size, Unanswered};

/// What a model is told about a call that nobody answered.
const NO_RESULT: &str = "[no result: interrupted]";

/// Messages that are sent together or not at all.
#[derive(Default)]
pub(crate) struct Unit {
    /// What is sent. Nothing, for results that are left out.
    pub(crate) messages: Vec<Message>,
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

    fn send(&mut self, message: Message) {
        self.sent.add(&message);
        self.messages.push(message);
    }
}

/// The units of these messages, which reach to the conversation's end, and the ids of the calls that are open there.
pub(crate) fn of(messages: Vec<Message>, unanswered: Unanswered) -> (Vec<Unit>, Vec<String>) {
    let entries: Vec<Entry> = messages.into_iter().map(Entry::of).collect();
    // Behind the last message that is no instruction, a step is at the end of the conversation.
    let end = entries.iter().rposition(|entry| !entry.instructs()).map_or(0, |last| last + 1);
    let mut repair = Repair { unanswered, units: Vec::new(), open_calls: Vec::new() };
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
fn joined(messages: &[Message]) -> Option<Message> {
    let mut all = Message { token_count: None, ..messages.first()?.clone() };
    let contents: Vec<&Content> = messages.iter().filter_map(|message| message.content.as_ref()).collect();
    let says: Vec<&Content> = contents.iter().filter(|content| !content.is_empty_text()).copied().collect();
    all.content = match &says[..] {
        [] => contents.first().map(|content| (*content).clone()),
        [only] => Some((*only).clone()),
        several => Some(join(several)),
    };
    let calls: Vec<&RawValue> = messages.iter().filter_map(|message| message.tool_calls.as_deref()).collect();
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
pub(crate) struct Tools {
    pub(crate) calls: Vec<Call>,
    results: Vec<ToolResult>,
    /// Whether there are content parts beside the results.
    has_other_parts: bool,
}

impl Tools {
    pub(crate) fn of(message: &Message) -> Self {
        let (mut calls, mut results, mut has_other_parts) = (Vec::new(), Vec::new(), false);
        // A message without parts and calls is read at once.
        if message.tool_calls.is_some() || matches!(message.content, Some(Content::Parts(_))) {
            let read = part::Read::of(message);
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
            let id = part::tool_call_id(message).map(str::to_owned);
            results.push(ToolResult { id, place: Place::Message, answers: None });
        }
        let mut tools = Self { calls, results, has_other_parts };
        tools.take_out_own_answers();
        tools
    }

    /// A message that answers its own calls needs no other message.
    fn take_out_own_answers(&mut self) {
        if self.calls.is_empty() || self.results.is_empty() {
            return;
        }
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, call) in self.calls.iter().enumerate().rev() {
            if let Some(id) = &call.id {
                places.entry(id).or_default().push(at);
            }
        }
        let mut answered = HashSet::new();
        self.results.retain(|result| {
            let own = result.id.as_deref().and_then(|id| places.get_mut(id)?.pop());
            own.is_none_or(|at| !answered.insert(at))
        });
        self.has_other_parts |= !answered.is_empty();
        let mut at = 0..;
        self.calls.retain(|_| at.next().is_none_or(|at| !answered.contains(&at)));
    }

    /// Whether a message of this role is results and nothing else.
    pub(crate) fn only_answer(&self, role: Role) -> bool {
        match role {
            Role::Tool => true,
            Role::User => !self.results.is_empty() && !self.has_other_parts,
            // Items of the Responses API are stored so.
            Role::Assistant => !self.results.is_empty() && !self.has_other_parts && self.calls.is_empty(),
            Role::System | Role::Developer => false,
        }
    }

    /// Whether the assistant speaks or calls in a message of this role.
    pub(crate) fn are_the_assistants(&self, role: Role) -> bool {
        role == Role::Assistant && !self.only_answer(role)
    }
}

/// A message with its calls and results.
struct Entry {
    message: Message,
    tools: Tools,
}

pub(crate) struct Call {
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
    /// The index in the step of the message that has the call.
    answers: Option<usize>,
}

/// Where in a message a call or a result is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    /// Element of `tool_calls`.
    ToolCalls(usize),
    /// Content part.
    Part(usize),
    /// The message itself is the result.
    Message,
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
        if self.tools.results.is_empty() {
            unit.begins_turn = self.message.role == Role::User;
            unit.sent = size;
            unit.messages = vec![self.message];
        } else {
            unit.repaired.push(self.message.position);
            self.without_results(|_| true).into_iter().for_each(|message| unit.send(message));
        }
        unit
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
            is_beginning || matches!(part::Part::read(part, role).kind, Kind::Reasoning(_))
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
        match_results(&mut all, run);
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
            self.take_step(all.collect(), run - first, last, at_end, first == 0 || is_whole);
        }
    }

    /// Takes a step. Its messages of the assistant are as many as `run` says, and results call the last of them `last`.
    fn take_step(&mut self, mut step: Vec<Entry>, run: usize, last: usize, at_end: bool, begins_step: bool) {
        if !at_end || !step[run - 1].has_unanswered() {
            return self.take_closed(step, run, begins_step);
        }
        let open = step.remove(run - 1);
        let ids = open.tools.calls.iter().filter(|call| !call.answered).map(|call| call.id.clone().unwrap_or_default());
        self.open_calls.extend(ids);
        // The results so far go with their calls.
        let of_open = |result: &ToolResult| result.answers == Some(last);
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
                calling.extend(match self.unanswered {
                    Unanswered::Drop => without(message, &missing),
                    Unanswered::Answer => Some(answered_in_place(message, &in_place)),
                });
                continue;
            }
            moved = instructions.len();
            if only_answers { &mut answers } else { &mut said }.push(message);
        }
        // An API wants the results right behind the calls, and what the user says in a message with results behind all results.
        unit.repaired.extend(instructions[..moved].iter().map(|message: &Message| message.position));
        unit.made = i64::try_from(made.len()).unwrap_or(i64::MAX);
        let joint = (calling.len() > 1).then(|| joined(&calling)).flatten();
        for message in &calling {
            unit.sent.add(message);
        }
        if let Some(joint) = joint {
            // A format may send them as one message, which can have more characters than its parts.
            unit.sent.characters = unit.sent.characters.max(joint.characters());
            unit.sent.json_bytes = unit.sent.json_bytes.max(joint.json_bytes());
        }
        unit.messages = calling;
        for message in answers.into_iter().chain(made).chain(said).chain(instructions) {
            unit.send(message);
        }
        self.units.push(unit);
    }
}

/// Finds the call of every result. An id decides first. Then a result without an id answers any call, and a call without an id takes any
/// result. If there are several, it is the first one in the nearest message.
fn match_results(step: &mut [Entry], run: usize) {
    // Lists of calls: their messages, and their places among the calls of these. The nearest is the last.
    let mut with_id: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
    for at in 0..step.len() {
        for result in 0..step[at].tools.results.len() {
            let Some(id) = &step[at].tools.results[result].id else { continue };
            if let Some((caller, call)) = with_id.get_mut(id).and_then(Vec::pop) {
                step[at].tools.results[result].answers = Some(caller);
                step[caller].tools.calls[call].answered = true;
            }
        }
        for (call, Call { id, .. }) in step[at].tools.calls.iter().enumerate().rev().filter(|_| at < run) {
            if let Some(id) = id {
                with_id.entry(id.clone()).or_default().push((at, call));
            }
        }
    }
    let mut all: Vec<(usize, usize)> = Vec::new();
    let mut without_id = Vec::new();
    for at in 0..step.len() {
        for result in 0..step[at].tools.results.len() {
            let ToolResult { id, answers: None, .. } = &step[at].tools.results[result] else { continue };
            let waiting = if id.is_none() { &mut all } else { &mut without_id };
            while let Some((caller, call)) = waiting.pop() {
                let taken = std::mem::replace(&mut step[caller].tools.calls[call].answered, true);
                if !taken {
                    step[at].tools.results[result].answers = Some(caller);
                    break;
                }
            }
        }
        for (call, Call { id, answered, .. }) in step[at].tools.calls.iter().enumerate().rev().filter(|_| at < run) {
            all.extend((!answered).then_some((at, call)));
            without_id.extend((!answered && id.is_none()).then_some((at, call)));
        }
    }
}

/// The results that the message's calls lack, spelled as the calls are. Each call gets a tool message, or all get one user's message where
/// the API has results there. The AI SDK's UI messages hold their own results.
fn missing_results(entry: &Entry) -> Vec<Message> {
    let message = |call: &Call, role, content| {
        let place = match call.place {
            Place::ToolCalls(at) => format!("tool_calls[{at}]"),
            Place::Part(at) => format!("content[{at}]"),
            Place::Message => String::new(),
        };
        let name = format!("{place} {}", call.id.as_deref().unwrap_or_default());
        Message {
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
        }
    };
    let part = |call: &Call| part::result_part(call.id.as_deref().unwrap_or_default(), &call.name, call.spelling, NO_RESULT);
    let missing = || entry.tools.calls.iter().filter(|call| !call.answered);
    let together = [Spelling::Anthropic, Spelling::Gemini, Spelling::Converse];
    let alone = missing().filter(|call| !together.contains(&call.spelling)).filter_map(|call| match call.spelling {
        Spelling::OpenAi => Some(message(call, Role::Tool, Content::Text(NO_RESULT.to_owned()))),
        _ => Some(message(call, Role::Tool, Content::Parts(raw(array(&[part(call)?]))))),
    });
    let of_one = |spelling: Spelling| {
        let calls: Vec<&Call> = missing().filter(|call| call.spelling == spelling).collect();
        let parts: Vec<String> = calls.iter().filter_map(|call| part(call)).collect();
        calls.first().map(|first| message(first, Role::User, Content::Parts(raw(array(&parts)))))
    };
    alone.chain(together.into_iter().filter_map(of_one)).collect()
}
