//! Messages of the Chat Completions API.
//!
//! Calls are `tool_calls`, and each result is a tool message right behind them. What is stored so is written as it is stored, if the API
//! takes its id and its name.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::ids::IdRule;
use crate::json::{Json, Object, quoted, raw};
use crate::media::{Data, Media};
use crate::message::{Message, Role};
use crate::part::{self, Answer, Call, Kind, Output, Part, Reasoning, Spelling, arguments_text, in_alphabet, speaker};
use crate::turn::{NOTHING, Step, Turn};

pub(crate) fn read<'a>(kind: &str, _stored: &'a RawValue, object: &Object<'a>) -> Option<(Spelling, Kind<'a>)> {
    let kind = match kind {
        "text" if !object.names().any(|name| matches!(name, "state" | "providerMetadata" | "providerOptions")) => {
            return Some((Spelling::Plain, Kind::Text(object.text("text")?)));
        }
        "refusal" => Kind::Refusal(object.text("refusal")?),
        "image_url" => {
            let image = object.object("image_url");
            let address = object.text("image_url").or_else(|| image.text("url"))?;
            Kind::Media(Media { detail: image.text("detail"), ..Media::at(address, "image/*") })
        }
        "input_audio" => {
            let audio = object.object("input_audio");
            let format = audio.text("format").unwrap_or(Cow::Borrowed("wav"));
            let media_type = format!("audio/{}", if format == "mp3" { "mpeg" } else { &format });
            Kind::Media(Media::new(media_type, Data::Base64(audio.text("data")?)))
        }
        "file" if object.has("file") => {
            let file = object.object("file");
            let media = match file.text("file_data") {
                Some(data) => Media::of(data, "application/pdf"),
                None => Media::new("application/octet-stream", Data::Id(file.text("file_id")?)),
            };
            Kind::Media(media.named(file.text("filename")))
        }
        _ => return None,
    };
    Some((Spelling::OpenAi, kind))
}

/// An element of `tool_calls`.
pub(crate) fn tool_call(stored: &RawValue) -> Call<'_> {
    let outer = Object::of(stored);
    let function = outer.any(&["function", "custom"]).map(Object::of).unwrap_or_default();
    let inner = |name: &str| function.get(name).or_else(|| outer.get(name));
    let name = inner("name").and_then(crate::json::string).unwrap_or_default();
    let arguments = inner("arguments").or_else(|| inner("input"));
    // As Google's endpoint for this API has it.
    let signature = outer.object("extra_content").object("google").text("thought_signature");
    Call { id: part::id(&outer, "id"), name, arguments, signature, stored, spelling: Spelling::OpenAi }
}

/// What the API has answered beside the content and the calls.
pub(crate) fn extra(message: &Message) -> Vec<Part<'_>> {
    let extra = message.extra.as_deref().map(Object::of).unwrap_or_default();
    let text = |name: &str| extra.text(name).filter(|text| !text.is_empty());
    let reasoning = text("reasoning_content").map(|text| Kind::Reasoning(Reasoning { text, ..Reasoning::default() }));
    let kinds = reasoning.into_iter().chain(text("refusal").map(Kind::Refusal));
    kinds.map(|kind| Part { stored: None, spelling: Spelling::OpenAi, kind }).collect()
}

/// Which ids of calls the API takes.
pub(crate) const IDS: IdRule = IdRule::Length(40);

/// What stands for a result that says nothing, because a tool message must not be empty.
pub(crate) const NO_OUTPUT: &str = "[no output]";

/// The member of a request that holds the conversation.
#[derive(Default, Serialize)]
pub(crate) struct Request<'a> {
    messages: Vec<Written<'a>>,
    /// Where the assistant's messages of the newest turn begin.
    #[serde(skip)]
    turn: usize,
}

#[derive(Serialize)]
struct Written<'a> {
    role: Role,
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<Json<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Json<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Json<'a>>),
}

