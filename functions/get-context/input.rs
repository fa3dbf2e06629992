//! How much a model is sent, and in which form.

use shared::Result;
use shared::http::Request;
use shared::models::{ContextFormat, ContextOptions};

/// What to send, and the form.
pub(crate) fn read(request: &Request) -> Result<(ContextOptions, ContextFormat)> {
    let mut fields = request.fields()?;
    let options = fields.context()?;
    fields.finish()?;
    Ok(options)
}
