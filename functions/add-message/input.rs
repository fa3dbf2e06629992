//! What a request to store messages says.

use shared::Result;
use shared::http::Request;
use shared::models::NewMessage;

/// What to store.
pub(crate) struct Input {
    /// The messages.
    pub(crate) messages: Vec<NewMessage>,
    /// Whether they came as an array.
    pub(crate) is_batch: bool,
    /// The position of the first message that they replace.
    pub(crate) from: Option<i64>,
}

/// What to store.
pub(crate) fn read(request: &Request) -> Result<Input> {
    let mut fields = request.fields()?;
    let from = fields.integer("from", 1..=i64::MAX)?;
    let (messages, is_batch) = fields.new_messages()?;
    fields.finish()?;
    Ok(Input { messages, is_batch, from })
}
