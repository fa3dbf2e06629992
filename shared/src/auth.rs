//! Who is calling, for whom, and which roles they may write.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{Error, Fault, Invalid, Result};
use crate::models::{Content, Role, UserId};

/// The claims of a token, as API Gateway hands them over.
pub(crate) type Claims = BTreeMap<String, Value>;

/// Who may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthMode {
    /// The claims of a JWT that API Gateway has checked say who is calling.
    Claims {
        /// A token with this scope may act for any user; `None`: no token may.
        service_scope: Option<String>,
        /// The roles that a user's own token may write.
        user_roles: Roles,
    },
    /// Everybody may do everything: for a machine of one's own.
    Off,
}

/// Who is calling. Every statement takes its owner, so that none can forget to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A user, for whom only their own conversations exist.
    User {
        /// The token's `sub`.
        id: UserId,
        /// What the user's own token may write.
        roles: Roles,
    },
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
    pub(crate) fn identify(claims: Option<&Claims>, mode: &AuthMode) -> Result<Self> {
        let AuthMode::Claims { service_scope, user_roles } = mode else { return Ok(Self::Anyone) };
        let claims = claims.ok_or(Error::Unauthenticated)?;
        if service_scope.as_deref().is_some_and(|wanted| has_scope(claims, wanted)) {
            return Ok(Self::Service);
        }
        let sub = claims.get("sub").and_then(Value::as_str).ok_or(Error::Unauthenticated)?;
        let id = UserId::parse(sub).map_err(|_| Error::Unauthenticated)?;
        Ok(Self::User { id, roles: user_roles.clone() })
    }

    /// The user whose rows a statement may see. `None`: every user's.
    pub(crate) fn owner(&self) -> Option<&str> {
        match self {
            Self::User { id, .. } => Some(id.as_str()),
            Self::Service | Self::Anyone => None,
        }
    }

    /// The roles of the messages that the caller may write. `None`: every role.
    pub(crate) fn roles(&self) -> Option<Vec<&'static str>> {
        match self {
            Self::User { roles, .. } => Some(roles.0.iter().map(|role| role.as_str()).collect()),
            Self::Service | Self::Anyone => None,
        }
    }

    /// The user that a request is about: the one that it names, or else the caller.
    ///
    /// # Errors
    /// [`Error::Forbidden`]: another user than the caller. `missing_parameter`: nobody is named, and the caller is no user.
    pub fn acting_for(&self, named: Option<UserId>) -> Result<UserId> {
        match (self, named) {
            (Self::User { id, .. }, Some(named)) if *id != named => Err(Error::Forbidden),
            (Self::User { id, .. }, _) => Ok(id.clone()),
            (Self::Service | Self::Anyone, Some(named)) => Ok(named),
            (Self::Service | Self::Anyone, None) => {
                Err(Invalid::new(Fault::Missing, "user_id is required: 1 to 255 characters").at("user_id"))
            }
        }
    }

    /// Whether the caller may write this role. `param` names the field that would have it.
    ///
    /// # Errors
    /// [`Error::RoleForbidden`].
    pub(crate) fn may_write(&self, role: Role, param: impl FnOnce() -> String) -> Result<()> {
        match self {
            Self::User { roles, .. } if !roles.0.contains(&role) => Err(self.role_forbidden(param())),
            _ => Ok(()),
        }
    }

    /// Whether the caller may write this content. A tool's result belongs to the role `tool`. Some APIs put it into the content parts of
    /// another role's message, and contexts send it to the model as the tool's answer all the same.
    ///
    /// # Errors
    /// [`Error::RoleForbidden`].
    pub(crate) fn may_say(&self, content: Option<&Content>, param: impl FnOnce() -> String) -> Result<()> {
        if content.is_some_and(Content::has_results) { self.may_write(Role::Tool, param) } else { Ok(()) }
    }

    /// What the caller is told about a role that is not theirs to write.
    pub(crate) fn role_forbidden(&self, param: impl Into<String>) -> Error {
        let roles = self.roles().unwrap_or_default();
        let may = if roles.is_empty() {
            "no messages".to_owned()
        } else {
            format!("only messages and tool results of these roles: {}", roles.join(", "))
        };
        let detail = format!("a user's own token may write {may}; for others, use a token with the service scope");
        Error::RoleForbidden { param: param.into(), detail }
    }

    /// For the log.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::User { .. } => "user",
            Self::Service => "service",
            Self::Anyone => "anyone",
        }
    }
}

