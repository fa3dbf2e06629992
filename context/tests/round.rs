//! A conversation that is stored in any API's spelling, and read in any format, says the same. What a format has no place for is in a table
//! in `docs/context.md`, and nothing else is lost.

#![expect(clippy::unwrap_used, unreachable_pub, dead_code, reason = "a test, which shares the checkers with others")]

mod support;

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::rules::FORMATS;
use support::{accepted, answer};

const PNG: &str = "iVBORw0KGgo=";
const PDF: &str = "JVBERi0=";
const TEXT: &str = "aGVsbG8=";
const ZIP: &str = "UEsDBA==";

/// What becomes of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    /// The text of a file stands in its place.
    AsText,
    /// A text such as `[image/png, 150 kB]` stands in its place.
    Described,
    /// It is somewhere else.
    Moved,
    Lost,
}

/// What may be lost, and what becomes of it in each of `FORMATS`. `docs/context.md` has the same table.
const TABLE: [(Thing, [Fate; 5]); 13] = {
    use Fate::{AsText, Described, Kept, Lost, Moved};
    [
        (Thing::Text, [Kept; 5]),
        (Thing::Call, [Kept; 5]),
        (Thing::Picture, [Kept; 5]),
        (Thing::Pdf, [Kept; 5]),
        (Thing::TextFile, [AsText, Kept, AsText, AsText, Kept]),
        (Thing::OtherFile, [Described; 5]),
        (Thing::PictureInResult, [Described, Kept, Kept, Kept, Kept]),
        (Thing::PdfInResult, [Described, Kept, Kept, Kept, Kept]),
        (Thing::OrderInResult, [Kept, Kept, Kept, Moved, Kept]),
        (Thing::Failure, [Lost, Kept, Lost, Kept, Kept]),
        (Thing::FileName, [Kept, Kept, Kept, Lost, Kept]),
        (Thing::Speaker, [Kept, Lost, Lost, Lost, Lost]),
        (Thing::LaterInstructions, [Kept, Moved, Kept, Moved, Moved]),
    ]
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thing {
    Text,
    Call,
    Picture,
    Pdf,
    TextFile,
    OtherFile,
    PictureInResult,
    PdfInResult,
    OrderInResult,
    Failure,
    FileName,
    Speaker,
    LaterInstructions,
}

impl Thing {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "texts",
            Self::Call => "calls, arguments, texts and JSON of results",
            Self::Picture => "a picture of the user's",
            Self::Pdf => "a PDF of the user's",
            Self::TextFile => "a text file of the user's",
            Self::OtherFile => "another file",
            Self::PictureInResult => "a picture in a result",
            Self::PdfInResult => "a PDF in a result",
            Self::OrderInResult => "the order of texts and pictures in a result",
            Self::Failure => "that a tool has failed",
            Self::FileName => "a PDF's name",
            Self::Speaker => "a speaker's name",
            Self::LaterInstructions => "the place of later instructions",
        }
    }

    fn fate(self, format: &str) -> Fate {
        let row = TABLE.iter().find(|(thing, _)| *thing == self).unwrap();
        row.1[FORMATS.iter().position(|known| *known == format).unwrap()]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    OpenAi,
    Anthropic,
    Responses,
    AiSdk,
    Gemini,
    Converse,
    Mcp,
}

const SPELLINGS: [Spelling; 7] = [
    Spelling::OpenAi,
    Spelling::Anthropic,
    Spelling::Responses,
    Spelling::AiSdk,
    Spelling::Gemini,
    Spelling::Converse,
    Spelling::Mcp,
];

#[derive(Debug, Clone, PartialEq)]
enum Said {
    Text(String),
    Picture,
    Pdf,
    TextFile,
    OtherFile,
}

