//! How much a model is sent, and in which form.

use shared::Result;
use shared::http::Request;
use shared::models::{ContextFormat, ContextLimits};

/// The limits, and the form.
pub(crate) fn read(request: &Request) -> Result<(ContextLimits, ContextFormat)> {
    let mut fields = request.fields()?;
    let limits = ContextLimits {
        messages: fields.integer("max_messages", 1..=i64::MAX)?,
        characters: fields.integer("max_chars", 1..=i64::MAX)?,
    };
    let format = fields.parse("format", |text| ContextFormat::parse(&text))?;
    fields.finish()?;
    Ok((limits, format.unwrap_or(ContextFormat::Messages)))
}
