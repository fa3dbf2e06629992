//! From where a conversation is rewound.

use shared::Result;
use shared::http::Request;

/// The position of the first message that goes; without one, that of the conversation's first.
pub(crate) fn read(request: &Request) -> Result<i64> {
    let mut fields = request.fields()?;
    let from = fields.integer("from", 1..=i64::MAX)?;
    fields.finish()?;
    Ok(from.unwrap_or(1))
}
