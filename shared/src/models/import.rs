//! What an export has read, to be stored again.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{ForkedFrom, Json, Metadata, NewMessage, Text, Title};

/// The lines of an export.
#[derive(Debug, Clone, Default)]
pub struct Import {
    pub conversations: Vec<ImportedConversation>,
    pub messages: Vec<ImportedMessage>,
    /// How many lines were there a second time.
    pub repeated: i64,
}

#[derive(Debug, Clone)]
pub struct ImportedConversation {
    /// The number of its line, from 1.
    pub line: i64,
    pub id: Uuid,
    pub title: Option<Title>,
    pub metadata: Metadata,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub last_message_at: Option<DateTime<Utc>>,
    pub archived_at: Option<DateTime<Utc>>,
    pub pinned_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
    pub forked_from: Option<ForkedFrom>,
    pub next_position: i64,
    pub summaries: Vec<ImportedSummary>,
}

#[derive(Debug, Clone)]
pub struct ImportedSummary {
    /// The number of its conversation's line.
    pub line: i64,
    pub through: i64,
    pub content: Text,
    pub token_count: Option<i32>,
    pub messages: i64,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone)]
pub struct ImportedMessage {
    /// The number of its line, from 1.
    pub line: i64,
    pub conversation_id: Uuid,
    pub position: i64,
    pub message: NewMessage,
    pub feedback: Option<Json>,
    /// For a message beside the line: the one that it follows.
    pub kept_behind: Option<Option<Uuid>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl ImportedConversation {
    /// Whether two lines are of the same conversation at the same moment. A conversation has several if its summaries do not fit in one.
    #[must_use]
    pub fn goes_on_as(&self, other: &Self) -> bool {
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
