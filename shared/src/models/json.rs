//! JSON that is stored and given back to the byte.

use serde_json::value::RawValue;

use super::text::null_character;
use crate::invalid::{Fault, Invalid};

/// Any JSON value, kept as the text it came as: key order, number spelling, duplicate keys and lone surrogates included.
///
/// Two things are refused. U+0000 (as the escape `\u0000`): no text in the database may hold it, or reading the value in SQL with
/// `->>` would fail. And nesting over [`Json::MAX_DEPTH`], which Postgres's parser and most readers do by recursion.
#[derive(Debug, Clone)]
pub struct Json(Box<RawValue>);

impl Json {
    /// How deep arrays and objects may be nested.
    pub const MAX_DEPTH: usize = 512;

    /// ```
    /// use shared::models::Json;
    ///
    /// assert_eq!(Json::parse(r#"{"n": 1.50}"#).unwrap().as_str(), r#"{"n": 1.50}"#);
    /// assert!(Json::parse(r#"["\u0000"]"#).is_err());
    /// assert!(Json::parse("[1, ").is_err());
    /// ```
    ///
    /// # Errors
    /// The text is not JSON, or is one of the two kinds that are refused.
    pub fn parse(text: impl Into<String>) -> Result<Self, Invalid> {
        let raw = RawValue::from_string(text.into())
            .map_err(|error| Invalid::new(Fault::Parameter, format!("not valid JSON: {error}")))?;
        Self::from_raw(raw)
    }

    pub(crate) fn from_raw(raw: Box<RawValue>) -> Result<Self, Invalid> {
        if nesting(raw.get())? > Self::MAX_DEPTH {
            return Err(Invalid::new(Fault::Parameter, "JSON may be nested 512 levels deep at most"));
        }
        Ok(Self(raw))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    pub(crate) fn is_object(&self) -> bool {
        self.as_str().starts_with('{')
    }

    pub(crate) fn is_array(&self) -> bool {
        self.as_str().starts_with('[')
    }

    pub(crate) fn into_raw(self) -> Box<RawValue> {
        self.0
    }
}

/// How deep valid JSON is nested; refuses U+0000 on the way.
pub(super) fn nesting(json: &str) -> Result<usize, Invalid> {
    let (mut depth, mut deepest, mut in_string) = (0_usize, 0, false);
    let mut bytes = json.as_bytes().iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            // Only strings have backslashes. The escaped character is passed over, so that `\\u0000` is not taken for one.
            b'\\' if bytes.next() == Some(&b'u') && bytes.as_slice().starts_with(b"0000") => return Err(null_character()),
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(deepest)
}

/// Whether a string of this valid JSON is no Unicode: half of a surrogate pair, without the other.
pub(super) fn has_lone_surrogate(json: &str) -> bool {
    let code = |at: usize| json.get(at + 2..at + 6).and_then(|code| u32::from_str_radix(code, 16).ok());
    let mut at = 0;
    while let Some(found) = json[at..].find('\\') {
        at += found;
        let escape = &json[at..];
        at += match code(at).filter(|_| escape.starts_with("\\u")) {
            Some(0xd800..0xdc00) if escape[6..].starts_with("\\u") && matches!(code(at + 6), Some(0xdc00..0xe000)) => 12,
            Some(0xd800..0xe000) => return true,
            Some(_) => 6,
            None => 2,
        };
    }
    false
}

pub(crate) fn lone_surrogate() -> Invalid {
    Invalid::new(Fault::Character, "text is Unicode: a \\ud800 to \\udfff escape needs its other half")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_do_not_nest() {
        assert_eq!(nesting(r#"[{"a": "[[[{{\"[["}, []]"#).unwrap(), 2);
        assert_eq!(nesting("1").unwrap(), 0);
    }

    #[test]
    fn only_a_real_escape_is_the_null_character() {
        assert!(Json::parse(r#""\\u0000""#).is_ok());
        assert!(Json::parse(r#""\\\u0000""#).is_err());
        assert!(Json::parse(r#"{"\u0000": 1}"#).is_err());
        assert!(Json::parse(r#""\u00001""#).is_err());
        assert!(Json::parse(r#""\u0001 \ud800""#).is_ok());
    }

    #[test]
    fn half_a_surrogate_pair_is_found() {
        for json in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\ud800""#, r#""\ud800x\udc00""#, r#"{"\uDBFF":1}"#, r#""\n\ud83d\n""#]
        {
            assert!(has_lone_surrogate(json), "{json}");
        }
        for json in [r#""\ud83d\ude00 \u00e9 \\ud800 \\\ud83d\ude00""#, "1e999", r#"{"é": "\"\\"}"#] {
            assert!(!has_lone_surrogate(json), "{json}");
        }
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Json::parse(nested(Json::MAX_DEPTH)).is_ok());
        assert!(Json::parse(nested(Json::MAX_DEPTH + 1)).is_err());
        assert!(Json::parse(nested(1_000_000)).is_err());
    }
}
