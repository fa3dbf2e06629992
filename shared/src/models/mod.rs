//! What the API is about, as types: parsed once at the edge, valid from then on.

mod alike;
mod change;
mod context;
mod conversation;
mod cursor;
mod export;
mod history;
mod import;
pub(crate) mod json;
mod list;
mod message;
mod operation;
mod search;
mod text;
mod user_id;
mod version;

pub use self::context::{Context, ContextSummary};
pub use change::Change;
pub use conversation::{
    Conversation, ConversationChange, ForkedFrom, Metadata, NewConversation, NewFork, NewSummary, Summarized, Summary, Title,
};
pub use cursor::{Cursor, List};
pub use export::{ExportLine, ExportedSummary};
pub use history::{HistoryOf, HistoryRange, NewLine};
pub use import::{Import, ImportedConversation, ImportedMessage, ImportedSummary};
pub use json::Json;
pub(crate) use json::lone_surrogate;
pub use list::{ConversationFilter, ListOrder, ListedConversation};
pub(crate) use message::no_content;
pub use message::{Content, InTree, Message, MessageChange, NewMessage, Piece, Place, Status, ToolCalls};
pub use operation::Operation;
pub use search::{SearchHit, SearchQuery};
pub use text::Text;
pub use user_id::UserId;
pub use version::{Conditional, ETags, Version};

pub use ::context::{CallIds, Format as ContextFormat, Limits as ContextLimits, Options as ContextOptions, Role, Unanswered};
use chrono::{DateTime, Datelike, Timelike, Utc};
use serde::Serializer;
pub use uuid::Uuid;

/// A time as the contract writes it: RFC 3339, UTC, microseconds. `chrono` takes more than twice as long, and a page has many times.
fn time_text<'t>(time: &DateTime<Utc>, text: &'t mut [u8; 27]) -> &'t str {
    *text = *b"0000-00-00T00:00:00.000000Z";
    let time = time.naive_utc();
    let numbers = [
        // The database's clock is not in the year 10000.
        (0..4, time.year().unsigned_abs()),
        (5..7, time.month()),
        (8..10, time.day()),
        (11..13, time.hour()),
        (14..16, time.minute()),
        (17..19, time.second()),
        (20..26, time.nanosecond() / 1000),
    ];
    for (place, mut number) in numbers {
        for digit in text[place].iter_mut().rev() {
            *digit = b"0123456789"[(number % 10) as usize];
            number /= 10;
        }
    }
    str::from_utf8(text).unwrap_or_default()
}

fn serialize_time<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(time_text(time, &mut [0; 27]))
}

/// A time that may be null.
#[expect(clippy::ref_option, reason = "serde passes the member as it is")]
fn serialize_optional_time<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serialize_time(time, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::SecondsFormat;

    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339_says() {
        for micros in [0, 1, 999_999, 951_782_400_000_000, 1_790_000_000_123_456, 1_798_761_599_999_999, 253_402_300_799_999_999] {
            let time = DateTime::from_timestamp_micros(micros).unwrap();
            let written = serialize_time(&time, serde_json::value::Serializer).unwrap();
            assert_eq!(written, time.to_rfc3339_opts(SecondsFormat::Micros, true));
        }
    }
}
