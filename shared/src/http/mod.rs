//! The HTTP edge: from an event to a [`Request`], and from a [`Reply`] or an error to a response.

mod event;
mod fields;
mod reply;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use futures_util::FutureExt;
use lambda_runtime::{LambdaEvent, service_fn};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::RawValue;
use tokio::time::Instant;
use tracing::{error, info};
use uuid::Uuid;

use self::event::Event;
use self::fields::{Fields, decode, parse_uuid};
pub use self::reply::Reply;
use crate::auth::Caller;
use crate::config::{AuthMode, Config};
use crate::db::{Database, REQUEST_BUDGET};
use crate::error::{Error, Fault, Invalid, Result, chain};
use crate::log;
use crate::models::{
    ContextFormat, ContextLimits, ConversationChange, Cursor, ETags, HistoryRange, MessageChange, NewConversation, NewMessage,
    SearchQuery, Title, Unanswered, UserId,
};

/// What is kept of a function's own time-out to say that the database did not answer.
const DEADLINE_MARGIN: Duration = Duration::from_millis(500);
const MAX_BODY_BYTES: usize = 4 << 20;
/// All but what RFC 3986 calls unreserved.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Serves a handler until the process ends: a binary's whole `main`.
///
/// Reads the environment ([`Config::from_env`]), asks the Lambda runtime for events, and connects to the database meanwhile. Every
/// event gets an answer: an [`Error`] becomes a problem document, a panic a 500, and each request one log line.
pub async fn run<H, F>(handler: H) -> ExitCode
where
    H: Fn(Request, Database) -> F,
    F: Future<Output = Result<Reply>>,
{
    log::start();
    let config = match Config::from_env() {
        Ok(config) => config,
        Err(error) => {
            error!(cause = %error, "the function can't start");
            return ExitCode::FAILURE;
        }
    };
    let database = Database::new(config.database);
    database.connect_ahead();
    let cold = AtomicBool::new(true);
    let function = std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();

    // Raw: what is no event is a request that is refused here, and not one that the runtime quotes in the log.
    let served = lambda_runtime::run(service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        let started = Instant::now();
        let cold_start = cold.swap(false, Ordering::Relaxed);
        if cold_start {
            // From now on there is something that it could quote.
            log::hide_the_words_of_panics();
        }
        let (event, context) = event.into_parts();
        let database = database.until(started + budget(context.deadline));
        let mut subject = Subject::default();
        let answer = AssertUnwindSafe(answer(&handler, &event, &config.auth, database.clone(), &mut subject));
        // Where it panicked, the log has been told already.
        let outcome = answer.catch_unwind().await.unwrap_or_else(|_panic| Err(Error::Internal("the handler panicked".into())));
        let usage = database.usage();
        let Subject { route, caller, conversation_id } = subject;
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
                    log!(error, reply, code = error.code(), cause = error.cause(), sqlstate = error.sqlstate(),);
                } else {
                    log!(info, reply, code = error.code(),);
                }
                reply
            }
        };
        Ok::<_, lambda_runtime::Error>(reply.into_response())
    }));
    match served.await {
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
    conversation_id: Option<Uuid>,
}

impl Default for Subject {
    fn default() -> Self {
        Self { route: None, caller: "nobody", conversation_id: None }
    }
}

async fn answer<H, F>(handler: &H, event: &RawValue, auth: &AuthMode, database: Database, subject: &mut Subject) -> Result<Reply>
where
    H: Fn(Request, Database) -> F,
    F: Future<Output = Result<Reply>>,
{
    let event: Event = serde_json::from_str(event.get())
        .map_err(|_| Invalid::new(Fault::Body, "the event is not one of an HTTP API with payload format 2.0"))?;
    subject.route = event.route().is_some().then(|| event.route_key.clone()).flatten();
    let caller = Caller::identify(event.claims(), auth)?;
    subject.caller = caller.kind();
    let request = Request::new(event, caller)?;
    subject.conversation_id = request.conversation_id().ok();
    handler(request, database).await
}

/// For the log: milliseconds, to the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// What is left of the function's time-out, less a margin. The emulator's deadline lies in 1970, which says nothing.
fn budget(deadline_ms: u64) -> Duration {
    let deadline = UNIX_EPOCH + Duration::from_millis(deadline_ms);
    match deadline.duration_since(SystemTime::now()) {
        Ok(left) => left.saturating_sub(DEADLINE_MARGIN).min(REQUEST_BUDGET),
        Err(_past) => REQUEST_BUDGET,
    }
}

/// A request, with its caller known and its body read.
#[derive(Debug)]
pub struct Request {
    event: Event,
    caller: Caller,
    body: Option<String>,
}

