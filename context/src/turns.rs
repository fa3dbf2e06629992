//! The chosen messages as turns, whatever API's way their calls are stored in: what each format writes.
//!
//! A step is what the assistant says and calls, and then all results. The calls of adjacent messages that are answered together are one
//! step. A message that holds calls with their results, as the AI SDK stores them, is several steps if the assistant speaks between them.

use std::collections::{HashMap, HashSet};

use crate::formats::openai;
use crate::message::{Content, Message, Role};
use crate::part::{Answer, Call, Kind, Part, Read, in_alphabet};
use crate::units::{CallKey, Pairs, Place};

/// What the user has said, if the API knows none of it: a turn must not be empty.
pub(crate) const NOTHING: &str = "[nothing that can be shown]";

pub(crate) enum Turn<'a> {
    Instructions(&'a Message, Vec<Part<'a>>),
    /// What the user says, without the results in that message.
    User(&'a Message, Vec<Part<'a>>),
    Step(Step<'a>),
}

#[derive(Default)]
pub(crate) struct Step<'a> {
    /// The first of the assistant's messages.
    pub(crate) message: Option<&'a Message>,
    /// In the order in which they are stored.
    pub(crate) elements: Vec<Element<'a>>,
    /// In the order in which they are stored, each with the number of its call.
    pub(crate) results: Vec<(usize, Answer<'a>, &'a Message)>,
    calls: Calls,
}

pub(crate) enum Element<'a> {
    Said(Part<'a>),
    Call {
        call: Call<'a>,
        /// The id to send. No other call of the step has the same, unless ids are kept.
        id: String,
        number: usize,
    },
}

/// The calls of a step, by their numbers.
#[derive(Default)]
struct Calls {
    /// Where each is among the elements, and whether it has a result.
    all: Vec<(usize, bool)>,
    numbers: HashMap<CallKey, usize>,
    answered: usize,
}

impl Calls {
    fn answer(&mut self, number: usize) {
        self.answered += 1;
        self.all[number].1 = true;
    }

    /// The number of this call, if it has no result yet.
    fn waiting(&self, key: CallKey) -> Option<usize> {
        self.numbers.get(&key).copied().filter(|number| !self.all[*number].1)
    }
}

impl<'a> Step<'a> {
    pub(crate) fn said(&self) -> impl Iterator<Item = &Part<'a>> {
        self.elements.iter().filter_map(|element| if let Element::Said(said) = element { Some(said) } else { None })
    }

    /// The calls that have results, with their ids.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (&Call<'a>, &str)> {
        self.elements.iter().filter_map(|element| match element {
            Element::Call { call, id, number } if self.is_answered(*number) => Some((call, id.as_str())),
            _ => None,
        })
    }

    /// The call with this number, with its id.
    pub(crate) fn call(&self, number: usize) -> (&Call<'a>, &str) {
        match &self.elements[self.calls.all[number].0] {
            Element::Call { call, id, .. } => (call, id),
            Element::Said(_) => unreachable!("a call's number leads to a call"),
        }
    }

    pub(crate) fn is_answered(&self, number: usize) -> bool {
        self.calls.all[number].1
    }

    fn has_open_calls(&self) -> bool {
        self.calls.answered < self.calls.all.len()
    }

    /// Returns the call's number.
    fn take_call(&mut self, call: Call<'a>, key: Option<CallKey>, id: String) -> usize {
        let number = self.calls.all.len();
        self.calls.all.push((self.elements.len(), false));
        self.calls.numbers.extend(key.map(|key| (key, number)));
        self.elements.push(Element::Call { call, id, number });
        number
    }

    /// Takes a result, unless its call has not come yet.
    fn take_answer(&mut self, (answer, key): Answered<'a>, message: &'a Message) -> Option<Answered<'a>> {
        let Some(number) = key.and_then(|key| self.calls.waiting(key)) else { return Some((answer, key)) };
        self.calls.answer(number);
        self.results.push((number, answer, message));
        None
    }
}

/// A result, and its call.
type Answered<'a> = (Answer<'a>, Option<CallKey>);

/// Which ids of calls an API takes.
#[derive(Clone, Copy)]
pub(crate) enum IdRule {
    /// As they are stored.
    Keep,
    /// So many bytes at most. An id may come again in a later step.
    Length(usize),
    /// Letters, digits, `_` and `-`, 64 of them at most. An id may come again in a later step.
    Alphabet,
    /// The same, and no id may come again.
    Once,
}

