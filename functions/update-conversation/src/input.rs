//! What a request changes of a conversation.

use shared::Result;
use shared::http::{Fields, Request};
use shared::models::{ConversationChange, Title};

/// The change.
pub(crate) fn read(request: &Request) -> Result<ConversationChange> {
    let mut fields = request.fields()?;
    let change = ConversationChange {
        title: fields.change("title", |fields| fields.parse("title", Title::parse))?,
        metadata: fields.change("metadata", Fields::metadata)?,
    };
    fields.finish()?;
    Ok(change)
}
