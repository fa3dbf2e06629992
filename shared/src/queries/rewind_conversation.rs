//! Takes the end of a conversation back.

use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::rows::Columns;
use super::{call, done};
use crate::auth::Caller;
use crate::db::Database;
use crate::error::{Error, Result};
use crate::models::{ETags, Operation, Version};

/// What a rewind has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rewound {
    /// How many messages were deleted.
    pub deleted: i64,
}

/// Deletes the message at a position and all after it, those included that were stored while this waited for its turn. Returns how many
/// these were, the conversation's version, and whether the operation was done before.
///
/// # Errors
/// [`Error::NotFound`]: no such conversation of the caller's. [`Error::PreconditionFailed`]: its version is none of `if_match`.
/// [`Error::KeyReused`]: the operation was another request's. [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn rewind_conversation(
    database: &Database,
    caller: &Caller,
    conversation_id: Uuid,
    from: i64,
    operation: &Operation,
    if_match: Option<&ETags>,
) -> Result<(Rewound, Version, bool)> {
    let rows = call(
        database,
        "rewind_conversation",
        &[
            (&conversation_id, Type::UUID),
            (&caller.owner(), Type::TEXT),
            (&operation.id, Type::UUID),
            (&operation.request("rewind_conversation"), Type::INT4),
            (&if_match.and_then(ETags::versions), Type::INT8_ARRAY),
            (&from, Type::INT8),
            (&database.retention(), Type::INT4),
        ],
    )
    .await?;
    let mut columns = Columns::of(rows.first().ok_or(Error::NotFound)?);
    let (outcome, version) = (columns.read()?, columns.version()?);
    let repeated = done(operation, outcome, version)?;
    Ok((Rewound { deleted: columns.read()? }, version, repeated))
}
