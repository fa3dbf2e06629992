//! Where a list goes on.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::invalid::{Fault, Invalid};

/// What a cursor is of. Another list would read it as another place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// A user's conversations, by their last change.
    Updated = 1,
    /// A user's conversations, by their last message.
    Activity,
    /// What a search has found.
    Search,
    /// What is stored for a user.
    Export,
}

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
    /// Reads what [`Cursor::encode`] wrote for the same list.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str, list: List) -> Result<Self, Invalid> {
        let (of, cursor) = Self::decode(text).ok_or_else(|| {
            Invalid::new(Fault::Parameter, "a cursor comes from the next link of a response, and is sent back unchanged")
        })?;
        if of != list as u8 {
            let detail =
                "this cursor is of another list or another order; send it to the endpoint and with the order that it comes from";
            return Err(Invalid::new(Fault::Parameter, detail));
        }
        Ok(cursor)
    }

    fn decode(text: &str) -> Option<(u8, Self)> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (of, bytes) = bytes.split_first()?;
        let (time, rest) = bytes.split_first_chunk()?;
        let (id, position) = rest.split_first_chunk::<16>()?;
        let cursor = Self {
            time: DateTime::from_timestamp_micros(i64::from_be_bytes(*time))
                // What Postgres can hold, with room to spare.
                .filter(|time| (0..=9999).contains(&chrono::Datelike::year(time)))?,
            id: Uuid::from_bytes(*id),
            position: i64::from_be_bytes(position.try_into().ok()?),
        };
        Some((*of, cursor))
    }

    /// 44 characters that a URL can hold as they are.
    #[must_use]
    pub fn encode(&self, list: List) -> String {
        URL_SAFE_NO_PAD.encode(
            [&[list as u8][..], &self.time.timestamp_micros().to_be_bytes(), self.id.as_bytes(), &self.position.to_be_bytes()]
                .concat(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went_out() {
        let cursor =
            Cursor { time: DateTime::from_timestamp_micros(1_790_000_000_123_456).unwrap(), id: Uuid::now_v7(), position: 7 };
        let lists = [List::Updated, List::Activity, List::Search, List::Export];
        for (of, list) in lists.into_iter().flat_map(|of| lists.map(|list| (of, list))) {
            assert_eq!(Cursor::parse(&cursor.encode(of), list).ok(), Some(cursor).filter(|_| of == list));
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let far = Cursor { time: DateTime::<Utc>::MAX_UTC, id: Uuid::nil(), position: 0 }.encode(List::Export);
        for text in ["", "x", "AAAA", "%%%", &far] {
            assert!(Cursor::parse(text, List::Export).is_err(), "{text}");
        }
    }
}
