//! Takes the end of a conversation back.

use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::call;
use super::rows::get;
use crate::auth::Caller;
use crate::db::Database;
use crate::error::{Error, Result};
use crate::models::{ETags, Version};

/// What a rewind has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rewound {
    /// How many messages were deleted.
    pub deleted: i64,
}

/// Deletes the message at a position and all after it, those included that were stored while this waited for its turn. Returns how many
/// these were, and the conversation's version.
///
/// # Errors
/// [`Error::NotFound`]: no such conversation of the caller's. [`Error::PreconditionFailed`]: its version is none of `if_match`.
/// [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn rewind_conversation(
    database: &Database,
    caller: &Caller,
    conversation_id: Uuid,
    from: i64,
    if_match: Option<&ETags>,
) -> Result<(Rewound, Version)> {
    let rows = call(
        database,
        "rewind_conversation",
        &[
            (&conversation_id, Type::UUID),
            (&caller.owner(), Type::TEXT),
            (&Uuid::now_v7(), Type::UUID),
            (&if_match.and_then(ETags::versions), Type::INT8_ARRAY),
            (&from, Type::INT8),
            (&database.retention(), Type::INT4),
        ],
    )
    .await?;
    let row = rows.first().ok_or(Error::NotFound)?;
    if !get::<bool>(row, 0)? {
        return Err(Error::PreconditionFailed);
    }
    Ok((Rewound { deleted: get(row, 2)? }, Version::new(get(row, 1)?)))
}
