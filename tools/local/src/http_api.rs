//! What an HTTP API of API Gateway makes of a request.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::project::ROUTES;

/// A request, as it stands in its bytes.
#[derive(Clone, Debug, Default)]
pub struct HttpRequest {
    /// In upper case.
    pub method: String,
    /// As in the request line, percent-encoded.
    pub path: String,
    /// What stands behind the `?`, without it.
    pub query: String,
    /// Their names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Option<String>,
    /// Whether the body is sent on as base64, as API Gateway does with what it takes for binary.
    pub base64: bool,
    /// The claims of the caller's token, if the authorizer has seen one.
    pub claims: Option<Map<String, Value>>,
}

impl HttpRequest {
    /// The name of the function that the request is routed to, and the event that it gets; `None`, if there is no such route.
    #[must_use]
    pub fn event(&self) -> Option<(&'static str, Value)> {
        let (route, function, parameters) = self.route()?;
        let mut event: Value = serde_json::from_str(include_str!("http-api.json")).ok()?;
        let decoded = percent_decode_str(&self.path).decode_utf8_lossy();
        event["routeKey"] = json!(format!("{} {route}", self.method));
        event["rawPath"] = json!(decoded);
        event["rawQueryString"] = json!(self.query);
        let context = &mut event["requestContext"];
        context["routeKey"] = json!(format!("{} {route}", self.method));
        context["http"]["method"] = json!(self.method);
        context["http"]["path"] = json!(decoded);
        if let Some(claims) = &self.claims {
            context["authorizer"] = json!({"jwt": {"claims": claims, "scopes": null}});
        }
        for (name, value) in &self.headers {
            if name == "cookie" {
                event["cookies"] = value.split("; ").collect();
            } else {
                event["headers"][name] = json!(value);
            }
        }
        if !parameters.is_empty() {
            event["pathParameters"] = json!(parameters);
        }
        if !self.query.is_empty() {
            event["queryStringParameters"] = json!(comma_joined(&self.query));
        }
        if let Some(body) = &self.body {
            event["isBase64Encoded"] = json!(self.base64);
            event["body"] = json!(if self.base64 { STANDARD.encode(body) } else { body.clone() });
            event["headers"]["content-length"] = json!(body.len().to_string());
        }
        Some((function, event))
    }

    /// The route that matches, its function, and its parameters, decoded as an HTTP API does.
    fn route(&self) -> Option<(&'static str, &'static str, BTreeMap<&'static str, String>)> {
        let segments: Vec<&str> = self.path.split('/').collect();
        ROUTES.iter().find_map(|(route, methods)| {
            let parts: Vec<&str> = route.split('/').collect();
            if parts.len() != segments.len() {
                return None;
            }
            let mut parameters = BTreeMap::new();
            for (part, segment) in parts.iter().zip(&segments) {
                match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                    // No parameter is empty.
                    Some(_) if segment.is_empty() => return None,
                    Some(name) => {
                        parameters.insert(name, percent_decode_str(segment).decode_utf8_lossy().into_owned());
                    }
                    None if part == segment => {}
                    None => return None,
                }
            }
            Some((route.as_str(), methods.get(&self.method)?.as_str(), parameters))
        })
    }
}

/// Says in an event when and as what it came: [`HttpRequest::event`] has constants there, so that an event can be compared.
pub(crate) fn stamp(event: &mut Value) {
    let now = chrono::Utc::now();
    let user_agent = event["headers"]["user-agent"].clone();
    let context = &mut event["requestContext"];
    context["requestId"] = json!(uuid::Uuid::now_v7());
    context["time"] = json!(now.format("%d/%b/%Y:%H:%M:%S +0000").to_string());
    context["timeEpoch"] = json!(now.timestamp_millis());
    context["http"]["userAgent"] = user_agent;
}

/// Puts a body into the event of a request: as text where its media type says that it is text, and it is; else as base64.
pub fn set_body(event: &mut Value, body: &[u8]) {
    let media_type = event["headers"]["content-type"].as_str().unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let says_text = media_type.starts_with("text/")
        || matches!(&*media_type, "application/json" | "application/javascript" | "application/xml")
        || media_type.ends_with("+json")
        || media_type.ends_with("+xml");
    let text = std::str::from_utf8(body).ok().filter(|_| says_text);
    event["isBase64Encoded"] = json!(text.is_none());
    event["body"] = json!(text.map_or_else(|| STANDARD.encode(body), str::to_owned));
}

/// The decoded query, the values of one name joined by commas: what an HTTP API calls `queryStringParameters`.
fn comma_joined(query: &str) -> BTreeMap<String, String> {
    let mut joined = BTreeMap::<String, String>::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let [name, value] = [name, value].map(|text| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned());
        joined.entry(name).and_modify(|values| *values = format!("{values},{value}")).or_insert(value);
    }
    joined
}
