//! The log: one line an event on standard output, where Lambda takes it from. JSON where Lambda says so, else text for a terminal.
//!
//! Of `lambda_runtime`'s own subscriber this has what is used: no filter by regular expression, which every binary would carry, and
//! the span's fields once. A field named `db.ms` becomes a member of an object `db`, as the queries in `template.yaml` read it.

use std::fmt::{Debug, Write as _};
use std::io::Write as _;

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber, error};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts the log of this process, at the level of `AWS_LAMBDA_LOG_LEVEL` (INFO without it), in the format of `AWS_LAMBDA_LOG_FORMAT`.
/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html>
pub(crate) fn start() {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let level = variable("AWS_LAMBDA_LOG_LEVEL").and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO);
    let json = variable("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("json"));
    // It fails where there is a subscriber already, and then that one does it.
    let _ = tracing_subscriber::registry().with(level).with(Lines { json }).try_init();
    // A panic's own words may quote what was being read: a slice of a string quotes the string.
    std::panic::set_hook(Box::new(|panic| {
        error!(location = panic.location().map(tracing::field::display), "panicked");
    }));
}

struct Lines {
    json: bool,
}

/// What a span or an event says, dotted names as objects.
#[derive(Clone, Default)]
struct Fields(Map<String, Value>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flatten() {
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
            for (name, value) in &fields.0 {
                let _ = write!(line, " {name}={value}");
            }
            line + "\n"
        };
        // A log that can't be written to has nobody to tell.
        let _ = std::io::stdout().lock().write_all(line.as_bytes());
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
