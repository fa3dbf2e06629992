//! Tokens for `cargo dev --jwt`: JWTs, signed and checked (HS256) with a key that never leaves this machine.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use uuid::Uuid;

use crate::directories;

/// The scope of a token that may act for every user, where `cargo dev` serves.
pub const SERVICE_SCOPE: &str = "scrollback/service";
/// For how long a token is good: a day's work.
const LIFETIME: Duration = Duration::from_hours(12);
const ISSUER: &str = "cargo-dev";
const AUDIENCE: &str = "scrollback";
/// `{"alg":"HS256","typ":"JWT"}`
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// The key of this user of this machine.
pub struct Key(Hmac<Sha256>);

impl Key {
    /// Reads the key, made when it is first needed.
    pub fn of_this_machine() -> Result<Self> {
        let directory = directories::cache()?;
        let path = directory.join("jwt-key");
        let unusable = || format!("cannot read or make the key {}", path.display());
        std::fs::create_dir_all(&directory).with_context(unusable)?;
        // Written to another file first, so that a reader never finds half a key.
        let mine = directory.join(format!("jwt-key-{}", Uuid::new_v4()));
        let secret = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        if !path.exists() {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&mine).with_context(unusable)?;
            file.write_all(secret.as_bytes()).with_context(unusable)?;
            let linked = std::fs::hard_link(&mine, &path);
            std::fs::remove_file(&mine).with_context(unusable)?;
            linked
                .or_else(|error| if error.kind() == ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })
                .with_context(unusable)?;
        }
        Self::new(&std::fs::read(&path).with_context(unusable)?)
    }

    fn new(secret: &[u8]) -> Result<Self> {
        Ok(Self(Hmac::new_from_slice(secret).context("a key of this length cannot sign")?))
    }

    /// A token of this user's.
    #[must_use]
    pub fn sign(&self, sub: &str, service: bool) -> String {
        let now = seconds(SystemTime::now());
        let mut claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": sub, "iat": now, "exp": now + LIFETIME.as_secs()});
        if service {
            claims["scope"] = SERVICE_SCOPE.into();
        }
        self.encode(&claims)
    }

    fn encode(&self, claims: &Value) -> String {
        let signed = format!("{HEADER}.{}", BASE64.encode(claims.to_string()));
        let signature = self.0.clone().chain_update(&signed).finalize().into_bytes();
        format!("{signed}.{}", BASE64.encode(signature))
    }

    /// The claims of a token that this key has signed and that is still good, as API Gateway passes them on: all of them strings.
    #[must_use]
    pub fn check(&self, token: &str) -> Option<Map<String, Value>> {
        let (signed, signature) = token.rsplit_once('.')?;
        // The comparison takes the same time for each wrong signature.
        self.0.clone().chain_update(signed).verify_slice(&BASE64.decode(signature).ok()?).ok()?;
        // Only this tool signs tokens with this key, so the claims are those of `sign`.
        let claims: Map<String, Value> = serde_json::from_slice(&BASE64.decode(signed.split_once('.')?.1).ok()?).ok()?;
        if claims.get("exp")?.as_u64()? <= seconds(SystemTime::now()) {
            return None;
        }
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some(claims.into_iter().map(|(name, value)| (name, text(value).into())).collect())
    }
}

/// Since 1970, as JWTs count.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_user_and_its_key_alone() {
        let key = Key::new(&[7; 64]).unwrap();
        let claims = key.check(&key.sign("auth0|ada", false)).unwrap();
        assert_eq!((&claims["sub"], claims.get("scope")), (&"auth0|ada".into(), None));
        assert!(claims.values().all(Value::is_string), "{claims:?}");
        assert_eq!(key.check(&key.sign("back-end", true)).unwrap()["scope"], SERVICE_SCOPE);

        let other = Key::new(&[8; 64]).unwrap().sign("ada", false);
        // {"alg":"none"}
        let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", other.split('.').nth(1).unwrap());
        let endless = key.encode(&json!({"sub": "ada"}));
        let over = key.encode(&json!({"sub": "ada", "exp": seconds(SystemTime::now())}));
        for token in [&*other, &unsigned, &endless, &over, "", "a.b.c"] {
            assert!(key.check(token).is_none(), "{token}");
        }
    }

    #[test]
    fn signatures_are_those_of_hs256() {
        // Made with Python's hmac module.
        let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEifQ.Uk6Rnp1bGTi7m9u5WLg6S9b503ceZCLu0_kXJgtgq6c";
        assert_eq!(Key::new(&[7; 64]).unwrap().encode(&json!({"sub": "ada"})), token);
    }

    #[test]
    fn the_header_says_how_it_is_signed() {
        assert_eq!(BASE64.decode(HEADER).unwrap(), br#"{"alg":"HS256","typ":"JWT"}"#);
    }
}
