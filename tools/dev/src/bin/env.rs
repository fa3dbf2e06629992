//! `cargo xtask env`: prints the environment of a function that uses the database of the running `cargo dev`.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser;
use local::directories;
use local::postgres::Running;
use migrate::database;
use shared::queries::release::SCHEMA;
use tokio_postgres::types::Type;

/// Prints what a function needs to use the database of the running `cargo dev`, for a shell: `eval "$(cargo xtask env)"`. It holds a password.
///
/// Tokens are not checked in this environment, because there is no gateway that could.
#[derive(Parser)]
#[command(bin_name = "cargo xtask env")]
struct Options {}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    Options::parse();
    match environment().await {
        Ok(lines) => {
            print!("{lines}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn environment() -> Result<String> {
    let running = Running::find(&directories::data()?)?;
    let client = database::connect(&running.superuser_url(dev::DATABASE), Some(&running.ca_file)).await?;
    let schema = client.query_typed("select from pg_namespace where nspname = $1", &[(&SCHEMA, Type::TEXT)]).await?;
    ensure!(
        !schema.is_empty(),
        "the database of the running `cargo dev` has no schema {SCHEMA}, which the functions of this checkout call: end that `cargo dev`, \
         and start it in this checkout"
    );
    let variables = [
        ("DATABASE_URL", running.functions_url(dev::DATABASE)),
        ("SSL_CERT_FILE", running.ca_file.display().to_string()),
        ("AUTH_MODE", "off".to_owned()),
    ];
    Ok(variables.map(|(name, value)| format!("export {name}='{}'\n", value.replace('\'', r"'\''"))).concat())
}
