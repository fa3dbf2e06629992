//! Messages of the Converse API of Amazon Bedrock.
//!
//! Roles alternate, so neighbours of one role are one message. Calls are the last blocks of the assistant's message. Their results are the
//! first blocks of the user's message behind it. The API has no place for instructions between the messages, so all of them are in `system`.

use std::borrow::Cow;

use base64::prelude::{BASE64_STANDARD, Engine};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::alternating::{Alternating, Block};
use super::marks::is_mark;
use super::openai::NO_OUTPUT;
use super::spelling::{self, text_or_json};
use crate::ids::{IdRule, Unique};
use crate::json::{Json, Object, array, quoted, raw, with_member};
use crate::media::{Data, Media};
use crate::message::Role;
use crate::part::{Answer, Call, Kind, Output, OutputPlace, Part, Reasoning, Spelling, arguments_object, id, in_alphabet, within};
use crate::turn::{NOTHING, Step, Turn};

const DOCUMENTS: [(&str, &str); 9] = [
    ("application/pdf", "pdf"),
    ("text/csv", "csv"),
    ("application/msword", "doc"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("text/html", "html"),
    ("text/plain", "txt"),
    ("text/markdown", "md"),
];

/// What a part may be that is no text.
pub(crate) const MEMBERS: [&str; 13] = [
    "toolUse",
    "toolResult",
    "reasoningContent",
    "image",
    "document",
    "video",
    "audio",
    "citationsContent",
    "guardContent",
    "cachePoint",
    "searchResult",
    "toolAddition",
    "toolRemoval",
];

pub(crate) fn read<'a>(kind: &str, stored: &'a RawValue, object: &Object<'a>) -> Option<(Spelling, Kind<'a>)> {
    const SPELLING: Spelling = Spelling::Converse;
    if !kind.is_empty() {
        return None;
    }
    let member = |name: &str| object.get(name).map(Object::of);
    // A part has one member. A text without a type is Gemini's, too, and is read there.
    let kind = if let Some(call) = member("toolUse") {
        // What Amazon runs itself has its result beside it, and a type.
        if call.has("type") {
            return Some((SPELLING, Kind::Other));
        }
        let (id, name) = (id(&call, "toolUseId"), call.text("name").unwrap_or_default());
        Kind::Call(Call { id, name, arguments: call.get("input"), signature: None, stored, spelling: SPELLING })
    } else if let Some(result) = member("toolResult") {
        if result.has("type") {
            return Some((SPELLING, Kind::Other));
        }
        let is_error = result.text("status").is_some_and(|status| status == "error");
        let (id, output) = (id(&result, "toolUseId"), output(&result));
        Kind::Answer(Answer { id, output, is_error, stored: Some(stored), spelling: SPELLING })
    } else if let Some(reasoning) = member("reasoningContent") {
        let said = reasoning.object("reasoningText");
        let redacted = reasoning.text("redactedContent");
        let signature = said.text("signature").filter(|text| !text.is_empty());
        Kind::Reasoning(Reasoning { text: said.text("text").unwrap_or_default(), signature, redacted })
    } else if let Some(name) = ["image", "document", "video", "audio"].into_iter().find(|name| object.has(name)) {
        media(name, &object.object(name)).map_or(Kind::Other, Kind::Media)
    } else if let Some(cited) = member("citationsContent") {
        let texts = cited.elements("content").into_iter().filter_map(|part| Object::of(part).text("text"));
        Kind::Text(Cow::Owned(texts.collect()))
    } else if let Some(guarded) = member("guardContent") {
        guarded.object("text").text("text").map_or(Kind::Other, Kind::Text)
    } else {
        object.any(&MEMBERS)?;
        Kind::Other
    };
    Some((SPELLING, kind))
}

