//! Reads a conversation's messages.

mod input;

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::models::Message;
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(get_chat_history)
}

async fn get_chat_history(request: Request, database: Database) -> Result<Reply, Error> {
    let (conversation_id, (of, range)) = (request.conversation_id()?, input::read(&request)?);
    let (caller, if_none_match) = (request.caller(), request.if_none_match()?);
    let history = queries::get_chat_history(&database, caller, conversation_id, of, range, if_none_match.as_ref()).await?;
    Reply::conditional(history, |history| {
        let next = |last: &Message, sent| format!("{}?{}{}", request.own_path(), range.next(last.position, sent), of.parameters());
        Reply::list(&history.messages, history.more, next)
    })
}
