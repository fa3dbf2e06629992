//! Erases everything that is stored about a user.

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(erase_user)
}

async fn erase_user(request: Request, database: Database) -> Result<Reply, Error> {
    request.no_fields()?;
    let user_id = request.user_id()?;
    let erased = queries::erase_user(&database, &user_id).await?;
    if erased.complete { Reply::ok(&erased) } else { Reply::accepted(&erased) }
}
