//! Finds a user's conversation, or starts one.

use std::process::ExitCode;

use shared::http::{self, Reply, Request};
use shared::{Database, Error, queries};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    http::run(get_or_create_conversation).await
}

async fn get_or_create_conversation(request: Request, database: Database) -> Result<Reply, Error> {
    let (conversation, created) = queries::get_or_create_conversation(&database, &request.new_conversation()?).await?;
    let reply = Reply::created(created, &conversation)?.version(conversation.version).about(conversation.id);
    Ok(if created { reply.location(format!("{}/{}", request.own_path(), conversation.id)) } else { reply })
}
