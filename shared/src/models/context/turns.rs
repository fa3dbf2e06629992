//! The chosen messages as turns, whatever API's way their calls are stored in: what each format writes.
//!
//! A step is what the assistant says and calls, and then all results. The calls of adjacent messages that are answered together are one
//! step. A message that holds calls with their results, as the AI SDK stores them, is several steps if the assistant speaks between them.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::spelling::{self, Answer, Call, Part};
use super::steps;
use crate::models::{Content, Message, Role};

pub(super) enum Turn<'a> {
    Instructions(&'a Message),
    /// What the user says, without the results in that message.
    User(&'a Message, Vec<Said<'a>>),
    Step(Step<'a>),
}

/// A content, or one of its parts.
#[derive(Clone, Copy)]
pub(super) enum Said<'a> {
    Text(&'a str),
    Part(&'a RawValue),
}

#[derive(Default)]
pub(super) struct Step<'a> {
    /// The first of the assistant's messages.
    pub(super) message: Option<&'a Message>,
    /// In the order in which they are stored.
    pub(super) elements: Vec<Element<'a>>,
    /// In the order in which they are stored, each with the number of its call.
    pub(super) results: Vec<(usize, Answer<'a>, &'a Message)>,
    calls: Vec<(Option<String>, bool)>,
}

pub(super) enum Element<'a> {
    Said(Said<'a>),
    Call {
        call: Call<'a>,
        /// At most 64 letters, digits, `_` and `-`. No other call of the answer has the same.
        unique_id: String,
        number: usize,
    },
}

impl<'a> Step<'a> {
    pub(super) fn said(&self) -> impl Iterator<Item = Said<'a>> {
        self.elements.iter().filter_map(|element| if let Element::Said(said) = element { Some(*said) } else { None })
    }

    /// The calls that have results, with their ids.
    pub(super) fn calls(&self) -> impl Iterator<Item = (&Call<'a>, &str)> {
        self.elements.iter().filter_map(|element| match element {
            Element::Call { call, unique_id, number } if self.is_answered(*number) => Some((call, unique_id.as_str())),
            _ => None,
        })
    }

    /// The call with this number, with its id.
    pub(super) fn call(&self, wanted: usize) -> Option<(&Call<'a>, &str)> {
        self.elements.iter().find_map(|element| match element {
            Element::Call { call, unique_id, number } if *number == wanted => Some((call, unique_id.as_str())),
            _ => None,
        })
    }

    pub(super) fn is_answered(&self, number: usize) -> bool {
        self.calls.get(number).is_some_and(|(_, answered)| *answered)
    }

    fn has_open_calls(&self) -> bool {
        self.calls.iter().any(|(_, answered)| !answered)
    }

    fn take_call(&mut self, call: Call<'a>, position: i64, used: &mut BTreeSet<String>) {
        let unique_id = free_id(call.id.as_deref().unwrap_or_default(), position, used);
        used.insert(unique_id.clone());
        self.calls.push((call.id.clone(), false));
        self.elements.push(Element::Call { call, unique_id, number: self.calls.len() - 1 });
    }

    /// Finds the call that is answered. Without one, the result is left out.
    fn take_answer(&mut self, answer: Answer<'a>, message: &'a Message) {
        let same = self.calls.iter().position(|(id, answered)| !answered && *id == answer.id);
        let either_has_none = |(id, answered): &(Option<String>, bool)| !answered && (id.is_none() || answer.id.is_none());
        if let Some(number) = same.or_else(|| self.calls.iter().position(either_has_none)) {
            self.calls[number].1 = true;
            self.results.push((number, answer, message));
        }
    }
}

