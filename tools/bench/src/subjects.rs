//! What is measured: the endpoints, the events that they are sent, and the statements that they send.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use uuid::Uuid;

use super::Bench;
use super::capture::Capture;
use super::function::Function;
use super::one::{self, Before};
use super::statement::{Client, Statement};
use local::http_api::HttpRequest;
use local::postgres::Server;
use local::project::project;

/// The scope of a back end's tokens.
const SERVICE_SCOPE: &str = "scrollback/service";
const UUID: u32 = 2950;

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
    /// An append and the context behind it.
    Turn,
    Conversation,
    UpdateConversation,
    DeleteConversation,
    Fork,
    Summarize,
    Summary,
    DeleteSummary,
    Message,
    UpdateMessage,
    DeleteMessage,
    Rewind,
    SelectLine,
    Search,
    Erase,
    Export,
    Import,
    Transfer,
}

impl Endpoint {
    /// The endpoints that most requests go to. All of the benchmark measures them.
    pub(super) const ALL: [Self; 6] = [Self::GetOrCreate, Self::Append, Self::History, Self::List, Self::Context, Self::Turn];
    /// The other endpoints. Their warm requests and their round trips are measured.
    pub(super) const OTHERS: [Self; 17] = [
        Self::Conversation,
        Self::UpdateConversation,
        Self::DeleteConversation,
        Self::Fork,
        Self::Summarize,
        Self::Summary,
        Self::DeleteSummary,
        Self::Message,
        Self::UpdateMessage,
        Self::DeleteMessage,
        Self::Rewind,
        Self::SelectLine,
        Self::Search,
        Self::Erase,
        Self::Export,
        Self::Import,
        Self::Transfer,
    ];

    /// Whether a request finds nothing to do once it is done.
    pub(super) fn is_done_once(self) -> bool {
        [
            Self::DeleteConversation,
            Self::Fork,
            Self::Summarize,
            Self::DeleteSummary,
            Self::DeleteMessage,
            Self::Rewind,
            Self::SelectLine,
            Self::Erase,
            Self::Import,
            Self::Transfer,
        ]
        .contains(&self)
    }

    /// What has to be there before a request.
    pub(super) fn before(self) -> Before {
        match self {
            Self::Import => Before::Nothing,
            Self::Summary | Self::DeleteSummary => Before::SummarizedConversation,
            _ => Before::Conversation,
        }
    }

