//! Lists a user's conversations, the newest first.

mod input;

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(get_user_conversations)
}

async fn get_user_conversations(request: Request, database: Database) -> Result<Reply, Error> {
    let user_id = request.user_id()?;
    let input = input::read(&request)?;
    let listed = queries::get_user_conversations(&database, &user_id, &input.filter, input.limit, input.cursor).await?;
    let page = |cursor| input.page(&request, cursor);
    let reply = Reply::list(&listed.conversations, listed.more, |last, _sent| page(input.filter.cursor(&last.conversation)))?;
    Ok(reply.or_next(listed.unread.map(page)))
}