impl IdRule {
    fn longest(self) -> usize {
        match self {
            Self::Keep => usize::MAX,
            Self::Length(bytes) => bytes,
            Self::Alphabet | Self::Once => 64,
        }
    }

    /// Whether the API takes the id, and nothing makes it likely that another call of the conversation has it, too.
    fn takes(self, id: &str) -> bool {
        let in_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let fits = (1..=self.longest()).contains(&id.len()) && !has_place(id);
        fits && match self {
            Self::Keep | Self::Length(_) => true,
            Self::Alphabet => id.bytes().all(in_alphabet),
            Self::Once => id.bytes().all(in_alphabet) && is_random(id),
        }
    }
}

/// Whether the id ends with a position and a place, as the ids that are made here do.
fn has_place(id: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut ends = id.rsplitn(3, '_');
    matches!((ends.next(), ends.next(), ends.next()), (Some(place), Some(position), Some(_)) if is_number(place) && is_number(position))
}

/// Whether the id seems to be made at random, as those of the providers are: it is long, and its end is no counter such as in `call_12`.
fn is_random(id: &str) -> bool {
    const SHORTEST: usize = 16;
    const LONGEST_COUNTER: usize = 6;
    let end = id.rsplit(['_', '-']).next().unwrap_or(id);
    let is_counter = end.len() <= LONGEST_COUNTER && end.len() < id.len() && end.bytes().all(|byte| byte.is_ascii_digit());
    id.len() >= SHORTEST && !is_counter
}

/// The turns of these messages, whose calls and results belong together as `pairs` says.
pub(crate) fn of<'a>(messages: &'a [Message], pairs: &'a [Pairs], ids: IdRule) -> Vec<Turn<'a>> {
    let ids = Ids { rule: ids, given: HashSet::new() };
    let mut turns = Turns { taken: Vec::new(), step: Step::default(), ids };
    let mut read = messages.iter().map(Read::of).zip(pairs).peekable();
    while let Some((next, pairs)) = read.next() {
        if next.message.role.instructs() {
            turns.end_step();
            turns.taken.push(Turn::Instructions(next.message, said(next)));
        } else if next.is_the_assistants() {
            turns.end_step();
            turns.take_assistant(next, pairs);
            // Adjacent messages are answered together.
            if turns.step.has_open_calls() {
                while let Some((next, pairs)) = read.next_if(|(next, _)| next.is_the_assistants()) {
                    turns.take_assistant(next, pairs);
                }
            }
        } else {
            turns.take_answers(next, pairs);
        }
    }
    turns.end_step();
    turns.taken
}

/// The content, as parts.
fn said(read: Read<'_>) -> Vec<Part<'_>> {
    match &read.message.content {
        Some(Content::Text(text)) => vec![Part::text(text)],
        Some(Content::Parts(_)) => read.parts,
        None => Vec::new(),
    }
}

struct Turns<'a> {
    taken: Vec<Turn<'a>>,
    step: Step<'a>,
    ids: Ids,
}

impl<'a> Turns<'a> {
    fn end_step(&mut self) {
        let step = std::mem::take(&mut self.step);
        self.ids.end_step();
        if step.message.is_some() {
            self.taken.push(Turn::Step(step));
        }
    }

    fn take_assistant(&mut self, mut read: Read<'a>, pairs: &Pairs) {
        let message = read.message;
        self.step.message.get_or_insert(message);
        for part in openai::extra(message) {
            self.say(part, message);
        }
        let is_in_parts = |key: &&CallKey| matches!(key.1, Place::Part(_));
        let (mut in_parts, mut others) =
            (pairs.calls().iter().filter(is_in_parts), pairs.calls().iter().filter(|key| !is_in_parts(key)));
        let (mut answers, mut early) = (pairs.results().iter(), Vec::new());
        let tool_calls = std::mem::take(&mut read.tool_calls);
        let mut numbers = 0..;
        let mut id = |ids: &mut Ids, call: &Call| {
            ids.id(call.id.as_deref().unwrap_or_default(), message.position, numbers.next().unwrap_or_default())
        };
        for part in said(read) {
            match part.kind {
                Kind::Call(call) => {
                    let id = id(&mut self.ids, &call);
                    self.step.take_call(call, in_parts.next().copied(), id);
                }
                Kind::Answer(answer) => early.extend(self.step.take_answer((answer, answers.next().copied()), message)),
                Kind::Answered(call, answer) => {
                    let id = id(&mut self.ids, &call);
                    let number = self.step.take_call(call, None, id);
                    self.step.calls.answer(number);
                    self.step.results.push((number, answer, message));
                }
                _ => self.say(part, message),
            }
        }
        for (_, call) in tool_calls {
            let id = id(&mut self.ids, &call);
            self.step.take_call(call, others.next().copied(), id);
        }
        // Results of what is in `tool_calls`.
        for answer in early {
            self.step.take_answer(answer, message);
        }
    }

