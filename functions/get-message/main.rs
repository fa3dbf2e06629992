//! Reads a message, or waits for a change of it.

mod input;

use std::process::ExitCode;

use self::input::Input;
use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(get_message)
}

async fn get_message(request: Request, database: Database) -> Result<Reply, Error> {
    let (conversation_id, message_id) = (request.conversation_id()?, request.message_id()?);
    let (Input { skip, wait, with_versions }, known) = (input::read(&request)?, request.if_none_match()?);
    let (caller, known) = (request.caller(), known.as_ref());
    let message = queries::get_message(&database, caller, conversation_id, message_id, skip, wait, with_versions, known).await?;
    Reply::conditional(message, |message| Reply::ok(&message))
}