impl<'a> Request<'a> {
    pub(crate) fn of(turns: Vec<Turn<'a>>) -> Self {
        let mut request = Self::default();
        for turn in turns {
            match turn {
                Turn::Instructions(message, said) => {
                    let content = content(&said, message.role);
                    request.messages.extend(content.map(|content| Written::of(message, message.role, Some(content))));
                }
                Turn::User(message, said) => {
                    request.end_turn();
                    let content = content(&said, Role::User).unwrap_or(Content::Text(Cow::Borrowed(NOTHING)));
                    request.messages.push(Written::of(message, Role::User, Some(content)));
                }
                Turn::Step(step) => request.take(&step),
            }
        }
        request.end_turn();
        request
    }

    /// Models that think between their calls want their thoughts back, and only these.
    fn end_turn(&mut self) {
        let turn = &mut self.messages[self.turn..];
        if turn.iter().all(|message| message.tool_calls.is_empty()) {
            for message in turn {
                message.reasoning_content = None;
            }
        }
        self.turn = self.messages.len();
    }

    fn take(&mut self, step: &Step<'a>) {
        let Some(message) = step.message else { return };
        let tool_calls: Vec<Json> = step.calls().map(|(call, id)| written_call(call, id)).collect();
        // What the API has answered beside the content goes back beside it.
        let (beside, said): (Vec<&Part>, Vec<&Part>) =
            step.said().partition(|part| part.stored.is_none() && part.spelling == Spelling::OpenAi);
        let said: Vec<Part> = said.into_iter().cloned().collect();
        let texts = |of: fn(&Kind) -> Option<String>| {
            let texts: Vec<String> = beside.iter().filter_map(|part| of(&part.kind)).collect();
            (!texts.is_empty()).then(|| texts.join("\n\n"))
        };
        let refusal = texts(|kind| if let Kind::Refusal(text) = kind { Some(text.to_string()) } else { None });
        let thoughts = |kind: &Kind| if let Kind::Reasoning(thought) = kind { Some(thought.text.to_string()) } else { None };
        let content = content(&said, Role::Assistant);
        let audio = message.extra.as_deref().map(Object::of).and_then(|extra| extra.object("audio").text("id"));
        let audio = audio.map(|id| json!({"id": id}).into());
        if content.is_none() && tool_calls.is_empty() && refusal.is_none() && audio.is_none() {
            return;
        }
        let reasoning_content = texts(thoughts);
        let written = Written::of(message, Role::Assistant, content);
        self.messages.push(Written { reasoning_content, refusal, audio, tool_calls, ..written });
        for (number, answer, source) in &step.results {
            let mut written = Written::of(source, Role::Tool, Some(output(answer)));
            written.tool_call_id = Some(step.call(*number).1.to_owned());
            written.name = written.name.filter(|_| source.role == Role::Tool);
            self.messages.push(written);
        }
    }
}

impl<'a> Written<'a> {
    fn of(message: &Message, role: Role, content: Option<Content<'a>>) -> Self {
        let name = message.name.as_deref().and_then(speaker);
        let (reasoning_content, refusal, audio, tool_call_id) = (None, None, None, None);
        Self { role, content, reasoning_content, refusal, audio, tool_calls: Vec::new(), tool_call_id, name }
    }
}

/// What is said, as a text if all of it is texts. `None` if the API knows nothing of it.
fn content<'a>(said: &[Part<'a>], role: Role) -> Option<Content<'a>> {
    let is_text = |part: &Part| part.stored.is_none();
    if !said.is_empty() && said.iter().all(is_text) {
        let mut texts = said.iter().filter_map(text_of).filter(|text| !text.is_empty());
        let (first, rest) = (texts.next().unwrap_or_default(), texts.collect::<Vec<_>>());
        let joined = || Cow::Owned(format!("{first}\n\n{}", rest.join("\n\n")));
        return Some(Content::Text(if rest.is_empty() { first.clone() } else { joined() }));
    }
    let parts: Vec<Json> = said.iter().flat_map(Part::leaves).filter_map(|part| written(part, role)).collect();
    (!parts.is_empty()).then_some(Content::Parts(parts))
}

fn text_of<'a>(part: &Part<'a>) -> Option<Cow<'a, str>> {
    if let Kind::Text(text) = &part.kind { Some(text.clone()) } else { None }
}

