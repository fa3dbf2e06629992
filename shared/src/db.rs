//! The one place that knows about connections: TLS, opening, reuse, deadlines and the second try.
//!
//! A sandbox serves one request at a time, so it keeps one connection. It is opened while the first event is fetched, used for
//! consecutive requests while it is fresh, and never kept across a deadline. Freshness goes by the wall clock: a frozen sandbox's
//! monotonic clock may stand still, and `Client::is_closed` can say false about a connection that died meanwhile.
//!
//! Every statement can be sent twice: reads by nature, writes because their ids are fixed beforehand and storing an id twice is
//! storing it once. So a lost connection costs the caller a delay and no error, as long as the deadline allows. A connection that can't be made
//! is tried again, with growing pauses, because no statement has been sent yet. [`failure`] decides what may be tried again.
//!
//! Slow is not lost. A second statement beside one that still runs would double the load of a database that is slow because of its
//! load. So silence is no reason to send a statement again. A connection is lost when the server closes it, or when the kernel ends
//! it because nobody has acknowledged its packets. A statement that is only slow has until the deadline, and is then cancelled.

mod cancel;
mod failure;

use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use postgres_native_tls::{MakeTlsConnector, TlsStream};
use tokio::net::lookup_host;
use tokio::sync::OnceCell;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_postgres::config::{Host, SslNegotiation};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Socket};
use tracing::warn;

use self::cancel::ClosedByServer;
pub(crate) use self::failure::hint;
pub use self::failure::may_pass;
use crate::error::{Error, Result};

/// A proxy or firewall may have dropped a connection that was idle for longer than this, without a word to either side.
const MAX_IDLE: Duration = Duration::from_secs(30);
/// Older than this, a connection is replaced, so that poolers and servers can be drained.
const MAX_AGE: Duration = Duration::from_mins(10);
/// The kernel ends a connection when the peer's kernel has acknowledged nothing for this long. A busy server's kernel acknowledges at
/// once, so only the network takes this time. On a short round trip, a packet is sent again after 0.2, 0.6 and 1.4 s: a bad network has
/// had four chances. A second attempt fits into the rest of a request: 8 s of 10, or 0.5 s if the function's time-out is 3 s, Lambda's
/// default. An address that does not answer at all is given up as soon, and the host's next one is tried.
const UNACKNOWLEDGED: Duration = Duration::from_secs(2);
/// A peer that has acknowledged everything is asked for another acknowledgement this often. A second is the shortest time that TCP has.
/// So a network that dies while a statement runs is noticed after [`UNACKNOWLEDGED`], too.
const KEEPALIVE: Duration = Duration::from_secs(1);
/// How long the answer to a request whose time is over waits for its statement to end. The answer has to wait, because Lambda freezes the
/// sandbox after it, and the cancellation with it. The time is a part of what `runtime` keeps for the answer.
const CANCEL: Duration = Duration::from_millis(250);
/// The first pause between two attempts, if neither had a used connection. Each is twice as long as the one before, up to
/// [`LONGEST_PAUSE`]. When a server was away, PgBouncer connects to it again only for a client that asks, and refuses that client.
const PAUSE: Duration = Duration::from_millis(200);
/// The database gets some fifteen attempts in 10 s, and the request notices within a second that it is let in.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often start-up lets the runtime's client go first. Connecting to the Runtime API and asking for an event take it three turns of
/// the event loop. If it ever needs more turns, the first poll is later by the time that the trust store takes.
const HEAD_START: usize = 4;
/// What is kept of a function's time for the last look of a request that waits.
const LAST_LOOK: Duration = Duration::from_secs(1);
/// How long the statements of one request may take, unless [`Database::until`] says less.
pub(crate) const REQUEST_BUDGET: Duration = Duration::from_secs(10);

/// A statement's parameters, with their types: what keeps the driver from asking the server for them.
pub(crate) type Parameters<'a> = [Parameter<'a>];
/// One of them.
pub(crate) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// The database, as one request sees it: clones share the connection, and each has a deadline of its own.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use shared::{Database, config};
///
/// let database = Database::new(config::database("DATABASE_URL", &std::env::var("DATABASE_URL")?)?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Database {
    process: Arc<Process>,
    deadline: Option<Instant>,
    /// When the function has to answer, where that is known.
    end: Option<Instant>,
    usage: Arc<Usage>,
}

