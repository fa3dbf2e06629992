//! Which line a request chooses.

use shared::Result;
use shared::http::Request;
use shared::models::{Change, NewLine};

/// The line.
pub(crate) fn read(request: &Request) -> Result<NewLine> {
    let mut fields = request.fields()?;
    let message_id = match fields.change("message_id", |fields| fields.uuid("message_id"))? {
        Change::Set(id) => Some(Some(id)),
        Change::Clear => Some(None),
        Change::Keep => None,
    };
    let line = NewLine { message_id: fields.required("message_id", message_id)?, newest: fields.flag("newest")?.unwrap_or(false) };
    fields.finish()?;
    Ok(line)
}
