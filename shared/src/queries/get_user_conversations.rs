//! Lists a user's conversations.

use tokio_postgres::types::Type;

use super::{RESPONSE_BYTES, RESPONSE_ROWS, call, cut, rows};
use crate::db::Database;
use crate::error::Result;
use crate::models::{Conversation, Cursor, UserId};

/// Reads the user's conversations behind `cursor`, the most recently updated first: `limit` of them, or as many as a response could hold.
/// Returns them, and whether there are more behind them. An unknown user has none.
///
/// A conversation that is updated between two pages moves to the front, which those pages have passed already. The first page, read again,
/// shows it.
///
/// ```no_run
/// use shared::models::UserId;
/// use shared::queries::get_user_conversations;
/// # use shared::{Database, Error};
///
/// # async fn example(database: &Database) -> Result<(), Error> {
/// let (conversations, _more) = get_user_conversations(database, &UserId::parse("ada")?, Some(20), None).await?;
/// println!("{} of at most 20", conversations.len());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Database`](crate::Error::Database), [`Error::DatabaseTimeout`](crate::Error::DatabaseTimeout).
pub async fn get_user_conversations(
    database: &Database,
    user_id: &UserId,
    limit: Option<i64>,
    cursor: Option<Cursor>,
) -> Result<(Vec<Conversation>, bool)> {
    let wanted = limit.unwrap_or(RESPONSE_ROWS);
    let mut rows = call(
        database,
        "get_user_conversations",
        &[
            (&user_id.as_str(), Type::TEXT),
            (&cursor.map(|cursor| cursor.time), Type::TIMESTAMPTZ),
            (&cursor.map(|cursor| cursor.id), Type::UUID),
            (&(wanted + 1), Type::INT8),
            (&RESPONSE_BYTES, Type::INT8),
            (&database.retention(), Type::INT4),
        ],
    )
    .await?;
    let more = cut(&mut rows, wanted);
    let conversations = rows.iter().map(rows::conversation).collect::<Result<Vec<_>>>()?;
    Ok((conversations, more))
}