/// What the process has once.
struct Process {
    config: tokio_postgres::Config,
    retention_days: Option<i32>,
    tls: OnceCell<MakeTlsConnector>,
    kept: Mutex<Option<Kept>>,
}

/// What carries a client's messages.
type Driver = tokio_postgres::Connection<Socket, TlsStream<Socket>>;

enum Kept {
    /// Since when, and what it will be.
    Opening(SystemTime, JoinHandle<Result<Connection>>),
    Open(Connection),
}

struct Connection {
    client: Client,
    driver: JoinHandle<()>,
    opened: SystemTime,
    used: Option<SystemTime>,
}

/// What a request cost, for its log line.
#[derive(Default)]
pub(crate) struct Usage {
    micros: AtomicU64,
    statements: AtomicU32,
    connects: AtomicU32,
}

impl Usage {
    /// Time spent waiting for the database, connecting included.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::Relaxed))
    }

    /// Statements sent: one, unless something was retried.
    pub(crate) fn statements(&self) -> u32 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Connections that had to be opened, the one from start-up included.
    pub(crate) fn connects(&self) -> u32 {
        self.connects.load(Ordering::Relaxed)
    }
}

impl Database {
    /// A database that is connected to when it is first needed. Conversations are kept for ever.
    #[must_use]
    pub fn new(config: tokio_postgres::Config) -> Self {
        Self::with_retention(config, None)
    }

    /// The same, with conversations that are kept for so many days after their last change. `None`: for ever.
    #[must_use]
    pub fn with_retention(mut config: tokio_postgres::Config, days: Option<i32>) -> Self {
        notice_a_dead_network(&mut config);
        let process = Process { config, retention_days: days, tls: OnceCell::new(), kept: Mutex::new(None) };
        Self { process: Arc::new(process), deadline: None, end: None, usage: Arc::default() }
    }

    /// Starts to connect, in the background, behind the runtime's first poll: the first statement takes over from there.
    pub(crate) fn connect_ahead(&self) {
        let process = Arc::clone(&self.process);
        let opening = async move {
            for _ in 0..HEAD_START {
                yield_now().await;
            }
            process.connect().await
        };
        *self.kept() = Some(Kept::Opening(SystemTime::now(), tokio::spawn(opening)));
    }

    /// The same database for one request, whose statements have 10 s in all. The function has to answer at `end`, if that is known.
    #[must_use]
    pub fn until(&self, end: Option<Instant>) -> Self {
        Self {
            process: Arc::clone(&self.process),
            deadline: Some(no_later(Instant::now() + REQUEST_BUDGET, end)),
            end,
            usage: Arc::default(),
        }
    }

    /// The same database for the next look of a request that waits. Each look has the time of a request.
    pub(crate) fn for_a_look(&self) -> Self {
        Self { deadline: Some(no_later(Instant::now() + REQUEST_BUDGET, self.end)), ..self.clone() }
    }

    /// When a request that waits for so long has to look for the last time.
    pub(crate) fn last_look(&self, wait: Duration) -> Instant {
        no_later(Instant::now() + wait, self.end.map(|end| end.checked_sub(LAST_LOOK).unwrap_or(end)))
    }

    /// The same database for a job, with a usage of its own. Each statement has a request's time.
    pub(crate) fn anew(&self) -> Self {
        Self { process: Arc::clone(&self.process), deadline: None, end: None, usage: Arc::default() }
    }

    /// How many days conversations are kept after their last change. `None`: for ever.
    pub(crate) fn retention(&self) -> Option<i32> {
        self.process.retention_days
    }

    pub(crate) fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Runs one statement: one round trip on a warm connection.
    ///
    /// # Errors
    /// [`Error::Database`], for a lost connection only if a fresh one was lost, too; and [`Error::DatabaseTimeout`].
    pub(crate) async fn fetch(&self, sql: &str, parameters: &Parameters<'_>) -> Result<Vec<Row>> {
        let started = Instant::now();
        let outcome = self.fetch_until(self.deadline.unwrap_or(started + REQUEST_BUDGET), sql, parameters).await;
        let spent = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.usage.micros.fetch_add(spent, Ordering::Relaxed);
        outcome
    }

