//! What is stored for a user, as lines of JSON that can be stored again.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Conversation, Cursor, Message, serialize_time};

#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum ExportLine {
    /// A conversation, which its messages follow.
    Conversation {
        conversation: Conversation,
        /// Its summaries, the oldest first. If they do not fit in a line, another line of the same conversation has the next ones.
        summaries: Vec<ExportedSummary>,
        /// The position of its next message. Positions are not used again, so it may be far behind its newest message.
        next_position: i64,
    },
    /// A message of the conversation before it.
    Message { message: Message },
}

/// A text that stands for all messages up to a position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportedSummary {
    pub through: i64,
    pub content: String,
    /// Its tokens, as the caller counted them.
    pub token_count: Option<i32>,
    /// How many messages it stands for.
    pub messages: i64,
    #[serde(serialize_with = "serialize_time")]
    pub created_at: DateTime<Utc>,
}

impl ExportLine {
    /// Where an export goes on behind it.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        let (id, position) = match self {
            // The summaries that were sent, as a negative number.
            Self::Conversation { conversation, summaries, .. } => {
                (conversation.id, summaries.last().map_or(0, |summary| -1 - summary.through))
            }
            Self::Message { message } => (message.conversation_id, message.position),
        };
        Cursor { time: DateTime::UNIX_EPOCH, id, position }
    }
}
