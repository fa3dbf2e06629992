//! Why a value is refused. The types of [`models`](crate::models) say so, and [`Error`](crate::Error) says where the value stood.

/// Why a value was refused, before it is known which field it came from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Invalid {
    /// The kind of fault.
    pub fault: Fault,
    /// What was wrong and what would be right, for the caller.
    pub detail: String,
}

/// The kinds of malformed input, one for each `code` of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An id that is not a hyphenated UUID.
    Uuid,
    /// A parameter of the wrong type, or out of its range.
    Parameter,
    /// A body that is not the JSON object that was asked for.
    Body,
    /// A character that can't be stored.
    Character,
    /// The same field twice.
    Ambiguous,
    /// A required field is not there.
    Missing,
    /// A field that the endpoint does not have.
    Unknown,
    /// More than the limit of its kind.
    TooLarge,
}

/// A value that another crate has refused. The text says what would be right.
impl From<&'static str> for Invalid {
    fn from(detail: &'static str) -> Self {
        Self::new(Fault::Parameter, detail)
    }
}

impl Invalid {
    /// A value that is refused, with what would be right.
    pub fn new(fault: Fault, detail: impl Into<String>) -> Self {
        Self { fault, detail: detail.into() }
    }
}
