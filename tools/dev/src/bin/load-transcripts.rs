//! `cargo xtask load-transcripts`: recorded conversations go into a running API over HTTP, and what comes back is compared with what went
//! in, member for member. All ids follow from the transcripts, so a second run stores nothing twice.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Parser;
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, LINK};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use url::Url;
use uuid::Uuid;

/// What the API takes in one request.
const MESSAGES_PER_REQUEST: usize = 500;
/// The API takes 4 MiB; the rest is for what surrounds the messages.
const BYTES_PER_REQUEST: usize = 4 * 1024 * 1024 - 1024;
/// Conversations that are on their way at once.
const WORKERS: usize = 4;
const DIFFERENCES_SHOWN: usize = 5;

/// Puts recorded conversations into a running API, and checks that what comes back equals what went in.
#[derive(Parser)]
#[command(bin_name = "cargo xtask load-transcripts")]
struct Options {
    /// One conversation a line: {"id": "…", "messages": […]}, each message as the Chat Completions API has it.
    file: PathBuf,
    /// Where `cargo dev` serves the API.
    #[arg(long, default_value = "http://127.0.0.1:9000")]
    url: Url,
    /// The user that the conversations are stored for.
    #[arg(long, default_value = "transcripts")]
    user: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Transcript {
    id: String,
    messages: Vec<Message>,
}

/// A member that is not here would be lost, so it is an error.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    role: String,
    content: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Serialize)]
struct NewMessage<'a> {
    id: Uuid,
    #[serde(flatten)]
    message: &'a Message,
}

/// What the API gives back, as far as it was put in.
#[derive(Deserialize)]
struct StoredMessage {
    role: String,
    content: Option<Box<RawValue>>,
    tool_calls: Option<Box<RawValue>>,
    tool_call_id: Option<String>,
    name: Option<String>,
}

#[derive(Default)]
struct Outcome {
    stored: usize,
    already_there: usize,
    differences: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Loads the file, compares, and prints a summary.
async fn run(options: Options) -> Result<()> {
    let text = std::fs::read_to_string(&options.file).with_context(|| format!("cannot read {}", options.file.display()))?;
    let transcripts: Vec<Transcript> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            serde_json::from_str(line)
                .with_context(|| format!("{}:{}: this is not a transcript", options.file.display(), index + 1))
        })
        .collect::<Result<_>>()?;
    let messages: usize = transcripts.iter().map(|transcript| transcript.messages.len()).sum();

    ensure!(options.url.scheme() == "http", "--url: http://HOST:PORT is wanted, as cargo dev prints it; {} is not", options.url);
    let api = Api { client: Client::builder(TokioExecutor::new()).build_http(), url: options.url, user: options.user };
    eprintln!("Loading {} conversations, {messages} messages …", transcripts.len());
    let outcomes: Vec<Outcome> =
        stream::iter(&transcripts).map(|transcript| api.load(transcript)).buffer_unordered(WORKERS).try_collect().await?;

    let stored: usize = outcomes.iter().map(|outcome| outcome.stored).sum();
    let already_there: usize = outcomes.iter().map(|outcome| outcome.already_there).sum();
    let differences: Vec<&String> = outcomes.iter().flat_map(|outcome| &outcome.differences).collect();
    for difference in differences.iter().take(DIFFERENCES_SHOWN) {
        println!("{difference}");
    }
    println!(
        "{} conversations, {messages} messages: {stored} stored, {already_there} already there, {} differences",
        transcripts.len(),
        differences.len()
    );
    ensure!(differences.is_empty(), "what came back is not what went in");
    Ok(())
}

struct Api {
    client: Client<HttpConnector, Full<Bytes>>,
    url: Url,
    user: String,
}

impl Api {
    async fn load(&self, transcript: &Transcript) -> Result<Outcome> {
        self.store_and_compare(transcript).await.with_context(|| format!("transcript {}", transcript.id))
    }

