//! Responses: JSON, problems, and lists that fit in what Lambda can return.
//!
//! A body is written as it travels ([`Wire`]), so its length is what it weighs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lambda_http::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, LINK, LOCATION};
use lambda_http::http::{HeaderValue, StatusCode};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use tracing::error;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::models::{Conditional, Version};
use crate::wire::{ToWire, Wire};

/// What a body may weigh in the response that Lambda returns. Its limit is 6 MB; the rest is for headers and the envelope.
const BODY_BUDGET: usize = 5_990_000;

/// What a page of lines may weigh: what the body of a request may.
const LINES_BUDGET: usize = 4 << 20;

#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, String)>,
    body: Option<Body>,
    conversation_id: Option<Uuid>,
}

/// A body as it travels: a JSON string.
#[derive(Debug)]
enum Body {
    Text(Box<RawValue>),
    /// API Gateway undoes base64. It is for a text whose quotes do not fit.
    Base64(Box<RawValue>),
}

/// The form that API Gateway takes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Response {
    status_code: u16,
    #[serde(serialize_with = "as_map")]
    headers: Vec<(HeaderName, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
    is_base64_encoded: bool,
    /// None, but the emulator wants to be told so.
    cookies: [(); 0],
}

fn as_map<S: Serializer>(headers: &[(HeaderName, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.iter().map(|(name, value)| (name.as_str(), value)))
}

impl Reply {
    fn new(status: StatusCode, body: Option<Body>) -> Self {
        Self { status, headers: Vec::new(), body, conversation_id: None }
    }

    /// A value as JSON.
    fn json(status: StatusCode, value: &impl Serialize) -> Result<Self> {
        Ok(Self::new(status, Some(Body::json(value)?)).with(CONTENT_TYPE, "application/json"))
    }

    /// 200 and a value.
    pub fn ok(value: &impl Serialize) -> Result<Self> {
        Self::json(StatusCode::OK, value)
    }

    /// The same for a value that has a way of its own to be written.
    pub fn written(value: &impl ToWire) -> Result<Self> {
        let mut wire = Wire::new();
        value.write(&mut wire).map_err(internal)?;
        Ok(Self::new(StatusCode::OK, Some(Body::of(wire)?)).with(CONTENT_TYPE, "application/json"))
    }

    /// 201 if something was created, 200 if it was there, and a value.
    pub fn created(created: bool, value: &impl Serialize) -> Result<Self> {
        Self::json(if created { StatusCode::CREATED } else { StatusCode::OK }, value)
    }

    /// Whether Lambda can return the body.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.body.as_ref().is_none_or(|body| match body {
            Body::Text(_) => true,
            Body::Base64(text) => text.get().len() <= BODY_BUDGET,
        })
    }

    /// 202: a part is done, and the same request again goes on. The value says what was done.
    pub fn accepted(value: &impl Serialize) -> Result<Self> {
        Self::json(StatusCode::ACCEPTED, value)
    }

    /// 204: done, and nothing to say.
    #[must_use]
    pub fn no_content() -> Self {
        Self::new(StatusCode::NO_CONTENT, None)
    }

    /// 304 if the caller has the version, or else the reply that `reply` makes of what was read. Both have the version as ETag.
    pub fn conditional<T>(read: Conditional<T>, reply: impl FnOnce(T) -> Result<Self>) -> Result<Self> {
        match read {
            Conditional::NotModified(version) => Ok(Self::new(StatusCode::NOT_MODIFIED, None).version(version)),
            Conditional::Modified(value, version) => Ok(reply(value)?.version(version)),
        }
    }

    /// 200 and as many of the items, in order, as a response can hold. If that is not all, or if there are `more` behind them, the
    /// response links to `next(last item sent, how many were sent)`.
    pub fn list<T: ToWire>(items: &[T], more: bool, next: impl FnOnce(&T, usize) -> String) -> Result<Self> {
        let (mut wire, mut sent) = (Wire::new(), 0);
        wire.escaped("[");
        write_items(&mut wire, items, &mut sent, |wire, _| wire.len() < BODY_BUDGET)?;
        if sent < items.len() {
            let mut unescaped = wire.unescaped_len(0);
            if base64_size(unescaped) < wire.len() {
                write_items(&mut wire, items, &mut sent, |wire, before| {
                    unescaped += wire.unescaped_len(before);
                    base64_size(unescaped) < BODY_BUDGET
                })?;
            }
        }
        wire.escaped("]");
        let reply = Self::new(StatusCode::OK, Some(Body::of(wire)?)).with(CONTENT_TYPE, "application/json");
        let last = items[..sent].last().filter(|_| more || sent < items.len());
        Ok(reply.or_next(last.map(|last| next(last, sent))))
    }

    /// 200 and as many of the items, in order, as fit: a line of JSON for each (NDJSON). If that is not all, or if there may be `more` behind
    /// them, the response links to `next(last item sent)`.
    ///
    /// A page has 4 MiB at most, so that it can be the body of a request. As base64 it fits in a response, whatever it holds.
    pub fn lines<T: Serialize>(items: &[T], more: bool, next: impl FnOnce(&T) -> String) -> Result<Self> {
        let (mut text, mut sent) = (Vec::new(), 0);
        for item in items {
            let before = text.len();
            serde_json::to_writer(&mut text, item).map_err(internal)?;
            // JSON that is kept as it came may have line breaks between its tokens. In its strings, they are escaped.
            for byte in &mut text[before..] {
                if matches!(byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
            text.push(b'\n');
            // The first goes out in any case.
            if sent > 0 && text.len() > LINES_BUDGET {
                text.truncate(before);
                break;
            }
            sent += 1;
        }
        let mut wire = Wire::new();
        wire.unescaped(str::from_utf8(&text).map_err(|error| Error::Internal(error.into()))?).map_err(internal)?;
        let reply = Self::new(StatusCode::OK, Some(Body::of(wire)?)).with(CONTENT_TYPE, "application/x-ndjson");
        let last = items[..sent].last().filter(|_| more || sent < items.len());
        Ok(reply.or_next(last.map(next)))
    }

    /// For a list that ended before everything was read: links to where it goes on, unless it links to its own rest.
    #[must_use]
    pub fn or_next(self, target: Option<String>) -> Self {
        match target {
            Some(target) if !self.headers.iter().any(|(name, _)| name == LINK) => {
                self.with(LINK, format!("<{target}>; rel=\"next\""))
            }
            _ => self,
        }
    }

    /// The conversation's version.
    #[must_use]
    pub fn version(self, version: Version) -> Self {
        self.with(ETAG, version.etag())
    }

    /// Where the created thing is.
    #[must_use]
    pub fn location(self, path: impl Into<String>) -> Self {
        self.with(LOCATION, path)
    }

    /// The conversation that this is about, for the log, where the path does not say it.
    #[must_use]
    pub fn about(mut self, conversation_id: Uuid) -> Self {
        self.conversation_id = Some(conversation_id);
        self
    }

    pub(crate) fn conversation_id(&self) -> Option<Uuid> {
        self.conversation_id
    }

    /// Says that everything was stored already, if it was.
    #[must_use]
    pub fn replayed(self, replayed: bool) -> Self {
        if replayed { self.with(HeaderName::from_static("idempotent-replayed"), "true") } else { self }
    }

    fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// An error as the caller sees it (RFC 9457). No `type` of its own: `code` is what programs go by.
    pub(crate) fn problem(error: &Error, request_id: &str) -> Self {
        #[derive(Serialize)]
        struct Problem<'a> {
            r#type: &'static str,
            title: &'static str,
            status: u16,
            detail: &'a str,
            code: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            param: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            length: Option<i64>,
            request_id: &'a str,
        }
        let status = error.status();
        let problem = Problem {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: error.detail(),
            code: error.code(),
            param: error.param(),
            length: error.length(),
            request_id,
        };
        // The path of a field can be as long as the request.
        let reply = Self::new(status, Body::json(&problem).ok()).with(CONTENT_TYPE, "application/problem+json");
        match error.version() {
            Some(version) => reply.version(version),
            None => reply,
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The form that API Gateway takes.
    pub(crate) fn into_response(self) -> Response {
        let mut headers = self.headers;
        headers.retain(|(name, value)| {
            let valid = HeaderValue::try_from(value).is_ok();
            if !valid {
                error!(header = %name, "header left out: not a valid value");
            }
            valid
        });
        // Somebody's own messages: no cache between them and us may keep a copy, and theirs asks whether it is current.
        headers.push((CACHE_CONTROL, "private, no-cache".to_owned()));
        let is_base64_encoded = matches!(self.body, Some(Body::Base64(_)));
        let body = self.body.map(|(Body::Text(body) | Body::Base64(body))| body);
        Response { status_code: self.status.as_u16(), headers, body, is_base64_encoded, cookies: [] }
    }
}

impl Body {
    fn json(value: &impl Serialize) -> Result<Self> {
        let mut wire = Wire::new();
        wire.value(value).map_err(internal)?;
        Self::of(wire)
    }

    /// What is written, in the form that fits.
    fn of(wire: Wire) -> Result<Self> {
        let fits = wire.len() <= BODY_BUDGET;
        let text = wire.end().map_err(internal)?;
        if fits {
            return Ok(Self::Text(text));
        }
        let unescaped: String = serde_json::from_str(text.get()).map_err(internal)?;
        Ok(Self::Base64(to_raw_value(&STANDARD.encode(unescaped)).map_err(internal)?))
    }
}

fn internal(error: serde_json::Error) -> Error {
    Error::Internal(error.into())
}

/// Writes as many items as fit, behind those that are `sent`. `fits` is told where the last one begins.
fn write_items<T: ToWire>(
    wire: &mut Wire,
    items: &[T],
    sent: &mut usize,
    mut fits: impl FnMut(&Wire, usize) -> bool,
) -> Result<()> {
    for item in &items[*sent..] {
        let before = wire.len();
        if *sent > 0 {
            wire.escaped(",");
        }
        item.write(wire).map_err(internal)?;
        // The first goes out in any case: with the limits on a message, it fits.
        if *sent > 0 && !fits(wire, before) {
            wire.truncate(before);
            break;
        }
        *sent += 1;
    }
    Ok(())
}

fn base64_size(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

#[cfg(test)]
mod tests {
    use super::*;

    impl ToWire for String {}
    impl ToWire for i32 {}
    impl ToWire for &Box<RawValue> {}

    fn next_of(reply: &Reply) -> Option<&str> {
        reply.headers.iter().find(|(name, _)| name == LINK).map(|(_, value)| value.as_str())
    }

    /// The body that a client gets.
    fn body_of(reply: &Reply) -> String {
        let text = |text: &RawValue| serde_json::from_str::<String>(text.get()).unwrap();
        match reply.body.as_ref().unwrap() {
            Body::Text(body) => text(body),
            Body::Base64(body) => String::from_utf8(STANDARD.decode(text(body)).unwrap()).unwrap(),
        }
    }

    fn wire_size(reply: Reply) -> usize {
        serde_json::to_vec(&reply.into_response()).unwrap().len()
    }

    #[test]
    fn a_list_holds_what_fits_and_links_to_the_rest() {
        for item in ["\"".repeat(500_000), "é\n".repeat(200_000), "x".repeat(1 << 20)] {
            let items = vec![item; 40];
            let reply = Reply::list(&items, false, |_, sent| format!("/from/{sent}")).unwrap();
            let sent = serde_json::from_str::<Vec<String>>(&body_of(&reply)).unwrap().len();
            assert!((2..40).contains(&sent));
            assert_eq!(next_of(&reply), Some(&*format!("</from/{sent}>; rel=\"next\"")));
            let size = wire_size(reply);
            assert!((4_900_000..6_000_000).contains(&size), "{size}");
        }
    }

    #[test]
    fn a_list_that_is_whole_has_no_link() {
        let next = |_: &i32, _| "/next".to_owned();
        assert_eq!(next_of(&Reply::list(&[1, 2], false, next).unwrap()), None);
        assert_eq!(next_of(&Reply::list(&[1, 2], true, next).unwrap()), Some("</next>; rel=\"next\""));
        assert_eq!(body_of(&Reply::list(&[], false, next).unwrap()), "[]");
    }

    #[test]
    fn a_list_that_ended_early_links_to_its_own_rest_or_to_what_was_not_read() {
        let next = |_: &i32, _| "/rest".to_owned();
        let link = |items: &[i32], more, unread: Option<&str>| {
            let reply = Reply::list(items, more, next).unwrap().or_next(unread.map(str::to_owned));
            assert!(reply.headers.iter().filter(|(name, _)| name == LINK).count() <= 1);
            next_of(&reply).map(str::to_owned)
        };
        assert_eq!(link(&[1], true, Some("/unread")).unwrap(), "</rest>; rel=\"next\"");
        assert_eq!(link(&[1], false, Some("/unread")).unwrap(), "</unread>; rel=\"next\"");
        assert_eq!(link(&[], false, Some("/unread")).unwrap(), "</unread>; rel=\"next\"");
        assert_eq!(link(&[], false, None), None);
    }

    #[test]
    fn a_body_arrives_as_it_was_serialized() {
        let every_character: String = ('\0'..='\u{ff}').chain(['\u{2028}', '\u{1f600}']).collect();
        let raw = RawValue::from_string("{\n\t\"a\\n\\\\\" : [1.50,\r\"\\u0041\\\"\"] }".to_owned()).unwrap();
        let value = serde_json::json!({"text": every_character, "numbers": [1, -2.5, 1e300, null, true], "": {}});
        assert_eq!(body_of(&Reply::ok(&value).unwrap()), serde_json::to_string(&value).unwrap());
        assert_eq!(body_of(&Reply::ok(&raw).unwrap()), raw.get());
        assert_eq!(body_of(&Reply::list(&[&raw], false, |_, _| String::new()).unwrap()), format!("[{}]", raw.get()));
    }

    #[test]
    fn what_is_too_full_of_quotes_goes_as_base64() {
        for quotes in [1_400_000, 1_600_000] {
            let value = "\"".repeat(quotes);
            let reply = Reply::ok(&value).unwrap();
            assert_eq!(matches!(reply.body, Some(Body::Base64(_))), quotes == 1_600_000);
            assert_eq!(body_of(&reply), serde_json::to_string(&value).unwrap());
            assert!(wire_size(reply) < 6_000_000);
        }
    }
}
