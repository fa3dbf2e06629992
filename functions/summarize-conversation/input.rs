//! What a request says about a summary.

use shared::error::{Fault, Invalid};
use shared::http::Request;
use shared::models::NewSummary;
use shared::{Error, Result};

/// The summary.
pub(crate) fn read(request: &Request) -> Result<NewSummary> {
    let mut fields = request.fields()?;
    let through = fields.integer("through", 1..=i64::MAX)?;
    let content = fields.parse("content", NewSummary::content)?;
    let token_count = fields.token_count()?;
    fields.finish()?;
    Ok(NewSummary {
        through: through.ok_or_else(|| missing("through", "the position of the last message that the summary stands for"))?,
        content: content.ok_or_else(|| missing("content", "the summary's text"))?,
        token_count,
    })
}

fn missing(name: &str, what: &str) -> Error {
    Invalid::new(Fault::Missing, format!("{name} is required: {what}")).at(name)
}
