//! Splits a conversation into pieces that a model's API accepts one behind the other: an ordinary message, or a step of tool calls with
//! all its results. Calls that nobody answered are repaired here.
//!
//! A step is a run of adjacent assistant messages, the first with calls, and the results behind it. It ends where the user or the
//! assistant speaks again. Calls and results are matched within a step alone, because an id may come again in a later one.

use std::collections::VecDeque;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::spelling::{self, Part, Spelling};
use super::{Unanswered, elements, is_filled_object, json_bytes, synthetic};
use crate::models::message::string_member;
use crate::models::{Content, Message, Role, Text};

/// What a model is told about a call that nobody answered.
const NO_RESULT: &str = "[no result: interrupted]";

/// Messages that are sent together or not at all.
#[derive(Default)]
pub(super) struct Piece {
    /// What is sent. Nothing, for results that are left out.
    pub(super) messages: Vec<Message>,
    /// How many of `messages` are not stored.
    pub(super) synthetic: i64,
    /// The position of the first stored message.
    pub(super) position: i64,
    /// Whether the user begins to speak here.
    pub(super) begins_turn: bool,
    /// Whether the assistant speaks or calls first, and this is not the rest of a step whose beginning may be missing.
    pub(super) begins_step: bool,
    /// The positions of stored messages that are sent in another way than they are stored, or not at all.
    pub(super) repaired: Vec<i64>,
    /// How much is stored, what is left out included.
    pub(super) stored: Size,
    /// How much is sent, in the larger of its formats.
    pub(super) sent: Size,
}

/// What limits count.
#[derive(Clone, Copy, Default)]
pub(super) struct Size {
    pub(super) messages: i64,
    pub(super) characters: i64,
    pub(super) tokens: i64,
    pub(super) json_bytes: usize,
}

impl Size {
    pub(super) fn of(message: &Message) -> Self {
        let mut size = Self::default();
        size.add(message);
        size
    }

    pub(super) fn add(&mut self, message: &Message) {
        self.messages += 1;
        self.characters = self.characters.saturating_add(message.characters());
        self.tokens = self.tokens.saturating_add(message.tokens());
        self.json_bytes += json_bytes(message);
    }
}

impl Piece {
    /// A message of the user that begins a turn.
    pub(super) fn of(message: Message) -> Self {
        Entry::of(message).alone()
    }

    fn send(&mut self, message: Message) {
        self.sent.add(&message);
        self.messages.push(message);
    }
}

/// The pieces of these messages, which reach to the conversation's end, and the ids of the calls that are open there.
pub(super) fn pieces(messages: Vec<Message>, unanswered: Unanswered) -> (Vec<Piece>, Vec<String>) {
    let mut repair = Repair { unanswered, pieces: Vec::new(), open_calls: Vec::new() };
    let mut entries: VecDeque<Entry> = messages.into_iter().map(Entry::of).collect();
    let (mut in_run, mut run_is_whole) = (false, false);
    while let Some(first) = entries.pop_front() {
        let (is_assistant, calls) = (first.is_assistants(), !first.calls.is_empty());
        entries.push_front(first);
        if is_assistant && !in_run {
            run_is_whole = has_all_calls(entries.make_contiguous());
        }
        let (first_piece, begins_step) = (repair.pieces.len(), is_assistant && (!in_run || run_is_whole));
        if calls {
            let extent = Extent::of(entries.make_contiguous());
            let step: Vec<Entry> = entries.drain(..extent.end).collect();
            // Instructions interrupt nothing.
            let at_end = !extent.spoken && entries.iter().all(Entry::instructs);
            let rest = repair.take_step(step, extent.run, at_end);
            in_run = rest.first().is_some_and(Entry::is_assistants);
            rest.into_iter().rev().for_each(|entry| entries.push_front(entry));
        } else {
            repair.pieces.extend(entries.pop_front().map(Entry::alone));
            in_run = is_assistant;
        }
        if let Some(piece) = repair.pieces.get_mut(first_piece) {
            piece.begins_step = begins_step;
        }
    }
    (repair.pieces, repair.open_calls)
}

