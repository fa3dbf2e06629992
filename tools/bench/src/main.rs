//! `cargo xtask bench`: what a request costs, and what it can't cost less than, measured in one run on one machine.
//!
//! The functions are the release binaries as shipped. Two floors are measured in turns with them, so that a disturbance hits both. One is
//! `floor-echo`, a function without a database. The other is `floor-statement`, which sends the same statements by plain tokio-postgres.
//! Figures are medians. Compare ratios between machines, not times.

mod capture;
mod cold;
mod figures;
mod fill;
mod flush;
mod function;
mod growth;
mod instructions;
mod least;
mod one;
mod page;
mod plots;
mod process;
mod proxy;
mod size;
mod statement;
mod subjects;
mod svg;
mod turn;
mod versions;
mod warm;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use tokio_postgres::Client;

use self::figures::Figures;
use self::subjects::Subjects;
use local::postgres::Server;
use local::progress;
use local::project::cargo;
use migrate::{database, migrations};

/// Measures the functions as they ship against what they can't be faster than: latency, CPU, memory, size, growth.
#[derive(Parser)]
#[command(bin_name = "cargo xtask bench")]
struct Options {
    /// Little of everything: shows that it runs, and not how fast anything is.
    #[arg(long)]
    quick: bool,
    /// Writes the figures to this file, for a later comparison.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Compares with the figures in this file.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Draws the figures into this directory, as SVG.
    #[arg(long, value_name = "DIRECTORY")]
    plots: Option<PathBuf>,
    /// Only the parts with these names.
    #[arg(long, value_enum, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum Part {
    Size,
    Cold,
    Warm,
    Stored,
    Instructions,
    RoundTrips,
    Page,
    Long,
    Turn,
    Versions,
    Growth,
    Lock,
    Flush,
}

/// How much of everything.
struct Scale {
    /// How often everything takes its turn.
    rounds: usize,
    /// Calls in a turn.
    calls: usize,
    /// Processes of each program, among which the warm calls are shared out.
    processes: usize,
    /// Cold starts.
    starts: usize,
    /// Messages in the tables whose growth is looked at. Everything else is measured on the first.
    tables: &'static [i64],
    /// Messages in the short and in the long conversation.
    conversations: [i64; 2],
    /// Messages in the conversations whose turns are compared.
    turns: &'static [i64],
    /// Messages in the lines that move.
    moved: &'static [i64],
}

const FULL: Scale = Scale {
    rounds: 40,
    calls: 50,
    processes: 10,
    starts: 60,
    tables: &[10_000, 100_000, 1_000_000, 10_000_000],
    conversations: [100, 100_000],
    turns: &[10, 100, 1_000, 10_000, 100_000],
    moved: &[1, 10, 1_000, 10_000],
};
const QUICK: Scale = Scale {
    rounds: 2,
    calls: 5,
    processes: 2,
    starts: 2,
    tables: &[10_000, 20_000],
    conversations: [100, 1_000],
    turns: &[10, 100, 200],
    moved: &[1, 10, 100],
};

