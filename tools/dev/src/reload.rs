//! Functions that run the code as it is now: it is watched, built when it changes, and swapped when it compiles. Stored functions are
//! created in the local database before that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use local::project::{self, project};
use local::runtime_api::Function;
use migrate::{database, migrations};
use notify::{RecursiveMode, Watcher};
use shared::queries::release;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

use crate::binary;

/// An editor writes several files, or one several times: after so long without a change, what is there is built.
const QUIET: Duration = Duration::from_millis(200);
/// What the functions are made of.
const SOURCES: [&str; 4] = ["functions", "context", "shared", "Cargo.toml"];

/// How to reach the local database as the owner of its schema.
pub(crate) struct Owner {
    pub(crate) url: String,
    pub(crate) certificate_authority: PathBuf,
}

impl Owner {
    /// Creates the stored functions as their files are now, if the database has none with this text. Those of the running code stay.
    async fn create_functions(&self) -> Result<()> {
        let mut files: Vec<PathBuf> =
            project().join("shared/src/queries").read_dir()?.map(|file| Ok(file?.path())).collect::<Result<_>>()?;
        files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
        files.sort();
        let sql: String = files.iter().map(std::fs::read_to_string).collect::<std::io::Result<_>>()?;
        let client = database::connect(&self.url, Some(&self.certificate_authority)).await?;
        migrations::create_functions(&client, &release::schema(&sql), &sql).await?;
        Ok(())
    }
}

/// Builds the functions.
async fn build() -> Result<()> {
    let mut cargo = tokio::process::Command::from(project::build());
    let status = cargo.kill_on_drop(true).status().await.context("cannot run cargo")?;
    ensure!(status.success(), "the functions do not compile; cargo's messages are above");
    Ok(())
}

/// Builds the functions when their code changes, and has those run anew whose binary is another one then.
pub(crate) async fn watch(functions: &BTreeMap<&'static str, Function>, owner: Option<Owner>, wanted: bool) -> Result<()> {
    if !wanted {
        return std::future::pending().await;
    }
    let (sender, mut changes) = unbounded_channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // What is only read has not changed.
        if event.is_ok_and(|event| !event.kind.is_access() && event.paths.iter().any(|path| is_source(path))) {
            let _ = sender.send(());
        }
    })
    .context("cannot watch the functions' code; --no-watch does without")?;
    for source in SOURCES {
        let path = project().join(source);
        watcher.watch(&path, RecursiveMode::Recursive).with_context(|| format!("cannot watch {}", path.display()))?;
    }
    while changes.recv().await.is_some() {
        while timeout(QUIET, changes.recv()).await.is_ok() {}
        let before = built(functions);
        let started = Instant::now();
        if let Some(owner) = &owner
            && let Err(error) = owner.create_functions().await
        {
            eprintln!("Cannot create the stored functions: {error:#}. The functions as they were go on serving.");
            continue;
        }
        if build().await.is_err() {
            eprintln!("The functions as they were go on serving.");
            continue;
        }
        let mut renewed = Vec::new();
        for (name, time) in built(functions) {
            if before.get(name) != Some(&time) {
                functions[name].renew();
                renewed.push(name);
            }
        }
        if !renewed.is_empty() {
            eprintln!("Built in {:.1} s, and serving: {}", started.elapsed().as_secs_f64(), renewed.join(", "));
        }
    }
    Ok(())
}

fn is_source(path: &Path) -> bool {
    path.extension().is_some_and(|extension| ["rs", "sql", "toml"].iter().any(|known| extension == *known))
}

/// When each function was built.
fn built(functions: &BTreeMap<&'static str, Function>) -> BTreeMap<&'static str, SystemTime> {
    let time = |name: &&'static str| Some((*name, binary(name).metadata().and_then(|file| file.modified()).ok()?));
    functions.keys().filter_map(time).collect()
}
