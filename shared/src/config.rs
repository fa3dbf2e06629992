//! The environment, read once: what is missing or can't work is said at start, by name, and never with a password.

use tokio_postgres::config::{Host, SslMode};
use url::Url;

use crate::auth::{AuthMode, Roles};
use crate::log::LogKey;

/// What a URL must be.
const FORM: &str = "it must be postgresql://USER:PASSWORD@HOST/DATABASE";
/// A hundred years.
const MAX_RETENTION_DAYS: i32 = 36_500;

/// What a function runs with.
#[derive(Debug, Clone)]
pub struct Config {
    /// From `DATABASE_URL`. Its `Debug` hides the password.
    pub database: tokio_postgres::Config,
    /// From `AUTH_MODE`, `SERVICE_SCOPE` and `USER_ROLES`.
    pub auth: AuthMode,
    /// From `RETENTION_DAYS`: how many days a conversation is kept after its last change. `None`: for ever.
    pub retention_days: Option<i32>,
    /// From `LOG_KEY`. `None`: the log has no hashes of users' ids.
    pub log_key: Option<LogKey>,
}

/// A variable that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{variable}: {reason}")]
pub struct ConfigError {
    variable: String,
    reason: String,
}

impl ConfigError {
    fn new(variable: &str, reason: impl Into<String>) -> Self {
        Self { variable: variable.to_owned(), reason: reason.into() }
    }

    /// What an operator can do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        (self.variable == "DATABASE_URL")
            .then_some("on AWS, the secret that DatabaseSecretArn names has to hold this URL and nothing else")
    }
}

impl Config {
    /// Reads `DATABASE_URL`, `AUTH_MODE` (`claims`, the default, or `off`), `SERVICE_SCOPE` (no default), `USER_ROLES` (roles that commas
    /// separate, or `none`; `user` by default), `LOG_KEY` (no default) and `RETENTION_DAYS` (0, the default, is for ever).
    ///
    /// # Errors
    /// A variable that is missing or can't work. `AUTH_MODE=off` is one in a real Lambda, unless `AUTH_MODE_OFF_IN_LAMBDA=yes`
    /// asks for it a second time.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_variables(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let url = variable("DATABASE_URL").ok_or_else(|| ConfigError::new("DATABASE_URL", format!("is not set; {FORM}")))?;
        let auth = match variable("AUTH_MODE").as_deref() {
            None | Some("claims") => {
                let user_roles = variable("USER_ROLES").as_deref().map(Roles::parse).transpose();
                AuthMode::Claims {
                    service_scope: variable("SERVICE_SCOPE"),
                    user_roles: user_roles.map_err(|error| ConfigError::new("USER_ROLES", error.detail))?.unwrap_or_default(),
                }
            }
            // Lambda sets this variable for every runtime (AWS_EXECUTION_ENV it does not set for provided.al2023); the emulator doesn't.
            Some("off")
                if variable("AWS_LAMBDA_INITIALIZATION_TYPE").is_some()
                    && variable("AUTH_MODE_OFF_IN_LAMBDA").as_deref() != Some("yes") =>
            {
                return Err(ConfigError::new(
                    "AUTH_MODE",
                    "off in a real Lambda lets everybody read everything; if that is meant, set AUTH_MODE_OFF_IN_LAMBDA=yes too",
                ));
            }
            Some("off") => AuthMode::Off,
            Some(_) => return Err(ConfigError::new("AUTH_MODE", "is either claims (the default) or off")),
        };
        let retention_days = match variable("RETENTION_DAYS").map(|days| days.parse::<i32>()) {
            None => None,
            Some(Ok(days @ 0..=MAX_RETENTION_DAYS)) => Some(days).filter(|days| *days > 0),
            Some(_) => {
                let reason = format!("is a whole number of days from 0 (for ever) to {MAX_RETENTION_DAYS}");
                return Err(ConfigError::new("RETENTION_DAYS", reason));
            }
        };
        let log_key = variable("LOG_KEY").as_deref().map(LogKey::parse).transpose();
        let log_key = log_key.map_err(|error| ConfigError::new("LOG_KEY", error.detail))?;
        Ok(Self { database: database("DATABASE_URL", &url)?, auth, retention_days, log_key })
    }
}

