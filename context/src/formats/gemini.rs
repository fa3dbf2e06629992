//! Contents of Google's Gemini API.
//!
//! Results are contents of their own, behind the model's content with their calls, and have nothing beside them. Otherwise roles alternate.
//! The API has no place for instructions between the contents, so all of them are in `systemInstruction`.

use std::borrow::Cow;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, Engine};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::spelling::text_or_json;
use crate::ids::IdRule;
use crate::json::{Json, Object, array, is_filled_object, quoted, raw, with_member};
use crate::media::{Data, Media};
use crate::part::{Answer, Call, Kind, Output, OutputPlace, Part, Reasoning, Spelling, arguments_object, id, within};
use crate::turn::{NOTHING, Step, Turn};

// The API's SDK for Python dumps members in snake case, and the API takes both.
const INLINE_DATA: [&str; 2] = ["inlineData", "inline_data"];
const FILE_DATA: [&str; 2] = ["fileData", "file_data"];
const MIME_TYPE: [&str; 2] = ["mimeType", "mime_type"];
const FUNCTION_CALL: [&str; 2] = ["functionCall", "function_call"];
const FUNCTION_RESPONSE: [&str; 2] = ["functionResponse", "function_response"];
const SIGNATURE: [&str; 2] = ["thoughtSignature", "thought_signature"];

/// What a part may be that is no text.
pub(crate) const MEMBERS: [&str; 16] = [
    "functionCall",
    "function_call",
    "functionResponse",
    "function_response",
    "inlineData",
    "inline_data",
    "fileData",
    "file_data",
    "executableCode",
    "executable_code",
    "codeExecutionResult",
    "code_execution_result",
    "toolCall",
    "tool_call",
    "toolResponse",
    "tool_response",
];

pub(crate) fn read<'a>(kind: &str, stored: &'a RawValue, object: &Object<'a>) -> Option<(Spelling, Kind<'a>)> {
    const SPELLING: Spelling = Spelling::Gemini;
    if !kind.is_empty() {
        return None;
    }
    let signature = || object.any_text(&SIGNATURE);
    if let Some(text) = object.text("text") {
        let thought = |text| Kind::Reasoning(Reasoning { text, ..Reasoning::default() });
        return Some((SPELLING, if object.is_true("thought") { thought(text) } else { Kind::Text(text) }));
    }
    let kind = if let Some(call) = object.any(&FUNCTION_CALL).map(Object::of) {
        // Older models give no ids. Then a result belongs to the next call of its function.
        let (id, name) = (id(&call, "id").or_else(|| id(&call, "name")), call.text("name").unwrap_or_default());
        Kind::Call(Call { id, name, arguments: call.get("args"), signature: signature(), stored, spelling: SPELLING })
    } else if let Some(response) = object.any(&FUNCTION_RESPONSE).map(Object::of) {
        let id = id(&response, "id").or_else(|| id(&response, "name"));
        let (output, is_error) = output(&response);
        Kind::Answer(Answer { id, output, is_error, stored: Some(stored), spelling: SPELLING })
    } else {
        object.any(&MEMBERS)?;
        media(object).map_or(Kind::Other, Kind::Media)
    };
    Some((SPELLING, kind))
}

fn media<'a>(object: &Object<'a>) -> Option<Media<'a>> {
    let (holder, data) = if let Some(inline) = object.any(&INLINE_DATA).map(Object::of) {
        let data = inline.text("data")?;
        // The SDK for Python dumps bytes in the other alphabet of base64.
        let is_url_safe = data.contains(['-', '_']);
        let data = if is_url_safe { Cow::Owned(data.replace('-', "+").replace('_', "/")) } else { data };
        (inline, Data::Base64(data))
    } else {
        let file = object.any(&FILE_DATA).map(Object::of)?;
        let address = file.any_text(&["fileUri", "file_uri"])?;
        (file, Data::Url(address))
    };
    let mime_type = holder.any_text(&MIME_TYPE).unwrap_or(Cow::Borrowed("application/octet-stream"));
    Some(Media::new(mime_type, data).named(holder.any_text(&["displayName", "display_name"])))
}

