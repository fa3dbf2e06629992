//! Reads everything that is stored for a user.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::call;
use super::rows::Columns;
use crate::db::Database;
use crate::error::{Error, Result};
use crate::models::{Cursor, ExportLine, InTree, UserId};

/// How many bytes a page has, about. Each page can be the body of an import, which has 4 MiB at most.
const PAGE_BYTES: i64 = 4 << 20;

/// Reads what is stored for a user behind `cursor`, as much as a page holds: each conversation, followed by its messages. Returns the lines
/// of the page, and whether there may be more behind them. An unknown user has none.
///
/// The order is that of the conversations' ids and of the positions. Neither changes. So what is appended, edited or made between two pages
/// does not make the export lose anything that stays.
///
/// # Errors
/// [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn export_user(database: &Database, user_id: &UserId, cursor: Option<Cursor>) -> Result<(Vec<ExportLine>, bool)> {
    let (from, after) = cursor.map_or((Uuid::nil(), -1), |cursor| (cursor.id, cursor.position));
    let rows = call(
        database,
        "export_user",
        &[
            (&user_id.as_str(), Type::TEXT),
            (&from, Type::UUID),
            (&after, Type::INT8),
            (&PAGE_BYTES, Type::INT8),
            (&database.retention(), Type::INT4),
        ],
    )
    .await?;
    let (mut lines, mut more) = (Vec::new(), false);
    // A row is dropped when it has been read: a page is held once and not twice.
    for row in rows {
        let mut columns = Columns::of(&row);
        let outcome = columns.read()?;
        // No line has a `nearest`.
        columns.skip(1);
        match (outcome, lines.last_mut()) {
            (Some("conversation"), _) => {
                let (conversation, next_position) = (columns.conversation()?, columns.read()?);
                lines.push(ExportLine::Conversation { conversation, summaries: Vec::new(), next_position });
            }
            (Some("summary"), Some(ExportLine::Conversation { summaries, .. })) => {
                summaries.push(columns.skip(18).summary(0)?);
            }
            (Some("message"), _) => {
                let conversation_id = columns.skip(1).read()?;
                let mut message = columns.skip(16).message(conversation_id)?;
                let (parent, is_kept) = (columns.skip(1).read()?, columns.read()?);
                if is_kept {
                    message.tree = Some(Box::new(InTree { parent_id: Some(parent), kept: true, ..InTree::default() }));
                }
                lines.push(ExportLine::Message { message });
            }
            (Some("more"), _) => more = true,
            (outcome, _) => return Err(Error::Internal(format!("a row of an export that is {outcome:?}").into())),
        }
    }
    Ok((lines, more))
}
