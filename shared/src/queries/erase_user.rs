//! Erases what is stored about a user.

use serde::Serialize;
use tokio_postgres::types::Type;

use super::call;
use super::rows::get;
use crate::db::Database;
use crate::error::Result;
use crate::models::UserId;

/// How much was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// Conversations.
    pub conversations: i64,
    /// Messages.
    pub messages: i64,
}

/// Erases everything that is stored about a user, in one transaction. A user who is not known, or not any more, is zeros.
///
/// # Errors
/// [`Error::Database`](crate::Error::Database), [`Error::DatabaseTimeout`](crate::Error::DatabaseTimeout).
pub async fn erase_user(database: &Database, user_id: &UserId) -> Result<Erased> {
    let rows = call(database, "erase_user", &[(&user_id.as_str(), Type::TEXT)]).await?;
    // The function always returns one row.
    Ok(Erased { conversations: get(&rows[0], 0)?, messages: get(&rows[0], 1)? })
}
