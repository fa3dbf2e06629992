//! Reads a conversation's messages.

use std::cmp::Reverse;

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::rows::{self, get, message_columns};
use super::{RESPONSE_BYTES, RESPONSE_ROWS, cut};
use crate::auth::Caller;
use crate::db::Database;
use crate::error::{Error, Result};
use crate::models::{ETags, HistoryRange, Message, Version};

/// The page is cut to size by the running total before any text is read, and it is not read at all by a caller who has the
/// version. A conversation without a page is one row of nulls; a missing one is no row.
///
/// The limit is a sub-select, for which the planner assumes a tenth of the rows that it expects, and so reads them in order. Told the
/// number, and expecting an average conversation, it would rather read all of a long one and sort that. The page is put in order when it
/// is here: in the statement that would be a second sort, on disk for a long page.
macro_rules! history {
    (pick $pick:literal, order $order:literal) => {
        concat!(
            "select c.version, ",
            message_columns!(),
            "
            from (
                select id as conversation_id, version, version <> all ($7) as wanted
                from conversations where id = $1 and ($2::text is null or user_id = $2)
            ) c
            left join lateral (
                select * from (
                    select *, sum(size) over (order by position ",
            $order,
            " rows unbounded preceding) - size as before
                    from (
                        select * from messages m
                        where c.wanted and m.conversation_id = c.conversation_id and position > $3 and position < $4
                        order by position ",
            $pick,
            " limit (select $5)
                    ) picked
                ) sized
                where before <= $6
            ) page on true",
        )
    };
}
const OLDEST_FIRST: &str = history!(pick "asc", order "asc");
const NEWEST_FIRST: &str = history!(pick "desc", order "desc");
const LAST: &str = history!(pick "desc", order "asc");

/// A page of a conversation's history.
#[derive(Debug, Clone)]
pub struct History {
    /// The messages, in the order asked for; `None`: the caller has this version.
    pub messages: Option<Vec<Message>>,
    /// The range holds more behind them.
    pub more: bool,
    /// The conversation's version.
    pub version: Version,
}

/// Reads a range of a conversation's messages, as much of it as a response could hold. What `if_none_match` names is not read.
///
/// ```no_run
/// use shared::Caller;
/// use shared::models::HistoryRange;
/// use shared::queries::get_chat_history;
/// # use shared::{Database, Error};
///
/// # async fn example(database: &Database, conversation_id: uuid::Uuid) -> Result<(), Error> {
/// let history = get_chat_history(database, &Caller::Anyone, conversation_id, HistoryRange::Last(20), None).await?;
/// for message in history.messages.unwrap_or_default() {
///     println!("{} {:?}", message.position, message.role);
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
) -> Result<History> {
    let (sql, after, before, wanted) = match range {
        HistoryRange::Last(count) => (LAST, 0, i64::MAX, count),
        HistoryRange::Between { after, before, newest_first, limit } => {
            (if newest_first { NEWEST_FIRST } else { OLDEST_FIRST }, after, before, limit.unwrap_or(RESPONSE_ROWS))
        }
    };
    // One more than is wanted tells whether there is more; before the last so many nobody asks.
    let limit = if matches!(range, HistoryRange::Last(_)) { wanted } else { wanted + 1 };
    let known = if_none_match.and_then(ETags::versions).unwrap_or_default();
    let rows = database
        .fetch(
            sql,
            &[
                (&conversation_id, Type::UUID),
                (&caller.owner(), Type::TEXT),
                (&after, Type::INT8),
                (&before, Type::INT8),
                (&limit, Type::INT8),
                (&RESPONSE_BYTES, Type::INT8),
                (&known, Type::INT8_ARRAY),
            ],
        )
        .await?;
    let version = Version(get(rows.first().ok_or(Error::NotFound)?, 0)?);
    if if_none_match.is_some_and(|known| known.matches(version)) {
        return Ok(History { messages: None, more: false, version });
    }
    let mut messages = Vec::with_capacity(rows.len());
    // A row is let go when it has been read: a page is held once and not twice.
    for row in rows {
        if get::<Option<i64>>(&row, 1)?.is_some() {
            messages.push(rows::message(&row, 1, conversation_id)?);
        }
    }
    // They come in this order, which costs nothing to see; but of a join's rows nobody promises one.
    match range {
        HistoryRange::Between { newest_first: true, .. } => messages.sort_unstable_by_key(|message| Reverse(message.position)),
        _ => messages.sort_unstable_by_key(|message| message.position),
    }
    let more = cut(&mut messages, wanted);
    Ok(History { messages: Some(messages), more, version })
}