fn media<'a>(kind: &str, media: &Object<'a>) -> Option<Media<'a>> {
    let (format, source) = (media.text("format").unwrap_or_default(), media.object("source"));
    let mime_type = match kind {
        "document" => {
            let known = DOCUMENTS.iter().find(|(_, name)| *name == format).map(|(mime_type, _)| *mime_type);
            Cow::Borrowed(known.unwrap_or("application/octet-stream"))
        }
        _ => Cow::Owned(format!("{kind}/{format}")),
    };
    // Strands stores bytes so.
    let bytes = source.text("bytes").or_else(|| source.object("bytes").text("data"));
    let data = match (bytes, source.object("s3Location").text("uri"), source.text("text")) {
        (Some(bytes), ..) => Data::Base64(bytes),
        (_, Some(uri), _) => Data::Url(uri),
        (_, _, Some(text)) => Data::Text(text),
        _ => {
            let texts = source.elements("content").into_iter().filter_map(|part| Object::of(part).text("text"));
            let texts: Vec<Cow<str>> = texts.collect();
            if texts.is_empty() {
                return None;
            }
            Data::Text(Cow::Owned(texts.join("\n")))
        }
    };
    Some(Media::new(mime_type, data).named(media.text("name")))
}

fn output<'a>(result: &Object<'a>) -> Output<'a> {
    let content = result.elements("content");
    let json = |part: &'a RawValue| Object::of(part).get("json");
    if let [only] = content[..] {
        let object = Object::of(only);
        if let Some(output) = object.get("json").map(Output::Json).or_else(|| object.get("text").map(text_or_json)) {
            return output;
        }
    }
    let read = |part: &'a RawValue| match json(part) {
        Some(json) => Part { stored: Some(part), spelling: Spelling::Converse, kind: Kind::Text(Cow::Borrowed(json.get())) },
        None => spelling::part(part, Role::Tool),
    };
    Output::Parts(content.into_iter().map(read).collect())
}

pub(crate) fn place_of_output<'a>(object: &Object<'a>) -> Option<OutputPlace<'a>> {
    let content = object.object("toolResult").get("content")?;
    Some(OutputPlace::in_json(content, r#"[{"text":""#, "\"}]"))
}

/// Which ids of calls the API takes.
pub(crate) const IDS: IdRule = IdRule::Once;

/// The members of a request that hold the conversation.
#[derive(Default, Serialize)]
pub(crate) struct Request<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Json<'a>>,
    messages: Alternating<'a>,
    #[serde(skip)]
    documents: Documents,
}

impl<'a> Request<'a> {
    pub(crate) fn of(turns: Vec<Turn<'a>>) -> Self {
        let mut request = Self::default();
        for turn in turns {
            match turn {
                Turn::Instructions(message, said) => {
                    for part in said.iter().flat_map(Part::leaves) {
                        let block = request.documents.block(part, Role::System, message.position);
                        // A mark for a cache is about what stands before it.
                        let block = block.filter(|_| !request.system.is_empty() || !matches!(part.kind, Kind::Other));
                        request.system.extend(block.map(|block| block.json));
                    }
                }
                Turn::User(message, said) => {
                    let said: Vec<&Part> = said.iter().flat_map(Part::leaves).collect();
                    let mut blocks: Vec<Block> =
                        said.iter().filter_map(|part| request.documents.block(part, Role::User, message.position)).collect();
                    // A mark for a cache says nothing.
                    if blocks.iter().all(|block| is_mark(&block.json)) {
                        blocks.insert(0, text_block(NOTHING));
                    }
                    // The API refuses a document without a text.
                    let has = |name: &str| blocks.iter().any(|block| Object::of(&raw(block.json.to_text().into_owned())).has(name));
                    if has("document") && !has("text") {
                        let documents =
                            said.iter().filter_map(|part| if let Kind::Media(media) = &part.kind { Some(media) } else { None });
                        let described: Vec<String> = documents.filter(|media| !media.is_image()).map(Media::described).collect();
                        blocks.push(text_block(&described.join("\n")));
                    }
                    request.messages.add(Role::User, blocks);
                }
                Turn::Step(step) => request.take(&step),
            }
        }
        request.messages.end(&mut request.system);
        request
    }