/// Parses a connection URL as providers print it. TLS with a checked chain and host name is always on. So an `sslmode` that allows less is
/// refused, and every other `sslmode` means the same.
///
/// ```
/// let url = "postgresql://ada:secret@ep-x-pooler.eu-central-1.aws.neon.tech/neondb?sslmode=verify-full&channel_binding=require";
/// let config = shared::config::database("DATABASE_URL", url).unwrap();
/// assert_eq!(config.get_dbname(), Some("neondb"));
///
/// let error = shared::config::database("DATABASE_URL", "postgresql://ada:secret@localhost/db?sslmode=disable").unwrap_err();
/// assert_eq!(error.to_string(), "DATABASE_URL: sslmode=disable would send passwords and messages in the clear; use sslmode=require");
/// ```
///
/// # Errors
/// A URL that can't work; the message names `variable` and the part, and holds no password.
pub fn database(variable: &str, url: &str) -> Result<tokio_postgres::Config, ConfigError> {
    let fail = |reason: String| ConfigError::new(variable, reason);
    let mut url = Url::parse(url.trim()).map_err(|error| fail(format!("is not a URL ({error}); {FORM}")))?;
    if !matches!(url.scheme(), "postgresql" | "postgres") {
        return Err(fail("the URL starts with postgresql://".to_owned()));
    }
    for (part, present) in [
        ("user", !url.username().is_empty()),
        ("password", url.password().is_some_and(|password| !password.is_empty())),
        ("host", url.host_str().is_some_and(|host| !host.is_empty())),
        ("database", url.path().len() > 1),
    ] {
        if !present {
            return Err(fail(format!("the URL has no {part}; {FORM}")));
        }
    }

    let mut kept = Vec::new();
    for (name, value) in url.query_pairs() {
        match (&*name, &*value) {
            ("sslmode", "require" | "verify-ca" | "verify-full") | ("sslrootcert", "system") => {}
            ("sslmode", "disable" | "allow" | "prefer") => {
                return Err(fail(format!("sslmode={value} would send passwords and messages in the clear; use sslmode=require")));
            }
            ("sslrootcert", _) => {
                return Err(fail("sslrootcert is not read from the URL; name the file in SSL_CERT_FILE".to_owned()));
            }
            // A word of Neon's, such as endpoint=ep-cool-name-123456, may have these letters, too.
            ("options", options) if options.split_whitespace().any(|word| word.starts_with("-c") || word.starts_with("--")) => {
                return Err(fail("options=-c… is refused by poolers; set it on the role: alter role … set …".to_owned()));
            }
            (
                "sslmode"
                | "sslnegotiation"
                | "channel_binding"
                | "application_name"
                | "options"
                | "connect_timeout"
                | "tcp_user_timeout"
                | "keepalives"
                | "keepalives_idle"
                | "keepalives_interval"
                | "keepalives_retries"
                | "target_session_attrs",
                _,
            ) => {
                // One by one, so that the message can name the one at fault.
                format!("{name}='{}'", value.replace('\\', r"\\").replace('\'', r"\'"))
                    .parse::<tokio_postgres::Config>()
                    .map_err(|_| fail(format!("{name}={value} is not a value that {name} can have")))?;
                kept.push((name.into_owned(), value.into_owned()));
            }
            _ => return Err(fail(format!("the parameter {name} is not supported; leave it out"))),
        }
    }
    url.query_pairs_mut().clear().extend_pairs(kept);
    // A space is %20 to libpq's kind of URL, never a plus.
    let query = url.query().unwrap_or_default().replace('+', "%20");
    url.set_query(Some(&query).filter(|query| !query.is_empty()).map(String::as_str));

    let mut config = url.as_str().parse::<tokio_postgres::Config>().map_err(|_| {
        fail("user, password, host, port or database can't be read; percent-encode special characters in them".to_owned())
    })?;
    config.ssl_mode(SslMode::Require);
    if config.get_application_name().is_none() {
        config.application_name("scrollback");
    }
    Ok(config)
}