    async fn fetch_until(&self, deadline: Instant, sql: &str, parameters: &Parameters<'_>) -> Result<Vec<Row>> {
        let (mut kept, mut failed, mut pause, mut sent_again) = (self.take_fresh(), None, PAUSE, false);
        loop {
            let was_used = matches!(kept, Some(Kept::Open(_)));
            let outcome = match self.connection(kept.take(), deadline).await {
                Some(Ok(connection)) => self.send(connection, sql, parameters, deadline).await,
                Some(Err(error)) => Err(error),
                // What went wrong before says more than that the time is over.
                None => return Err(failed.unwrap_or(Error::DatabaseTimeout)),
            };
            let Err(error) = &outcome else { return outcome };
            let again = match error {
                Error::Connect(error) => failure::may_pass(error),
                // A statement is sent twice at most: it could be what the server dies of.
                Error::Database(error) => failure::is_lost(error) && !std::mem::replace(&mut sent_again, true),
                _ => false,
            };
            // Many sandboxes may have been refused together. They do not come back together.
            let next = Instant::now() + if was_used { Duration::ZERO } else { pause.mul_f64(rand::random_range(0.5..1.0)) };
            if !again || next >= deadline {
                return outcome;
            }
            // Only the first is logged. The request's own line counts all of them, and has the last one's cause.
            if pause == PAUSE {
                warn!(
                    cause = error.cause(),
                    sqlstate = error.sqlstate(),
                    hint = hint(error),
                    "database connection failed, trying a fresh one"
                );
            }
            if !was_used {
                sleep_until(next).await;
                pause = LONGEST_PAUSE.min(2 * pause);
            }
            failed = outcome.err();
        }
    }

    /// The kept connection or a fresh one. `None`: there is none at the deadline.
    async fn connection(&self, kept: Option<Kept>, deadline: Instant) -> Option<Result<Connection>> {
        match kept {
            Some(Kept::Open(connection)) => return Some(Ok(connection)),
            Some(Kept::Opening(_, mut opening)) => {
                self.usage.connects.fetch_add(1, Ordering::Relaxed);
                let opened = timeout_at(deadline, &mut opening).await;
                opening.abort();
                // If it failed, that may have been long before this request, and is no answer to it.
                if let Ok(Ok(connection)) = opened.ok()? {
                    return Some(Ok(connection));
                }
            }
            None => {}
        }
        self.usage.connects.fetch_add(1, Ordering::Relaxed);
        timeout_at(deadline, self.process.connect()).await.ok()
    }

    async fn send(
        &self,
        mut connection: Connection,
        sql: &str,
        parameters: &Parameters<'_>,
        deadline: Instant,
    ) -> Result<Vec<Row>> {
        self.usage.statements.fetch_add(1, Ordering::Relaxed);
        let outcome = {
            let mut statement = pin!(connection.client.query_typed(sql, parameters));
            let Ok(outcome) = timeout_at(deadline, &mut statement).await else {
                // The connection stays open meanwhile, because PgBouncer looks for it among its clients. Then it is dropped, even if the
                // statement has ended by itself: the cancellation could still arrive, and meet the next statement.
                self.process.cancel(&connection.client);
                return timeout(CANCEL, statement).await.ok().and_then(Result::ok).ok_or(Error::DatabaseTimeout);
            };
            outcome.map_err(Error::Database)
        };
        if !matches!(&outcome, Err(Error::Database(error)) if failure::is_lost(error)) {
            connection.used = Some(SystemTime::now());
            *self.kept() = Some(Kept::Open(connection));
        }
        outcome
    }

