//! Stores a summary of a conversation's beginning.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::rows::Columns;
use super::{call, refused};
use crate::auth::Caller;
use crate::db::Database;
use crate::error::{Error, Fault, Invalid, Result};
use crate::models::{Conversation, ETags, NewSummary, Operation, Role};

/// Stores a text that stands for all messages up to a position. The same summary again changes nothing, and another one for the same
/// position replaces it. Returns the conversation, and whether the operation was done before.
///
/// `if_match` is compared with the version at which messages up to that position last changed. So messages that were appended since do
/// not matter.
///
/// # Errors
/// [`Error::NotFound`]: no such conversation of the caller's. [`Error::RoleForbidden`]: the caller may not write the role `system`,
/// which a summary has in a context. [`Error::PreconditionFailed`]: messages up to the position have changed
/// since each version of `if_match`. [`Error::KeyReused`]: the operation was another request's. `invalid_parameter`: no summary can end at this position. [`Error::Database`],
/// [`Error::DatabaseTimeout`].
pub async fn summarize_conversation(
    database: &Database,
    caller: &Caller,
    conversation_id: Uuid,
    summary: &NewSummary,
    operation: &Operation,
    if_match: Option<&ETags>,
) -> Result<(Conversation, bool)> {
    caller.may_write(Role::System, || "content".to_owned())?;
    let rows = call(
        database,
        "summarize_conversation",
        &[
            (&conversation_id, Type::UUID),
            (&caller.owner(), Type::TEXT),
            (&operation.id, Type::UUID),
            (&operation.request("summarize_conversation"), Type::INT4),
            (&if_match.and_then(ETags::versions), Type::INT8_ARRAY),
            (&summary.through, Type::INT8),
            (&summary.content.as_str(), Type::TEXT),
            (&summary.token_count, Type::INT4),
            (&database.retention(), Type::INT4),
        ],
    )
    .await?;
    let mut columns = Columns::of(rows.first().ok_or(Error::NotFound)?);
    let (outcome, nearest) = (columns.read()?, columns.read()?);
    match outcome {
        None | Some("repeated") => Ok((columns.conversation()?, outcome.is_some() && operation.id_is_given)),
        Some("precondition" | "reused") => Err(refused(outcome, columns.version()?)),
        Some(refusal) => Err(Invalid::new(Fault::Parameter, detail(refusal, nearest)).at("through")),
    }
}

/// Why no summary can end there, and where one can.
fn detail(refusal: &str, nearest: Option<i64>) -> String {
    match (refusal, nearest) {
        ("beyond", Some(nearest)) => format!("the newest message has the position {nearest}"),
        ("beyond", None) => "the conversation has no messages".to_owned(),
        ("pinned", Some(nearest)) => {
            format!("every context has the instructions at the beginning; the first message behind them has the position {nearest}")
        }
        ("pinned", None) => "the conversation has only instructions, and every context has these".to_owned(),
        ("gap", Some(nearest)) => format!("no message has this position; the message before it has the position {nearest}"),
        (_, Some(nearest)) => {
            format!("a tool call and its results must not be divided; the nearest possible position is {nearest}")
        }
        (_, None) => {
            "a tool call and its results must not be divided, and the conversation has nothing else to summarize".to_owned()
        }
    }
}
