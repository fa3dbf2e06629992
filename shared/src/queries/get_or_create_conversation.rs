//! Finds or starts a conversation.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::rows::{self, conversation_columns, get};
use crate::db::Database;
use crate::error::{Error, Result};
use crate::models::{Conversation, NewConversation};

/// `on conflict do update` changes nothing: it waits for the other first call, and returns the row that this statement's
/// snapshot is too old to see.
const MOST_RECENT_OR_NEW: &str = concat!(
    "with found as (
        select * from conversations where user_id = $2 order by updated_at desc, id desc limit 1
    ), made as (
        insert into conversations (id, user_id, title, metadata, is_first)
        select $1, $2, $3, $4::text::json, true where not exists (select from found)
        on conflict (user_id) where is_first do update set user_id = excluded.user_id
        returning *
    )
    select id = $1, ",
    conversation_columns!(),
    " from found
    union all
    select id = $1, ",
    conversation_columns!(),
    " from made",
);

/// As above (`xmax` is 0 where it really inserted); another user's conversation of this id is neither found nor returned.
const BY_ID: &str = concat!(
    "with found as (
        select * from conversations where id = $1
    ), made as (
        insert into conversations (id, user_id, title, metadata)
        select $1, $2, $3, $4::text::json where not exists (select from found)
        on conflict (id) do update set user_id = excluded.user_id where conversations.user_id = excluded.user_id
        returning *, xmax = 0 as inserted
    )
    select false, ",
    conversation_columns!(),
    " from found where user_id = $2
    union all
    select inserted, ",
    conversation_columns!(),
    " from made",
);

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
/// [`Error::Conflict`]: the id is another user's. [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn get_or_create_conversation(database: &Database, new: &NewConversation) -> Result<(Conversation, bool)> {
    // Fixed before the first attempt: a second one finds what the first has made.
    let id = new.id.unwrap_or_else(Uuid::now_v7);
    let sql = if new.id.is_some() || new.always_new { BY_ID } else { MOST_RECENT_OR_NEW };
    let title = new.title.as_ref().map(crate::models::Title::as_str);
    let rows = database
        .fetch(
            sql,
            &[(&id, Type::UUID), (&new.user_id.as_str(), Type::TEXT), (&title, Type::TEXT), (&new.metadata.as_str(), Type::TEXT)],
        )
        .await?;
    let row = rows.first().ok_or_else(|| Error::Conflict { param: "id".to_owned() })?;
    // An id that we have just made up can only have been created by us.
    Ok((rows::conversation(row, 1)?, get::<bool>(row, 0)? || new.id.is_none() && new.always_new))
}
