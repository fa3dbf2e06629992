//! `cargo dev`: the whole API on this machine, until Ctrl-C. A local Postgres, the migrations, and the functions under cargo-lambda's
//! emulator, with the routes of the workspace's manifest.

use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_postgres::config::Host;
use uuid::Uuid;

use crate::emulator::{CargoLambda, cargo};
use crate::gateway;
use crate::postgres::{self, Server};
use crate::routes::{self, ROUTES, project};
use crate::supervise::{self, Stop, Supervised};
use crate::tokens::{Key, SERVICE_SCOPE};
use crate::{directories, migrations};

const DATABASE: &str = "scrollback";

/// How long a function may take to answer for the first time. It has been built by then.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long one answer is waited for.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);

/// `cargo dev`
#[derive(clap::Args)]
pub struct Options {
    /// The port of 127.0.0.1 to serve on; 0 picks a free one.
    #[arg(long, default_value_t = 9000)]
    port: u16,
    /// Deletes the conversations of earlier runs first.
    #[arg(long)]
    fresh: bool,
    /// Serves from a new, empty database, which is deleted at the end.
    #[arg(long, conflicts_with = "fresh")]
    temporary: bool,
    /// Wants a token with every request, as on AWS: `cargo xtask token USER_ID` prints one.
    #[arg(long)]
    jwt: bool,
}

/// Serves the API until Ctrl-C, SIGTERM or SIGHUP. Whatever happens, what it started ends with it.
///
/// # Errors
/// A sentence for each thing that can be missing or in the way, and for a function or a server that ends by itself.
pub async fn run(options: Options) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        result = serve(options) => result,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = hangup.recv() => Ok(()),
    }
}

/// Dropping this at any moment ends everything that it has started, the emulator before the database.
async fn serve(options: Options) -> Result<()> {
    let port = free_port(options.port)?;
    let emulator_port = if options.jwt { free_port(0)? } else { port };
    let mut database = Database::open(&options).await?;
    let emulator = CargoLambda::find().await?;
    build().await?;

    let mut command = emulator.watch(emulator_port);
    command.current_dir(project()).env("DATABASE_URL", database.url()).env_remove("AWS_LAMBDA_LOG_FORMAT");
    if options.jwt {
        command.env("AUTH_MODE", "claims").env("SERVICE_SCOPE", SERVICE_SCOPE);
    } else {
        command.env("AUTH_MODE", "off");
    }
    if std::env::var_os("RUST_LOG").is_none() {
        // For the emulator, which complains about every process that it ends itself.
        command.env("RUST_LOG", "error,watchexec=off,watchexec_supervisor=off");
    }
    if let Database::Local(server) = &database {
        // The emulator runs cargo, which may have to fetch a dependency: it goes on trusting what it trusts now.
        if std::env::var_os("CARGO_HTTP_CAINFO").is_none()
            && let Some(roots) = openssl_probe::probe().cert_file
        {
            command.env("CARGO_HTTP_CAINFO", roots);
        }
        command.env("SSL_CERT_FILE", server.ca_file());
    }
    let mut functions = Supervised::start(command).context("cannot start cargo-lambda")?;

    let address = format!("http://127.0.0.1:{port}");
    let key = options.jwt.then(Key::of_this_machine).transpose()?;
    let token = key.as_ref().map(|key| key.sign("cargo-dev", true));
    let gateway = async {
        match key {
            Some(key) => gateway::serve(port, emulator_port, key).await,
            None => std::future::pending().await,
        }
    };
    let ready = async {
        wait_until_ready(&address, token).await?;
        print_welcome(&address, &options);
        std::future::pending::<Result<()>>().await
    };
    tokio::select! {
        result = ready => result,
        result = gateway => result.context("the gateway failed"),
        status = functions.wait() => bail!("cargo-lambda ended by itself ({}); its log is above", status?),
        error = database.failure() => Err(error),
    }
}

/// The database that the functions use.
enum Database {
    Local(Server),
    Elsewhere(String),
}

impl Database {
    async fn open(options: &Options) -> Result<Self> {
        if let Some(url) = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty()) {
            ensure!(
                !options.fresh && !options.temporary,
                "--fresh and --temporary are about the local database, but DATABASE_URL names another one: leave one of the two out"
            );
            // Each function refuses a URL that cannot work, too, but only after all of them have been built.
            let config = shared::config::database("DATABASE_URL", &url)?;
            if let Some(host) = config.get_hosts().iter().find(|host| !is_this_machine(host)) {
                let host = if let Host::Tcp(name) = host { name } else { "its host" };
                ensure!(
                    options.jwt,
                    "DATABASE_URL names {host}, which is not this machine, and without --jwt every program on this machine could read \
                     and change all of its conversations: add --jwt, or unset DATABASE_URL to use a local database"
                );
            }
            eprintln!("using the database in DATABASE_URL; its schema is up to `cargo xtask migrate`");
            return Ok(Self::Elsewhere(url));
        }
        let server = if options.temporary {
            Server::start_temporary().await?
        } else {
            let directory = directories::data()?;
            if options.fresh {
                postgres::erase(&directory).await?;
            }
            Server::start(&directory).await?
        };
        if !server.has_database(DATABASE).await? {
            server.create_database(DATABASE, None).await?;
        }
        migrations::apply(&server.superuser_url(DATABASE), Some(server.ca_file()))
            .await
            .context("the data of earlier runs does not fit the migrations, and --fresh starts over without it")?;
        Ok(Self::Local(server))
    }

    fn url(&self) -> String {
        match self {
            Self::Local(server) => server.functions_url(DATABASE),
            Self::Elsewhere(url) => url.clone(),
        }
    }

    /// Why it is gone, when it is.
    async fn failure(&mut self) -> anyhow::Error {
        match self {
            Self::Local(server) => match server.wait().await {
                Ok(status) => anyhow::anyhow!("Postgres ended by itself ({status}); its log is {}", server.log_file().display()),
                Err(error) => error,
            },
            Self::Elsewhere(_) => std::future::pending().await,
        }
    }
}

