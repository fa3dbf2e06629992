//! Versions of a conversation, and the ETags that carry them.

use crate::error::{Fault, Invalid};

/// A conversation's version: from 1, moves with every change to it or to its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(pub(crate) i64);

impl Version {
    /// As a strong ETag: `"17"`, quotes included.
    #[must_use]
    pub fn etag(self) -> String {
        format!("\"{}\"", self.0)
    }
}

/// What `If-Match` or `If-None-Match` names (RFC 9110, 13.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ETags {
    /// `*`
    Any,
    /// These versions. An ETag that is none of ours matches nothing, so it is not among them.
    Versions(Vec<i64>),
}

impl ETags {
    /// Reads `If-Match`, which compares strongly: a weak ETag matches nothing.
    ///
    /// # Errors
    /// The header is not `*` or a list of ETags.
    pub fn if_match(header: &str) -> Result<Self, Invalid> {
        Self::parse(header, false)
    }

    /// Reads `If-None-Match`, which compares weakly: `W/"17"` is `"17"`.
    ///
    /// # Errors
    /// The header is not `*` or a list of ETags.
    pub fn if_none_match(header: &str) -> Result<Self, Invalid> {
        Self::parse(header, true)
    }

    /// Whether it names this version.
    #[must_use]
    pub fn matches(&self, version: Version) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(versions) => versions.contains(&version.0),
        }
    }

    /// The versions that a caller of a conditional read has, for SQL; `None`: any.
    pub(crate) fn known(if_none_match: Option<&Self>) -> Option<&[i64]> {
        if_none_match.map_or(Some(&[]), Self::versions)
    }

    /// The versions, for SQL; `None`: any.
    pub(crate) fn versions(&self) -> Option<&[i64]> {
        match self {
            Self::Any => None,
            Self::Versions(versions) => Some(versions),
        }
    }

    fn parse(header: &str, weak_too: bool) -> Result<Self, Invalid> {
        let invalid =
            || Invalid::new(Fault::Parameter, "must be an ETag as a response gave it, quotes included, such as \"17\"; or *");
        if header.trim() == "*" {
            return Ok(Self::Any);
        }
        let mut versions = Vec::new();
        let mut rest = header;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                break;
            }
            let (weak, opened) = rest.strip_prefix("W/").map_or((false, rest), |opened| (true, opened));
            let (tag, after) = opened.strip_prefix('"').and_then(|tag| tag.split_once('"')).ok_or_else(invalid)?;
            // `"017"` and `"+17"` are other tags than `"17"`.
            if let Ok(version) = tag.parse::<i64>()
                && version.to_string() == tag
                && (weak_too || !weak)
            {
                versions.push(version);
            }
            rest = after;
            if !rest.trim_start().is_empty() && !rest.trim_start().starts_with(',') {
                return Err(invalid());
            }
        }
        Ok(Self::Versions(versions))
    }
}

/// The result of a read with `If-None-Match`, and the conversation's version.
#[derive(Debug, Clone)]
pub enum Conditional<T> {
    /// The caller has this version.
    NotModified(Version),
    /// What was read, because the caller has no version or another one.
    Modified(T, Version),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_weak_tags_are_read() {
        assert_eq!(ETags::if_none_match(r#""1", W/"2" ,"x,y""#), Ok(ETags::Versions(vec![1, 2])));
        assert_eq!(ETags::if_match(r#"W/"2", "3""#), Ok(ETags::Versions(vec![3])));
        assert_eq!(ETags::if_match(" * "), Ok(ETags::Any));
        assert_eq!(ETags::if_match(r#""017""#), Ok(ETags::Versions(vec![])));
    }

    #[test]
    fn what_is_no_etag_is_refused() {
        for header in ["5", "\"5", "W/5", "\"5\"6", "\"5\" \"6\"", "*, \"5\""] {
            assert!(ETags::if_match(header).is_err(), "{header}");
        }
    }
}