/// The turns of these messages.
pub(super) fn of(messages: &[Message]) -> Vec<Turn<'_>> {
    let mut turns = Turns::default();
    for together in answered_together(messages) {
        match together {
            [message] if matches!(message.role, Role::System | Role::Developer) => {
                turns.end_step();
                turns.taken.push(Turn::Instructions(message));
            }
            [message] if message.role != Role::Assistant || steps::only_answers(message) => turns.take_answers(message),
            _ => {
                turns.end_step();
                for message in together {
                    turns.take_assistant(message);
                }
            }
        }
    }
    turns.end_step();
    turns.taken
}

/// The messages one by one, but those of the assistant that are answered together at once.
fn answered_together(messages: &[Message]) -> impl Iterator<Item = &[Message]> {
    let mut rest = messages;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let run = rest.iter().take_while(|message| steps::is_assistants(message));
        let (together, others) = rest.split_at(if steps::calls_tools(first) { run.count().max(1) } else { 1 });
        rest = others;
        Some(together)
    })
}

#[derive(Default)]
struct Turns<'a> {
    taken: Vec<Turn<'a>>,
    step: Step<'a>,
    used: BTreeSet<String>,
}

impl<'a> Turns<'a> {
    fn end_step(&mut self) {
        let step = std::mem::take(&mut self.step);
        if step.message.is_some() {
            self.taken.push(Turn::Step(step));
        }
    }

    fn take_assistant(&mut self, message: &'a Message) {
        self.step.message.get_or_insert(message);
        if let Some(Content::Text(text)) = &message.content {
            self.say(Said::Text(text.as_str()), message);
        }
        for (object, part) in spelling::parts(message) {
            match part {
                Part::Other => self.say(Said::Part(object), message),
                Part::Call(call) => self.step.take_call(call, message.position, &mut self.used),
                Part::Answer(answer) => self.step.take_answer(answer, message),
                Part::Answered(call, answer) => {
                    self.step.take_call(call, message.position, &mut self.used);
                    // Its own call, whatever the ids are.
                    self.step.calls.last_mut().into_iter().for_each(|(_, answered)| *answered = true);
                    self.step.results.push((self.step.calls.len() - 1, answer, message));
                }
            }
        }
        for (_, call) in spelling::tool_calls(message) {
            self.step.take_call(call, message.position, &mut self.used);
        }
    }

    /// When all calls are answered, the assistant speaks anew.
    fn say(&mut self, said: Said<'a>, message: &'a Message) {
        let says_nothing = matches!(said, Said::Text(""));
        if !says_nothing && !self.step.results.is_empty() && !self.step.has_open_calls() {
            self.end_step();
            self.step.message = Some(message);
        }
        self.step.elements.push(Element::Said(said));
    }

    /// A message of the user, or results.
    fn take_answers(&mut self, message: &'a Message) {
        let (mut said, mut has_answers) = (Vec::new(), false);
        if let Some(Content::Text(text)) = &message.content {
            said.push(Said::Text(text.as_str()));
        }
        for (object, part) in spelling::parts(message) {
            if let Part::Answer(answer) = part {
                has_answers = true;
                self.step.take_answer(answer, message);
            } else {
                said.push(Said::Part(object));
            }
        }
        if message.role == Role::Tool && !has_answers {
            self.step.take_answer(spelling::whole_answer(message), message);
        } else if message.role == Role::User && (!said.is_empty() || !has_answers) {
            self.end_step();
            self.taken.push(Turn::User(message, said));
        }
    }
}

/// An id in the alphabet that no earlier call has: the stored one, if it is such an id.
fn free_id(stored: &str, position: i64, used: &BTreeSet<String>) -> String {
    let id = spelling::in_alphabet(stored, "call");
    if !used.contains(&id) {
        return id;
    }
    // Shorter by as much as the number needs.
    let numbered = (0..).map(|number| {
        let suffix = format!("_{position}_{number}");
        let length = id.len().min(64_usize.saturating_sub(suffix.len()));
        format!("{}{suffix}", id.get(..length).unwrap_or_default())
    });
    numbered.into_iter().find(|id| !used.contains(id)).unwrap_or(id)
}
