//! A panic in a handler is one 500, and the process serves on. (`shared/examples/panics.rs` is the handler.)

use std::path::Path;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, App, binary, start_binary};

async fn costs_one_request(binary: &Path) {
    let app = App::start().await;
    let function = start_binary(binary, 1, app.environment());
    let send = async |id: Uuid| {
        let (_, event) = app.get(&format!("/conversations/{id}")).event();
        Answer::read(&function.invoke(event.to_string()).await.unwrap())
    };
    for _ in 0..3 {
        assert_eq!(send(Uuid::max()).await.status, 200);
        let answer = send(Uuid::nil()).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (500, Some("internal_error")), "{answer:?}");
        assert!(!answer.body.contains("asked to"), "{answer:?}");
    }
    // There is no second process that could answer.
    assert_eq!((send(Uuid::max()).await.status, function.process_ids().len()), (200, 1));
    let log = function.log();
    assert!(log.contains("examples/panics.rs:") && !log.contains("asked to"), "its place is in the log, its words are not: {log}");
    let failed = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).find(|line| line["status"] == 500).unwrap();
    assert_eq!((&failed["level"], &failed["caller"]), (&json!("ERROR"), &json!("user")), "{failed}");
    assert_eq!(failed["conversation"]["id"], json!(Uuid::nil()), "{failed}");
}

#[tokio::test]
async fn a_panic_costs_one_request() {
    // Built with the functions.
    let app = App::start().await;
    costs_one_request(&binary("examples/panics")).await;
    drop(app);
}

#[tokio::test]
#[ignore = "builds for minutes: cargo test -p tests panics -- --ignored"]
async fn a_panic_costs_one_request_in_the_profile_that_ships() {
    let build = ["build", "--release", "--package", "shared", "--example", "panics"];
    assert!(local::project::cargo().args(build).status().unwrap().success());
    let target = binary("").parent().unwrap().to_owned();
    costs_one_request(&target.join("release/examples/panics")).await;
}
