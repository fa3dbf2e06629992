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
    let (conversation_id, range) = (request.conversation_id()?, input::read(&request)?);
    let if_none_match = request.if_none_match()?;
    let history = queries::get_chat_history(&database, request.caller(), conversation_id, range, if_none_match.as_ref()).await?;
    Reply::conditional(history, |history| {
        let next = |last: &Message, sent| format!("{}?{}", request.own_path(), range.next(last.position, sent));
        Reply::list(&history.messages, history.more, next)
    })
}
