//! Stores one message, or several, at the end of a conversation or behind one of its messages.

mod input;

use std::process::ExitCode;

use self::input::Input;
use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(add_message)
}

async fn add_message(request: Request, database: Database) -> Result<Reply, Error> {
    let (conversation_id, if_match) = (request.conversation_id()?, request.if_match()?);
    let Input { messages, is_batch, place } = input::read(&request)?;
    let appended = queries::add_message(&database, request.caller(), conversation_id, messages, place, if_match.as_ref()).await?;
    let created = !appended.replayed;
    let reply =
        if is_batch { Reply::created(created, &appended.messages) } else { Reply::created(created, &appended.messages[0]) }?;
    Ok(reply.version(appended.version).replayed(appended.replayed))
}
