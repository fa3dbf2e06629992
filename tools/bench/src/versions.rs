//! Versions of messages: how long a line takes to move, and to read where it is not the current one.

use anyhow::Result;
use serde_json::json;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::figures::{Figure, median, milliseconds};
use super::subjects::{Endpoint, event};
use super::{Bench, fill};
use local::progress;

/// Messages of about this many bytes.
const BYTES: i32 = 200;
const USER: &str = "versions";
/// Messages that the lines have in common.
const COMMON: i64 = 100;

/// A line of so many messages leaves its place, and comes back.
pub(super) async fn moves(bench: &mut Bench, database: &str) -> Result<()> {
    let _step = progress::step("lines that move");
    let function = bench.function(Endpoint::SelectLine, database)?;
    let group = "a line that moves, p50";
    for moved in bench.scale.moved {
        let (path, first, last) = conversation(bench, database, 1, *moved).await?;
        let select = |id: Uuid| event("PUT", format!("{path}/line"), "", Some(json!({"message_id": id}).to_string()), USER, None);
        let (leaves, comes) = (select(first)?, select(last)?);
        let (mut leaving, mut coming) = (Vec::new(), Vec::new());
        // A long line takes longer, and varies less.
        let rounds = (bench.scale.calls * 10 / usize::try_from(*moved)?).max(bench.scale.calls / 5) + 1;
        for round in 0..=rounds {
            for (event, times) in [(&leaves, &mut leaving), (&comes, &mut coming)] {
                let time = milliseconds(function.call(&event.bytes())?);
                if round > 0 {
                    times.push(time);
                }
            }
        }
        bench.figures.add(Figure::new(group, format!("{moved} messages leave the line"), median(&mut leaving), "ms"));
        bench.figures.add(Figure::new(group, format!("{moved} messages come back"), median(&mut coming), "ms"));
    }
    Ok(())
}

/// The last 50 messages of a line that ends with so many kept ones, beside those of the current line.
pub(super) async fn lines(bench: &mut Bench, database: &str) -> Result<()> {
    let _step = progress::step("lines that are read");
    let select = bench.function(Endpoint::SelectLine, database)?;
    for (endpoint, what, query) in [(Endpoint::History, "messages", "last=50"), (Endpoint::Context, "context", "max_messages=50")] {
        let function = bench.function(endpoint, database)?;
        let group = format!("{}, {query}, p50", endpoint.function());
        let mut floor = None;
        for kept in [0, 1, 10, 100] {
            let (path, end_of_line, last) = conversation(bench, database, COMMON, kept).await?;
            let body = json!({"message_id": end_of_line}).to_string();
            select.answer(&event("PUT", format!("{path}/line"), "", Some(body), USER, None)?.bytes())?;
            let query = if kept == 0 { query.to_owned() } else { format!("{query}&line={last}") };
            let event = event("GET", format!("{path}/{what}"), &query, None, USER, None)?;
            let mut times = Vec::new();
            for round in 0..=bench.scale.calls * 4 {
                let time = milliseconds(function.call(&event.bytes())?);
                if round > 0 {
                    times.push(time);
                }
            }
            let time = median(&mut times);
            let name = if kept == 0 { "the current line".to_owned() } else { format!("a line through {kept} kept messages") };
            let figure = Figure::new(&group, name, time, "ms");
            bench.figures.add(match floor {
                None => figure,
                Some(floor) => figure.over(floor),
            });
            floor = floor.or(Some(time));
        }
    }
    Ok(())
}

/// A conversation of `common` and `others` messages: its path, the id of the last message that they have in common, and that of its last.
async fn conversation(bench: &Bench, database: &str, common: i64, others: i64) -> Result<(String, Uuid, Uuid)> {
    let superuser = bench.connect(database).await?;
    let id = fill::conversation(&superuser, USER, common + others, BYTES).await?;
    let ends = "select id from messages where conversation_id = $1 and position in ($2, $3) order by position";
    let rows = superuser.query_typed(ends, &[(&id, Type::UUID), (&common, Type::INT8), (&(common + others), Type::INT8)]).await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
    Ok((format!("/conversations/{id}"), ids[0], ids[ids.len() - 1]))
}
