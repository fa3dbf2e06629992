//! Reads a conversation's summary.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::call;
use super::rows::Columns;
use crate::auth::Caller;
use crate::db::Database;
use crate::error::{Error, Result};
use crate::models::{Conditional, ETags, Summary};

/// Reads the newest summary of a conversation. If `if_none_match` names the ETag, its content is not read.
///
/// # Errors
/// [`Error::NotFound`]: no such conversation of the caller's, or it has no summary. [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn get_summary(
    database: &Database,
    caller: &Caller,
    conversation_id: Uuid,
    if_none_match: Option<&ETags>,
) -> Result<Conditional<Summary>> {
    let rows = call(
        database,
        "get_summary",
        &[
            (&conversation_id, Type::UUID),
            (&caller.owner(), Type::TEXT),
            (&ETags::known(if_none_match), Type::TEXT_ARRAY),
            (&database.retention(), Type::INT4),
        ],
    )
    .await?;
    let mut columns = Columns::of(rows.first().ok_or(Error::NotFound)?);
    let (version, unchanged) = (columns.version()?, columns.read()?);
    if unchanged {
        return Ok(Conditional::NotModified(version));
    }
    let summary =
        Summary { through: columns.read()?, content: columns.read()?, token_count: columns.read()?, created_at: columns.read()? };
    Ok(Conditional::Modified(summary, version))
}
