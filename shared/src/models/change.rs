//! What an edit does to a value that may be null.

/// JSON tells a field that is not there from one that is null, and so does an edit.
#[derive(Debug, Clone)]
pub enum Change<T> {
    /// Not mentioned: it stays.
    Keep,
    /// Null.
    Clear,
    Set(T),
}

impl<T> Change<T> {
    #[must_use]
    pub fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    #[must_use]
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }
}
