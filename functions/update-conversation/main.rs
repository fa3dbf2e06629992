//! Changes a conversation's title and metadata.

mod input;

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(update_conversation)
}

async fn update_conversation(request: Request, database: Database) -> Result<Reply, Error> {
    let (conversation_id, if_match) = (request.conversation_id()?, request.if_match()?);
    let change = input::read(&request)?;
    let operation = request.operation()?;
    let (conversation, repeated) =
        queries::update_conversation(&database, request.caller(), conversation_id, &change, &operation, if_match.as_ref()).await?;
    Ok(Reply::ok(&conversation)?.version(conversation.version).replayed(repeated))
}
