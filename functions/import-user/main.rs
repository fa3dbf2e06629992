//! Stores the lines of an export for a user.

mod input;

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(import_user)
}

async fn import_user(request: Request, database: Database) -> Result<Reply, Error> {
    let user_id = request.user_id_by_service()?;
    let import = input::read(&request)?;
    Reply::ok(&queries::import_user(&database, &user_id, &import).await?)
}