/// Whether the user begins to speak with this message, which is neither a result nor has one.
pub(super) fn begins_turn(message: &Message) -> bool {
    message.role == Role::User && Entry::of(message.clone()).results.is_empty()
}

/// Whether the message calls tools.
pub(super) fn calls_tools(message: &Message) -> bool {
    let may_call = message.tool_calls.is_some() || matches!(message.content, Some(Content::Parts(_)));
    message.role == Role::Assistant && may_call && !Entry::of(message.clone()).calls.is_empty()
}

/// Whether the assistant speaks or calls in the message.
pub(super) fn is_assistants(message: &Message) -> bool {
    message.role == Role::Assistant && !only_answers(message)
}

/// Whether a message of the assistant is results and nothing else.
pub(super) fn only_answers(message: &Message) -> bool {
    // A text is no result, and need not be copied.
    matches!(message.content, Some(Content::Parts(_))) && Entry::of(message.clone()).only_answers()
}

/// Messages of the assistant as one, whose calls are answered together.
fn joined(messages: &[Message]) -> Option<Message> {
    let (first, others) = messages.split_first()?;
    let mut all = Message { token_count: None, ..first.clone() };
    for message in others {
        all.content = join_contents(all.content.take(), message.content.as_ref());
        all.tool_calls = join_arrays(all.tool_calls.take(), message.tool_calls.as_deref());
    }
    Some(all)
}

