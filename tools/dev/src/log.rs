//! What `cargo dev` prints while it serves: a line a request, and what went wrong.

use std::collections::HashMap;
use std::time::Duration;

use chrono::Local;
use local::gateway::Access;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use crate::Format;

/// How long a request waits for its function's log line, which says how long the database took. It is usually there already.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where the gateway and the functions say what happened.
#[derive(Clone, Debug)]
pub(crate) struct Log(UnboundedSender<Event>);

#[derive(Debug)]
enum Event {
    /// A function has printed a line.
    Line(&'static str, String),
    /// A request has been answered.
    Access(Access),
}

impl Log {
    pub(crate) fn line(&self, function: &'static str, line: &str) {
        // It fails only when everything ends.
        let _ = self.0.send(Event::Line(function, line.to_owned()));
    }

    pub(crate) fn access(&self, access: Access) {
        let _ = self.0.send(Event::Access(access));
    }
}

/// Prints to standard error, for as long as anybody can say something.
pub(crate) fn start(format: Format) -> Log {
    let (sender, events) = unbounded_channel();
    tokio::spawn(async move {
        match format {
            Format::Text => print_for_people(events).await,
            Format::Json => print_as_json(events).await,
        }
    });
    Log(sender)
}

async fn print_as_json(mut events: UnboundedReceiver<Event>) {
    while let Some(event) = events.recv().await {
        match event {
            Event::Line(_, line) => eprintln!("{line}"),
            // A function has logged its requests itself.
            Event::Access(access) if access.function.is_none() || access.failure.is_some() => {
                let Access { method, path, status, duration, function, failure } = access;
                let milliseconds = (duration.as_secs_f64() * 1e6).round() / 1e3;
                let line = json!({
                    "message": "gateway",
                    "method": method,
                    "path": path,
                    "status": status,
                    "duration": {"ms": milliseconds},
                    "function": function.map(|(name, _)| name),
                    "cause": failure.map(|failure| failure.to_string()),
                });
                eprintln!("{line}");
            }
            Event::Access(_) => {}
        }
    }
}

async fn print_for_people(mut events: UnboundedReceiver<Event>) {
    let mut lines: HashMap<String, Value> = HashMap::new();
    let mut accesses: HashMap<String, (Access, Instant)> = HashMap::new();
    loop {
        let oldest = accesses.values().map(|(_, since)| *since).min();
        let event = match oldest {
            Some(since) => tokio::time::timeout_at(since + PATIENCE, events.recv()).await,
            None => Ok(events.recv().await),
        };
        match event {
            Ok(None) => return,
            Ok(Some(Event::Line(function, line))) => match serde_json::from_str::<Value>(&line) {
                Ok(line) if line["message"] == "request" => {
                    let id = line["requestId"].as_str().unwrap_or_default().to_owned();
                    match accesses.remove(&id) {
                        Some((access, _)) => print(&access, Some(&line)),
                        None => drop(lines.insert(id, line)),
                    }
                }
                Ok(line) if line["level"] == "ERROR" || line["level"] == "WARN" => {
                    let more =
                        ["cause", "hint"].map(|name| line[name].as_str().map(|text| format!(": {text}")).unwrap_or_default());
                    eprintln!("{} {function}: {}{}", now(), line["message"].as_str().unwrap_or_default(), more.concat());
                }
                Ok(_) => {}
                Err(_) => eprintln!("{} {function}: {line}", now()),
            },
            Ok(Some(Event::Access(access))) => match &access.function {
                Some((_, id)) if access.failure.is_none() => {
                    let id = id.to_string();
                    match lines.remove(&id) {
                        Some(line) => print(&access, Some(&line)),
                        None => drop(accesses.insert(id, (access, Instant::now()))),
                    }
                }
                _ => print(&access, None),
            },
            Err(_elapsed) => {
                let late = accesses.extract_if(|_, (_, since)| since.elapsed() >= PATIENCE);
                for (_, (access, _)) in late {
                    print(&access, None);
                }
            }
        }
        // Lines of requests whose client has gone away.
        if lines.len() > 1000 {
            lines.clear();
        }
    }
}

/// `12:30:01 POST /conversations 201 8.4 ms, of which database 5.1`
fn print(access: &Access, line: Option<&Value>) {
    let Access { method, path, status, duration, .. } = access;
    let database = line.and_then(|line| line["db"]["ms"].as_f64());
    let database = database.map(|milliseconds| format!(", of which database {milliseconds:.1}")).unwrap_or_default();
    eprintln!("{} {method} {path} {status} {:.1} ms{database}", now(), duration.as_secs_f64() * 1e3);
    if let (Some((function, _)), Some(failure)) = (access.function, &access.failure) {
        eprintln!("         {function} {failure}");
    }
    for text in ["cause", "hint"].iter().filter_map(|name| line?[name].as_str()) {
        eprintln!("         {text}");
    }
}

fn now() -> String {
    Local::now().format("%H:%M:%S").to_string()
}
