//! Text that the database can hold.

use crate::error::{Fault, Invalid};

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

    /// A name or an id of somebody else's: 1 KiB at most.
    ///
    /// # Errors
    /// It is longer, or has U+0000.
    pub fn parse_short(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = Self::parse(text)?;
        if text.0.len() > 1 << 10 {
            return Err(Invalid::new(Fault::TooLarge, "name and tool_call_id have 1 KiB at most"));
        }
        Ok(text)
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
