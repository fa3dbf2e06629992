//! `cargo xtask token`: prints a token for `cargo dev --jwt`.

use std::process::ExitCode;

use clap::Parser;
use local::tokens::Key;
use shared::models::UserId;

/// Prints a token for `cargo dev --jwt` on this machine, good for 12 hours.
#[derive(Parser)]
#[command(bin_name = "cargo xtask token")]
struct Options {
    /// Who the token is for: the `user_id` of their conversations.
    user_id: String,
    /// Lets the token act for every user, as a back end's does.
    #[arg(long)]
    service: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(invalid) = UserId::parse(&*options.user_id) {
        eprintln!("error: USER_ID: {invalid}");
        return ExitCode::FAILURE;
    }
    match Key::of_this_machine() {
        Ok(key) => {
            println!("{}", key.sign(&options.user_id, options.service));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
