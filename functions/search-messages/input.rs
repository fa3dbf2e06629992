//! What to look for.

use shared::Result;
use shared::error::{Fault, Invalid};
use shared::http::Request;
use shared::models::{Cursor, List, SearchQuery};

/// What to look for, how much of it, and behind which message.
pub(crate) fn read(request: &Request) -> Result<(SearchQuery, Option<i64>, Option<Cursor>)> {
    let mut fields = request.fields()?;
    let query = fields
        .parse("q", SearchQuery::parse)?
        .ok_or_else(|| Invalid::new(Fault::Missing, "q is required: words, \"a phrase\", -not, or").at("q"))?;
    let page = (query, fields.limit("limit")?, fields.parse("cursor", |text| Cursor::parse(&text, List::Search))?);
    fields.finish()?;
    Ok(page)
}
