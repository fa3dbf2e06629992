//! Rows into models, by position: the columns are those that stored functions return, in their order.

use serde_json::value::RawValue;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::{Error, Invalid, Result};
use crate::models::{Content, Conversation, Message, Role, Summarized, Text, Version, json};

/// A value of a row, by its position.
pub(super) fn get<'r, T: tokio_postgres::types::FromSql<'r>>(row: &'r Row, index: usize) -> Result<T> {
    row.try_get(index).map_err(Error::Database)
}

/// Reads a conversation from the column `first` on, which is its `id`.
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
        summary: match (get(row, first + 8)?, get(row, first + 9)?) {
            (Some(through), Some(created_at)) => Some(Summarized { through, created_at }),
            _ => None,
        },
    })
}

/// Reads a message from the column `first` on, which is its `position`.
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
        token_count: get(row, first + 9)?,
        created_at: get(row, first + 10)?,
        updated_at: get(row, first + 11)?,
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
    json::valid(json).map_err(|error| Error::Internal(error.into()))
}
