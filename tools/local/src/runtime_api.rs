//! The Lambda Runtime API, and the functions that it serves.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>
//!
//! Each process of a function has a Runtime API on a port of its own. When a process ends, the request that it was working on fails, and no
//! other. A function ends by itself when its Runtime API is gone, even if this process was killed.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use crate::http::{self, Reply};

/// How long a function has for one event: the deadline that it is told. It is the longest that `template.yaml` gives a function of the API.
pub const TIMEOUT: Duration = Duration::from_secs(29);
/// How long an instance that starts when it is needed waits for another event.
const IDLE: Duration = Duration::from_mins(1);
/// What Lambda takes as a response: 6 MiB, and a little for its frame.
const MAX_RESPONSE_BYTES: usize = (6 << 20) + 100;

/// One function: its instances, which are processes, and the events that wait for one. Clones are the same function.
#[derive(Clone)]
pub struct Function(Arc<Inner>);

struct Inner {
    binary: PathBuf,
    environment: Vec<(String, String)>,
    scale: Scale,
    log: Log,
    state: Mutex<State>,
}

/// How many instances there are.
#[derive(Clone, Copy, Debug)]
enum Scale {
    /// So many, started at once. One that has ended is not replaced.
    Fixed,
    /// As many as are needed, up to a limit. They end when they are idle, or take too long.
    OnDemand(usize),
}

/// Where the output of the instances goes.
enum Log {
    File(PathBuf),
    /// Called with each line.
    Lines(Box<dyn Fn(&str) + Send + Sync>),
}

#[derive(Default)]
struct State {
    /// Events that no instance has taken yet.
    waiting: VecDeque<Invocation>,
    /// Instances that wait for an event.
    polls: VecDeque<oneshot::Sender<Invocation>>,
    instances: BTreeMap<u64, Instance>,
    /// The next instance's number.
    next: u64,
}

struct Instance {
    process_id: u32,
    /// Whether it has asked for its first event.
    ready: bool,
    /// Why it can't ask for one, as it reports.
    init_error: Option<Value>,
    running: Option<(Uuid, oneshot::Sender<Result<Bytes, Failure>>)>,
    /// It ends when it asks for another event.
    retired: bool,
    end: Arc<Notify>,
}

struct Invocation {
    id: Uuid,
    event: String,
    timeout: Duration,
    answer: oneshot::Sender<Result<Bytes, Failure>>,
}

enum Poll {
    Event(Invocation),
    /// None is there yet. After so long without one, the instance ends.
    Wait(oneshot::Receiver<Invocation>, Duration),
    /// The instance is not to get one.
    Ended,
}

/// Why there is no response.
#[derive(Clone, Debug)]
pub enum Failure {
    /// What the function reports of itself.
    Reported(Value),
    /// The process ended while it worked on the event.
    Crashed(ExitStatus),
    /// The process was ended, because it took longer than a function may.
    TimedOut(Duration),
    /// No process can be started.
    NotStarted(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reported(error) => write!(formatter, "reported an error: {error}"),
            Self::Crashed(status) => write!(formatter, "ended while it worked on the request ({status})"),
            Self::TimedOut(timeout) => write!(formatter, "did not answer within {} s and was ended", timeout.as_secs()),
            Self::NotStarted(error) => write!(formatter, "can't be started: {error}"),
        }
    }
}

impl Function {
    /// Starts `instances` processes of a binary, with `environment` and nothing else. What they print goes to `log`, which is deleted at
    /// their end, unless that is a panic's.
    pub fn start(binary: &Path, instances: usize, environment: &[(String, String)], log: PathBuf) -> io::Result<Self> {
        File::create(&log)?;
        let function = Self::new(binary, environment, Scale::Fixed, Log::File(log));
        for _ in 0..instances {
            function.0.start_instance()?;
        }
        Ok(function)
    }

    /// A function whose processes start when they are needed, `at_most` so many, each with `environment` and nothing else. `log` is called
    /// with each line that they print.
    #[must_use]
    pub fn on_demand(
        binary: &Path,
        at_most: usize,
        environment: &[(String, String)],
        log: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        Self::new(binary, environment, Scale::OnDemand(at_most), Log::Lines(Box::new(log)))
    }

