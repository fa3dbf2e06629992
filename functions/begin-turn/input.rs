//! What a turn begins with.

use shared::error::{Fault, Invalid};
use shared::http::{Fields, Request};
use shared::models::{ContextFormat, Metadata, NewConversation, Title, UserId};
use shared::queries::NewTurn;
use shared::{Caller, Result};

/// What a body may have. Its messages come back beside the context, which has to have room for them, too.
const MAX_BODY_BYTES: usize = 2 << 20;

/// The turn, and the form of its context.
pub(crate) fn read(request: &Request) -> Result<(NewTurn, ContextFormat)> {
    if request.body_bytes() > MAX_BODY_BYTES {
        let detail =
            "the body of a turn may have 2 MiB; store larger messages with add-message, and read the context with get-context";
        return Err(Invalid::new(Fault::TooLarge, detail).into());
    }
    let mut fields = request.fields()?;
    let place = fields.place()?;
    let reply_id = fields.uuid("reply_id")?;
    let (context, format) = match fields.object("context")? {
        None => Default::default(),
        Some(mut fields) => {
            let context = fields.context()?;
            fields.finish()?;
            context
        }
    };
    let conversation = fields.object("conversation")?.map(|fields| conversation(request, fields)).transpose()?;
    let (messages, _) = fields.new_messages()?;
    if messages.iter().any(|message| Some(message.id()) == reply_id) {
        return Err(Invalid::new(Fault::Parameter, "this is the id of a message; give the reply its own").at("reply_id"));
    }
    fields.finish()?;
    Ok((NewTurn { messages, place, reply_id, conversation, context }, format))
}

fn conversation(request: &Request, mut fields: Fields<'_>) -> Result<NewConversation> {
    let named = fields.parse("user_id", UserId::parse)?;
    let user_id = match request.caller() {
        caller @ Caller::User { .. } => caller.acting_for(named)?,
        Caller::Service | Caller::Anyone => fields.required("user_id", named)?,
    };
    let conversation = NewConversation {
        user_id,
        id: Some(request.conversation_id()?),
        always_new: false,
        title: fields.parse("title", Title::parse)?,
        metadata: fields.metadata(Metadata::of_conversation)?.unwrap_or_default(),
        expires_in: fields.expires_in()?,
    };
    fields.finish()?;
    Ok(conversation)
}
