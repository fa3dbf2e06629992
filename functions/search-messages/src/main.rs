//! Searches a user's messages.

mod input;

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::run(search_messages).await
}

async fn search_messages(request: Request, database: Database) -> Result<Reply, Error> {
    let user_id = request.user_id()?;
    let (query, limit, cursor) = input::read(&request)?;
    let (hits, more) = queries::search_messages(&database, &user_id, &query, limit, cursor).await?;
    Reply::list(&hits, more, |last, _sent| {
        let cursor = last.message.cursor().encode();
        request.page(&[
            ("q", Some(query.as_str().to_owned())),
            ("limit", limit.map(|limit| limit.to_string())),
            ("cursor", Some(cursor)),
        ])
    })
}
