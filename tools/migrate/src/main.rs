//! `cargo xtask migrate`: brings a database's schema up to date.

use std::process::ExitCode;

use clap::Parser;
use migrate::migrations;

/// Brings a database's schema up to date, and sets the password of the functions' role where `FUNCTIONS_PASSWORD` is set.
#[derive(Parser)]
#[command(bin_name = "cargo xtask migrate")]
struct Command {
    #[command(flatten)]
    options: migrations::Options,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match migrations::run(Command::parse().options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
