//! Which call a result belongs to: what `units` decides, and `turns` reads.

/// Where in a message a call or a result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    /// Element of `tool_calls`.
    ToolCalls(usize),
    /// Content part.
    Part(usize),
    /// The message itself is the result.
    Message,
}

/// Which call of a conversation: the position of its message, and its place there as it is stored.
pub(crate) type CallKey = (i64, Place);

/// Which calls and results of the messages that are sent belong together. Each call is in one message, and its result in one. Most messages
/// have neither.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pairs(Option<Box<(Vec<CallKey>, Vec<CallKey>)>>);

impl Pairs {
    pub(crate) fn of(calls: Vec<CallKey>, results: Vec<CallKey>) -> Self {
        Self(Some(Box::new((calls, results))))
    }

    /// The calls that the message has, in the order of their places. A part that is a call and its result in one is not among them.
    pub(crate) fn calls(&self) -> &[CallKey] {
        self.0.as_deref().map_or(&[], |(calls, _)| calls)
    }

    /// The calls that the message's results answer, in the order of the results.
    pub(crate) fn results(&self) -> &[CallKey] {
        self.0.as_deref().map_or(&[], |(_, results)| results)
    }
}