impl Said {
    /// The media type and the base64.
    fn media(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Text(_) => None,
            Self::Picture => Some(("image/png", PNG)),
            Self::Pdf => Some(("application/pdf", PDF)),
            Self::TextFile => Some(("text/plain", TEXT)),
            Self::OtherFile => Some(("application/zip", ZIP)),
        }
    }

    fn thing(&self, in_result: bool) -> Thing {
        match (self, in_result) {
            (Self::Text(_), _) => Thing::Text,
            (Self::Picture, true) => Thing::PictureInResult,
            (Self::Picture, false) => Thing::Picture,
            (Self::Pdf, true) => Thing::PdfInResult,
            (Self::Pdf, false) => Thing::Pdf,
            (Self::TextFile, _) => Thing::TextFile,
            (Self::OtherFile, _) => Thing::OtherFile,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Output {
    Text(String),
    Json(Value),
    Parts(Vec<Said>),
}

#[derive(Debug, Clone)]
struct Called {
    name: String,
    arguments: Value,
    output: Output,
    failed: bool,
}

#[derive(Debug, Clone)]
enum Turn {
    User(Vec<Said>),
    /// A thought, a text, and calls, whose results are stored in this order or in the other one.
    Step {
        thought: Option<String>,
        text: Option<String>,
        calls: Vec<Called>,
        reversed: bool,
    },
}

fn words() -> impl Strategy<Value = String> {
    "[a-zé☂]{1,8}( [a-z]{1,5})?"
}

fn said(in_result: bool) -> impl Strategy<Value = Said> {
    let file = u32::from(!in_result);
    prop_oneof![
        4 => words().prop_map(Said::Text),
        2 => Just(Said::Picture),
        2 => Just(Said::Pdf),
        file => Just(Said::TextFile),
        file => Just(Said::OtherFile),
    ]
}

fn called() -> impl Strategy<Value = Called> {
    let value =
        prop_oneof![words().prop_map(Value::from), any::<i32>().prop_map(Value::from), Just(json!([1.5, null, {"a": true}]))];
    let object = prop::collection::btree_map("[a-z]{1,3}", value, 0..3).prop_map(|members| json!(members));
    let output = prop_oneof![
        3 => words().prop_map(Output::Text),
        2 => object.clone().prop_filter("says something", |object| object != &json!({})).prop_map(|object| Output::Json(json!({"is": object}))),
        2 => prop::collection::vec(said(true), 2..4).prop_map(Output::Parts),
    ];
    (prop::sample::select(vec!["weather", "get_time", "f"]), object, output, any::<bool>())
        .prop_map(|(name, arguments, output, failed)| Called { name: name.to_owned(), arguments, output, failed })
}

fn conversation() -> impl Strategy<Value = Vec<Turn>> {
    let user = || prop::collection::vec(said(false), 1..4).prop_map(Turn::User);
    let step = (prop::option::of(words()), prop::option::of(words()), prop::collection::vec(called(), 0..4), any::<bool>());
    let step = step.prop_map(|(thought, text, calls, reversed)| {
        let text = text.or_else(|| calls.is_empty().then(|| "done".to_owned()));
        Turn::Step { thought, text, calls, reversed }
    });
    let turns = prop::collection::vec(prop_oneof![2 => user(), 3 => step], 0..7);
    (user(), turns).prop_map(|(first, rest)| std::iter::once(first).chain(rest).collect())
}

/// What this spelling can say of it: an API's own spelling has no files that the API does not take, and not all have thoughts and failures.
fn within(conversation: &[Turn], spelling: Spelling) -> Vec<Turn> {
    let has = |said: &Said| match said {
        Said::TextFile => matches!(spelling, Spelling::Anthropic | Spelling::Converse | Spelling::AiSdk | Spelling::Mcp),
        Said::OtherFile => matches!(spelling, Spelling::AiSdk | Spelling::Mcp),
        _ => true,
    };
    let held =
        |said: &[Said]| -> Vec<Said> { said.iter().map(|said| if has(said) { said.clone() } else { Said::Picture }).collect() };
    let turn = |turn: &Turn| match turn {
        Turn::User(said) => Turn::User(held(said)),
        Turn::Step { thought, text, calls, reversed } => {
            let call = |call: &Called| {
                let mut call = call.clone();
                if let Output::Parts(parts) = &mut call.output
                    && spelling == Spelling::Gemini
                {
                    parts.sort_by_key(|part| part.media().is_some());
                }
                call.failed &= match spelling {
                    Spelling::Anthropic | Spelling::Converse => true,
                    Spelling::Gemini => !matches!(call.output, Output::Json(_)),
                    Spelling::AiSdk => !matches!(call.output, Output::Parts(_)),
                    _ => false,
                };
                if let (Output::Parts(parts), true) = (&call.output, spelling == Spelling::Gemini) {
                    call.failed &= matches!(parts[0], Said::Text(_));
                }
                call
            };
            let thought = thought.clone().filter(|_| spelling != Spelling::Mcp);
            Turn::Step { thought, text: text.clone(), calls: calls.iter().map(call).collect(), reversed: *reversed }
        }
    };
    conversation.iter().map(turn).collect()
}

/// A part in this spelling.
fn part(said: &Said, spelling: Spelling, in_result: bool) -> Value {
    let Said::Text(text) = said else {
        let (mime_type, data) = said.media().unwrap();
        let (is_image, url) = (mime_type.starts_with("image/"), format!("data:{mime_type};base64,{data}"));
        return match spelling {
            Spelling::OpenAi if is_image => json!({"type": "image_url", "image_url": {"url": url}}),
            Spelling::OpenAi => json!({"type": "file", "file": {"filename": "a.pdf", "file_data": url}}),
            Spelling::Anthropic if *said == Said::TextFile => {
                json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hello"}})
            }
            Spelling::Anthropic => {
                let source = json!({"type": "base64", "media_type": mime_type, "data": data});
                json!({"type": if is_image { "image" } else { "document" }, "source": source})
            }
            Spelling::Responses if is_image => json!({"type": "input_image", "image_url": url, "detail": "auto"}),
            Spelling::Responses => json!({"type": "input_file", "filename": "a.pdf", "file_data": url}),
            Spelling::AiSdk if in_result => json!({"type": "media", "data": data, "mediaType": mime_type}),
            Spelling::AiSdk if is_image => json!({"type": "image", "image": data, "mediaType": mime_type}),
            Spelling::AiSdk => json!({"type": "file", "data": data, "mediaType": mime_type}),
            Spelling::Gemini => json!({"inlineData": {"mimeType": mime_type, "data": data}}),
            Spelling::Converse if is_image => json!({"image": {"format": "png", "source": {"bytes": data}}}),
            Spelling::Converse => {
                let format = if *said == Said::Pdf { "pdf" } else { "txt" };
                json!({"document": {"format": format, "name": "a", "source": {"bytes": data}}})
            }
            Spelling::Mcp if is_image => json!({"type": "image", "data": data, "mimeType": mime_type}),
            Spelling::Mcp => json!({"type": "resource", "resource": {"uri": "file:///a", "mimeType": mime_type, "blob": data}}),
        };
    };
    match spelling {
        Spelling::Responses => json!({"type": "input_text", "text": text}),
        Spelling::Gemini | Spelling::Converse => json!({"text": text}),
        _ => json!({"type": "text", "text": text}),
    }
}

/// A result in this spelling: a message, or a part of one.
fn result(called: &Called, id: &str, spelling: Spelling) -> Value {
    let in_text = match &called.output {
        Output::Text(text) => json!(text),
        Output::Json(object) => json!(object.to_string()),
        Output::Parts(parts) => parts.iter().map(|said| part(said, spelling, true)).collect(),
    };
    match spelling {
        Spelling::OpenAi | Spelling::Mcp => json!({"role": "tool", "tool_call_id": id, "content": in_text}),
        Spelling::Anthropic => json!({"type": "tool_result", "tool_use_id": id, "content": in_text, "is_error": called.failed}),
        Spelling::Responses => {
            let item = json!({"type": "function_call_output", "call_id": id, "output": in_text});
            json!({"role": "tool", "tool_call_id": id, "content": [item]})
        }
        Spelling::AiSdk => {
            let kind = |kind: &str| if called.failed { format!("error-{kind}") } else { kind.to_owned() };
            let output = match &called.output {
                Output::Text(text) => json!({"type": kind("text"), "value": text}),
                Output::Json(object) => json!({"type": kind("json"), "value": object}),
                Output::Parts(_) => json!({"type": "content", "value": in_text}),
            };
            json!({"type": "tool-result", "toolCallId": id, "toolName": called.name, "output": output})
        }
        Spelling::Gemini => {
            let member = if called.failed { "error" } else { "output" };
            let (texts, media) = match &called.output {
                Output::Text(text) => (json!({member: text}), Vec::new()),
                Output::Json(object) => (object.clone(), Vec::new()),
                Output::Parts(parts) => {
                    let texts: Vec<&str> = parts
                        .iter()
                        .filter_map(|said| if let Said::Text(text) = said { Some(text.as_str()) } else { None })
                        .collect();
                    let media = parts.iter().filter(|said| said.media().is_some()).map(|said| part(said, spelling, true)).collect();
                    (if texts.is_empty() { json!({}) } else { json!({member: texts.join("\n\n")}) }, media)
                }
            };
            let mut response = json!({"id": id, "name": called.name, "response": texts});
            if !media.is_empty() {
                response["parts"] = json!(media);
            }
            json!({"functionResponse": response})
        }
        Spelling::Converse => {
            let content = match &called.output {
                Output::Text(text) => json!([{"text": text}]),
                Output::Json(object) => json!([{"json": object}]),
                Output::Parts(_) => in_text,
            };
            let status = if called.failed { "error" } else { "success" };
            json!({"toolResult": {"toolUseId": id, "content": content, "status": status}})
        }
    }
}

/// The conversation as messages in this spelling.
fn spelled(conversation: &[Turn], spelling: Spelling) -> Vec<Value> {
    let mut messages = Vec::new();
    for (at, turn) in conversation.iter().enumerate() {
        let (thought, text, calls, reversed) = match turn {
            Turn::User(said) => {
                let parts: Vec<Value> = said.iter().map(|said| part(said, spelling, false)).collect();
                messages.push(json!({"role": "user", "content": parts}));
                continue;
            }
            Turn::Step { thought, text, calls, reversed } => (thought, text, calls, *reversed),
        };
        // An id may come again in a later step.
        let id = |call: usize| format!("call_{}_{call}", at % 3);
        let mut parts = Vec::new();
        let mut tool_calls = Vec::new();
        parts.extend(thought.as_ref().and_then(|thought| match spelling {
            Spelling::Anthropic => Some(json!({"type": "thinking", "thinking": thought, "signature": "EuYB"})),
            Spelling::Responses => {
                let summary = json!([{"type": "summary_text", "text": thought}]);
                Some(json!({"type": "reasoning", "id": format!("rs_{at}"), "summary": summary}))
            }
            Spelling::AiSdk => {
                Some(json!({"type": "reasoning", "text": thought, "providerOptions": {"anthropic": {"signature": "EuYB"}}}))
            }
            Spelling::Gemini => Some(json!({"text": thought, "thought": true})),
            Spelling::Converse => Some(json!({"reasoningContent": {"reasoningText": {"text": thought, "signature": "EuYB"}}})),
            Spelling::OpenAi | Spelling::Mcp => None,
        }));
        parts.extend(text.as_ref().map(|text| match spelling {
            Spelling::Responses => {
                let content = json!([{"type": "output_text", "text": text, "annotations": []}]);
                json!({"type": "message", "id": format!("msg_{at}"), "role": "assistant", "status": "completed", "content": content})
            }
            _ => part(&Said::Text(text.clone()), spelling, false),
        }));
        for (number, call) in calls.iter().enumerate() {
            let (id, name, given, in_text) = (id(number), &call.name, &call.arguments, call.arguments.to_string());
            match spelling {
                Spelling::OpenAi | Spelling::Mcp => {
                    tool_calls.push(json!({"id": id, "type": "function", "function": {"name": name, "arguments": in_text}}));
                }
                Spelling::Anthropic => parts.push(json!({"type": "tool_use", "id": id, "name": name, "input": given})),
                Spelling::Responses => parts.push(
                    json!({"type": "function_call", "id": format!("fc_{at}_{number}"), "call_id": id, "name": name, "arguments": in_text}),
                ),
                Spelling::AiSdk => parts.push(json!({"type": "tool-call", "toolCallId": id, "toolName": name, "input": given})),
                Spelling::Gemini => parts.push(json!({"functionCall": {"id": id, "name": name, "args": given}})),
                Spelling::Converse => parts.push(json!({"toolUse": {"toolUseId": id, "name": name, "input": given}})),
            }
        }
        match spelling {
            // An item of this API is a message.
            Spelling::Responses => messages.extend(parts.into_iter().map(|item| json!({"role": "assistant", "content": [item]}))),
            Spelling::OpenAi | Spelling::Mcp => {
                let mut message = json!({"role": "assistant", "content": text});
                if !tool_calls.is_empty() {
                    message["tool_calls"] = json!(tool_calls);
                }
                if let Some(thought) = thought.as_ref().filter(|_| spelling == Spelling::OpenAi) {
                    message["reasoning_content"] = json!(thought);
                }
                messages.push(message);
            }
            _ => messages.push(json!({"role": "assistant", "content": parts})),
        }
        let mut results: Vec<Value> = calls.iter().enumerate().map(|(at, call)| result(call, &id(at), spelling)).collect();
        if reversed {
            results.reverse();
        }
        match spelling {
            _ if results.is_empty() => {}
            Spelling::OpenAi | Spelling::Mcp | Spelling::Responses => messages.extend(results),
            Spelling::AiSdk => messages.push(json!({"role": "tool", "content": results})),
            _ => messages.push(json!({"role": "user", "content": results})),
        }
    }
    messages
}

/// Everything that is said, a line each.
#[derive(Default)]
struct Lines {
    all: Vec<String>,
    /// The numbers of calls, by the ids that they have at last.
    calls: HashMap<String, usize>,
    /// The lines of results, by the numbers of their calls. They come behind the calls in this order, because formats have orders of their own.
    results: Vec<(usize, Vec<String>)>,
    called: usize,
}

impl Lines {
    fn text(&mut self, who: &str, text: &str) {
        for piece in text.split('\n').filter(|piece| !piece.is_empty()) {
            // A description may have a name in front.
            let piece = match piece.rsplit(", ").collect::<Vec<_>>()[..] {
                [size, mime_type, ..] if size.ends_with("bytes]") => format!("[{}, {size}", mime_type.trim_start_matches('[')),
                _ => piece.to_owned(),
            };
            self.all.push(format!("{who}: {piece}"));
        }
    }

    fn media(&mut self, who: &str, mime_type: &str, data: &str) {
        self.all.push(format!("{who}: {mime_type} {data}"));
    }

    fn call(&mut self, id: &str, name: &str, arguments: &Value) {
        self.flush();
        self.calls.insert(id.to_owned(), self.called);
        self.called += 1;
        self.all.push(format!("call: {name} {arguments}"));
    }

    /// Reads a result with `of`.
    fn result(&mut self, id: &str, of: impl FnOnce(&mut Self)) {
        let before = self.all.len();
        of(self);
        let lines = self.all.split_off(before);
        let number = self.calls[id];
        self.results.push((number, lines));
    }

    /// A result that is one text may be JSON.
    fn output(&mut self, text: &str) {
        match serde_json::from_str::<Value>(text) {
            Ok(object @ Value::Object(_)) => self.all.push(format!("result: {object}")),
            _ => self.text("result", text),
        }
    }

    fn flush(&mut self) {
        let mut results = std::mem::take(&mut self.results);
        results.sort_by_key(|(number, _)| *number);
        self.all
            .extend(results.into_iter().flat_map(|(number, lines)| lines.into_iter().map(move |line| format!("{number} {line}"))));
    }
}

/// What is to be heard in a format of what is stored in a spelling.
fn expected(conversation: &[Turn], spelling: Spelling, format: &str) -> Vec<String> {
    let mut lines = Lines::default();
    let say = |lines: &mut Lines, who: &str, said: &Said, in_result: bool| {
        let fate = said.thing(in_result).fate(format);
        match (said, fate) {
            (Said::Text(text), _) => lines.text(who, text),
            (_, Fate::Kept) => {
                let (mime_type, data) = said.media().unwrap();
                lines.media(who, mime_type, data);
            }
            (_, Fate::AsText) => lines.text(who, "hello"),
            _ => lines.text(who, &described(said)),
        }
    };
    // The messages of one turn, from one of the user's to the next.
    for (at, turn) in conversation.iter().enumerate() {
        lines.flush();
        match turn {
            Turn::User(said) => {
                for said in said {
                    say(&mut lines, "user", said, false);
                }
                let is_document =
                    |said: &Said| said.media().is_some() && said.thing(false).fate(format) == Fate::Kept && *said != Said::Picture;
                let says = |said: &Said| matches!(said, Said::Text(_)) || *said == Said::OtherFile;
                if format == "converse" && said.iter().any(is_document) && !said.iter().any(says) {
                    for said in said.iter().filter(|said| **said != Said::Picture) {
                        lines.text("user", &described(said));
                    }
                }
            }
            Turn::Step { thought, text, calls, .. } => {
                let from = conversation[..at].iter().rposition(|turn| matches!(turn, Turn::User(_))).unwrap();
                let to = conversation[at..]
                    .iter()
                    .position(|turn| matches!(turn, Turn::User(_)))
                    .map_or(conversation.len(), |to| at + to);
                let turn_calls =
                    conversation[from..to].iter().any(|turn| matches!(turn, Turn::Step { calls, .. } if !calls.is_empty()));
                let is_thought_kept = match spelling {
                    Spelling::OpenAi => format == "openai" && turn_calls,
                    Spelling::Responses => format == "responses",
                    Spelling::Gemini => format == "gemini",
                    Spelling::Anthropic | Spelling::Converse | Spelling::AiSdk => ["anthropic", "converse"].contains(&format),
                    Spelling::Mcp => false,
                };
                if let Some(thought) = thought.as_ref().filter(|_| is_thought_kept) {
                    lines.text("thought", thought);
                }
                if let Some(text) = text {
                    lines.text("model", text);
                }
                let first = lines.called;
                for (number, call) in calls.iter().enumerate() {
                    lines.call(&(first + number).to_string(), &call.name, &call.arguments);
                }
                for (number, call) in calls.iter().enumerate() {
                    lines.result(&(first + number).to_string(), |lines| {
                        if call.failed && Thing::Failure.fate(format) == Fate::Kept {
                            lines.all.push("failed".to_owned());
                        }
                        match &call.output {
                            Output::Text(text) => lines.text("result", text),
                            Output::Json(object) => lines.all.push(format!("result: {object}")),
                            Output::Parts(parts) => {
                                let mut parts = parts.clone();
                                if Thing::OrderInResult.fate(format) == Fate::Moved {
                                    parts.sort_by_key(|said| said.media().is_some());
                                }
                                for said in &parts {
                                    say(lines, "result", said, true);
                                }
                            }
                        }
                    });
                }
            }
        }
    }
    lines.flush();
    lines.all
}

fn described(said: &Said) -> String {
    let (mime_type, data) = said.media().unwrap();
    format!("[{mime_type}, {} bytes]", BASE64_STANDARD.decode(data).unwrap().len())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn data_url(lines: &mut Lines, who: &str, url: &Value) {
    let (mime_type, data) = text(url).strip_prefix("data:").unwrap().split_once(";base64,").unwrap();
    lines.media(who, mime_type, data);
}

/// A part of what is written for Chat Completions, Anthropic or the Responses API.
fn typed(lines: &mut Lines, who: &str, part: &Value) {
    match text(&part["type"]) {
        "text" | "input_text" | "output_text" => lines.text(who, text(&part["text"])),
        "image_url" => data_url(lines, who, &part["image_url"]["url"]),
        "file" => data_url(lines, who, &part["file"]["file_data"]),
        "input_image" => data_url(lines, who, &part["image_url"]),
        "input_file" => data_url(lines, who, &part["file_data"]),
        "image" | "document" => {
            let source = &part["source"];
            let data = text(&source["data"]).to_owned();
            let data = if source["type"] == "text" { BASE64_STANDARD.encode(data) } else { data };
            lines.media(who, text(&source["media_type"]), &data);
        }
        "thinking" => lines.text("thought", text(&part["thinking"])),
        "tool_use" => lines.call(text(&part["id"]), text(&part["name"]), &part["input"]),
        "tool_result" => lines.result(text(&part["tool_use_id"]), |lines| {
            if part["is_error"] == true {
                lines.all.push("failed".to_owned());
            }
            outputs(lines, &part["content"]);
        }),
        kind => panic!("{kind}? {part}"),
    }
}

fn outputs(lines: &mut Lines, output: &Value) {
    match output {
        Value::Array(parts) => parts.iter().for_each(|part| typed(lines, "result", part)),
        text => lines.output(text.as_str().unwrap()),
    }
}

fn content(lines: &mut Lines, who: &str, content: &Value) {
    match content {
        Value::Array(parts) => parts.iter().for_each(|part| typed(lines, who, part)),
        said => lines.text(who, text(said)),
    }
}

fn gemini(lines: &mut Lines, who: &str, part: &Value) {
    if let Some(inline) = part.get("inlineData") {
        lines.media(who, text(&inline["mimeType"]), text(&inline["data"]));
    } else if let Some(call) = part.get("functionCall") {
        lines.call(text(&call["id"]), text(&call["name"]), &call["args"]);
    } else if let Some(answer) = part.get("functionResponse") {
        lines.result(text(&answer["id"]), |lines| {
            match answer["response"].as_object().unwrap() {
                response if response.contains_key("error") => {
                    lines.all.push("failed".to_owned());
                    match &response["error"] {
                        Value::String(text) => lines.output(text),
                        object => lines.all.push(format!("result: {object}")),
                    }
                }
                response if response.contains_key("output") => lines.output(response["output"].as_str().unwrap()),
                response if response.is_empty() => {}
                response => lines.all.push(format!("result: {}", json!(response))),
            }
            answer["parts"].as_array().into_iter().flatten().for_each(|part| gemini(lines, "result", part));
        });
    } else {
        lines.text(if part["thought"] == true { "thought" } else { who }, text(&part["text"]));
    }
}

fn converse(lines: &mut Lines, who: &str, block: &Value) {
    if let Some(image) = block.get("image") {
        lines.media(who, &format!("image/{}", text(&image["format"])), text(&image["source"]["bytes"]));
    } else if let Some(document) = block.get("document") {
        let mime_type = if document["format"] == "pdf" { "application/pdf" } else { "text/plain" };
        lines.media(who, mime_type, text(&document["source"]["bytes"]));
    } else if let Some(call) = block.get("toolUse") {
        lines.call(text(&call["toolUseId"]), text(&call["name"]), &call["input"]);
    } else if let Some(thought) = block.get("reasoningContent") {
        lines.text("thought", text(&thought["reasoningText"]["text"]));
    } else if let Some(answer) = block.get("toolResult") {
        lines.result(text(&answer["toolUseId"]), |lines| {
            if answer["status"] == "error" {
                lines.all.push("failed".to_owned());
            }
            for part in answer["content"].as_array().unwrap() {
                match (part.get("json"), part.get("text")) {
                    (Some(object), _) => lines.all.push(format!("result: {object}")),
                    (_, Some(text)) => lines.output(text.as_str().unwrap()),
                    _ => converse(lines, "result", part),
                }
            }
        });
    } else {
        lines.text(who, text(&block["text"]));
    }
}

/// What is heard in an answer of this format.
fn heard(answer: &Value, format: &str) -> Vec<String> {
    let mut lines = Lines::default();
    let messages = ["messages", "input", "contents"].iter().find_map(|name| answer.get(name)).unwrap();
    for message in messages.as_array().unwrap() {
        let who = if message["role"] == "user" { "user" } else { "model" };
        let answers = message["role"] == "tool" || message["type"] == "function_call_output";
        if !answers && !["anthropic", "gemini", "converse"].contains(&format) {
            lines.flush();
        }
        match format {
            "openai" if answers => lines.result(text(&message["tool_call_id"]), |lines| outputs(lines, &message["content"])),
            "openai" => {
                lines.text("thought", text(&message["reasoning_content"]));
                content(&mut lines, who, &message["content"]);
                for call in message["tool_calls"].as_array().into_iter().flatten() {
                    let arguments = serde_json::from_str(text(&call["function"]["arguments"])).unwrap();
                    lines.call(text(&call["id"]), text(&call["function"]["name"]), &arguments);
                }
            }
            "anthropic" => {
                for part in message["content"].as_array().unwrap() {
                    if part["type"] != "tool_result" {
                        lines.flush();
                    }
                    typed(&mut lines, who, part);
                }
            }
            "responses" => match message["type"].as_str() {
                Some("reasoning") => lines.text("thought", text(&message["summary"][0]["text"])),
                Some("function_call") => {
                    let arguments = serde_json::from_str(text(&message["arguments"])).unwrap();
                    lines.call(text(&message["call_id"]), text(&message["name"]), &arguments);
                }
                Some("function_call_output") => {
                    lines.result(text(&message["call_id"]), |lines| outputs(lines, &message["output"]));
                }
                _ => content(&mut lines, who, &message["content"]),
            },
            "gemini" => {
                for part in message["parts"].as_array().unwrap() {
                    if part.get("functionResponse").is_none() {
                        lines.flush();
                    }
                    gemini(&mut lines, who, part);
                }
            }
            _ => {
                for block in message["content"].as_array().unwrap() {
                    if block.get("toolResult").is_none() {
                        lines.flush();
                    }
                    converse(&mut lines, who, block);
                }
            }
        }
    }
    lines.flush();
    lines.all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_spelling_says_the_same_in_every_format(conversation in conversation()) {
        for spelling in SPELLINGS {
            let conversation = within(&conversation, spelling);
            let messages = spelled(&conversation, spelling);
            for format in FORMATS {
                let answer = accepted(&messages, format);
                prop_assert_eq!(
                    heard(&answer, format),
                    expected(&conversation, spelling, format),
                    "{:?} in {}: {:#}\n{:#}", spelling, format, json!(messages), answer
                );
            }
        }
    }
}

/// A row of the table, as the documents have it.
fn row(thing: Thing, fates: [Fate; 5]) -> String {
    let mut row = format!("| {} |", thing.name());
    for fate in fates {
        let word = match fate {
            Fate::Kept => "kept",
            Fate::AsText => "as a text",
            Fate::Described => "a text that says what it was",
            Fate::Moved => "moved",
            Fate::Lost => "lost",
        };
        write!(row, " {word} |").unwrap();
    }
    row
}

#[test]
fn the_documents_say_what_is_lost() {
    let path = format!("{}/../docs/context.md", env!("CARGO_MANIFEST_DIR"));
    let documents = std::fs::read_to_string(path).unwrap();
    let table: Vec<String> = TABLE.iter().map(|(thing, fates)| row(*thing, *fates)).collect();
    let table = table.join("\n");
    println!("| | {} |\n|---|---|---|---|---|---|\n{table}", FORMATS.map(|format| format!("`{format}`")).join(" | "));
    assert!(documents.contains(&table), "docs/context.md has another table");
}

#[test]
fn names_and_later_instructions_are_where_the_table_says() {
    let messages = [
        json!({"role": "system", "content": "be brief"}),
        json!({"role": "user", "name": "Ada", "content": [
            {"type": "text", "text": "q"},
            {"type": "file", "mediaType": "application/pdf", "filename": "report.pdf", "data": PDF},
        ]}),
        json!({"role": "assistant", "content": "a"}),
        json!({"role": "system", "content": "be kind"}),
        json!({"role": "user", "content": "more"}),
    ];
    let fate = |is_kept: bool| if is_kept { Fate::Kept } else { Fate::Lost };
    for format in FORMATS {
        let answer = accepted(&messages, format);
        let whole = answer.to_string();
        assert!(whole.contains("be brief") && whole.contains("be kind"));
        assert_eq!(fate(whole.contains("\"Ada\"")), Thing::Speaker.fate(format), "{format}");
        assert_eq!(fate(whole.contains("\"report")), Thing::FileName.fate(format), "{format}");
        let spoken = ["messages", "input", "contents"].iter().find_map(|name| answer.get(name)).unwrap().to_string();
        let moved = if spoken.contains("be kind") { Fate::Kept } else { Fate::Moved };
        assert_eq!(moved, Thing::LaterInstructions.fate(format), "{format}");
    }
}

/// For checkers in other languages: `CONTEXTS=DIRECTORY` names a directory, which gets a file with a context a line for each format.
#[test]
#[ignore = "it writes files for the checkers in Python"]
fn contexts_are_written_for_other_checkers() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let directory = std::env::var("CONTEXTS").unwrap();
    let mut runner = TestRunner::deterministic();
    let mut contexts: HashMap<&str, BTreeSet<String>> = HashMap::new();
    for _ in 0..60 {
        let conversation = conversation().new_tree(&mut runner).unwrap().current();
        for spelling in SPELLINGS {
            let messages = spelled(&within(&conversation, spelling), spelling);
            for format in FORMATS {
                contexts.entry(format).or_default().insert(answer(&messages, format, "").to_string());
            }
        }
    }
    for (format, lines) in contexts {
        let lines: Vec<String> = lines.into_iter().collect();
        std::fs::write(format!("{directory}/{format}.jsonl"), lines.join("\n")).unwrap();
    }
}