impl Request {
    fn new(mut event: Event, caller: Caller) -> Result<Self> {
        let body = match event.body.take().filter(|body| !body.is_empty()) {
            None => None,
            Some(body) => {
                let body = if event.is_base64_encoded { decode_base64(&body)? } else { body };
                if body.len() > MAX_BODY_BYTES {
                    return Err(
                        Invalid::new(Fault::TooLarge, "a request body has 4 MiB at most; send fewer messages at once").into()
                    );
                }
                let media_type = event.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim();
                if !media_type.eq_ignore_ascii_case("application/json") {
                    return Err(Error::UnsupportedMediaType);
                }
                Some(body)
            }
        };
        Ok(Self { event, caller, body })
    }

    /// Who is calling.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The path's `conversation_id`.
    ///
    /// # Errors
    /// `invalid_uuid`.
    pub fn conversation_id(&self) -> Result<Uuid> {
        self.path("conversation_id").and_then(|text| parse_uuid(&text)).map_err(|invalid| invalid.at("conversation_id"))
    }

    /// The path's `message_id`.
    ///
    /// # Errors
    /// `invalid_uuid`.
    pub fn message_id(&self) -> Result<Uuid> {
        self.path("message_id").and_then(|text| parse_uuid(&text)).map_err(|invalid| invalid.at("message_id"))
    }

    /// The path's `user_id`, if the caller may act for it.
    ///
    /// # Errors
    /// It is no user id, or another user's.
    pub fn user_id(&self) -> Result<UserId> {
        let user_id = self.path("user_id").and_then(UserId::parse).map_err(|invalid| invalid.at("user_id"))?;
        self.caller.acting_for(Some(user_id))
    }

