//! What a failure of the database means: whether the same may succeed later, and what an operator can do about it.
//!
//! The moment decides, and the code only where it can be trusted. Neon's proxy reports everything that happens while a function connects with
//! SQLSTATE XX000, also what PgBouncer and PostgreSQL have told it. So whatever fails before a statement was sent may be tried again, unless
//! its code or its text says that it will not change. A statement is sent again only if its connection was lost, or if its code says that the
//! server has undone it.

use tokio_postgres::error::SqlState;

use crate::error::{Error, chain};

/// A failure that is recognized by a piece of its text, because its code says nothing.
struct Known {
    text: &'static str,
    /// It stays as it is until somebody changes something.
    stays: bool,
    /// What to do about it.
    hint: &'static str,
}

const fn stays(text: &'static str, hint: &'static str) -> Known {
    Known { text, stays: true, hint }
}

const fn passes(text: &'static str, hint: &'static str) -> Known {
    Known { text, stays: false, hint }
}

const LOGIN: &str = "check role, password and host in DATABASE_URL; Neon says the same if its endpoint or the role does not exist, and \
    cargo xtask migrate makes the role";
const ENDPOINT: &str = "the host in DATABASE_URL names no endpoint of Neon; copy the connection string from Neon's console again";
const TOO_MANY: &str = "use the pooled host (with -pooler) in DATABASE_URL; a direct host has few connections";

/// The texts of PostgreSQL, PgBouncer, Neon's proxy, the driver and OpenSSL. The first that fits counts.
const KNOWN: [Known; 23] = [
    stays("password authentication failed", LOGIN),
    stays("SASL authentication failed", LOGIN),
    stays("no such user", LOGIN),
    stays("is not permitted to log in", LOGIN),
    stays("no such database", "DATABASE_URL names a database that does not exist"),
    stays("does not exist", "DATABASE_URL names a database or a role that does not exist; cargo xtask migrate makes the role"),
    stays("endpoint cannot be found", ENDPOINT),
    stays("Endpoint ID is not specified", ENDPOINT),
    stays("Inconsistent project name", "host and options in DATABASE_URL name two endpoints of Neon; leave options out"),
    stays("endpoint is disabled", "Enable the endpoint in Neon's console"),
    stays("endpoint has been disabled", "Enable the endpoint in Neon's console"),
    stays("is not allowed to connect to this endpoint", "IP Allow in Neon's console refuses the functions' addresses"),
    stays("from a blocked network", "Neon's project accepts no connections from public networks; its console has the setting"),
    stays("unsupported startup parameter", "remove this parameter from DATABASE_URL; a pooler takes few"),
    stays("Upgrade your plan", "the quota of Neon's plan is used up; its console says until when"),
    stays(
        "certificate verify failed",
        "the server's certificate is for another host, or SSL_CERT_FILE does not have its authority",
    ),
    stays("server does not support TLS", "the server needs TLS; without it, passwords and messages would be sent in the clear"),
    stays("server did not use channel binding", "remove channel_binding=require from DATABASE_URL; PgBouncer alone has none"),
    passes(
        "no more connections allowed",
        "the pooler has no room for more clients; lower ReservedConcurrency or raise max_client_conn",
    ),
    passes("too many clients already", TOO_MANY),
    passes("connection slots are reserved", TOO_MANY),
    passes("too many connections for", TOO_MANY),
    passes("failed to lookup address", "check the host in DATABASE_URL"),
];
/// What to do about any other connection that can't be made.
const UNKNOWN: &str = "if it lasts, check host and port in DATABASE_URL, and look at the database's console and status page";

fn known(error: &tokio_postgres::Error) -> Option<&'static Known> {
    let text = chain(error);
    KNOWN.iter().find(|known| text.contains(known.text))
}

/// Whether a connection that could not be made may well be made later.
#[must_use]
pub fn may_pass(error: &tokio_postgres::Error) -> bool {
    let stays = error.code().is_some_and(|code| {
        // Class 28 is a wrong password, an unknown role, or a client that may not connect.
        code.code().starts_with("28") || [SqlState::INVALID_CATALOG_NAME, SqlState::INSUFFICIENT_PRIVILEGE].contains(code)
    });
    !stays && known(error).is_none_or(|known| !known.stays)
}

/// Whether the same statement may well succeed on another connection.
pub(super) fn is_lost(error: &tokio_postgres::Error) -> bool {
    error.code().is_none_or(|code| {
        // PgBouncer reports everything of its own as 08P01: restarts, full pools, and a login to the server that failed.
        code.code().starts_with("08") && known(error).is_none_or(|known| !known.stays)
            || [
                SqlState::ADMIN_SHUTDOWN,
                SqlState::CRASH_SHUTDOWN,
                SqlState::CANNOT_CONNECT_NOW,
                SqlState::IDLE_SESSION_TIMEOUT,
                SqlState::TOO_MANY_CONNECTIONS,
                SqlState::T_R_DEADLOCK_DETECTED,
                SqlState::T_R_SERIALIZATION_FAILURE,
                // Where the connection leads may be a replica by now, and a session stays as read-only as it began.
                SqlState::READ_ONLY_SQL_TRANSACTION,
            ]
            .contains(code)
    })
}

/// What an operator can do about it, where that is known.
pub(crate) fn hint(error: &Error) -> Option<&'static str> {
    match error {
        Error::NotMigrated { .. } => Some("run cargo xtask migrate from this release's source, with the direct host"),
        Error::Connect(error) => Some(known(error).map_or(UNKNOWN, |known| known.hint)),
        // If a pooler cannot log in to its server, a client's statement gets the error.
        Error::Database(error) if error.code().is_some_and(|code| code.code().starts_with("08")) => {
            known(error).map(|known| known.hint)
        }
        _ => None,
    }
}
