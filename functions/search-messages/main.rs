//! Searches a user's messages.

mod input;

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::models::{Cursor, List};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(search_messages)
}

async fn search_messages(request: Request, database: Database) -> Result<Reply, Error> {
    let user_id = request.user_id()?;
    let (query, limit, cursor) = input::read(&request)?;
    let found = queries::search_messages(&database, &user_id, &query, limit, cursor).await?;
    let page = |cursor: Cursor| {
        let limit = limit.map(|limit| limit.to_string());
        request.page(&[("q", Some(query.as_str().to_owned())), ("limit", limit), ("cursor", Some(cursor.encode(List::Search)))])
    };
    let reply = Reply::list(&found.hits, found.more, |last, _sent| page(last.message.cursor()))?;
    Ok(reply.or_next(found.unread.map(page)))
}
