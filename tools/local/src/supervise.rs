//! Child processes that exit when their parent dies, even by SIGKILL. Each has a watcher, a few lines of `sh`, which waits for the end of a
//! pipe that only this process holds. The kernel closes that pipe even when no destructor runs.
//!
//! `PR_SET_PDEATHSIG` would be shorter, but it fires when the *thread* that started the program ends, and it is Linux alone.

use std::ffi::OsStr;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

/// The watcher is started first and stays in the background. Then the shell becomes the program, so that the process id and the exit status
/// are the program's own. Both are in a process group of their own, which a terminal's Ctrl-C does not reach: the parent decides the order in
/// which its children end. While the watcher lives, the kernel gives the group's id to no other process.
const WATCHER: &str = r#"
signal=$1; leftover=$2; shift 2
exec 3<&0
{
    trap '' HUP INT TERM
    read -r _ <&3
    kill -s "$signal" -- "-$$"
    ticks=0
    while kill -0 "$$" && [ "$ticks" -lt 200 ]; do sleep 0.05; ticks=$((ticks + 1)); done
    [ -z "$leftover" ] || rm -rf "$leftover"
    kill -s KILL -- "-$$"
} 2>/dev/null &
exec "$@" </dev/null >&2 3<&-
"#;

/// What asks a program to end. Ten seconds later it is killed.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// Postgres: disconnect everybody and shut down cleanly, now.
    Interrupt,
    /// Everything else.
    Terminate,
}

/// A command to give to [`Supervised::start`]; add arguments, environment and user to it as usual. After the program's end, `leftover` is
/// deleted.
///
/// Its standard input is empty, and what it prints goes to its standard error.
#[must_use]
pub fn command(program: impl AsRef<OsStr>, stop: Stop, leftover: Option<&Path>) -> Command {
    let signal = match stop {
        Stop::Interrupt => "INT",
        Stop::Terminate => "TERM",
    };
    let mut command = Command::new("sh");
    command.args(["-c", WATCHER, "supervise", signal]).arg(leftover.unwrap_or(Path::new(""))).arg(program.as_ref());
    command
}

/// A running program. Dropping it ends the program and waits until it and its watcher are gone.
#[derive(Debug)]
pub struct Supervised {
    child: Child,
    /// Held open, never written to.
    lifeline: Option<PipeWriter>,
    /// Reads nothing: its end is the watcher's end.
    watcher: PipeReader,
}

impl Supervised {
    /// Starts what [`command`] made.
    ///
    /// # Errors
    /// When there is no `sh`, or no process to be had. A program that does not exist ends with status 127 instead, after `sh` has said so.
    pub fn start(mut command: Command) -> io::Result<Self> {
        let (end, lifeline) = io::pipe()?;
        let (watcher, done) = io::pipe()?;
        let child = command.process_group(0).stdin(end).stdout(done).spawn()?;
        Ok(Self { child, lifeline: Some(lifeline), watcher })
    }

    /// How the program ended, or `None` while it runs.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for the program to end by itself.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends the program, and waits until it and its watcher are gone.
    pub fn stop(&mut self) {
        self.lifeline.take();
        // Nothing can be done about an error here, and the watcher does its work without us.
        let _ = self.child.wait();
        let _ = self.watcher.read(&mut [0]);
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn dropping_ends_the_program_and_deletes_its_directory() {
        let directory = std::env::temp_dir().join(format!("supervise-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let mut command = command("sleep", Stop::Terminate, Some(&directory));
        command.arg("60");
        let mut program = Supervised::start(command).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        assert!(program.try_wait().unwrap().is_none());
        let start = Instant::now();
        drop(program);
        assert!(start.elapsed() < Duration::from_secs(5));
        assert!(!directory.exists());
    }

    #[tokio::test]
    async fn a_program_that_ends_by_itself_hands_over_its_status() {
        let mut command = command("sh", Stop::Terminate, None);
        command.args(["-c", "exit 7"]);
        let mut program = Supervised::start(command).unwrap();
        assert_eq!(program.wait().await.unwrap().code(), Some(7));
    }
}
