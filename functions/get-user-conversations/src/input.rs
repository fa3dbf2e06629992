//! Which of a user's conversations a request asks for.

use shared::Result;
use shared::http::Request;
use shared::models::Cursor;

/// How many conversations, and behind which one.
pub(crate) fn read(request: &Request) -> Result<(Option<i64>, Option<Cursor>)> {
    let mut fields = request.fields()?;
    let page = (fields.limit("limit")?, fields.parse("cursor", |text| Cursor::parse(&text))?);
    fields.finish()?;
    Ok(page)
}
