//! Stores a text that stands for a conversation's messages up to a position.

mod input;

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(summarize_conversation)
}

async fn summarize_conversation(request: Request, database: Database) -> Result<Reply, Error> {
    let (conversation_id, if_match) = (request.conversation_id()?, request.if_match()?);
    let (summary, operation) = (input::read(&request)?, request.operation()?);
    let if_match = if_match.as_ref();
    let (conversation, repeated) =
        queries::summarize_conversation(&database, request.caller(), conversation_id, &summary, &operation, if_match).await?;
    Ok(Reply::ok(&conversation)?.version(conversation.version).replayed(repeated))
}
