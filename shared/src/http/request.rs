//! A request: who sent it, and what it says.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

use super::event::Event;
use super::fields::{Fields, decode, parse_uuid};
use crate::auth::Caller;
use crate::error::{Error, Fault, Invalid, Result};
use crate::models::{ETags, Operation, UserId};

const MAX_BODY_BYTES: usize = 4 << 20;
/// What a body may have that is one line of an export: as much as the largest of them, whose control characters take six bytes each. As base64,
/// an event holds it.
const MAX_LINE_BYTES: usize = 4_500_000;
/// All but what RFC 3986 calls unreserved.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request, with its caller known and its body read.
#[derive(Debug)]
pub struct Request {
    event: Event,
    caller: Caller,
    body: Option<Body>,
}

/// A body, by its media type.
#[derive(Debug)]
enum Body {
    Json(String),
    /// Lines of JSON.
    Lines(String),
}

impl Request {
    pub(crate) fn new(mut event: Event, caller: Caller) -> Result<Self> {
        let body = match event.body.take().filter(|body| !body.is_empty()) {
            None => None,
            Some(body) => {
                check_encoding(&event)?;
                let body = if event.is_base64_encoded { decode_base64(&body)? } else { body };
                let media_type = event.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim();
                // Some editors and libraries write a byte order mark before a text.
                let body = match body.strip_prefix('\u{feff}') {
                    Some(text) => text.to_owned(),
                    None => body,
                };
                let is_lines = media_type.eq_ignore_ascii_case("application/x-ndjson");
                let is_exported = || ["{\"message\":{", "{\"conversation\":{"].iter().any(|start| body.starts_with(start));
                let is_one_line = || body.len() <= MAX_LINE_BYTES && !body.trim_end().contains('\n');
                if body.len() > MAX_BODY_BYTES && !(is_lines && is_exported() && is_one_line()) {
                    return Err(Invalid::new(Fault::TooLarge, "a request body may have 4 MiB; send fewer messages at once").into());
                }
                if is_lines {
                    Some(Body::Lines(body))
                } else if media_type.eq_ignore_ascii_case("application/json") {
                    Some(Body::Json(body))
                } else {
                    return Err(Error::UnsupportedMediaType);
                }
            }
        };
        Ok(Self { event, caller, body })
    }

    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The path's `conversation_id`.
    pub fn conversation_id(&self) -> Result<Uuid> {
        self.path("conversation_id").and_then(|text| parse_uuid(&text)).map_err(|invalid| invalid.at("conversation_id"))
    }

    /// The path's `message_id`.
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

    /// The path's `user_id`, for a request that only a back end may send.
    ///
    /// # Errors
    /// It is no user id, or the caller is a user.
    pub fn user_id_by_service(&self) -> Result<UserId> {
        let user_id = self.path("user_id").and_then(UserId::parse).map_err(|invalid| invalid.at("user_id"))?;
        if self.caller.owner().is_some() { Err(Error::ServiceOnly) } else { Ok(user_id) }
    }

