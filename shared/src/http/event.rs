//! The event of an API Gateway HTTP API (payload format 2.0), as far as it is read.
//!
//! `lambda_http` has this type too, with a conversion to `http::Request`. A client can make that conversion panic. A header value or path
//! that is not ASCII will do, or a body that is not base64 although the event says so. It also replaces bytes of a query that are not
//! UTF-8 with U+FFFD. Here, each of these is an error or plain text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::auth::Claims;
use crate::error::{Fault, Invalid, Result};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Event {
    route_key: Option<String>,
    pub(super) raw_path: Option<String>,
    raw_query_string: Option<String>,
    query_string_parameters: Option<BTreeMap<String, String>>,
    pub(super) headers: Option<BTreeMap<String, String>>,
    pub(super) path_parameters: Option<BTreeMap<String, String>>,
    pub(super) body: Option<String>,
    pub(super) is_base64_encoded: bool,
    pub(super) request_context: Option<RequestContext>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RequestContext {
    authorizer: Option<Authorizer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Authorizer {
    jwt: Option<Jwt>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Jwt {
    claims: Option<Claims>,
}

impl Event {
    /// # Errors
    /// `invalid_body`: the event is of another kind. Nothing of it is quoted.
    pub(crate) fn read(event: &RawValue) -> Result<Self> {
        Ok(serde_json::from_str(event.get())
            .map_err(|_| Invalid::new(Fault::Body, "the event is not one of an HTTP API with payload format 2.0"))?)
    }

    /// The route, such as `GET /users/{user_id}/conversations`, where API Gateway has matched one.
    pub(crate) fn route_key(&self) -> Option<&str> {
        self.route_key.as_deref().filter(|_| self.route().is_some())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.headers.as_ref()?;
        // API Gateway writes names in lower case; other senders of the same format need not.
        headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The query string as it was sent. Events written by hand may have only the decoded form.
    pub(super) fn query_string(&self) -> Cow<'_, str> {
        match (&self.raw_query_string, &self.query_string_parameters) {
            (None, Some(parameters)) => {
                let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
                let pairs = parameters.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
                pairs.collect::<Vec<_>>().join("&").into()
            }
            (raw, _) => raw.as_deref().unwrap_or_default().into(),
        }
    }

    pub(crate) fn claims(&self) -> Option<&Claims> {
        self.request_context.as_ref()?.authorizer.as_ref()?.jwt.as_ref()?.claims.as_ref()
    }

    /// The route's path, such as `/users/{user_id}/conversations`, where API Gateway has matched one.
    pub(super) fn route(&self) -> Option<&str> {
        self.route_key.as_deref()?.split_once(' ').map(|(_method, path)| path)
    }
}
