//! Every statement that Scrollback sends, one function each: one statement, one round trip.
//!
//! A statement that touches a conversation takes the caller's [`owner`](crate::Caller) and finds nothing where it differs, so that
//! another user's conversation and a missing one are the same. Columns are listed where rows are read: [`rows`].

mod add_message;
mod get_chat_history;
mod get_or_create_conversation;
mod get_user_conversations;
mod rows;

pub use add_message::{Appended, add_message};
pub use get_chat_history::{History, get_chat_history};
pub use get_or_create_conversation::get_or_create_conversation;
pub use get_user_conversations::get_user_conversations;

/// What a statement may send for one response, in bytes of its texts: more never fits in what Lambda can return.
const RESPONSE_BYTES: i64 = 6_000_000;
/// More rows than a response of that size can hold: even an empty message or conversation takes over 250 bytes of JSON.
const RESPONSE_ROWS: i64 = 24_000;
