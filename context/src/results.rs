//! Old tool results. Their contents are replaced by the number of their characters.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::formats::spelling;
use crate::json::{elements, raw};
use crate::message::{Content, Message, Role};
use crate::part::Kind;
use crate::start::Marks;

/// Where a result is: the message itself, or one of its content parts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Message,
    Part(usize),
}

/// Replaces the contents of all results but the newest `keep`. With a step, it replaces those before the last mark that is not behind the
/// newest `keep`. So what is replaced stays the same while a step is appended. Returns how many were replaced.
///
/// No message gets larger. A content that is as short as its replacement stays.
pub(crate) fn elide(messages: &mut [Message], keep: i64, marks: Option<&Marks>) -> i64 {
    let all: Vec<(usize, Place)> =
        messages.iter().enumerate().flat_map(|(at, message)| results(message).into_iter().map(move |place| (at, place))).collect();
    let old = all.len().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
    let first_kept = all.get(old).map(|(at, _)| messages[*at].position);
    let mut elided = 0;
    for of_message in all[..old].chunk_by(|(one, _), (other, _)| one == other) {
        let message = &mut messages[of_message[0].0];
        if let (Some(marks), Some(first_kept)) = (marks, first_kept)
            && !marks.has_mark_between(message.position, first_kept)
        {
            continue;
        }
        let places: Vec<Place> = of_message.iter().map(|(_, place)| *place).collect();
        if let Some((shorter, count)) = without_contents(message, &places) {
            *message = shorter;
            elided += count;
        }
    }
    elided
}

fn results(message: &Message) -> Vec<Place> {
    let parts = spelling::parts(message).into_iter().enumerate();
    let is_result = |kind: &Kind| matches!(kind, Kind::Answer(_) | Kind::Answered(..));
    let in_parts: Vec<Place> = parts.filter(|(_, part)| is_result(&part.kind)).map(|(at, _)| Place::Part(at)).collect();
    if message.role == Role::Tool && in_parts.is_empty() { vec![Place::Message] } else { in_parts }
}

/// The message with these contents replaced, and how many were. `None` if none is.
fn without_contents(message: &Message, places: &[Place]) -> Option<(Message, i64)> {
    let content = message.content.as_ref()?;
    let (content, count) = if places == [Place::Message] {
        (Content::Text(replacement(content.characters())?), 1)
    } else {
        let Content::Parts(parts) = content else { return None };
        let (parts, count) = without_parts(parts, message.role, places)?;
        (Content::Parts(parts), count)
    };
    let shorter = Message { content: Some(content), token_count: None, ..message.clone() };
    // What the caller counted may be less than the estimate of what is left.
    (shorter.tokens() <= message.tokens()).then_some((shorter, count))
}

/// The parts with the contents of some results replaced. Everything else keeps its spelling.
fn without_parts(parts: &RawValue, role: Role, places: &[Place]) -> Option<(Box<RawValue>, i64)> {
    let text = parts.get();
    let (mut shorter, mut copied, mut count) = (String::new(), 0, 0);
    let all = elements(parts);
    for place in places {
        let Place::Part(at) = place else { continue };
        let part = all[*at];
        let Some(output) = spelling::place_of_output(part, role) else { continue };
        let replaced = output.value.get();
        let characters =
            serde_json::from_str::<Cow<str>>(replaced).map_or_else(|_| replaced.chars().count(), |text| text.chars().count());
        let Some(replacement) = replacement(characters) else { continue };
        // A raw value is a piece of the text that it was read from.
        let start = replaced.as_ptr().addr() - text.as_ptr().addr();
        if output.before.len() + replacement.len() + output.after.len() >= replaced.len() {
            continue;
        }
        shorter.push_str(text.get(copied..start)?);
        shorter.extend([&*output.before, &replacement, output.after]);
        copied = start + replaced.len();
        count += 1;
    }
    shorter.push_str(text.get(copied..)?);
    (count > 0).then(|| (raw(shorter), count))
}

/// What stands for so many characters, if it is shorter, with its quotes.
fn replacement(characters: usize) -> Option<String> {
    let replacement = format!("[omitted: {characters} characters]");
    (replacement.len() + 2 < characters).then_some(replacement)
}