/// What everything is measured with.
struct Bench {
    server: Server,
    scale: &'static Scale,
    subjects: Subjects,
    figures: Figures,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, and prints a table.
async fn run(options: Options) -> Result<()> {
    let before = options.compare.as_deref().map(Figures::read).transpose()?;
    let scale = if options.quick { &QUICK } else { &FULL };
    build()?;
    let server = Server::start_temporary().await?;
    let mut figures = Figures::default();
    set_scene(&mut figures, options.quick);
    let mut bench = Bench { subjects: Subjects::new(&server)?, server, scale, figures };

    let wanted = |part| options.only.is_empty() || options.only.contains(&part);
    let database = bench.table(scale.tables[0]).await?;
    bench.figures.set("Postgres", version(&bench.connect(&database).await?).await?);
    if wanted(Part::Size) {
        size::measure(&mut bench)?;
    }
    if wanted(Part::Cold) {
        cold::measure(&mut bench, &database).await?;
    }
    if wanted(Part::Warm) {
        warm::measure(&mut bench, &database).await?;
    }
    if wanted(Part::Stored) {
        least::measure(&mut bench, &database).await?;
    }
    if wanted(Part::Instructions) {
        instructions::measure(&mut bench, &database).await?;
    }
    if wanted(Part::RoundTrips) {
        cold::round_trips(&mut bench, &database).await?;
    }
    if wanted(Part::Page) {
        page::measure(&mut bench, &database).await?;
    }
    if wanted(Part::Long) {
        growth::conversations(&mut bench, &database).await?;
    }
    if wanted(Part::Turn) {
        turn::distances(&mut bench, &database).await?;
        turn::lengths(&mut bench, &database).await?;
    }
    if wanted(Part::Versions) {
        versions::moves(&mut bench, &database).await?;
        versions::lines(&mut bench, &database).await?;
    }
    if wanted(Part::Lock) {
        warm::busy_conversation(&mut bench, &database).await?;
    }
    if wanted(Part::Flush) {
        flush::measure(&mut bench, &database).await?;
    }
    if wanted(Part::Growth) {
        growth::tables(&mut bench).await?;
    }

    println!("{}", bench.figures.table(before.as_ref()));
    for (name, value) in &bench.figures.setting {
        println!("{name}: {value}");
    }
    if let Some(path) = options.json {
        bench.figures.write(&path)?;
    }
    if let Some(directory) = options.plots {
        plots::draw(&bench.figures, &directory)?;
    }
    Ok(())
}

impl Bench {
    /// A database with so many messages, by name; made when it is first asked for.
    async fn table(&self, messages: i64) -> Result<String> {
        let name = format!("bench_{messages}");
        if !self.server.has_database(&name).await? {
            let _step = progress::step(format!("filling a table with {messages} messages"));
            self.server.create_database(&name, None).await?;
            migrations::apply(&self.server.superuser_url(&name), Some(self.server.ca_file())).await?;
            fill::tables(&self.connect(&name).await?, messages).await?;
        }
        Ok(name)
    }

    /// As the superuser.
    async fn connect(&self, database: &str) -> Result<Client> {
        database::connect(&self.server.superuser_url(database), Some(self.server.ca_file())).await
    }
}

/// All of them, also those without a route.
fn functions() -> impl Iterator<Item = &'static str> {
    local::project::functions().into_iter().chain(local::project::SCHEDULED)
}

/// The functions as `cargo lambda build --release` builds them, for this machine; then their floors, whose features are not the functions'.
fn build() -> Result<()> {
    let functions = functions().flat_map(|function| ["--bin", function]);
    for arguments in [functions.collect::<Vec<_>>(), vec!["--package", "floors"]] {
        let status = cargo().args(["build", "--release"]).args(arguments).status().context("cannot run cargo")?;
        ensure!(status.success(), "the functions do not build");
    }
    Ok(())
}

fn set_scene(figures: &mut Figures, quick: bool) {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':')).map_or("unknown", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    figures.set("machine", format!("{cores} × {model}, {} {}", std::env::consts::OS, std::env::consts::ARCH));
    if quick {
        figures.set("mode", "quick: these figures say nothing");
    }
}

/// How much the server has written to its log.
async fn written(superuser: &Client) -> Result<f64> {
    Ok(superuser.query_typed("select (pg_current_wal_insert_lsn() - '0/0')::float8", &[]).await?[0].try_get(0)?)
}

async fn version(client: &Client) -> Result<String> {
    Ok(client.query_typed("show server_version", &[]).await?[0].try_get(0)?)
}

#[cfg(test)]
mod tests {
    use super::subjects::Endpoint;

    #[test]
    fn every_endpoint_is_measured() {
        let measured: std::collections::BTreeSet<&str> =
            Endpoint::ALL.into_iter().chain(Endpoint::OTHERS).map(Endpoint::function).collect();
        assert_eq!(measured, local::project::functions(), "`Endpoint` in tools/bench/src/subjects.rs has every function");
    }
}
