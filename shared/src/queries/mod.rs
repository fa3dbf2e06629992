//! Everything that Scrollback does with the database. Each function here calls the stored function of its name, in one statement and
//! one round trip. [`release`] says how stored functions are written and found.
//!
//! A stored function that touches a conversation takes the caller's [`owner`](crate::Caller), and finds nothing where the owner is
//! another one. So another user's conversation and a missing one look the same. A stored function declares its columns, and its
//! Rust function reads them in that order.

mod add_message;
mod begin_turn;
mod delete_conversation;
mod delete_message;
mod delete_summary;
mod erase_user;
mod export_user;
mod fork_conversation;
mod get_chat_history;
mod get_context;
mod get_conversation;
mod get_message;
mod get_or_create_conversation;
mod get_summary;
mod get_user_conversations;
mod import_user;
mod purge_expired;
pub mod release;
mod rewind_conversation;
mod rows;
mod search_messages;
mod select_line;
mod summarize_conversation;
mod transfer_user;
mod update_conversation;
mod update_message;

pub use add_message::{Appended, add_message};
pub use begin_turn::{NewTurn, Turn, begin_turn};
pub use delete_conversation::delete_conversation;
pub use delete_message::delete_message;
pub use delete_summary::delete_summary;
pub use erase_user::{Erased, erase_user};
pub use export_user::export_user;
pub use fork_conversation::fork_conversation;
pub use get_chat_history::{History, get_chat_history};
pub use get_context::get_context;
pub use get_conversation::get_conversation;
pub use get_message::{Look, get_message};
pub use get_or_create_conversation::get_or_create_conversation;
pub use get_summary::get_summary;
pub use get_user_conversations::{Listed, get_user_conversations};
pub use import_user::{Imported, import_user};
pub use purge_expired::{Purged, purge_expired};
pub use rewind_conversation::{Rewound, rewind_conversation};
pub use search_messages::{Found, search_messages};
pub use select_line::select_line;
pub use summarize_conversation::summarize_conversation;
pub use transfer_user::{Transferred, transfer_user};
pub use update_conversation::update_conversation;
pub use update_message::update_message;

use tokio_postgres::Row;
use tokio_postgres::error::{DbError, SqlState};

use crate::db::{Database, Parameters};
use crate::error::{Error, Result};
use crate::models::{Operation, Version};

/// What a function may return for one response, in bytes of its texts: more never fits in what Lambda can return.
const RESPONSE_BYTES: i64 = 6_000_000;
/// How many rows a function may return, where the caller sets no limit: about as many of the smallest as fit in a response.
const RESPONSE_ROWS: i64 = 24_000;

/// Cuts the rows to the number that was wanted. Returns whether there are more: the statement reads one row too many for this.
fn cut<T>(rows: &mut Vec<T>, wanted: i64) -> bool {
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    let more = rows.len() > wanted;
    rows.truncate(wanted);
    more
}

/// Calls a stored function of this release.
async fn call(database: &Database, function: &str, parameters: &Parameters<'_>) -> Result<Vec<Row>> {
    let places: Vec<String> = (1..=parameters.len()).map(|number| format!("${number}")).collect();
    let statement = format!("select * from {}.{function}({})", release::SCHEMA, places.join(", "));
    database.fetch(&statement, parameters).await.map_err(|error| match error {
        Error::Database(source) if source.code() == Some(&SqlState::INVALID_SCHEMA_NAME) => {
            Error::NotMigrated { schema: release::SCHEMA, source }
        }
        error => error,
    })
}

/// Reads the `outcome` of a write: whether the caller has sent it before.
fn done(operation: &Operation, outcome: Option<&str>, version: Version) -> Result<bool> {
    match outcome {
        None => Ok(false),
        Some("repeated") => Ok(operation.id_is_given),
        refusal => Err(refused(refusal, version)),
    }
}

/// Why a write was not done, where it depends on what the conversation has seen before.
fn refused(outcome: Option<&str>, version: Version) -> Error {
    match outcome {
        Some("precondition") => Error::PreconditionFailed(version),
        Some("reused") => Error::KeyReused,
        other => Error::Internal(format!("a stored function says {other:?}").into()),
    }
}

/// Whether the database refused the statement because of this constraint. An error is translated by its constraint's name: the kind of
/// constraint would also fit others, and so would those of later migrations.
fn violates(error: &Error, constraint: &str) -> bool {
    matches!(error, Error::Database(error) if error.as_db_error().and_then(DbError::constraint) == Some(constraint))
}

/// Whether the database refused the statement because no response could hold the message.
fn violates_size(error: &Error) -> bool {
    violates(error, "messages_response_size") || violates(error, "messages_answer_size")
}
