//! Reads a conversation's messages.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::rows::Columns;
use super::{RESPONSE_BYTES, RESPONSE_ROWS, call, cut};
use crate::auth::Caller;
use crate::db::{Database, Parameter};
use crate::error::{Error, Result};
use crate::models::{Conditional, ETags, HistoryOf, HistoryRange, InTree, Message, Version};

/// A page of a conversation's history.
#[derive(Debug, Clone)]
pub struct History {
    /// The messages, in the order asked for.
    pub messages: Vec<Message>,
    /// The range holds more behind them.
    pub more: bool,
}

/// Reads a range of a conversation's messages, as much of it as a response could hold. If `if_none_match` names the ETag,
/// no message is read. `of` says which messages these are, and whether they have their versions.
///
/// ```no_run
/// use shared::Caller;
/// use shared::models::{Conditional, HistoryOf, HistoryRange};
/// use shared::queries::get_chat_history;
/// # use shared::{Database, Error};
///
/// # async fn example(database: &Database, conversation_id: uuid::Uuid) -> Result<(), Error> {
/// let (of, range) = (HistoryOf::default(), HistoryRange::Last(20));
/// let read = get_chat_history(database, &Caller::Anyone, conversation_id, of, range, None).await?;
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
/// [`Error::NotFound`]: no such conversation of the caller's, or no such message in it. [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn get_chat_history(
    database: &Database,
    caller: &Caller,
    conversation_id: Uuid,
    of: HistoryOf,
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
    let (owner, retention) = (caller.owner(), database.retention());
    // One more than is wanted tells whether there is more.
    let one_more = wanted + 1;
    let mut parameters: Vec<Parameter<'_>> = vec![
        (&conversation_id, Type::UUID),
        (&owner, Type::TEXT),
        (&known, Type::TEXT_ARRAY),
        (&after, Type::INT8),
        (&before, Type::INT8),
        (&last, Type::INT8),
        (&newest_first, Type::BOOL),
        (&one_more, Type::INT8),
        (&RESPONSE_BYTES, Type::INT8),
    ];
    let is_of_tree = of != HistoryOf::default();
    if is_of_tree {
        parameters.extend([(&of.line as _, Type::UUID), (&of.all as _, Type::BOOL), (&of.versions as _, Type::BOOL)]);
    }
    parameters.push((&retention, Type::INT4));
    let rows = call(database, if is_of_tree { "get_tree" } else { "get_chat_history" }, &parameters).await?;
    let mut rows = rows.into_iter();
    let first = rows.next().ok_or(Error::NotFound)?;
    let mut columns = Columns::of(&first);
    let version = Version { number: columns.read()?, abandoned: columns.read()? };
    if columns.read()? {
        return Ok(Conditional::NotModified(version));
    }
    // A row is dropped when it has been read: a page is held once and not twice.
    let message = |row| {
        let mut columns = Columns::of(&row);
        let mut message = columns.skip(3).message(conversation_id)?;
        if is_of_tree {
            let (parent, on_line, versions) = (columns.read()?, columns.read()?, columns.read()?);
            let (parent_id, on_line) = if of.all { (Some(parent), on_line) } else { (None, None) };
            message.tree = Some(Box::new(InTree { parent_id, on_line, versions, kept: false }));
        }
        Ok(message)
    };
    let mut messages = rows.map(message).collect::<Result<Vec<_>>>()?;
    let more = cut(&mut messages, wanted);
    Ok(Conditional::Modified(History { messages, more }, version))
}
