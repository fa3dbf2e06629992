//! Rows into models, by position: the columns are those that stored functions return, in their order.

use serde_json::value::RawValue;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::{Error, Invalid, Result};
use crate::models::{Content, Conversation, ForkedFrom, Message, Role, Status, Summarized, Text, Version};

/// A value of a row, by its position.
pub(super) fn get<'r, T: tokio_postgres::types::FromSql<'r>>(row: &'r Row, index: usize) -> Result<T> {
    row.try_get(index).map_err(Error::Database)
}

/// Reads the `outcome` of a `conversation_row`.
pub(super) fn outcome(row: &Row) -> Result<Option<&str>> {
    get(row, 0)
}

/// Reads the `nearest` position of a `conversation_row`.
pub(super) fn nearest(row: &Row) -> Result<Option<i64>> {
    get(row, 1)
}

/// Reads the version of a `conversation_row`.
pub(super) fn version(row: &Row) -> Result<Version> {
    get(row, 9).map(Version::new)
}

/// Reads the conversation of a `conversation_row`.
pub(super) fn conversation(row: &Row) -> Result<Conversation> {
    Ok(Conversation {
        id: get(row, 2)?,
        user_id: get(row, 3)?,
        title: get(row, 4)?,
        metadata: raw(get(row, 5)?)?,
        message_count: get(row, 6)?,
        created_at: get(row, 7)?,
        updated_at: get(row, 8)?,
        version: version(row)?,
        summary: match (get(row, 10)?, get(row, 11)?) {
            (Some(through), Some(created_at)) => Some(Summarized { through, created_at }),
            _ => None,
        },
        last_message_at: get(row, 12)?,
        archived_at: get(row, 13)?,
        pinned_at: get(row, 14)?,
        expires_at: get(row, 15)?,
        forked_from: match (get(row, 16)?, get(row, 17)?) {
            (Some(conversation_id), Some(position)) => Some(ForkedFrom { conversation_id, position }),
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
        role: stored(Role::parse(get(row, first + 2)?).map_err(Into::into))?,
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
        status: Status::stored(get(row, first + 10)?),
        created_at: get(row, first + 11)?,
        updated_at: get(row, first + 12)?,
        extra: get::<Option<String>>(row, first + 13)?.map(raw).transpose()?,
        feedback: feedback(get(row, first + 14)?)?,
    })
}

/// Reads what a message's user thinks of it.
pub(super) fn feedback(json: Option<String>) -> Result<Option<Box<RawValue>>> {
    json.map(raw).transpose()
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
