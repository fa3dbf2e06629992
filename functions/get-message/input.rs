//! Which part of a message is asked for, and how long the caller waits for it.

use std::time::Duration;

use shared::Result;
use shared::http::Request;
use shared::models::HistoryOf;

/// What the caller wants.
pub(crate) struct Input {
    /// How many characters of the content the caller has already.
    pub(crate) skip: Option<i64>,
    /// How long to wait for a change.
    pub(crate) wait: Option<Duration>,
    /// Whether the answer has the message's versions.
    pub(crate) with_versions: bool,
}

/// What the caller wants.
pub(crate) fn read(request: &Request) -> Result<Input> {
    let mut fields = request.fields()?;
    let skip = fields.integer("skip", 0..=i64::from(i32::MAX))?;
    let wait = fields.integer("wait", 1..=20)?;
    let with_versions = fields.parse("include", |text| HistoryOf::versions(&text))?.unwrap_or(false);
    fields.finish()?;
    Ok(Input { skip, wait: wait.map(|seconds| Duration::from_secs(seconds.unsigned_abs())), with_versions })
}
