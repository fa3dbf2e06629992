//! What a request to store messages says.

use shared::Result;
use shared::http::Request;
use shared::models::{NewMessage, Place};

/// What to store.
pub(crate) struct Input {
    /// The messages.
    pub(crate) messages: Vec<NewMessage>,
    /// Whether they came as an array.
    pub(crate) is_batch: bool,
    /// Where.
    pub(crate) place: Place,
}

/// What to store.
pub(crate) fn read(request: &Request) -> Result<Input> {
    let mut fields = request.fields()?;
    let place = fields.place()?;
    let (messages, is_batch) = fields.new_messages()?;
    fields.finish()?;
    Ok(Input { messages, is_batch, place })
}
