//! The work of a stored function as one inline statement, which the server plans at each call. The gain of stored functions is measured
//! against it.

use std::time::Duration;

use anyhow::{Context, Result};

use super::figures::{Figure, median, milliseconds};
use super::statement::{Client, Statement};
use super::subjects::Endpoint;
use super::warm::{BACKENDS, cpu_since};
use super::{Bench, fill, process};
use local::progress;

const GROUP: &str = "stored function, against the same work inline";
/// Has the parameters of the stored function.
const ADD_MESSAGE: &str = include_str!("add_message.sql");
const GET_CONTEXT: &str = include_str!("../../../shared/src/queries/get_context.sql");

/// The endpoints that have an inline statement, and the statements.
fn statements() -> Result<[(Endpoint, String); 2]> {
    // The function is one query, in which the parameters are written by their numbers. So its text can be sent as it is.
    let body = GET_CONTEXT.split_once("return query\n").and_then(|(_, rest)| rest.split_once(";\nend\n")).map(|(body, _)| body);
    let body = body.context("get_context.sql is one query")?;
    // Outside of its schema, the query finds its helpers only by the whole name.
    let body = ["is_kept(", "message_bytes("]
        .into_iter()
        .fold(body.to_owned(), |body, helper| body.replace(helper, &format!("{}.{helper}", shared::queries::release::SCHEMA)));
    Ok([(Endpoint::Append, ADD_MESSAGE.to_owned()), (Endpoint::Context, body)])
}

/// Adds, of each endpoint, the whole request, the server's CPU, and the first call of a session.
pub(super) async fn measure(bench: &mut Bench, database: &str) -> Result<()> {
    let _step = progress::step("stored functions against inline statements");
    let superuser = bench.connect(database).await?;
    let (conversation, user) = fill::sample(&superuser, 1).await?.remove(0);
    let mut rows: [Vec<Figure>; 4] = Default::default();
    for (endpoint, sql) in statements()? {
        let event = endpoint.event(conversation, &user)?;
        let stored = bench.statement(endpoint, &event, database).await?;
        let inline = Statement { sql, ..stored.clone() };
        let [mut echoes, mut requests, mut stored_times, mut inline_times] = <[Vec<f64>; 4]>::default();
        let [mut stored_cpu, mut inline_cpu, mut stored_firsts, mut inline_firsts] = <[Vec<f64>; 4]>::default();
        for _ in 0..bench.scale.processes {
            let (echo, function) = (bench.subjects.echo()?, bench.function(endpoint, database)?);
            function.call(&event.bytes())?;
            let mut clients = [(bench.client(database)?, &stored), (bench.owner(database)?, &inline)];
            let mut backends = [0; 2];
            for ((client, statement), backend) in clients.iter_mut().zip(&mut backends) {
                client.prepare(statement)?;
                client.run(1)?;
                let newest = superuser.query_typed(BACKENDS, &[]).await?;
                *backend = newest.first().context("the client is connected")?.try_get::<_, i32>(0)?.unsigned_abs();
            }
            for turn in 0..bench.scale.calls + bench.scale.rounds * bench.scale.calls / bench.scale.processes {
                let (echo, request) = (echo.call(&event.bytes())?, function.call(&event.bytes())?);
                let [stored, inline] = [0, 1].map(|index| on_server(&mut clients[index].0, backends[index]));
                let ((stored, stored_took), (inline, inline_took)) = (stored?, inline?);
                // The first calls warm up.
                if turn >= bench.scale.calls {
                    echoes.push(milliseconds(echo));
                    requests.push(milliseconds(request));
                    stored_times.push(stored);
                    inline_times.push(inline);
                    stored_cpu.extend(stored_took);
                    inline_cpu.extend(inline_took);
                }
            }
        }
        for _ in 0..bench.scale.starts {
            for (mut client, statement, firsts) in
                [(bench.client(database)?, &stored, &mut stored_firsts), (bench.owner(database)?, &inline, &mut inline_firsts)]
            {
                client.prepare(statement)?;
                firsts.extend(client.connect()?.last());
            }
        }
        let name = endpoint.name();
        let inline = median(&mut inline_times);
        let request = Figure::new(GROUP, format!("{name}: a warm request; echo and inline"), median(&mut requests), "ms");
        rows[0].push(request.within(0.6, median(&mut echoes) + inline));
        rows[1].push(Figure::new(GROUP, format!("{name}: a statement"), median(&mut stored_times), "ms").over(inline));
        if !stored_cpu.is_empty() {
            let cpu = Figure::new(GROUP, format!("{name}: the server's CPU a statement"), median(&mut stored_cpu), "ms");
            rows[2].push(cpu.within(0.5, median(&mut inline_cpu)));
        }
        let first =
            Figure::new(GROUP, format!("{name}: the first statement of a server session"), median(&mut stored_firsts), "ms");
        rows[3].push(first.over(median(&mut inline_firsts)));
    }
    rows.into_iter().flatten().for_each(|figure| bench.figures.add(figure));
    Ok(())
}

/// A statement's time, and the CPU that the server's process took for it, in ms.
fn on_server(client: &mut Client, backend: u32) -> Result<(f64, Option<f64>)> {
    let before: Option<Duration> = process::cpu(backend);
    let time = client.run(1)?[0];
    Ok((time, cpu_since(backend, before)))
}
