//! The figures, drawn.

use std::path::Path;

use anyhow::{Context, Result};

use super::figures::Figures;
use super::subjects::Endpoint;
use super::svg::{self, Bar};

/// Draws what was measured.
pub(super) fn draw(figures: &Figures, directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    for (name, plot) in
        [("latency.svg", latency(figures)), ("cold-start.svg", cold_start(figures)), ("growth.svg", growth(figures))]
    {
        if let Some(plot) = plot {
            let path = directory.join(name);
            std::fs::write(&path, plot).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

/// Each endpoint over its floor.
fn latency(figures: &Figures) -> Option<String> {
    let value = |name: &str| Some(figures.find("warm p50", name)?.value);
    let mut bars: Vec<Bar> = Vec::new();
    for endpoint in Endpoint::ALL {
        let name = endpoint.name();
        bars.push((name.to_owned(), vec![0.0, 0.0, value(name)?]));
        bars.push(("its floor".to_owned(), vec![value(&format!("{name}: echo"))?, value(&format!("{name}: statement"))?]));
    }
    Some(svg::bars("A warm request, p50", "ms", &["echo function", "raw statement", "endpoint"], &bars))
}

/// A cold start, part by part, beside the echo's.
fn cold_start(figures: &Figures) -> Option<String> {
    let value = |group: &str, name: &str| Some(figures.find(group, name)?.value);
    let part = |name: &str| value("a cold start's parts", name);
    let (spawn, name) = (part("spawn")?, Endpoint::History.name());
    let (init, first) = (value("init: spawn to first poll", name)?, value("cold: spawn to first response", name)?);
    let (echo_init, echo_first) = (part("echo: init")?, part("echo: first response")?);
    let connection = [part("TLS connector")?, part("TCP and TLS")?, part("authentication")?, part("statement")?];
    let rest = (first - init - connection.iter().sum::<f64>()).max(0.0);
    let mut ours = vec![spawn, init - spawn];
    ours.extend(connection);
    ours.push(rest);
    let echo = vec![spawn, echo_init - spawn, 0.0, 0.0, 0.0, 0.0, echo_first - echo_init];
    let floor = vec![spawn, echo_init - spawn, connection[0], connection[1], connection[2], connection[3], echo_first - echo_init];
    let parts =
        ["spawn", "init: to the first poll", "TLS connector", "TCP and TLS", "authentication", "statement", "event and response"];
    let bars = [(name.to_owned(), ours), ("its floor: echo and connection".to_owned(), floor), ("echo".to_owned(), echo)];
    Some(svg::bars("A cold start, from spawn to first response, p50", "ms", &parts, &bars))
}

/// Latency over table size.
fn growth(figures: &Figures) -> Option<String> {
    let mut sizes: Vec<String> = Vec::new();
    let mut lines: Vec<Bar> = Vec::new();
    for figure in figures.of("p50 over table size") {
        let (endpoint, size) = figure.name.split_once(": ")?;
        if !sizes.iter().any(|known| known == size) {
            sizes.push(size.to_owned());
        }
        match lines.iter_mut().find(|(name, _)| name == endpoint) {
            Some((_, values)) => values.push(figure.value),
            None => lines.push((endpoint.to_owned(), vec![figure.value])),
        }
    }
    (!lines.is_empty()).then(|| svg::lines("A warm request over the size of the table, p50", "ms", &sizes, &lines))
}
