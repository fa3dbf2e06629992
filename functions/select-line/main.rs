//! Chooses the current line of a conversation that has versions.

mod input;

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(select_line)
}

async fn select_line(request: Request, database: Database) -> Result<Reply, Error> {
    let (conversation_id, if_match) = (request.conversation_id()?, request.if_match()?);
    let (line, operation) = (input::read(&request)?, request.operation()?);
    let if_match = if_match.as_ref();
    let (conversation, repeated) =
        queries::select_line(&database, request.caller(), conversation_id, line, &operation, if_match).await?;
    Ok(Reply::ok(&conversation)?.version(conversation.version).replayed(repeated))
}