    pub(super) fn function(self) -> &'static str {
        match self {
            Self::GetOrCreate => "get-or-create-conversation",
            Self::Append => "add-message",
            Self::History => "get-chat-history",
            Self::List => "get-user-conversations",
            Self::Context | Self::ContextOfTokens => "get-context",
            Self::Turn => "begin-turn",
            Self::Conversation => "get-conversation",
            Self::UpdateConversation => "update-conversation",
            Self::DeleteConversation => "delete-conversation",
            Self::Fork => "fork-conversation",
            Self::Summarize => "summarize-conversation",
            Self::Summary => "get-summary",
            Self::DeleteSummary => "delete-summary",
            Self::Message => "get-message",
            Self::UpdateMessage => "update-message",
            Self::DeleteMessage => "delete-message",
            Self::Rewind => "rewind-conversation",
            Self::SelectLine => "select-line",
            Self::Search => "search-messages",
            Self::Erase => "erase-user",
            Self::Export => "export-user",
            Self::Import => "import-user",
            Self::Transfer => "transfer-user",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::History => "get-chat-history, last=50",
            Self::Context => "get-context, max_messages=50",
            Self::ContextOfTokens => "get-context, max_tokens=2000, step=500",
            Self::Turn => "begin-turn, max_messages=50",
            // The user has only this conversation, of 50 messages.
            Self::DeleteConversation => "delete-conversation, 50 messages",
            Self::Fork => "fork-conversation, 50 messages",
            Self::Rewind => "rewind-conversation, 1 message",
            Self::SelectLine => "select-line, 1 message",
            Self::Search => "search-messages, 50 messages",
            Self::Erase => "erase-user, 50 messages",
            Self::Export => "export-user, 50 messages",
            Self::Import => "import-user, 50 messages",
            Self::Transfer => "transfer-user, 50 messages",
            _ => self.function(),
        }
    }

    /// The event of one request, with the user's own claims.
    pub(super) fn event(self, conversation: Uuid, user: &str) -> Result<Event> {
        let id = Uuid::now_v7();
        let (of_conversation, of_user) = (format!("/conversations/{conversation}"), format!("/users/{user}"));
        let message = format!("{of_conversation}/messages/{}", one::message(1));
        let (method, path, query, body) = match self {
            Self::GetOrCreate => ("POST", "/conversations".to_owned(), "", Some(serde_json::json!({}))),
            Self::Append => {
                let body = serde_json::json!({"id": id, "role": "user", "content": "Is it raining in Oslo? ".repeat(9)});
                ("POST", format!("{of_conversation}/messages"), "", Some(body))
            }
            Self::History => ("GET", format!("{of_conversation}/messages"), "last=50", None),
            Self::List => ("GET", format!("{of_user}/conversations"), "", None),
            Self::Context => ("GET", format!("{of_conversation}/context"), "max_messages=50", None),
            Self::ContextOfTokens => ("GET", format!("{of_conversation}/context"), "max_tokens=2000&step=500", None),
            Self::Turn => {
                let message = serde_json::json!({
                    "id": id, "role": "user", "content": "Is it raining in Oslo? ".repeat(9), "context": {"max_messages": 50},
                });
                ("POST", format!("{of_conversation}/turn"), "", Some(message))
            }
            Self::Conversation => ("GET", of_conversation, "", None),
            Self::UpdateConversation => ("PATCH", of_conversation, "", Some(serde_json::json!({"title": "Rain in Oslo"}))),
            Self::DeleteConversation => ("DELETE", of_conversation, "", None),
            Self::Fork => ("POST", format!("{of_conversation}/fork"), "", Some(serde_json::json!({"id": id}))),
            Self::Summarize => {
                let body = serde_json::json!({"through": 40, "content": "It rained in Oslo. ".repeat(11)});
                ("PUT", format!("{of_conversation}/summary"), "", Some(body))
            }
            Self::Summary => ("GET", format!("{of_conversation}/summary"), "", None),
            Self::DeleteSummary => ("DELETE", format!("{of_conversation}/summary"), "", None),
            Self::Message => ("GET", message, "", None),
            Self::UpdateMessage => ("PATCH", message, "", Some(serde_json::json!({"content": "Is it raining? ".repeat(13)}))),
            Self::DeleteMessage => ("DELETE", message, "", None),
            Self::Rewind => ("DELETE", format!("{of_conversation}/messages"), "from=50", None),
            Self::SelectLine => {
                ("PUT", format!("{of_conversation}/line"), "", Some(serde_json::json!({"message_id": one::message(49)})))
            }
            Self::Search => ("GET", format!("{of_user}/search"), "q=rain", None),
            Self::Erase => ("DELETE", of_user, "", None),
            Self::Export => ("GET", format!("{of_user}/export"), "", None),
            Self::Import => return event("POST", format!("{of_user}/import"), "", Some(one::lines()), user, None),
            Self::Transfer => ("POST", format!("{of_user}/transfer"), "", Some(serde_json::json!({"to": one::ACCOUNT}))),
        };
        let fresh = [Self::Append, Self::Turn, Self::Fork].contains(&self).then_some(id);
        event(method, path, query, body.map(|body| body.to_string()), user, fresh)
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
    let media_type = if request.path.ends_with("/import") { "application/x-ndjson" } else { "application/json" };
    request.headers.insert("content-type".to_owned(), media_type.to_owned());
    // What only a back end may do is done by one.
    let by_service = ["/import", "/summary", "/transfer"].iter().any(|end| request.path.ends_with(end));
    let scope = if by_service { SERVICE_SCOPE } else { "openid" };
    let claims = [("sub", user), ("scope", scope), ("iss", "https://example.com/"), ("exp", "1795341600")];
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

    /// For the echo: the same event, to be answered with so many bytes.
    pub(super) fn answered_with(&self, bytes: usize) -> Self {
        let header = format!(r#"{{"headers":{{"bytes":"{bytes}","#);
        Self { text: self.text.replacen(r#""headers":{"#, &header[1..], 1), fresh: self.fresh }
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
    let variables = [("DATABASE_URL", url), ("SSL_CERT_FILE", &roots), ("SSL_CERT_DIR", ""), ("SERVICE_SCOPE", SERVICE_SCOPE)];
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
        // These mark what they have done with an id, so that the same statement again would be a replay and do nothing.
        let marks = [
            Endpoint::UpdateConversation,
            Endpoint::DeleteConversation,
            Endpoint::UpdateMessage,
            Endpoint::DeleteSummary,
            Endpoint::DeleteMessage,
            Endpoint::Rewind,
            Endpoint::SelectLine,
        ]
        .contains(&endpoint);
        let mut ids = statement.types.iter().zip(&statement.values).filter(|(of_type, _)| marks && **of_type == UUID);
        let mark = ids.find_map(|(_, value)| {
            let id = Uuid::from_slice(value.as_deref()?).ok()?;
            (!event.text.contains(&id.to_string())).then_some(id)
        });
        statement.fresh = event.fresh.or(mark);
        Ok(statement)
    }
}