    /// The fields of a request for a conversation.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn new_conversation(&self) -> Result<NewConversation> {
        let mut fields = self.fields()?;
        let user_id = self.caller.acting_for(fields.parse("user_id", UserId::parse)?)?;
        let conversation = NewConversation {
            user_id,
            id: fields.uuid("id")?,
            always_new: fields.flag("new")?.unwrap_or(false),
            title: fields.parse("title", Title::parse)?,
            metadata: fields.metadata()?.unwrap_or_default(),
        };
        fields.finish()?;
        Ok(conversation)
    }

    /// The messages to store, and whether they came as an array.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn new_messages(&self) -> Result<(Vec<NewMessage>, bool)> {
        self.fields()?.messages()
    }

    /// Which messages are asked for.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn history_range(&self) -> Result<HistoryRange> {
        let mut fields = self.fields()?;
        let limit = fields.integer("limit", LIMIT)?;
        let after = fields.integer("after", 0..=i64::MAX)?;
        let before = fields.integer("before", 0..=i64::MAX)?;
        let newest_first = fields.parse("order", |text| HistoryRange::order(&text))?;
        let last = fields.integer("last", LIMIT)?;
        fields.finish()?;
        match last {
            Some(_) if limit.or(after).or(before).is_some() || newest_first.is_some() => {
                Err(Invalid::new(Fault::Parameter, "last goes without limit, after, before and order").at("last"))
            }
            Some(last) => Ok(HistoryRange::Last(last)),
            None => Ok(HistoryRange::Between {
                after: after.unwrap_or(0),
                before: before.unwrap_or(i64::MAX),
                newest_first: newest_first.unwrap_or(false),
                limit,
            }),
        }
    }

    /// What becomes of a conversation.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn conversation_change(&self) -> Result<ConversationChange> {
        let mut fields = self.fields()?;
        let change = ConversationChange {
            title: fields.change("title", |fields| fields.parse("title", Title::parse))?,
            metadata: fields.change("metadata", Fields::metadata)?,
        };
        fields.finish()?;
        Ok(change)
    }

    /// What becomes of a message.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn message_change(&self) -> Result<MessageChange> {
        let mut fields = self.fields()?;
        let change = MessageChange {
            content: fields.change("content", Fields::content)?,
            tool_calls: fields.change("tool_calls", Fields::tool_calls)?,
            metadata: fields.change("metadata", Fields::metadata)?,
        };
        fields.finish()?;
        Ok(change)
    }

    /// The position from which a conversation is rewound; the first, if none is named.
    ///
    /// # Errors
    /// It is no position.
    pub fn rewind_from(&self) -> Result<i64> {
        let mut fields = self.fields()?;
        let from = fields.integer("from", 1..=i64::MAX)?;
        fields.finish()?;
        Ok(from.unwrap_or(1))
    }

    /// How much a model is sent, and in which form.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn context(&self) -> Result<(ContextLimits, Unanswered, ContextFormat)> {
        let mut fields = self.fields()?;
        let limits = ContextLimits {
            messages: fields.integer("max_messages", 1..=i64::MAX)?,
            characters: fields.integer("max_chars", 1..=i64::MAX)?,
        };
        let unanswered = fields.parse("unanswered", |text| Unanswered::parse(&text))?;
        let format = fields.parse("format", |text| ContextFormat::parse(&text))?;
        fields.finish()?;
        Ok((limits, unanswered.unwrap_or_default(), format.unwrap_or(ContextFormat::Messages)))
    }

    /// What to look for, how much of it, and behind which message.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn search(&self) -> Result<(SearchQuery, Option<i64>, Option<Cursor>)> {
        let mut fields = self.fields()?;
        let query = fields
            .parse("q", SearchQuery::parse)?
            .ok_or_else(|| Invalid::new(Fault::Missing, "q is required: words, \"a phrase\", -not, or").at("q"))?;
        let page = (query, fields.integer("limit", LIMIT)?, fields.parse("cursor", |text| Cursor::parse(&text))?);
        fields.finish()?;
        Ok(page)
    }

    /// Refuses fields where none are taken.
    ///
    /// # Errors
    /// The body has a field.
    pub fn no_fields(&self) -> Result<()> {
        self.fields()?.finish()
    }

    /// How many conversations are asked for, and behind which one.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn conversation_page(&self) -> Result<(Option<i64>, Option<Cursor>)> {
        let mut fields = self.fields()?;
        let page = (fields.integer("limit", LIMIT)?, fields.parse("cursor", |text| Cursor::parse(&text))?);
        fields.finish()?;
        Ok(page)
    }

    /// `If-Match`, where it is sent.
    ///
    /// # Errors
    /// It is no list of ETags.
    pub fn if_match(&self) -> Result<Option<ETags>> {
        self.event.header("if-match").map(|header| ETags::if_match(header).map_err(|invalid| invalid.at("If-Match"))).transpose()
    }

    /// `If-None-Match`, where it is sent.
    ///
    /// # Errors
    /// It is no list of ETags.
    pub fn if_none_match(&self) -> Result<Option<ETags>> {
        self.event
            .header("if-none-match")
            .map(|header| ETags::if_none_match(header).map_err(|invalid| invalid.at("If-None-Match")))
            .transpose()
    }

    /// The path that this request was sent to, percent-encoded, whatever stage or mapping it went through.
    #[must_use]
    pub fn own_path(&self) -> String {
        let raw = self.event.raw_path.as_deref().unwrap_or_default();
        // Without a route there is nobody who has decoded it.
        let Some(route) = self.event.route() else { return raw.to_owned() };
        let segments = |encode: bool| {
            let segment = |part: &str| {
                let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
                let value = name.and_then(|name| self.event.path_parameters.as_ref()?.get(name)).map_or(part, String::as_str);
                if encode { utf8_percent_encode(value, UNRESERVED).to_string() } else { value.to_owned() }
            };
            route.split('/').map(segment).collect::<Vec<_>>().join("/")
        };
        let prefix = raw.strip_suffix(&*segments(false)).unwrap_or_default();
        prefix.to_owned() + &segments(true)
    }

    /// The same request for another page: this path, with those parameters that have a value.
    #[must_use]
    pub fn page(&self, parameters: &[(&str, Option<String>)]) -> String {
        let pair = |(name, value): &(&str, Option<String>)| {
            let value = utf8_percent_encode(value.as_deref()?, UNRESERVED);
            Some(format!("{name}={value}"))
        };
        format!("{}?{}", self.own_path(), parameters.iter().filter_map(pair).collect::<Vec<_>>().join("&"))
    }

    /// A path parameter, decoded exactly once: where API Gateway has matched a route, it has decoded; the emulator and Function
    /// URLs (which have no routes, so that the segment behind the collection's name is the parameter) have not.
    fn path(&self, name: &str) -> Result<String, Invalid> {
        let parameter = self.event.path_parameters.as_ref().and_then(|parameters| parameters.get(name));
        if let (Some(value), Some(_route)) = (parameter, self.event.route()) {
            return Ok(value.clone());
        }
        let collection = name.strip_suffix("_id").map(|thing| format!("{thing}s")).unwrap_or_default();
        let mut segments = self.event.raw_path.as_deref().unwrap_or_default().split('/');
        parameter
            .map(String::as_str)
            .or_else(|| segments.find(|segment| *segment == collection).and_then(|_| segments.next()))
            .ok_or_else(|| Invalid::new(Fault::Missing, format!("the path has no {name}")))
            .and_then(decode)
    }

    fn fields(&self) -> Result<Fields<'_>> {
        Fields::read(&self.event.query_string(), self.body.as_deref())
    }
}

const LIMIT: std::ops::RangeInclusive<i64> = 1..=1000;

fn decode_base64(body: &str) -> Result<String> {
    base64::engine::general_purpose::STANDARD
        .decode(body)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| Invalid::new(Fault::Body, "the body is not UTF-8").into())
}
