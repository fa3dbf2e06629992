//! Reads everything that is stored for a user, as lines of JSON.

mod input;

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::models::List;
use shared::{Database, Error, queries};

fn main() -> ExitCode {
    shared::run(export_user)
}

async fn export_user(request: Request, database: Database) -> Result<Reply, Error> {
    let user_id = request.user_id()?;
    let cursor = input::read(&request)?;
    let (lines, more) = queries::export_user(&database, &user_id, cursor).await?;
    Reply::lines(&lines, more, |last| request.page(&[("cursor", Some(last.cursor().encode(List::Export)))]))
}
