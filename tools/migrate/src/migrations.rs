//! The schema's history, `migrations/`, applied to a database by refinery. `cargo xtask migrate` does it in production.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tokio_postgres::config::Host;

use crate::database;

mod embedded {
    refinery::embed_migrations!("../../migrations");
}

/// The migrations that a call to [`apply`] has applied, in order, such as `V1__conversations_and_messages`.
#[derive(Debug)]
pub struct Applied(pub Vec<String>);

/// Brings the database in `url` up to date: each migration that it has not seen, in a transaction of its own.
///
/// # Errors
/// No connection, a migration that fails, or one that was edited after it had been applied.
pub async fn apply(url: &str, certificate_authority: Option<&Path>) -> Result<Applied> {
    let mut client = database::connect(url, certificate_authority).await?;
    let report = embedded::migrations::runner().run_async(&mut client).await.context("cannot migrate the database")?;
    Ok(Applied(report.applied_migrations().iter().map(ToString::to_string).collect()))
}

/// `cargo xtask migrate`
#[derive(clap::Args)]
pub struct Options {
    /// The database, on its direct host, as the schema's owner.
    #[arg(long, value_name = "URL", env = "MIGRATION_DATABASE_URL", hide_env_values = true)]
    database_url: String,
}

/// Migrates a database, and sets the functions' password where there is one to set.
///
/// # Errors
/// As for [`apply`], and a pooler's host or a password that is too short.
pub async fn run(options: Options) -> Result<()> {
    let url = &options.database_url;
    for host in database::parse(url)?.get_hosts() {
        if let Host::Tcp(host) = host {
            ensure!(
                !host.split('.').next().is_some_and(|label| label.ends_with("-pooler")),
                "{host} is a pooler, and migrations need a session of their own: use the direct host, which is the same without -pooler"
            );
        }
    }
    let password = std::env::var("FUNCTIONS_PASSWORD").ok().filter(|password| !password.is_empty());
    if let Some(password) = &password {
        ensure!(password.chars().count() >= 16, "FUNCTIONS_PASSWORD is too short: 16 characters at least, and random ones");
        // Before the migrations, which would make the role without a password: Neon refuses that.
        let client = database::connect(url, None).await?;
        database::set_functions_password(&client, password).await?;
        println!("set the password of {}", database::FUNCTIONS_ROLE);
    }
    let Applied(applied) = apply(url, None).await?;
    for migration in &applied {
        println!("applied {migration}");
    }
    if applied.is_empty() {
        println!("nothing to do: the schema is up to date");
    }
    Ok(())
}
