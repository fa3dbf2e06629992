//! JSON as it travels: API Gateway takes a body as a string inside a JSON document, where each of its quotes is escaped.
//!
//! JSON could be written first, and then written again as a string. That looks at every byte twice, and a page of messages has a quote for
//! every ten bytes. So [`Wire`] writes JSON with its quotes escaped in the first place. `serde_json` checks the whole once, at its end.

use std::io::{self, Write};

use serde::Serialize;
use serde::ser::Error;
use serde_json::Serializer;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter};
use serde_json::value::RawValue;

/// A JSON string that holds JSON, without the quote at its end.
pub struct Wire(Vec<u8>);

/// What may be written in a way of its own, because there is much of it.
pub trait ToWire: Serialize {
    #[doc(hidden)]
    fn write(&self, wire: &mut Wire) -> serde_json::Result<()> {
        wire.value(self)
    }
}

impl Wire {
    pub(crate) fn new() -> Self {
        // As long as an ordinary page of messages, so that it is not copied as it grows.
        let mut text = Vec::with_capacity(64 << 10);
        text.push(b'"');
        Self(text)
    }

    /// The bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    /// How many bytes it has without the escapes, from a place on.
    pub(crate) fn unescaped_len(&self, from: usize) -> usize {
        let (mut escapes, mut bytes) = (0, self.0[from..].iter());
        while bytes.any(|byte| *byte == b'\\') {
            // The escaped byte may be a backslash.
            bytes.next();
            escapes += 1;
        }
        self.0.len() - from - escapes
    }

    /// The string.
    pub(crate) fn end(mut self) -> serde_json::Result<Box<RawValue>> {
        self.0.push(b'"');
        RawValue::from_string(String::from_utf8(self.0).map_err(serde_json::Error::custom)?)
    }

    /// Writes a value.
    pub(crate) fn value(&mut self, value: &(impl Serialize + ?Sized)) -> serde_json::Result<()> {
        value.serialize(&mut Serializer::with_formatter(&mut self.0, Escaped))
    }

    /// Writes the members of a value that is an object, and the object's end.
    pub(crate) fn members(&mut self, value: &impl Serialize) -> serde_json::Result<()> {
        let start = self.0.len();
        self.value(value)?;
        self.0.remove(start);
        Ok(())
    }

