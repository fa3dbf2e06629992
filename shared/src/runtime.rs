//! The loop of a function: an event, its handler, a reply, and a line of log.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::value::RawValue;
use tokio::time::Instant;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::auth::{self, Caller};
use crate::config::{self, Config};
use crate::db::{Database, REQUEST_BUDGET, hint};
use crate::error::{Error, Result, chain};
use crate::http::{Event, Reply, Request};
use crate::log;
use crate::queries::Purged;

/// What is kept of a function's own time-out to cancel a statement, and to say that the database did not answer.
const DEADLINE_MARGIN: Duration = Duration::from_millis(500);
/// How long a job may begin something on the emulator, whose deadline says nothing.
const EMULATED_JOB: Duration = Duration::from_mins(4);

/// Serves a handler until the process ends: a binary's whole `main`.
///
/// Reads the environment ([`Config::from_env`]), asks the Lambda runtime for events, and connects to the database meanwhile. Every
/// event gets an answer: an [`Error`] becomes a problem document, a panic a 500, and each request one log line.
pub fn run<H, F>(handler: H) -> ExitCode
where
    H: Fn(Request, Database) -> F,
    F: Future<Output = Result<Reply>>,
{
    // One type for all handlers, so that the loop is compiled once and not in each function.
    block_on(serve(&|request, database| handler(request, database).boxed_local()))
}

/// Runs a job each time that a schedule asks for it, until the process ends: a binary's whole `main`.
///
/// There is no request, no caller and no reply. The job gets the database and the time until which it may begin something. Each run is one
/// log line. A job that fails is a failed call to Lambda, which counts these.
pub fn run_schedule(job: impl AsyncFn(&Database, std::time::Instant) -> Result<Purged>) -> ExitCode {
    block_on(serve_schedule(job))
}

/// Runs the loop on this thread, which has one event at a time.
fn block_on(serve: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the system gives a process timers and sockets").block_on(serve)
}

async fn serve_schedule(job: impl AsyncFn(&Database, std::time::Instant) -> Result<Purged>) -> ExitCode {
    let Some(config) = start() else { return ExitCode::FAILURE };
    let database = Database::with_retention(config.database, config.retention_days);
    let cold = AtomicBool::new(true);
    let function = std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();

    let served = lambda_runtime::run(service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        let started = Instant::now();
        let cold_start = cold.swap(false, Ordering::Relaxed);
        if cold_start {
            log::hide_the_words_of_panics();
        }
        let database = database.anew();
        let until = std::time::Instant::now() + job_budget(event.context.deadline);
        let outcome = AssertUnwindSafe(job(&database, until)).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|_panic| Err(Error::Internal("the job panicked".into())));
        let usage = database.usage();
        macro_rules! log {
            ($level:ident, $($outcome:tt)*) => {
                $level!(
                    function,
                    duration.ms = milliseconds(started.elapsed()),
                    db.ms = milliseconds(usage.time()),
                    db.statements = usage.statements(),
                    db.connects = usage.connects(),
                    cold_start,
                    $($outcome)*
                    "purge"
                )
            };
        }
        match outcome {
            Ok(purged) => {
                let Purged { conversations, messages, done } = purged;
                log!(info, purge.conversations = conversations, purge.messages = messages, purge.done = done,);
                Ok(purged)
            }
            Err(error) => {
                log!(error, code = error.code(), cause = error.cause(), sqlstate = error.sqlstate(), hint = hint(&error),);
                Err(lambda_runtime::Error::from(error.detail()))
            }
        }
    }));
    ended(served.await)
}

type Handler<'a> = dyn Fn(Request, Database) -> LocalBoxFuture<'a, Result<Reply>> + 'a;

