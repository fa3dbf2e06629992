//! What a request for a conversation says.

use shared::Result;
use shared::http::Request;
use shared::models::{Metadata, NewConversation, Title, UserId};

/// The user, and which of their conversations is asked for.
pub(crate) fn read(request: &Request) -> Result<NewConversation> {
    let mut fields = request.fields()?;
    let user_id = request.caller().acting_for(fields.parse("user_id", UserId::parse)?)?;
    let conversation = NewConversation {
        user_id,
        id: fields.uuid("id")?,
        always_new: fields.flag("new")?.unwrap_or(false),
        title: fields.parse("title", Title::parse)?,
        metadata: fields.metadata(Metadata::of_conversation)?.unwrap_or_default(),
        expires_in: fields.expires_in()?,
    };
    fields.finish()?;
    Ok(conversation)
}
