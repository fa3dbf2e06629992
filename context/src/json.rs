//! JSON that keeps its spelling: numbers, the order of members, and escapes.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The members of an object, in their order. Anything else has none.
#[derive(Default)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    pub(crate) fn of(object: &'a RawValue) -> Self {
        serde_json::from_str(object.get()).unwrap_or_default()
    }

    /// The member that is an object. Without one, there are no members.
    pub(crate) fn object(&self, name: &str) -> Self {
        self.get(name).map(Self::of).unwrap_or_default()
    }

    /// The value of the last member of this name, unless it is null.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let value = self.0.iter().rev().find(|(member, _)| member == name)?.1;
        (value.get() != "null").then_some(value)
    }

    /// The first of these members that is there.
    pub(crate) fn any(&self, names: &[&str]) -> Option<&'a RawValue> {
        names.iter().find_map(|name| self.get(name))
    }

    /// The member's text, if it is a string.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        string(self.get(name)?)
    }

    /// The first of these members that is a string.
    pub(crate) fn any_text(&self, names: &[&str]) -> Option<Cow<'a, str>> {
        names.iter().find_map(|name| self.text(name))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.get() == "true")
    }

    pub(crate) fn has_nulls(&self) -> bool {
        self.0.iter().any(|(_, value)| value.get() == "null")
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }

    /// The elements of the member, if it is an array.
    pub(crate) fn elements(&self, name: &str) -> Vec<&'a RawValue> {
        self.get(name).map(elements).unwrap_or_default()
    }

    /// The object with no other members than these, as they are spelled, and without those that are null.
    pub(crate) fn only(&self, names: &[&str]) -> Box<RawValue> {
        self.filled(|name| names.contains(&name))
    }

    /// The object with the members whose names `keeps` wants, without those that are null.
    pub(crate) fn filled(&self, keeps: impl Fn(&str) -> bool) -> Box<RawValue> {
        let kept = self.0.iter().filter(|(name, value)| keeps(name) && value.get() != "null");
        let members: Vec<String> = kept.map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
        raw(format!("{{{}}}", members.join(",")))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(8);
                while let Some((Text(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A string, borrowed if it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowed;
        impl<'de> Visitor<'de> for Borrowed {
            type Value = Cow<'de, str>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Borrowed).map(Self)
    }
}

/// A value of an answer.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Json<'a> {
    /// As it is stored.
    Stored(&'a RawValue),
    /// Made of what is stored.
    Written(Box<RawValue>),
    /// Made anew.
    Made(Value),
}

impl Json<'_> {
    /// The text, to be a part of a larger one.
    pub(crate) fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::Stored(json) => Cow::Borrowed(json.get()),
            Self::Written(json) => Cow::Borrowed(json.get()),
            Self::Made(json) => Cow::Owned(json.to_string()),
        }
    }
}

impl From<Value> for Json<'_> {
    fn from(json: Value) -> Self {
        Self::Made(json)
    }
}

impl From<Box<RawValue>> for Json<'_> {
    fn from(json: Box<RawValue>) -> Self {
        Self::Written(json)
    }
}

impl<'a> From<&'a RawValue> for Json<'a> {
    fn from(json: &'a RawValue) -> Self {
        Self::Stored(json)
    }
}

/// The array of these.
pub(crate) fn array<T: AsRef<str>>(elements: &[T]) -> String {
    let length: usize = elements.iter().map(|element| element.as_ref().len() + 1).sum();
    let mut text = String::with_capacity(length + 2);
    for (at, element) in elements.iter().enumerate() {
        text.push(if at == 0 { '[' } else { ',' });
        text.push_str(element.as_ref());
    }
    text.push_str(if elements.is_empty() { "[]" } else { "]" });
    text
}

/// The elements of an array. Anything else has none.
pub(crate) fn elements(array: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(array.get()).unwrap_or_default()
}

/// The text of a string.
pub(crate) fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    if value.get().starts_with('"') { serde_json::from_str::<Text>(value.get()).ok().map(|Text(text)| text) } else { None }
}

/// The JSON of a text.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

pub(crate) fn is_filled_object(json: &RawValue) -> bool {
    let members = json.get().strip_prefix('{').and_then(|json| json.strip_suffix('}'));
    members.is_some_and(|members| !members.trim().is_empty())
}

/// The object with another value for a member. Everything else keeps its spelling.
pub(crate) fn with_member(object: &RawValue, name: &str, value: &str) -> Box<RawValue> {
    let text = object.get();
    let members = Object::of(object);
    let Some((_, old)) = members.0.iter().rev().find(|(member, _)| member == name) else {
        let separator = if members.0.is_empty() { "" } else { "," };
        return raw(format!("{{{}:{value}{separator}{}", quoted(name), text.strip_prefix('{').unwrap_or("}")));
    };
    // A raw value is a piece of the text that it was read from.
    let start = old.get().as_ptr().addr() - text.as_ptr().addr();
    raw(format!("{}{value}{}", &text[..start], &text[start + old.get().len()..]))
}

/// JSON that is known to be valid, because it was made of JSON.
pub(crate) fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// How many bytes a text has in JSON.
pub(crate) fn escaped_bytes(text: &str) -> usize {
    // The compiler makes vector code of sums of single bytes. A sum of 32 fits in one: a byte adds at most 5.
    let added = |byte: &u8| {
        // From \b to \r, all but \v.
        let is_short = byte.wrapping_sub(0x08) < 6 && *byte != 0x0b;
        u8::from(*byte == b'"' || *byte == b'\\') + 5 * u8::from(*byte < 0x20) - 4 * u8::from(is_short)
    };
    let chunks = text.as_bytes().chunks(32);
    text.len() + chunks.map(|chunk| usize::from(chunk.iter().map(added).sum::<u8>())).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_takes_no_more_than_what_is_reckoned() {
        let every_character: String = ('\u{1}'..='\u{ff}').collect();
        for text in [every_character.repeat(7), "\u{b}".repeat(63), "\n\"\\".repeat(33), "é".repeat(31)] {
            let written = serde_json::to_string(&text).unwrap().len() - 2;
            assert_eq!(escaped_bytes(&text), written);
        }
    }
}