    fn new(binary: &Path, environment: &[(String, String)], scale: Scale, log: Log) -> Self {
        let (binary, environment) = (binary.to_owned(), environment.to_owned());
        Self(Arc::new(Inner { binary, environment, scale, log, state: Mutex::default() }))
    }

    /// Hands out an event, and waits for the response: the JSON that the function answered with. `id` is the request's id, which the
    /// function logs.
    pub async fn send(&self, id: Uuid, event: String) -> Result<Bytes, Failure> {
        let (answer, answered) = oneshot::channel();
        self.0.enqueue(Invocation { id, event, timeout: TIMEOUT, answer });
        // The sender is dropped without an answer only when the function is.
        answered.await.unwrap_or_else(|_| Err(Failure::NotStarted("the function has been stopped".to_owned())))
    }

    /// The same for a test.
    ///
    /// # Errors
    /// What the function reports: API Gateway would answer with a 500.
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
        self.0.enqueue(Invocation { id: Uuid::now_v7(), event, timeout, answer });
        let answer = tokio::time::timeout(timeout, answered).await;
        match answer.unwrap_or_else(|_| panic!("no answer in {timeout:?}; log:\n{}", self.log())) {
            Ok(Ok(response)) => Ok(serde_json::from_slice(&response).expect("functions answer in JSON")),
            Ok(Err(Failure::Reported(error))) => Err(error),
            // The process has been killed, and nobody else has an answer.
            Ok(Err(_)) | Err(_) => std::future::pending().await,
        }
    }

    /// Ends the instances, each when it has answered its request. The next ones run the binary as it then is.
    pub fn renew(&self) {
        let mut state = self.0.lock();
        state.polls.clear();
        for instance in state.instances.values_mut() {
            instance.retired = true;
            if instance.running.is_none() {
                instance.end.notify_one();
            }
        }
    }

    /// What its processes have written so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log_after(0)
    }

    /// How many bytes its processes have written so far.
    #[must_use]
    pub fn log_size(&self) -> u64 {
        self.0.log_file().and_then(|path| std::fs::metadata(path).ok()).map_or(0, |log| log.len())
    }

    /// What its processes have written behind so many bytes.
    #[must_use]
    pub fn log_after(&self, bytes: u64) -> String {
        let mut written = Vec::new();
        // A log that can't be read is an empty one, which no test takes for a good one.
        let _ = self.0.log_file().and_then(|path| File::open(path).ok()).map(|mut log| {
            log.seek(SeekFrom::Start(bytes))?;
            log.read_to_end(&mut written)
        });
        String::from_utf8_lossy(&written).into_owned()
    }

    /// The process ids of its instances.
    #[must_use]
    pub fn process_ids(&self) -> Vec<u32> {
        self.0.lock().instances.values().map(|instance| instance.process_id).collect()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_file(&self) -> Option<&Path> {
        match &self.log {
            Log::File(path) => Some(path),
            Log::Lines(_) => None,
        }
    }

    /// Hands the event to an instance that waits for one, or keeps it for the next that does.
    fn enqueue(self: &Arc<Self>, mut invocation: Invocation) {
        let mut state = self.lock();
        while let Some(poll) = state.polls.pop_front() {
            match poll.send(invocation) {
                Ok(()) => return,
                // The instance has hung up.
                Err(back) => invocation = back,
            }
        }
        state.waiting.push_back(invocation);
        drop(state);
        self.start_what_is_needed();
    }

    /// Starts instances for the events that wait, unless enough are starting already.
    fn start_what_is_needed(self: &Arc<Self>) {
        let Scale::OnDemand(at_most) = self.scale else { return };
        loop {
            let state = self.lock();
            let starting = state.instances.values().filter(|instance| !instance.ready && !instance.retired).count();
            let serving = state.instances.values().filter(|instance| !instance.retired).count();
            if state.waiting.len() <= starting || serving >= at_most {
                return;
            }
            drop(state);
            if let Err(error) = self.start_instance() {
                let failure = Failure::NotStarted(format!("{}: {error}", self.binary.display()));
                for invocation in self.lock().waiting.drain(..) {
                    let _ = invocation.answer.send(Err(failure.clone()));
                }
                return;
            }
        }
    }

    fn start_instance(self: &Arc<Self>) -> io::Result<()> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;

        let mut command = command(&self.binary, address, &self.environment);
        match &self.log {
            Log::File(path) => {
                let file = File::options().append(true).open(path)?;
                command.stdout(file.try_clone()?).stderr(file);
            }
            Log::Lines(_) => {
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
            }
        }
        let mut process = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
        let end = Arc::new(Notify::new());
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        let process_id = process.id().unwrap_or_default();
        let instance =
            Instance { process_id, ready: false, init_error: None, running: None, retired: false, end: Arc::clone(&end) };
        state.instances.insert(number, instance);
        drop(state);
        let function = Arc::downgrade(self);
        for output in [process.stdout.take().map(Output::Out), process.stderr.take().map(Output::Error)].into_iter().flatten() {
            tokio::spawn(forward(output, Weak::clone(&function)));
        }
        tokio::spawn(run(process, listener, number, end, function));
        Ok(())
    }

    /// What an instance gets that asks for an event.
    fn poll(&self, number: u64) -> Poll {
        let mut state = self.lock();
        let Some(instance) = state.instances.get_mut(&number) else { return Poll::Ended };
        instance.ready = true;
        if instance.retired {
            return Poll::Ended;
        }
        if let Some(invocation) = state.waiting.pop_front() {
            return Poll::Event(invocation);
        }
        let (poll, polled) = oneshot::channel();
        state.polls.push_back(poll);
        let idle = match self.scale {
            Scale::Fixed => Duration::MAX,
            Scale::OnDemand(_) => IDLE,
        };
        Poll::Wait(polled, idle)
    }

    fn finish(&self, number: u64, id: &str, outcome: Result<Bytes, Failure>) -> bool {
        let mut state = self.lock();
        let Some(instance) = state.instances.get_mut(&number) else { return false };
        match instance.running.take() {
            Some((running, answer)) if running.to_string() == id => {
                // It fails when the caller no longer waits.
                let _ = answer.send(outcome);
                true
            }
            other => {
                instance.running = other;
                false
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for instance in self.lock().instances.values() {
            instance.end.notify_one();
        }
        if let Log::File(path) = &self.log
            && !std::thread::panicking()
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The command that runs a function for the Runtime API at `address`, as Lambda would, with `environment` and nothing else.
#[must_use]
pub fn command(binary: &Path, address: SocketAddr, environment: &[(String, String)]) -> Command {
    let mut command = Command::new(binary);
    command
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", binary.file_name().unwrap_or_default())
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null());
    command
}

/// One instance, until its process ends.
async fn run(mut process: Child, listener: tokio::net::TcpListener, number: u64, end: Arc<Notify>, function: Weak<Inner>) {
    let answer = {
        let function = Weak::clone(&function);
        move |request| answer(Weak::clone(&function), number, request)
    };
    let status = tokio::select! {
        status = process.wait() => status,
        () = http::serve(listener, answer) => unreachable!("it serves until it is dropped"),
        () = end.notified() => {
            let _ = process.start_kill();
            process.wait().await
        }
    };
    let Some(function) = function.upgrade() else { return };
    let mut state = function.lock();
    let Some(instance) = state.instances.remove(&number) else { return };
    let failed = match instance.running {
        Some((_, answer)) => Some((answer, status.map_or_else(|error| Failure::NotStarted(error.to_string()), Failure::Crashed))),
        // An event that waits is answered, or the next instance would end like this one, and so on for ever.
        None if !instance.ready => state.waiting.pop_front().map(|invocation| {
            if let Some(error) = instance.init_error {
                return (invocation.answer, Failure::Reported(error));
            }
            let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            (invocation.answer, Failure::NotStarted(format!("it ended before it asked for a request ({how})")))
        }),
        None => None,
    };
    drop(state);
    if let Some((answer, failure)) = failed {
        let _ = answer.send(Err(failure));
    }
    function.start_what_is_needed();
}

enum Output {
    Out(tokio::process::ChildStdout),
    Error(tokio::process::ChildStderr),
}

async fn forward(output: Output, function: Weak<Inner>) {
    let reader: Box<dyn AsyncRead + Send + Unpin> = match output {
        Output::Out(stream) => Box::new(stream),
        Output::Error(stream) => Box::new(stream),
    };
    let mut lines = BufReader::new(reader).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let Some(function) = function.upgrade() else { return };
        if let Log::Lines(log) = &function.log {
            log(&String::from_utf8_lossy(&line));
        }
    }
}

async fn answer(instance: Weak<Inner>, number: u64, request: Request<Incoming>) -> Reply {
    let Some(function) = instance.upgrade() else { return empty(StatusCode::GONE) };
    let path = request.uri().path().to_owned();
    if request.method() == Method::POST && path == "/2018-06-01/runtime/init/error" {
        let Some(body) = http::read(request.into_body(), 64 << 20).await else { return empty(StatusCode::BAD_REQUEST) };
        return init_error(&function, number, &body);
    }
    let Some(path) = path.strip_prefix("/2018-06-01/runtime/invocation/") else { return empty(StatusCode::NOT_FOUND) };
    match (request.method(), path.split_once('/')) {
        (&Method::GET, None) if path == "next" => {
            let poll = function.poll(number);
            // While it waits, it must not keep the function alive.
            drop(function);
            next(instance, number, poll).await
        }
        (&Method::POST, Some((id, "response"))) => {
            let Some(body) = http::read(request.into_body(), 64 << 20).await else { return empty(StatusCode::BAD_REQUEST) };
            if body.len() > MAX_RESPONSE_BYTES {
                let error = Value::String(format!("a response of {} bytes", body.len()));
                function.finish(number, id, Err(Failure::Reported(error)));
                return empty(StatusCode::PAYLOAD_TOO_LARGE);
            }
            accepted(function.finish(number, id, Ok(body)))
        }
        (&Method::POST, Some((id, "error"))) => {
            let Some(body) = http::read(request.into_body(), 64 << 20).await else { return empty(StatusCode::BAD_REQUEST) };
            let error = serde_json::from_slice(&body).unwrap_or_default();
            accepted(function.finish(number, id, Err(Failure::Reported(error))))
        }
        _ => empty(StatusCode::NOT_FOUND),
    }
}

/// Keeps what an instance reports that can't start. The process ends then, and whoever waits for it is told.
fn init_error(function: &Inner, number: u64, body: &[u8]) -> Reply {
    match function.lock().instances.get_mut(&number) {
        Some(instance) if !instance.ready => {
            instance.init_error = Some(serde_json::from_slice(body).unwrap_or_default());
            empty(StatusCode::ACCEPTED)
        }
        // As Lambda answers a report that comes too late.
        _ => empty(StatusCode::FORBIDDEN),
    }
}

/// The next event as the Runtime API hands it out.
async fn next(function: Weak<Inner>, number: u64, poll: Poll) -> Reply {
    let invocation = match poll {
        Poll::Event(invocation) => Some(invocation),
        Poll::Wait(mut polled, idle) => match tokio::time::timeout(idle, &mut polled).await {
            Ok(invocation) => invocation.ok(),
            Err(_idle) => {
                // What was handed over in the last moment is not lost: a sender that succeeded is received.
                polled.close();
                polled.try_recv().ok()
            }
        },
        Poll::Ended => None,
    };
    let Some(function) = function.upgrade() else { return empty(StatusCode::GONE) };
    if let Some(invocation) = invocation {
        return hand_out(&function, number, invocation);
    }
    if let Some(instance) = function.lock().instances.get_mut(&number) {
        instance.retired = true;
        instance.end.notify_one();
    }
    drop(function);
    // The process is ended while it waits for an answer.
    std::future::pending().await
}

fn hand_out(function: &Arc<Inner>, number: u64, invocation: Invocation) -> Reply {
    let Invocation { id, event, timeout, answer } = invocation;
    if let Some(instance) = function.lock().instances.get_mut(&number) {
        instance.running = Some((id, answer));
    }
    if let Scale::OnDemand(_) = function.scale {
        tokio::spawn(end_if_it_takes_too_long(Arc::downgrade(function), number, id, timeout));
    }
    let deadline = (SystemTime::now() + timeout).duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    Response::builder()
        .header("lambda-runtime-aws-request-id", id.to_string())
        .header("lambda-runtime-deadline-ms", deadline.to_string())
        .header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-central-1:123456789012:function:local")
        .header("lambda-runtime-trace-id", trace_id(id))
        .header("content-type", "application/json")
        .body(event.into_bytes().into())
        .unwrap_or_default()
}

/// A trace of the request's own, in the form of X-Ray: the time in seconds, and random digits.
fn trace_id(id: Uuid) -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let digits = id.simple().to_string();
    format!("Root=1-{seconds:08x}-{};Parent={};Sampled=0", &digits[8..], &digits[16..])
}

