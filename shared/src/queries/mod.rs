//! Every statement that Scrollback sends, one function each: one statement, one round trip.
//!
//! A statement that touches a conversation takes the caller's [`owner`](crate::Caller) and finds nothing where it differs, so that
//! another user's conversation and a missing one are the same. Columns are listed where rows are read.

mod add_message;
mod delete_conversation;
mod erase_user;
mod get_chat_history;
mod get_context;
mod get_conversation;
mod get_or_create_conversation;
mod get_user_conversations;
mod rewind_conversation;
mod rows;
mod search_messages;
mod update_conversation;
mod update_message;

pub use add_message::{Appended, add_message};
pub use delete_conversation::delete_conversation;
pub use erase_user::{Erased, erase_user};
pub use get_chat_history::{History, get_chat_history};
pub use get_context::get_context;
pub use get_conversation::get_conversation;
pub use get_or_create_conversation::get_or_create_conversation;
pub use get_user_conversations::get_user_conversations;
pub use rewind_conversation::{Rewound, rewind_conversation};
pub use search_messages::search_messages;
pub use update_conversation::update_conversation;
pub use update_message::update_message;

/// What a statement may send for one response, in bytes of its texts: more never fits in what Lambda can return.
const RESPONSE_BYTES: i64 = 6_000_000;
/// How many rows a statement may send, where the caller sets no limit: about as many of the smallest as fit in a response.
const RESPONSE_ROWS: i64 = 24_000;

/// Cuts what was read to what was wanted, of which one more was asked for; whether there is more.
fn cut<T>(rows: &mut Vec<T>, wanted: i64) -> bool {
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    let more = rows.len() > wanted;
    rows.truncate(wanted);
    more
}
