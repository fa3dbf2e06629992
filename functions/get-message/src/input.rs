//! Which part of a message is asked for.

use shared::Result;
use shared::http::Request;

/// How many characters of the content the caller has already.
pub(crate) fn read(request: &Request) -> Result<Option<i64>> {
    let mut fields = request.fields()?;
    let from = fields.integer("from", 0..=i64::from(i32::MAX))?;
    fields.finish()?;
    Ok(from)
}
