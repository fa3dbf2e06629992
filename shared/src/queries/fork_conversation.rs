//! Copies a conversation.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::rows::Columns;
use super::{call, violates};
use crate::auth::Caller;
use crate::db::Database;
use crate::error::{Error, Fault, Invalid, Result};
use crate::models::{Conversation, Metadata, NewFork, Title};

/// How many messages a request copies. `docs/scaling.md` has the time that it takes.
const MOST_MESSAGES: i64 = 10_000;
/// How many MiB of messages a request copies.
const MOST_MIB: i64 = 64;

/// Copies a conversation up to a position: its messages, and the summaries that end there or before. Returns the copy, and whether this
/// call made it. The same id again returns the copy that is there, even if the source has changed or is gone.
///
/// An append, an edit or a deletion beside it is copied as a whole or not at all.
///
/// ```no_run
/// use shared::Caller;
/// use shared::models::NewFork;
/// use shared::queries::fork_conversation;
/// # use shared::{Database, Error};
///
/// # async fn example(database: &Database, conversation_id: uuid::Uuid) -> Result<(), Error> {
/// let until_the_question = NewFork { id: None, through: Some(3), title: None, metadata: None };
/// let (fork, _created) = fork_conversation(database, &Caller::Anyone, conversation_id, &until_the_question).await?;
/// println!("{} has {} messages", fork.id, fork.message_count);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::NotFound`]: no such conversation of the caller's. [`Error::Conflict`]: the id is taken by another conversation, or by one that is
/// being erased. `invalid_parameter`: the position is behind the newest message. `payload_too_large`: there is too much to copy.
/// [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn fork_conversation(
    database: &Database,
    caller: &Caller,
    conversation_id: Uuid,
    fork: &NewFork,
) -> Result<(Conversation, bool)> {
    // Fixed before the first attempt: a second one finds what the first has made.
    let id = fork.id.unwrap_or_else(Uuid::now_v7);
    let rows = call(
        database,
        "fork_conversation",
        &[
            (&conversation_id, Type::UUID),
            (&caller.owner(), Type::TEXT),
            (&id, Type::UUID),
            (&fork.through, Type::INT8),
            (&fork.title.as_ref().map(Title::as_str), Type::TEXT),
            (&fork.metadata.as_ref().map(Metadata::as_str), Type::TEXT),
            (&MOST_MESSAGES, Type::INT8),
            (&(MOST_MIB << 20), Type::INT8),
            (&database.retention(), Type::INT4),
        ],
    )
    .await
    .map_err(|error| match error {
        error if violates(&error, "erased_conversations_pkey") => Error::Conflict { param: "id".to_owned() },
        error => error,
    })?;
    let mut columns = Columns::of(rows.first().ok_or(Error::NotFound)?);
    match (columns.read::<Option<&str>>()?, columns.read()?) {
        // An id that we have just made up can only have been created by us.
        (outcome @ (None | Some("created")), _) => Ok((columns.conversation()?, outcome.is_some() || fork.id.is_none())),
        (Some("conflict"), _) => Err(Error::Conflict { param: "id".to_owned() }),
        (Some("large"), fitting) => Err(too_large(fitting.unwrap_or_default())),
        (Some(_), Some(newest)) => Err(beyond(&format!("the newest message has the position {newest}"))),
        (Some(_), None) => Err(beyond("the conversation has no messages; leave out through")),
    }
}

fn beyond(detail: &str) -> Error {
    Invalid::new(Fault::Parameter, detail).at("through")
}

fn too_large(fitting: i64) -> Error {
    let detail = format!(
        "a fork copies at most {MOST_MESSAGES} messages and {MOST_MIB} MiB; send a through of at most {fitting}, \
         or start a new conversation with a summary and the newest messages"
    );
    Invalid::new(Fault::TooLarge, detail).at("through")
}
