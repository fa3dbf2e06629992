//! Lists a user's conversations.

use tokio_postgres::types::Type;

use super::rows::Columns;
use super::{RESPONSE_BYTES, RESPONSE_ROWS, call, cut};
use crate::db::Database;
use crate::error::Result;
use crate::models::{ConversationFilter, Cursor, ListedConversation, UserId};

/// How many conversations a request with a filter reads at most. It takes a tenth of a second to look into their titles.
const READ_CONVERSATIONS: usize = 10_000;
/// How often a request looks for a member in a conversation's metadata at most. It takes a hundredth of a second if all metadata has 100
/// bytes, and a third of a second if it has the 16 KiB that are allowed. With many members the request reads fewer conversations.
const READ_MEMBERS: usize = 4_000;

/// A part of a list.
#[derive(Debug)]
pub struct Listed {
    /// The conversations, in the order of the list.
    pub conversations: Vec<ListedConversation>,
    /// Whether there are more behind these.
    pub more: bool,
    /// Where the next request goes on, if conversations are left that were not read.
    pub unread: Option<Cursor>,
}

/// Reads the user's conversations behind `cursor`, the newest first in the filter's order: `limit` of them, or as many as a response
/// could hold. An unknown user has none. With a filter, a request reads a bounded number of conversations, so that its cost does not grow
/// with their number. It then ends early, with few of them or none.
///
/// A conversation that is updated between two pages moves to the front, which those pages have passed already. The first page, read again,
/// shows it.
///
/// ```no_run
/// use shared::models::{ConversationFilter, UserId};
/// use shared::queries::get_user_conversations;
/// # use shared::{Database, Error};
///
/// # async fn example(database: &Database) -> Result<(), Error> {
/// let pinned = ConversationFilter { pinned: Some(true), ..ConversationFilter::default() };
/// let listed = get_user_conversations(database, &UserId::parse("ada")?, &pinned, Some(20), None).await?;
/// println!("{} of at most 20", listed.conversations.len());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Database`](crate::Error::Database), [`Error::DatabaseTimeout`](crate::Error::DatabaseTimeout).
pub async fn get_user_conversations(
    database: &Database,
    user_id: &UserId,
    filter: &ConversationFilter,
    limit: Option<i64>,
    cursor: Option<Cursor>,
) -> Result<Listed> {
    let wanted = limit.unwrap_or(RESPONSE_ROWS);
    let (keys, values) = filter.columns();
    let reads = keys.as_ref().map_or(READ_CONVERSATIONS, |keys| READ_MEMBERS / keys.len());
    let reads = filter.is_selective().then(|| i64::try_from(reads).unwrap_or(i64::MAX));
    let mut rows = call(
        database,
        "get_user_conversations",
        &[
            (&user_id.as_str(), Type::TEXT),
            (&filter.order.is_by_activity(), Type::BOOL),
            (&cursor.map(|cursor| cursor.time), Type::TIMESTAMPTZ),
            (&cursor.map(|cursor| cursor.id), Type::UUID),
            (&filter.ids, Type::UUID_ARRAY),
            (&filter.title_pattern(), Type::TEXT),
            (&keys, Type::TEXT_ARRAY),
            (&values, Type::TEXT_ARRAY),
            (&filter.archived, Type::BOOL),
            (&filter.pinned, Type::BOOL),
            (&filter.with_last_message, Type::BOOL),
            (&(wanted + 1), Type::INT8),
            (&RESPONSE_BYTES, Type::INT8),
            (&reads, Type::INT8),
            (&database.retention(), Type::INT4),
        ],
    )
    .await?;
    let unread = match rows.pop_if(|row| matches!(Columns::of(row).read(), Ok(Some("unread")))) {
        Some(row) => {
            let mut columns = Columns::of(&row);
            Some(Cursor { id: columns.skip(3).read()?, time: columns.skip(5).read()?, position: 0 })
        }
        None => None,
    };
    let more = cut(&mut rows, wanted);
    let listed = |row| {
        let mut columns = Columns::of(row);
        let conversation = columns.skip(2).conversation()?;
        let last_message = columns.message_if_any(conversation.id)?;
        Ok(ListedConversation { conversation, last_message: filter.with_last_message.then_some(last_message) })
    };
    Ok(Listed { conversations: rows.iter().map(listed).collect::<Result<_>>()?, more, unread })
}
