//! Versions of a conversation, and the ETags that carry them.

use crate::invalid::{Fault, Invalid};

/// A conversation's version: from 1, moves with every change to it or to its messages.
///
/// One thing changes with time alone: a reply loses its writer. So what was read has a second part, which says which replies have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    pub(crate) number: i64,
    /// 0, or a hash of the replies that have lost their writers, among those that were read.
    pub(crate) abandoned: i64,
}

impl Version {
    /// A version without such replies.
    pub(crate) fn new(number: i64) -> Self {
        Self { number, abandoned: 0 }
    }

    /// As a strong ETag: `"17"`, or `"17-5eed"` with replies that have lost their writers. Quotes included.
    #[must_use]
    pub fn etag(self) -> String {
        format!("\"{}\"", self.tag())
    }

    /// The ETag without its quotes; the function `etag` in `message_status.sql` says the same.
    fn tag(self) -> String {
        let Self { number, abandoned } = self;
        if abandoned == 0 { number.to_string() } else { format!("{number}-{abandoned:x}") }
    }

    /// Reads an ETag of ours. `"017"` and `"+17"` are other tags than `"17"`.
    fn parse(tag: &str) -> Option<Self> {
        let (number, abandoned) = tag
            .split_once('-')
            .map_or((tag, 0), |(number, hash)| (number, u64::from_str_radix(hash, 16).map_or(0, u64::cast_signed)));
        Some(Self { number: number.parse().ok()?, abandoned }).filter(|version| version.tag() == tag)
    }
}

/// What `If-Match` or `If-None-Match` names (RFC 9110, 13.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ETags {
    /// `*`
    Any,
    /// These versions. An ETag that is none of ours matches nothing, so it is not among them.
    Versions(Vec<Version>),
}

impl ETags {
    /// Whether it names this version.
    #[must_use]
    pub fn matches(&self, version: Version) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(versions) => versions.contains(&version),
        }
    }

    /// The ETags that a caller of a conditional read has, for SQL; `None`: any.
    pub(crate) fn known(if_none_match: Option<&Self>) -> Option<Vec<String>> {
        match if_none_match {
            None => Some(Vec::new()),
            Some(Self::Any) => None,
            Some(Self::Versions(versions)) => Some(versions.iter().map(|version| version.tag()).collect()),
        }
    }

    /// The numbers of the versions, for SQL; `None`: any. A write goes by the version alone.
    pub(crate) fn versions(&self) -> Option<Vec<i64>> {
        match self {
            Self::Any => None,
            Self::Versions(versions) => Some(versions.iter().map(|version| version.number).collect()),
        }
    }

    /// Reads either header. `W/"17"` is `"17"`, in `If-Match`, too: proxies that compress a response make its ETag weak.
    ///
    /// # Errors
    /// The header is not `*` or a list of ETags.
    pub fn parse(header: &str) -> Result<Self, Invalid> {
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
            let opened = rest.strip_prefix("W/").unwrap_or(rest);
            let (tag, after) = opened.strip_prefix('"').and_then(|tag| tag.split_once('"')).ok_or_else(invalid)?;
            if let Some(version) = Version::parse(tag) {
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
        let versions = |numbers: &[i64]| Ok(ETags::Versions(numbers.iter().copied().map(Version::new).collect()));
        assert_eq!(ETags::parse(r#""1", W/"2" ,"x,y""#), versions(&[1, 2]));
        assert_eq!(ETags::parse(" * "), Ok(ETags::Any));
        for other in ["017", "+17", "17-", "17-0", "17-05", "17-A", "17--5", "17-+5", "17-10000000000000000"] {
            assert_eq!(ETags::parse(&format!("\"{other}\"")), versions(&[]), "{other}");
        }
        for abandoned in [1, -1, i64::MIN, i64::MAX] {
            let version = Version { number: 17, abandoned };
            assert_eq!(ETags::parse(&version.etag()), Ok(ETags::Versions(vec![version])));
        }
        assert_eq!(Version { number: 17, abandoned: -1 }.etag(), "\"17-ffffffffffffffff\"");
    }

    #[test]
    fn what_is_no_etag_is_refused() {
        for header in ["5", "\"5", "W/5", "\"5\"6", "\"5\" \"6\"", "*, \"5\""] {
            assert!(ETags::parse(header).is_err(), "{header}");
        }
    }
}
