//! The Lambda Runtime API, and functions that are served by it.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path as FilePath, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};
use uuid::Uuid;

/// How long the function has for one event, unless [`Function::invoke_within`] says otherwise: the deadline that it is told.
pub const TIMEOUT: Duration = Duration::from_secs(15);
/// What Lambda takes as a response.
const MAX_RESPONSE_BYTES: usize = 6 << 20;

/// One function: its processes and the queue of events that they take turns in emptying. Clones are the same function.
#[derive(Clone, Debug)]
pub struct Function(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    events: mpsc::UnboundedSender<Invocation>,
    processes: Mutex<Vec<Child>>,
    log: PathBuf,
}

#[derive(Debug)]
struct Invocation {
    event: String,
    timeout: Duration,
    answer: oneshot::Sender<Result<Value, Value>>,
}

#[derive(Debug)]
struct Queue {
    events: AsyncMutex<mpsc::UnboundedReceiver<Invocation>>,
    running: Mutex<HashMap<String, oneshot::Sender<Result<Value, Value>>>>,
}

impl Function {
    /// Starts `instances` processes of a binary, with `environment` and nothing else. What they print goes to `log`, which is deleted at
    /// their end, unless that is a panic's.
    ///
    /// # Errors
    /// The binary does not start, or the log can't be written.
    pub fn start(binary: &FilePath, instances: usize, environment: &[(String, String)], log: PathBuf) -> io::Result<Self> {
        let (events, queue) = mpsc::unbounded_channel();
        let queue = Arc::new(Queue { events: AsyncMutex::new(queue), running: Mutex::default() });
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .layer(DefaultBodyLimit::max(64 << 20))
            .with_state(queue);
        tokio::spawn(async move { axum::serve(listener, router).await });

        let file = File::create(&log)?;
        let function = Self(Arc::new(Inner { events, processes: Mutex::default(), log }));
        let mut processes = lock(&function.0.processes);
        for _ in 0..instances {
            processes.push(command(binary, address, environment, &file)?.spawn()?);
        }
        drop(processes);
        Ok(function)
    }

    /// Hands out an event, and waits for the response; `Err`: the function reported an error, and API Gateway would say 500.
    ///
    /// # Errors
    /// What the function reports.
    ///
    /// # Panics
    /// No answer in time: Lambda would have ended the function.
    pub async fn invoke(&self, event: String) -> Result<Value, Value> {
        self.invoke_within(TIMEOUT, event).await
    }

    /// The same for a function whose time-out this is.
    ///
    /// # Errors
    /// What the function reports.
    ///
    /// # Panics
    /// No answer in time.
    pub async fn invoke_within(&self, timeout: Duration, event: String) -> Result<Value, Value> {
        let (answer, answered) = oneshot::channel();
        self.0.events.send(Invocation { event, timeout, answer }).expect("the Runtime API is there as long as the function");
        let answer = tokio::time::timeout(timeout, answered).await;
        answer.unwrap_or_else(|_| panic!("no answer in {timeout:?}; log:\n{}", self.log())).expect("an answer")
    }

    /// What its processes have written so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log_after(0)
    }

    /// How many bytes its processes have written so far.
    #[must_use]
    pub fn log_size(&self) -> u64 {
        std::fs::metadata(&self.0.log).map_or(0, |log| log.len())
    }

    /// What its processes have written behind so many bytes.
    #[must_use]
    pub fn log_after(&self, bytes: u64) -> String {
        let mut written = Vec::new();
        // A log that can't be read is an empty one, which no test takes for a good one.
        let _ = File::open(&self.0.log).and_then(|mut log| {
            log.seek(SeekFrom::Start(bytes))?;
            log.read_to_end(&mut written)
        });
        String::from_utf8_lossy(&written).into_owned()
    }

    /// The process ids of its instances.
    #[must_use]
    pub fn process_ids(&self) -> Vec<u32> {
        lock(&self.0.processes).iter().map(Child::id).collect()
    }
}

/// The command that runs a function for the Runtime API at `address`, as Lambda would, with `environment` and nothing else.
pub(crate) fn command(binary: &FilePath, address: SocketAddr, environment: &[(String, String)], log: &File) -> io::Result<Command> {
    let mut command = Command::new(binary);
    command
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", binary.file_name().unwrap_or_default())
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?);
    Ok(command)
}

impl Drop for Inner {
    fn drop(&mut self) {
        for process in lock(&self.processes).iter_mut() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if !std::thread::panicking() {
            let _ = std::fs::remove_file(&self.log);
        }
    }
}

async fn next(State(queue): State<Arc<Queue>>) -> (HeaderMap, String) {
    let Some(Invocation { event, timeout, answer }) = queue.events.lock().await.recv().await else { std::future::pending().await };
    let id = Uuid::now_v7().to_string();
    let deadline = (SystemTime::now() + timeout).duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let headers = [
        ("lambda-runtime-aws-request-id", id.clone()),
        ("lambda-runtime-deadline-ms", deadline.to_string()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-central-1:123456789012:function:test".to_owned()),
        ("lambda-runtime-trace-id", "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1".to_owned()),
        ("content-type", "application/json".to_owned()),
    ];
    lock(&queue.running).insert(id, answer);
    let value = |value: String| value.parse().expect("a header's value");
    let headers = headers.into_iter().map(|(name, text)| (HeaderName::from_static(name), value(text))).collect();
    (headers, event)
}

async fn response(State(queue): State<Arc<Queue>>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    if body.len() > MAX_RESPONSE_BYTES {
        finish(&queue, &id, Err(Value::String(format!("a response of {} bytes", body.len()))));
        return StatusCode::PAYLOAD_TOO_LARGE;
    }
    finish(&queue, &id, Ok(read(&body)));
    StatusCode::ACCEPTED
}

async fn error(State(queue): State<Arc<Queue>>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    finish(&queue, &id, Err(read(&body)));
    StatusCode::ACCEPTED
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("functions answer in JSON")
}

fn finish(queue: &Queue, id: &str, answer: Result<Value, Value>) {
    let running = lock(&queue.running).remove(id).unwrap_or_else(|| panic!("{id} is not running"));
    // Whoever has stopped waiting has said so.
    let _ = running.send(answer);
}
