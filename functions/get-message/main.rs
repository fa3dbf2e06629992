//! Reads a message, or waits for a change of it.

mod input;

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(get_message)
}

async fn get_message(request: Request, database: Database) -> Result<Reply, Error> {
    let (conversation_id, message_id) = (request.conversation_id()?, request.message_id()?);
    let (look, if_none_match) = (input::read(&request)?, request.if_none_match()?);
    let caller = request.caller();
    let message = queries::get_message(&database, caller, conversation_id, message_id, look, if_none_match.as_ref()).await?;
    Reply::conditional(message, |message| Reply::ok(&message))
}
