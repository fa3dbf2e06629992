//! Searches a user's messages.

use tokio_postgres::types::Type;

use super::rows::{self, get};
use super::{RESPONSE_BYTES, RESPONSE_ROWS, call, cut};
use crate::db::Database;
use crate::error::Result;
use crate::models::{Cursor, SearchHit, SearchQuery, UserId};

/// A user's messages whose text the query finds, the newest first, `limit` of them or as many as a response could hold, behind
/// `cursor`. Returns them, and whether there are more behind them. Costs what the user's own messages cost to read.
///
/// ```no_run
/// use shared::models::{SearchQuery, UserId};
/// use shared::queries::search_messages;
/// # use shared::{Database, Error};
///
/// # async fn example(database: &Database) -> Result<(), Error> {
/// let (user_id, query) = (UserId::parse("ada")?, SearchQuery::parse(r#"rain "in Oslo" -snow"#)?);
/// for hit in search_messages(database, &user_id, &query, Some(20), None).await?.0 {
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
) -> Result<(Vec<SearchHit>, bool)> {
    let (alternatives, patterns, negated) = query.columns();
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
        ],
    )
    .await?;
    let more = cut(&mut rows, wanted);
    let hit = |row| Ok(SearchHit::new(query, rows::message(row, 1, get(row, 0)?)?));
    Ok((rows.iter().map(hit).collect::<Result<Vec<_>>>()?, more))
}
