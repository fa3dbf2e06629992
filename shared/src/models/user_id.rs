//! Who a conversation belongs to.

use crate::invalid::{Fault, Invalid};

/// A user's id: 1 to 255 characters, none of them a control character. It is not `.` or `..`, which mean something else in a path. What it means is the caller's affair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserId(String);

impl UserId {
    const MAX_CHARACTERS: usize = 255;

    /// ```
    /// use shared::models::UserId;
    ///
    /// assert!(UserId::parse("auth0|6f0c 100% Zoë").is_ok());
    /// assert!(UserId::parse("").is_err());
    /// assert!(UserId::parse("..").is_err());
    /// ```
    ///
    /// # Errors
    /// The text is empty, too long, `.` or `..`, or has a control character.
    pub fn parse(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        if text.chars().any(char::is_control) {
            return Err(Invalid::new(Fault::Character, "a user id can't hold control characters; leave them out"));
        }
        if text.is_empty() || text.chars().count() > Self::MAX_CHARACTERS {
            return Err(Invalid::new(Fault::Parameter, "a user id has 1 to 255 characters"));
        }
        if matches!(&*text, "." | "..") {
            return Err(Invalid::new(Fault::Parameter, "a user id is not . or .., because no URL can name these"));
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
