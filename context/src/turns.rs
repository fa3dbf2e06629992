//! Makes turns of the chosen messages.

use crate::formats::openai;
use crate::formats::spelling::Read;
use crate::ids::{IdRule, Ids};
use crate::message::{Content, Message, Role};
use crate::pairs::{CallKey, Pairs, Place};
use crate::part::{Call, Kind, Part};
use crate::turn::{Element, Step, Turn};

/// The turns of these messages, whose calls and results belong together as `pairs` says.
pub(crate) fn of<'a>(messages: &'a [Message], pairs: &'a [Pairs], ids: IdRule) -> Vec<Turn<'a>> {
    let mut turns = Turns { taken: Vec::new(), step: Step::default(), ids: Ids::new(ids) };
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