fn join_contents(one: Option<Content>, other: Option<&Content>) -> Option<Content> {
    let is_empty = |content: &Content| content.as_text().is_some_and(str::is_empty);
    let (Some(one), Some(other)) = (one.clone().filter(|one| !is_empty(one)), other.filter(|other| !is_empty(other))) else {
        return other.filter(|other| !is_empty(other)).cloned().or(one).or_else(|| other.cloned());
    };
    if let (Some(one), Some(other)) = (one.as_text(), other.as_text()) {
        return Text::parse(format!("{one}\n\n{other}")).ok().map(Content::Text);
    }
    let parts = |content: &Content| match content {
        Content::Parts(parts) => Some(parts.clone()),
        Content::Text(text) => raw(format!(r#"[{{"type":"text","text":{}}}]"#, serde_json::to_string(text).ok()?)),
    };
    join_arrays(parts(&one), parts(other).as_deref()).map(Content::Parts)
}

/// The elements of both; an object stands for an array that holds just it.
fn join_arrays(one: Option<Box<RawValue>>, other: Option<&RawValue>) -> Option<Box<RawValue>> {
    let (Some(one), Some(other)) = (&one, other) else { return one.or_else(|| other.map(ToOwned::to_owned)) };
    let all = [&**one, other].into_iter().flat_map(|json| if json.get().starts_with('{') { vec![json] } else { elements(json) });
    raw(format!("[{}]", all.map(RawValue::get).collect::<Vec<_>>().join(",")))
}

/// A message with its calls and results.
struct Entry {
    message: Message,
    calls: Vec<Call>,
    results: Vec<ToolResult>,
    /// Whether there are content parts beside the results.
    has_other_parts: bool,
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
    /// The index in the step of the message that has the call.
    answers: Option<usize>,
}

/// Where in a message a call or a result is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Element of `tool_calls`.
    ToolCalls(usize),
    /// Content part.
    Part(usize),
    /// The message itself is the result.
    Message,
}

impl Entry {
    /// Reads calls and results in every spelling.
    fn of(message: Message) -> Self {
        let (mut calls, mut results, mut has_other_parts) = (Vec::new(), Vec::new(), false);
        let call =
            |call: spelling::Call, place| Call { id: call.id, name: call.name, spelling: call.spelling, place, answered: false };
        calls.extend(spelling::tool_calls(&message).into_iter().map(|(at, found)| call(found, Place::ToolCalls(at))));
        for (at, (_, part)) in spelling::parts(&message).into_iter().enumerate() {
            let place = Place::Part(at);
            match part {
                Part::Call(found) => calls.push(call(found, place)),
                Part::Answer(answer) => results.push(ToolResult { id: answer.id, place, answers: None }),
                // It needs no other message.
                Part::Answered(..) | Part::Other => has_other_parts = true,
            }
        }
        if message.role == Role::Tool && results.is_empty() {
            results.push(ToolResult { id: spelling::tool_call_id(&message), place: Place::Message, answers: None });
        }
        // A message that answers its own calls needs no other message.
        results.retain(|result| {
            let own = calls.iter().position(|call: &Call| call.id.is_some() && call.id == result.id);
            own.map(|at| calls.remove(at)).inspect(|_| has_other_parts = true).is_none()
        });
        Self { message, calls, results, has_other_parts }
    }

    fn instructs(&self) -> bool {
        matches!(self.message.role, Role::System | Role::Developer)
    }

    /// Whether it is results and nothing else.
    fn only_answers(&self) -> bool {
        match self.message.role {
            Role::Tool => true,
            Role::User => !self.results.is_empty() && !self.has_other_parts,
            // Items of the Responses API are stored so.
            Role::Assistant => !self.results.is_empty() && !self.has_other_parts && self.calls.is_empty(),
            _ => false,
        }
    }

    /// Whether the assistant speaks or calls.
    fn is_assistants(&self) -> bool {
        self.message.role == Role::Assistant && !self.only_answers()
    }

    fn has_unanswered(&self) -> bool {
        self.calls.iter().any(|call| !call.answered)
    }

    /// The piece of a message that is in no step: no call belongs to its results.
    fn alone(self) -> Piece {
        let size = Size::of(&self.message);
        let mut piece = Piece { position: self.message.position, stored: size, ..Piece::default() };
        if self.results.is_empty() {
            piece.begins_turn = self.message.role == Role::User;
            piece.sent = size;
            piece.messages = vec![self.message];
        } else {
            piece.repaired.push(self.message.position);
            self.without_results(|_| true).into_iter().for_each(|message| piece.send(message));
        }
        piece
    }

    /// The message without some of its results, if anything of it is left.
    fn without_results(self, dropped: impl Fn(&ToolResult) -> bool) -> Option<Message> {
        let dropped: Vec<Place> = self.results.iter().filter(|result| dropped(result)).map(|result| result.place).collect();
        let nothing_left = self.message.role == Role::Tool && dropped.len() == self.results.len();
        if nothing_left { None } else { without(self.message, &dropped) }
    }
}

/// The message without what is in these places, if anything of it is left.
fn without(mut message: Message, places: &[Place]) -> Option<Message> {
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
        let all = elements(parts);
        let thinks = |part: &&RawValue| {
            let kinds = [r#""thinking""#, r#""redacted_thinking""#, r#""reasoning""#, r#""step-start""#];
            string_member(part, "type").is_some_and(|kind| kinds.contains(&kind))
        };
        let is_reasoning = |at: usize| all.get(at).is_some_and(|part| string_member(part, "type") == Some(r#""reasoning""#));
        // The Responses API refuses reasoning without the item that it led to.
        let led_to = |at: usize| (at..all.len()).find(|at| !is_reasoning(*at)).unwrap_or(at);
        let kept = filtered(parts, |at| !places.contains(&Place::Part(led_to(at))));
        // What the model thought before a call says nothing without the call.
        let says = |part: &&RawValue| !thinks(part);
        let kept = kept.filter(|parts| message.tool_calls.is_some() || elements(parts).iter().any(says));
        message.content = kept.map(Content::Parts);
    }
    let says_something = message.content.as_ref().is_some_and(|content| content.as_text() != Some(""));
    (says_something || message.tool_calls.is_some()).then_some(message)
}

/// The message with results in the parts of these calls, as the AI SDK's UI messages have them.
fn answered_in_place(mut message: Message, places: &[Place]) -> Message {
    let Some(Content::Parts(parts)) = message.content.as_ref().filter(|_| !places.is_empty()) else { return message };
    let answered = elements(parts).into_iter().enumerate().map(|(at, part)| {
        let is_missing = places.contains(&Place::Part(at));
        is_missing.then(|| spelling::with_error(part, NO_RESULT)).flatten().unwrap_or_else(|| part.to_owned())
    });
    let answered: Vec<Box<RawValue>> = answered.collect();
    if let Some(parts) = serde_json::to_string(&answered).ok().and_then(raw) {
        message.content = Some(Content::Parts(parts));
        message.token_count = None;
    }
    message
}

/// The array with the wanted elements, as they were written; `None` if there are none.
fn filtered(array: &RawValue, wanted: impl Fn(usize) -> bool) -> Option<Box<RawValue>> {
    let all = elements(array);
    let kept: Vec<&str> = all.iter().enumerate().filter(|(at, _)| wanted(*at)).map(|(_, element)| element.get()).collect();
    if kept.len() == all.len() { Some(array.to_owned()) } else { raw(format!("[{}]", kept.join(","))).filter(|_| !kept.is_empty()) }
}

fn raw(json: String) -> Option<Box<RawValue>> {
    RawValue::from_string(json).ok()
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
            if entry.is_assistants() || entry.results.is_empty() {
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
    pieces: Vec<Piece>,
    open_calls: Vec<String>,
}

impl Repair {
    /// Takes a step, or only its first message if the assistant went on without a result of it. Returns the entries that are left.
    fn take_step(&mut self, mut step: Vec<Entry>, run: usize, at_end: bool) -> Vec<Entry> {
        match_results(&mut step, run);
        if run > 1 && !step[0].calls.iter().any(|call| call.answered) {
            let mut rest = step.split_off(1);
            self.take_closed(step, 1);
            unmatch(&mut rest);
            return rest;
        }
        let last = run - 1;
        if !at_end || !step[last].has_unanswered() {
            self.take_closed(step, run);
            return Vec::new();
        }
        let open = step.remove(last);
        let ids = open.calls.iter().filter(|call| !call.answered).map(|call| call.id.clone().unwrap_or_default());
        self.open_calls.extend(ids);
        // The results so far go with their calls.
        let rest = step.into_iter().filter_map(|entry| {
            if !entry.results.iter().any(|result| result.answers == Some(last)) {
                return Some(entry);
            }
            let others: Vec<_> = entry.results.iter().map(|result| result.answers).filter(|of| *of != Some(last)).collect();
            let mut entry = Entry::of(entry.without_results(|result| result.answers == Some(last))?);
            entry.results.iter_mut().zip(others).for_each(|(result, answers)| result.answers = answers);
            Some(entry)
        });
        let mut rest: Vec<Entry> = rest.collect();
        if last == 0 {
            unmatch(&mut rest);
            return rest;
        }
        self.take_closed(rest, last);
        Vec::new()
    }

    /// Takes a step in which no call is open: messages of the assistant, as many as `run` says, and what answers them.
    fn take_closed(&mut self, step: Vec<Entry>, run: usize) {
        let position = step.first().map_or(0, |entry| entry.message.position);
        let mut piece = Piece { position, ..Piece::default() };
        let (mut calling, mut answers, mut said) = (Vec::new(), Vec::new(), Vec::new());
        let (mut synthetic, mut instructions, mut moved) = (Vec::new(), Vec::new(), 0);
        for (at, entry) in step.into_iter().enumerate() {
            piece.stored.add(&entry.message);
            if entry.instructs() {
                instructions.push(entry.message);
                continue;
            }
            let stray = |result: &ToolResult| result.answers.is_none();
            if entry.has_unanswered() || entry.results.iter().any(stray) {
                piece.repaired.push(entry.message.position);
            }
            let missing: Vec<Place> = entry.calls.iter().filter(|call| !call.answered).map(|call| call.place).collect();
            let in_place = entry.calls.iter().filter(|call| !call.answered && call.spelling == Spelling::AiSdkUi);
            let in_place: Vec<Place> = in_place.map(|call| call.place).collect();
            if self.unanswered == Unanswered::Answer {
                synthetic.extend(missing_results(&entry));
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
        piece.repaired.extend(instructions[..moved].iter().map(|message: &Message| message.position));
        piece.synthetic = i64::try_from(synthetic.len()).unwrap_or(i64::MAX);
        let joint = (calling.len() > 1).then(|| joined(&calling)).flatten();
        for message in &calling {
            piece.sent.add(message);
        }
        if let Some(joint) = joint {
            // A format may send them as one message, which can have more characters than its parts.
            piece.sent.characters = piece.sent.characters.max(joint.characters());
            piece.sent.json_bytes = piece.sent.json_bytes.max(json_bytes(&joint));
        }
        piece.messages = calling;
        for message in answers.into_iter().chain(synthetic).chain(said).chain(instructions) {
            piece.send(message);
        }
        self.pieces.push(piece);
    }
}

/// Finds the call of every result: by id first. Then a result without an id answers any call, and a call without an id takes any result.
/// The nearest message with such a call comes first.
fn match_results(step: &mut [Entry], run: usize) {
    for by_id in [true, false] {
        for at in 0..step.len() {
            let (before, [entry, ..]) = step.split_at_mut(at) else { continue };
            let callers = run.min(at);
            for result in entry.results.iter_mut().filter(|result| result.answers.is_none()) {
                let fits = |call: &&mut Call| {
                    let either_has_none = call.id.is_none() || result.id.is_none();
                    !call.answered && if by_id { !either_has_none && call.id == result.id } else { either_has_none }
                };
                for caller in (0..callers).rev() {
                    if let Some(call) = before[caller].calls.iter_mut().find(fits) {
                        call.answered = true;
                        result.answers = Some(caller);
                        break;
                    }
                }
            }
        }
    }
}

/// Whether every result behind the run of assistant messages that comes first has its call in that run. Otherwise the call may be in
/// a message that was not read.
fn has_all_calls(entries: &mut [Entry]) -> bool {
    let extent = Extent::of(entries);
    let step = &mut entries[..extent.end];
    match_results(step, extent.run);
    let has_all = step.iter().flat_map(|entry| &entry.results).all(|result| result.answers.is_some());
    unmatch(step);
    has_all
}

/// Forgets which results belong to which calls.
fn unmatch(entries: &mut [Entry]) {
    for entry in entries {
        entry.calls.iter_mut().for_each(|call| call.answered = false);
        entry.results.iter_mut().for_each(|result| result.answers = None);
    }
}

/// The results that the message's calls lack, spelled as the calls are: a tool message for each call, or one user's message for all of
/// Anthropic's content parts. Those of the AI SDK's UI messages are in the message itself.
fn missing_results(entry: &Entry) -> Vec<Message> {
    let message = |call: &Call, role, content| {
        // The same id every time, so that a caller can tell it from others.
        let place = match call.place {
            Place::ToolCalls(at) => format!("tool_calls[{at}]"),
            Place::Part(at) => format!("content[{at}]"),
            Place::Message => String::new(),
        };
        Some(Message {
            id: Uuid::new_v5(&entry.message.id, format!("{place} {}", call.id.as_deref().unwrap_or_default()).as_bytes()),
            role,
            content: Some(content),
            tool_calls: None,
            tool_call_id: call.id.clone().filter(|_| role == Role::Tool).and_then(|id| Text::parse(id).ok()),
            name: None,
            metadata: synthetic(),
            token_count: None,
            extra: None,
            feedback: None,
            ..entry.message.clone()
        })
    };
    let part = |call: &Call| spelling::result_part(call.id.as_deref().unwrap_or_default(), &call.name, call.spelling, NO_RESULT);
    let content = |parts: &[Box<RawValue>]| raw(serde_json::to_string(parts).ok()?).map(Content::Parts);
    let missing: Vec<&Call> = entry.calls.iter().filter(|call| !call.answered).collect();
    let (anthropic, others): (Vec<&Call>, Vec<&Call>) = missing.into_iter().partition(|call| call.spelling == Spelling::Anthropic);
    let alone = others.into_iter().filter_map(|call| match call.spelling {
        Spelling::ChatCompletions => message(call, Role::Tool, Content::text(NO_RESULT).ok()?),
        _ => message(call, Role::Tool, content(&[part(call)?])?),
    });
    let together = anthropic.first().and_then(|first| {
        let parts: Vec<Box<RawValue>> = anthropic.iter().filter_map(|call| part(call)).collect();
        message(first, Role::User, content(&parts)?)
    });
    alone.chain(together).collect()
}
