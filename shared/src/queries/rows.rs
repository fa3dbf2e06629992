//! Rows into models. A stored function returns its columns in the order in which its Rust function reads them.

use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use crate::error::{Error, Invalid, Result};
use crate::models::{Content, Conversation, ExportedSummary, ForkedFrom, Message, Role, Status, Summarized, Text, Version};

/// The columns of a row, from the first to the last.
pub(super) struct Columns<'r> {
    row: &'r Row,
    next: usize,
}

impl<'r> Columns<'r> {
    pub(super) fn of(row: &'r Row) -> Self {
        Self { row, next: 0 }
    }

    /// Skips columns.
    pub(super) fn skip(&mut self, columns: usize) -> &mut Self {
        self.next += columns;
        self
    }

    /// Reads the next column.
    pub(super) fn read<T: FromSql<'r>>(&mut self) -> Result<T> {
        let column = self.next;
        self.next += 1;
        self.row.try_get(column).map_err(Error::Database)
    }

    /// Reads one column as a version.
    pub(super) fn version(&mut self) -> Result<Version> {
        self.read().map(Version::new)
    }

    /// Reads one column as JSON.
    pub(super) fn json(&mut self) -> Result<Option<Box<RawValue>>> {
        self.read::<Option<String>>()?.map(raw).transpose()
    }

    /// Reads the columns of a `conversation_row` from `version` on.
    pub(super) fn conversation(&mut self) -> Result<Conversation> {
        let mut conversation = Conversation {
            version: self.version()?,
            id: self.read()?,
            user_id: self.read()?,
            title: self.read()?,
            metadata: raw(self.read()?)?,
            message_count: self.read()?,
            kept_count: 0,
            created_at: self.read()?,
            updated_at: self.read()?,
            summary: match (self.read()?, self.read()?) {
                (Some(through), Some(created_at)) => Some(Summarized { through, created_at }),
                _ => None,
            },
            last_message_at: self.read()?,
            archived_at: self.read()?,
            pinned_at: self.read()?,
            expires_at: self.read()?,
            forked_from: match (self.read()?, self.read()?) {
                (Some(conversation_id), Some(position)) => Some(ForkedFrom { conversation_id, position }),
                _ => None,
            },
        };
        conversation.kept_count = self.read()?;
        Ok(conversation)
    }

    /// Reads a message. If its position is null, there is none, and its other columns are not read.
    pub(super) fn message_if_any(&mut self, conversation_id: Uuid) -> Result<Option<Message>> {
        let Some(position) = self.read()? else { return Ok(None) };
        Ok(Some(Message {
            conversation_id,
            position,
            id: self.read()?,
            role: stored(Role::parse(self.read()?).map_err(Into::into))?,
            content: match (self.read::<Option<String>>()?, self.json()?) {
                (Some(text), _) => Some(Content::Text(stored(Text::parse(text))?)),
                (None, parts) => parts.map(Content::Parts),
            },
            tool_calls: self.json()?,
            tool_call_id: self.text()?,
            name: self.text()?,
            metadata: raw(self.read()?)?,
            token_count: self.read()?,
            status: Status::stored(self.read()?),
            created_at: self.read()?,
            updated_at: self.read()?,
            extra: self.json()?,
            feedback: self.json()?,
            tree: None,
        }))
    }

    /// Reads a summary, which is returned in the columns of a message: `through` is its position.
    ///
    /// `between`: how many columns there are between a message and the number of messages that the summary stands for.
    pub(super) fn summary(&mut self, between: usize) -> Result<ExportedSummary> {
        let (through, content) = (self.read()?, self.skip(2).read()?);
        let (token_count, created_at) = (self.skip(5).read()?, self.skip(1).read()?);
        let messages = self.skip(3 + between).read()?;
        Ok(ExportedSummary { through, content, token_count, messages, created_at })
    }

    /// Reads a message.
    pub(super) fn message(&mut self, conversation_id: Uuid) -> Result<Message> {
        self.message_if_any(conversation_id)?.ok_or_else(|| Error::Internal("a message without a position".into()))
    }

    fn text(&mut self) -> Result<Option<Text>> {
        self.read::<Option<String>>()?.map(|text| stored(Text::parse(text))).transpose()
    }
}

/// What is wrong with a stored value is no fault of this request's.
fn stored<T>(parsed: Result<T, Invalid>) -> Result<T> {
    parsed.map_err(|invalid| Error::Internal(invalid.into()))
}

fn raw(json: String) -> Result<Box<RawValue>> {
    RawValue::from_string(json).map_err(|error| Error::Internal(error.into()))
}
