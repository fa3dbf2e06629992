//! Lists a user's conversations, the most recently updated first.

mod input;

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::run(get_user_conversations).await
}

async fn get_user_conversations(request: Request, database: Database) -> Result<Reply, Error> {
    let user_id = request.user_id()?;
    let (limit, cursor) = input::read(&request)?;
    let (conversations, more) = queries::get_user_conversations(&database, &user_id, limit, cursor).await?;
    Reply::list(&conversations, more, |last, _sent| {
        request.page(&[("limit", limit.map(|limit| limit.to_string())), ("cursor", Some(last.cursor().encode()))])
    })
}
