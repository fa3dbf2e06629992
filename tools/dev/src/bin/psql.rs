//! `cargo xtask psql`: opens the database of the running `cargo dev`.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Parser;
use local::directories;
use local::postgres::{Running, SUPERUSER};

/// Opens the database of the running `cargo dev` with psql, as the owner of the schema.
#[derive(Parser)]
#[command(bin_name = "cargo xtask psql")]
struct Options {
    /// Arguments of psql, such as -c 'select count(*) from messages'.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

fn main() -> ExitCode {
    let Err(error) = open(&Options::parse().arguments);
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

fn open(arguments: &[String]) -> Result<Infallible> {
    let running = Running::find(&directories::data()?)?;
    let (port, authority, password_file) = (running.port.to_string(), running.ca_file.display(), running.password_file.display());
    // Not a URL, because everybody can read the arguments of a process.
    let connection = [
        ("PGHOST", "localhost".to_owned()),
        ("PGPORT", port.clone()),
        ("PGUSER", SUPERUSER.to_owned()),
        ("PGDATABASE", dev::DATABASE.to_owned()),
        ("PGSSLMODE", "verify-full".to_owned()),
        ("PGSSLROOTCERT", authority.to_string()),
        ("PGPASSWORD", std::fs::read_to_string(&running.password_file)?),
    ];
    for program in [running.binaries.join("psql"), "psql".into()] {
        let error = Command::new(&program).args(arguments).envs(connection.clone()).exec();
        if error.kind() != ErrorKind::NotFound {
            return Err(error).with_context(|| format!("cannot run {}", program.display()));
        }
    }
    bail!(
        "this machine has no psql: install it (Debian: apt-get install postgresql-client; macOS: brew install libpq) and run this again. \
         A psql that is not in PATH opens the database with this line:\n\
         PGPASSWORD=$(cat '{password_file}') PGSSLROOTCERT='{authority}' psql \
         'postgresql://{SUPERUSER}@localhost:{port}/{}?sslmode=verify-full'",
        dev::DATABASE
    )
}
