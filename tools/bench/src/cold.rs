//! Cold starts: how long until the first poll and the first response, and what of it is what; and round trips over a slow network.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::figures::{Figure, median, milliseconds};
use super::function::Function;
use super::proxy::Proxy;
use super::statement::{Client, Statement};
use super::subjects::{self, Endpoint, Event};
use super::{Bench, fill, one};
use local::progress;

const ROUND_TRIP: Duration = Duration::from_millis(20);
/// The least until a first answer: may we have TLS, TLS 1.3's hello, who are you, SCRAM's two questions, and the statement.
const FIRST: f64 = 6.0;
/// The first Postgres that agrees to the key exchange that clients begin with. Older ones take P-256 alone, and ask for that: one more.
const X25519: u32 = 18;
/// What a raw connection's parts are called.
const PARTS: [&str; 4] = ["TLS connector", "TCP and TLS", "authentication", "statement"];

/// What is started, and the raw connection that it is held against.
struct Subject {
    name: String,
    binary: PathBuf,
    environment: Vec<(String, String)>,
    event: Event,
    statement: Statement,
    inits: Vec<f64>,
    firsts: Vec<f64>,
    parts: [Vec<f64>; 4],
}

pub(super) async fn measure(bench: &mut Bench, database: &str) -> Result<()> {
    let _step = progress::step("cold starts");
    let superuser = bench.connect(database).await?;
    let (conversation, user) = fill::sample(&superuser, 1).await?.remove(0);
    let url = bench.server.functions_url(database);
    let (one_root, all_roots) = (bench.subjects.environment(&url), subjects::environment(&url, &all_roots(bench)?));
    let mut subjects = Vec::new();
    for (endpoint, environment, roots) in Endpoint::ALL.map(|endpoint| (endpoint, &one_root, "")).into_iter().chain([(
        Endpoint::History,
        &all_roots,
        ", all of the system's roots",
    )]) {
        let event = endpoint.event(conversation, &user)?;
        subjects.push(Subject {
            name: format!("{}{roots}", endpoint.name()),
            binary: bench.subjects.binary(endpoint.function()),
            environment: environment.clone(),
            statement: bench.statement(endpoint, &event, database).await?,
            event,
            inits: Vec::new(),
            firsts: Vec::new(),
            parts: Default::default(),
        });
    }
    let (echo, program) = (bench.subjects.binary("floor-echo"), bench.subjects.binary("floor-statement"));
    let (mut spawns, mut echo_inits, mut echo_firsts) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.scale.starts {
        for subject in &mut subjects {
            let cold = Function::cold(&subject.binary, &subject.environment, &subject.event.bytes())?;
            subject.inits.push(milliseconds(cold.init));
            subject.firsts.push(milliseconds(cold.first_response));
            // In a process of its own, as in a cold start: the first connection of a process is the one that fills OpenSSL's tables.
            let mut client = Client::start(&program, &subject.environment)?;
            client.prepare(&subject.statement)?;
            for (part, time) in subject.parts.iter_mut().zip(client.connect()?) {
                part.push(time);
            }
            spawns.push(milliseconds(client.spawn));
        }
        let cold = Function::cold(&echo, &[], &subjects[0].event.bytes())?;
        echo_inits.push(milliseconds(cold.init));
        echo_firsts.push(milliseconds(cold.first_response));
    }

    let (echo_init, echo_first) = (median(&mut echo_inits), median(&mut echo_firsts));
    for subject in &mut subjects {
        let figure = Figure::new("init: spawn to first poll", &subject.name, median(&mut subject.inits), "ms");
        bench.figures.add(figure.within(1.5, echo_init));
    }
    for subject in &mut subjects {
        let raw: f64 = subject.parts.iter_mut().map(|part| median(part)).sum();
        let figure = Figure::new("cold: spawn to first response", &subject.name, median(&mut subject.firsts), "ms");
        let limit = 1.3f64.mul_add(raw, echo_first);
        bench.figures.add(figure.over(echo_first + raw).at_most(limit, "≤ echo + 1.3 × raw connect and statement"));
    }
    let group = "a cold start's parts";
    bench.figures.add(Figure::new(group, "spawn", median(&mut spawns), "ms"));
    bench.figures.add(Figure::new(group, "echo: init", echo_init, "ms"));
    bench.figures.add(Figure::new(group, "echo: first response", echo_first, "ms"));
    for subject in subjects.iter_mut().filter(|subject| subject.name == Endpoint::History.name()) {
        for (name, part) in PARTS.iter().zip(&mut subject.parts) {
            bench.figures.add(Figure::new(group, *name, median(part), "ms"));
        }
    }
    let connector = subjects.last_mut().map_or(f64::NAN, |subject| median(&mut subject.parts[0]));
    bench.figures.add(Figure::new(group, "TLS connector of all the system's roots", connector, "ms"));
    Ok(())
}

/// What a function in Lambda trusts: the system's roots; and the server's here.
fn all_roots(bench: &Bench) -> Result<PathBuf> {
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
    for endpoint in Endpoint::ALL.into_iter().chain(Endpoint::OTHERS) {
        let is_other = Endpoint::OTHERS.contains(&endpoint);
        let event = if is_other { endpoint.event(one::CONVERSATION, one::USER)? } else { endpoint.event(conversation, &user)? };
        if is_other {
            one::prepare(&superuser, endpoint.before()).await?;
        }
        let function = Function::start(&bench.subjects.binary(endpoint.function()), &environment)?;
        function.call(&event.bytes())?;
        let first = count(proxy.take_flights());
        bench.figures.add(Figure::new(group, format!("{}: first", endpoint.name()), first, "").within(1.0, least));
        if is_other {
            one::prepare(&superuser, endpoint.before()).await?;
        }
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
