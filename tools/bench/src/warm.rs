//! Warm requests: latency, CPU and memory against an echo and the raw statement; and how fast writers take turns.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::figures::{Figure, median, milliseconds};
use super::subjects::Endpoint;
use super::{Bench, fill, one, process};
use local::progress;

/// Writers at once.
const WRITERS: usize = 8;

/// What is measured of one program's calls, in ms.
#[derive(Default)]
struct Samples {
    times: Vec<f64>,
    cpu: Vec<f64>,
}

impl Samples {
    fn add(&mut self, (time, cpu): (f64, Option<f64>)) {
        self.times.push(time);
        self.cpu.extend(cpu);
    }

    fn p50(&mut self) -> f64 {
        median(&mut self.times)
    }

    /// The median of a call. The mean would tell of the machine's other work.
    fn cpu(&mut self) -> Option<f64> {
        (!self.cpu.is_empty()).then(|| median(&mut self.cpu))
    }
}

/// The functions' connections, the newest first.
pub(super) const BACKENDS: &str = "select pid from pg_stat_activity
    where datname = current_database() and application_name = 'scrollback' and pid <> pg_backend_pid()
    order by backend_start desc";

pub(super) async fn measure(bench: &mut Bench, database: &str) -> Result<()> {
    let _step = progress::step("warm requests");
    let superuser = bench.connect(database).await?;
    let (conversation, user) = fill::sample(&superuser, 1).await?.remove(0);
    let mut rows: [Vec<Figure>; 4] = Default::default();
    for endpoint in Endpoint::ALL.into_iter().chain([Endpoint::ContextOfTokens]).chain(Endpoint::OTHERS) {
        let is_other = Endpoint::OTHERS.contains(&endpoint);
        let event = if is_other {
            one::prepare(&superuser, endpoint.before()).await?;
            endpoint.event(one::CONVERSATION, one::USER)?
        } else {
            endpoint.event(conversation, &user)?
        };
        // Fewer calls, because their conversation has to be made again each time.
        let (warming, counted) = if is_other {
            (bench.scale.calls / 5, bench.scale.calls)
        } else {
            (bench.scale.calls, bench.scale.rounds * bench.scale.calls / bench.scale.processes)
        };
        let statement = bench.statement(endpoint, &event, database).await?;
        let [mut echoes, mut statements, mut requests] = <[Samples; 3]>::default();
        let [mut backends, mut echo_peaks, mut peaks] = <[Vec<f64>; 3]>::default();
        // One process of a program may take a fifth longer than the next for its whole life, because its memory lies elsewhere.
        for _ in 0..bench.scale.processes {
            let (echo, mut client, function) =
                (bench.subjects.echo()?, bench.client(database)?, bench.function(endpoint, database)?);
            if endpoint.is_done_once() {
                one::prepare(&superuser, endpoint.before()).await?;
            }
            // The echo's answer is as long as the function's, because that has to be sent, too.
            let as_long = event.answered_with(function.answer(&event.bytes())?.body.len());
            let backend = superuser.query_typed(BACKENDS, &[]).await?;
            let backend = backend.first().context("the function is connected")?.try_get::<_, i32>(0)?.unsigned_abs();
            client.prepare(&statement)?;
            // In turns, call by call: each finds the caches as the others have left them. In a loop of its own, a statement is faster.
            for turn in 0..warming + counted {
                let of_echo = measured(echo.process_id(), || echo.call(&as_long.bytes()))?;
                if endpoint.is_done_once() {
                    one::prepare(&superuser, endpoint.before()).await?;
                }
                let times = client.run(1)?;
                if endpoint.is_done_once() {
                    one::prepare(&superuser, endpoint.before()).await?;
                }
                let before = process::cpu(backend);
                let of_function = measured(function.process_id(), || function.call(&event.bytes()))?;
                // The first ones warm up.
                if turn >= warming {
                    statements.add((times[0], of_echo.1.map(|_| times[1])));
                    echoes.add(of_echo);
                    requests.add(of_function);
                    backends.extend(cpu_since(backend, before));
                }
            }
            echo_peaks.extend(process::peak_memory(echo.process_id()));
            peaks.extend(process::peak_memory(function.process_id()));
        }
        let floor = echoes.p50() + statements.p50();
        rows[0].push(Figure::new("warm p50", endpoint.name(), requests.p50(), "ms").within(1.25, floor));
        rows[0].push(Figure::new("warm p50", format!("{}: echo", endpoint.name()), echoes.p50(), "ms"));
        rows[0].push(Figure::new("warm p50", format!("{}: statement", endpoint.name()), statements.p50(), "ms"));
        if let (Some(echo), Some(client), Some(function)) = (echoes.cpu(), statements.cpu(), requests.cpu()) {
            rows[1].push(Figure::new("warm CPU a request", endpoint.name(), function, "ms").within(1.5, echo + client));
        }
        if !backends.is_empty() {
            rows[2].push(Figure::new("the server's CPU a statement", endpoint.name(), median(&mut backends), "ms"));
        }
        if !peaks.is_empty() {
            let (echo, function) = (median(&mut echo_peaks), median(&mut peaks));
            let figure = Figure::new("peak memory", endpoint.name(), function, "MB").over(echo);
            rows[3].push(figure.at_most(echo + 6.0, "≤ echo + 6 MB"));
        }
    }
    rows.into_iter().flatten().for_each(|figure| bench.figures.add(figure));
    Ok(())
}

/// A call's time, and the CPU that a process has taken meanwhile.
fn measured(process_id: u32, call: impl FnOnce() -> Result<Duration>) -> Result<(f64, Option<f64>)> {
    let before = process::cpu(process_id);
    let time = milliseconds(call()?);
    Ok((time, cpu_since(process_id, before)))
}

/// What a process has taken since it had taken so much, in ms.
pub(super) fn cpu_since(process_id: u32, before: Option<Duration>) -> Option<f64> {
    process::cpu(process_id).zip(before).map(|(after, before)| milliseconds(after.saturating_sub(before)))
}

/// How many messages a second one conversation takes, whose writers wait for each other, against as many conversations as writers.
pub(super) async fn busy_conversation(bench: &mut Bench, database: &str) -> Result<()> {
    let _step = progress::step("one busy conversation");
    let superuser = bench.connect(database).await?;
    let conversations = fill::sample(&superuser, i64::try_from(WRITERS)?).await?;
    let appends = bench.scale.calls * 20;
    for (name, writers, spread) in [
        ("1 writer".to_owned(), 1, false),
        (format!("{WRITERS} writers, one conversation"), WRITERS, false),
        (format!("{WRITERS} writers, {WRITERS} conversations"), WRITERS, true),
    ] {
        let mut clients = Vec::new();
        for index in 0..writers {
            let (conversation, user) = &conversations[if spread { index } else { 0 }];
            let event = Endpoint::Append.event(*conversation, user)?;
            let mut client = bench.client(database)?;
            client.prepare(&bench.statement(Endpoint::Append, &event, database).await?)?;
            client.run(10)?;
            clients.push(client);
        }
        let started = Instant::now();
        std::thread::scope(|scope| {
            let threads: Vec<_> = clients.iter_mut().map(|client| scope.spawn(move || client.run(appends).map(drop))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("a writer does not panic"))
        })?;
        #[expect(clippy::cast_precision_loss, reason = "a number of calls")]
        let rate = (writers * appends) as f64 / started.elapsed().as_secs_f64();
        bench.figures.add(Figure::new("appends a second, raw statement", name, rate, ""));
    }
    Ok(())
}