/// Whether a token has been granted this scope, by `scope` or by `scp`.
///
/// Providers write a string with spaces or an array. API Gateway's authorizer hands every claim over as a string, and writes the array
/// `["a", "b"]` as `[a b]`.
fn has_scope(claims: &Claims, wanted: &str) -> bool {
    ["scope", "scp"].iter().filter_map(|name| claims.get(*name)).any(|claim| match claim {
        Value::String(text) => {
            let list = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
            list.split_ascii_whitespace().any(|scope| scope == wanted)
        }
        Value::Array(scopes) => scopes.iter().any(|scope| scope == wanted),
        _ => false,
    })
}

/// Roles of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(Vec<Role>);

impl Roles {
    /// Reads roles that commas separate, or `none`.
    ///
    /// ```
    /// use shared::auth::Roles;
    /// assert!(Roles::parse("user,assistant").is_ok() && Roles::parse("none").is_ok());
    /// assert!(Roles::parse("user,admin").is_err() && Roles::parse("").is_err());
    /// ```
    ///
    /// # Errors
    /// A word is not a role.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text == "none" {
            return Ok(Self(Vec::new()));
        }
        text.split(',').map(|role| Ok(Role::parse(role.trim())?)).collect::<Result<_, _>>().map(Self)
    }
}

/// What users may write unless the environment says otherwise. A client that could write the assistant's or the system's messages could
/// make the model believe anything.
impl Default for Roles {
    fn default() -> Self {
        Self(vec![Role::User])
    }
}

/// The application that a token was issued to, for the log: `client_id`, or else `azp`. One that is the user's own id is left out.
pub(crate) fn client(claims: &Claims, caller: &Caller) -> Option<String> {
    let client = ["client_id", "azp"].iter().find_map(|name| claims.get(*name)?.as_str())?;
    let printable = client.len() <= 128 && client.bytes().all(|byte| byte.is_ascii_graphic());
    (printable && caller.owner() != Some(client)).then(|| client.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(claims: &Value) -> Claims {
        serde_json::from_value(claims.clone()).unwrap()
    }

    #[test]
    fn a_scope_is_read_in_every_spelling() {
        let has = |value: Value| has_scope(&claims(&value), "a/b");
        for granted in [json!("a/b"), json!("openid a/b email"), json!("[openid a/b]"), json!("[a/b]"), json!(["openid", "a/b"])] {
            assert!(has(json!({"scope": granted})) && has(json!({"scp": granted})), "{granted}");
            assert!(has(json!({"scope": "openid", "scp": granted})), "{granted}");
            assert!(!has(json!({"permissions": granted})), "{granted}");
        }
        let others = [json!(null), json!(""), json!("a/bc"), json!("[a/b"), json!("a/b]"), json!("[[a/b]]"), json!("a,a/b")];
        for other in
            others.into_iter().chain([json!("A/B"), json!(["openid a/b"]), json!([["a/b"]]), json!({"a/b": true}), json!(1)])
        {
            assert!(!has(json!({"scope": other, "scp": other})), "{other}");
        }
    }

    #[test]
    fn the_log_names_a_tokens_application_and_not_its_user() {
        let user = Caller::User { id: UserId::parse("ada").unwrap(), roles: Roles::default() };
        let client = |value: Value, caller: &Caller| client(&claims(&value), caller);
        assert_eq!(client(json!({"client_id": "web", "azp": "other"}), &user).as_deref(), Some("web"));
        assert_eq!(client(json!({"azp": "web"}), &user).as_deref(), Some("web"));
        assert_eq!(client(json!({"client_id": "ada"}), &user), None);
        assert_eq!(client(json!({"client_id": "back-end", "sub": "back-end"}), &Caller::Service).as_deref(), Some("back-end"));
        for odd in [json!(1), json!("a b"), json!("a\nb"), json!("x".repeat(129))] {
            assert_eq!(client(json!({"client_id": odd}), &user), None);
        }
    }
}
