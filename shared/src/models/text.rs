//! Text that the database can hold.

use crate::invalid::{Fault, Invalid};

/// Any Unicode text without U+0000, which Postgres's `text` can't hold.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Text(String);

impl Text {
    /// # Errors
    /// U+0000 in the text.
    pub fn parse(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        if text.contains('\0') { Err(null_character()) } else { Ok(Self(text)) }
    }

    /// The name of a speaker or tool: 1 KiB at most.
    ///
    /// # Errors
    /// It is longer, or has U+0000.
    pub fn name(text: impl Into<String>) -> Result<Self, Invalid> {
        Self::parse_within(text, 1, "a name")
    }

    /// The id of a tool call: 16 KiB at most, because some APIs put signatures into it.
    ///
    /// # Errors
    /// It is longer, or has U+0000.
    pub fn tool_call_id(text: impl Into<String>) -> Result<Self, Invalid> {
        Self::parse_within(text, 16, "a tool_call_id")
    }

    fn parse_within(text: impl Into<String>, kib: usize, what: &str) -> Result<Self, Invalid> {
        let text = Self::parse(text)?;
        if text.0.len() > kib << 10 {
            return Err(Invalid::new(Fault::TooLarge, format!("{what} has {kib} KiB at most")));
        }
        Ok(text)
    }

    /// A text that was stored.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

pub(super) fn null_character() -> Invalid {
    Invalid::new(Fault::Character, "text can't hold the character U+0000; leave it out")
}
