//! One error for the whole crate, and what becomes of it.
//!
//! An error has two readers. The caller reads [`Error::status`], [`Error::code`], [`Error::param`] and [`Error::detail`]: what was
//! wrong with the request and what would be right. The operator reads the log: the error itself with the chain of its sources, text
//! from the database included. `detail` has no access to a source, so that no statement, host name or other user's data can get into it.

use lambda_http::http::StatusCode;
use tokio_postgres::error::{DbError, SqlState};

pub use crate::invalid::{Fault, Invalid};
use crate::models::Version;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong with a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request says something that can't be; `param` is the path of the field at fault, such as `messages[3].role`.
    #[error("{}", .invalid.detail)]
    Invalid {
        /// Where, if it is in one place.
        param: Option<String>,
        /// What.
        invalid: Invalid,
    },
    /// The event carries no identity.
    #[error("no identity in the event")]
    Unauthenticated,
    /// The caller acts for another user.
    #[error("the caller may not act for this user")]
    Forbidden,
    /// The caller writes a role that is not theirs to write.
    #[error("the caller may not write this role")]
    RoleForbidden {
        /// The path of the field.
        param: String,
        /// Which roles the caller may write.
        detail: String,
    },
    /// Only a back end may do this.
    #[error("only a caller with the service scope may do this")]
    ServiceOnly,
    /// No such conversation or message, or another user's: nobody is told which.
    #[error("no such conversation or message for this caller")]
    NotFound,
    /// An id that exists with other content or another owner.
    #[error("the id is taken")]
    Conflict {
        /// The path of the id.
        param: String,
    },
    /// A line of an import that is stored with other content, or for another user.
    #[error("the line is stored with other content")]
    OtherContent {
        /// `line`, and its number.
        param: String,
    },
    /// A piece of a reply that belongs at another place.
    #[error("the content has another length")]
    OtherLength {
        /// The characters of the content.
        length: i64,
    },
    /// More of a reply that its reader has stopped.
    #[error("the reply is cancelled")]
    Cancelled,
    /// A message that is not being written, and so cannot be cancelled.
    #[error("the message has ended")]
    Ended,
    /// `If-Match` names another version.
    #[error("the version is another one")]
    PreconditionFailed(Version),
    /// An `Idempotency-Key` that came with another request.
    #[error("the key is that of another request")]
    KeyReused,
    /// A body that is not `application/x-ndjson`.
    #[error("the body is not application/x-ndjson")]
    NoLines,
    /// A body that is not `application/json`.
    #[error("the body is not application/json")]
    UnsupportedMediaType,
    /// A body in another encoding than UTF-8, or a compressed one.
    #[error("the body is encoded")]
    Encoded {
        /// What it is sent with, and what would be right.
        detail: String,
    },
    /// No connection to the database could be made, so that no statement was sent.
    #[error("cannot connect to the database")]
    Connect(#[source] tokio_postgres::Error),
    /// The database refused the statement, or the connection was lost before its answer.
    #[error("the database failed")]
    Database(#[source] tokio_postgres::Error),
    /// The database does not have the stored functions of this release.
    #[error(
        "the database has no schema {schema}: migrate first, from the sources of this binary, with `cargo xtask migrate`. The local database of \
         `cargo dev` is migrated when `cargo dev` starts in that checkout"
    )]
    NotMigrated {
        /// The schema of this release.
        schema: &'static str,
        /// What the database said.
        source: tokio_postgres::Error,
    },
    /// The database did not answer before the request's deadline.
    #[error("the database did not answer in time")]
    DatabaseTimeout,
    /// A fault of ours.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Invalid {
    /// Names the field.
    #[must_use]
    pub fn at(self, param: impl Into<String>) -> Error {
        Error::Invalid { param: Some(param.into()), invalid: self }
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid { param: None, invalid }
    }
}