/// What the function has said, and whether it failed. Pictures and files are beside the response.
fn output<'a>(response: &Object<'a>) -> (Output<'a>, bool) {
    let said = response.object("response");
    let names: Vec<&str> = said.names().collect();
    let (output, is_error) = match names[..] {
        ["output"] => (said.get("output").map(text_or_json), false),
        ["error"] => (said.get("error").map(text_or_json), true),
        _ => (response.get("response").filter(|said| is_filled_object(said)).map(Output::Json), false),
    };
    let media: Vec<Part> = response.elements("parts").into_iter().filter_map(part_of_response).collect();
    if media.is_empty() {
        return (output.unwrap_or(Output::Text(Cow::Borrowed(""))), is_error);
    }
    let text = |text| Part { stored: None, spelling: Spelling::Plain, kind: Kind::Text(text) };
    let said = match output {
        Some(Output::Text(said)) => vec![text(said)],
        Some(Output::Json(json)) => vec![text(Cow::Borrowed(json.get()))],
        Some(Output::Parts(parts)) => parts,
        None => Vec::new(),
    };
    (Output::Parts(said.into_iter().chain(media).collect()), is_error)
}

fn part_of_response(stored: &RawValue) -> Option<Part<'_>> {
    let kind = Kind::Media(media(&Object::of(stored))?);
    Some(Part { stored: Some(stored), spelling: Spelling::Gemini, kind })
}

pub(crate) fn place_of_output<'a>(object: &Object<'a>) -> Option<OutputPlace<'a>> {
    let stored = object.any(&FUNCTION_RESPONSE)?;
    let response = Object::of(stored);
    if response.has("parts") {
        // They are beside the response.
        let members = ["id", "name"].into_iter().filter_map(|name| Some(format!("{}:{},", quoted(name), response.get(name)?)));
        let before = format!(r#"{{{}"response":{{"output":""#, members.collect::<String>());
        return Some(OutputPlace::in_json(stored, before, "\"}}"));
    }
    response.get("response").map(|said| OutputPlace::in_json(said, r#"{"output":""#, "\"}"))
}

/// A result that says `text`, for a call without a result. All are JSON.
pub(crate) fn result(id: &str, name: &str, text: &str) -> String {
    let id = if id == name { String::new() } else { format!(r#""id":{id},"#) };
    format!(r#"{{"functionResponse":{{{id}"name":{name},"response":{{"error":{text}}}}}}}"#)
}

/// Which ids of calls the API takes: it says nothing about them, so they are in the alphabet of others. It reads them within a step alone.
pub(crate) const IDS: IdRule = IdRule::Alphabet;

/// Stands for the signature of a call that no model of Google's has made, as the API's documentation says.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// The members of a request that hold the conversation.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request<'a> {
    #[serde(skip_serializing_if = "Instructions::is_empty")]
    system_instruction: Instructions<'a>,
    contents: Vec<Spoken<'a>>,
}

#[derive(Default, Serialize)]
struct Instructions<'a> {
    parts: Vec<Json<'a>>,
}

impl Instructions<'_> {
    fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

#[derive(Serialize)]
struct Spoken<'a> {
    role: Speaker,
    parts: Vec<Json<'a>>,
    /// Whether the parts are results. Then no other parts may be beside them.
    #[serde(skip)]
    answers: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Speaker {
    User,
    Model,
}

impl<'a> Request<'a> {
    pub(crate) fn of(turns: Vec<Turn<'a>>) -> Self {
        let mut request = Self::default();
        for turn in turns {
            match turn {
                Turn::Instructions(_, said) => {
                    request.system_instruction.parts.extend(said.iter().flat_map(Part::leaves).filter_map(instruction));
                }
                Turn::User(_, said) => {
                    let mut parts: Vec<Json> =
                        said.iter().flat_map(Part::leaves).filter_map(|part| written(part, Speaker::User)).collect();
                    if parts.is_empty() {
                        parts.push(text_part(NOTHING));
                    }
                    request.add(Speaker::User, parts, false);
                }
                Turn::Step(step) => request.take(&step),
            }
        }
        request
    }

    fn take(&mut self, step: &Step<'a>) {
        let said = step.said().flat_map(Part::leaves).filter_map(|part| written(part, Speaker::Model));
        // The API wants a signature at the first call of a step.
        let calls = step.calls().enumerate().map(|(at, (call, id))| function_call(call, id, at == 0));
        self.add(Speaker::Model, said.chain(calls).collect(), false);
        // In the order of the calls, because the ids may be missing.
        let mut results: Vec<_> = step.results.iter().collect();
        results.sort_by_key(|(number, ..)| *number);
        let result = |(number, answer, _): &(usize, Answer<'a>, _)| {
            let (call, id) = step.call(*number);
            function_response(answer, call, id)
        };
        self.add(Speaker::User, results.into_iter().map(result).collect(), true);
    }

    fn add(&mut self, role: Speaker, parts: Vec<Json<'a>>, answers: bool) {
        if parts.is_empty() {
            return;
        }
        match self.contents.last_mut() {
            Some(last) if last.role == role && !last.answers && !answers => last.parts.extend(parts),
            _ => self.contents.push(Spoken { role, parts, answers }),
        }
    }
}

fn text_part<'a>(text: &str) -> Json<'a> {
    json!({"text": text}).into()
}

/// Instructions are texts.
fn instruction<'a>(part: &Part<'a>) -> Option<Json<'a>> {
    match &part.kind {
        Kind::Text(text) | Kind::Refusal(text) => (!text.trim().is_empty()).then(|| text_part(text)),
        Kind::Media(media) => Some(instead(media)),
        _ => None,
    }
}

/// A part of any API as the API takes it from this speaker.
fn written<'a>(part: &Part<'a>, role: Speaker) -> Option<Json<'a>> {
    let own = part.stored_as(Spelling::Gemini);
    match &part.kind {
        Kind::Text(text) | Kind::Refusal(text) => match own {
            // A signature may come with an empty text.
            Some(stored) if !text.is_empty() || Object::of(stored).any(&SIGNATURE).is_some() => Some(stored.into()),
            _ => (!text.is_empty()).then(|| text_part(text)),
        },
        Kind::Media(media) => {
            let takes = || if role == Speaker::User { written_media(media) } else { None };
            Some(own.map(Json::Stored).or_else(takes).unwrap_or_else(|| instead(media)))
        }
        // What a model has thought is sent to no other model.
        _ => own.filter(|_| role == Speaker::Model).map(Json::Stored),
    }
}

