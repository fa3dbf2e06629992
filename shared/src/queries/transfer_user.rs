//! Makes one user's conversations another user's.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio_postgres::types::Type;

use super::call;
use super::rows::Columns;
use crate::db::Database;
use crate::error::Result;
use crate::models::UserId;

/// How many messages and conversations a step moves. Each step is a transaction of its own, so that a slow database keeps what was done.
const STEP: i64 = 10_000;
/// When no further step begins. A request has 10 s, so this leaves most of it to the last step.
const TIME: Duration = Duration::from_secs(4);

/// How much was moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Transferred {
    /// Conversations.
    pub conversations: i64,
    /// Whether the user has none left. If not, the same call goes on.
    #[serde(skip)]
    pub complete: bool,
}

/// Makes all conversations of a user those of another user, archived ones included.
///
/// It works in steps. One is enough for most users. A conversation moves as a whole, with its messages: it always has one owner.
///
/// ```no_run
/// use shared::models::UserId;
/// use shared::queries::transfer_user;
/// # use shared::{Database, Error};
///
/// # async fn example(database: &Database) -> Result<(), Error> {
/// let transferred = transfer_user(database, &UserId::parse("guest-17")?, &UserId::parse("ada")?).await?;
/// println!("ada has {} conversations more", transferred.conversations);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Database`](crate::Error::Database), [`Error::DatabaseTimeout`](crate::Error::DatabaseTimeout).
pub async fn transfer_user(database: &Database, user_id: &UserId, to: &UserId) -> Result<Transferred> {
    let started = Instant::now();
    let mut transferred = Transferred { conversations: 0, complete: false };
    loop {
        let parameters = [
            (&user_id.as_str() as _, Type::TEXT),
            (&to.as_str() as _, Type::TEXT),
            (&STEP as _, Type::INT8),
            (&database.retention() as _, Type::INT4),
        ];
        // The function always returns one row.
        let row = &call(database, "transfer_user", &parameters).await?[0];
        let mut columns = Columns::of(row);
        transferred.conversations += columns.read::<i64>()?;
        transferred.complete = columns.read()?;
        if transferred.complete || started.elapsed() > TIME {
            return Ok(transferred);
        }
    }
}
