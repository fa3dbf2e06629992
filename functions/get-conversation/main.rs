//! Reads a conversation, without its messages.

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(get_conversation)
}

async fn get_conversation(request: Request, database: Database) -> Result<Reply, Error> {
    request.no_fields()?;
    let (conversation_id, if_none_match) = (request.conversation_id()?, request.if_none_match()?);
    let conversation = queries::get_conversation(&database, request.caller(), conversation_id, if_none_match.as_ref()).await?;
    Reply::conditional(conversation, |conversation| Reply::ok(&conversation))
}
