//! The log: one line an event on standard output, where Lambda takes it from. JSON where Lambda says so, else text for a terminal.
//!
//! `lambda_runtime` has a subscriber, too. This one has no filter by regular expression, which every binary would carry, and prints the
//! span's fields once. A field named `db.ms` becomes a member of an object `db`, as the queries in `template.yaml` read it.

use std::fmt::{Debug, Write as _};

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber, error};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

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

/// What a span or an event says, dotted names as objects.
#[derive(Clone, Default)]
struct Fields(Map<String, Value>);

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
                fields.0.extend(outer.0.clone());
            }
        }
        event.record(&mut fields);
        let (level, time) = (event.metadata().level(), Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true));
        let line = if self.json {
            fields.0.insert("level".to_owned(), level.as_str().into());
            fields.0.insert("timestamp".to_owned(), time.into());
            format!("{}\n", Value::Object(fields.0))
        } else {
            let message = fields.0.remove("message");
            let message = message.as_ref().and_then(Value::as_str).unwrap_or_default();
            let mut line = format!("{time} {level:>5} {message}");
            write_flat(&mut line, "", &fields.0);
            line + "\n"
        };
        // A log that can't be written to has nobody to tell.
        let _ = (self.output)().write_all(line.as_bytes());
    }
}

/// ` db.ms=0.4 db.statements=1 …`
fn write_flat(line: &mut String, prefix: &str, fields: &Map<String, Value>) {
    for (name, value) in fields {
        match value {
            Value::Object(inner) => write_flat(line, &format!("{prefix}{name}."), inner),
            value => {
                let _ = write!(line, " {prefix}{name}={value}");
            }
        }
    }
}

impl Fields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        let mut names = field.name().split('.');
        let last = names.next_back().unwrap_or_default();
        let mut object = &mut self.0;
        for name in names {
            let member = object.entry(name).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(inner) = member else { return };
            object = inner;
        }
        object.insert(last.to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.set(field, format!("{value:?}"));
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
}
