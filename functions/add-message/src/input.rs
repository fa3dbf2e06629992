//! What a request to store messages says.

use std::collections::BTreeMap;

use shared::error::{Fault, Invalid};
use shared::http::Request;
use shared::models::NewMessage;
use shared::{Error, Result};

const MAX_MESSAGES: usize = 500;
/// The fields of one message, which a batch has in its array.
const MESSAGE: [&str; 8] = ["role", "content", "tool_calls", "id", "tool_call_id", "name", "metadata", "token_count"];

/// The messages to store, and whether they came as an array.
pub(crate) fn read(request: &Request) -> Result<(Vec<NewMessage>, bool)> {
    let mut fields = request.fields()?;
    let Some(batch) = fields.objects("messages", 1..=MAX_MESSAGES)? else {
        let message = fields.new_message()?;
        fields.finish()?;
        return Ok((vec![message], false));
    };
    if let Some(name) = fields.any_of(&MESSAGE) {
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
    Ok((messages, true))
}

fn twice(index: usize, first: usize) -> Error {
    let detail = format!("the id is that of messages[{first}], too; give every message its own");
    Invalid::new(Fault::Parameter, detail).at(format!("messages[{index}].id"))
}
