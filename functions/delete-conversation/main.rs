//! Deletes a conversation and its messages.

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(delete_conversation)
}

async fn delete_conversation(request: Request, database: Database) -> Result<Reply, Error> {
    request.no_fields()?;
    let (conversation_id, operation, if_match) = (request.conversation_id()?, request.operation()?, request.if_match()?);
    let repeated =
        queries::delete_conversation(&database, request.caller(), conversation_id, &operation, if_match.as_ref()).await?;
    Ok(Reply::no_content().replayed(repeated))
}
