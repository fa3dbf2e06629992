//! `cargo dev --jwt`: what stands before the functions on AWS, an HTTP API with a JWT authorizer. It checks tokens of this machine's
//! key, makes each request into the event that API Gateway makes of it, and hands that to the emulator. It is there to try identity
//! with, and protects from nobody: any program on this machine may call the emulator itself, on a port of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::http_api::HttpRequest;
use crate::tokens::Key;

/// What API Gateway takes.
const MAX_REQUEST_BYTES: usize = 10 << 20;
/// How long it waits for a function.
const PATIENCE: Duration = Duration::from_secs(30);

struct Gateway {
    key: Key,
    functions: String,
    client: reqwest::Client,
}

/// Serves on `port` of 127.0.0.1, as soon as the emulator listens on its own, until it is dropped.
///
/// # Errors
/// A socket that fails.
pub async fn serve(port: u16, emulator_port: u16, key: Key) -> Result<()> {
    while TcpStream::connect(("127.0.0.1", emulator_port)).await.is_err() {
        sleep(Duration::from_millis(20)).await;
    }
    let functions = format!("http://127.0.0.1:{emulator_port}/2015-03-31/functions");
    let gateway = Gateway { key, functions, client: reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()? };
    let router = Router::new().fallback(answer).layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES)).with_state(Arc::new(gateway));
    Ok(axum::serve(TcpListener::bind(("127.0.0.1", port)).await?, router).await?)
}

async fn answer(State(gateway): State<Arc<Gateway>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    // API Gateway takes a token without the word, too.
    let token = token.map(|value| value.strip_prefix("Bearer ").unwrap_or(value));
    let claims = token.and_then(|token| gateway.key.check(token));
    let request = HttpRequest {
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        headers: joined(&headers),
        claims,
        ..HttpRequest::default()
    };
    let Some((function, mut event)) = request.event() else { return message(StatusCode::NOT_FOUND, "Not Found") };
    if request.claims.is_none() {
        return ([(header::WWW_AUTHENTICATE, "Bearer")], message(StatusCode::UNAUTHORIZED, "Unauthorized")).into_response();
    }
    if !body.is_empty() {
        let text = std::str::from_utf8(&body);
        event["isBase64Encoded"] = json!(text.is_err());
        event["body"] = text.map_or_else(|_| STANDARD.encode(&body), str::to_owned).into();
    }
    gateway.invoke(function, &event).await.unwrap_or_else(|error| {
        eprintln!("{function} can't be invoked: {error:#}");
        message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
    })
}

impl Gateway {
    async fn invoke(&self, function: &str, event: &Value) -> Result<Response> {
        let url = format!("{}/{function}/invocations", self.functions);
        let reply = self.client.post(url).body(event.to_string()).send().await?.error_for_status()?;
        let reply: Value = serde_json::from_slice(&reply.bytes().await?)?;
        let body = reply["body"].as_str().unwrap_or_default();
        let body = if reply["isBase64Encoded"] == true { STANDARD.decode(body)? } else { body.as_bytes().to_vec() };
        let mut response = Response::builder().status(u16::try_from(reply["statusCode"].as_u64().unwrap_or(502))?);
        for (name, value) in reply["headers"].as_object().into_iter().flatten() {
            response = response.header(name, value.as_str().unwrap_or_default());
        }
        Ok(response.body(Body::from(body))?)
    }
}

/// The values of one name, with commas between them.
fn joined(headers: &HeaderMap) -> BTreeMap<String, String> {
    let values = |name| headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>();
    headers.keys().map(|name| (name.as_str().to_owned(), values(name).join(","))).collect()
}

/// An answer of API Gateway's own.
fn message(status: StatusCode, text: &str) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], json!({"message": text}).to_string()).into_response()
}
