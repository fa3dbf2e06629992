//! What an export has read, to be stored again.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{ForkedFrom, Json, Metadata, NewMessage, Text, Title};

/// The lines of an export.
#[derive(Debug, Clone, Default)]
pub struct Import {
    pub(crate) conversations: Vec<ImportedConversation>,
    pub(crate) messages: Vec<ImportedMessage>,
    /// How many lines were there a second time.
    pub(crate) repeated: i64,
}

/// A conversation, as it was.
#[derive(Debug, Clone)]
pub(crate) struct ImportedConversation {
    /// The number of its line, from 1.
    pub(crate) line: i64,
    pub(crate) id: Uuid,
    pub(crate) title: Option<Title>,
    pub(crate) metadata: Metadata,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) last_message_at: Option<DateTime<Utc>>,
    pub(crate) archived_at: Option<DateTime<Utc>>,
    pub(crate) pinned_at: Option<DateTime<Utc>>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) forked_from: Option<ForkedFrom>,
    pub(crate) next_position: i64,
    pub(crate) summaries: Vec<ImportedSummary>,
}

/// A summary, as it was.
#[derive(Debug, Clone)]
pub(crate) struct ImportedSummary {
    /// The number of its conversation's line.
    pub(crate) line: i64,
    pub(crate) through: i64,
    pub(crate) content: Text,
    pub(crate) token_count: Option<i32>,
    pub(crate) messages: i64,
    pub(crate) created_at: DateTime<Utc>,
}

/// A message, as it was.
#[derive(Debug, Clone)]
pub(crate) struct ImportedMessage {
    /// The number of its line, from 1.
    pub(crate) line: i64,
    pub(crate) conversation_id: Uuid,
    pub(crate) position: i64,
    pub(crate) message: NewMessage,
    pub(crate) feedback: Option<Json>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

impl ImportedConversation {
    /// Whether two lines are of the same conversation at the same moment. A conversation has several if its summaries do not fit in one.
    pub(crate) fn goes_on_as(&self, other: &Self) -> bool {
        let of = |one: &Self| {
            let text = (one.title.clone(), one.metadata.as_str().to_owned());
            (
                text,
                one.created_at,
                one.updated_at,
                one.archived_at,
                one.pinned_at,
                one.expires_at,
                one.forked_from,
                one.next_position,
            )
        };
        of(self) == of(other) && self.last_message_at == other.last_message_at
    }
}
