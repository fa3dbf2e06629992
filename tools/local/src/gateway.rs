//! An HTTP API of API Gateway on this machine: what stands before the functions on AWS. Each request becomes the event that API Gateway
//! makes of it, goes to a process of its function, and is answered as API Gateway answers.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api.html>

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::{HeaderMap, request};
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::http::{self, Reply};
use crate::http_api::{self, HttpRequest};
use crate::runtime_api::{Failure, Function};
use crate::tokens::Key;

/// What API Gateway takes as a body.
const MAX_BODY_BYTES: usize = 10 << 20;
/// What Lambda takes as an event.
const MAX_EVENT_BYTES: usize = 6 << 20;

/// `CorsConfiguration` in `template.yaml`, but for the origins: here, those of this machine.
pub const ALLOW_METHODS: &str = "DELETE,GET,PATCH,POST,PUT";
/// As above.
pub const ALLOW_HEADERS: &str = "authorization,content-type,idempotency-key,if-match,if-none-match";
/// As above.
pub const EXPOSE_HEADERS: &str = "apigw-requestid,etag,idempotent-replayed,link,location,retry-after";
/// As above, in seconds.
pub const MAX_AGE: &str = "86400";

pub struct Gateway {
    functions: BTreeMap<&'static str, Function>,
    /// Checks tokens, where they are wanted.
    key: Option<Key>,
    observer: Box<dyn Fn(Access) + Send + Sync>,
    pages: Option<Box<Pages>>,
}

/// Answers a request for a page of this machine's own, by its method and path.
type Pages = dyn Fn(&Method, &str) -> Option<Reply> + Send + Sync;

/// A request that has been answered, for a log.
#[derive(Debug)]
pub struct Access {
    pub method: String,
    /// Its path, percent-encoded, without the query, which may hold content.
    pub path: String,
    pub status: u16,
    /// From the request's head to the answer.
    pub duration: Duration,
    /// The function that it was routed to, and the id that this function logs.
    pub function: Option<(&'static str, Uuid)>,
    /// Why the function did not answer.
    pub failure: Option<Failure>,
}

impl Gateway {
    /// An API of these functions. With a `key`, each request needs a token that it has signed. `observer` is called with every request
    /// that has been answered.
    #[must_use]
    pub fn new(
        functions: BTreeMap<&'static str, Function>,
        key: Option<Key>,
        observer: impl Fn(Access) + Send + Sync + 'static,
    ) -> Self {
        Self { functions, key, observer: Box::new(observer), pages: None }
    }

    /// Serves pages, too. `pages` is asked before the routes. What it answers needs no token, and is not observed.
    #[must_use]
    pub fn with_pages(self, pages: impl Fn(&Method, &str) -> Option<Reply> + Send + Sync + 'static) -> Self {
        Self { pages: Some(Box::new(pages)), ..self }
    }

