//! `cargo lambda watch` and `cargo lambda invoke`, with which one function is called without a gateway.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::queries::release::SCHEMA;
use uuid::Uuid;

use crate::support::namespace::in_a_namespace;
use crate::support::{App, binary, project, signal, without_cargos_variables};

/// The emulator. Dropping it ends it, and the cargos and functions that it has started.
struct Emulator(Child);

impl Drop for Emulator {
    fn drop(&mut self) {
        signal(self.0.id(), "TERM");
        let _ = self.0.wait();
    }
}

fn cargo_lambda(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_LAMBDA"));
    without_cargos_variables(&mut command);
    command.arg("lambda").args(arguments).current_dir(project());
    command
}

#[tokio::test]
#[cfg_attr(
    not(has_cargo_lambda),
    ignore = "there is no cargo-lambda: pip install --no-deps cargo-lambda, or name it in CARGO_LAMBDA"
)]
async fn cargo_lambda_watch_serves_and_cargo_lambda_invoke_calls_a_function() {
    let app = App::start().await;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cargo-lambda.log");
    let mut command = cargo_lambda(&["watch", "-A", "127.0.0.1", "-P", &port]);
    command.envs(app.environment().iter().map(|(name, value)| (name, value))).env("AUTH_MODE", "off");
    // The emulator runs cargo, which would otherwise trust the test's certificate authority alone.
    command.env("CARGO_NET_OFFLINE", "true");
    let output = File::create(&log).unwrap();
    let _emulator = Emulator(command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap());

    let address = format!("http://127.0.0.1:{port}");
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_mins(5)).build().unwrap();
    let user_id = "100% a/b é";
    let start = Instant::now();
    let made = loop {
        // The emulator has to listen first, and then to build the function.
        match client.post(format!("{address}/conversations")).json(&json!({"user_id": user_id})).send().await {
            Ok(response) => break response,
            Err(error) if start.elapsed() > Duration::from_mins(5) => panic!("{error}; the log is {}", log.display()),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    assert_eq!(made.status(), 201);
    // Its path parameters are percent-encoded, and decoded once.
    let listed = client.get(format!("{address}/users/100%25%20a%2Fb%20%C3%A9/conversations")).send().await.unwrap();
    assert_eq!(listed.json::<Value>().await.unwrap()[0]["user_id"], user_id);

    let mut invoke = cargo_lambda(&["invoke", "-A", "127.0.0.1", "-P", &port, "get-or-create-conversation"]);
    invoke.args(["--data-file", "tests/events/get-or-create-conversation.json"]);
    let output = tokio::task::spawn_blocking(move || invoke.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let response: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!([200, 201].contains(&response["statusCode"].as_u64().unwrap()), "{response}");
}

/// The commands of the page's section, as they stand, in the order of the page.
fn commands() -> Vec<String> {
    let page = std::fs::read_to_string(project().join("docs/local.md")).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with("One function, and the database")).unwrap().to_owned();
    section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// A user of this machine who has started nothing before: the directories are empty, and all ports are free.
struct User {
    home: PathBuf,
}

impl User {
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        without_cargos_variables(&mut command);
        for name in ["DATABASE_URL", "SSL_CERT_FILE", "AUTH_MODE"] {
            command.env_remove(name);
        }
        let path = std::env::var("PATH").unwrap();
        let cargo_lambda = Path::new(env!("CARGO_LAMBDA")).parent().unwrap().display();
        command.env("XDG_DATA_HOME", &self.home).env("CARGO_NET_OFFLINE", "true").env("PATH", format!("{cargo_lambda}:{path}"));
        command.current_dir(project()).stdin(Stdio::null());
        command
    }

    async fn run(&self, script: &str) -> Output {
        let mut command = self.command("sh");
        command.args(["-c", script]);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    async fn fails(&self, script: &str) -> String {
        let output = self.run(script).await;
        assert!(!output.status.success() && output.stdout.is_empty(), "{script}: {}", text(&output.stdout));
        text(&output.stderr)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The process group of a shell in the background. Dropping it ends the processes.
struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-s", "TERM", "--", &group]).status();
        let _ = self.0.wait();
    }
}

#[tokio::test]
#[cfg_attr(
    not(all(has_cargo_lambda, has_namespaces)),
    ignore = "there is no cargo-lambda (pip install --no-deps cargo-lambda, or name it in CARGO_LAMBDA), or no namespace can be made"
)]
async fn the_documented_commands_call_a_function_on_the_database_of_cargo_dev() {
    in_a_namespace("cargo_lambda::the_documented_commands_call_a_function_on_the_database_of_cargo_dev", the_documented_commands())
        .await;
}

