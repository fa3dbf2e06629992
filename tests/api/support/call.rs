//! One request, as a client writes it, made into the event that API Gateway makes of it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{App, routes};

/// A request; by ada, unless it says otherwise.
#[derive(Clone)]
pub struct Call<'a> {
    app: &'a App,
    method: &'static str,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    base64: bool,
    claims: Option<Value>,
}

/// What the caller gets.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl<'a> Call<'a> {
    /// `target` is path and query as they stand in a request line.
    pub fn new(app: &'a App, method: &'static str, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            app,
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: BTreeMap::new(),
            body: None,
            base64: false,
            claims: Some(json!({"sub": "ada"})),
        }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.insert(name.to_owned(), value.into());
        self
    }

    /// A JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.body(body.to_string())
    }

    /// A JSON body, letter by letter.
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        if self.headers.contains_key("content-type") { self } else { self.header("content-type", "application/json") }
    }

    /// Sends the body as API Gateway sends one that it takes for binary.
    pub fn base64(mut self) -> Self {
        self.base64 = true;
        self
    }

    /// With the token of this user.
    pub fn by(mut self, user_id: &str) -> Self {
        self.claims = Some(json!({"sub": user_id}));
        self
    }

    /// With the token of a back end.
    pub fn by_service(mut self) -> Self {
        self.claims = Some(json!({"sub": "back-end", "scope": "openid scrollback/service"}));
        self
    }

    /// Without a token.
    pub fn by_nobody(mut self) -> Self {
        self.claims = None;
        self
    }

    /// Sends it through the function that its route names.
    pub async fn send(self) -> Answer {
        let (function, event) = self.event();
        match self.app.function(&function).invoke(event.to_string()).await {
            Ok(response) => Answer::read(&response),
            Err(error) => panic!("{function} reported {error}"),
        }
    }

    /// Sends it, and wants this status.
    pub async fn expect(self, status: u16) -> Answer {
        let what = format!("{} {}", self.method, self.path);
        let answer = self.send().await;
        assert_eq!(answer.status, status, "{what}: {}", answer.body);
        answer
    }

    /// Sends it, and wants a problem: its status, its code and the field that it names.
    pub async fn refused(self, status: u16, code: &str, param: impl Into<Option<&str>>) -> Answer {
        let answer = self.expect(status).await;
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        let problem = answer.json();
        assert_eq!((problem["code"].as_str(), problem["param"].as_str()), (Some(code), param.into()), "{problem}");
        assert_eq!(problem["status"].as_u64(), Some(u64::from(status)));
        for member in ["type", "title", "detail", "request_id"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem}");
        }
        answer
    }

    /// The function's name and its event.
    pub fn event(&self) -> (String, Value) {
        let (route, parameters) = self.route();
        let function = routes()[&route].get(self.method).unwrap_or_else(|| panic!("no {} {route}", self.method)).clone();
        let mut event: Value = serde_json::from_str(include_str!("http-api.json")).unwrap();
        let decoded = percent_decode_str(&self.path).decode_utf8().unwrap();
        event["routeKey"] = json!(format!("{} {route}", self.method));
        event["rawPath"] = json!(decoded);
        event["rawQueryString"] = json!(self.query);
        let context = &mut event["requestContext"];
        context["routeKey"] = json!(format!("{} {route}", self.method));
        context["http"]["method"] = json!(self.method);
        context["http"]["path"] = json!(decoded);
        if let Some(claims) = &self.claims {
            context["authorizer"]["jwt"]["claims"].as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        } else {
            context.as_object_mut().unwrap().remove("authorizer");
        }
        for (name, value) in &self.headers {
            event["headers"][name.to_lowercase()] = json!(value);
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
        (function, event)
    }

    /// The route that matches, and its parameters, decoded as an HTTP API does.
    fn route(&self) -> (String, BTreeMap<String, String>) {
        let segments: Vec<&str> = self.path.split('/').collect();
        let matches = |route: &str| {
            let parts: Vec<&str> = route.split('/').collect();
            let mut parameters = BTreeMap::new();
            if parts.len() != segments.len() {
                return None;
            }
            for (part, segment) in parts.iter().zip(&segments) {
                match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                    Some(name) => {
                        let value = percent_decode_str(segment).decode_utf8().unwrap();
                        parameters.insert(name.to_owned(), value.into_owned());
                    }
                    None if part == segment => {}
                    None => return None,
                }
            }
            Some((route.to_owned(), parameters))
        };
        routes().keys().find_map(|route| matches(route)).unwrap_or_else(|| panic!("no route for {}", self.path))
    }
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

impl Answer {
    /// What API Gateway makes of a response.
    pub fn read(response: &Value) -> Self {
        let headers = response["headers"].as_object().into_iter().flatten();
        let body = response["body"].as_str().unwrap_or_default();
        let body = if response["isBase64Encoded"] == true {
            String::from_utf8(STANDARD.decode(body).unwrap()).unwrap()
        } else {
            body.to_owned()
        };
        Self {
            status: u16::try_from(response["statusCode"].as_u64().unwrap()).unwrap(),
            headers: headers.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect(),
            body,
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The elements of an array.
    pub fn array(&self) -> Vec<Value> {
        match self.json() {
            Value::Array(elements) => elements,
            other => panic!("no array: {other}"),
        }
    }

    /// Where the `Link` header says that the next page is.
    pub fn next(&self) -> Option<&str> {
        let link = self.headers.get("link")?;
        Some(link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap())
    }
}
