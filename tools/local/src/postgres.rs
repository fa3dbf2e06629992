//! A Postgres for this machine alone. It has its own data directory and a free port of 127.0.0.1, and asks everybody for TLS and a password.
//! `cargo dev` keeps one from run to run. A test run makes one and deletes it.

#[cfg(test)]
mod bare_machine;
mod binaries;
pub(crate) mod certificates;

use std::fs::{File, OpenOptions, TryLockError};
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use postgres_protocol::escape::escape_identifier;
use tokio::time::sleep;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::supervise::{self, Stop, Supervised};
use crate::user::ServerUser;
use binaries::Binaries;
pub use binaries::{FETCHED_MAJOR, OLDEST};
use migrate::database::{self, FUNCTIONS_ROLE};

/// The role that owns everything in a local database.
pub const SUPERUSER: &str = "postgres";
const LOG: &str = "server.log";
/// The file with the superuser's password. It is as old as the data.
const PASSWORD: &str = "password";
/// The file with the password of the functions' role. Each start makes a new one.
const FUNCTIONS_PASSWORD: &str = "functions-password";

/// Makes the data at the first start, then becomes the server. The data is renamed when it is complete, so an interrupted first start leaves
/// nothing that looks like data.
const START: &str = r#"
set -e
initdb=$1; superuser=$2; locale=$3; durability=$4; shift 4
if ! [ -d data ]; then
    rm -rf data.unfinished
    "$initdb" --username "$superuser" --auth scram-sha-256 --pwfile password --encoding UTF8 --locale "$locale" \
        "$durability" --pgdata data.unfinished >/dev/null
    mv data.unfinished data
fi
exec "$@"
"#;

/// How long a server may take to answer after its start: the first makes its data, and one that was killed replays its write-ahead log.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running server. Dropping it shuts it down and waits for its end; it also ends when this process is killed.
#[derive(Debug)]
pub struct Server {
    port: u16,
    ca_file: PathBuf,
    superuser_password: String,
    functions_password: String,
    lifetime: Lifetime,
    binaries: Binaries,
    process: Supervised,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Lifetime {
    Kept,
    Temporary,
}

impl Server {
    /// Starts the server whose files are in `directory`, made at the first start and kept after the last.
    ///
    /// # Errors
    /// No Postgres to be found or fetched, one of another version than the data's, a directory that another process is using, or a
    /// server that does not start.
    pub async fn start(directory: &Path) -> Result<Self> {
        Self::start_on_a_free_port(|| directory.to_owned(), Lifetime::Kept).await
    }

    /// Starts a new, empty server that trades safety for speed. Its files are deleted at its end.
    ///
    /// # Errors
    /// As for [`Server::start`].
    pub async fn start_temporary() -> Result<Self> {
        let directory = || std::env::temp_dir().join(format!("scrollback-{}", Uuid::new_v4().simple()));
        Self::start_on_a_free_port(directory, Lifetime::Temporary).await
    }

    /// The port of 127.0.0.1 on which it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate authority that signed the server's certificate, in PEM: what `SSL_CERT_FILE` has to name.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// Its certificate and the key to it, in PEM: who has both can stand in for it.
    ///
    /// # Errors
    /// They can't be read.
    pub fn identity(&self) -> Result<(Vec<u8>, Vec<u8>)> {
        let read =
            |name| std::fs::read(self.ca_file.with_file_name(name)).with_context(|| format!("cannot read the server's {name}"));
        Ok((read(certificates::SERVER_CERTIFICATE)?, read(certificates::SERVER_KEY)?))
    }

    /// What it has said since its start.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.ca_file.with_file_name(LOG)
    }

    /// A URL of `database` for the superuser, with the password.
    #[must_use]
    pub fn superuser_url(&self, database: &str) -> String {
        self.url(SUPERUSER, &self.superuser_password, database)
    }

    /// A URL of `database` for the role that the functions run as, with the password.
    #[must_use]
    pub fn functions_url(&self, database: &str) -> String {
        self.url(FUNCTIONS_ROLE, &self.functions_password, database)
    }

    /// The password of the role that the functions run as.
    pub(crate) fn functions_password(&self) -> &str {
        &self.functions_password
    }

    pub(crate) fn directory(&self) -> &Path {
        self.ca_file.parent().unwrap_or(Path::new("/"))
    }

