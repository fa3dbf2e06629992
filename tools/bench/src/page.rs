//! A full page: what it costs to return 5 MB of history, in few large messages and in many small ones.

use anyhow::{Context, Result};

use super::figures::{Figure, median, milliseconds};
use super::subjects::{Endpoint, event};
use super::{Bench, fill, process};
use local::progress;

pub(super) async fn measure(bench: &mut Bench, database: &str) -> Result<()> {
    let _step = progress::step("full pages");
    let superuser = bench.connect(database).await?;
    for (name, messages, bytes) in [("50 messages", 50, 100_000), ("9,000 messages", 9_000, 200)] {
        let conversation = fill::conversation(&superuser, "pages", messages, bytes).await?;
        let event = event("GET", format!("/conversations/{conversation}/messages"), "", None, "pages", None)?;
        let small = self::event("GET", format!("/conversations/{conversation}/messages"), "last=1", None, "pages", None)?;
        let (function, echo) = (bench.function(Endpoint::History, database)?, bench.subjects.echo()?);
        function.call(&small.bytes())?;
        let idle = process::peak_memory(function.process_id());
        let body = function.answer(&event.bytes())?.body;
        // The least: a function that is sent so much, and answers with it.
        let mirrored = self::event("POST", "/conversations".to_owned(), "", Some(text(&body)?), "pages", None)?;
        let calls = bench.scale.calls.div_ceil(2);
        let (mut times, mut cpu, mut echoes) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..calls {
            let before = process::cpu(function.process_id());
            times.push(milliseconds(function.call(&event.bytes())?));
            cpu.extend(
                process::cpu(function.process_id()).zip(before).map(|(after, before)| milliseconds(after.saturating_sub(before))),
            );
            echoes.push(milliseconds(echo.call(&mirrored.bytes())?));
        }
        #[expect(clippy::cast_precision_loss, reason = "megabytes")]
        let size = body.len() as f64 / 1e6;
        let group = "a full page of history";
        bench.figures.add(Figure::new(group, format!("{name}: bytes returned"), size, "MB"));
        bench.figures.add(Figure::new(group, format!("{name}: p50"), median(&mut times), "ms"));
        bench.figures.add(Figure::new(group, format!("{name}: echo of as much"), median(&mut echoes), "ms"));
        if !cpu.is_empty() {
            bench.figures.add(Figure::new(group, format!("{name}: CPU a MB"), median(&mut cpu) / size, "ms"));
        }
        if let Some((idle, peak)) = idle.zip(process::peak_memory(function.process_id())) {
            bench.figures.add(Figure::new(group, format!("{name}: peak memory"), peak, "MB"));
            bench.figures.add(Figure::new(
                group,
                format!("{name}: peak memory over idle, in bytes returned"),
                (peak - idle) / size,
                "×",
            ));
        }
    }
    Ok(())
}

/// The body in a response.
fn text(response: &[u8]) -> Result<String> {
    let response: serde_json::Value = serde_json::from_slice(response)?;
    Ok(response["body"].as_str().context("a list is text")?.to_owned())
}
