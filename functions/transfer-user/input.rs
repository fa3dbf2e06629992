//! What a request says about a transfer.

use shared::error::{Fault, Invalid};
use shared::http::Request;
use shared::models::UserId;
use shared::{Error, Result};

/// The user who gets the conversations of `from`.
pub(crate) fn read(request: &Request, from: &UserId) -> Result<UserId> {
    let mut fields = request.fields()?;
    let to = fields.parse("to", UserId::parse)?;
    fields.finish()?;
    let to = to.ok_or_else(|| refused(Fault::Missing, "to is required: the user who gets the conversations"))?;
    if to == *from { Err(refused(Fault::Parameter, "must be another user than the one in the path")) } else { Ok(to) }
}

fn refused(fault: Fault, detail: &str) -> Error {
    Invalid::new(fault, detail).at("to")
}
