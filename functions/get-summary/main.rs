//! Reads a conversation's summary.

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(get_summary)
}

async fn get_summary(request: Request, database: Database) -> Result<Reply, Error> {
    request.no_fields()?;
    let (conversation_id, if_none_match) = (request.conversation_id()?, request.if_none_match()?);
    let summary = queries::get_summary(&database, request.caller(), conversation_id, if_none_match.as_ref()).await?;
    Reply::conditional(summary, |summary| Reply::ok(&summary))
}