    async fn store_and_compare(&self, transcript: &Transcript) -> Result<Outcome> {
        let id = conversation_id(&self.user, &transcript.id);
        let body = serde_json::json!({ "user_id": self.user, "id": id, "title": transcript.id });
        self.post("/conversations", serde_json::to_string(&body)?).await?;

        let mut outcome = Outcome::default();
        let path = format!("/conversations/{id}/messages");
        for batch in batches(id, &transcript.messages)? {
            let body = format!(r#"{{"messages": [{}]}}"#, batch.join(","));
            let response = self.post(&path, body).await?;
            if response.headers.contains_key("idempotent-replayed") {
                outcome.already_there += batch.len();
            } else {
                outcome.stored += batch.len();
            }
        }
        outcome.differences = differences(transcript, &self.history(&path).await?);
        Ok(outcome)
    }

    async fn history(&self, path: &str) -> Result<Vec<StoredMessage>> {
        let mut messages = Vec::new();
        let mut next = Some(self.endpoint(path)?);
        while let Some(url) = next {
            let response = self.send(Method::GET, &url, String::new()).await?;
            next = next_page(&response.headers).map(|target| url.join(target)).transpose()?;
            let page: Vec<StoredMessage> =
                serde_json::from_slice(&response.body).context("the history is not an array of messages")?;
            messages.extend(page);
        }
        Ok(messages)
    }

    async fn post(&self, path: &str, body: String) -> Result<Response> {
        self.send(Method::POST, &self.endpoint(path)?, body).await
    }

    async fn send(&self, method: Method, url: &Url, body: String) -> Result<Response> {
        #[derive(Deserialize)]
        struct Problem {
            code: String,
            detail: String,
        }

        let request = Request::builder().method(method).uri(url.as_str()).header(CONTENT_TYPE, "application/json");
        let response = self.client.request(request.body(body.into())?).await.map_err(|error| {
            let remedy = if error.is_connect() { " (is it running? `cargo dev` runs it here)" } else { "" };
            anyhow!("the API does not answer{remedy}: {error}")
        })?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.context("the API's answer breaks off")?.to_bytes();
        if head.status.is_success() {
            return Ok(Response { headers: head.headers, body });
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => bail!("{url} answers {}, {}: {}", head.status, problem.code, problem.detail),
            Err(_) => bail!("{url} answers {}: {}", head.status, String::from_utf8_lossy(&body)),
        }
    }

    fn endpoint(&self, path: &str) -> Result<Url> {
        Ok(format!("{}{path}", self.url.as_str().trim_end_matches('/')).parse()?)
    }
}

struct Response {
    headers: HeaderMap,
    body: Bytes,
}

/// The same for the same user and transcript, whatever file it is in.
fn conversation_id(user: &str, transcript: &str) -> Uuid {
    Uuid::new_v5(&Uuid::new_v5(&Uuid::NAMESPACE_OID, user.as_bytes()), transcript.as_bytes())
}

/// The messages as JSON, in as few requests as the API allows.
fn batches(conversation: Uuid, messages: &[Message]) -> Result<Vec<Vec<String>>> {
    let mut batches: Vec<Vec<String>> = Vec::new();
    let mut bytes = 0;
    for (index, message) in messages.iter().enumerate() {
        let id = Uuid::new_v5(&conversation, index.to_string().as_bytes());
        let json = serde_json::to_string(&NewMessage { id, message })?;
        let size = json.len() + 1;
        match batches.last_mut() {
            Some(batch) if batch.len() < MESSAGES_PER_REQUEST && bytes + size <= BYTES_PER_REQUEST => {
                batch.push(json);
                bytes += size;
            }
            _ => {
                batches.push(vec![json]);
                bytes = size;
            }
        }
    }
    Ok(batches)
}

/// The target of `rel="next"`.
fn next_page(headers: &HeaderMap) -> Option<&str> {
    let links = headers.get(LINK)?.to_str().ok()?;
    let (target, _) = links.strip_prefix('<')?.split_once(r#">; rel="next""#)?;
    Some(target)
}

fn differences(transcript: &Transcript, stored: &[StoredMessage]) -> Vec<String> {
    let mut found = Vec::new();
    for (index, (sent, back)) in transcript.messages.iter().zip(stored).enumerate() {
        let mut compare = |member: &str, same: bool, sent: &dyn std::fmt::Debug, back: &dyn std::fmt::Debug| {
            if !same {
                found.push(format!("{}, message {}, {member}: {sent:?} went in, {back:?} came back", transcript.id, index + 1));
            }
        };
        compare("role", sent.role == back.role, &sent.role, &back.role);
        compare("content", same_content(sent.content.as_deref(), back.content.as_deref()), &sent.content, &back.content);
        let (calls, stored_calls) = (sent.tool_calls.as_deref().map(RawValue::get), back.tool_calls.as_deref().map(RawValue::get));
        compare("tool_calls", calls == stored_calls, &calls, &stored_calls);
        compare("tool_call_id", sent.tool_call_id == back.tool_call_id, &sent.tool_call_id, &back.tool_call_id);
        compare("name", sent.name == back.name, &sent.name, &back.name);
    }
    let (sent, back) = (transcript.messages.len(), stored.len());
    if sent != back {
        found.push(format!("{}: {sent} messages went in, {back} came back", transcript.id));
    }
    found
}

/// JSON has many spellings of one string, but an array of parts comes back as it was spelled.
fn same_content(sent: Option<&RawValue>, back: Option<&RawValue>) -> bool {
    let (Some(sent), Some(back)) = (sent, back) else { return sent.is_none() && back.is_none() };
    match (serde_json::from_str::<String>(sent.get()), serde_json::from_str::<String>(back.get())) {
        (Ok(sent), Ok(back)) => sent == back,
        _ => sent.get() == back.get(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(sent: &str, back: &str) -> Vec<String> {
        let transcript = Transcript { id: "t".into(), messages: vec![serde_json::from_str(sent).unwrap()] };
        differences(&transcript, &[serde_json::from_str(back).unwrap()])
    }

    #[test]
    fn strings_are_compared_by_what_they_say() {
        let back =
            r#"{"id": "m", "position": 1, "role": "user", "content": "é/", "tool_calls": null, "name": null, "metadata": {}}"#;
        assert!(compared(r#"{"role": "user", "content": "\u00e9\/"}"#, back).is_empty());
        assert_eq!(compared(r#"{"role": "user", "content": "e/"}"#, back).len(), 1);
        assert_eq!(compared(r#"{"role": "assistant", "content": null}"#, back).len(), 2);
    }

    #[test]
    fn tool_calls_and_parts_are_compared_by_their_bytes() {
        let message = |calls: &str| format!(r#"{{"role": "assistant", "content": null, "tool_calls": {calls}}}"#);
        let sent = message(r#"[{"b": 1.0, "a": null}]"#);
        assert!(compared(&sent, &sent).is_empty());
        for other in [r#"[{"a": null, "b": 1.0}]"#, r#"[{"b": 1, "a": null}]"#, r#"[{"b": 1.0}]"#, "null"] {
            assert_eq!(compared(&sent, &message(other)).len(), 1, "{other}");
        }
        let parts = |text: &str| format!(r#"{{"role": "user", "content": [{text}]}}"#);
        assert_eq!(compared(&parts(r#"{"type":"text"}"#), &parts(r#"{"type": "text"}"#)).len(), 1);
    }

    #[test]
    fn a_lost_message_is_a_difference() {
        let message = r#"{"role": "user", "content": "Hello"}"#;
        let transcript = Transcript { id: "t".into(), messages: vec![serde_json::from_str(message).unwrap()] };
        assert_eq!(differences(&transcript, &[]), ["t: 1 messages went in, 0 came back"]);
    }

    #[test]
    fn an_unknown_member_is_an_error_that_names_it() {
        let error = serde_json::from_str::<Message>(r#"{"role": "user", "content": "Hello", "refusal": null}"#).err().unwrap();
        assert!(error.to_string().contains("refusal"), "{error}");
    }

    #[test]
    fn messages_are_sent_as_they_are_in_batches_that_the_api_takes() {
        let calls = r#"[ {"n": 1.0e+2} ]"#;
        let message = format!(r#"{{"role": "assistant", "content": null, "tool_calls": {calls}}}"#);
        let messages: Vec<Message> = (0..1001).map(|_| serde_json::from_str(&message).unwrap()).collect();
        let batches_of = |messages: &[Message]| batches(Uuid::nil(), messages).unwrap();
        assert_eq!(batches_of(&messages).iter().map(Vec::len).collect::<Vec<_>>(), [500, 500, 1]);
        assert!(batches_of(&messages)[0][0].contains(calls));
        assert_eq!(batches_of(&messages), batches_of(&messages));

        let large = format!(r#"{{"role": "user", "content": "{}"}}"#, "x".repeat(1_000_000));
        let messages: Vec<Message> = (0..9).map(|_| serde_json::from_str(&large).unwrap()).collect();
        assert_eq!(batches_of(&messages).iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 1]);
    }

    #[test]
    fn the_next_page_is_where_the_link_says() {
        let mut headers = HeaderMap::new();
        assert_eq!(next_page(&headers), None);
        headers.insert(LINK, r#"</conversations/x/messages?after=5>; rel="next""#.parse().unwrap());
        assert_eq!(next_page(&headers), Some("/conversations/x/messages?after=5"));
    }
}
