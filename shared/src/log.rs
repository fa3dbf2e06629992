//! The log: one line an event on standard output, where Lambda takes it from. JSON where Lambda says so, else text for a terminal.
//!
//! `lambda_runtime` has a subscriber, too. This one has no filter by regular expression, which every binary would carry, and prints the
//! span's fields once. A field named `db.ms` becomes a member of an object `db`, as the queries in `template.yaml` read it.

use std::fmt::{self, Debug, Write as _};

use chrono::{SecondsFormat, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use sha2::Sha256;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber, error};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::invalid::{Fault, Invalid};

/// Starts the log of this process, at the level of `AWS_LAMBDA_LOG_LEVEL` (INFO without it), in the format of `AWS_LAMBDA_LOG_FORMAT`.
/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html>
pub(crate) fn start() {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let level = match variable("AWS_LAMBDA_LOG_LEVEL").as_deref() {
        // Lambda's name for more than an error, which we don't know.
        Some("FATAL") => LevelFilter::ERROR,
        level => level.and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO),
    };
    let json = variable("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("json"));
    let lines = Lines { json, output: std::io::stdout };
    // Other crates log only errors, unless the level is DEBUG or TRACE: the runtime warns about events of the emulator.
    let ours = filter_fn(move |metadata| {
        metadata.is_span()
            || metadata.target().starts_with("shared")
            || *metadata.level() == Level::ERROR
            || level > LevelFilter::INFO
    });
    // It fails where there is a subscriber already, and then that one does it.
    let _ = tracing_subscriber::registry().with(level).with(lines.with_filter(ours)).try_init();
}

/// From now on, of a panic the log says where it was, and nobody says its words: a slice of a string that fails quotes the string.
pub(crate) fn hide_the_words_of_panics() {
    std::panic::set_hook(Box::new(|panic| error!(location = panic.location().map(tracing::field::display), "panicked")));
}

struct Lines<O> {
    json: bool,
    output: O,
}

/// What a span or an event says, by name. A list is enough for so few, and a log line is a large part of a small request's work.
#[derive(Clone, Default)]
struct Fields(Vec<(&'static str, Value)>);

impl<S, O, W> Layer<S> for Lines<O>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    O: Fn() -> W + 'static,
    W: std::io::Write,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            if let Some(outer) = span.extensions().get::<Fields>() {
                outer.0.iter().for_each(|(name, value)| fields.set(name, value.clone()));
            }
        }
        event.record(&mut fields);
        let (level, time) = (event.metadata().level(), Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true));
        let mut line = if self.json {
            fields.set("level", level.as_str());
            fields.set("timestamp", time);
            fields.0.sort_unstable_by_key(|(name, _)| *name);
            serde_json::to_string(&Object { fields: &fields.0, prefix: 0 }).unwrap_or_default()
        } else {
            let message = fields.0.iter().find(|(name, _)| *name == "message");
            let message = message.and_then(|(_, message)| message.as_str()).unwrap_or_default();
            let mut line = format!("{time} {level:>5} {message}");
            for (name, value) in fields.0.iter().filter(|(name, _)| *name != "message") {
                let _ = write!(line, " {name}={value}");
            }
            line
        };
        line.push('\n');
        // A log that can't be written to has nobody to tell.
        let _ = (self.output)().write_all(line.as_bytes());
    }
}

impl Fields {
    /// An inner span, or the event itself, may say something else than an outer span.
    fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value.into(),
            None => self.0.push((name, value.into())),
        }
    }
}

