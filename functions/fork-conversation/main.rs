//! Copies a conversation up to a message, so that another answer can be tried.

mod input;

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(fork_conversation)
}

async fn fork_conversation(request: Request, database: Database) -> Result<Reply, Error> {
    let (conversation_id, fork) = (request.conversation_id()?, input::read(&request)?);
    let (fork, created) = queries::fork_conversation(&database, request.caller(), conversation_id, &fork).await?;
    let reply = Reply::created(created, &fork)?.version(fork.version);
    Ok(if created { reply.location(request.conversation_path(fork.id)) } else { reply })
}
