//! Which part of an export a request asks for.

use shared::Result;
use shared::http::Request;
use shared::models::{Cursor, List};

/// Behind which line.
pub(crate) fn read(request: &Request) -> Result<Option<Cursor>> {
    let mut fields = request.fields()?;
    let cursor = fields.parse("cursor", |text| Cursor::parse(&text, List::Export))?;
    fields.finish()?;
    Ok(cursor)
}
