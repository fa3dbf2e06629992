//! Which part of a message is asked for, and how long the caller waits for it.

use std::time::Duration;

use shared::Result;
use shared::http::Request;

/// How many characters of the content the caller has already, and how long to wait for a change.
pub(crate) fn read(request: &Request) -> Result<(Option<i64>, Option<Duration>)> {
    let mut fields = request.fields()?;
    let skip = fields.integer("skip", 0..=i64::from(i32::MAX))?;
    let wait = fields.integer("wait", 1..=20)?;
    fields.finish()?;
    Ok((skip, wait.map(|seconds| Duration::from_secs(seconds.unsigned_abs()))))
}
