//! What a request says about a fork.

use shared::Result;
use shared::http::Request;
use shared::models::{Metadata, NewFork, Title};

/// The fork.
pub(crate) fn read(request: &Request) -> Result<NewFork> {
    let mut fields = request.fields()?;
    let fork = NewFork {
        id: fields.uuid("id")?,
        through: fields.integer("through", 1..=i64::MAX)?,
        title: fields.parse("title", Title::parse)?,
        metadata: fields.metadata(Metadata::of_conversation)?,
    };
    fields.finish()?;
    Ok(fork)
}
