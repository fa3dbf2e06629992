//! What stored functions cost the server, beside the least that a function can do for the same answer.

use anyhow::{Context, Result};
use shared::queries::release::SCHEMA;

use super::figures::{Figure, median};
use super::statement::Statement;
use super::subjects::Endpoint;
use super::warm::{BACKENDS, cpu_since};
use super::{Bench, fill, process, written};
use local::progress;

const GROUP: &str = "the server's CPU a statement, over the least function's";
const WAL: &str = "bytes of WAL a statement, over the least function's";

/// The least statement for what an endpoint sends.
fn least(endpoint: Endpoint, stored: &Statement) -> Statement {
    let sql = match endpoint {
        Endpoint::Append => stored.sql.replace(SCHEMA, "least"),
        // All parameters have to be used.
        Endpoint::Context => "select * from least.newest($1, $2, $3) where ($4, $5, $6, $7, $8) is not null or true".to_owned(),
        _ => "select * from least.newest($1, $2, $6) where ($3, $4, $5, $7, $8, $9, $10) is not null or true".to_owned(),
    };
    Statement { sql, ..stored.clone() }
}

/// Adds the server's CPU of the most frequent endpoints, and the bytes that an append writes to the server's log (WAL).
pub(super) async fn measure(bench: &mut Bench, database: &str) -> Result<()> {
    let _step = progress::step("stored functions against the least functions");
    let superuser = bench.connect(database).await?;
    superuser.batch_execute(include_str!("least.sql")).await?;
    let (conversation, user) = fill::sample(&superuser, 1).await?.remove(0);
    let mut of_appends = None;
    for endpoint in [Endpoint::Append, Endpoint::History, Endpoint::Context] {
        let event = endpoint.event(conversation, &user)?;
        let stored = bench.statement(endpoint, &event, database).await?;
        let statements = [least(endpoint, &stored), stored];
        let (mut cpu, mut wal): ([Vec<f64>; 2], [Vec<f64>; 2]) = Default::default();
        let mut clients = [bench.owner(database)?, bench.owner(database)?];
        let mut backends = [0; 2];
        for ((client, statement), backend) in clients.iter_mut().zip(&statements).zip(&mut backends) {
            client.prepare(statement)?;
            client.run(bench.scale.calls)?;
            let newest = superuser.query_typed(BACKENDS, &[]).await?;
            *backend = newest.first().context("the client is connected")?.try_get::<_, i32>(0)?.unsigned_abs();
        }
        // In turns, so that both find the same caches and the same noise.
        for _ in 0..bench.scale.rounds * bench.scale.calls {
            for index in 0..2 {
                let (before, written_before) = (process::cpu(backends[index]), written(&superuser).await?);
                clients[index].run(1)?;
                cpu[index].extend(cpu_since(backends[index], before));
                wal[index].push(written(&superuser).await? - written_before);
            }
        }
        let [least, stored] = &mut cpu;
        if !stored.is_empty() {
            bench.figures.add(Figure::new(GROUP, endpoint.name(), median(stored), "ms").within(1.25, median(least)));
        }
        if endpoint == Endpoint::Append {
            let [least, stored] = &mut wal;
            of_appends = Some(Figure::new(WAL, endpoint.name(), median(stored), "B").over(median(least)));
        }
    }
    if let Some(figure) = of_appends {
        bench.figures.add(figure);
    }
    Ok(())
}
