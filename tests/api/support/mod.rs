//! The real thing, started for a test: a database of its own, the functions' binaries, and a Runtime API that hands them events.

mod call;
pub mod namespace;
pub mod proxy;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use local::pgbouncer::PgBouncer;
use local::postgres::Server;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio_postgres::Client;
use uuid::Uuid;

use self::call::TOKEN;
pub use self::call::{Answer, Call};
use self::proxy::Proxy;
pub use local::project::{ROUTES, project};
pub use local::runtime_api::Function;

const TEMPLATE: &str = "template_scrollback";
/// What the functions hash users' ids with.
const LOG_KEY: &str = "a-secret-of-32-characters-or-more";

/// One Postgres for the whole run; it ends with this process.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        build_functions();
        on_a_thread_of_its_own(async {
            let server = Server::start_temporary().await.expect("a Postgres to test with");
            server.create_database(TEMPLATE, None).await.unwrap();
            migrate::migrations::apply(&server.superuser_url(TEMPLATE), Some(server.ca_file())).await.unwrap();
            server
        })
    })
}

/// With `POOLER=pgbouncer`, every function and every proxy of the run is behind a PgBouncer with two connections a database.
fn pooler() -> Option<&'static PgBouncer> {
    static POOLER: OnceLock<Option<PgBouncer>> = OnceLock::new();
    let start = |kind: String| {
        assert_eq!(kind, "pgbouncer", "POOLER names a pooler that is not known here");
        let server = server();
        on_a_thread_of_its_own(async { PgBouncer::start(server, 2).await.expect("a PgBouncer to test through") })
    };
    POOLER.get_or_init(|| std::env::var("POOLER").ok().map(start)).as_ref()
}

/// Whether functions reach the database through a pooler.
pub fn pooled() -> bool {
    pooler().is_some()
}

/// Runs something that outlives the test, and its runtime, that happens to need it first.
fn on_a_thread_of_its_own<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let run = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
    std::thread::spawn(run).join().unwrap()
}