impl Error {
    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Invalid { invalid, .. } if invalid.fault == Fault::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Invalid { .. } => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::RoleForbidden { .. } | Self::ServiceOnly => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Conflict { .. }
            | Self::OtherContent { .. }
            | Self::OtherLength { .. }
            | Self::KeyReused
            | Self::Cancelled
            | Self::Ended => StatusCode::CONFLICT,
            Self::PreconditionFailed(_) => StatusCode::PRECONDITION_FAILED,
            Self::UnsupportedMediaType | Self::NoLines | Self::Encoded { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Connect(_) | Self::Database(_) | Self::NotMigrated { .. } | Self::DatabaseTimeout | Self::Internal(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// The stable name of the error, for programs: the `code` of the problem document.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { invalid, .. } => match invalid.fault {
                Fault::Uuid => "invalid_uuid",
                Fault::Parameter => "invalid_parameter",
                Fault::Body => "invalid_body",
                Fault::Character => "invalid_character",
                Fault::Ambiguous => "ambiguous_parameter",
                Fault::Missing => "missing_parameter",
                Fault::Unknown => "unknown_parameter",
                Fault::TooLarge => "payload_too_large",
            },
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden | Self::RoleForbidden { .. } | Self::ServiceOnly => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict { .. } | Self::OtherContent { .. } | Self::OtherLength { .. } | Self::KeyReused | Self::Ended => {
                "conflict"
            }
            Self::Cancelled => "cancelled",
            Self::PreconditionFailed(_) => "precondition_failed",
            Self::UnsupportedMediaType | Self::NoLines | Self::Encoded { .. } => "unsupported_media_type",
            Self::Connect(_) | Self::Database(_) | Self::NotMigrated { .. } | Self::DatabaseTimeout => "database_error",
            Self::Internal(_) => "internal_error",
        }
    }

    /// The path of the field at fault, where there is one.
    #[must_use]
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Invalid { param, .. } => param.as_deref(),
            Self::Conflict { param } | Self::RoleForbidden { param, .. } | Self::OtherContent { param } => Some(param),
            Self::OtherLength { .. } => Some("at"),
            Self::Cancelled | Self::Ended => Some("status"),
            Self::PreconditionFailed(_) => Some("If-Match"),
            Self::KeyReused => Some("Idempotency-Key"),
            _ => None,
        }
    }

    /// The current version, where another one was named.
    pub(crate) fn version(&self) -> Option<Version> {
        match self {
            Self::PreconditionFailed(version) => Some(*version),
            _ => None,
        }
    }

    /// The characters of a content that a piece does not fit, for the member `length` of the problem.
    pub(crate) fn length(&self) -> Option<i64> {
        match self {
            Self::OtherLength { length } => Some(*length),
            _ => None,
        }
    }

    /// What the caller is told: what was wrong and what would be right.
    #[must_use]
    pub fn detail(&self) -> &str {
        match self {
            Self::Invalid { invalid, .. } => &invalid.detail,
            Self::Unauthenticated => "the request carries no identity; send a valid bearer token",
            Self::RoleForbidden { detail, .. } | Self::Encoded { detail } => detail,
            Self::Forbidden => "the token's sub is another user_id; leave user_id out, or use a token with the service scope",
            Self::ServiceOnly => "only a back end may do this; use a token with the service scope",
            Self::NotFound => "no such conversation or message",
            Self::Conflict { .. } => {
                "this id is stored with other content, or is another owner's; if this request may have been sent before, read what is stored"
            }
            Self::KeyReused => {
                "another request to this conversation came with this key; send a new UUID with each request, and the same one only when that \
                 request is sent again"
            }
            Self::OtherContent { .. } => {
                "the conversation or message of this line is stored with other content or for another user; nothing was stored"
            }
            Self::OtherLength { .. } => {
                "the content has as many characters as length says; send what comes behind them, with that length as at"
            }
            Self::Cancelled => "the reply was cancelled, and is kept as it is; stop the model",
            Self::Ended => "only a reply that is still being written can be cancelled; the status of this message is complete",
            Self::PreconditionFailed(_) => "the conversation has changed since; read it again and send its current ETag",
            Self::NoLines => "a body must be lines of JSON, sent with content-type: application/x-ndjson",
            Self::UnsupportedMediaType => "a body must be JSON, sent with content-type: application/json",
            Self::Connect(_) | Self::Database(_) | Self::NotMigrated { .. } => {
                "the database failed; the request can be sent again safely if it names its ids"
            }
            Self::DatabaseTimeout => {
                "the database did not answer in time; the request can be sent again safely if it names its ids"
            }
            Self::Internal(_) => "something failed on our side; the log has the cause under this request_id",
        }
    }

    /// The chain of causes, for the log. It has the server's message but not its details, because those may quote a row.
    pub(crate) fn cause(&self) -> String {
        chain(self)
    }

    /// The SQLSTATE, where the server has spoken.
    pub(crate) fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Connect(error) | Self::Database(error) | Self::NotMigrated { source: error, .. } => {
                error.code().map(SqlState::code)
            }
            _ => None,
        }
    }
}

/// An error and its sources, each behind the one that it caused.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        chain += ": ";
        if let Some(error) = error.downcast_ref::<DbError>() {
            chain += error.message();
            break;
        }
        chain += &error.to_string();
        source = error.source();
    }
    chain
}