/// A text in the place of what the API does not take.
fn instead<'a>(media: &Media) -> Json<'a> {
    text_part(&media.text().filter(|text| !text.is_empty()).unwrap_or_else(|| media.described().into()))
}

fn written_media<'a>(media: &Media) -> Option<Json<'a>> {
    const TYPES: [&str; 23] = [
        "image/png",
        "image/jpeg",
        "image/webp",
        "image/heic",
        "image/heif",
        "application/pdf",
        "audio/wav",
        "audio/mp3",
        "audio/mpeg",
        "audio/aiff",
        "audio/aac",
        "audio/ogg",
        "audio/flac",
        "video/mp4",
        "video/mpeg",
        "video/mov",
        "video/quicktime",
        "video/avi",
        "video/x-flv",
        "video/mpg",
        "video/webm",
        "video/wmv",
        "video/3gpp",
    ];
    if !TYPES.contains(&&*media.mime_type) {
        return None;
    }
    match &media.data {
        Data::Base64(data) => Some(json!({"inlineData": {"mimeType": media.mime_type, "data": data}}).into()),
        Data::Url(url) if ["https:", "http:", "gs:"].iter().any(|scheme| url.starts_with(scheme)) => {
            Some(json!({"fileData": {"mimeType": media.mime_type, "fileUri": url}}).into())
        }
        _ => None,
    }
}

/// Whether ids are written for this call: not if the API itself has given none.
fn has_id(call: &Call) -> bool {
    call.spelling != Spelling::Gemini
        || Object::of(call.stored).any(&FUNCTION_CALL).map(Object::of).is_some_and(|own| own.has("id"))
}

/// A letter or `_`, and then letters, digits, `_`, `.`, `:` and `-`, 128 of them at most.
fn function_name(stored: &str) -> String {
    let known = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | ':' | '-');
    let stored = if stored.is_empty() { "tool" } else { stored };
    let mut name: String = stored.chars().map(|character| if known(character) { character } else { '_' }).collect();
    if !name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        name.insert(0, '_');
    }
    within(name, stored, 128)
}

