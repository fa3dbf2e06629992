//! What the tool is doing, for somebody who waits: a spinner on a terminal, a line elsewhere.

use std::borrow::Cow;
use std::time::Duration;

use indicatif::ProgressBar;

/// Something that is going on. Dropping it says that it is over.
#[derive(Debug)]
pub struct Step(ProgressBar);

/// Shows that `what` is going on.
#[must_use]
pub fn step(what: impl Into<Cow<'static, str>>) -> Step {
    let what = what.into();
    let bar = ProgressBar::new_spinner();
    if bar.is_hidden() {
        eprintln!("{what} …");
    }
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(100));
    Step(bar)
}

impl Drop for Step {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