/// Whether a database's host is this machine, by its name or address alone: nothing is looked up.
fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
    }
}

/// The port itself, or a free one for 0.
fn free_port(port: u16) -> Result<u16> {
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(listener) => Ok(listener.local_addr()?.port()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            bail!("port {port} is taken; stop what uses it, or choose another with --port N (0: any free one)")
        }
        Err(error) => {
            Err(error).with_context(|| format!("cannot listen on port {port}; choose another with --port N (0: any free one)"))
        }
    }
}

/// Builds the functions as the emulator will, so that it finds them built: by binary and not by package, because cargo then unites the
/// features of the whole workspace.
async fn build() -> Result<()> {
    let mut command = supervise::command(cargo(), Stop::Terminate, None);
    command.arg("build").current_dir(project());
    for function in routes::functions() {
        command.args(["--bin", function]);
    }
    let status = Supervised::start(command).context("cannot run cargo")?.wait().await?;
    ensure!(status.success(), "the functions do not compile; cargo's messages are above");
    Ok(())
}

/// Waits until every function has answered a request: a first one takes longer, and a function that crashed never answers.
async fn wait_until_ready(address: &str, token: Option<String>) -> Result<()> {
    let bearer = token.map(|token| format!("Bearer {token}").parse()).transpose()?;
    let headers = bearer.map(|bearer| (reqwest::header::AUTHORIZATION, bearer)).into_iter().collect();
    let client = reqwest::Client::builder().no_proxy().timeout(PROBE_PATIENCE).default_headers(headers).build()?;
    let mut probes = JoinSet::new();
    for (path, methods) in &*ROUTES {
        for (method, function) in methods {
            let method = reqwest::Method::from_bytes(method.as_bytes())?;
            probes.spawn(probe(client.clone(), method, format!("{address}{}", harmless(path)), function));
        }
    }
    while let Some(probed) = probes.join_next().await {
        probed??;
    }
    Ok(())
}

async fn probe(client: reqwest::Client, method: reqwest::Method, url: String, function: &'static str) -> Result<()> {
    let start = tokio::time::Instant::now();
    loop {
        match client.request(method.clone(), &url).send().await {
            Ok(response) if response.status().is_server_error() => {
                bail!("{function} answers {} to {method} {url}; its log is above", response.status())
            }
            Ok(_) => return Ok(()),
            // The emulator itself needs a moment to listen, and on a busy machine forgets a request now and then.
            Err(_) if start.elapsed() < PATIENCE => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(_) => bail!("{function} does not answer {method} {url}; its log is above"),
        }
    }
}

/// A path of the router with ids that nobody has. Without a body, a request to it changes nothing, whatever its method.
fn harmless(path: &str) -> String {
    let nobody = Uuid::now_v7().to_string();
    let segment = |segment| if str::starts_with(segment, '{') { &nobody } else { segment };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

fn print_welcome(address: &str, options: &Options) {
    let id = Uuid::now_v7();
    let fate = if options.temporary { "the conversations go with it" } else { "the conversations stay" };
    let (body, token, bearer) = if options.jwt {
        // Whose it is, the token says.
        (format!(r#"{{"id": "{id}"}}"#), "  token=$(cargo xtask token grace)\n", r#" -H "authorization: Bearer $token""#)
    } else {
        (format!(r#"{{"user_id": "grace", "id": "{id}"}}"#), "", "")
    };
    println!(
        r#"
Scrollback serves {address}, and starts functions anew when their code changes. Paste these, one after the other:

{token}  curl {address}/conversations{bearer} -w '\n' -H 'content-type: application/json' -d '{body}'
  curl {address}/conversations/{id}/messages{bearer} -w '\n' -H 'content-type: application/json' -d '{{"role": "user", "content": "Hello!"}}'
  curl {address}/conversations/{id}/messages{bearer} -w '\n'

Ctrl-C ends it; {fate}.
"#
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_names_ids_that_nobody_has() {
        assert_eq!(harmless("/conversations"), "/conversations");
        let path = harmless("/conversations/{conversation_id}/messages");
        let id = path.strip_prefix("/conversations/").unwrap().strip_suffix("/messages").unwrap();
        Uuid::parse_str(id).unwrap();
    }

    #[test]
    fn only_loopback_names_and_addresses_are_this_machine() {
        let is_this_machine = |name: &str| {
            let url = format!("postgresql://ada:secret@{name}/scrollback");
            is_this_machine(&shared::config::database("DATABASE_URL", &url).unwrap().get_hosts()[0])
        };
        for name in ["localhost", "localhost:5433", "127.0.0.1", "127.8.0.1:6432", "[::1]:5432"] {
            assert!(is_this_machine(name), "{name}");
        }
        for name in ["ep-x-pooler.eu-central-1.aws.neon.tech", "10.0.0.7", "192.168.1.2", "localhost.example.com", "[2001:db8::1]"]
        {
            assert!(!is_this_machine(name), "{name}");
        }
    }

    #[test]
    fn a_taken_port_is_refused_with_a_remedy() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        assert_eq!(free_port(taken).unwrap(), taken);
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(free_port(port).unwrap_err().to_string().contains("--port N"));
        assert_ne!(free_port(0).unwrap(), 0);
    }
}