fn function_call<'a>(call: &Call<'a>, id: &str, needs_signature: bool) -> Json<'a> {
    let name = function_name(&call.name);
    let is_base64 = |text: &&str| BASE64_STANDARD.decode(text).is_ok() || BASE64_URL_SAFE.decode(text).is_ok();
    let signature = call.signature.as_deref().filter(|text| !text.is_empty()).filter(is_base64);
    let wanted = signature.or_else(|| needs_signature.then_some(NO_SIGNATURE));
    let outer = Object::of(call.stored);
    let own = FUNCTION_CALL.iter().find(|name| outer.has(name)).filter(|_| call.spelling == Spelling::Gemini);
    if let Some((member, stored)) = own.and_then(|member| Some((*member, outer.get(member)?)))
        && call.arguments.is_none_or(|arguments| arguments.get().starts_with('{'))
    {
        let mut inner = Cow::Borrowed(stored);
        if call.name != name {
            inner = Cow::Owned(with_member(&inner, "name", &quoted(&name)));
        }
        if has_id(call) && call.id.as_deref() != Some(id) {
            inner = Cow::Owned(with_member(&inner, "id", &quoted(id)));
        }
        let part = if let Cow::Owned(inner) = inner {
            Cow::Owned(with_member(call.stored, member, inner.get()))
        } else {
            Cow::Borrowed(call.stored)
        };
        let signed = wanted.filter(|_| signature.is_none()).map(|wanted| with_member(&part, SIGNATURE[0], &quoted(wanted)));
        return match (signed, part) {
            (Some(part), _) | (None, Cow::Owned(part)) => part.into(),
            (None, Cow::Borrowed(part)) => part.into(),
        };
    }
    let (id, name, arguments) = (quoted(id), quoted(&name), arguments_object(call.arguments));
    let signature = wanted.map(|wanted| format!(r#","thoughtSignature":{}"#, quoted(wanted))).unwrap_or_default();
    raw(format!(r#"{{"functionCall":{{"id":{id},"name":{name},"args":{arguments}}}{signature}}}"#)).into()
}

fn function_response<'a>(answer: &Answer<'a>, call: &Call<'a>, id: &str) -> Json<'a> {
    let name = quoted(&function_name(&call.name));
    let id = has_id(call).then(|| quoted(id));
    if let (Spelling::Gemini, Some(stored)) = (answer.spelling, answer.stored) {
        let outer = Object::of(stored);
        let own = FUNCTION_RESPONSE.iter().find_map(|name| Some((*name, outer.get(name)?)));
        if let Some((member, inner)) = own
            && Object::of(inner).get("response").is_some_and(|response| response.get().starts_with('{'))
        {
            let mut inner = with_member(inner, "name", &name);
            if let Some(id) = &id {
                inner = with_member(&inner, "id", id);
            }
            return with_member(stored, member, inner.get()).into();
        }
    }
    let member = if answer.is_error { "error" } else { "output" };
    let (mut parts, mut texts) = (Vec::new(), Vec::new());
    let response = match &answer.output {
        Output::Text(text) => format!("{{{}:{}}}", quoted(member), quoted(text)),
        Output::Json(json) if json.get().starts_with('{') && !answer.is_error => json.get().to_owned(),
        Output::Json(json) => format!("{{{}:{}}}", quoted(member), json.get()),
        Output::Parts(said) => {
            for part in said.iter().flat_map(Part::leaves) {
                match &part.kind {
                    Kind::Text(text) | Kind::Refusal(text) if !text.is_empty() => texts.push(text.clone()),
                    Kind::Media(media) => match media_of_response(media) {
                        Some(part) => parts.push(part.to_string()),
                        None => texts.push(Cow::Owned(media.text().unwrap_or_else(|| media.described().into()).into_owned())),
                    },
                    _ => {}
                }
            }
            if texts.is_empty() && !answer.is_error {
                "{}".to_owned()
            } else {
                format!("{{{}:{}}}", quoted(member), quoted(&texts.join("\n\n")))
            }
        }
    };
    let id = id.map(|id| format!(r#""id":{id},"#)).unwrap_or_default();
    let parts = if parts.is_empty() { String::new() } else { format!(r#","parts":{}"#, array(&parts)) };
    raw(format!(r#"{{"functionResponse":{{{id}"name":{name},"response":{response}{parts}}}}}"#)).into()
}

/// A picture or file in a result. The API takes fewer types there.
fn media_of_response(media: &Media) -> Option<serde_json::Value> {
    let is_known = ["image/png", "image/jpeg", "image/webp", "application/pdf"].contains(&&*media.mime_type);
    let Data::Base64(data) = &media.data else { return None };
    is_known.then(|| json!({"inlineData": {"mimeType": media.mime_type, "data": data}}))
}
