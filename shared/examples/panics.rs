//! A function whose handler panics when it is asked for the nil id: what a panic costs is tested with it, in the profile that ships
//! (`tests/api/panics.rs`).

use std::process::ExitCode;

use shared::http::{Reply, Request};
use shared::{Database, Error};

fn main() -> ExitCode {
    shared::run(panics)
}

async fn panics(request: Request, _database: Database) -> Result<Reply, Error> {
    let id = request.conversation_id()?;
    assert!(!id.is_nil(), "asked to");
    Reply::ok(&id)
}
