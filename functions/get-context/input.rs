//! How much a model is sent, and in which form.

use shared::Result;
use shared::http::Request;
use shared::models::{CallIds, ContextFormat, ContextLimits, ContextOptions, Unanswered};

/// What to send, and the form.
pub(crate) fn read(request: &Request) -> Result<(ContextOptions, ContextFormat)> {
    let mut fields = request.fields()?;
    let limits = ContextLimits {
        messages: fields.integer("max_messages", 1..=i64::MAX)?,
        characters: fields.integer("max_chars", 1..=i64::MAX)?,
        tokens: fields.integer("max_tokens", 1..=i64::MAX)?,
    };
    let step = fields.integer("step", 1..=i64::MAX)?;
    let unanswered = fields.parse("unanswered", |text| Ok(Unanswered::parse(&text)?))?.unwrap_or_default();
    let call_ids = fields.parse("call_ids", |text| Ok(CallIds::parse(&text)?))?.unwrap_or_default();
    let tool_results = fields.integer("tool_results", 0..=i64::MAX)?;
    let format = fields.parse("format", |text| Ok(ContextFormat::parse(&text)?))?;
    fields.finish()?;
    Ok((ContextOptions { limits, step, unanswered, call_ids, tool_results }, format.unwrap_or_default()))
}
