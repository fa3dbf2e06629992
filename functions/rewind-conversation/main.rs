//! Deletes a message and all after it, so that a reply can be edited or generated anew.

mod input;

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(rewind_conversation)
}

async fn rewind_conversation(request: Request, database: Database) -> Result<Reply, Error> {
    let (conversation_id, if_match) = (request.conversation_id()?, request.if_match()?);
    let (from, operation) = (input::read(&request)?, request.operation()?);
    let (rewound, version, repeated) =
        queries::rewind_conversation(&database, request.caller(), conversation_id, from, &operation, if_match.as_ref()).await?;
    Ok(Reply::ok(&rewound)?.version(version).replayed(repeated))
}