    /// When all calls are answered, the assistant speaks anew.
    fn say(&mut self, said: Part<'a>, message: &'a Message) {
        let says_nothing = said.stored.is_none() && said.words() == Some("");
        if !says_nothing && !self.step.results.is_empty() && !self.step.has_open_calls() {
            self.end_step();
            self.step.message = Some(message);
        }
        self.step.elements.push(Element::Said(said));
    }

    /// A message of the user, or results.
    fn take_answers(&mut self, read: Read<'a>, pairs: &Pairs) {
        let message = read.message;
        let mut answers = pairs.results().iter();
        let has_answers = read.parts.iter().any(|part| matches!(part.kind, Kind::Answer(_)));
        if message.role == Role::Tool && !has_answers {
            self.step.take_answer((read.whole_answer(), answers.next().copied()), message);
            return;
        }
        let mut others = Vec::new();
        for part in said(read) {
            match part.kind {
                Kind::Answer(answer) => _ = self.step.take_answer((answer, answers.next().copied()), message),
                _ => others.push(part),
            }
        }
        if message.role == Role::User && (!others.is_empty() || !has_answers) {
            self.end_step();
            self.taken.push(Turn::User(message, others));
        } else if let Some((_, answer, _)) = self.step.results.last_mut().filter(|(.., of)| std::ptr::eq(*of, message)) {
            // What a tool's message says beside its results.
            answer.output.extend(others);
        }
    }
}

/// Gives each name once.
#[derive(Default)]
pub(crate) struct Unique {
    used: HashSet<String>,
    /// The number that is tried next for a key.
    next: HashMap<(String, i64), usize>,
}

impl Unique {
    /// The name, if nobody has it. Otherwise the first free one of those that `numbered` makes. The numbers of a key are tried once, so names
    /// that become the same when they are numbered have to have the same key.
    pub(crate) fn take(&mut self, name: String, key: (&str, i64), numbered: impl Fn(usize) -> String) -> String {
        if self.used.insert(name.clone()) {
            return name;
        }
        let next = self.next.entry((key.0.to_owned(), key.1)).or_default();
        loop {
            let name = numbered(*next);
            *next += 1;
            if self.used.insert(name.clone()) {
                return name;
            }
        }
    }
}

/// The ids of calls.
struct Ids {
    rule: IdRule,
    /// Those of the stored ids that were given, where each may be given once.
    given: HashSet<String>,
}

impl Ids {
    fn end_step(&mut self) {
        if matches!(self.rule, IdRule::Length(_) | IdRule::Alphabet) {
            self.given.clear();
        }
    }

    /// An id that the API takes, for the call with this number in the message at this position. It is the stored id, or else the beginning of
    /// that with the position and the number. So it is unique, and it is the same in all contexts, whatever else is in them. The exception is
    /// an id that seems to be random and is stored twice: the first call in the context keeps it.
    fn id(&mut self, stored: &str, position: i64, number: usize) -> String {
        let is_kept = matches!(self.rule, IdRule::Keep) && !stored.is_empty();
        if is_kept || self.rule.takes(stored) && self.given.insert(stored.to_owned()) {
            return stored.to_owned();
        }
        let place = format!("_{position}_{number}");
        let mut id = match self.rule {
            _ if stored.is_empty() => "call".to_owned(),
            IdRule::Alphabet | IdRule::Once => in_alphabet(stored, "call"),
            IdRule::Keep | IdRule::Length(_) => stored.to_owned(),
        };
        id.truncate(id.floor_char_boundary(self.rule.longest().saturating_sub(place.len())));
        id + &place
    }
}
