//! From where a conversation is rewound.

use shared::Result;
use shared::http::Request;

/// The position of the first message of the line that goes. 0: all messages go, also those beside the line.
pub(crate) fn read(request: &Request) -> Result<i64> {
    let mut fields = request.fields()?;
    let from = fields.integer("from", 1..=i64::MAX)?;
    fields.finish()?;
    Ok(from.unwrap_or(0))
}
