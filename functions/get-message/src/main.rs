//! Reads a message.

mod input;

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::run(get_message).await
}

async fn get_message(request: Request, database: Database) -> Result<Reply, Error> {
    let (conversation_id, message_id) = (request.conversation_id()?, request.message_id()?);
    let (from, if_none_match) = (input::read(&request)?, request.if_none_match()?);
    let message =
        queries::get_message(&database, request.caller(), conversation_id, message_id, from, if_none_match.as_ref()).await?;
    Reply::conditional(message, |message| Reply::ok(&message))
}
