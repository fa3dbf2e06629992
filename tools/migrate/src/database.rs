//! The tool's own connections, as a server's superuser or a schema's owner: over TLS, with chain and host name verified.

use std::path::Path;

use anyhow::{Context, Result};
use postgres_protocol::escape::escape_literal;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

/// The role that migrations grant rights to, and that the functions log in as.
pub const FUNCTIONS_ROLE: &str = "scrollback_functions";

/// Parses a database URL as providers print it.
///
/// # Errors
/// A URL that cannot work. The message does not show the password.
pub fn parse(url: &str) -> Result<tokio_postgres::Config> {
    Ok(shared::config::database("the database URL", url)?)
}

/// Connects to the database in `url`, until the client is dropped. `certificate_authority` is a PEM file to trust beside the system's own.
///
/// # Errors
/// An unreadable file, a URL that cannot work, or no connection. None shows the password.
pub async fn connect(url: &str, certificate_authority: Option<&Path>) -> Result<Client> {
    let config = parse(url)?;
    let mut tls = native_tls::TlsConnector::builder();
    if let Some(path) = certificate_authority {
        let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        tls.add_root_certificate(native_tls::Certificate::from_pem(&pem)?);
    }
    postgres_native_tls::set_postgresql_alpn(&mut tls);
    let connector = postgres_native_tls::MakeTlsConnector::new(tls.build()?);
    let (client, connection) = config.connect(connector).await.context("cannot connect to the database")?;
    // Its errors reach the client, too.
    tokio::spawn(connection);
    Ok(client)
}

/// Gives the functions' role this password, and makes the role where there is none.
///
/// The statement holds the password and not its hash, inside TLS: Neon's control plane wants to see it, and refuses a role without one.
///
/// # Errors
/// A lost connection, or a user who may not do this.
pub async fn set_functions_password(client: &Client, password: &str) -> Result<()> {
    let roles = client.query_typed("select from pg_roles where rolname = $1", &[(&FUNCTIONS_ROLE, Type::TEXT)]).await?;
    let verb = if roles.is_empty() { "create" } else { "alter" };
    let statement = format!("{verb} role {FUNCTIONS_ROLE} login password {}", escape_literal(password));
    client.batch_execute(&statement).await.with_context(|| format!("cannot set the password of the role {FUNCTIONS_ROLE}"))
}
