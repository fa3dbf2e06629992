//! The floor of a statement: the program `floor-statement`, which runs what a function has sent by plain tokio-postgres.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use uuid::Uuid;

/// A statement as a function has sent it, to the byte.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Statement {
    pub(super) sql: String,
    /// Object ids.
    pub(super) types: Vec<u32>,
    /// In Postgres's binary form.
    pub(super) values: Vec<Option<Vec<u8>>>,
    /// An id in the values that has to be another one each time.
    pub(super) fresh: Option<Uuid>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Job<'a> {
    Prepare(&'a Statement),
    Run(usize),
    Connect,
}

/// The running program. Dropping it ends it.
pub(super) struct Client {
    process: Child,
    jobs: ChildStdin,
    times: BufReader<ChildStdout>,
    /// From its start to its first line: what any program takes that starts.
    pub(super) spawn: Duration,
}

impl Client {
    pub(super) fn start(binary: &Path, environment: &[(String, String)]) -> Result<Self> {
        let mut command = Command::new(binary);
        command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let started = Instant::now();
        let mut process = command.spawn().with_context(|| format!("cannot run {}", binary.display()))?;
        let jobs = process.stdin.take().context("its input is piped")?;
        let mut times = BufReader::new(process.stdout.take().context("its output is piped")?);
        times.read_line(&mut String::new())?;
        Ok(Self { process, jobs, times, spawn: started.elapsed() })
    }

    /// From now on this statement.
    pub(super) fn prepare(&mut self, statement: &Statement) -> Result<()> {
        self.order(&Job::Prepare(statement))
    }

    /// The times in ms of so many runs on a connection that it keeps, and last the CPU time that they took together.
    pub(super) fn run(&mut self, times: usize) -> Result<Vec<f64>> {
        self.order(&Job::Run(times))?;
        self.read()
    }

    /// The times in ms of the parts of a cold start: TLS connector, TCP and TLS, authentication, statement.
    pub(super) fn connect(&mut self) -> Result<Vec<f64>> {
        self.order(&Job::Connect)?;
        self.read()
    }

    fn order(&mut self, job: &Job<'_>) -> Result<()> {
        Ok(writeln!(self.jobs, "{}", serde_json::to_string(job)?)?)
    }

    fn read(&mut self) -> Result<Vec<f64>> {
        let mut line = String::new();
        self.times.read_line(&mut line)?;
        serde_json::from_str(&line).context("floor-statement fails, as it says above")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