/// `cargo test` builds the functions' binaries for nobody, since no test of their own packages needs them.
fn build_functions() {
    let mut command = local::project::build();
    command.args(["--package", "dev", "--bin", "token", "--package", "shared", "--example", "panics"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    assert!(command.status().unwrap().success(), "the functions do not build");
}

/// Sends a signal to a process, by name, such as `STOP`.
pub fn signal(process: u32, name: &str) {
    let status = Command::new("kill").args(["-s", name, &process.to_string()]).status().unwrap();
    assert!(status.success(), "no process {process} for {name}");
}

/// What cargo says about this package makes some build scripts run again.
pub fn without_cargos_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
}

/// The folders of `functions/`, one for each function.
pub fn folders_of_functions() -> BTreeSet<String> {
    let entries = std::fs::read_dir(project().join("functions")).unwrap().map(Result::unwrap);
    entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// A built binary, by its name.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // target/debug/deps/api-… → target/debug/name
    test.ancestors().nth(2).unwrap().join(name)
}

/// Starts a function, with a log of its own.
pub fn start_function(name: &str, instances: usize, environment: &[(String, String)]) -> Function {
    start_binary(&binary(name), instances, environment)
}

/// The same for any binary that is one.
pub fn start_binary(binary: &Path, instances: usize, environment: &[(String, String)]) -> Function {
    let name = binary.file_name().unwrap().to_str().unwrap();
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.log", Uuid::now_v7()));
    Function::start(binary, instances, environment, log).unwrap_or_else(|error| panic!("{name} does not start: {error}"))
}

/// The API on a fresh database.
pub struct App {
    pub database: String,
    environment: Vec<(String, String)>,
    instances: usize,
    functions: Mutex<BTreeMap<String, Function>>,
}

impl App {
    /// One process a function.
    pub async fn start() -> Self {
        Self::with_instances(1).await
    }

    /// So many processes a function, which take turns in taking events.
    pub async fn with_instances(instances: usize) -> Self {
        Self::on(fresh_database().await, instances)
    }

    /// On an empty database, which has to be migrated. `options` are those of `create database`.
    pub async fn on_an_empty_database(options: &str) -> Self {
        let name = format!("test_{}", Uuid::now_v7().simple());
        tokio::task::spawn_blocking(server).await.unwrap();
        let create = format!("create database {name} template template0 {options}");
        connect_to(&server().superuser_url("postgres")).await.batch_execute(&create).await.unwrap();
        Self::on(name, 1)
    }

    fn on(database: String, instances: usize) -> Self {
        let mut app = Self { database, environment: Vec::new(), instances, functions: Mutex::default() };
        app.set("DATABASE_URL", &app.url());
        app.set("SSL_CERT_FILE", server().ca_file().to_str().unwrap());
        app.set("SSL_CERT_DIR", "");
        app.set("SERVICE_SCOPE", "scrollback/service");
        // Most tests are not about who may write what: in them, ada plays every part.
        app.set("USER_ROLES", "user,assistant,tool,system,developer");
        app.set("LOG_KEY", LOG_KEY);
        app
    }

    /// An environment variable for the functions that start from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The database's URL for the functions' role.
    pub fn url(&self) -> String {
        at_port(&server().functions_url(&self.database), database_port())
    }

    /// The functions' environment.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    pub fn get(&self, path: &str) -> Call<'_> {
        Call::new(self, "GET", path)
    }

    pub fn post(&self, path: &str) -> Call<'_> {
        Call::new(self, "POST", path)
    }

    pub fn put(&self, path: &str) -> Call<'_> {
        Call::new(self, "PUT", path)
    }

    pub fn patch(&self, path: &str) -> Call<'_> {
        Call::new(self, "PATCH", path)
    }

    pub fn delete(&self, path: &str) -> Call<'_> {
        Call::new(self, "DELETE", path)
    }

    /// How many rows each table holds, of all that hold somebody's data. `deletions` has digests, from which nobody can tell whose they are.
    pub async fn rows(&self) -> std::collections::BTreeMap<String, i64> {
        let superuser = self.superuser().await;
        let tables = "select table_name::text from information_schema.tables
            where table_schema = 'public' and table_name not in ('refinery_schema_history', 'deletions')";
        let mut rows = std::collections::BTreeMap::new();
        for table in superuser.query_typed(tables, &[]).await.unwrap() {
            let table: String = table.get(0);
            let count = superuser.query_typed(&format!("select count(*) from {table}"), &[]).await.unwrap();
            rows.insert(table, count[0].get(0));
        }
        rows
    }

    /// Everything that is stored, as text.
    pub async fn everything(&self) -> Vec<String> {
        let superuser = self.superuser().await;
        let mut rows = Vec::new();
        for table in self.rows().await.into_keys().chain(["deletions".to_owned()]) {
            let all = format!("select t::text from {table} t order by 1");
            rows.extend(superuser.query_typed(&all, &[]).await.unwrap().iter().map(|row| row.get::<_, String>(0)));
        }
        rows
    }

    /// A new conversation of ada's.
    pub async fn conversation(&self) -> Uuid {
        let answer = self.post("/conversations?user_id=ada&new=true").send().await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["id"].as_str().unwrap().parse().unwrap()
    }

    /// The running function of this name.
    pub fn function(&self, name: &str) -> Function {
        let mut functions = self.functions.lock().unwrap();
        functions.entry(name.to_owned()).or_insert_with(|| start_function(name, self.instances, &self.environment)).clone()
    }

    /// Hands an event to a function, and waits for its answer; what the log says meanwhile is nothing of what the event says.
    pub async fn invoke(&self, name: &str, event: &Value) -> Answer {
        let function = self.function(name);
        let before = function.log_size();
        let answer = match function.invoke(event.to_string()).await {
            Ok(response) => Answer::read(&response),
            Err(error) => panic!("{name} reported {error}"),
        };
        let log = function.log_after(before);
        assert!(!log.is_empty(), "{name} logs nothing");
        for secret in said(event) {
            // As it is, and as a string of JSON has it.
            let quoted = Value::from(secret.as_str()).to_string();
            assert!(!log.contains(&secret) && !log.contains(quoted.trim_matches('"')), "{name} logs {secret}: {log}");
        }
        answer
    }

    /// A connection of the superuser's, who may look at everything.
    pub async fn superuser(&self) -> Client {
        connect_to(&server().superuser_url(&self.database)).await
    }

    /// What `cargo xtask migrate` does to the app's database.
    pub async fn migrate(&self) -> Vec<String> {
        self.try_migrate().await.unwrap()
    }

    /// The same, and what it reports if it fails.
    pub async fn try_migrate(&self) -> Result<Vec<String>, String> {
        let applied = migrate::migrations::apply(&server().superuser_url(&self.database), Some(server().ca_file())).await;
        applied.map(|applied| applied.0).map_err(|error| format!("{error:#}"))
    }

    /// A connection of the functions' role.
    pub async fn functions_role(&self) -> Client {
        connect_to(&server().functions_url(&self.database)).await
    }
}

/// Whatever a test is about, its functions' logs are lines of JSON without content, tokens and passwords.
impl Drop for App {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let password = self.url().split([':', '@']).nth(2).unwrap().to_owned();
        for (name, function) in self.functions.get_mut().unwrap() {
            let log = function.log();
            assert!(!log.is_empty(), "{name} logs nothing");
            for line in log.lines() {
                let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{name} logs no JSON: {line}"));
                assert!(
                    line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string(),
                    "{name}: {line}"
                );
            }
            for secret in [TOKEN, &password, LOG_KEY] {
                assert!(!log.contains(secret), "{name} logs {secret}: {log}");
            }
        }
    }
}

/// A server of a test's own, that may stop and crash: what it has acknowledged is on the disk.
pub struct OwnServer {
    pub server: Server,
    pooler: Option<PgBouncer>,
    database: String,
}

