//! Deletes what has expired. A schedule runs it, and no route leads to it.

use std::process::ExitCode;

use shared::queries;

fn main() -> ExitCode {
    shared::run_schedule(queries::purge_expired)
}
