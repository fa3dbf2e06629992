//! Edits a message, which keeps its position.

mod input;

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(update_message)
}

async fn update_message(request: Request, database: Database) -> Result<Reply, Error> {
    let (conversation_id, message_id) = (request.conversation_id()?, request.message_id()?);
    let (change, operation, if_match) = (input::read(&request)?, request.operation()?, request.if_match()?);
    let if_match = if_match.as_ref();
    let (message, version, repeated) =
        queries::update_message(&database, request.caller(), conversation_id, message_id, &change, &operation, if_match).await?;
    Ok(Reply::ok(&message)?.version(version).replayed(repeated))
}