    /// The fields of the query string and of the body.
    ///
    /// # Errors
    /// `invalid_body` or `invalid_character`: they can't be read. [`Error::UnsupportedMediaType`]: the body is lines.
    pub fn fields(&self) -> Result<Fields<'_>> {
        let body = match &self.body {
            None => None,
            Some(Body::Json(body)) => Some(body.as_str()),
            Some(Body::Lines(_)) => return Err(Error::UnsupportedMediaType),
        };
        Fields::read(&self.event.query_string(), body)
    }

    /// A body of lines of JSON, where no parameters are taken. No body is no lines.
    ///
    /// # Errors
    /// [`Error::NoLines`]: the body is something else.
    pub fn lines(&self) -> Result<&str> {
        Fields::read(&self.event.query_string(), None)?.finish()?;
        match &self.body {
            None => Ok(""),
            Some(Body::Lines(lines)) => Ok(lines),
            Some(Body::Json(_)) => Err(Error::NoLines),
        }
    }

    /// How long the body is, in bytes.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        self.body.as_ref().map_or(0, |(Body::Json(body) | Body::Lines(body))| body.len())
    }

    /// Refuses fields where none are taken.
    pub fn no_fields(&self) -> Result<()> {
        self.fields()?.finish()
    }

    /// `If-Match`, where it is sent.
    pub fn if_match(&self) -> Result<Option<ETags>> {
        self.event.header("if-match").map(|header| ETags::parse(header).map_err(|invalid| invalid.at("If-Match"))).transpose()
    }

    /// What this write is recognized by when it is sent again. The same request has the same path, query string and body.
    ///
    /// # Errors
    /// `invalid_uuid`: the `Idempotency-Key` is no UUID.
    pub fn operation(&self) -> Result<Operation> {
        let key = self.event.header("idempotency-key").map(|key| parse_uuid(key).map_err(|invalid| invalid.at("Idempotency-Key")));
        let message_id = self.event.path_parameters.as_ref().and_then(|parameters| parameters.get("message_id"));
        let body = match &self.body {
            None => "",
            Some(Body::Json(body) | Body::Lines(body)) => body,
        };
        Ok(Operation::new(key.transpose()?, &[message_id.map_or("", String::as_str), &self.event.query_string(), body]))
    }

    /// `If-None-Match`, where it is sent.
    pub fn if_none_match(&self) -> Result<Option<ETags>> {
        self.event
            .header("if-none-match")
            .map(|header| ETags::parse(header).map_err(|invalid| invalid.at("If-None-Match")))
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

    /// The path of a conversation, for a request to a route that begins with `/conversations`.
    #[must_use]
    pub fn conversation_path(&self, id: Uuid) -> String {
        const CONVERSATIONS: &str = "/conversations";
        let own_path = self.own_path();
        let end = own_path.rfind(CONVERSATIONS).map_or(0, |at| at + CONVERSATIONS.len());
        format!("{}/{id}", &own_path[..end])
    }

    /// The same request for another page: this path, with those parameters that have a value.
    #[must_use]
    pub fn page(&self, parameters: &[(impl AsRef<str>, Option<String>)]) -> String {
        let pairs = parameters.iter().filter_map(|(name, value)| {
            let name = utf8_percent_encode(name.as_ref(), UNRESERVED);
            let value = utf8_percent_encode(value.as_deref()?, UNRESERVED);
            Some(format!("{name}={value}"))
        });
        format!("{}?{}", self.own_path(), pairs.collect::<Vec<_>>().join("&"))
    }

    /// A path parameter, decoded exactly once. An event with a route comes from API Gateway, which has decoded the parameter already. An
    /// event without one comes from `cargo lambda watch`, which passes the parameter on as it stands in the path.
    fn path(&self, name: &str) -> Result<String, Invalid> {
        let parameter = self.event.path_parameters.as_ref().and_then(|parameters| parameters.get(name));
        let value = parameter.ok_or_else(|| {
            Invalid::new(
                Fault::Missing,
                format!("{name} is required: the event's pathParameters have to hold it, as an HTTP API sends it"),
            )
        })?;
        if self.event.route().is_some() { Ok(value.clone()) } else { decode(value) }
    }
}

/// Refuses a body that is compressed, or in another encoding than UTF-8. Without this, it would be called broken JSON.
fn check_encoding(event: &Event) -> Result<()> {
    let refused =
        |what: String| Err(Error::Encoded { detail: format!("the body is sent with {what}; send it as UTF-8, not compressed") });
    if let Some(encoding) = event.header("content-encoding").filter(|encoding| !encoding.trim().eq_ignore_ascii_case("identity")) {
        return refused(format!("content-encoding: {encoding}"));
    }
    let parameters = event.header("content-type").unwrap_or_default().split(';').skip(1);
    for (name, value) in parameters.filter_map(|parameter| parameter.split_once('=')) {
        let charset = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("charset") && !["utf-8", "utf8"].iter().any(|utf8| charset.eq_ignore_ascii_case(utf8)) {
            return refused(format!("charset={charset}"));
        }
    }
    Ok(())
}

fn decode_base64(body: &str) -> Result<String> {
    STANDARD
        .decode(body)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| Invalid::new(Fault::Body, "the body is not UTF-8").into())
}
