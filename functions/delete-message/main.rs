//! Deletes a message; the others keep their positions.

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(delete_message)
}

async fn delete_message(request: Request, database: Database) -> Result<Reply, Error> {
    request.no_fields()?;
    let (conversation_id, message_id) = (request.conversation_id()?, request.message_id()?);
    let (operation, if_match) = (request.operation()?, request.if_match()?);
    let (version, repeated) =
        queries::delete_message(&database, request.caller(), conversation_id, message_id, &operation, if_match.as_ref()).await?;
    Ok(Reply::no_content().version(version).replayed(repeated))
}
