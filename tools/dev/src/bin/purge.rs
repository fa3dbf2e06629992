//! `cargo xtask purge`: runs the function `purge-expired` once, as the stack's schedule does.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::{Parser, value_parser};
use local::directories;
use local::postgres::Running;
use local::runtime_api::Function;

/// The time-out of the function on AWS.
const TIMEOUT: Duration = Duration::from_mins(5);

/// Deletes what has expired: in the database of a running `cargo dev`, or in the one that `DATABASE_URL` names.
#[derive(Parser)]
#[command(bin_name = "cargo xtask purge")]
struct Options {
    /// How many days a conversation is kept after its last change. 0: for ever, unless it has an end of its own.
    #[arg(long, value_name = "DAYS", env = "RETENTION_DAYS", default_value = "0", value_parser = value_parser!(u32).range(0..=36_500))]
    retention_days: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match purge(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn purge(options: &Options) -> Result<()> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut environment = vec![("RETENTION_DAYS".to_owned(), options.retention_days.to_string())];
    if let Some(url) = variable("DATABASE_URL") {
        // The function would say so, too, but nobody would hear it.
        shared::config::database("DATABASE_URL", &url)?;
        environment.push(("DATABASE_URL".to_owned(), url));
        for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
            environment.extend(variable(name).map(|value| (name.to_owned(), value)));
        }
    } else {
        let running = Running::find(&directories::data()?).context("and DATABASE_URL is not set")?;
        environment.push(("DATABASE_URL".to_owned(), running.functions_url(dev::DATABASE)));
        environment.push(("SSL_CERT_FILE".to_owned(), running.ca_file.display().to_string()));
    }
    let binary = std::env::current_exe()?.parent().map(PathBuf::from).unwrap_or_default().join("purge-expired");
    let function = Function::on_demand(&binary, 1, &environment, |line| eprintln!("{line}"));
    let purged = function.invoke_within(TIMEOUT, "{}".to_owned()).await.map_err(|error| anyhow!("the purge failed: {error}"))?;
    let rest = if purged["done"] == true { "" } else { "; its time was over, and more is left" };
    println!("deleted {} conversations and {} messages{rest}", purged["conversations"], purged["messages"]);
    Ok(())
}
