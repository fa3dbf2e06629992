//! Deletes what has expired.

use std::time::Instant;

use serde::Serialize;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::call;
use super::rows::Columns;
use crate::db::Database;
use crate::error::Result;

/// How many messages and conversations a step deletes, and how many conversations it looks at. Each step is a transaction of its own, so
/// that it is short, and that a slow database keeps what was done.
const STEP: i64 = 10_000;

/// How much was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// Conversations, with all their messages.
    pub conversations: i64,
    /// Messages.
    pub messages: i64,
    /// Whether nothing is left. If not, the next purge goes on.
    pub done: bool,
}

/// Deletes the conversations that have expired, their messages, and what is left of erasures that nobody has continued for an hour. No step
/// begins after `until`.
///
/// Callers notice nothing of this, because no request finds an expired conversation. Purges may run at the same time. None waits for another
/// or for a writer, and what is locked is left to the next one.
///
/// # Errors
/// [`Error::Database`](crate::Error::Database), [`Error::DatabaseTimeout`](crate::Error::DatabaseTimeout).
pub async fn purge_expired(database: &Database, until: Instant) -> Result<Purged> {
    let mut purged = Purged { conversations: 0, messages: 0, done: false };
    // Where the look for conversations that have not changed for long goes on. It reads all conversations, but once.
    let mut scan = database.retention().map(|_days| Uuid::nil());
    loop {
        let parameters: &[(&(dyn ToSql + Sync), Type)] =
            &[(&scan, Type::UUID), (&STEP, Type::INT8), (&database.retention(), Type::INT4)];
        // The function always returns one row.
        let row = &call(database, "purge_expired", parameters).await?[0];
        let mut columns = Columns::of(row);
        purged.conversations += columns.read::<i64>()?;
        purged.messages += columns.read::<i64>()?;
        scan = columns.read()?;
        purged.done = scan.is_none() && columns.read()?;
        if purged.done || Instant::now() > until {
            return Ok(purged);
        }
    }
}
