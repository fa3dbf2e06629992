//! `cargo lambda watch` and `cargo lambda invoke`, with which one function is called without a gateway.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{App, project, signal, without_cargos_variables};

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
