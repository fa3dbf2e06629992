//! Deletes a conversation's summary; an older one takes its place.

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(delete_summary)
}

async fn delete_summary(request: Request, database: Database) -> Result<Reply, Error> {
    request.no_fields()?;
    let (conversation_id, operation, if_match) = (request.conversation_id()?, request.operation()?, request.if_match()?);
    let (version, repeated) =
        queries::delete_summary(&database, request.caller(), conversation_id, &operation, if_match.as_ref()).await?;
    Ok(Reply::no_content().version(version).replayed(repeated))
}
