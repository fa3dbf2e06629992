//! `cargo dev` and `cargo xtask …`: reads the command line and calls the library.

use std::process::ExitCode;

use clap::Parser;
use xtask::{bench, dev, migrations, tokens, transcripts};

/// Scrollback's developer tool.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Command {
    /// Runs the whole API on this machine, with a Postgres of its own, until Ctrl-C. `cargo dev` for short.
    Dev(dev::Options),
    /// Measures the functions as they ship against what they can't be faster than: latency, CPU, memory, size, growth.
    Bench(bench::Options),
    /// Brings a database's schema up to date, and sets the password of the functions' role where `FUNCTIONS_PASSWORD` is set.
    Migrate(migrations::Options),
    /// Prints a token for `cargo dev --jwt`.
    Token(tokens::Options),
    /// Puts recorded conversations into a running API, and checks that what comes back equals what went in.
    LoadTranscripts(transcripts::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Bench(options) => bench::run(options).await,
        Command::Dev(options) => dev::run(options).await,
        Command::Migrate(options) => migrations::run(options).await,
        Command::Token(options) => tokens::run(&options),
        Command::LoadTranscripts(options) => transcripts::run(options).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