impl OwnServer {
    /// With the app's database on it, and nothing in it; the app's functions that start from now on use it, through the proxy.
    pub async fn start(app: &mut App, proxy: &Proxy) -> Self {
        let directory = std::env::temp_dir().join(format!("scrollback-own-{}", Uuid::now_v7().simple()));
        let server = Server::start(&directory).await.unwrap();
        let database = app.database.clone();
        server.create_database(&database, None).await.unwrap();
        migrate::migrations::apply(&server.superuser_url(&database), Some(server.ca_file())).await.unwrap();
        let pooler = if pooled() { Some(PgBouncer::start(&server, 2).await.unwrap()) } else { None };
        proxy.retarget(pooler.as_ref().map_or_else(|| server.port(), PgBouncer::port));
        app.set("DATABASE_URL", &at_port(&server.functions_url(&database), proxy.port()));
        app.set("SSL_CERT_FILE", server.ca_file().to_str().unwrap());
        Self { server, pooler, database }
    }

    pub async fn superuser(&self) -> Client {
        self.connect().await.unwrap()
    }

    /// The same, after a crash.
    pub async fn superuser_when_it_is_back(&self) -> Client {
        loop {
            if let Ok(client) = self.connect().await {
                return client;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    async fn connect(&self) -> Result<Client, impl std::fmt::Debug> {
        migrate::database::connect(&self.server.superuser_url(&self.database), Some(self.server.ca_file())).await
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.pooler.take();
        self.server.stop();
        let _ = std::fs::remove_dir_all(self.server.ca_file().parent().unwrap());
    }
}

/// A PgBouncer of a test's own, before the run's server.
pub async fn own_pooler(pool_size: usize) -> PgBouncer {
    PgBouncer::start(server(), pool_size).await.unwrap()
}

/// Ends the sessions of everybody else in the database; or some of them.
pub async fn terminate_sessions(superuser: &Client, some: &str) {
    let statement = format!(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity
        where datname = current_database() and usename = '{}' {some}",
        migrate::database::FUNCTIONS_ROLE
    );
    superuser.batch_execute(&statement).await.unwrap();
}

/// What an event says that no log may.
fn said(event: &Value) -> BTreeSet<String> {
    let mut left = vec![event.clone()];
    let text = |member: &str| event[member].as_str().unwrap_or_default();
    if let Ok(bytes) = STANDARD.decode(text("body")) {
        left.push(String::from_utf8_lossy(&bytes).into_owned().into());
    }
    left.extend(text("rawPath").split('/').map(Value::from));
    let decoded = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
    left.extend(text("rawQueryString").split(['&', '=']).map(|part| decoded(part).into()));
    let mut said = BTreeSet::new();
    while let Some(value) = left.pop() {
        match value {
            Value::String(text) => {
                // Shorter ones may be words of ours, and ids of conversations and routes are what a log is searched for.
                let ours = Uuid::parse_str(&text).is_ok() || ROUTES.keys().any(|route| route.contains(&text));
                match serde_json::from_str(&text) {
                    Ok(inner @ (Value::Object(_) | Value::Array(_))) => left.push(inner),
                    _ if text.len() < 12 || ours => {}
                    _ => drop(said.insert(text)),
                }
            }
            Value::Array(values) => left.extend(values),
            Value::Object(members) => {
                // These are logged: two are API Gateway's own words, and two name the application that a token was issued to.
                let secret = |name: &String| !["routeKey", "x-amzn-trace-id", "client_id", "azp"].contains(&name.as_str());
                said.extend(members.keys().filter(|name| name.len() >= 24).cloned());
                left.extend(members.into_iter().filter(|(name, _)| secret(name)).map(|(_, value)| value));
            }
            _ => {}
        }
    }
    said
}

/// Where the database's server, or its pooler, listens on 127.0.0.1.
pub fn database_port() -> u16 {
    pooler().map_or_else(|| server().port(), PgBouncer::port)
}

/// The same URL, through another port.
pub fn at_port(url: &str, port: u16) -> String {
    let (before, after) = url.split_once("@localhost:").unwrap();
    format!("{before}@localhost:{port}/{}", after.split_once('/').unwrap().1)
}

/// What the database's server has logged so far.
pub fn database_log() -> String {
    std::fs::read_to_string(server().log_file()).unwrap()
}

/// A new database with nothing but the schema.
pub async fn fresh_database() -> String {
    let name = format!("test_{}", Uuid::now_v7().simple());
    let (server, _) = tokio::task::spawn_blocking(|| (server(), pooler())).await.unwrap();
    server.create_database(&name, Some(TEMPLATE)).await.unwrap();
    name
}

/// A connection to this URL of the run's server, or of a pooler before it.
pub async fn connect_to(url: &str) -> Client {
    migrate::database::connect(url, Some(server().ca_file())).await.unwrap()
}
