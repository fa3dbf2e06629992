//! Makes one user's conversations another user's, as when a guest signs in.

mod input;

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(transfer_user)
}

async fn transfer_user(request: Request, database: Database) -> Result<Reply, Error> {
    let user_id = request.user_id_by_service()?;
    let to = input::read(&request, &user_id)?;
    let transferred = queries::transfer_user(&database, &user_id, &to).await?;
    if transferred.complete { Reply::ok(&transferred) } else { Reply::accepted(&transferred) }
}
