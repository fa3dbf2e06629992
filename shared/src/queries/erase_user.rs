//! Erases what is stored about a user.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio_postgres::types::{ToSql, Type};

use super::call;
use super::rows::Columns;
use crate::db::Database;
use crate::error::Result;
use crate::models::UserId;

/// How many messages and conversations a step deletes. Each step is a transaction of its own, so that a slow database keeps what was done.
const STEP: i64 = 10_000;
/// How many conversations a step hides. Those of almost every user are hidden in the first step, all at the same moment.
const HIDDEN_AT_ONCE: i64 = 50_000;
/// When no further step begins. A request has 10 s, so this leaves most of it to the last step.
const TIME: Duration = Duration::from_secs(4);

/// How much was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// Conversations.
    pub conversations: i64,
    /// Messages.
    pub messages: i64,
    /// Whether nothing is left. If not, the same call goes on.
    #[serde(skip)]
    pub complete: bool,
}

/// Erases everything that is stored about a user. A user who is not known, or not any more, is zeros. What has expired counts as deleted
/// already, so it is erased, too, but not counted.
///
/// It works in steps. One is enough for most users. When this returns, nothing of the user can be read any more, even if the
/// erasure is not complete.
///
/// # Errors
/// [`Error::Database`](crate::Error::Database), [`Error::DatabaseTimeout`](crate::Error::DatabaseTimeout).
pub async fn erase_user(database: &Database, user_id: &UserId) -> Result<Erased> {
    let started = Instant::now();
    let mut erased = Erased { conversations: 0, messages: 0, complete: false };
    loop {
        let parameters: &[(&(dyn ToSql + Sync), Type)] = &[
            (&user_id.as_str(), Type::TEXT),
            (&HIDDEN_AT_ONCE, Type::INT8),
            (&STEP, Type::INT8),
            (&database.retention(), Type::INT4),
        ];
        // The function always returns one row.
        let row = &call(database, "erase_user", parameters).await?[0];
        let mut columns = Columns::of(row);
        erased.conversations += columns.read::<i64>()?;
        erased.messages += columns.read::<i64>()?;
        let is_hidden = columns.read()?;
        erased.complete = columns.read()?;
        if erased.complete || is_hidden && started.elapsed() > TIME {
            return Ok(erased);
        }
    }
}