async fn end_if_it_takes_too_long(function: Weak<Inner>, number: u64, id: Uuid, timeout: Duration) {
    tokio::time::sleep(timeout).await;
    let Some(function) = function.upgrade() else { return };
    if function.finish(number, &id.to_string(), Err(Failure::TimedOut(timeout)))
        && let Some(instance) = function.lock().instances.get_mut(&number)
    {
        instance.retired = true;
        instance.end.notify_one();
    }
}

fn accepted(known: bool) -> Reply {
    empty(if known { StatusCode::ACCEPTED } else { StatusCode::BAD_REQUEST })
}

fn empty(status: StatusCode) -> Reply {
    let mut reply = Reply::default();
    *reply.status_mut() = status;
    reply
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;

    /// A function that is a script of bash. `$1`: method and path, `$2`: a body. It leaves the answer's status and headers.
    const ASK: &str = r#"#!/bin/bash
exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API/://}"
ask() {
    printf '%s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s' "$1" "${#2}" "$2" >&3
    read -r _ status _ <&3
    while read -r name value <&3 && [ "$name" != $'\r' ]; do
        case $name in
            lambda-runtime-aws-request-id:) id=${value%$'\r'} ;;
            content-length:) length=${value%$'\r'} ;;
        esac
    done
}
"#;

    async fn send(script: &str, events: &[String]) -> Vec<Result<usize, Failure>> {
        let file = std::env::temp_dir().join(format!("scrollback-function-{}", Uuid::new_v4().simple()));
        std::fs::write(&file, format!("{ASK}{script}")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o700)).unwrap();
        let function = Function::on_demand(&file, 1, &[], |_| {});
        let mut answers = Vec::new();
        for event in events {
            answers.push(function.send(Uuid::now_v7(), event.clone()).await.map(|body| body.len()));
        }
        std::fs::remove_file(file).unwrap();
        answers
    }

    #[tokio::test]
    async fn an_instance_that_cannot_start_says_why() {
        let script = r#"
ask 'POST /2018-06-01/runtime/init/error' '{"errorType": "Runtime.Example"}'
[ "$status" = 202 ] && exit 1
sleep 60"#;
        let answers = send(script, &["{}".to_owned()]).await;
        let [Err(Failure::Reported(error))] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!(*error, json!({"errorType": "Runtime.Example"}));
    }

    #[tokio::test]
    async fn a_response_has_6_mib_and_100_bytes_at_most() {
        let script = r#"
while ask 'GET /2018-06-01/runtime/invocation/next'; do
    read -r -N "$length" wanted <&3
    printf -v body '%*s' "$wanted" ''
    ask "POST /2018-06-01/runtime/invocation/$id/response" "$body"
done"#;
        let most = 6 * 1024 * 1024 + 100;
        let answers = send(script, &[most.to_string(), (most + 1).to_string(), "2".to_owned()]).await;
        let [Ok(6_291_556), Err(Failure::Reported(error)), Ok(2)] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!(*error, json!("a response of 6291557 bytes"));
    }
}
