//! `cargo dev`: the whole API on this machine, until Ctrl-C. A local Postgres, the migrations, and the functions' own binaries behind an
//! HTTP API.

mod console;
mod log;
mod reload;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use local::gateway::Gateway;
use local::postgres::{self, Server};
use local::runtime_api::Function;
use local::tokens::{Key, SERVICE_SCOPE};
use local::{directories, project};
use migrate::migrations;
use shared::auth::Roles;
use tokio::signal::unix::{SignalKind, signal};
use tokio_postgres::config::Host;
use uuid::Uuid;

/// The local database.
pub const DATABASE: &str = "scrollback";
/// Processes of one function, at most. Each serves one request at a time.
const INSTANCES: usize = 4;

/// Runs the whole API on this machine, with a Postgres of its own, until Ctrl-C.
#[derive(clap::Parser)]
#[command(bin_name = "cargo dev")]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
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
    /// The roles that a user's own token may write, such as user,assistant; none: no messages.
    #[arg(long, value_name = "ROLES", default_value = "user", requires = "jwt", value_parser = roles)]
    user_roles: String,
    /// How requests are logged.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log: Format,
    /// Does not build and swap the functions when their code changes.
    #[arg(long)]
    no_watch: bool,
}

/// How requests are logged.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum Format {
    /// A line a request, for people.
    Text,
    /// The functions' own lines, as on AWS.
    Json,
}

/// Serves the API until Ctrl-C, SIGTERM or SIGHUP. Every process that it has started ends with it, even if it is killed.
///
/// # Errors
/// A sentence for each thing that can be missing or in the way, and for a database that ends by itself.
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

/// Dropping this at any moment ends everything that it has started, the functions before the database.
async fn serve(options: Options) -> Result<()> {
    let started = Instant::now();
    let has_node = tokio::task::spawn_blocking(console::has_node);
    let listener = listen(options.port)?;
    let address = format!("http://{}", listener.local_addr()?);
    let mut database = Database::open(&options).await?;

    let log = log::start(options.log);
    let mut environment = vec![("DATABASE_URL".to_owned(), database.url())];
    let mut set = |name: &str, value: &str| environment.push((name.to_owned(), value.to_owned()));
    set("AUTH_MODE", if options.jwt { "claims" } else { "off" });
    set("SERVICE_SCOPE", SERVICE_SCOPE);
    set("USER_ROLES", &options.user_roles);
    // Functions that expire conversations have to agree with `cargo xtask purge`.
    if let Ok(days) = std::env::var("RETENTION_DAYS") {
        set("RETENTION_DAYS", &days);
    }
    // The runtime has messages of its own, at a level that a user of this has no use for.
    set("AWS_LAMBDA_LOG_LEVEL", "INFO");
    match &database {
        Database::Local(server) => {
            set("SSL_CERT_FILE", &server.ca_file().display().to_string());
            set("SSL_CERT_DIR", "");
        }
        // The environment that names the database also names the authorities to trust.
        Database::Elsewhere(_) => {
            for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
                if let Ok(value) = std::env::var(name) {
                    set(name, &value);
                }
            }
        }
    }
    let function = |name: &'static str| {
        let log = log.clone();
        (name, Function::on_demand(&binary(name), INSTANCES, &environment, move |line| log.line(name, line)))
    };
    let functions: BTreeMap<_, _> = project::functions().into_iter().map(function).collect();
    let key = options.jwt.then(Key::of_this_machine).transpose()?;
    let console = console::Console::default();
    let gateway = Gateway::new(functions.clone(), key, move |access| log.access(access));
    let gateway = Arc::new(gateway.with_pages(move |method, path| console.answer(method, path)));

    let owner = database.owner();

    print_welcome(&address, has_node.await?, &options, started);
    tokio::select! {
        () = gateway.serve(listener) => bail!("the gateway ended by itself"),
        result = reload::watch(&functions, owner, !options.no_watch) => result,
        error = database.failure() => Err(error),
    }
}

/// Roles that a function can read.
fn roles(text: &str) -> Result<String, String> {
    Roles::parse(text).map(|_| text.to_owned()).map_err(|error| error.detail)
}

/// A function's binary, which is in the same directory as this program.
fn binary(name: &str) -> PathBuf {
    std::env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned)).unwrap_or_default().join(name)
}

/// The database that the functions use.
enum Database {
    Local(Box<Server>),
    Elsewhere(String),
}

impl Database {
    async fn open(options: &Options) -> Result<Self> {
        if let Some(url) = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty()) {
            ensure!(
                !options.fresh && !options.temporary,
                "--fresh and --temporary are about the local database, but DATABASE_URL names another one: leave one of the two out"
            );
            // Each function refuses a URL that cannot work, too, but only with the first request.
            let config = shared::config::database("DATABASE_URL", &url)?;
            if let Some(host) = config.get_hosts().iter().find(|host| !is_this_machine(host)) {
                let host = if let Host::Tcp(name) = host { name } else { "its host" };
                ensure!(
                    options.jwt,
                    "DATABASE_URL names {host}, which is not this machine, and without --jwt every program on this machine could read \
                     and change all of its conversations: add --jwt, or unset DATABASE_URL to use a local database"
                );
            }
            eprintln!("Using the database in DATABASE_URL. `cargo xtask migrate` keeps its schema up to date.");
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
        prepare(&server).await?;
        Ok(Self::Local(Box::new(server)))
    }

    fn url(&self) -> String {
        match self {
            Self::Local(server) => server.functions_url(DATABASE),
            Self::Elsewhere(url) => url.clone(),
        }
    }

