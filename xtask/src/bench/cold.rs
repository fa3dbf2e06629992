//! Cold starts: how long until the first poll and the first response, and what of it is what; and round trips over a slow network.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::figures::{Figure, median, milliseconds};
use super::function::Function;
use super::proxy::Proxy;
use super::statement::Client;
use super::subjects::{self, Endpoint};
use super::{Bench, fill};
use crate::progress;

const ROUND_TRIP: Duration = Duration::from_millis(20);
/// The least until a first answer: may we have TLS, TLS 1.3's hello, who are you, SCRAM's two questions, and the statement.
const FIRST: f64 = 6.0;
/// The first Postgres that agrees to the key exchange that clients begin with. Older ones take P-256 alone, and ask for that: one more.
const X25519: u32 = 18;
/// What a raw connection's parts are called.
const PARTS: [&str; 4] = ["TLS connector", "TCP and TLS", "authentication", "statement"];

pub(super) async fn measure(bench: &mut Bench, database: &str) -> Result<()> {
    let _step = progress::step("cold starts");
    let superuser = bench.connect(database).await?;
    let (conversation, user) = fill::sample(&superuser, 1).await?.remove(0);
    let url = bench.server.functions_url(database);
    let environment = bench.subjects.environment(&url);
    let all_roots = all_roots(bench)?;
    let all_roots = subjects::environment(&url, &all_roots);

    let mut subjects = Vec::new();
    for endpoint in Endpoint::ALL {
        let event = endpoint.event(conversation, &user)?;
        subjects.push((endpoint.name().to_owned(), bench.subjects.binary(endpoint.function()), environment.clone(), event));
    }
    let event = Endpoint::History.event(conversation, &user)?;
    let history = bench.subjects.binary(Endpoint::History.function());
    subjects.push((format!("{}, all of the system's roots", Endpoint::History.name()), history, all_roots.clone(), event.clone()));
    subjects.push(("echo".to_owned(), bench.subjects.binary("floor-echo"), Vec::new(), event.clone()));

    let statement = bench.statement(Endpoint::History, &event, database).await?;
    let program = bench.subjects.binary("floor-statement");
    // Each in a process of its own, as in a cold start: the first connection of a process is the one that fills OpenSSL's tables.
    let connect = |environment: &[(String, String)]| -> Result<(f64, Vec<f64>)> {
        let mut client = Client::start(&program, environment)?;
        client.prepare(&statement)?;
        Ok((milliseconds(client.spawn), client.connect()?))
    };
    let mut times = vec![(Vec::new(), Vec::new()); subjects.len()];
    let (mut spawns, mut parts, mut connectors) = (Vec::new(), <[Vec<f64>; 4]>::default(), Vec::new());
    for _ in 0..bench.scale.starts {
        for ((_, binary, environment, event), (inits, firsts)) in subjects.iter().zip(&mut times) {
            let cold = Function::cold(binary, environment, &event.bytes())?;
            inits.push(milliseconds(cold.init));
            firsts.push(milliseconds(cold.first_response));
        }
        let (spawn, raw) = connect(&environment)?;
        spawns.push(spawn);
        for (part, time) in parts.iter_mut().zip(raw) {
            part.push(time);
        }
        connectors.extend(connect(&all_roots)?.1.first());
    }

    let mut medians: Vec<_> = times.iter_mut().map(|(inits, firsts)| (median(inits), median(firsts))).collect();
    let (echo_init, echo_first) = medians.pop().context("the echo is one of them")?;
    let parts = parts.each_mut().map(|part| median(part));
    let raw: f64 = parts.iter().sum();
    for ((name, ..), (init, _)) in subjects.iter().zip(&medians) {
        bench.figures.add(Figure::new("init: spawn to first poll", name, *init, "ms").within(1.5, echo_init));
    }
    for ((name, ..), (_, first)) in subjects.iter().zip(&medians) {
        let figure = Figure::new("cold: spawn to first response", name, *first, "ms").over(echo_first + raw);
        bench.figures.add(figure.at_most(1.3f64.mul_add(raw, echo_first), "≤ echo + 1.3 × raw connect and statement"));
    }
    let group = "a cold start's parts";
    bench.figures.add(Figure::new(group, "spawn", median(&mut spawns), "ms"));
    bench.figures.add(Figure::new(group, "echo: init", echo_init, "ms"));
    bench.figures.add(Figure::new(group, "echo: first response", echo_first, "ms"));
    for (name, part) in PARTS.iter().zip(parts) {
        bench.figures.add(Figure::new(group, *name, part, "ms"));
    }
    bench.figures.add(Figure::new(group, "TLS connector of all the system's roots", median(&mut connectors), "ms"));
    Ok(())
}

/// What a function in Lambda trusts: the system's roots; and the server's here.
fn all_roots(bench: &Bench) -> Result<std::path::PathBuf> {
    let mut pem = std::fs::read_to_string(bench.subjects.authority())?;
    if let Some(system) = openssl_probe::probe().cert_file {
        pem += &std::fs::read_to_string(system)?;
    }
    let path = bench.subjects.binary("roots.pem");
    std::fs::write(&path, pem)?;
    Ok(path)
}

pub(super) async fn round_trips(bench: &mut Bench, database: &str) -> Result<()> {
    let _step = progress::step("round trips");
    let superuser = bench.connect(database).await?;
    let (conversation, user) = fill::sample(&superuser, 1).await?.remove(0);
    let proxy = Proxy::start(bench.server.port(), ROUND_TRIP).await?;
    let environment = bench.subjects.environment(&bench.url_through(proxy.port, database));
    let group = "round trips, 20 ms each";
    let version = super::version(&superuser).await?;
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or(X25519);
    let least = if major < X25519 { FIRST + 1.0 } else { FIRST };
    for endpoint in Endpoint::ALL {
        let event = endpoint.event(conversation, &user)?;
        let function = Function::start(&bench.subjects.binary(endpoint.function()), &environment)?;
        function.call(&event.bytes())?;
        let first = count(proxy.take_flights());
        bench.figures.add(Figure::new(group, format!("{}: first", endpoint.name()), first, "").within(1.0, least));
        let started = Instant::now();
        function.call(&event.bytes())?;
        let took = started.elapsed();
        let warm = count(proxy.take_flights());
        bench.figures.add(Figure::new(group, format!("{}: warm", endpoint.name()), warm, "").within(1.0, 1.0));
        bench.figures.add(Figure::new(group, format!("{}: warm, time", endpoint.name()), milliseconds(took), "ms"));
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a handful")]
fn count(flights: usize) -> f64 {
    flights as f64
}
