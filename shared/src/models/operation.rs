//! What a write is recognized by when it is sent again.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A write that is done once, however often it is sent.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The caller's `Idempotency-Key`, or an id of this request's own. It is fixed before the first attempt.
    pub(crate) id: Uuid,
    /// Whether the caller chose the id. One that we have made up can only have been sent by us.
    pub(crate) id_is_given: bool,
    /// A digest of what the request says.
    said: [u8; 32],
}

impl Operation {
    /// A write that says this: the texts of its path, its query string and its body.
    #[must_use]
    pub fn new(key: Option<Uuid>, said: &[&str]) -> Self {
        let mut digest = Sha256::new();
        for text in said {
            digest.update(text.len().to_be_bytes());
            digest.update(text);
        }
        Self { id: key.unwrap_or_else(Uuid::now_v7), id_is_given: key.is_some(), said: digest.finalize().into() }
    }

    /// A digest of the request to a function. Another request with the same key has another one, but for one in four billion.
    pub(crate) fn request(&self, function: &str) -> i32 {
        let digest: [u8; 32] = Sha256::new().chain_update(self.said).chain_update(function).finalize().into();
        i32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
    }
}
