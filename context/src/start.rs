//! Where the messages behind the pinned ones start.
//!
//! Without a step they start as early as the limits allow. Then the start moves with nearly every message, and nothing but the pinned
//! messages is the same as in the request before. A provider's prompt cache needs the same beginning.
//!
//! With a step, the start is the first possible one at or behind a mark. The marks are the multiples of the step on a ruler that grows with
//! the conversation: the messages, characters or tokens that had been appended before. The lowest mark is taken behind which everything is
//! within the limit. What lies between the mark and the next message counts, too. So the mark stays the same until a whole step has been
//! appended, however long the turns are.

use std::collections::BTreeMap;

use crate::message::Message;
use crate::units::Unit;
use crate::{Before, Limits, Room, Size};

/// The rulers: messages, characters and tokens.
const RULERS: usize = 3;

/// How much had been appended before each message, by its position.
pub(crate) struct Rulers(BTreeMap<i64, [i64; RULERS]>);

impl Rulers {
    /// The newest messages of the conversation, in order. A message of old has no place on the rulers of characters and tokens. Its place
    /// is counted backwards from the message behind it. If there is none, the rulers begin at the end of the conversation.
    pub(crate) fn of(newest: &[(Message, Before)]) -> Self {
        let (mut characters, mut tokens) = (0, 0);
        let places = newest.iter().rev().map(|(message, before)| {
            characters = before[0].unwrap_or(characters - message.characters());
            tokens = before[1].unwrap_or(tokens - message.tokens());
            (message.position, [message.position - 1, characters, tokens])
        });
        Self(places.collect())
    }

    fn at(&self, position: i64) -> [i64; RULERS] {
        self.0.get(&position).copied().unwrap_or_default()
    }
}

/// The marks where the start may be, which move in steps.
pub(crate) struct Marks {
    every: i64,
    rulers: Rulers,
    /// The rulers of the limits, or that of messages if there is no limit.
    used: Vec<usize>,
}

impl Marks {
    pub(crate) fn new(every: i64, limits: Limits, rulers: Rulers) -> Self {
        let limits = [limits.messages, limits.characters, limits.tokens];
        let mut used: Vec<usize> = (0..RULERS).filter(|ruler| limits[*ruler].is_some()).collect();
        if used.is_empty() {
            used.push(0);
        }
        Self { every, rulers, used }
    }

    /// The lowest mark behind which all units have room, on each ruler that is used.
    fn lowest(&self, units: &[Unit], room: &Room) -> Vec<i64> {
        let room = [room.stored.messages, room.stored.characters, room.stored.tokens];
        let size = |size: Size, ruler: usize| [size.messages, size.characters, size.tokens][ruler];
        let mark = |ruler: &usize| {
            let mut behind: i64 = units.iter().map(|unit| size(unit.stored, *ruler)).sum();
            let mut after_the_one_before = i64::MIN;
            for unit in units {
                let place = self.rulers.at(unit.position)[*ruler];
                let lowest = (behind + place).saturating_sub(room[*ruler]);
                let mark = self.multiple_from(lowest.max(after_the_one_before));
                if mark <= place {
                    return mark;
                }
                behind -= size(unit.stored, *ruler);
                after_the_one_before = place + 1;
            }
            i64::MAX
        };
        self.used.iter().map(mark).collect()
    }

    fn is_behind(&self, lowest: &[i64], unit: &Unit) -> bool {
        let place = self.rulers.at(unit.position);
        self.used.iter().zip(lowest).all(|(ruler, mark)| place[*ruler] >= *mark)
    }

    /// Whether there is a mark behind the one position and not behind the other, on each ruler that is used.
    pub(crate) fn has_mark_between(&self, position: i64, other: i64) -> bool {
        let (place, other) = (self.rulers.at(position), self.rulers.at(other));
        self.used.iter().all(|ruler| self.multiple_from(place[*ruler] + 1) <= other[*ruler])
    }

    fn multiple_from(&self, place: i64) -> i64 {
        let below = place.div_euclid(self.every).saturating_mul(self.every);
        if below < place { below.saturating_add(self.every) } else { below }
    }
}

/// The start of the units to send: they reach to the end, have room, and start where `may_start` says. `is_whole` says whether the units
/// reach back to the beginning of the conversation. If they all have room then, there is no step.
pub(crate) fn of(
    units: &[Unit],
    room: &Room,
    marks: Option<&Marks>,
    is_whole: bool,
    may_start: impl Fn(&Unit) -> bool,
) -> Option<usize> {
    let mut left = room.clone();
    let first = units.len() - units.iter().rev().take_while(|unit| left.take(unit)).count();
    let mut starts = (first..units.len()).filter(|at| may_start(&units[*at]));
    let Some(marks) = marks.filter(|_| !is_whole || first > 0) else { return starts.next() };

    let mut lowest = marks.lowest(units, room);
    let behind = |lowest: &[i64]| units.iter().position(|unit| may_start(unit) && marks.is_behind(lowest, unit));
    let mut start = behind(&lowest);
    if start.is_some_and(|start| start < first) {
        // The units are larger than what is stored of them, or than a response can hold.
        let place = marks.rulers.at(units[first - 1].position)[marks.used[0]];
        lowest[0] = marks.multiple_from(place + 1);
        start = behind(&lowest);
    }
    // The newest turn may be longer than a step. It is not given up for a mark.
    start.filter(|start| *start >= first).or_else(|| starts.last())
}
