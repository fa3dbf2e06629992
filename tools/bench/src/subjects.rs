//! What is measured: the endpoints, the events that they are sent, and the statements that they send.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use uuid::Uuid;

use super::Bench;
use super::capture::Capture;
use super::function::Function;
use super::statement::{Client, Statement};
use local::http_api::HttpRequest;
use local::postgres::Server;
use local::project::project;

/// An endpoint in the use that is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Endpoint {
    GetOrCreate,
    Append,
    History,
    List,
    Context,
    /// With a limit in tokens and a start that stays.
    ContextOfTokens,
}

impl Endpoint {
    /// The endpoints; each once.
    pub(super) const ALL: [Self; 5] = [Self::GetOrCreate, Self::Append, Self::History, Self::List, Self::Context];

    pub(super) fn function(self) -> &'static str {
        match self {
            Self::GetOrCreate => "get-or-create-conversation",
            Self::Append => "add-message",
            Self::History => "get-chat-history",
            Self::List => "get-user-conversations",
            Self::Context | Self::ContextOfTokens => "get-context",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::GetOrCreate => "get-or-create-conversation",
            Self::Append => "add-message",
            Self::History => "get-chat-history, last=50",
            Self::List => "get-user-conversations",
            Self::Context => "get-context, max_messages=50",
            Self::ContextOfTokens => "get-context, max_tokens=2000, step=500",
        }
    }

    /// The event of one request, with the user's own claims.
    pub(super) fn event(self, conversation: Uuid, user: &str) -> Result<Event> {
        let id = Uuid::now_v7();
        let (method, path, query, body) = match self {
            Self::GetOrCreate => ("POST", "/conversations".to_owned(), "", Some(serde_json::json!({}))),
            Self::Append => {
                let body = serde_json::json!({"id": id, "role": "user", "content": "Is it raining in Oslo? ".repeat(9)});
                ("POST", format!("/conversations/{conversation}/messages"), "", Some(body))
            }
            Self::History => ("GET", format!("/conversations/{conversation}/messages"), "last=50", None),
            Self::List => ("GET", format!("/users/{user}/conversations"), "", None),
            Self::Context => ("GET", format!("/conversations/{conversation}/context"), "max_messages=50", None),
            Self::ContextOfTokens => ("GET", format!("/conversations/{conversation}/context"), "max_tokens=2000&step=500", None),
        };
        event(method, path, query, body.map(|body| body.to_string()), user, (self == Self::Append).then_some(id))
    }
}

/// A request as a function gets it.
pub(super) fn event(
    method: &str,
    path: String,
    query: &str,
    body: Option<String>,
    user: &str,
    fresh: Option<Uuid>,
) -> Result<Event> {
    let mut request = HttpRequest { method: method.to_owned(), path, query: query.to_owned(), body, ..HttpRequest::default() };
    request.headers.insert("content-type".to_owned(), "application/json".to_owned());
    let claims = [("sub", user), ("scope", "openid"), ("iss", "https://example.com/"), ("exp", "1795341600")];
    request.claims = Some(claims.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect());
    let (_, event) = request.event().context("there is such a route")?;
    Ok(Event { text: event.to_string(), fresh })
}

/// An event, and the id in it that has to be another one each time.
#[derive(Clone, Debug)]
pub(super) struct Event {
    text: String,
    fresh: Option<Uuid>,
}

impl Event {
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self.fresh {
            Some(id) => self.text.replace(&id.to_string(), &Uuid::now_v7().to_string()),
            None => self.text.clone(),
        }
        .into_bytes()
    }
}

/// Binaries and what they are started with.
pub(super) struct Subjects {
    binaries: PathBuf,
    authority: PathBuf,
}

impl Subjects {
    pub(super) fn new(server: &Server) -> Result<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| project().join("target"), PathBuf::from);
        let binaries = target.join("release");
        ensure!(binaries.join("floor-echo").exists(), "the binaries are not in {}", binaries.display());
        Ok(Self { binaries, authority: server.ca_file().to_owned() })
    }

    pub(super) fn binary(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    pub(super) fn environment(&self, url: &str) -> Vec<(String, String)> {
        environment(url, &self.authority)
    }

    pub(super) fn authority(&self) -> &Path {
        &self.authority
    }

    pub(super) fn echo(&self) -> Result<Function> {
        Function::start(&self.binary("floor-echo"), &[])
    }
}

/// For a function that trusts the authorities in this file.
pub(super) fn environment(url: &str, roots: &Path) -> Vec<(String, String)> {
    let roots = roots.display().to_string();
    let variables = [("DATABASE_URL", url), ("SSL_CERT_FILE", &roots), ("SSL_CERT_DIR", "")];
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

impl Bench {
    pub(super) fn function(&self, endpoint: Endpoint, database: &str) -> Result<Function> {
        let environment = self.subjects.environment(&self.server.functions_url(database));
        Function::start(&self.subjects.binary(endpoint.function()), &environment)
    }

    pub(super) fn client(&self, database: &str) -> Result<Client> {
        let environment = self.subjects.environment(&self.server.functions_url(database));
        Client::start(&self.subjects.binary("floor-statement"), &environment)
    }

    /// A client that may write to tables, which the functions may not.
    pub(super) fn owner(&self, database: &str) -> Result<Client> {
        let environment = self.subjects.environment(&self.server.superuser_url(database));
        Client::start(&self.subjects.binary("floor-statement"), &environment)
    }

    /// The server's URL with another port: through a proxy.
    pub(super) fn url_through(&self, port: u16, database: &str) -> String {
        self.server.functions_url(database).replace(&format!(":{}/", self.server.port()), &format!(":{port}/"))
    }

    /// What an endpoint sends to the database for an event.
    pub(super) async fn statement(&self, endpoint: Endpoint, event: &Event, database: &str) -> Result<Statement> {
        let capture = Capture::start(&self.server).await?;
        let environment = self.subjects.environment(&self.url_through(capture.port, database));
        let function = Function::start(&self.subjects.binary(endpoint.function()), &environment)?;
        function.answer(event.text.as_bytes())?;
        let mut statements = capture.take();
        ensure!(statements.len() == 1, "{} sends {} statements", endpoint.name(), statements.len());
        let mut statement = statements.remove(0);
        statement.fresh = event.fresh;
        Ok(statement)
    }
}
