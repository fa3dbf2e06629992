//! A PgBouncer before a server of ours, as most hosts of Postgres have one: transaction mode, a small pool, TLS on both sides, and no
//! prepared statements.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::net::TcpStream;
use tokio::time::sleep;
use uuid::Uuid;

use crate::postgres::{Server, certificates};
use crate::supervise::{self, Stop, Supervised};
use crate::user::ServerUser;
use migrate::database::FUNCTIONS_ROLE;

/// Where packages put it that is not on a user's `PATH`.
const PLACES: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"];
const PATIENCE: Duration = Duration::from_secs(10);

/// A running pooler. Dropping it ends it at once, with all its connections; it also ends when this process is killed.
#[derive(Debug)]
pub struct PgBouncer {
    port: u16,
    _process: Supervised,
}

impl PgBouncer {
    /// Starts one that knows the functions' role, and has `pool_size` connections for each of the server's databases.
    ///
    /// # Errors
    /// There is no PgBouncer on this machine, or it does not start.
    pub async fn start(server: &Server, pool_size: usize) -> Result<Self> {
        let binary =
            find().context("there is no PgBouncer here: install it (apt-get install pgbouncer), or name it in PGBOUNCER_BIN")?;
        // PgBouncer refuses root, too.
        let user = ServerUser::choose()?;
        let directory = std::env::temp_dir().join(format!("scrollback-pgbouncer-{}", Uuid::new_v4().simple()));
        user.create_directory(&directory)?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let users = directory.join("users");
        user.write_private(&users, &format!("\"{FUNCTIONS_ROLE}\" \"{}\"\n", server.functions_password()))?;
        let configuration = directory.join("pgbouncer.ini");
        user.write_private(&configuration, &settings(server, port, pool_size, &users))?;
        let log_path = directory.join("pgbouncer.log");
        let log = File::create(&log_path).with_context(|| format!("cannot write {}", log_path.display()))?;

        let mut command = supervise::command(binary, Stop::Terminate, Some(&directory));
        user.run(&mut command);
        command.arg(&configuration).current_dir(&directory).stderr(Stdio::from(log));
        let mut process = Supervised::start(command).context("cannot run PgBouncer")?;
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if process.try_wait()?.is_some() {
                bail!("PgBouncer does not start; it says: {}", std::fs::read_to_string(&log_path).unwrap_or_default().trim());
            }
            ensure!(start.elapsed() < PATIENCE, "PgBouncer does not answer");
            sleep(Duration::from_millis(10)).await;
        }
        Ok(Self { port, _process: process })
    }

    /// The port of 127.0.0.1 on which it listens, with the server's own certificate.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn find() -> Option<PathBuf> {
    if let Some(binary) = std::env::var_os("PGBOUNCER_BIN") {
        return Some(binary.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(PLACES.map(PathBuf::from));
    directories.map(|directory| directory.join("pgbouncer")).find(|binary| binary.is_file())
}

fn settings(server: &Server, port: u16, pool_size: usize, users: &Path) -> String {
    let certificate = |name: &str| server.directory().join(name).display().to_string();
    format!(
        "[databases]
* = host=127.0.0.1 port={}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {}
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 2000
client_tls_sslmode = require
client_tls_cert_file = {}
client_tls_key_file = {}
server_tls_sslmode = verify-full
server_tls_ca_file = {}
; A run of the tests has more databases than the server has connections.
server_idle_timeout = 5
; After a failed login, the default is to fail everybody for 15 s, whether the server is back or not.
server_login_retry = 0.1
",
        server.port(),
        users.display(),
        certificate(certificates::SERVER_CERTIFICATE),
        certificate(certificates::SERVER_KEY),
        server.ca_file().display(),
    )
}
