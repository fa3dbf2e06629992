//! Changes a conversation's title and metadata.

use std::process::ExitCode;

use shared::http::{self, Reply, Request};
use shared::{Database, Error, queries};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    http::run(update_conversation).await
}

async fn update_conversation(request: Request, database: Database) -> Result<Reply, Error> {
    let (conversation_id, if_match) = (request.conversation_id()?, request.if_match()?);
    let change = request.conversation_change()?;
    let conversation =
        queries::update_conversation(&database, request.caller(), conversation_id, &change, if_match.as_ref()).await?;
    Ok(Reply::ok(&conversation)?.version(conversation.version))
}
