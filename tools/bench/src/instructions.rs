//! The instructions of a warm request, as Valgrind's callgrind counts them. They repeat to within a percent, whatever else the machine does.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::figures::Figure;
use super::function::Function;
use super::subjects::{Endpoint, Event};
use super::{Bench, fill};
use local::progress;

/// Warm requests that are counted.
const REQUESTS: usize = 50;

pub(super) async fn measure(bench: &mut Bench, database: &str) -> Result<()> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("Not measured: instructions (there is no valgrind)");
        return Ok(());
    }
    let _step = progress::step("instructions");
    let superuser = bench.connect(database).await?;
    let (conversation, user) = fill::sample(&superuser, 1).await?.remove(0);
    let environment = bench.subjects.environment(&bench.server.functions_url(database));
    let event = Endpoint::Context.event(conversation, &user)?;
    let echo = count(&bench.subjects.binary("floor-echo"), &[], &event)?;
    let group = "instructions of a warm request, in thousands";
    bench.figures.add(Figure::new(group, "echo", echo, ""));
    for endpoint in Endpoint::ALL {
        let event = endpoint.event(conversation, &user)?;
        let instructions = count(&bench.subjects.binary(endpoint.function()), &environment, &event)?;
        bench.figures.add(Figure::new(group, endpoint.name(), instructions, "").over(echo));
    }
    Ok(())
}

/// A run with one request contains the start of the process and the connection. The difference to a longer run does not.
fn count(binary: &Path, environment: &[(String, String)], event: &Event) -> Result<f64> {
    let (one, more) = (run(binary, environment, event, 1)?, run(binary, environment, event, 1 + REQUESTS)?);
    #[expect(clippy::cast_precision_loss, reason = "some millions")]
    Ok((more - one) as f64 / REQUESTS as f64 / 1e3)
}

fn run(binary: &Path, environment: &[(String, String)], event: &Event, requests: usize) -> Result<u64> {
    let script = binary.with_extension("callgrind");
    std::fs::write(
        &script,
        format!("#!/bin/sh\nexec valgrind --tool=callgrind --callgrind-out-file=/dev/null '{}'\n", binary.display()),
    )?;
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755))?;
    let path = std::env::var("PATH").unwrap_or_default();
    let environment: Vec<_> = environment.iter().cloned().chain([("PATH".to_owned(), path)]).collect();
    let mut function = Function::start(&script, &environment)?;
    for _ in 0..requests {
        function.call(&event.bytes())?;
    }
    // Killed, it would print no count.
    function.terminate()?;
    let log = std::fs::read_to_string(script.with_extension("log"))?;
    let collected = log.lines().find_map(|line| line.split_once("Collected :")).context("callgrind prints no count")?.1;
    let count = collected.trim().parse()?;
    ensure!(count > 0, "callgrind counted nothing");
    Ok(count)
}
