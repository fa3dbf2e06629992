//! A turn: what a back end does before it calls the model, in one request and in three.

use std::time::Duration;

use anyhow::Result;

use super::figures::{Figure, median, milliseconds};
use super::function::Function;
use super::proxy::Proxy;
use super::subjects::Endpoint;
use super::{Bench, fill};
use local::progress;

/// Round trips to the database, in ms.
const DISTANCES: [u64; 3] = [1, 5, 30];
/// What `begin-turn` does, one after the other.
const PARTS: [Endpoint; 3] = [Endpoint::GetOrCreate, Endpoint::Append, Endpoint::Context];

/// Beside three requests, at several distances from the database.
pub(super) async fn distances(bench: &mut Bench, database: &str) -> Result<()> {
    let _step = progress::step("turns, near and far");
    let superuser = bench.connect(database).await?;
    let (conversation, user) = fill::sample(&superuser, 1).await?.remove(0);
    for distance in DISTANCES {
        let proxy = Proxy::start(bench.server.port(), Duration::from_millis(distance)).await?;
        let environment = bench.subjects.environment(&bench.url_through(proxy.port, database));
        let mut subjects = Vec::new();
        for endpoint in PARTS.into_iter().chain([Endpoint::Turn]) {
            let function = Function::start(&bench.subjects.binary(endpoint.function()), &environment)?;
            subjects.push((function, endpoint.event(conversation, &user)?, Vec::new()));
        }
        let calls = bench.scale.calls * bench.scale.rounds / 10 + 2;
        for round in 0..calls {
            for (function, event, times) in &mut subjects {
                let time = milliseconds(function.call(&event.bytes())?);
                // The first connects.
                if round > 0 {
                    times.push(time);
                }
            }
        }
        let [found, appended, read, turn] = [0, 1, 2, 3].map(|at: usize| median(&mut subjects[at].2));
        let group = format!("a turn, the database {distance} ms away");
        bench.figures.add(Figure::new(&group, "get-or-create, append and context", found + appended + read, "ms"));
        bench.figures.add(Figure::new(&group, "append and context", appended + read, "ms"));
        let figure = Figure::new(&group, "begin-turn", turn, "ms").over(appended + read);
        // Nearer, most of the time is not the way.
        bench.figures.add(if distance == 5 { figure.within(0.6, appended + read) } else { figure });
    }
    Ok(())
}

/// In conversations of several lengths.
pub(super) async fn lengths(bench: &mut Bench, database: &str) -> Result<()> {
    let _step = progress::step("turns, in short and in long conversations");
    let superuser = bench.connect(database).await?;
    let function = bench.function(Endpoint::Turn, database)?;
    let mut subjects = Vec::new();
    for length in bench.scale.turns {
        let conversation = fill::conversation(&superuser, "turns", *length, 200).await?;
        subjects.push((*length, Endpoint::Turn.event(conversation, "turns")?, Vec::new()));
    }
    // Few, because each makes its conversation longer.
    for round in 0..=bench.scale.calls {
        for (_, event, times) in &mut subjects {
            let time = milliseconds(function.call(&event.bytes())?);
            if round > 0 {
                times.push(time);
            }
        }
    }
    let group = "a turn over the conversation's length, p50";
    let mut of_hundred = None;
    for (length, _, mut times) in subjects {
        let time = median(&mut times);
        let figure = Figure::new(group, format!("{length} messages"), time, "ms");
        // Ten are fewer than a context holds.
        bench.figures.add(match of_hundred {
            Some(floor) => figure.within(1.3, floor),
            None => figure,
        });
        of_hundred = of_hundred.or((length >= 100).then_some(time));
    }
    Ok(())
}
