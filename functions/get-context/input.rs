//! How much a model is sent, and in which form.

use shared::Result;
use shared::http::Request;
use shared::models::{ContextFormat, ContextOptions, Uuid};

/// What to send, the form, and the last message of the line that it is of, where that is not the current one.
pub(crate) fn read(request: &Request) -> Result<(ContextOptions, ContextFormat, Option<Uuid>)> {
    let mut fields = request.fields()?;
    let (options, format) = fields.context()?;
    let line = fields.uuid("line")?;
    fields.finish()?;
    Ok((options, format, line))
}
