//! Finds a user's conversation, or starts one.

mod input;

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(get_or_create_conversation)
}

async fn get_or_create_conversation(request: Request, database: Database) -> Result<Reply, Error> {
    let (conversation, created) = queries::get_or_create_conversation(&database, &input::read(&request)?).await?;
    let reply = Reply::created(created, &conversation)?.version(conversation.version).about(conversation.id);
    Ok(if created { reply.location(format!("{}/{}", request.own_path(), conversation.id)) } else { reply })
}
