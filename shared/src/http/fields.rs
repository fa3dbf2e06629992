//! The fields of a request, from its query string or its JSON body, read by name and type.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::error::{Error, Fault, Invalid, Result};
use crate::models::{
    CallIds, Change, Content, ContextFormat, ContextLimits, ContextOptions, Json, Metadata, NewMessage, Place, Role, Status, Text,
    ToolCalls, Unanswered, lone_surrogate,
};

/// The fields of a request, each taken once by name and type. An error names the field.
pub struct Fields<'a> {
    /// Where these fields are, such as `messages[3].`
    prefix: String,
    values: BTreeMap<String, Value<'a>>,
    twice: BTreeSet<String>,
    known: Vec<&'static str>,
}

enum Value<'a> {
    Query(String),
    Json(&'a RawValue),
}

impl<'a> Fields<'a> {
    /// Reads both sources; a field in both, or twice in one, is ambiguous.
    pub(super) fn read(query: &str, body: Option<&'a str>) -> Result<Self> {
        let mut fields = Self::empty(String::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode_query(name).map_err(Error::from)?;
            let value = decode_query(value).map_err(|invalid| invalid.at(name.clone()))?;
            fields.insert(name, Value::Query(value));
        }
        if let Some(body) = body {
            fields.insert_object(body)?;
        }
        Ok(fields)
    }

    fn empty(prefix: String) -> Self {
        Self { prefix, values: BTreeMap::new(), twice: BTreeSet::new(), known: Vec::new() }
    }

    /// The members of a line of JSON.
    pub fn of_line(line: &'a str, number: i64) -> Result<Self> {
        let Object(members) = serde_json::from_str(line)
            .map_err(|_| Invalid::new(Fault::Body, "each line is a JSON object").at(format!("line {number}")))?;
        let mut fields = Self::empty(format!("line {number}: "));
        for (name, value) in members {
            fields.insert(name, Value::Json(value));
        }
        Ok(fields)
    }

    fn insert_object(&mut self, json: &'a str) -> Result<()> {
        let Object(members) = serde_json::from_str(json).map_err(|error| {
            let what = if error.is_data() { "is a JSON object".to_owned() } else { format!("is not valid JSON: {error}") };
            match self.prefix.strip_suffix('.') {
                None => Error::from(Invalid::new(Fault::Body, format!("the body {what}"))),
                Some(element) => Invalid::new(Fault::Parameter, format!("each element {what}")).at(element),
            }
        })?;
        for (name, value) in members {
            self.insert(name, Value::Json(value));
        }
        Ok(())
    }

