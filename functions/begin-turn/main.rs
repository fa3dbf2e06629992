//! Stores what the user said, and reads what to send to the model.

mod input;

use std::process::ExitCode;

use shared::error::{Fault, Invalid};
use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(begin_turn)
}

async fn begin_turn(request: Request, database: Database) -> Result<Reply, Error> {
    let (conversation_id, if_match) = (request.conversation_id()?, request.if_match()?);
    let (turn, format) = input::read(&request)?;
    let turn = queries::begin_turn(&database, request.caller(), conversation_id, turn, if_match.as_ref()).await?;
    let (version, replayed) = (turn.version, turn.replayed);
    let reply = Reply::created(!replayed, &turn.into_json(format))?;
    if !reply.fits() {
        let detail = "the messages are stored; their context does not fit beside them in a response, so read it with get-context";
        return Err(Invalid::new(Fault::TooLarge, detail).into());
    }
    Ok(reply.version(version).replayed(replayed))
}