/// Fields in the order of their names, which all begin with the same `prefix` bytes, as an object. Dotted names are objects in it.
struct Object<'a> {
    fields: &'a [(&'static str, Value)],
    prefix: usize,
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let outer = |name: &'static str| name[self.prefix..].split_once('.').map(|(outer, _)| outer);
        let mut object = serializer.serialize_map(None)?;
        for fields in self.fields.chunk_by(|(one, _), (other, _)| outer(one).is_some() && outer(one) == outer(other)) {
            let (name, value) = &fields[0];
            match outer(name) {
                Some(outer) => object.serialize_entry(outer, &Object { fields, prefix: self.prefix + outer.len() + 1 })?,
                None => object.serialize_entry(&name[self.prefix..], value)?,
            }
        }
        object.end()
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.set(field.name(), format!("{value:?}"));
    }
}

/// The key that users' ids are hashed with for the log. Without the key, nobody can try out ids to find whose hash it is.
#[derive(Clone)]
pub struct LogKey(Hmac<Sha256>);

impl LogKey {
    /// How many bytes of a hash the log has.
    const HASH_BYTES: usize = 16;
    const MIN_CHARACTERS: usize = 32;

    /// # Errors
    /// The key is too short to be a secret.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.len() < Self::MIN_CHARACTERS {
            return Err(Invalid::new(Fault::Parameter, "is shorter than 32 characters; openssl rand -hex 32 makes one"));
        }
        let key = Hmac::new_from_slice(text.as_bytes());
        key.map(Self).map_err(|_| Invalid::new(Fault::Parameter, "cannot be a key"))
    }

    /// HMAC-SHA-256 of a user's id, the first half in hexadecimal digits.
    pub(crate) fn hash(&self, user_id: &str) -> String {
        let hash = self.0.clone().chain_update(user_id).finalize().into_bytes();
        hash.iter().take(Self::HASH_BYTES).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl Debug for LogKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LogKey")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{info, info_span, warn};

    use super::*;

    /// What two lines look like.
    fn logged(json: bool) -> Vec<String> {
        #[derive(Clone, Default)]
        struct Buffer(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Buffer {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let buffer = Buffer::default();
        let output = buffer.clone();
        let subscriber = tracing_subscriber::registry().with(Lines { json, output: move || output.clone() });
        tracing::subscriber::with_default(subscriber, || {
            let _outer = info_span!("outer", requestId = "r1", level_of_span = 1).entered();
            let _inner = info_span!("inner", level_of_span = 2).entered();
            info!(db.ms = 0.5, db.statements = 1, missing = None::<bool>, cold_start = true, "request");
            warn!(cause = %"two\nlines and \"quotes\"", "lost");
        });
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_of_json_has_the_spans_fields_and_objects_for_dotted_names() {
        let lines: Vec<Value> = logged(true).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut first = lines[0].clone();
        assert!(first["timestamp"].take().as_str().unwrap().ends_with('Z'));
        let expected = serde_json::json!({
            "timestamp": null, "level": "INFO", "message": "request", "requestId": "r1", "level_of_span": 2,
            "db": {"ms": 0.5, "statements": 1}, "cold_start": true,
        });
        assert_eq!((first, lines.len()), (expected, 2));
        assert_eq!((&lines[1]["level"], &lines[1]["cause"]), (&"WARN".into(), &"two\nlines and \"quotes\"".into()));
    }

    #[test]
    fn a_line_for_a_terminal_is_one_line() {
        let lines = logged(false);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("  INFO request ") && lines[0].contains(" db.ms=0.5 db.statements=1"), "{lines:?}");
        assert!(lines[1].contains(r#" cause="two\nlines and \"quotes\"""#), "{lines:?}");
    }

    #[test]
    fn a_users_id_is_hashed_as_openssl_does_it() {
        // printf %s 'auth0|ada' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
        let key = LogKey::parse("0123456789abcdef0123456789abcdef").unwrap();
        assert_eq!(key.hash("auth0|ada"), "ab1f2a704bb74ba59c60295a2bf484e0");
        assert_ne!(key.hash("auth0|bob"), key.hash("auth0|ada"));
        assert_eq!(format!("{key:?}"), "LogKey");
        assert!(LogKey::parse("0123456789abcdef0123456789abcde").is_err());
    }
}
