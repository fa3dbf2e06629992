//! The Lambda Runtime API, and functions that are served by it.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::collections::HashMap;
use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};
use uuid::Uuid;

use super::binary;

/// How long the function has for one event: the deadline that it is told.
pub const TIMEOUT: Duration = Duration::from_secs(15);
/// What Lambda takes as a response.
const MAX_RESPONSE_BYTES: usize = 6 << 20;

/// One function: its processes and the queue of events that they take turns in emptying. Clones are the same function.
#[derive(Clone)]
pub struct Function(Arc<Inner>);

struct Inner {
    events: mpsc::UnboundedSender<Invocation>,
    processes: Mutex<Vec<Child>>,
    log: std::path::PathBuf,
}

struct Invocation {
    event: String,
    answer: oneshot::Sender<Result<Value, Value>>,
}

struct Queue {
    events: AsyncMutex<mpsc::UnboundedReceiver<Invocation>>,
    running: Mutex<HashMap<String, oneshot::Sender<Result<Value, Value>>>>,
}

impl Function {
    /// Starts `instances` processes of the binary `name`.
    pub fn start(name: &str, instances: usize, environment: &[(String, String)]) -> Self {
        let (events, queue) = mpsc::unbounded_channel();
        let queue = Arc::new(Queue { events: AsyncMutex::new(queue), running: Mutex::default() });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .layer(DefaultBodyLimit::max(64 << 20))
            .with_state(queue);
        tokio::spawn(async move { axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await });

        let log = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.log", Uuid::now_v7()));
        let file = File::create(&log).unwrap();
        let spawn = || {
            Command::new(binary(name))
                .env_clear()
                .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
                .env("AWS_LAMBDA_FUNCTION_NAME", name)
                .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
                .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
                .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
                .envs(environment.iter().map(|(name, value)| (name, value)))
                .stdin(Stdio::null())
                .stdout(file.try_clone().unwrap())
                .stderr(file.try_clone().unwrap())
                .spawn()
                .unwrap_or_else(|error| panic!("{name} does not start: {error}"))
        };
        let processes = Mutex::new((0..instances).map(|_| spawn()).collect());
        Self(Arc::new(Inner { events, processes, log }))
    }

    /// Hands out an event, and waits for the response; `Err`: the function reported an error, and API Gateway would say 500.
    pub async fn invoke(&self, event: String) -> Result<Value, Value> {
        let (answer, answered) = oneshot::channel();
        self.0.events.send(Invocation { event, answer }).unwrap_or_else(|_| panic!("the Runtime API is gone"));
        let answer = tokio::time::timeout(TIMEOUT, answered).await;
        answer.unwrap_or_else(|_| panic!("no answer in {TIMEOUT:?}; log:\n{}", self.log())).expect("an answer")
    }

    /// What its processes have written so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.0.log).unwrap()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for process in self.processes.get_mut().unwrap() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if !std::thread::panicking() {
            let _ = std::fs::remove_file(&self.log);
        }
    }
}

async fn next(State(queue): State<Arc<Queue>>) -> (HeaderMap, String) {
    let Some(Invocation { event, answer }) = queue.events.lock().await.recv().await else { std::future::pending().await };
    let id = Uuid::now_v7().to_string();
    let deadline = (SystemTime::now() + TIMEOUT).duration_since(UNIX_EPOCH).unwrap().as_millis();
    let headers = [
        ("lambda-runtime-aws-request-id", id.clone()),
        ("lambda-runtime-deadline-ms", deadline.to_string()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-central-1:123456789012:function:test".to_owned()),
        ("lambda-runtime-trace-id", "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1".to_owned()),
        ("content-type", "application/json".to_owned()),
    ];
    queue.running.lock().unwrap().insert(id, answer);
    let headers = headers.into_iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
    (headers, event)
}

async fn response(State(queue): State<Arc<Queue>>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    if body.len() > MAX_RESPONSE_BYTES {
        finish(&queue, &id, Err(Value::String(format!("a response of {} bytes", body.len()))));
        return StatusCode::PAYLOAD_TOO_LARGE;
    }
    finish(&queue, &id, Ok(serde_json::from_slice(&body).unwrap()));
    StatusCode::ACCEPTED
}

async fn error(State(queue): State<Arc<Queue>>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    finish(&queue, &id, Err(serde_json::from_slice(&body).unwrap()));
    StatusCode::ACCEPTED
}

fn finish(queue: &Queue, id: &str, answer: Result<Value, Value>) {
    let running = queue.running.lock().unwrap().remove(id).unwrap_or_else(|| panic!("{id} is not running"));
    // Whoever has stopped waiting has said so.
    let _ = running.send(answer);
}
