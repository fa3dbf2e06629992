//! Responses: JSON, problems, and lists that fit in what Lambda can return.

use lambda_http::Body;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use lambda_http::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, LINK, LOCATION};
use lambda_http::http::{HeaderValue, StatusCode};
use serde::Serialize;
use tracing::error;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::models::Version;

/// What a body may weigh in the response that Lambda returns. Its limit is 6 MB; the rest is for headers and the envelope.
const BODY_BUDGET: usize = 5_990_000;

/// A response.
#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, String)>,
    body: Vec<u8>,
    conversation_id: Option<Uuid>,
}

impl Reply {
    fn new(status: StatusCode, body: Vec<u8>) -> Self {
        Self { status, headers: Vec::new(), body, conversation_id: None }
    }

    /// A value as JSON.
    fn json(status: StatusCode, value: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_vec(value).map_err(|error| Error::Internal(error.into()))?;
        Ok(Self::new(status, body).with(CONTENT_TYPE, "application/json"))
    }

    /// 200 and a value.
    ///
    /// # Errors
    /// [`Error::Internal`]: the value can't be serialized.
    pub fn ok(value: &impl Serialize) -> Result<Self> {
        Self::json(StatusCode::OK, value)
    }

    /// 201 if something was created, 200 if it was there, and a value.
    ///
    /// # Errors
    /// [`Error::Internal`]: the value can't be serialized.
    pub fn created(created: bool, value: &impl Serialize) -> Result<Self> {
        Self::json(if created { StatusCode::CREATED } else { StatusCode::OK }, value)
    }

    /// 204: done, and nothing to say.
    #[must_use]
    pub fn no_content() -> Self {
        Self::new(StatusCode::NO_CONTENT, Vec::new())
    }

    /// 304: the caller has this version.
    #[must_use]
    pub fn not_modified() -> Self {
        Self::new(StatusCode::NOT_MODIFIED, Vec::new())
    }

    /// 200 and as many of the items, in order, as a response can hold. If that is not all, or if there are `more` behind them, the
    /// response links to `next(last item sent, how many were sent)`.
    ///
    /// # Errors
    /// [`Error::Internal`]: an item can't be serialized.
    pub fn list<T: Serialize>(items: &[T], more: bool, next: impl FnOnce(&T, usize) -> String) -> Result<Self> {
        let mut body = vec![b'['];
        let (mut sent, mut quoted) = (0, 2);
        for item in items {
            let before = body.len();
            if sent > 0 {
                body.push(b',');
            }
            serde_json::to_writer(&mut body, item).map_err(|error| Error::Internal(error.into()))?;
            quoted += quoted_size(&body[before..]);
            // The first goes out in any case: with the limits on a message, it fits.
            if sent > 0 && quoted.min(base64_size(body.len() + 1)) > BODY_BUDGET {
                body.truncate(before);
                break;
            }
            sent += 1;
        }
        body.push(b']');
        let mut reply = Self::new(StatusCode::OK, body).with(CONTENT_TYPE, "application/json");
        if let Some(last) = items[..sent].last()
            && (more || sent < items.len())
        {
            reply = reply.with(LINK, format!("<{}>; rel=\"next\"", next(last, sent)));
        }
        Ok(reply)
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

    pub(super) fn conversation_id(&self) -> Option<Uuid> {
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
    pub(super) fn problem(error: &Error, request_id: &str) -> Self {
        #[derive(Serialize)]
        struct Problem<'a> {
            r#type: &'static str,
            title: &'static str,
            status: u16,
            detail: &'a str,
            code: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            param: Option<&'a str>,
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
            request_id,
        };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        Self::new(status, body).with(CONTENT_TYPE, "application/problem+json")
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// The form that API Gateway takes. The body travels inside a JSON string, where every quote costs a byte more, or as base64,
    /// which API Gateway undoes: the latter only where the former would not fit.
    pub(super) fn into_response(self) -> ApiGatewayV2httpResponse {
        let mut response = ApiGatewayV2httpResponse::default();
        response.status_code = i64::from(self.status.as_u16());
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers.insert(name, value);
            } else {
                error!(header = %name, "header left out: not a valid value");
            }
        }
        // Somebody's own messages: no cache between them and us may keep a copy, and theirs asks whether it is current.
        response.headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        let as_text = self.body.len() * 2 <= BODY_BUDGET || quoted_size(&self.body) <= BODY_BUDGET;
        response.body = match String::from_utf8(self.body) {
            Ok(text) if text.is_empty() => None,
            Ok(text) if as_text => Some(Body::Text(text)),
            Ok(text) => Some(Body::Binary(text.into_bytes())),
            Err(bytes) => Some(Body::Binary(bytes.into_bytes())),
        };
        response.is_base64_encoded = matches!(response.body, Some(Body::Binary(_)));
        response
    }
}

/// The bytes of JSON text inside a JSON string. JSON has no other control characters than these.
fn quoted_size(json: &[u8]) -> usize {
    json.len() + json.iter().filter(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t')).count()
}

fn base64_size(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next_of(reply: &Reply) -> Option<&str> {
        reply.headers.iter().find(|(name, _)| name == LINK).map(|(_, value)| value.as_str())
    }

    fn wire_size(reply: Reply) -> usize {
        serde_json::to_vec(&reply.into_response()).unwrap().len()
    }

    #[test]
    fn a_list_holds_what_fits_and_links_to_the_rest() {
        for item in ["\"".repeat(500_000), "é\n".repeat(200_000), "x".repeat(1 << 20)] {
            let items = vec![item; 40];
            let reply = Reply::list(&items, false, |_, sent| format!("/from/{sent}")).unwrap();
            let sent = serde_json::from_slice::<Vec<String>>(&reply.body).unwrap().len();
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
        assert_eq!(Reply::list(&[], false, next).unwrap().body, b"[]");
    }
}
