//! Where a list goes on.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::error::{Fault, Invalid};

/// The last element of a page: the next page starts behind it. Opaque to callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// What the list is ordered by.
    pub(crate) time: DateTime<Utc>,
    /// The conversation's id, where times are equal.
    pub(crate) id: Uuid,
    /// The message's position in it, where these are equal, too; 0 for a conversation.
    pub(crate) position: i64,
}

impl Cursor {
    /// Reads what [`Cursor::encode`] wrote.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Self::decode(text).ok_or_else(|| {
            Invalid::new(Fault::Parameter, "a cursor comes from the next link of a response, and is sent back unchanged")
        })
    }

    fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (time, rest) = bytes.split_first_chunk()?;
        let (id, position) = rest.split_first_chunk::<16>()?;
        Some(Self {
            time: DateTime::from_timestamp_micros(i64::from_be_bytes(*time))
                // What Postgres can hold, with room to spare.
                .filter(|time| (0..=9999).contains(&chrono::Datelike::year(time)))?,
            id: Uuid::from_bytes(*id),
            position: i64::from_be_bytes(position.try_into().ok()?),
        })
    }

    /// 43 characters that a URL can hold as they are.
    #[must_use]
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD
            .encode([&self.time.timestamp_micros().to_be_bytes()[..], self.id.as_bytes(), &self.position.to_be_bytes()].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went_out() {
        let cursor =
            Cursor { time: DateTime::from_timestamp_micros(1_790_000_000_123_456).unwrap(), id: Uuid::now_v7(), position: 7 };
        assert_eq!(Cursor::parse(&cursor.encode()), Ok(cursor));
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let far = Cursor { time: DateTime::<Utc>::MAX_UTC, id: Uuid::nil(), position: 0 }.encode();
        for text in ["", "x", "AAAA", "%%%", &far] {
            assert!(Cursor::parse(text).is_err(), "{text}");
        }
    }
}
