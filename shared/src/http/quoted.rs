//! JSON as it stands inside a JSON string: its quotes and backslashes are escaped once more.
//!
//! `serde_json` can be told to escape so, but looks at every byte of every string by itself. That was a fifth of what a page of messages took.

use std::fmt::Write;

use serde::ser::{Error as _, Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer};
use serde_json::Error;

/// How `RawValue` names itself, and its only member, to a serializer.
const RAW: &str = "$serde_json::private::RawValue";

/// Writes a value's JSON behind `text`.
///
/// # Errors
/// The value says that it can't be serialized, or has a map whose keys are no strings.
pub(super) fn write(text: &mut String, value: &impl Serialize) -> Result<(), Error> {
    value.serialize(&mut Quoted { text, raw: false })
}

struct Quoted<'t> {
    text: &'t mut String,
    /// Whether the next string is JSON already.
    raw: bool,
}

/// An array or an object that is open.
struct Open<'q, 't> {
    quoted: &'q mut Quoted<'t>,
    empty: bool,
    end: &'static str,
}

impl<'t> Quoted<'t> {
    fn string(&mut self, text: &str) {
        self.text.push_str(r#"\""#);
        escape(self.text, text, |to, byte| match byte {
            b'"' => to.push_str(r#"\\\""#),
            b'\\' => to.push_str(r"\\\\"),
            b'\n' => to.push_str(r"\\n"),
            b'\r' => to.push_str(r"\\r"),
            b'\t' => to.push_str(r"\\t"),
            0x08 => to.push_str(r"\\b"),
            0x0c => to.push_str(r"\\f"),
            _ => {
                let _ = write!(to, r"\\u{byte:04x}");
            }
        });
        self.text.push_str(r#"\""#);
    }

    fn json(&mut self, json: &str) {
        escape(self.text, json, |to, byte| {
            to.push_str(match byte {
                b'"' => r#"\""#,
                b'\\' => r"\\",
                b'\n' => r"\n",
                b'\r' => r"\r",
                // JSON has no other control characters than these.
                _ => r"\t",
            });
        });
    }

    fn open<'q>(&'q mut self, begin: &str, end: &'static str) -> Open<'q, 't> {
        self.text.push_str(begin);
        Open { quoted: self, empty: true, end }
    }
}

/// Writes `from` behind `to`. What JSON's strings escape is written by `write`.
fn escape(to: &mut String, mut from: &str, write: impl Fn(&mut String, u8)) {
    loop {
        let plain = plain(from.as_bytes());
        to.push_str(&from[..plain]);
        let Some(byte) = from.as_bytes().get(plain) else { return };
        write(to, *byte);
        from = &from[plain + 1..];
    }
}

/// How many bytes there are before the first that JSON's strings escape.
fn plain(text: &[u8]) -> usize {
    let is_escaped = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    let (chunks, _) = text.as_chunks::<16>();
    // The compiler makes vector code of a chunk that is looked at to its end.
    let has_none = |chunk: &&[u8; 16]| !chunk.iter().fold(false, |found, byte| found | is_escaped(byte));
    let start = 16 * chunks.iter().take_while(has_none).count();
    text[start..].iter().position(is_escaped).map_or(text.len(), |at| start + at)
}

/// What the models have no members of.
macro_rules! refused {
    ($($name:ident($($parameter:ident: $kind:ty),*) -> $open:ty;)*) => {
        $(fn $name(self, $($parameter: $kind),*) -> Result<$open, Error> {
            $(let _ = $parameter;)*
            Err(Error::custom(concat!(stringify!($name), " is not written in replies")))
        })*
    };
}

macro_rules! numbers {
    ($($name:ident: $number:ty;)*) => {
        $(fn $name(self, value: $number) -> Result<(), Error> {
            write!(self.text, "{value}").map_err(Error::custom)
        })*
    };
}

impl<'q, 't> Serializer for &'q mut Quoted<'t> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Open<'q, 't>;
    type SerializeTuple = Impossible<(), Error>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Open<'q, 't>;
    type SerializeStruct = Open<'q, 't>;
    type SerializeStructVariant = Impossible<(), Error>;

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        if self.raw {
            self.json(value);
        } else {
            self.string(value);
        }
        Ok(())
    }

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.text.push_str(if value { "true" } else { "false" });
        Ok(())
    }

    numbers! {
        serialize_i8: i8;
        serialize_i16: i16;
        serialize_i32: i32;
        serialize_i64: i64;
        serialize_u8: u8;
        serialize_u16: u16;
        serialize_u32: u32;
        serialize_u64: u64;
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        self.text.push_str(&serde_json::to_string(&value)?);
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.text.push_str("null");
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Open<'q, 't>, Error> {
        Ok(self.open("[", "]"))
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Open<'q, 't>, Error> {
        Ok(self.open("{", "}"))
    }

    fn serialize_struct(self, name: &'static str, _length: usize) -> Result<Open<'q, 't>, Error> {
        self.raw = name == RAW;
        Ok(if self.raw { self.open("", "") } else { self.open("{", "}") })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<(), Error> {
        Err(Error::custom("serialize_newtype_variant is not written in replies"))
    }

    refused! {
        serialize_char(value: char) -> ();
        serialize_f32(value: f32) -> ();
        serialize_bytes(value: &[u8]) -> ();
        serialize_unit_struct(name: &'static str) -> ();
        serialize_tuple(length: usize) -> Self::SerializeTuple;
        serialize_tuple_struct(name: &'static str, length: usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, length: usize) -> Self::SerializeTupleVariant;
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, length: usize) -> Self::SerializeStructVariant;
    }
}

impl Open<'_, '_> {
    fn comma(&mut self) {
        if !std::mem::take(&mut self.empty) {
            self.quoted.text.push(',');
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "what the traits ask for")]
    fn close(self) -> Result<(), Error> {
        self.quoted.raw = false;
        self.quoted.text.push_str(self.end);
        Ok(())
    }
}

impl SerializeSeq for Open<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.comma();
        value.serialize(&mut *self.quoted)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl SerializeMap for Open<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.comma();
        let before = self.quoted.text.len();
        key.serialize(&mut *self.quoted)?;
        let is_string = self.quoted.text[before..].starts_with('\\');
        if is_string { Ok(()) } else { Err(Error::custom("a key is a string")) }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.quoted.text.push(':');
        value.serialize(&mut *self.quoted)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl SerializeStruct for Open<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        if !self.quoted.raw {
            // A member's name has nothing to escape.
            self.quoted.text.push_str(if std::mem::take(&mut self.empty) { r#"\""# } else { r#",\""# });
            self.quoted.text.push_str(name);
            self.quoted.text.push_str(r#"\":"#);
        }
        value.serialize(&mut *self.quoted)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    /// What `serde_json` makes of the JSON that it makes of the value.
    fn twice(value: &impl Serialize) -> String {
        serde_json::to_string(&serde_json::to_string(value).unwrap()).unwrap()
    }

    fn once(value: &impl Serialize) -> String {
        let mut text = "\"".to_owned();
        write(&mut text, value).unwrap();
        text + "\""
    }

    #[test]
    fn every_character_is_escaped_at_every_place() {
        for character in ('\0'..'\u{100}').chain(['\u{2028}', '\u{1f600}']) {
            for before in 0..40 {
                let text = format!("{}{character}{}", "x".repeat(before), "é".repeat(20));
                assert_eq!(once(&text), twice(&text), "{character:?} behind {before}");
            }
        }
    }

    #[test]
    fn every_kind_of_value_is_what_serde_json_writes() {
        #[derive(serde::Serialize)]
        struct All<'a> {
            number: (),
            raw: &'a [Box<RawValue>],
            one: Option<&'a RawValue>,
            after: &'a str,
            value: serde_json::Value,
            numbers: Vec<i16>,
        }
        let raw = RawValue::from_string("{\n\t\"a\\n\\\\\" : [1.50,\r\"\\u0041\\\"\"] }".to_owned()).unwrap();
        let all = All {
            number: (),
            raw: &[raw.clone(), raw.clone()],
            one: Some(&raw),
            after: "\"\\",
            value: serde_json::json!({"a\"b": [1, -2.5, 1e300, null, true, u64::MAX], "": {"\n": {}}, "none": []}),
            numbers: vec![i16::MIN, 0],
        };
        assert_eq!(once(&all), twice(&all));
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        let number_as_key = std::collections::BTreeMap::from([(1, 2)]);
        assert!(write(&mut String::new(), &number_as_key).is_err());
        assert!(write(&mut String::new(), &(1, 2)).is_err());
    }
}