    /// Serves on a socket until it is dropped.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        http::serve(listener, move |request| {
            let gateway = Arc::clone(&self);
            async move { gateway.answer(request).await }
        })
        .await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        let (method, path) = (head.method.to_string(), head.uri.path().to_owned());
        let origin = head.headers.get(header::ORIGIN).filter(|origin| is_of_this_machine(origin)).cloned();
        let mut function = None;
        let refusal = self.refuse(&head.headers);
        if refusal.is_none()
            && let Some(page) = self.pages.as_ref().and_then(|pages| pages(&head.method, &path))
        {
            return page;
        }
        let outcome = if let Some(reply) = refusal {
            Ok(reply)
        } else if head.method == Method::OPTIONS && head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
            Ok(preflight())
        } else {
            self.route(&head, body, &mut function).await
        };
        let (mut reply, failure) = match outcome {
            Ok(reply) => (reply, None),
            Err(failure) => (message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"), Some(failure)),
        };
        let headers = reply.headers_mut();
        match origin {
            Some(origin) => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSE_HEADERS));
            }
            None => {
                for name in
                    [header::ACCESS_CONTROL_ALLOW_METHODS, header::ACCESS_CONTROL_ALLOW_HEADERS, header::ACCESS_CONTROL_MAX_AGE]
                {
                    headers.remove(name);
                }
            }
        }
        let status = reply.status().as_u16();
        (self.observer)(Access { method, path, status, duration: started.elapsed(), function, failure });
        reply
    }

    /// Refuses what a page from elsewhere sends by way of a browser on this machine, where no token protects the functions. The page's
    /// own host name may lead here (DNS rebinding): then `Host` is foreign. Otherwise `Origin` is.
    fn refuse(&self, headers: &HeaderMap) -> Option<Reply> {
        let foreign = |name: HeaderName, is_foreign: fn(&HeaderValue) -> bool| headers.get_all(name).iter().any(is_foreign);
        let refused = self.key.is_none()
            && (foreign(header::HOST, |host| !is_this_machine(host.to_str().unwrap_or_default()))
                || foreign(header::ORIGIN, |origin| !is_of_this_machine(origin)));
        refused.then(|| message(StatusCode::FORBIDDEN, REFUSED))
    }

    /// From the route to the function's answer.
    async fn route(
        &self,
        head: &request::Parts,
        body: Incoming,
        called: &mut Option<(&'static str, Uuid)>,
    ) -> Result<Reply, Failure> {
        let token = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        // API Gateway takes a token without the word, too.
        let token = token.map(|value| value.strip_prefix("Bearer ").unwrap_or(value));
        let claims = self.key.as_ref().and_then(|key| key.check(token?));
        let request = HttpRequest {
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: joined(&head.headers),
            claims,
            ..HttpRequest::default()
        };
        let Some((name, mut event)) = request.event() else { return Ok(message(StatusCode::NOT_FOUND, "Not Found")) };
        if self.key.is_some() && request.claims.is_none() {
            let mut reply = message(StatusCode::UNAUTHORIZED, "Unauthorized");
            reply.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return Ok(reply);
        }
        let Some(function) = self.functions.get(name) else { return Ok(message(StatusCode::NOT_FOUND, "Not Found")) };
        let too_large = || Ok(message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"));
        let Some(body) = http::read(body, MAX_BODY_BYTES).await else { return too_large() };
        if !body.is_empty() {
            http_api::set_body(&mut event, &body);
        }
        http_api::stamp(&mut event);
        let event = event.to_string();
        if event.len() > MAX_EVENT_BYTES {
            return too_large();
        }
        let id = Uuid::now_v7();
        *called = Some((name, id));
        let response = function.send(id, event).await?;
        read(&response).map_err(|error| Failure::Reported(Value::String(format!("a response that is none: {error:#}"))))
    }
}

/// What a function answers, payload format 2.0.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionResponse {
    status_code: u16,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

/// The HTTP response that a function's response says.
fn read(response: &[u8]) -> Result<Reply> {
    let response: FunctionResponse = serde_json::from_slice(response)?;
    let body = response.body.unwrap_or_default();
    let body = if response.is_base64_encoded { STANDARD.decode(body)? } else { body.into_bytes() };
    let mut reply = Response::builder().status(response.status_code);
    for (name, value) in &response.headers {
        let value = value.as_str().with_context(|| format!("the header {name} is no string"))?;
        reply = reply.header(name, value);
    }
    Ok(reply.body(Bytes::from(body).into())?)
}

/// The values of one name, with commas between them.
fn joined(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text = |name: &HeaderName| {
        let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let separator = if name == header::COOKIE { "; " } else { "," };
        (name.as_str().to_owned(), values.collect::<Vec<_>>().join(separator))
    };
    headers.keys().map(text).collect()
}

/// An origin that a page served by this machine has. Pages from elsewhere must not read what is stored here.
fn is_of_this_machine(origin: &HeaderValue) -> bool {
    origin.to_str().ok().and_then(|origin| origin.split_once("://")).is_some_and(|(_, authority)| is_this_machine(authority))
}

/// Whether a host name, with or without a port, can only mean this machine.
fn is_this_machine(authority: &str) -> bool {
    let port = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
    matches!(&authority[..port.unwrap_or(authority.len())], "localhost" | "127.0.0.1" | "[::1]")
}

/// The reason, for the developer whose request was refused.
const REFUSED: &str =
    "Without --jwt, cargo dev answers only requests to localhost or 127.0.0.1, and in browsers only from pages of this machine";

/// What a browser is told that asks whether a page may send a request.
fn preflight() -> Reply {
    let mut reply = Reply::default();
    *reply.status_mut() = StatusCode::NO_CONTENT;
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, ALLOW_METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOW_HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
    ] {
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    reply
}

/// An answer of API Gateway's own.
fn message(status: StatusCode, text: &str) -> Reply {
    let mut reply = Reply::new(Bytes::from(json!({"message": text}).to_string()).into());
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_machine_may_read_answers() {
        let is_of_this_machine = |origin: &'static str| is_of_this_machine(&HeaderValue::from_static(origin));
        for origin in ["http://localhost:3000", "http://127.0.0.1", "https://localhost", "http://[::1]:5173"] {
            assert!(is_of_this_machine(origin), "{origin}");
        }
        for origin in ["https://example.com", "http://localhost.example.com", "http://127.0.0.1.example.com:80", "null", ""] {
            assert!(!is_of_this_machine(origin), "{origin}");
        }
    }
}
