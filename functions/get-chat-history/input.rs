//! Which messages a request asks for.

use shared::Result;
use shared::error::{Fault, Invalid};
use shared::http::Request;
use shared::models::{HistoryOf, HistoryRange};

/// Which messages, and the range of them.
pub(crate) fn read(request: &Request) -> Result<(HistoryOf, HistoryRange)> {
    let mut fields = request.fields()?;
    let limit = fields.limit("limit")?;
    let after = fields.integer("after", 0..=i64::MAX)?;
    let before = fields.integer("before", 0..=i64::MAX)?;
    let newest_first = fields.parse("order", |text| HistoryRange::order(&text))?;
    let last = fields.limit("last")?;
    let of = HistoryOf {
        line: fields.uuid("line")?,
        all: fields.flag("all")?.unwrap_or(false),
        versions: fields.parse("include", |text| HistoryOf::versions(&text))?.unwrap_or(false),
    };
    fields.finish()?;
    if of.all && of.line.is_some() {
        return Err(Invalid::new(Fault::Parameter, "line goes without all: it asks for one path").at("line"));
    }
    let range = match last {
        Some(_) if limit.or(after).or(before).is_some() || newest_first.is_some() => {
            return Err(Invalid::new(Fault::Parameter, "last goes without limit, after, before and order").at("last"));
        }
        Some(last) => HistoryRange::Last(last),
        None => HistoryRange::Between {
            after: after.unwrap_or(0),
            before: before.unwrap_or(i64::MAX),
            newest_first: newest_first.unwrap_or(false),
            limit,
        },
    };
    Ok((of, range))
}
