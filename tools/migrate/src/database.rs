//! The tool's own connections, as a server's superuser or a schema's owner: over TLS, with chain and host name verified.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use postgres_protocol::escape::escape_literal;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::config::Host;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config};

/// The role that migrations grant rights to, and that the functions log in as.
pub const FUNCTIONS_ROLE: &str = "scrollback_functions";

/// How long an address of the host has for the first packet, if the URL says nothing else. Then the next address is tried.
const UNREACHABLE: Duration = Duration::from_secs(2);
/// How long a connection may take, attempts that failed included. As long as a request of the functions: a compute of Neon that sleeps needs
/// some seconds.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(500);

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
/// An unreadable file, a URL that cannot work, or no connection within ten seconds. None shows the password.
pub async fn connect(url: &str, certificate_authority: Option<&Path>) -> Result<Client> {
    let mut config = parse(url)?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(UNREACHABLE);
    }
    let mut tls = native_tls::TlsConnector::builder();
    if let Some(path) = certificate_authority {
        let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        tls.add_root_certificate(native_tls::Certificate::from_pem(&pem)?);
    }
    postgres_native_tls::set_postgresql_alpn(&mut tls);
    let connector = postgres_native_tls::MakeTlsConnector::new(tls.build()?);
    // The driver's own time-out ends with the first packet. A server or a proxy may say nothing after it.
    let connected = timeout(PATIENCE, config.connect(connector)).await.map_err(|_| anyhow!("{}", silence(&config)))?;
    let (client, connection) = connected.map_err(|error| {
        let error = anyhow::Error::new(error);
        if format!("{error:#}").contains("timed out") {
            error.context(silence(&config))
        } else {
            error.context("cannot connect to the database")
        }
    })?;
    // Its errors reach the client, too.
    tokio::spawn(connection);
    Ok(client)
}

/// Connects as [`connect`] does. What may pass by itself is tried again, as the functions do it: a compute that wakes up, a server that
/// starts, a slot that becomes free.
///
/// # Errors
/// As for [`connect`]: what cannot pass at once, and anything else after ten seconds.
pub async fn connect_patiently(url: &str, certificate_authority: Option<&Path>) -> Result<Client> {
    let until = Instant::now() + PATIENCE;
    loop {
        let error = match connect(url, certificate_authority).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        let of_driver = error.chain().find_map(|error| error.downcast_ref::<tokio_postgres::Error>());
        if !of_driver.is_some_and(shared::may_pass) || Instant::now() + PAUSE >= until {
            return Err(error);
        }
        sleep(PAUSE).await;
    }
}

/// Says that the host does not answer, and what to do about it.
fn silence(config: &Config) -> String {
    let host = match config.get_hosts() {
        [Host::Tcp(host), ..] => host,
        _ => "the host",
    };
    let port = config.get_ports().first().unwrap_or(&5432);
    format!(
        "cannot connect to the database: {host} does not answer on port {port}. Check host and port in the URL, and whether a firewall is in \
         between. With Neon, it is the host of the direct connection"
    )
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