    /// The kept connection, unless it is too old or was idle for too long.
    fn take_fresh(&self) -> Option<Kept> {
        match self.kept().take()? {
            Kept::Opening(since, opening) if is_over(since, MAX_IDLE) => {
                // It would go on beside the one that takes its place.
                opening.abort();
                None
            }
            Kept::Open(connection)
                if connection.client.is_closed()
                    || is_over(connection.opened, MAX_AGE)
                    || is_over(connection.used.unwrap_or(connection.opened), MAX_IDLE) =>
            {
                None
            }
            kept => Some(kept),
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<Kept>> {
        // Nothing is done under the lock that could leave it half done.
        self.process.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    async fn connect(&self) -> Result<Connection> {
        let tls = self.tls.get_or_try_init(|| self.load_roots()).await?.clone();
        let (client, connection) = self.dial(tls).await.map_err(Error::Connect)?;
        // What ends a connection is reported by the statement that it ends.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { client, driver, opened: SystemTime::now(), used: None })
    }

    /// Connects to the first of the host's addresses that answers.
    ///
    /// The driver alone would repeat a refusal of the server on each address. Then it would report what the last one said, which is nothing
    /// but "Network is unreachable" if that is an IPv6 address. So, as libpq does, this goes on to the next address only if no server has answered,
    /// or if it is not ready yet.
    async fn dial(&self, tls: MakeTlsConnector) -> Result<(Client, Driver), tokio_postgres::Error> {
        let mut failed = None;
        if let ([Host::Tcp(host)], [port]) = (self.config.get_hosts(), self.config.get_ports())
            && let Ok(addresses) = lookup_host((host.as_str(), *port)).await
        {
            for address in addresses {
                match self.config.clone().hostaddr(address.ip()).connect(tls.clone()).await {
                    Err(error)
                        if error.code().is_none_or(|code| *code == SqlState::CANNOT_CONNECT_NOW) && failure::may_pass(&error) =>
                    {
                        failed.get_or_insert(error);
                    }
                    outcome => return outcome,
                }
            }
        }
        match failed {
            Some(error) => Err(error),
            // Several hosts, or a name that has no address: the driver says so.
            None => self.config.connect(tls).await,
        }
    }

    /// Asks the server to end the statement that `client` waits for. The server does not say whether it did.
    ///
    /// This goes on in the background, even when nobody waits for the statement's end any more: see [`ClosedByServer`].
    fn cancel(&self, client: &Client) {
        if let Some(tls) = self.tls.get().cloned() {
            let token = client.cancel_token();
            tokio::spawn(timeout(REQUEST_BUDGET, async move { token.cancel_query(ClosedByServer(tls)).await }));
        }
    }

    /// Reads and parses the roots on another thread: it takes milliseconds of CPU, while the first event could already be parsed.
    async fn load_roots(&self) -> Result<MakeTlsConnector> {
        let negotiation = self.config.get_ssl_negotiation();
        tokio::task::spawn_blocking(move || tls_connector(negotiation))
            .await
            .map_err(|error| Error::Internal(error.into()))?
            .map_err(|error| Error::Internal(error.into()))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The driver would wait for an answer that may never come, and hold the socket.
        self.driver.abort();
    }
}

/// TLS that checks the server's chain and host name, trusting the system's roots or those in `SSL_CERT_FILE`.
pub fn tls_connector(negotiation: SslNegotiation) -> Result<MakeTlsConnector, native_tls::Error> {
    let mut builder = native_tls::TlsConnector::builder();
    // OpenSSL reads SSL_CERT_FILE itself; the TLS of macOS and Windows does not.
    if !cfg!(target_os = "linux")
        && let Some(pem) = std::env::var_os("SSL_CERT_FILE").and_then(|file| std::fs::read(file).ok())
    {
        builder.add_root_certificate(native_tls::Certificate::from_pem(&pem)?);
    }
    if negotiation == SslNegotiation::Direct {
        postgres_native_tls::set_postgresql_alpn(&mut builder);
    }
    Ok(MakeTlsConnector::new(builder.build()?))
}

fn no_later(instant: Instant, end: Option<Instant>) -> Instant {
    end.map_or(instant, |end| instant.min(end))
}

/// Ends a connection whose peer does not acknowledge anything, unless the URL has its own limits. Once it is open, the kernel does this.
fn notice_a_dead_network(config: &mut tokio_postgres::Config) {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(UNACKNOWLEDGED);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(UNACKNOWLEDGED);
    }
    // What the driver says where the URL says nothing.
    if config.get_keepalives_idle() == Duration::from_hours(2) {
        config.keepalives_idle(KEEPALIVE);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(KEEPALIVE);
    }
}

/// By the wall clock; one that was set back says nothing, so that counts as over.
fn is_over(since: SystemTime, limit: Duration) -> bool {
    since.elapsed().map_or(true, |elapsed| elapsed > limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first moment that the clock of this system can express.
    fn first_moment() -> Instant {
        let (mut instant, mut step) = (Instant::now(), Duration::from_secs(1 << 62));
        while !step.is_zero() {
            match instant.checked_sub(step) {
                Some(earlier) => instant = earlier,
                None => step /= 2,
            }
        }
        instant
    }

    #[tokio::test]
    async fn a_function_that_has_to_answer_right_after_the_clocks_beginning_looks_once() {
        let database = Database::new(tokio_postgres::Config::new());
        for end in [first_moment(), first_moment() + LAST_LOOK / 2, Instant::now()] {
            assert!(database.until(Some(end)).last_look(REQUEST_BUDGET) <= Instant::now());
        }
    }
}
