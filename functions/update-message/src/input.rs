//! What a request changes of a message.

use shared::Result;
use shared::http::{Fields, Request};
use shared::models::MessageChange;

/// The change.
pub(crate) fn read(request: &Request) -> Result<MessageChange> {
    let mut fields = request.fields()?;
    let change = MessageChange {
        content: fields.change("content", Fields::content)?,
        tool_calls: fields.change("tool_calls", Fields::tool_calls)?,
        metadata: fields.change("metadata", Fields::metadata)?,
        token_count: fields.change("token_count", Fields::token_count)?,
    };
    fields.finish()?;
    Ok(change)
}
