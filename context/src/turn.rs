//! What a format writes, whatever API's way it was stored in: instructions, what the user says, or a step.
//!
//! A step is what the assistant says and calls, and then all results. The calls of adjacent messages that are answered together are one
//! step. A message that holds calls with their results, as the AI SDK stores them, is several steps if the assistant speaks between them.

use std::collections::HashMap;

use crate::message::Message;
use crate::pairs::CallKey;
use crate::part::{Answer, Call, Part};

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
    pub(crate) calls: Calls,
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
pub(crate) struct Calls {
    /// Where each is among the elements, and whether it has a result.
    all: Vec<(usize, bool)>,
    numbers: HashMap<CallKey, usize>,
    answered: usize,
}

impl Calls {
    pub(crate) fn answer(&mut self, number: usize) {
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

    pub(crate) fn has_open_calls(&self) -> bool {
        self.calls.answered < self.calls.all.len()
    }

    /// Returns the call's number.
    pub(crate) fn take_call(&mut self, call: Call<'a>, key: Option<CallKey>, id: String) -> usize {
        let number = self.calls.all.len();
        self.calls.all.push((self.elements.len(), false));
        self.calls.numbers.extend(key.map(|key| (key, number)));
        self.elements.push(Element::Call { call, id, number });
        number
    }

    /// Takes a result, unless its call has not come yet.
    pub(crate) fn take_answer(&mut self, (answer, key): Answered<'a>, message: &'a Message) -> Option<Answered<'a>> {
        let Some(number) = key.and_then(|key| self.calls.waiting(key)) else { return Some((answer, key)) };
        self.calls.answer(number);
        self.results.push((number, answer, message));
        None
    }
}

/// A result, and its call.
pub(crate) type Answered<'a> = (Answer<'a>, Option<CallKey>);