/// What an operator should change in a URL that works for now.
pub(crate) fn hint(config: &tokio_postgres::Config) -> Option<&'static str> {
    let is_direct = |host: &Host| {
        let Host::Tcp(host) = host else { return false };
        host.split_once('.').is_some_and(|(endpoint, domain)| domain.ends_with("neon.tech") && !endpoint.ends_with("-pooler"))
    };
    let hint =
        "DATABASE_URL names Neon's direct host; the functions need the pooled one, which has -pooler behind the endpoint's name";
    config.get_hosts().iter().any(is_direct).then_some(hint)
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::{ChannelBinding, SslNegotiation};

    use super::*;

    const NEON: &str = "postgresql://ada:s%2Bcr%40t@ep-x-pooler.eu-central-1.aws.neon.tech/neondb";

    fn refused(url: &str) -> String {
        let message = database("DATABASE_URL", url).expect_err(url).to_string();
        assert!(message.starts_with("DATABASE_URL: "), "{message}");
        assert!(!message.contains("s%2Bcr") && !message.contains("s+cr"), "{message}");
        message
    }

    #[test]
    fn urls_as_neon_prints_them_work() {
        for query in
            ["", "?sslmode=require", "?sslmode=verify-full&channel_binding=require", "?sslmode=require&sslnegotiation=direct"]
        {
            let config = database("DATABASE_URL", &format!("{NEON}{query}")).expect(query);
            assert_eq!(config.get_ssl_mode(), SslMode::Require);
            assert_eq!(config.get_password(), Some(&b"s+cr@t"[..]));
            assert_eq!(config.get_hosts(), [Host::Tcp("ep-x-pooler.eu-central-1.aws.neon.tech".to_owned())]);
        }
        let config = database("DATABASE_URL", &format!("{NEON}?channel_binding=require&sslnegotiation=direct")).unwrap();
        assert_eq!(config.get_channel_binding(), ChannelBinding::Require);
        assert_eq!(config.get_ssl_negotiation(), SslNegotiation::Direct);
        let config = database("DATABASE_URL", &format!("{NEON}?options=endpoint%3Dep-x&application_name=my+app")).unwrap();
        assert_eq!((config.get_options(), config.get_application_name()), (Some("endpoint=ep-x"), Some("my app")));
        for options in ["endpoint=ep-cool-name-123456", "project=ep-calm--c-1", "endpoint=ep-x-c neon_lsn:0/1"] {
            let config = database("DATABASE_URL", &format!("{NEON}?options={}", options.replace('=', "%3D").replace(' ', "%20")));
            assert_eq!(config.unwrap().get_options(), Some(options));
        }
    }

    #[test]
    fn only_the_pooled_host_of_neon_needs_no_hint() {
        let hint = |host: &str| hint(&database("DATABASE_URL", &format!("postgresql://ada:x@{host}/neondb")).unwrap());
        assert_eq!(hint("ep-x-pooler.eu-central-1.aws.neon.tech"), None);
        assert_eq!(hint("ep-x-pooler.c-8.us-east-1.aws.neon.tech"), None);
        assert_eq!(hint("localhost:5432"), None);
        assert!(hint("ep-x.eu-central-1.aws.neon.tech").unwrap().contains("-pooler"));
        assert!(hint("ep-pooler-x.c-8.us-east-1.aws.neon.tech").is_some());
    }

    #[test]
    fn a_url_that_cannot_work_is_refused_by_name_and_without_its_password() {
        assert!(refused(&format!("{NEON}?sslmode=disable")).contains("sslmode=disable"));
        assert!(refused(&format!("{NEON}?sslmode=verify")).contains("sslmode=verify"));
        assert!(refused(&format!("{NEON}?pgbouncer=true")).contains("pgbouncer"));
        assert!(refused(&format!("{NEON}?sslrootcert=/ca.pem")).contains("SSL_CERT_FILE"));
        for options in ["-c%20statement_timeout%3D1", "-cjit%3Doff", "--jit%3Doff", "endpoint%3Dep-x%20-c%20jit%3Doff", "%20-c"] {
            assert!(refused(&format!("{NEON}?options={options}")).contains("options"), "{options}");
        }
        assert!(refused(&format!("{NEON}?connect_timeout=soon")).contains("connect_timeout"));
        assert!(refused("postgresql://ada@host/db").contains("password"));
        assert!(refused("postgresql://ada:s%2Bcr@/db").contains("host"));
        assert!(refused("postgresql://ada:s%2Bcr@host").contains("database"));
        assert!(refused("mysql://ada:s%2Bcr@host/db").contains("postgresql://"));
        assert!(refused("host=db user=ada password=s+cr").contains("URL"));
    }

    #[test]
    fn identity_is_off_only_where_it_is_meant() {
        let with = |variables: &[(&str, &str)]| {
            let found = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            Config::from_variables(|name| if name == "DATABASE_URL" { Some(NEON.to_owned()) } else { found(name) })
                .map(|config| config.auth)
        };
        assert_eq!(with(&[]).unwrap(), AuthMode::Claims { service_scope: None, user_roles: Roles::default() });
        let user_roles = Roles::parse("user,tool").unwrap();
        assert_eq!(with(&[("USER_ROLES", "user,tool")]).unwrap(), AuthMode::Claims { service_scope: None, user_roles });
        for (variable, value) in [("USER_ROLES", "user,admin"), ("LOG_KEY", "short and secret")] {
            let error = with(&[(variable, value)]).unwrap_err().to_string();
            assert!(error.starts_with(variable) && !error.contains("secret"), "{error}");
        }
        assert_eq!(with(&[("AUTH_MODE", "off")]).unwrap(), AuthMode::Off);
        let lambda = ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand");
        assert!(with(&[("AUTH_MODE", "off"), lambda]).is_err());
        assert_eq!(with(&[("AUTH_MODE", "off"), lambda, ("AUTH_MODE_OFF_IN_LAMBDA", "yes")]).unwrap(), AuthMode::Off);
        assert!(with(&[("AUTH_MODE", "none")]).is_err());
    }

    #[test]
    fn conversations_are_kept_for_whole_days_or_for_ever() {
        let days = |days: &str| {
            let variable = |name: &str| match name {
                "DATABASE_URL" => Some(NEON.to_owned()),
                "RETENTION_DAYS" => Some(days.to_owned()),
                _ => None,
            };
            Config::from_variables(variable).map(|config| config.retention_days)
        };
        assert_eq!((days("0").unwrap(), days("30").unwrap()), (None, Some(30)));
        for wrong in ["-1", "1.5", "month", "36501", "99999999999"] {
            assert!(days(wrong).unwrap_err().to_string().starts_with("RETENTION_DAYS: "), "{wrong}");
        }
    }
}
