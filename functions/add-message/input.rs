//! What a request to store messages says.

use std::collections::BTreeMap;

use shared::error::{Fault, Invalid};
use shared::http::Request;
use shared::models::NewMessage;
use shared::{Error, Result};

const MAX_MESSAGES: usize = 500;
/// The fields of one message, which a batch has in its array.
const MESSAGE: [&str; 9] = ["role", "content", "tool_calls", "id", "tool_call_id", "name", "metadata", "token_count", "status"];

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
    let Some(batch) = fields.objects("messages", 1..=MAX_MESSAGES)? else {
        let message = fields.new_message()?;
        fields.finish()?;
        return Ok(Input { messages: vec![message], is_batch: false, from });
    };
    if let Some(name) = fields.any_of(&MESSAGE).or_else(|| fields.any_of(&NewMessage::EXTRA)) {
        return Err(Invalid::new(Fault::Ambiguous, "with messages, a message's fields are given in the array").at(name));
    }
    fields.finish()?;

    let mut seen = BTreeMap::new();
    let read = |(index, mut fields): (usize, shared::http::Fields<'_>)| {
        let message = fields.new_message()?.in_batch(index);
        fields.finish()?;
        match seen.insert(message.id(), index) {
            None => Ok(message),
            Some(first) => Err(twice(index, first)),
        }
    };
    let messages = batch.into_iter().enumerate().map(read).collect::<Result<Vec<_>>>()?;
    Ok(Input { messages, is_batch: true, from })
}

fn twice(index: usize, first: usize) -> Error {
    let detail = format!("the id is that of messages[{first}], too; give every message its own");
    Invalid::new(Fault::Parameter, detail).at(format!("messages[{index}].id"))
}
