//! `cargo dev` and `cargo xtask …`: says what is about to happen, and runs the tool for it. It has no dependencies, so that there is
//! something to read from the first second on.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "Scrollback's tools, each with --help:

  cargo dev                      runs the whole API on this machine, with a database of its own
  cargo xtask token              prints a token for `cargo dev --jwt`
  cargo xtask load-transcripts   puts recorded conversations into a running API, and compares what comes back
  cargo xtask purge              deletes what has expired
  cargo xtask env                prints the environment of a function that uses the database of `cargo dev`, for a shell
  cargo xtask psql               opens the database of `cargo dev`
  cargo xtask migrate            brings a database's schema up to date
  cargo xtask bench              measures the functions against what they can't be faster than";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let name = arguments.next().unwrap_or_default();
    let arguments: Vec<OsString> = arguments.collect();
    match name.to_str() {
        Some("dev") => dev(&arguments),
        Some(name @ ("token" | "load-transcripts" | "env" | "psql")) => run(&["--package", "dev", "--bin", name], &arguments),
        Some("purge") => purge(&arguments),
        Some(name @ ("migrate" | "bench")) => run(&["--package", name], &arguments),
        Some("" | "help" | "--help" | "-h") => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("error: there is no tool {}\n\n{USAGE}", name.display());
            ExitCode::FAILURE
        }
    }
}

/// Compiles the local server and the functions in one go, then becomes the server.
fn dev(arguments: &[OsString]) -> ExitCode {
    let binaries = std::env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned)).unwrap_or_default();
    let server = binaries.join("dev");
    if !server.exists() {
        eprintln!(
            "Scrollback compiles its local server, its functions and OpenSSL. This took 2 minutes on 2 cores of an AMD EPYC. It \
             happens once: later starts take a second or two."
        );
    }
    let mut build = cargo();
    build.args(["build", "--package", "dev", "--bin", "dev", "--package", "functions"]);
    for function in functions() {
        build.arg("--bin").arg(function);
    }
    match build.status() {
        Ok(status) if status.success() => become_it(Command::new(server).args(arguments)),
        // Cargo has said why.
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: cannot run cargo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Compiles the function and the tool that runs it, then becomes the tool.
fn purge(arguments: &[OsString]) -> ExitCode {
    let tool = std::env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned)).unwrap_or_default().join("purge");
    let mut build = cargo();
    build.args(["build", "--package", "dev", "--bin", "purge", "--package", "functions", "--bin", "purge-expired"]);
    match build.status() {
        Ok(status) if status.success() => become_it(Command::new(tool).args(arguments)),
        // Cargo has said why.
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: cannot run cargo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The names of the folders in `functions/`, which are those of the binaries.
fn functions() -> Vec<OsString> {
    let entries = std::fs::read_dir(project().join("functions")).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name()).collect()
}

fn run(package: &[&str], arguments: &[OsString]) -> ExitCode {
    become_it(cargo().arg("run").args(package).arg("--").args(arguments))
}

/// The cargo that runs us, in the project's root, without what it says about this package: that makes some build scripts run again.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command.current_dir(project());
    command
}

/// Replaces this process: signals and exit status are then the program's own.
fn become_it(command: &mut Command) -> ExitCode {
    let error = command.exec();
    eprintln!("error: cannot run {}: {error}", command.get_program().display());
    ExitCode::FAILURE
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
