//! Searches a user's messages.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::rows::Columns;
use super::{RESPONSE_BYTES, RESPONSE_ROWS, call, cut};
use crate::db::Database;
use crate::error::Result;
use crate::models::{Cursor, SearchHit, SearchQuery, UserId};

/// How many messages a request reads at most. It takes a tenth of a second to look for a word in them.
const READ_MESSAGES: usize = 10_000;
/// How often a request looks for a word or phrase in a message at most, which takes a quarter of a second. With many words it reads fewer
/// messages.
const TRIES: usize = 60_000;
/// How many bytes a request looks for words in, the same bytes counted for each word. They take a quarter of a second, too.
const TRIED_BYTES: usize = 32_000_000;

/// What a request has found.
#[derive(Debug)]
pub struct Found {
    /// The messages, the newest first.
    pub hits: Vec<SearchHit>,
    /// Whether messages were found behind these.
    pub more: bool,
    /// Where the next request goes on, if messages are left that were not read.
    pub unread: Option<Cursor>,
}

/// A user's messages whose text the query finds, the newest first, `limit` of them or as many as a response could hold, behind
/// `cursor`. Reads a bounded number of messages and ends early, with few hits or none, so that its cost does not grow with the history.
///
/// ```no_run
/// use shared::models::{SearchQuery, UserId};
/// use shared::queries::search_messages;
/// # use shared::{Database, Error};
///
/// # async fn example(database: &Database) -> Result<(), Error> {
/// let (user_id, query) = (UserId::parse("ada")?, SearchQuery::parse(r#"rain "in Oslo" -snow"#)?);
/// for hit in search_messages(database, &user_id, &query, Some(20), None).await?.hits {
///     println!("{}", hit.snippet);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Database`](crate::Error::Database), [`Error::DatabaseTimeout`](crate::Error::DatabaseTimeout).
pub async fn search_messages(
    database: &Database,
    user_id: &UserId,
    query: &SearchQuery,
    limit: Option<i64>,
    cursor: Option<Cursor>,
) -> Result<Found> {
    let (alternatives, patterns, negated) = query.columns();
    let reads = i64::try_from(READ_MESSAGES.min(TRIES / patterns.len())).unwrap_or(i64::MAX);
    let read_bytes = i64::try_from(TRIED_BYTES / patterns.len()).unwrap_or(i64::MAX);
    let wanted = limit.unwrap_or(RESPONSE_ROWS);
    let mut rows = call(
        database,
        "search_messages",
        &[
            (&user_id.as_str(), Type::TEXT),
            (&cursor.map(|cursor| cursor.time), Type::TIMESTAMPTZ),
            (&cursor.map(|cursor| cursor.id), Type::UUID),
            (&cursor.map(|cursor| cursor.position), Type::INT8),
            (&alternatives, Type::INT4_ARRAY),
            (&patterns, Type::TEXT_ARRAY),
            (&negated, Type::BOOL_ARRAY),
            (&(wanted + 1), Type::INT8),
            (&RESPONSE_BYTES, Type::INT8),
            (&reads, Type::INT8),
            (&read_bytes, Type::INT8),
            (&database.retention(), Type::INT4),
        ],
    )
    .await?;
    // The first row says how far the function has read.
    let first = rows.remove(0);
    let mut columns = Columns::of(&first);
    let unread = match columns.read::<Option<DateTime<Utc>>>()? {
        Some(time) => Some(Cursor { time, id: columns.read()?, position: columns.skip(1).read()? }),
        None => None,
    };
    let more = cut(&mut rows, wanted);
    let hit = |row| {
        let mut columns = Columns::of(row);
        let (conversation_id, title) = (columns.skip(1).read()?, columns.read()?);
        Ok(SearchHit::new(query, columns.message(conversation_id)?, title))
    };
    Ok(Found { hits: rows.iter().map(hit).collect::<Result<Vec<_>>>()?, more, unread })
}
