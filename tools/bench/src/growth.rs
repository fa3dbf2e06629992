//! What grows with what is stored: nothing should.

use anyhow::Result;
use uuid::Uuid;

use super::figures::{Figure, median, milliseconds};
use super::function::Function;
use super::subjects::{Endpoint, Event};
use super::{Bench, fill};
use local::progress;

/// Conversations that are in use: their pages are in memory, as those of users who are talking are.
const IN_USE: i64 = 100;

/// One conversation, long or short.
pub(super) async fn conversations(bench: &mut Bench, database: &str) -> Result<()> {
    let _step = progress::step("a long conversation");
    let superuser = bench.connect(database).await?;
    let [short, long] = bench.scale.conversations;
    let conversations =
        [fill::conversation(&superuser, "long", short, 200).await?, fill::conversation(&superuser, "long", long, 200).await?];
    for endpoint in [Endpoint::History, Endpoint::Context] {
        let function = bench.function(endpoint, database)?;
        let mut subjects = Vec::new();
        for conversation in conversations {
            subjects.push((&function, vec![endpoint.event(conversation, "long")?]));
        }
        let times = in_turns(bench, &subjects)?;
        let name = format!("{}: {long} messages over {short}", endpoint.name());
        bench.figures.add(Figure::new("one long conversation, p50", name, times[1], "ms").within(1.3, times[0]));
    }
    Ok(())
}

/// Tables, small and large.
pub(super) async fn tables(bench: &mut Bench) -> Result<()> {
    let mut databases = Vec::new();
    for messages in bench.scale.tables {
        let name = bench.table(*messages).await?;
        let sample = fill::sample(&bench.connect(&name).await?, IN_USE).await?;
        databases.push((*messages, name, sample));
    }
    let step = progress::step("tables, small and large");
    for endpoint in [Endpoint::History, Endpoint::Append, Endpoint::List] {
        let mut functions = Vec::new();
        for (_, database, sample) in &databases {
            let events = sample.iter().map(|(conversation, user): &(Uuid, String)| endpoint.event(*conversation, user));
            functions.push((bench.function(endpoint, database)?, events.collect::<Result<Vec<_>>>()?));
        }
        let subjects: Vec<_> = functions.iter().map(|(function, events)| (function, events.clone())).collect();
        let times = in_turns(bench, &subjects)?;
        for ((messages, ..), time) in databases.iter().zip(&times) {
            let figure = Figure::new("p50 over table size", format!("{}: {messages} messages", endpoint.name()), *time, "ms");
            let is_last = Some(messages) == bench.scale.tables.last();
            bench.figures.add(if is_last { figure.within(1.3, times[0]) } else { figure });
        }
    }
    drop(step);
    let (messages, database, _) = &databases[databases.len() - 1];
    stored(bench, *messages, &database.clone()).await
}

/// What a message takes in table and indexes.
async fn stored(bench: &mut Bench, messages: i64, database: &str) -> Result<()> {
    let sizes = "
        select relname::text, pg_relation_size(oid)::float8 / $1::bigint from pg_class
        where oid in (
            select 'messages'::regclass union all select indexrelid from pg_index where indrelid = 'messages'::regclass
        )
        order by relkind desc, relname";
    let superuser = bench.connect(database).await?;
    for row in superuser.query_typed(sizes, &[(&messages, tokio_postgres::types::Type::INT8)]).await? {
        bench.figures.add(Figure::new("bytes a message", row.try_get::<_, String>(0)?, row.try_get(1)?, "B"));
    }
    Ok(())
}

/// Their medians. The first turn is to warm up.
fn in_turns(bench: &Bench, subjects: &[(&Function, Vec<Event>)]) -> Result<Vec<f64>> {
    let mut times = vec![Vec::new(); subjects.len()];
    for (function, events) in subjects {
        for event in events {
            function.call(&event.bytes())?;
        }
    }
    for round in 0..bench.scale.rounds {
        for ((function, events), times) in subjects.iter().zip(&mut times) {
            for event in events.iter().cycle().skip(round * bench.scale.calls).take(bench.scale.calls) {
                times.push(milliseconds(function.call(&event.bytes())?));
            }
        }
    }
    Ok(times.iter_mut().map(|times| median(times)).collect())
}
