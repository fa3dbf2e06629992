//! Rows into models, by position: the column lists here and the reading of them belong together.

use serde_json::value::RawValue;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::{Error, Invalid, Result};
use crate::models::{Content, Conversation, Message, Role, Text, Version};

/// The columns that [`conversation`] reads, in its order.
macro_rules! conversation_columns {
    () => {
        "id, user_id, title, metadata::text, message_count, created_at, updated_at, version"
    };
}
pub(super) use conversation_columns;

/// The columns that [`message`] reads, in its order.
macro_rules! message_columns {
    () => {
        "position, id, role, content, content_parts::text, tool_calls::text, tool_call_id, name, metadata::text, created_at, updated_at"
    };
}
pub(super) use message_columns;

/// A value of a row, by its position.
pub(super) fn get<'r, T: tokio_postgres::types::FromSql<'r>>(row: &'r Row, index: usize) -> Result<T> {
    row.try_get(index).map_err(Error::Database)
}

/// Reads [`conversation_columns`] from the column `first` on.
pub(super) fn conversation(row: &Row, first: usize) -> Result<Conversation> {
    Ok(Conversation {
        id: get(row, first)?,
        user_id: get(row, first + 1)?,
        title: get(row, first + 2)?,
        metadata: raw(get(row, first + 3)?)?,
        message_count: get(row, first + 4)?,
        created_at: get(row, first + 5)?,
        updated_at: get(row, first + 6)?,
        version: Version(get(row, first + 7)?),
    })
}

/// Reads [`message_columns`] from the column `first` on.
pub(super) fn message(row: &Row, first: usize, conversation_id: Uuid) -> Result<Message> {
    let content: Option<String> = get(row, first + 3)?;
    let parts: Option<String> = get(row, first + 4)?;
    Ok(Message {
        id: get(row, first + 1)?,
        conversation_id,
        position: get(row, first)?,
        role: stored(Role::parse(get(row, first + 2)?))?,
        content: match (content, parts) {
            (Some(text), _) => Some(Content::Text(self::text(text)?)),
            (None, Some(parts)) => Some(Content::Parts(raw(parts)?)),
            (None, None) => None,
        },
        tool_calls: get::<Option<String>>(row, first + 5)?.map(raw).transpose()?,
        tool_call_id: get::<Option<String>>(row, first + 6)?.map(text).transpose()?,
        name: get::<Option<String>>(row, first + 7)?.map(text).transpose()?,
        metadata: raw(get(row, first + 8)?)?,
        created_at: get(row, first + 9)?,
        updated_at: get(row, first + 10)?,
    })
}

fn text(text: String) -> Result<Text> {
    stored(Text::parse(text))
}

/// What is wrong with a stored value is no fault of this request's.
fn stored<T>(parsed: Result<T, Invalid>) -> Result<T> {
    parsed.map_err(|invalid| Error::Internal(invalid.into()))
}

fn raw(json: String) -> Result<Box<RawValue>> {
    RawValue::from_string(json).map_err(|error| Error::Internal(error.into()))
}
