//! A function's process, and a Runtime API for it that takes times and little time: a thread that blocks. The tests' stub
//! (`runtime_api`) would add a web framework, which costs more than an echo does.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use local::runtime_api;

/// How long a function has for an event. Valgrind takes some seconds to start one, and more on a busy machine.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A running function. Dropping it ends it.
pub(super) struct Function {
    process: Child,
    spawned: Instant,
    stub: Arc<Stub>,
    events: Sender<Vec<u8>>,
    answers: Receiver<Answer>,
}

struct Stub {
    events: Mutex<Receiver<Vec<u8>>>,
    answers: Sender<Answer>,
    first_poll: OnceLock<Instant>,
    handed_out: Mutex<Instant>,
}

/// What a function has answered.
pub(super) struct Answer {
    handed_out: Instant,
    received: Instant,
    /// The response as it went to the Runtime API.
    pub(super) body: Vec<u8>,
}

/// A function's first moments.
pub(super) struct Cold {
    /// From spawn to the first poll.
    pub(super) init: Duration,
    /// From spawn to the first response, whose event was waiting.
    pub(super) first_response: Duration,
}

impl Function {
    /// Starts a binary with `environment` and nothing else. What it prints goes to a file beside the binary.
    pub(super) fn start(binary: &Path, environment: &[(String, String)]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (events, queue) = channel();
        let (sender, answers) = channel();
        let stub = Stub {
            events: Mutex::new(queue),
            answers: sender,
            first_poll: OnceLock::new(),
            handed_out: Mutex::new(Instant::now()),
        };
        let stub = Arc::new(stub);
        let log = File::create(binary.with_extension("log"))?;
        let mut command = runtime_api::command(binary, address, environment);
        command.stdout(log.try_clone()?).stderr(log);
        let shared = Arc::clone(&stub);
        // The runtime's client uses one connection for one event after the other. The thread ends with it.
        std::thread::spawn(move || {
            if let Ok((stream, _)) = listener.accept() {
                // An error is the function's end.
                let _ = shared.serve(&stream);
            }
        });
        let spawned = Instant::now();
        let process = command.spawn().with_context(|| format!("cannot run {}", binary.display()))?;
        Ok(Self { process, spawned, stub, events, answers })
    }

    /// Starts a binary whose first event is waiting, and ends it.
    pub(super) fn cold(binary: &Path, environment: &[(String, String)], event: &[u8]) -> Result<Cold> {
        let function = Self::start(binary, environment)?;
        let answer = function.answer(event)?;
        let first_poll = *function.stub.first_poll.get().context("the function has polled")?;
        Ok(Cold { init: first_poll - function.spawned, first_response: answer.received - function.spawned })
    }

    /// From an event's being handed out to the whole response.
    pub(super) fn call(&self, event: &[u8]) -> Result<Duration> {
        let answer = self.answer(event)?;
        Ok(answer.received - answer.handed_out)
    }

    /// The answer to an event, which has to be a success.
    pub(super) fn answer(&self, event: &[u8]) -> Result<Answer> {
        self.events.send(event.to_vec())?;
        let answer = self.answers.recv_timeout(TIMEOUT).context("a function does not answer: its log is beside its binary")?;
        let start = String::from_utf8_lossy(&answer.body[..answer.body.len().min(1000)]);
        ensure!(start.starts_with(r#"{"statusCode":2"#), "a function fails: {start}");
        Ok(answer)
    }

    /// Ends it by SIGTERM, and waits for its end.
    pub(super) fn terminate(&mut self) -> Result<()> {
        let status = Command::new("kill").arg(self.process.id().to_string()).status()?;
        ensure!(status.success(), "kill fails");
        self.process.wait()?;
        Ok(())
    }

    pub(super) fn process_id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Stub {
    fn serve(&self, stream: &TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::with_capacity(1 << 20, stream);
        let mut writer = stream;
        let (mut line, mut body) = (String::new(), Vec::new());
        loop {
            line.clear();
            ensure!(reader.read_line(&mut line)? > 0, "the function has closed its connection");
            let is_poll = line.starts_with("GET");
            let is_error = line.contains("/error ");
            let mut length = 0;
            while line != "\r\n" {
                line.clear();
                reader.read_line(&mut line)?;
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse()?;
                }
            }
            body.resize(length, 0);
            reader.read_exact(&mut body)?;
            if is_poll {
                self.first_poll.get_or_init(Instant::now);
                let event = self.events.lock().unwrap_or_else(PoisonError::into_inner).recv()?;
                let response = next(&event);
                *self.handed_out.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                writer.write_all(&response)?;
            } else {
                let received = Instant::now();
                let handed_out = *self.handed_out.lock().unwrap_or_else(PoisonError::into_inner);
                writer.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")?;
                if is_error {
                    body.splice(..0, *b"error: ");
                }
                self.answers.send(Answer { handed_out, received, body: std::mem::take(&mut body) })?;
            }
        }
    }
}

fn next(event: &[u8]) -> Vec<u8> {
    let deadline = (SystemTime::now() + TIMEOUT).duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let mut response = format!(
        "HTTP/1.1 200 OK\r\n\
        lambda-runtime-aws-request-id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
        lambda-runtime-deadline-ms: {deadline}\r\n\
        lambda-runtime-invoked-function-arn: arn:aws:lambda:eu-central-1:123456789012:function:bench\r\n\
        lambda-runtime-trace-id: Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1\r\n\
        content-type: application/json\r\n\
        content-length: {}\r\n\r\n",
        event.len()
    )
    .into_bytes();
    response.extend_from_slice(event);
    response
}
