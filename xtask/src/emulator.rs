//! cargo-lambda, which plays API Gateway and Lambda on this machine: found, or installed for this tool alone.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::supervise::{self, Stop, Supervised};
use crate::{directories, progress};

/// The version that is installed where there is none.
const INSTALLED: &str = "1.9.2";
/// The oldest that runs several instances of a function.
const OLDEST: (u32, u32) = (1, 9);

/// A program that takes `lambda watch …` as its arguments: cargo itself, or the private copy.
#[derive(Debug)]
pub struct CargoLambda(OsString);

/// The cargo that runs us.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

impl CargoLambda {
    /// Finds cargo-lambda, or installs a private copy: with pip, else from source.
    ///
    /// # Errors
    /// When neither works.
    pub async fn find() -> Result<Self> {
        let directory = directories::cache()?.join(format!("cargo-lambda-{INSTALLED}"));
        let private = directory.join("bin/cargo-lambda");
        for program in [cargo(), private.clone().into()] {
            if is_recent(&program) {
                return Ok(Self(program));
            }
        }
        // Renamed when it is complete: an interrupted installation is not mistaken for one.
        let unfinished = directory.with_file_name("cargo-lambda-unfinished");
        for path in [&directory, &unfinished] {
            if path.exists() {
                std::fs::remove_dir_all(path).with_context(|| format!("cannot delete {}", path.display()))?;
            }
        }
        std::fs::create_dir_all(&unfinished).with_context(|| format!("cannot make the directory {}", unfinished.display()))?;
        if !install_with_pip(&unfinished).await && !install_from_source(&unfinished).await? {
            bail!(
                "cargo-lambda cannot be installed: install version {INSTALLED} yourself (https://www.cargo-lambda.info), then try again"
            );
        }
        std::fs::rename(&unfinished, &directory)?;
        Ok(Self(private.into()))
    }

    /// The command that serves the functions of the workspace on `port` of 127.0.0.1, and starts them anew when their code changes.
    #[must_use]
    pub fn watch(&self, port: u16) -> Command {
        let mut command = supervise::command(&self.0, Stop::Terminate, None);
        command.args(["lambda", "watch", "--invoke-address", "127.0.0.1", "--invoke-port"]).arg(port.to_string());
        // A time-out would end idle functions, so there is none. Each instance serves one request at a time.
        command.args(["--concurrency", "2"]);
        // Each instance is a `cargo run`: of what those print, only errors. The emulator's own --quiet would hide these, too.
        command.env("CARGO_TERM_QUIET", "true");
        command
    }
}

fn is_recent(program: &OsString) -> bool {
    let Ok(output) = Command::new(program).args(["lambda", "--version"]).output() else { return false };
    parse_version(&String::from_utf8_lossy(&output.stdout)).is_some_and(|version| version >= OLDEST)
}

/// "cargo-lambda 1.9.2 (…)"
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("cargo-lambda ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// As a Python package it is ready to run. Without its dependencies: they are a cross-compiler that only a deployment needs.
async fn install_with_pip(directory: &Path) -> bool {
    let _step = progress::step(format!("installing cargo-lambda {INSTALLED}, for this tool alone"));
    let package = format!("cargo-lambda=={INSTALLED}");
    let environment = directory.join("environment");
    let python: PathBuf = "python3".into();
    let mut pip = tokio::process::Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]).arg(directory).arg(&package);
    if succeeds(pip).await {
        return true;
    }
    // Some systems have a Python without pip, but with the means to make an environment that has it.
    let mut create = tokio::process::Command::new(&python);
    create.args(["-m", "venv"]).arg(&environment);
    let mut pip = tokio::process::Command::new(environment.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]).arg(directory).arg(&package);
    succeeds(create).await && succeeds(pip).await
}

async fn succeeds(mut command: tokio::process::Command) -> bool {
    command.kill_on_drop(true).output().await.is_ok_and(|output| output.status.success())
}

async fn install_from_source(directory: &Path) -> Result<bool> {
    eprintln!("there is no pip to install cargo-lambda with; compiling it, which takes some minutes");
    let mut command = supervise::command(cargo(), Stop::Terminate, None);
    command.args(["install", "--locked", "--version", INSTALLED, "--root"]).arg(directory).arg("cargo-lambda");
    Ok(Supervised::start(command)?.wait().await?.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(parse_version("cargo-lambda 1.9.2 (2026-02-02Z)\n"), Some((1, 9)));
        assert!(parse_version("cargo-lambda 1.10.0") >= Some(OLDEST));
        assert!(parse_version("cargo-lambda 1.8.6") < Some(OLDEST));
        assert_eq!(parse_version("error: no such command: `lambda`"), None);
    }
}
