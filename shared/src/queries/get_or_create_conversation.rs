//! Finds or starts a conversation.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::rows::Columns;
use super::{call, violates};
use crate::db::Database;
use crate::error::{Error, Result};
use crate::models::{Conversation, NewConversation, Title};

/// The user's most recently updated conversation, or a new one; with an id exactly that one, found or created. Returns it, and
/// whether it was created. However many first calls for a user run at once, they create one conversation.
///
/// ```no_run
/// use shared::models::{NewConversation, UserId};
/// use shared::queries::get_or_create_conversation;
/// # use shared::{Database, Error};
///
/// # async fn example(database: &Database) -> Result<(), Error> {
/// let (conversation, created) = get_or_create_conversation(database, &NewConversation::of(UserId::parse("ada")?)).await?;
/// println!("{} {}", conversation.id, if created { "is new" } else { "was there" });
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Conflict`]: the id is another user's, or its conversation is being erased. [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn get_or_create_conversation(database: &Database, new: &NewConversation) -> Result<(Conversation, bool)> {
    // Fixed before the first attempt: a second one finds what the first has made.
    let id = new.id.unwrap_or_else(Uuid::now_v7);
    let exactly = new.id.is_some() || new.always_new;
    let title = new.title.as_ref().map(Title::as_str);
    let rows = call(
        database,
        "get_or_create_conversation",
        &[
            (&id, Type::UUID),
            (&new.user_id.as_str(), Type::TEXT),
            (&title, Type::TEXT),
            (&new.metadata.as_str(), Type::TEXT),
            (&exactly, Type::BOOL),
            (&new.expires_in, Type::INT8),
            (&database.retention(), Type::INT4),
        ],
    )
    .await
    .map_err(|error| match error {
        error if violates(&error, "erased_conversations_pkey") => Error::Conflict { param: "id".to_owned() },
        error => error,
    })?;
    let mut columns = Columns::of(rows.first().ok_or_else(|| Error::Conflict { param: "id".to_owned() })?);
    let outcome: Option<&str> = columns.read()?;
    // An id that we have just made up can only have been created by us.
    let created = outcome.is_some() || new.id.is_none() && new.always_new;
    Ok((columns.skip(1).conversation()?, created))
}
