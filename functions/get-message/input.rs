//! Which part of a message is asked for, and how long the caller waits for it.

use std::time::Duration;

use shared::Result;
use shared::http::Request;
use shared::models::HistoryOf;
use shared::queries::Look;

/// What the caller wants.
pub(crate) fn read(request: &Request) -> Result<Look> {
    let mut fields = request.fields()?;
    let skip = fields.integer("skip", 0..=i64::from(i32::MAX))?;
    let wait = fields.integer("wait", 1..=20)?;
    let with_versions = fields.parse("include", |text| HistoryOf::versions(&text))?.unwrap_or(false);
    fields.finish()?;
    Ok(Look { skip, wait: wait.map(|seconds| Duration::from_secs(seconds.unsigned_abs())), with_versions })
}