    /// Takes the assistant's turn, and the results as the beginning of the user's.
    fn take(&mut self, step: &Step<'a>) {
        let documents = &mut self.documents;
        let said = step.said().flat_map(Part::leaves);
        let said = said.filter_map(|part| documents.block(part, Role::Assistant, 0));
        let calls = step.calls().map(|(call, id)| tool_use(call, id).into());
        let blocks: Vec<Block> = said.chain(calls).collect();
        if !blocks.iter().all(|block| is_mark(&block.json)) {
            self.messages.add(Role::Assistant, blocks);
        }
        let mut results: Vec<_> = step.results.iter().collect();
        results.sort_by_key(|(number, ..)| *number);
        let results = results.into_iter().map(|(number, answer, message)| {
            let content = self.documents.content(answer, message.position);
            tool_result(answer, step.call(*number).1, &content).into()
        });
        let results = results.collect();
        self.messages.add(Role::User, results);
    }
}

/// The names of documents, which are unique in a request.
#[derive(Default)]
struct Documents(Unique);

impl Documents {
    /// A part of any API as a block of a turn of this role, in the message at this position. `None` for what the API does not know.
    fn block<'a>(&mut self, part: &Part<'a>, role: Role, position: i64) -> Option<Block<'a>> {
        let own = || part.stored_as(Spelling::Converse).map(Json::Stored);
        let json = match &part.kind {
            Kind::Text(text) | Kind::Refusal(text) if text.trim().is_empty() => return None,
            Kind::Text(text) | Kind::Refusal(text) => own().unwrap_or_else(|| json!({"text": text}).into()),
            Kind::Reasoning(_) if role != Role::Assistant => return None,
            // Other APIs encrypt in another form.
            Kind::Reasoning(Reasoning { redacted: Some(_), .. }) => own()?,
            // Without its signature, the API does not know a thought as the model's own.
            Kind::Reasoning(Reasoning { text, signature, .. }) => {
                let signature = signature.as_ref()?;
                let written = || json!({"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}).into();
                own().unwrap_or_else(written)
            }
            Kind::Media(media) if role == Role::User => self.media(part, media, position).unwrap_or_else(|| instead(media)),
            Kind::Media(media) => instead(media),
            _ => own().filter(|_| !role.instructs() || part.stored.is_some_and(|stored| Object::of(stored).has("cachePoint")))?,
        };
        Some(Block { json, thinks: matches!(part.kind, Kind::Reasoning(_)) })
    }

    fn media<'a>(&mut self, part: &Part<'a>, media: &Media, position: i64) -> Option<Json<'a>> {
        if let Some(stored) = part.stored_as(Spelling::Converse) {
            let outer = Object::of(stored);
            let own = ["image", "document", "video", "audio"].into_iter().find_map(|name| Some((name, outer.get(name)?)));
            let (kind, inner) = own?;
            let (format, source) = (Object::of(inner).text("format").unwrap_or_default(), Object::of(inner).object("source"));
            if !source.has("bytes") || source.text("bytes").is_some() {
                // A picture in a form that the API does not take is written as another one, or described.
                if kind != "document" {
                    return (kind != "image" || media.is_common_image() && media.mime_type.ends_with(&*format))
                        .then(|| stored.into());
                }
                let name = self.name(media.name.as_deref().unwrap_or_default(), "", position);
                let is_same = media.name.as_deref() == Some(&name);
                let renamed = || with_member(stored, kind, with_member(inner, "name", &quoted(&name)).get()).into();
                return Some(if is_same { stored.into() } else { renamed() });
            }
        }
        let source = match &media.data {
            Data::Base64(data) => json!({"bytes": data}),
            Data::Url(uri) if uri.starts_with("s3://") => json!({"s3Location": {"uri": uri}}),
            Data::Text(text) if !text.trim().is_empty() => json!({"bytes": BASE64_STANDARD.encode(&**text)}),
            _ => return None,
        };
        if media.is_common_image() {
            let format = media.mime_type.strip_prefix("image/").filter(|format| *format != "*")?;
            return Some(json!({"image": {"format": format, "source": source}}).into());
        }
        let (_, format) = DOCUMENTS.iter().find(|(mime_type, _)| *mime_type == media.mime_type)?;
        let name = self.name(media.name.as_deref().unwrap_or_default(), format, position);
        Some(json!({"document": {"format": format, "name": name, "source": source}}).into())
    }

    /// Letters, digits, single spaces, `-`, and brackets, 200 at most, without the ending that the format says.
    fn name(&mut self, stored: &str, format: &str, position: i64) -> String {
        let stem = stored.strip_suffix(format).and_then(|stem| stem.strip_suffix('.')).unwrap_or(stored);
        let known = |character: char| {
            let is_known = character.is_ascii_alphanumeric() || "()[]- ".contains(character);
            if is_known {
                character
            } else if character.is_whitespace() {
                ' '
            } else {
                '-'
            }
        };
        let mapped: String = stem.chars().map(known).collect();
        let words: Vec<&str> = mapped.split_whitespace().collect();
        let named = if words.is_empty() { "document".to_owned() } else { words.join(" ") };
        let name = within(named, stored, 160).replace('_', "-");
        self.0.take(name.clone(), (&name, position), |number| format!("{name} {position}-{number}"))
    }

    /// What a tool has said.
    fn content(&mut self, answer: &Answer, position: i64) -> String {
        let texts = |text: &str| if text.trim().is_empty() { Vec::new() } else { vec![json!({"text": text}).to_string()] };
        let mut blocks = match &answer.output {
            Output::Text(text) => texts(text),
            Output::Json(json) if json.get().starts_with('{') => vec![format!(r#"{{"json":{json}}}"#)],
            Output::Json(json) => texts(json.get()),
            Output::Parts(parts) => {
                let known = |part: &&Part| {
                    part.words().is_some() || matches!(part.kind, Kind::Media(_)) || answer.spelling == Spelling::Converse
                };
                let parts = parts.iter().flat_map(Part::leaves).filter(known);
                parts
                    .filter_map(|part| self.block(part, Role::User, position))
                    .filter(|block| !is_mark(&block.json))
                    .map(|block| block.json.to_text().into_owned())
                    .collect()
            }
        };
        // The API refuses an error that says nothing.
        if blocks.is_empty() && answer.is_error {
            blocks = texts(NO_OUTPUT);
        }
        array(&blocks)
    }
}

fn text_block<'a>(text: &str) -> Block<'a> {
    Block::from(Json::from(json!({"text": text})))
}

/// A text in the place of what the API does not take.
fn instead<'a>(media: &Media) -> Json<'a> {
    text_block(&media.text().filter(|text| !text.trim().is_empty()).unwrap_or_else(|| media.described().into())).json
}

fn tool_use<'a>(call: &Call<'a>, id: &str) -> Json<'a> {
    let name = in_alphabet(&call.name, "tool");
    let is_object = call.arguments.is_some_and(|arguments| arguments.get().starts_with('{'));
    if call.spelling == Spelling::Converse && is_object && call.id.as_deref() == Some(id) && call.name == name {
        return call.stored.into();
    }
    let (id, name, input) = (quoted(id), quoted(&name), arguments_object(call.arguments));
    raw(format!(r#"{{"toolUse":{{"toolUseId":{id},"name":{name},"input":{input}}}}}"#)).into()
}

fn tool_result<'a>(answer: &Answer<'a>, id: &str, content: &str) -> Json<'a> {
    let (id, status) = (quoted(id), if answer.is_error { r#","status":"error""# } else { "" });
    raw(format!(r#"{{"toolResult":{{"toolUseId":{id},"content":{content}{status}}}}}"#)).into()
}