    fn insert(&mut self, name: String, value: Value<'a>) {
        if self.values.insert(name.clone(), value).is_some() {
            self.twice.insert(name);
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn take(&mut self, name: &'static str) -> Result<Option<Value<'a>>> {
        self.known.push(name);
        self.take_named(name)
    }

    fn take_named(&mut self, name: &str) -> Result<Option<Value<'a>>> {
        if self.twice.contains(name) {
            let detail = "the field is there twice; send it once, in the query string or in the body";
            return Err(Invalid::new(Fault::Ambiguous, detail).at(self.path(name)));
        }
        // Null is how JSON says that nothing is there.
        Ok(self.values.remove(name).filter(|value| !matches!(value, Value::Json(raw) if raw.get() == "null")))
    }

    fn must_be(&self, name: &str, what: &str) -> Error {
        Invalid::new(Fault::Parameter, format!("must be {what}")).at(self.path(name))
    }

    /// A string, made into a `T`.
    pub fn parse<T>(&mut self, name: &'static str, parse: impl FnOnce(String) -> Result<T, Invalid>) -> Result<Option<T>> {
        let value = self.take(name)?;
        self.text(name, value, parse)
    }

    fn text<T>(&self, name: &str, value: Option<Value<'_>>, parse: impl FnOnce(String) -> Result<T, Invalid>) -> Result<Option<T>> {
        let text = match value {
            None => return Ok(None),
            Some(Value::Query(text)) => text,
            Some(Value::Json(raw)) => {
                string(raw).ok_or_else(|| self.must_be(name, "a string"))?.map_err(|invalid| invalid.at(self.path(name)))?
            }
        };
        parse(text).map(Some).map_err(|invalid| invalid.at(self.path(name)))
    }

    /// A hyphenated UUID.
    pub fn uuid(&mut self, name: &'static str) -> Result<Option<Uuid>> {
        self.parse(name, |text| parse_uuid(&text))
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &'static str) -> Result<Option<bool>> {
        let value = self.take(name)?;
        match scalar(value.as_ref()) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(self.must_be(name, "true or false")),
        }
    }

    /// A whole number in a range.
    pub fn integer(&mut self, name: &'static str, range: RangeInclusive<i64>) -> Result<Option<i64>> {
        let value = self.take(name)?;
        let Some(text) = scalar(value.as_ref()) else { return Ok(None) };
        let is_json = matches!(value, Some(Value::Json(_)));
        match text.parse().or_else(|error| is_json.then(|| integral(text)).flatten().ok_or(error)) {
            Ok(number) if range.contains(&number) && !text.starts_with('+') => Ok(Some(number)),
            _ if *range.end() == i64::MAX => Err(self.must_be(name, &format!("a whole number from {}", range.start()))),
            _ => Err(self.must_be(name, &format!("a whole number from {} to {}", range.start(), range.end()))),
        }
    }

    /// Any JSON but null; in the query string, its text.
    pub fn json(&mut self, name: &'static str) -> Result<Option<Json>> {
        let json = match self.take(name)? {
            None => return Ok(None),
            Some(Value::Query(text)) => Json::parse(text),
            Some(Value::Json(raw)) => Json::from_raw(raw.to_owned()),
        };
        json.map(|json| Some(json).filter(|json| json.as_str() != "null")).map_err(|invalid| invalid.at(self.path(name)))
    }

    /// `metadata`: a JSON object, read by [`Metadata::of_conversation`] or [`Metadata::of_message`].
    pub fn metadata(&mut self, parse: impl FnOnce(Json) -> Result<Metadata, Invalid>) -> Result<Option<Metadata>> {
        self.json("metadata")?.map(|json| parse(json).map_err(|invalid| invalid.at(self.path("metadata")))).transpose()
    }

    /// `feedback`: an object with a `rating`, which may be null, and maybe a `comment` of 4 KiB. It is spelled anew, so that the same feedback
    /// is the same text.
    pub fn feedback(&mut self) -> Result<Option<Json>> {
        const MAX_COMMENT_BYTES: usize = 4 << 10;
        let Some(json) = self.json("feedback")? else { return Ok(None) };
        if !json.is_object() {
            return Err(self.must_be("feedback", "an object with a rating, or null"));
        }
        let mut fields = Fields::empty(format!("{}.", self.path("feedback")));
        fields.insert_object(json.as_str())?;
        let named = fields.any_of(&["rating"]);
        let rating = fields.parse("rating", |text| match text.as_str() {
            "up" => Ok("\"up\""),
            "down" => Ok("\"down\""),
            _ => Err(Invalid::new(Fault::Parameter, "a rating is up, down or null")),
        })?;
        fields.required("rating", named)?;
        let comment = fields.parse("comment", Text::parse)?;
        if comment.as_ref().is_some_and(|comment| comment.as_str().len() > MAX_COMMENT_BYTES) {
            return Err(Invalid::new(Fault::TooLarge, "a comment may have 4 KiB").at(fields.path("comment")));
        }
        fields.finish()?;
        let comment = comment.map(|comment| serde_json::to_string(comment.as_str())).transpose();
        let comment = comment.map_err(|error| Error::Internal(error.into()))?;
        let comment = comment.map_or_else(String::new, |comment| format!(",\"comment\":{comment}"));
        Json::parse(format!("{{\"rating\":{}{comment}}}", rating.unwrap_or("null"))).map(Some).map_err(Error::from)
    }

    /// Fields whose names are those of members, such as each `metadata.KEY`: the key, which may be any text, and the value.
    pub fn members(&mut self, name: &'static str) -> Result<Vec<(Text, Text)>> {
        let prefix = name.trim_end_matches("KEY");
        self.known.push(name);
        let names: Vec<String> = self.values.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
        let mut members = Vec::new();
        for name in names {
            let key = Text::parse(&name[prefix.len()..]).map_err(|invalid| invalid.at(self.path(prefix)))?;
            let value = self.take_named(&name)?;
            let value = self.text(&name, value, Text::parse)?;
            members.extend(value.map(|value| (key, value)));
        }
        Ok(members)
    }

    /// UUIDs with commas between them, `max` at most.
    pub fn uuids(&mut self, name: &'static str, max: usize) -> Result<Option<Vec<Uuid>>> {
        self.parse(name, |text| {
            if text.split(',').count() > max {
                return Err(Invalid::new(Fault::Parameter, format!("must be {max} ids at most, with commas between them")));
            }
            text.split(',').map(parse_uuid).collect()
        })
    }

    /// `content`: a string, or an array of parts; in the query string always a string.
    pub fn content(&mut self) -> Result<Option<Content>> {
        let content = match self.take("content")? {
            None => return Ok(None),
            Some(Value::Query(text)) => Content::text(text),
            Some(Value::Json(raw)) => match string(raw) {
                Some(text) => text.and_then(Content::text),
                None => Json::from_raw(raw.to_owned()).and_then(Content::parts),
            },
        };
        content.map(Some).map_err(|invalid| invalid.at(self.path("content")))
    }

    /// `token_count`: how many tokens the caller counted.
    pub fn token_count(&mut self) -> Result<Option<i32>> {
        let count = self.integer("token_count", 0..=i64::from(i32::MAX))?;
        Ok(count.and_then(|count| i32::try_from(count).ok()))
    }

    /// `status`: what a request may say of it.
    pub fn status(&mut self) -> Result<Option<Status>> {
        self.parse("status", |text| Status::parse(&text))
    }

    /// `expires_in`: seconds, a minute at least.
    pub fn expires_in(&mut self) -> Result<Option<i64>> {
        // A thousand years: PostgreSQL's calendar holds more, and a time has four digits for its year.
        self.integer("expires_in", 60..=31_556_952_000)
    }

    /// `tool_calls`: a model's calls to tools, a JSON object or array.
    pub fn tool_calls(&mut self) -> Result<Option<ToolCalls>> {
        self.json("tool_calls")?
            .map(|json| ToolCalls::parse(json).map_err(|invalid| invalid.at(self.path("tool_calls"))))
            .transpose()
    }

    /// A field that a request changes: null clears it, and without the field it stays as it is.
    pub fn change<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Self) -> Result<Option<T>>) -> Result<Change<T>> {
        let named = self.values.contains_key(name);
        Ok(match read(self)? {
            Some(value) => Change::Set(value),
            None if named => Change::Clear,
            None => Change::Keep,
        })
    }

    /// How many items a list may have, at most: 1 to 1000.
    pub fn limit(&mut self, name: &'static str) -> Result<Option<i64>> {
        self.integer(name, 1..=1000)
    }

    /// The objects of an array, each as fields of its own; in the query string there can be none.
    pub fn objects(&mut self, name: &'static str, count: RangeInclusive<usize>) -> Result<Option<Vec<Fields<'a>>>> {
        let Some(Value::Json(array)) = self.take(name)? else { return Ok(None) };
        let elements: Option<Vec<&RawValue>> = serde_json::from_str(array.get()).ok();
        let Some(elements) = elements.filter(|elements| count.contains(&elements.len())) else {
            return Err(self.must_be(name, &format!("an array of {} to {} {name}", count.start(), count.end())));
        };
        let objects = elements.into_iter().enumerate().map(|(index, element)| {
            let mut fields = Self::empty(format!("{}[{index}].", self.path(name)));
            fields.insert_object(element.get())?;
            Ok(fields)
        });
        objects.collect::<Result<Vec<_>>>().map(Some)
    }

    /// An object, as fields of its own; in the query string there can be none.
    pub fn object(&mut self, name: &'static str) -> Result<Option<Fields<'a>>> {
        let object = match self.take(name)? {
            None => return Ok(None),
            Some(Value::Json(object)) => object,
            Some(Value::Query(_)) => return Err(self.must_be(name, "an object in a JSON body")),
        };
        let Object(members) = serde_json::from_str(object.get()).map_err(|_| self.must_be(name, "an object"))?;
        let mut fields = Self::empty(format!("{}.", self.path(name)));
        for (name, value) in members {
            fields.insert(name, Value::Json(value));
        }
        Ok(Some(fields))
    }

    /// A time as the contract writes it, or any other of RFC 3339.
    pub fn time(&mut self, name: &'static str) -> Result<Option<DateTime<Utc>>> {
        self.parse(name, |text| {
            DateTime::parse_from_rfc3339(&text)
                .ok()
                .map(|time| time.to_utc())
                .filter(|time| (1..=9999).contains(&time.year()))
                .ok_or_else(|| Invalid::new(Fault::Parameter, "must be a time, such as 2026-11-22T10:00:00.123456Z"))
        })
    }

    /// A time that has passed. Clocks may differ by a day.
    pub fn past(&mut self, name: &'static str) -> Result<Option<DateTime<Utc>>> {
        let time = self.time(name)?;
        match time.filter(|time| *time > Utc::now() + TimeDelta::days(1)) {
            None => Ok(time),
            Some(_) => Err(self.must_be(name, "a time that has passed")),
        }
    }

    /// A field that has to be there.
    pub fn required<T>(&self, name: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| Invalid::new(Fault::Missing, format!("{name} is required")).at(self.path(name)))
    }

    /// Fields that may be there, and say nothing.
    pub fn ignore(&mut self, names: &[&'static str]) {
        for name in names {
            self.known.push(name);
            self.values.remove(*name);
        }
    }

    /// What a message of `OpenAI`'s SDKs has beside the members of every message, as one object. Null and empty values are left out.
    pub fn extra(&mut self) -> Result<Option<Json>> {
        let mut members = Vec::new();
        for name in NewMessage::EXTRA {
            let value = match name {
                "refusal" | "reasoning_content" => {
                    let text = self.parse(name, Text::parse)?.filter(|text| !text.as_str().is_empty());
                    text.map(|text| serde_json::to_string(text.as_str()))
                        .transpose()
                        .map_err(|error| Error::Internal(error.into()))?
                }
                _ => {
                    let (value, is_list) = (self.json(name)?, name == "annotations");
                    if value.as_ref().is_some_and(|value| if is_list { !value.is_array() } else { !value.is_object() }) {
                        return Err(self.must_be(name, if is_list { "an array, or null" } else { "an object, or null" }));
                    }
                    let is_empty = |json: &str| json[1..json.len() - 1].trim().is_empty();
                    value.map(|value| value.as_str().to_owned()).filter(|json| !is_empty(json))
                }
            };
            members.extend(value.map(|value| format!("\"{name}\":{value}")));
        }
        let Some(last) = members.last() else { return Ok(None) };
        let json = format!("{{{}}}", members.join(","));
        if json.len() > NewMessage::MAX_EXTRA_BYTES {
            let name = last.split('"').nth(1).unwrap_or_default();
            let detail = format!("{} may have 256 KiB of JSON together", NewMessage::EXTRA.join(", "));
            return Err(Invalid::new(Fault::TooLarge, detail).at(self.path(name)));
        }
        Json::parse(json).map(Some).map_err(Error::from)
    }

    /// The first of these fields that is there.
    #[must_use]
    pub fn any_of(&self, names: &[&'static str]) -> Option<&'static str> {
        names.iter().find(|name| self.values.contains_key(**name)).copied()
    }

    /// A message to store, of the members that are there.
    pub fn new_message(&mut self) -> Result<NewMessage> {
        let role = self.parse("role", |text| Ok(Role::parse(&text)?))?.ok_or_else(|| {
            Invalid::new(Fault::Missing, "role is required: user, assistant, tool, system or developer").at(self.path("role"))
        })?;
        let (mut content, tool_calls) = (self.content()?, self.tool_calls()?);
        let status = self.status()?.unwrap_or(Status::Complete);
        if status == Status::Cancelled {
            let detail = "a new message is complete or in_progress; update-message cancels a reply that is being written";
            return Err(Invalid::new(Fault::Parameter, detail).at(self.path("status")));
        }
        let extra = self.extra()?;
        // A refusal, or a reply in sound, has no content of its own.
        if (status == Status::InProgress || extra.is_some()) && content.is_none() && tool_calls.is_none() {
            content = Some(Content::text("")?);
        }
        let mut message = NewMessage::new(role, content, tool_calls).map_err(|invalid| invalid.at(self.path("content")))?;
        if let Some(id) = self.uuid("id")? {
            (message.id, message.id_is_given) = (id, true);
        }
        (message.status, message.extra) = (status, extra);
        message.tool_call_id = self.parse("tool_call_id", Text::tool_call_id)?;
        message.name = self.parse("name", Text::name)?;
        if let Some(metadata) = self.metadata(Metadata::of_message)? {
            message.metadata = metadata;
        }
        message.token_count = self.token_count()?;
        Ok(message)
    }

    /// The messages to store: the fields of one, or `messages`, an array of 1 to 500. Also says whether they came as an array.
    pub fn new_messages(&mut self) -> Result<(Vec<NewMessage>, bool)> {
        const MAX_MESSAGES: usize = 500;
        /// The fields of one message, which a batch has in its array.
        const MESSAGE: [&str; 9] =
            ["role", "content", "tool_calls", "id", "tool_call_id", "name", "metadata", "token_count", "status"];
        let Some(batch) = self.objects("messages", 1..=MAX_MESSAGES)? else { return Ok((vec![self.new_message()?], false)) };
        if let Some(name) = self.any_of(&MESSAGE).or_else(|| self.any_of(&NewMessage::EXTRA)) {
            return Err(Invalid::new(Fault::Ambiguous, "with messages, a message's fields are given in the array").at(name));
        }
        let mut seen = BTreeMap::new();
        let read = |(index, mut fields): (usize, Self)| {
            let message = fields.new_message()?.in_batch(index);
            fields.finish()?;
            match seen.insert(message.id, index) {
                None => Ok(message),
                Some(first) => {
                    let detail = format!("the id is that of messages[{first}], too; give every message its own");
                    Err(Invalid::new(Fault::Parameter, detail).at(format!("messages[{index}].id")))
                }
            }
        };
        batch.into_iter().enumerate().map(read).collect::<Result<_>>().map(|messages| (messages, true))
    }

    /// Where new messages are stored: `from` or `parent_id`, or at the end.
    pub fn place(&mut self) -> Result<Place> {
        let from = self.integer("from", 1..=i64::MAX)?;
        let parent = self.change("parent_id", |fields| fields.uuid("parent_id"))?;
        match (from, parent) {
            (None, Change::Keep) => Ok(Place::End),
            (Some(position), Change::Keep) => Ok(Place::InsteadOf(position)),
            (None, Change::Set(parent)) => Ok(Place::Behind(Some(parent))),
            (None, Change::Clear) => Ok(Place::Behind(None)),
            (Some(_), Change::Set(_) | Change::Clear) => {
                let detail = "parent_id goes without from: what follows that message is kept, or what is behind from is deleted";
                Err(Invalid::new(Fault::Parameter, detail).at("parent_id"))
            }
        }
    }

    /// How much a model is sent, and in which form.
    pub fn context(&mut self) -> Result<(ContextOptions, ContextFormat)> {
        let limits = ContextLimits {
            messages: self.integer("max_messages", 1..=i64::MAX)?,
            characters: self.integer("max_chars", 1..=i64::MAX)?,
            tokens: self.integer("max_tokens", 1..=i64::MAX)?,
        };
        let step = self.integer("step", 1..=i64::MAX)?;
        let unanswered = self.parse("unanswered", |text| Ok(Unanswered::parse(&text)?))?.unwrap_or_default();
        let call_ids = self.parse("call_ids", |text| Ok(CallIds::parse(&text)?))?.unwrap_or_default();
        let tool_results = self.integer("tool_results", 0..=i64::MAX)?;
        let format = self.parse("format", |text| Ok(ContextFormat::parse(&text)?))?.unwrap_or_default();
        Ok((ContextOptions { limits, step, unanswered, call_ids, tool_results, taken: 0 }, format))
    }

    /// Refuses fields that nobody asked for. In the query string, others may have put parameters that begin with `utm_` or `x-`.
    ///
    /// # Errors
    /// `unknown_parameter`: it names the first such field, the nearest one that is known, and all that are known.
    pub fn finish(self) -> Result<()> {
        let is_of_others = |name: &str| ["utm_", "x-"].iter().any(|prefix| name.starts_with(prefix));
        let unknown = |(name, value): &(&String, &Value<'_>)| matches!(value, Value::Json(_)) || !is_of_others(name);
        let Some((name, _)) = self.values.iter().find(unknown) else { return Ok(()) };
        let nearest = self.known.iter().min_by_key(|known| strsim::damerau_levenshtein(name, known));
        let detail = match nearest {
            None => "this request has no fields".to_owned(),
            Some(nearest) => {
                format!("there is no such field; the nearest is {nearest}, and the fields are {}", self.known.join(", "))
            }
        };
        Err(Invalid::new(Fault::Unknown, detail).at(self.path(name)))
    }
}

/// A hyphenated UUID and no other spelling, so that an id has one form.
pub(super) fn parse_uuid(text: &str) -> Result<Uuid, Invalid> {
    const HYPHENATED: usize = 36;
    Uuid::parse_str(text)
        .ok()
        .filter(|_| text.len() == HYPHENATED)
        .ok_or_else(|| Invalid::new(Fault::Uuid, "must be a UUID in hyphenated form, such as 01931e0a-7b9c-7cc0-8000-0242ac120002"))
}

/// Percent-decodes once. What is not UTF-8 is refused: replaced, it would be stored as something that nobody sent.
pub(super) fn decode(text: &str) -> Result<String, Invalid> {
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Invalid::new(Fault::Character, "must be percent-encoded UTF-8"))
}

fn decode_query(text: &str) -> Result<String, Invalid> {
    decode(&text.replace('+', " "))
}

/// The text of a number or a boolean, as either source writes it.
fn scalar<'v>(value: Option<&'v Value<'_>>) -> Option<&'v str> {
    value.map(|value| match value {
        Value::Query(text) => text.as_str(),
        Value::Json(raw) => raw.get(),
    })
}

/// The whole number that a JSON number such as `7.0` or `1e3` is. JSON does not tell these from `7` and `1000`.
fn integral(json: &str) -> Option<i64> {
    // Up to here, every whole number is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = json.parse::<f64>().ok().filter(|number| number.fract() == 0.0 && number.abs() <= EXACT)?;
    format!("{number:.0}").parse().ok()
}

/// The string that a JSON value is, if it is one.
fn string(raw: &RawValue) -> Option<Result<String, Invalid>> {
    // Valid JSON that starts as a string is a string; what serde_json still finds wrong with it is half a surrogate pair.
    raw.get().starts_with('"').then(|| serde_json::from_str(raw.get()).map_err(|_| lone_surrogate()))
}

/// A JSON object's members in order, duplicates included.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}
