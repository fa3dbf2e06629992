//! What a tool is doing, for somebody who waits: a line when it begins, and one when it took long.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// What takes less than this needs no second line.
const LONG: Duration = Duration::from_secs(2);

/// Something that is going on. Dropping it ends it.
#[derive(Debug)]
pub struct Step {
    what: String,
    started: Instant,
}

/// Says that `what` is going on.
#[must_use]
pub fn step(what: impl Display) -> Step {
    let what = what.to_string();
    eprintln!("{what} …");
    Step { what, started: Instant::now() }
}

impl Drop for Step {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        if took >= LONG && !std::thread::panicking() {
            eprintln!("{}: {:.0} s", self.what, took.as_secs_f64());
        }
    }
}
