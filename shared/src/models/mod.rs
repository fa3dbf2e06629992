//! What the API is about, as types: parsed once at the edge, valid from then on.

mod change;
mod context;
mod conversation;
mod cursor;
mod export;
mod history;
mod import;
mod json;
mod message;
mod search;
mod text;
mod user_id;
mod version;

pub use change::Change;
pub use context::{Context, ContextFormat, ContextLimits, ContextOptions, ContextSummary, Unanswered};
pub use conversation::{
    Conversation, ConversationChange, ForkedFrom, Metadata, NewConversation, NewFork, NewSummary, Summarized, Title,
};
pub use cursor::Cursor;
pub use export::{ExportLine, ExportedSummary};
pub use history::HistoryRange;
pub use import::Import;
pub(crate) use import::{ImportedConversation, ImportedMessage, ImportedSummary};
pub use json::Json;
pub(crate) use json::lone_surrogate;
pub(crate) use message::no_content;
pub use message::{Content, Message, MessageChange, NewMessage, Piece, Role, Status, ToolCalls};
pub use search::{SearchHit, SearchQuery};
pub use text::Text;
pub use user_id::UserId;
pub use version::{Conditional, ETags, Version};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serializer;

/// A time as the contract writes it: RFC 3339, UTC, microseconds.
fn serialize_time<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// A time that may be null.
fn serialize_optional_time<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serialize_time(time, serializer),
        None => serializer.serialize_none(),
    }
}