async fn the_documented_commands() {
    let user = User { home: std::env::temp_dir().join(format!("scrollback-home-{}", Uuid::now_v7().simple())) };
    // Root's data is not in root's home.
    let data = if text(&Command::new("id").arg("-u").output().unwrap().stdout).trim() == "0" {
        assert!(Command::new("mount").args(["-t", "tmpfs", "none", "/var/lib"]).status().unwrap().success());
        PathBuf::from("/var/lib/scrollback-dev")
    } else {
        user.home.join("scrollback-dev")
    };
    let blocks = commands();
    let [serve, call, open] = &blocks[..] else { panic!("{blocks:#?}") };

    for tool in ["cargo xtask env", "cargo xtask psql"] {
        let said = user.fails(tool).await;
        assert!(said.contains("error: no local database runs: start `cargo dev`"), "{said}");
    }
    let mut dev = user.command(binary("dev"));
    dev.args(["--no-watch", "--port", "0"]).process_group(0).stdout(Stdio::piped());
    let mut dev = Background(dev.spawn().unwrap());
    let welcome = BufReader::new(dev.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let welcome = tokio::task::spawn_blocking(|| welcome.take_while(|line| !line.starts_with("Ctrl-C")).count());
    assert!(welcome.await.unwrap() > 5, "`cargo dev` does not serve");

    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cargo-lambda-commands.log");
    let output = File::create(&log).unwrap();
    let mut emulator = user.command("sh");
    emulator.args(["-c", serve]).process_group(0).stdout(output.try_clone().unwrap()).stderr(output);
    let emulator = Background(emulator.spawn().unwrap());
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", 9001)).is_err() {
        assert!(start.elapsed() < Duration::from_mins(5), "the log is {}", log.display());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let called = user.run(call).await;
    let printed = text(&called.stdout);
    assert!(called.status.success(), "{}", text(&called.stderr));
    assert!(printed.contains("\"statusCode\":201") && printed.contains("HTTP/1.1 201"), "{printed}");
    assert!(printed.contains("\"user_id\":\"grace\""), "{printed}");
    // The log shows no password.
    let password = std::fs::read_to_string(data.join("functions-password")).unwrap();
    assert!(!std::fs::read_to_string(&log).unwrap().contains(&password));

    let found = |output: &Output| output.status.success() && text(&output.stdout).contains("grace");
    let opened = user.run(open).await;
    assert!(found(&opened) || text(&opened.stderr).contains("this machine has no psql"), "{}", text(&opened.stderr));

    // The functions of another checkout call a schema of another name.
    if found(&opened) {
        let rename = format!("cargo xtask psql -qc 'alter schema {SCHEMA} rename to api_00000000'");
        assert!(user.run(&rename).await.status.success());
        let said = user.fails("cargo xtask env").await;
        assert!(said.contains(&format!("has no schema {SCHEMA}")) && said.contains("start it in this checkout"), "{said}");
        let refused = user.run(call).await;
        assert!(text(&refused.stdout).contains("\"statusCode\":500"), "{}", text(&refused.stdout));
        assert!(std::fs::read_to_string(&log).unwrap().contains("migrate first, from the sources of this binary"));
    }

    // The server's programs include no psql, and neither does PATH.
    std::fs::write(data.join("data/postmaster.opts"), "/nowhere/postgres \"-D\" \"data\"\n").unwrap();
    let (psql, home) = (binary("psql"), user.home.display());
    let alone =
        format!("mkdir -p '{home}/bin'; ln -s \"$(command -v id)\" '{home}/bin'; PATH='{home}/bin' exec '{}'", psql.display());
    let said = user.fails(&alone).await;
    let line = said.lines().last().unwrap();
    assert!(said.contains("this machine has no psql: install it") && line.starts_with("PGPASSWORD=$(cat '"), "{said}");
    if found(&opened) && Command::new("psql").arg("--version").output().is_ok() {
        let opened = user.run(&format!("{line} -c 'select user_id from conversations'")).await;
        assert!(found(&opened), "{line}: {}", text(&opened.stderr));
    }
    drop((emulator, dev));
    std::fs::remove_dir_all(&user.home).unwrap_or_default();
}
