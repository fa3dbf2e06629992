//! Lists a user's conversations, the most recently updated first.

use std::process::ExitCode;

use shared::http::{self, Reply, Request};
use shared::{Database, Error, queries};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    http::run(get_user_conversations).await
}

async fn get_user_conversations(request: Request, database: Database) -> Result<Reply, Error> {
    let user_id = request.user_id()?;
    let (limit, cursor) = request.conversation_page()?;
    let (conversations, more) = queries::get_user_conversations(&database, &user_id, limit, cursor).await?;
    Reply::list(&conversations, more, |last, _sent| {
        request.page(&[("limit", limit.map(|limit| limit.to_string())), ("cursor", Some(last.cursor().encode()))])
    })
}