    /// How to create stored functions in it, if it is ours.
    fn owner(&self) -> Option<reload::Owner> {
        match self {
            Self::Local(server) => {
                Some(reload::Owner { url: server.superuser_url(DATABASE), certificate_authority: server.ca_file().to_owned() })
            }
            Self::Elsewhere(_) => None,
        }
    }

    /// Waits until the local server ends by itself, and says why.
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

/// Creates the database where there is none, and brings its schema up to date.
async fn prepare(server: &Server) -> Result<()> {
    let url = server.superuser_url(DATABASE);
    let is_new = !server.has_database(DATABASE).await?;
    if is_new {
        server.create_database(DATABASE, None).await?;
    }
    if let Err(error) = migrations::apply(&url, Some(server.ca_file())).await {
        // The data is the reason only if an empty database takes what this one has refused. A lock of another session is none of its faults.
        return Err(if !is_new && !migrations::waited_for_a_lock(&error) && an_empty_one_migrates(server).await.is_ok() {
            error.context("the data of earlier runs does not fit the migrations, and --fresh starts over without it")
        } else {
            error
        });
    }
    // Each change of a `.sql` file, in an earlier run, has left a schema.
    let client = migrate::database::connect(&url, Some(server.ca_file())).await?;
    migrations::prune(&client).await.context("cannot drop the stored functions of earlier runs")?;
    Ok(())
}

async fn an_empty_one_migrates(server: &Server) -> Result<()> {
    let name = "scrollback_empty";
    server.drop_database(name).await?;
    server.create_database(name, None).await?;
    let migrated = migrations::apply(&server.superuser_url(name), Some(server.ca_file())).await;
    // The connection of the migration may still be closing.
    let _ = server.drop_database(name).await;
    migrated.map(|_| ())
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

/// A socket on the port itself, or on a free one for 0.
fn listen(port: u16) -> Result<tokio::net::TcpListener> {
    let listener = match TcpListener::bind(("127.0.0.1", port)) {
        Ok(listener) => listener,
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            bail!("port {port} is taken; stop what uses it, or choose another with --port N (0: any free one)")
        }
        Err(error) => {
            return Err(error)
                .with_context(|| format!("cannot listen on port {port}; choose another with --port N (0: any free one)"));
        }
    };
    listener.set_nonblocking(true)?;
    Ok(tokio::net::TcpListener::from_std(listener)?)
}

fn print_welcome(address: &str, has_node: bool, options: &Options, started: Instant) {
    let id = Uuid::now_v7();
    let fate = if options.temporary { "the conversations go with it" } else { "the conversations stay" };
    let (body, token, bearer) = if options.jwt {
        // The token says whose conversation it is.
        (format!(r#"{{"id": "{id}"}}"#), "  token=$(cargo xtask token grace)\n", r#" -H "authorization: Bearer $token""#)
    } else {
        (format!(r#"{{"user_id": "grace", "id": "{id}"}}"#), "", "")
    };
    let console = if has_node {
        format!("The console is at {address}{}", console::PATH)
    } else {
        format!("The console needs {}. Everything else works without", console::NODE)
    };
    println!(
        r#"
Scrollback serves {address} (ready in {:.1} s).
{console}.

Paste these, one after the other:

{token}  curl {address}/conversations{bearer} -w '\n' -H 'content-type: application/json' -d '{body}'
  curl {address}/conversations/{id}/messages{bearer} -w '\n' -H 'content-type: application/json' -d '{{"role": "user", "content": "Hello!"}}'
  curl {address}/conversations/{id}/messages{bearer} -w '\n'

Ctrl-C ends it; {fate}.
"#,
        started.elapsed().as_secs_f64(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// The data of earlier runs is to blame where an empty database would do, and only there.
    #[tokio::test]
    async fn a_start_that_fails_says_why_and_advises_fresh_only_where_it_helps() {
        let server = Server::start_temporary().await.unwrap();
        let connect =
            async |database| migrate::database::connect(&server.superuser_url(database), Some(server.ca_file())).await.unwrap();
        let fails = async || format!("{:#}", prepare(&server).await.unwrap_err());

        // The migrations themselves fail: here, a new database has a table of the same name already.
        connect("template1").await.batch_execute("create table conversations ()").await.unwrap();
        for _ in 0..2 {
            let said = fails().await;
            assert!(said.contains("cannot migrate the database") && said.contains("\"conversations\" already exists"), "{said}");
            assert!(!said.contains("--fresh") && !said.contains("earlier runs"), "{said}");
        }
        connect("template1").await.batch_execute("drop table conversations").await.unwrap();
        let said = fails().await;
        assert!(said.starts_with("the data of earlier runs does not fit") && said.contains("--fresh"), "{said}");
        assert!(said.contains("\"conversations\" already exists"), "{said}");
        connect(DATABASE).await.batch_execute("drop table conversations").await.unwrap();
        prepare(&server).await.unwrap();
        assert!(!server.has_database("scrollback_empty").await.unwrap());

        // Somebody else is at work on the data.
        let other = connect(DATABASE).await;
        other.batch_execute("begin; lock table refinery_schema_history").await.unwrap();
        let said = fails().await;
        assert!(said.contains("another session has held a lock") && !said.contains("--fresh"), "{said}");
    }

    #[tokio::test]
    async fn a_taken_port_is_refused_with_a_remedy() {
        let listener = listen(0).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(listen(port).unwrap_err().to_string().contains("--port N"));
    }
}
