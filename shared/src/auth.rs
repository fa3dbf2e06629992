//! Who is calling, and for whom.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::AuthMode;
use crate::error::{Error, Fault, Invalid, Result};
use crate::models::UserId;

/// Who is calling. Every statement takes its owner, so that none can forget to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A user, for whom only their own conversations exist.
    User(UserId),
    /// A back end that acts for its users.
    Service,
    /// Anybody, on a machine of one's own (`AUTH_MODE=off`).
    Anyone,
}

impl Caller {
    /// Reads the claims of a JWT that API Gateway has checked.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`]: no claims, or no `sub` that could be a user id.
    pub(crate) fn identify(claims: Option<&BTreeMap<String, Value>>, mode: &AuthMode) -> Result<Self> {
        let AuthMode::Claims { service_scope } = mode else { return Ok(Self::Anyone) };
        let claims = claims.ok_or(Error::Unauthenticated)?;
        if let (Some(wanted), Some(scope)) = (service_scope, claims.get("scope").and_then(Value::as_str))
            && scope.split_ascii_whitespace().any(|scope| scope == wanted)
        {
            return Ok(Self::Service);
        }
        let sub = claims.get("sub").and_then(Value::as_str).ok_or(Error::Unauthenticated)?;
        UserId::parse(sub).map(Self::User).map_err(|_| Error::Unauthenticated)
    }

    /// The user whose rows a statement may see. `None`: every user's.
    pub(crate) fn owner(&self) -> Option<&str> {
        match self {
            Self::User(user_id) => Some(user_id.as_str()),
            Self::Service | Self::Anyone => None,
        }
    }

    /// The user that a request is about: the one that it names, or else the caller.
    ///
    /// # Errors
    /// [`Error::Forbidden`]: another user than the caller. `missing_parameter`: nobody is named, and the caller is no user.
    pub fn acting_for(&self, named: Option<UserId>) -> Result<UserId> {
        match (self, named) {
            (Self::User(caller), Some(named)) if *caller != named => Err(Error::Forbidden),
            (Self::User(caller), _) => Ok(caller.clone()),
            (Self::Service | Self::Anyone, Some(named)) => Ok(named),
            (Self::Service | Self::Anyone, None) => {
                Err(Invalid::new(Fault::Missing, "user_id is required: 1 to 255 characters").at("user_id"))
            }
        }
    }

    /// For the log.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Service => "service",
            Self::Anyone => "anyone",
        }
    }
}