    /// Shuts it down, until [`Server::start_again`]. A temporary one is gone for good.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Starts it again after [`Server::stop`], with the same port, certificates and passwords.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_again(&mut self) -> Result<()> {
        let log = OpenOptions::new().append(true).open(self.log_file())?;
        self.process = Supervised::start(server_command(
            &self.binaries,
            &ServerUser::choose()?,
            self.directory(),
            self.lifetime,
            self.port,
            log,
        ))?;
        ensure!(self.answers().await?.is_some(), "another process has taken port {}", self.port);
        Ok(())
    }

    fn url(&self, role: &str, password: &str, database: &str) -> String {
        url(role, password, self.port, database)
    }

    /// Creates a database, as a copy of `template` where one is given: nobody may be connected to that one meanwhile.
    ///
    /// # Errors
    /// A name that is taken, or no connection.
    pub async fn create_database(&self, name: &str, template: Option<&str>) -> Result<()> {
        let template = template.unwrap_or("template1");
        let statement = format!("create database {} template {}", escape_identifier(name), escape_identifier(template));
        self.administer().await?.batch_execute(&statement).await.with_context(|| format!("cannot create the database {name}"))
    }

    /// Deletes a database, if there is one of this name.
    ///
    /// # Errors
    /// Somebody is connected to it, or no connection.
    pub async fn drop_database(&self, name: &str) -> Result<()> {
        let statement = format!("drop database if exists {}", escape_identifier(name));
        self.administer().await?.batch_execute(&statement).await.with_context(|| format!("cannot drop the database {name}"))
    }

    /// Whether it has a database of this name.
    ///
    /// # Errors
    /// No connection.
    pub async fn has_database(&self, name: &str) -> Result<bool> {
        let query = "select from pg_database where datname = $1";
        let found = self.administer().await?.query_typed(query, &[(&name, Type::TEXT)]).await?;
        Ok(!found.is_empty())
    }

    /// Waits for the server to end by itself, which it should not.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.process.wait().await?)
    }

    async fn administer(&self) -> Result<tokio_postgres::Client> {
        database::connect(&self.superuser_url("postgres"), Some(&self.ca_file)).await
    }

    /// Between our look for a free port and the server's bind, another process may take it: then another one will do.
    async fn start_on_a_free_port(directory: impl Fn() -> PathBuf, lifetime: Lifetime) -> Result<Self> {
        for _ in 0..5 {
            let directory = directory();
            match Self::launch(&directory, lifetime).await {
                Ok(Some(server)) => return Ok(server),
                Ok(None) => {}
                Err(error) => {
                    if lifetime == Lifetime::Temporary {
                        let _ = std::fs::remove_dir_all(&directory);
                    }
                    return Err(error);
                }
            }
        }
        bail!("Postgres found no free port on 127.0.0.1 in five attempts");
    }

    /// `None` when the port was taken.
    async fn launch(directory: &Path, lifetime: Lifetime) -> Result<Option<Self>> {
        let user = ServerUser::choose()?;
        user.create_directory(directory)?;
        let log = lock(directory).await?;
        log.set_len(0)?;
        let data = directory.join("data");
        let binaries = binaries::find(made_by(&data)?).await?;
        let password_file = directory.join(PASSWORD);
        if !data.exists() {
            user.write_private(&password_file, &secret())?;
        }
        let superuser_password = std::fs::read_to_string(&password_file)
            .with_context(|| format!("cannot read {}, without which the data beside it cannot be used", password_file.display()))?;
        let ca_file = certificates::write(directory, &user)?;
        user.write_private(&directory.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 scram-sha-256\n")?;

        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let process = Supervised::start(server_command(&binaries, &user, directory, lifetime, port, log))
            .with_context(|| format!("cannot run Postgres as the user {}", user.name()))?;
        let functions_password = secret();
        user.write_private(&directory.join(FUNCTIONS_PASSWORD), &functions_password)?;
        let mut server = Self { port, ca_file, superuser_password, functions_password, lifetime, binaries, process };
        let Some(client) = server.answers().await? else { return Ok(None) };
        database::set_functions_password(&client, &server.functions_password).await?;
        Ok(Some(server))
    }

    /// Waits until it does. `None` when the port was taken.
    async fn answers(&mut self) -> Result<Option<tokio_postgres::Client>> {
        let start = Instant::now();
        loop {
            let ended = self.process.try_wait()?;
            match self.administer().await {
                Ok(client) => return Ok(Some(client)),
                Err(_) if ended.is_some() => {
                    let log = std::fs::read_to_string(self.log_file()).unwrap_or_default();
                    if log.contains("could not bind") {
                        return Ok(None);
                    }
                    bail!("Postgres does not start; it says: {}", log.trim());
                }
                Err(error) => ensure!(
                    start.elapsed() < PATIENCE,
                    "Postgres does not answer ({error:#}); its log is {}",
                    self.log_file().display()
                ),
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A server that another process of this machine runs, and keeps.
pub struct Running {
    /// The port of 127.0.0.1 on which it listens.
    pub port: u16,
    /// The certificate authority that signed its certificate.
    pub ca_file: PathBuf,
    /// The directory of its programs.
    pub binaries: PathBuf,
    /// The file with the superuser's password.
    pub password_file: PathBuf,
    superuser_password: String,
    functions_password: String,
}

impl Running {
    /// Finds the server whose files are in `directory`.
    ///
    /// # Errors
    /// No server runs there.
    pub fn find(directory: &Path) -> Result<Self> {
        // Its process holds the lock of its log. A file of PostgreSQL's own would outlive a crash of the machine.
        let log = File::open(directory.join(LOG));
        let runs = log.is_ok_and(|log| matches!(log.try_lock_shared(), Err(TryLockError::WouldBlock)));
        ensure!(runs, "no local database runs: start `cargo dev`");
        let read = |name| {
            let path = directory.join(name);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}; does `cargo dev` still start?", path.display()))
        };
        // PostgreSQL writes its port into the fourth line.
        let status = read("data/postmaster.pid")?;
        let port = status.lines().nth(3).and_then(|port| port.parse().ok()).context("the local database is still starting")?;
        // The command that started it, whose arguments are quoted.
        let command = read("data/postmaster.opts")?;
        let program = Path::new(command.split(" \"").next().unwrap_or_default());
        Ok(Self {
            port,
            ca_file: directory.join(certificates::AUTHORITY_CERTIFICATE),
            binaries: program.parent().unwrap_or(Path::new("")).to_owned(),
            password_file: directory.join(PASSWORD),
            superuser_password: read(PASSWORD)?,
            functions_password: read(FUNCTIONS_PASSWORD)?,
        })
    }

    /// A URL of `database` for the superuser, with the password.
    #[must_use]
    pub fn superuser_url(&self, database: &str) -> String {
        url(SUPERUSER, &self.superuser_password, self.port, database)
    }

    /// A URL of `database` for the role that the functions run as, with the password.
    #[must_use]
    pub fn functions_url(&self, database: &str) -> String {
        url(FUNCTIONS_ROLE, &self.functions_password, self.port, database)
    }
}

fn url(role: &str, password: &str, port: u16, database: &str) -> String {
    format!("postgresql://{role}:{password}@localhost:{port}/{database}?sslmode=require")
}

/// Deletes the data of the server whose files are in `directory`.
///
/// # Errors
/// A directory that another process is using, or files that cannot be deleted.
pub async fn erase(directory: &Path) -> Result<()> {
    if directory.exists() {
        let _lock = lock(directory).await?;
        std::fs::remove_dir_all(directory).with_context(|| format!("cannot delete {}", directory.display()))?;
    }
    Ok(())
}

/// The server's log, locked. The server and its watcher inherit the open file and with it the lock. So the lock is held as long as a server
/// uses the directory, even when the process that started it has been killed. Such a server needs a moment to end.
async fn lock(directory: &Path) -> Result<File> {
    let path = directory.join(LOG);
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let start = Instant::now();
    loop {
        match log.try_lock() {
            Ok(()) => return Ok(log),
            Err(TryLockError::WouldBlock) => ensure!(
                start.elapsed() < Duration::from_secs(3),
                "another process is using the data in {}: stop that one first",
                directory.display()
            ),
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// The major version of the Postgres that made `data`. No other can read it.
fn made_by(data: &Path) -> Result<Option<u32>> {
    if !data.exists() {
        return Ok(None);
    }
    let path = data.join("PG_VERSION");
    let version = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let version = version.trim().parse().with_context(|| format!("{} holds no version", path.display()))?;
    Ok(Some(version))
}

fn server_command(binaries: &Binaries, user: &ServerUser, directory: &Path, lifetime: Lifetime, port: u16, log: File) -> Command {
    // What is kept is synced, and has checksums that notice a disk's mistakes.
    let (leftover, durability) = match lifetime {
        Lifetime::Kept => (None, "--data-checksums"),
        Lifetime::Temporary => (Some(directory), "--no-sync"),
    };
    let mut command = supervise::command("sh", Stop::Interrupt, leftover);
    user.run(&mut command);
    // We look for a message in the log: in English, whatever the user speaks.
    command.env("LC_ALL", "C").current_dir(directory).stderr(Stdio::from(log));
    // As on most hosts, and the same on every machine. macOS has no C.UTF-8.
    let locale = if cfg!(target_os = "macos") { "en_US.UTF-8" } else { "C.UTF-8" };
    command.args(["-c", START, "start"]).arg(binaries.path("initdb")).args([SUPERUSER, locale, durability]);
    command.arg(binaries.path("postgres")).arg("-D").arg(directory.join("data"));
    let mut set = |name: &str, value: String| {
        command.arg("-c").arg(format!("{name}={value}"));
    };
    let file = |name: &str| directory.join(name).display().to_string();
    set("listen_addresses", "127.0.0.1".into());
    set("port", port.to_string());
    set("unix_socket_directories", String::new());
    set("hba_file", file("pg_hba.conf"));
    set("ssl", "on".into());
    set("ssl_cert_file", file(certificates::SERVER_CERTIFICATE));
    set("ssl_key_file", file(certificates::SERVER_KEY));
    // Every instance of a function has a connection of its own.
    set("max_connections", "300".into());
    if lifetime == Lifetime::Temporary {
        for name in ["fsync", "synchronous_commit", "full_page_writes"] {
            set(name, "off".into());
        }
    }
    command
}

/// A password that needs no quoting anywhere.
fn secret() -> String {
    Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kept_server_keeps_its_data_and_admits_one_user_at_a_time() {
        let directory = std::env::temp_dir().join(format!("scrollback-kept-{}", Uuid::new_v4().simple()));
        let server = Server::start(&directory).await.unwrap();
        server.create_database("kept", None).await.unwrap();
        let refused = Server::start(&directory).await.unwrap_err();
        assert!(refused.to_string().starts_with("another process is using the data"), "{refused:#}");
        let running = Running::find(&directory).unwrap();
        assert!(running.binaries.join("initdb").is_file());
        for (theirs, ours) in [
            (running.superuser_url("kept"), server.superuser_url("kept")),
            (running.functions_url("kept"), server.functions_url("kept")),
        ] {
            assert_eq!(theirs, ours);
            database::connect(&theirs, Some(&running.ca_file)).await.unwrap();
        }
        drop(server);
        assert!(Running::find(&directory).is_err());
        let server = Server::start(&directory).await.unwrap();
        assert!(server.has_database("kept").await.unwrap());
        drop(server);
        erase(&directory).await.unwrap();
        assert!(!directory.exists());
    }

    #[tokio::test]
    async fn a_temporary_server_migrates_serves_the_functions_role_and_leaves_nothing() {
        let server = Server::start_temporary().await.unwrap();
        let directory = server.ca_file().parent().unwrap().to_owned();
        server.create_database("template", None).await.unwrap();
        let url = server.superuser_url("template");
        let applied = migrate::migrations::apply(&url, Some(server.ca_file())).await.unwrap();
        assert!(!applied.0.is_empty());
        assert!(migrate::migrations::apply(&url, Some(server.ca_file())).await.unwrap().0.is_empty());
        server.create_database("copy", Some("template")).await.unwrap();
        let client = database::connect(&server.functions_url("copy"), Some(server.ca_file())).await.unwrap();
        let call = format!("select * from {}.erase_user($1, 9, 9, null)", shared::queries::release::SCHEMA);
        assert_eq!(client.query_typed(&call, &[(&"ada", Type::TEXT)]).await.unwrap()[0].get::<_, i64>(0), 0);
        for statement in ["select id from conversations", "create table mine (id int)"] {
            let refused = client.batch_execute(statement).await.unwrap_err();
            assert_eq!(refused.code(), Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE));
        }
        assert!(database::connect(&server.functions_url("copy"), None).await.is_err(), "an unknown authority is trusted");
        drop(server);
        assert!(!directory.exists());
    }
}
