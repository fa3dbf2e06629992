//! Ids of calls that an API takes, and names that are given once.

use std::collections::{HashMap, HashSet};

use crate::part::in_alphabet;

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

/// The ids of calls.
pub(crate) struct Ids {
    rule: IdRule,
    /// Those of the stored ids that were given, where each may be given once.
    given: HashSet<String>,
}

impl Ids {
    pub(crate) fn new(rule: IdRule) -> Self {
        Self { rule, given: HashSet::new() }
    }

    pub(crate) fn end_step(&mut self) {
        if matches!(self.rule, IdRule::Length(_) | IdRule::Alphabet) {
            self.given.clear();
        }
    }

    /// An id that the API takes, for the call with this number in the message at this position. It is the stored id, or else the beginning of
    /// that with the position and the number. So it is unique, and it is the same in all contexts, whatever else is in them. The exception is
    /// an id that seems to be random and is stored twice: the first call in the context keeps it.
    pub(crate) fn id(&mut self, stored: &str, position: i64, number: usize) -> String {
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
