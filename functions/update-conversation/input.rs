//! What a request changes of a conversation.

use shared::Result;
use shared::http::{Fields, Request};
use shared::models::{ConversationChange, Metadata, Title};

/// The change.
pub(crate) fn read(request: &Request) -> Result<ConversationChange> {
    let mut fields = request.fields()?;
    let change = ConversationChange {
        title: fields.change("title", |fields| fields.parse("title", Title::parse))?,
        metadata: fields.change("metadata", |fields| fields.metadata(Metadata::of_conversation))?,
        archived: fields.flag("archived")?,
        pinned: fields.flag("pinned")?,
        expires_in: fields.change("expires_in", Fields::expires_in)?,
    };
    fields.finish()?;
    Ok(change)
}
