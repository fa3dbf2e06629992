//! Which part of a conversation's history is asked for.

use uuid::Uuid;

use crate::invalid::{Fault, Invalid};

/// A range of a conversation's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryRange {
    /// The messages between two positions, both exclusive.
    Between {
        /// From 0: only messages behind this position.
        after: i64,
        /// Only messages before this position.
        before: i64,
        /// The newest first.
        newest_first: bool,
        /// At most so many, 1 to 1000; `None`: all that fit in a response.
        limit: Option<i64>,
    },
    /// The newest so many (1 to 1000), in chronological order.
    Last(i64),
}

impl HistoryRange {
    /// Reads an order: whether the newest come first.
    pub fn order(text: &str) -> Result<bool, Invalid> {
        match text {
            "asc" => Ok(false),
            "desc" => Ok(true),
            _ => Err(Invalid::new(Fault::Parameter, "an order is asc (the default) or desc")),
        }
    }

    /// The query string that goes on behind the last message that was sent, after `sent` of them.
    #[must_use]
    pub fn next(self, last: i64, sent: usize) -> String {
        match self {
            Self::Last(wanted) => {
                let left = wanted.saturating_sub(i64::try_from(sent).unwrap_or(i64::MAX)).max(1);
                format!("after={last}&limit={left}")
            }
            Self::Between { after, before, newest_first, limit } => {
                let (after, before) = if newest_first { (after, last) } else { (last, before) };
                let before = if before == i64::MAX { String::new() } else { format!("&before={before}") };
                let order = if newest_first { "&order=desc" } else { "" };
                let limit = limit.map_or_else(String::new, |limit| format!("&limit={limit}"));
                format!("after={after}{before}{order}{limit}")
            }
        }
    }
}

/// The line that a conversation is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewLine {
    /// Its last message. `None`: it has none.
    pub message_id: Option<Uuid>,
    /// Whether it goes on below that message, to the newest one at each step.
    pub newest: bool,
}

/// Which of a conversation's messages a history is of, and what it says of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HistoryOf {
    /// The path that ends with this message, in the place of the current line.
    pub line: Option<Uuid>,
    /// All messages, kept ones included, each with its parent.
    pub all: bool,
    /// Each message has its versions.
    pub versions: bool,
}

impl HistoryOf {
    /// What it adds to the query string of the next page.
    #[must_use]
    pub fn parameters(self) -> String {
        let line = self.line.map_or_else(String::new, |line| format!("&line={line}"));
        let all = if self.all { "&all=true" } else { "" };
        let versions = if self.versions { "&include=versions" } else { "" };
        format!("{line}{all}{versions}")
    }

    /// Reads what a message has beside its own members: `versions` is all that there can be.
    pub fn versions(text: &str) -> Result<bool, Invalid> {
        match text {
            "versions" => Ok(true),
            _ => Err(Invalid::new(Fault::Parameter, "a message can include versions")),
        }
    }
}
