//! Reads a conversation's messages.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::rows::Columns;
use super::{RESPONSE_BYTES, RESPONSE_ROWS, call, cut};
use crate::auth::Caller;
use crate::db::Database;
use crate::error::{Error, Result};
use crate::models::{Conditional, ETags, HistoryRange, Message, Version};

/// A page of a conversation's history.
#[derive(Debug, Clone)]
pub struct History {
    /// The messages, in the order asked for.
    pub messages: Vec<Message>,
    /// The range holds more behind them.
    pub more: bool,
}

/// Reads a range of a conversation's messages, as much of it as a response could hold. If `if_none_match` names the ETag,
/// no message is read.
///
/// ```no_run
/// use shared::Caller;
/// use shared::models::{Conditional, HistoryRange};
/// use shared::queries::get_chat_history;
/// # use shared::{Database, Error};
///
/// # async fn example(database: &Database, conversation_id: uuid::Uuid) -> Result<(), Error> {
/// let read = get_chat_history(database, &Caller::Anyone, conversation_id, HistoryRange::Last(20), None).await?;
/// if let Conditional::Modified(history, _version) = read {
///     for message in history.messages {
///         println!("{} {:?}", message.position, message.role);
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::NotFound`]: no such conversation of the caller's. [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn get_chat_history(
    database: &Database,
    caller: &Caller,
    conversation_id: Uuid,
    range: HistoryRange,
    if_none_match: Option<&ETags>,
) -> Result<Conditional<History>> {
    let (after, before, last, newest_first, wanted) = match range {
        HistoryRange::Last(count) => (0, i64::MAX, Some(count), false, count),
        HistoryRange::Between { after, before, newest_first, limit } => {
            (after, before, None, newest_first, limit.unwrap_or(RESPONSE_ROWS))
        }
    };
    let known = ETags::known(if_none_match);
    let rows = call(
        database,
        "get_chat_history",
        &[
            (&conversation_id, Type::UUID),
            (&caller.owner(), Type::TEXT),
            (&known, Type::TEXT_ARRAY),
            (&after, Type::INT8),
            (&before, Type::INT8),
            (&last, Type::INT8),
            (&newest_first, Type::BOOL),
            // One more than is wanted tells whether there is more.
            (&(wanted + 1), Type::INT8),
            (&RESPONSE_BYTES, Type::INT8),
            (&database.retention(), Type::INT4),
        ],
    )
    .await?;
    let mut rows = rows.into_iter();
    let first = rows.next().ok_or(Error::NotFound)?;
    let mut columns = Columns::of(&first);
    let version = Version { number: columns.read()?, abandoned: columns.read()? };
    if columns.read()? {
        return Ok(Conditional::NotModified(version));
    }
    // A row is dropped when it has been read: a page is held once and not twice.
    let mut messages = rows.map(|row| Columns::of(&row).skip(3).message(conversation_id)).collect::<Result<Vec<_>>>()?;
    let more = cut(&mut messages, wanted);
    Ok(Conditional::Modified(History { messages, more }, version))
}
