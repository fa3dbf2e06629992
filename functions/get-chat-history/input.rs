//! Which messages a request asks for.

use shared::Result;
use shared::error::{Fault, Invalid};
use shared::http::Request;
use shared::models::HistoryRange;

/// The range of messages.
pub(crate) fn read(request: &Request) -> Result<HistoryRange> {
    let mut fields = request.fields()?;
    let limit = fields.limit("limit")?;
    let after = fields.integer("after", 0..=i64::MAX)?;
    let before = fields.integer("before", 0..=i64::MAX)?;
    let newest_first = fields.parse("order", |text| HistoryRange::order(&text))?;
    let last = fields.limit("last")?;
    fields.finish()?;
    match last {
        Some(_) if limit.or(after).or(before).is_some() || newest_first.is_some() => {
            Err(Invalid::new(Fault::Parameter, "last goes without limit, after, before and order").at("last"))
        }
        Some(last) => Ok(HistoryRange::Last(last)),
        None => Ok(HistoryRange::Between {
            after: after.unwrap_or(0),
            before: before.unwrap_or(i64::MAX),
            newest_first: newest_first.unwrap_or(false),
            limit,
        }),
    }
}
