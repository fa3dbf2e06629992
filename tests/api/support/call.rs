//! One request, as a client writes it, made into the event that API Gateway makes of it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use local::http_api::HttpRequest;
use serde_json::{Map, Value, json};

use super::App;

/// What every caller has, and no log.
pub const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.not-a-signature";

/// A request; by ada, unless it says otherwise.
#[derive(Clone)]
pub struct Call<'a> {
    app: &'a App,
    request: HttpRequest,
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
    pub fn new(app: &'a App, method: &str, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (method, path, query) = (method.to_owned(), path.to_owned(), query.to_owned());
        Self { app, request: HttpRequest { method, path, query, claims: Some(claims("ada")), ..HttpRequest::default() } }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.request.headers.insert(name.to_lowercase(), value.into());
        self
    }

    /// A JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.body(body.to_string())
    }

    /// A JSON body, letter by letter.
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.request.body = Some(body.into());
        if self.request.headers.contains_key("content-type") { self } else { self.header("content-type", "application/json") }
    }

    /// Sends the body as API Gateway sends one that it takes for binary.
    pub fn base64(mut self) -> Self {
        self.request.base64 = true;
        self
    }

    /// With the token of this user.
    pub fn by(mut self, user_id: &str) -> Self {
        self.request.claims = Some(claims(user_id));
        self
    }

    /// With the token of a back end.
    pub fn by_service(mut self) -> Self {
        let mut claims = claims("back-end");
        claims.insert("scope".to_owned(), json!("openid scrollback/service"));
        self.request.claims = Some(claims);
        self
    }

    /// With this claim in the token, as the authorizer passes it on.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.request.claims.as_mut().unwrap().insert(name.to_owned(), value.into());
        self
    }

    /// Without a token.
    pub fn by_nobody(mut self) -> Self {
        self.request.claims = None;
        self
    }

    /// Sends it through the function that its route names.
    pub async fn send(self) -> Answer {
        let call = self.header("authorization", format!("Bearer {TOKEN}"));
        let (function, event) = call.event();
        call.app.invoke(function, &event).await
    }

    /// Sends it, and wants this status.
    pub async fn expect(self, status: u16) -> Answer {
        let what = format!("{} {}", self.request.method, self.request.path);
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

    /// The request as it stands.
    pub fn request(&self) -> HttpRequest {
        self.request.clone()
    }

    /// The function's name and its event.
    pub fn event(&self) -> (&'static str, Value) {
        self.request.event().unwrap_or_else(|| panic!("no route for {:?}", self.request))
    }
}

/// What the authorizer of an HTTP API passes on of this user's token.
fn claims(sub: &str) -> Map<String, Value> {
    let claims = json!({
        "aud": "scrollback",
        "exp": "1795000000",
        "iat": "1794996400",
        "iss": "https://issuer.example.com/",
        "sub": sub,
    });
    claims.as_object().unwrap().clone()
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