    /// Writes what is JSON with its quotes escaped already.
    pub(crate) fn escaped(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Writes a string.
    pub(crate) fn string(&mut self, text: &str) -> serde_json::Result<()> {
        self.escaped(r#"\""#);
        write_with(&mut Escaped, &mut self.0, text).map_err(serde_json::Error::io)?;
        self.escaped(r#"\""#);
        Ok(())
    }

    /// Writes a string that has nothing to escape.
    pub(crate) fn word(&mut self, word: &str) {
        self.escaped(r#"\""#);
        self.escaped(word);
        self.escaped(r#"\""#);
    }

    /// Writes JSON as it is spelled, or any other text.
    pub(crate) fn unescaped(&mut self, text: &str) -> serde_json::Result<()> {
        Escaped.write_raw_fragment(&mut self.0, text).map_err(serde_json::Error::io)
    }
}

/// Writes JSON with its quotes escaped.
struct Escaped;

impl Formatter for Escaped {
    fn begin_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(br#"\""#)
    }

    fn end_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(br#"\""#)
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        writer.write_all(match escape {
            CharEscape::Quote => br#"\\\""#,
            CharEscape::ReverseSolidus => br"\\\\",
            CharEscape::Solidus => br"\\/",
            CharEscape::Backspace => br"\\b",
            CharEscape::FormFeed => br"\\f",
            CharEscape::LineFeed => br"\\n",
            CharEscape::CarriageReturn => br"\\r",
            CharEscape::Tab => br"\\t",
            CharEscape::AsciiControl(byte) => return write!(writer, r"\\u{byte:04x}"),
        })
    }

    fn write_raw_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, json: &str) -> io::Result<()> {
        write_with(&mut CompactFormatter, writer, json)
    }
}

/// Writes a text, and what is escaped in it as the formatter writes it.
fn write_with<W: ?Sized + Write>(formatter: &mut impl Formatter, writer: &mut W, mut text: &str) -> io::Result<()> {
    loop {
        let plain = plain(text.as_bytes());
        writer.write_all(&text.as_bytes()[..plain])?;
        let Some(byte) = text.as_bytes().get(plain) else { return Ok(()) };
        let escape = match byte {
            b'"' => CharEscape::Quote,
            b'\\' => CharEscape::ReverseSolidus,
            0x08 => CharEscape::Backspace,
            0x0c => CharEscape::FormFeed,
            b'\n' => CharEscape::LineFeed,
            b'\r' => CharEscape::CarriageReturn,
            b'\t' => CharEscape::Tab,
            _ => CharEscape::AsciiControl(*byte),
        };
        formatter.write_char_escape(writer, escape)?;
        text = &text[plain + 1..];
    }
}

/// How many bytes there are before the first that JSON's strings escape. Eight are looked at together: if a byte is 0, or less than what is
/// taken from it, the subtraction borrows its highest bit. Only a byte behind the first such one may have borrowed from its neighbour.
fn plain(text: &[u8]) -> usize {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    let escaped = |chunk: &[u8; 8]| {
        let bytes = u64::from_le_bytes(*chunk);
        let less = |bytes: u64, than: u8| bytes.wrapping_sub(EACH * u64::from(than)) & !bytes;
        let is = |byte: u8| less(bytes ^ (EACH * u64::from(byte)), 1);
        (less(bytes, 0x20) | is(b'"') | is(b'\\')) & (EACH << 7)
    };
    let (chunks, rest) = text.as_chunks::<8>();
    if let Some((at, found)) = chunks.iter().map(escaped).enumerate().find(|(_, found)| *found != 0) {
        return 8 * at + found.trailing_zeros() as usize / 8;
    }
    let is_plain = |byte: &&u8| **byte >= 0x20 && !matches!(**byte, b'"' | b'\\');
    8 * chunks.len() + rest.iter().take_while(is_plain).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `serde_json` makes of the JSON that it makes of the value.
    fn twice(value: &impl Serialize) -> String {
        serde_json::to_string(&serde_json::to_string(value).unwrap()).unwrap()
    }

    fn once(write: impl FnOnce(&mut Wire) -> serde_json::Result<()>) -> String {
        let mut wire = Wire::new();
        write(&mut wire).unwrap();
        let unescaped = wire.unescaped_len(0);
        let written = wire.end().unwrap();
        let json: String = serde_json::from_str(written.get()).unwrap();
        assert_eq!(unescaped, json.len() + 1, "{json}");
        written.get().to_owned()
    }

    #[test]
    fn every_character_is_escaped_at_every_place() {
        for character in ('\0'..'\u{100}').chain(['\u{2028}', '\u{1f600}']) {
            for before in 0..20 {
                let text = format!("{}{character}{}", "x".repeat(before), "é\"!\u{7f}".repeat(before % 3 * 3));
                assert_eq!(once(|wire| wire.string(&text)), twice(&text), "{character:?} behind {before}");
                assert_eq!(once(|wire| wire.value(&text)), twice(&text), "{character:?} behind {before}");
            }
        }
    }

    #[test]
    fn every_kind_of_value_is_what_serde_json_writes() {
        let raw = RawValue::from_string("{\n\t\"a\\n\\\\\" : [1.50,\r\"\\u0041\\\"\"] }".to_owned()).unwrap();
        assert_eq!(once(|wire| wire.unescaped(raw.get())), twice(&raw));
        let value = serde_json::json!({"a\"b": [1, -2.5, 1e300, null, true, u64::MAX], "": {"\n": {}}, "none": [], "\\": "\0"});
        assert_eq!(once(|wire| wire.value(&(&raw, &value, 'x', Some(())))), twice(&(&raw, &value, 'x', Some(()))));
        let members = |wire: &mut Wire| {
            wire.escaped(r#"{\"first\":1,"#);
            wire.members(&value)
        };
        assert_eq!(once(members), once(|wire| wire.value(&value)).replacen('{', r#"{\"first\":1,"#, 1));
    }
}