/// A part of any API as the API takes it in a message of this role.
fn written<'a>(part: &Part<'a>, role: Role) -> Option<Json<'a>> {
    match &part.kind {
        Kind::Text(text) if text.is_empty() => None,
        Kind::Text(text) => Some(part.own(Spelling::Plain, &["type", "text"]).unwrap_or_else(|| written_text(text))),
        Kind::Refusal(text) if role == Role::Assistant => Some(json!({"type": "refusal", "refusal": text}).into()),
        Kind::Refusal(text) => Some(written_text(text)),
        Kind::Media(media) if role == Role::User => Some(
            part.stored_as(Spelling::OpenAi)
                // Some servers take an address in the place of the object.
                .filter(|stored| Object::of(stored).text("image_url").is_none())
                .map(Json::Stored)
                .or_else(|| written_media(media))
                .unwrap_or_else(|| written_text(&media.text().unwrap_or_else(|| media.described().into()))),
        ),
        Kind::Media(media) => Some(written_text(&media.text().unwrap_or_else(|| media.described().into()))),
        _ => None,
    }
}

fn written_text<'a>(text: &str) -> Json<'a> {
    json!({"type": "text", "text": text}).into()
}

fn written_media<'a>(media: &Media) -> Option<Json<'a>> {
    if media.is_common_image() {
        let mut image = json!({"url": media.address()?});
        if let Some(detail) = &media.detail {
            image["detail"] = json!(detail);
        }
        return Some(json!({"type": "image_url", "image_url": image}).into());
    }
    let Data::Base64(data) = &media.data else { return None };
    if media.is_pdf() {
        let name = media.name.as_deref().unwrap_or("document.pdf");
        return Some(json!({"type": "file", "file": {"filename": name, "file_data": media.address()}}).into());
    }
    let format = match &*media.mime_type {
        "audio/wav" | "audio/x-wav" | "audio/wave" => "wav",
        "audio/mpeg" | "audio/mp3" => "mp3",
        _ => return None,
    };
    Some(json!({"type": "input_audio", "input_audio": {"data": data, "format": format}}).into())
}

/// A call of the API's own keeps what it is given as it is spelled.
fn written_call<'a>(call: &Call<'a>, id: &str) -> Json<'a> {
    let name = in_alphabet(&call.name, "tool");
    let own = Object::of(call.stored);
    let kind = own.text("type").filter(|_| call.spelling == Spelling::OpenAi).unwrap_or_default();
    let (inner, argument) = if kind == "custom" { ("custom", "input") } else { ("function", "arguments") };
    let object = own.object(inner);
    let is_own = kind == inner && object.text("name").is_some() && object.text(argument).is_some();
    if is_own {
        let same = call.id.as_deref() == Some(id) && call.name == name;
        // A signature of Google's is in a member of its own. The other members are those of a stream.
        let known = |object: &Object, names: &[&str]| object.names().all(|name| names.contains(&name));
        if same && known(&own, &["id", "type", inner, "extra_content"]) && known(&object, &["name", argument]) {
            return call.stored.into();
        }
        let (id, name, given) = (quoted(id), quoted(&name), object.get(argument).map_or("\"\"", RawValue::get));
        let extra = own.get("extra_content").map(|extra| format!(r#","extra_content":{extra}"#)).unwrap_or_default();
        return raw(format!(r#"{{"id":{id},"type":"{inner}","{inner}":{{"name":{name},"{argument}":{given}}}{extra}}}"#)).into();
    }
    let function = json!({"name": name, "arguments": arguments_text(call.arguments)});
    json!({"id": id, "type": "function", "function": function}).into()
}

/// What a tool has said. A tool message takes texts alone.
fn output<'a>(answer: &Answer<'a>) -> Content<'a> {
    let text = match &answer.output {
        Output::Text(text) => text.clone(),
        Output::Json(json) => Cow::Borrowed(json.get()),
        Output::Parts(parts) => {
            let parts: Vec<Json> = parts.iter().flat_map(Part::leaves).filter_map(|part| written(part, Role::Tool)).collect();
            if !parts.is_empty() {
                return Content::Parts(parts);
            }
            Cow::Borrowed("")
        }
    };
    Content::Text(if text.is_empty() { Cow::Borrowed(NO_OUTPUT) } else { text })
}
