//! What a request changes of a message.

use shared::Result;
use shared::error::{Fault, Invalid};
use shared::http::{Fields, Request};
use shared::models::{MessageChange, Metadata, Piece, Text};

/// The change.
pub(crate) fn read(request: &Request) -> Result<MessageChange> {
    let mut fields = request.fields()?;
    let change = MessageChange {
        content: fields.change("content", Fields::content)?,
        tool_calls: fields.change("tool_calls", Fields::tool_calls)?,
        metadata: fields.change("metadata", |fields| fields.metadata(Metadata::of_message))?,
        token_count: fields.change("token_count", Fields::token_count)?,
        feedback: fields.change("feedback", Fields::feedback)?,
        append: append(&mut fields)?,
        status: fields.status()?,
    };
    fields.finish()?;
    if change.append.is_some() && !change.content.is_keep() {
        return Err(
            Invalid::new(Fault::Ambiguous, "a content is either replaced or appended to; leave content or append out").at("append")
        );
    }
    Ok(change)
}

/// A piece of a reply, and its place.
fn append(fields: &mut Fields<'_>) -> Result<Option<Piece>> {
    let text = fields.parse("append", Text::parse)?;
    let at = fields.integer("at", 0..=i64::from(i32::MAX))?;
    match (text, at) {
        (Some(text), Some(at)) => Ok(Some(Piece { text, at })),
        (None, None) => Ok(None),
        (Some(_), None) => {
            Err(Invalid::new(Fault::Missing, "append needs at: how many characters the content has before this piece").at("at"))
        }
        (None, Some(_)) => {
            Err(Invalid::new(Fault::Missing, "at needs append: the text that comes behind so many characters").at("append"))
        }
    }
}