async fn serve(handler: &Handler<'_>) -> ExitCode {
    let Some(config) = start() else { return ExitCode::FAILURE };
    let database = Database::with_retention(config.database.clone(), config.retention_days);
    database.connect_ahead();
    let cold = AtomicBool::new(true);
    let function = std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();

    // Raw, because the runtime would quote an event that it cannot read in the log. Here such an event is a refused request.
    let served = lambda_runtime::run(service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        let started = Instant::now();
        let cold_start = cold.swap(false, Ordering::Relaxed);
        if cold_start {
            // From now on there is something that it could quote.
            log::hide_the_words_of_panics();
        }
        let (event, context) = event.into_parts();
        let database = database.until(time_left(context.deadline).map(|left| started + left));
        let mut subject = Subject::default();
        let answer = AssertUnwindSafe(answer(handler, &event, &config, database.clone(), &mut subject));
        // Where it panicked, the log has been told already.
        let outcome = answer.catch_unwind().await.unwrap_or_else(|_panic| Err(Error::Internal("the handler panicked".into())));
        let usage = database.usage();
        let Subject { route, caller, client_id, sub_hash, user_hash, conversation_id } = subject;
        // A macro, because an event's level is part of its static description.
        macro_rules! log {
            ($level:ident, $reply:expr, $($problem:tt)*) => {
                $level!(
                    function,
                    route,
                    status = $reply.status().as_u16(),
                    duration.ms = milliseconds(started.elapsed()),
                    db.ms = milliseconds(usage.time()),
                    db.statements = usage.statements(),
                    db.connects = usage.connects(),
                    cold_start,
                    caller,
                    client.id = client_id,
                    sub.hash = sub_hash,
                    user.hash = user_hash,
                    conversation.id = $reply.conversation_id().or(conversation_id).map(tracing::field::display),
                    $($problem)*
                    "request"
                )
            };
        }
        let reply = match outcome {
            Ok(reply) => {
                log!(info, reply,);
                reply
            }
            Err(error) => {
                let reply = Reply::problem(&error, &context.request_id);
                if error.status().is_server_error() {
                    log!(
                        error,
                        reply,
                        code = error.code(),
                        cause = error.cause(),
                        sqlstate = error.sqlstate(),
                        hint = hint(&error),
                    );
                } else {
                    log!(info, reply, code = error.code(),);
                }
                reply
            }
        };
        Ok::<_, lambda_runtime::Error>(reply.into_response())
    }));
    ended(served.await)
}

/// Starts the log and reads the environment. `None`: it can't work, and the log says why.
fn start() -> Option<Config> {
    log::start();
    let config =
        Config::from_env().inspect_err(|error| error!(cause = %error, hint = error.hint(), "the function can't start")).ok()?;
    if let Some(hint) = config::hint(&config.database) {
        warn!(hint, "the database's host has few connections");
    }
    Some(config)
}

/// What the process ends with.
fn ended(served: Result<(), lambda_runtime::Error>) -> ExitCode {
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(cause = chain(&*error), "the Lambda runtime failed");
            ExitCode::FAILURE
        }
    }
}

/// What the log says of who asked for what, as far as it was found out.
struct Subject {
    route: Option<String>,
    caller: &'static str,
    /// The application that the token was issued to.
    client_id: Option<String>,
    /// The keyed hash of the token's `sub`.
    sub_hash: Option<String>,
    /// The keyed hash of the path's user, where the caller may act for that user.
    user_hash: Option<String>,
    conversation_id: Option<Uuid>,
}

impl Default for Subject {
    fn default() -> Self {
        Self { route: None, caller: "nobody", client_id: None, sub_hash: None, user_hash: None, conversation_id: None }
    }
}

async fn answer(
    handler: &Handler<'_>,
    event: &RawValue,
    config: &Config,
    database: Database,
    subject: &mut Subject,
) -> Result<Reply> {
    let event = Event::read(event)?;
    subject.route = event.route_key().map(str::to_owned);
    let caller = Caller::identify(event.claims(), &config.auth)?;
    let hash = |user_id: &str| config.log_key.as_ref().map(|key| key.hash(user_id));
    subject.caller = caller.kind();
    subject.client_id = event.claims().and_then(|claims| auth::client(claims, &caller));
    subject.sub_hash = event.claims().and_then(|claims| hash(claims.get("sub")?.as_str()?));
    let request = Request::new(event, caller)?;
    subject.user_hash = request.user_id().ok().and_then(|user_id| hash(user_id.as_str()));
    subject.conversation_id = request.conversation_id().ok();
    handler(request, database).await
}

/// For the log: milliseconds, to the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// How long a job may begin something: what is left of the function's time-out, less the time of the last statement and a margin.
fn job_budget(deadline_ms: u64) -> Duration {
    let deadline = UNIX_EPOCH + Duration::from_millis(deadline_ms);
    match deadline.duration_since(SystemTime::now()) {
        Ok(left) => left.saturating_sub(REQUEST_BUDGET + 2 * DEADLINE_MARGIN),
        Err(_past) => EMULATED_JOB,
    }
}

/// What is left of the function's time-out, less a margin. The emulator's deadline lies in 1970, which says nothing.
fn time_left(deadline_ms: u64) -> Option<Duration> {
    let deadline = UNIX_EPOCH + Duration::from_millis(deadline_ms);
    Some(deadline.duration_since(SystemTime::now()).ok()?.saturating_sub(DEADLINE_MARGIN))
}
