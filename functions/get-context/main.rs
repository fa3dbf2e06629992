//! Reads what to send to a model.

mod input;

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(get_context)
}

async fn get_context(request: Request, database: Database) -> Result<Reply, Error> {
    let (conversation_id, if_none_match) = (request.conversation_id()?, request.if_none_match()?);
    let (options, format, line) = input::read(&request)?;
    let (caller, known) = (request.caller(), if_none_match.as_ref());
    let context = queries::get_context(&database, caller, conversation_id, options, line, known).await?;
    Reply::conditional(context, |context| Reply::written(&context.into_json(format)))
}
