//! Messages of the AI SDK: parts of its model messages, and of its UI messages, which hold a call and its result in one part.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::spelling::{output_parts, text_or_json};
use crate::json::{Object, elements, quoted, with_member};
use crate::media::Media;
use crate::part::{Answer, Call, Kind, Output, OutputPlace, Reasoning, Spelling, id};

pub(crate) fn read<'a>(kind: &str, stored: &'a RawValue, object: &Object<'a>) -> Option<(Spelling, Kind<'a>)> {
    let media_type = || object.any_text(&["mediaType", "mimeType"]);
    let kind = match kind {
        "text" => Kind::Text(object.text("text")?),
        "reasoning" => Kind::Reasoning(reasoning(object)?),
        "image" => Kind::Media(Media::of(object.text("image")?, media_type().unwrap_or(Cow::Borrowed("image/png")))),
        "file" | "media" | "image-data" | "image-url" | "file-data" | "file-url" => {
            let image = || kind.starts_with("image").then_some(Cow::Borrowed("image/*"));
            let data = object.any_text(&["url", "data"])?;
            Kind::Media(Media::of(data, media_type().or_else(image)?).named(object.text("filename")))
        }
        "tool-call" if !object.has("state") => {
            let (id, name) = (id(object, "toolCallId"), object.text("toolName").unwrap_or_default());
            let arguments = object.any(&["input", "args"]);
            Kind::Call(Call { id, name, arguments, signature: googles(object), stored, spelling: Spelling::AiSdk })
        }
        "tool-result" if !object.has("state") => Kind::Answer(result(stored, object)),
        _ if kind == "dynamic-tool" || kind.starts_with("tool-") => return ui_part(kind, stored, object),
        _ => return None,
    };
    Some((Spelling::AiSdk, kind))
}

/// What the providers have said about the thoughts is in a member of each provider's own.
fn reasoning<'a>(object: &Object<'a>) -> Option<Reasoning<'a>> {
    let text = object.text("text")?;
    let providers = object.any(&["providerMetadata", "providerOptions"]).map(Object::of).unwrap_or_default();
    let anthropic = providers.object("anthropic");
    let signature = anthropic.text("signature").filter(|text| !text.is_empty());
    Some(Reasoning { text, signature, redacted: anthropic.text("redactedData") })
}

/// The signature that Google's API has given the part.
fn googles<'a>(object: &Object<'a>) -> Option<Cow<'a, str>> {
    const MEMBERS: [&str; 3] = ["providerOptions", "providerMetadata", "callProviderMetadata"];
    object.any(&MEMBERS).map(Object::of).unwrap_or_default().object("google").text("thoughtSignature")
}

/// A tool part of UI messages.
fn ui_part<'a>(kind: &str, stored: &'a RawValue, object: &Object<'a>) -> Option<(Spelling, Kind<'a>)> {
    const SPELLING: Spelling = Spelling::AiSdkUi;
    let (id, state) = (id(object, "toolCallId")?, object.text("state")?);
    let own_name = || object.text("toolName").unwrap_or_default();
    let name = kind.strip_prefix("tool-").map_or_else(own_name, |name| Cow::Owned(name.to_owned()));
    let arguments = object.any(&["input", "rawInput"]);
    let call = Call { id: Some(id.clone()), name, arguments, signature: googles(object), stored, spelling: SPELLING };
    let answer = |output, is_error| Answer { id: Some(id), output, is_error, stored: Some(stored), spelling: SPELLING };
    let kind = match &*state {
        "output-available" => {
            let output = object.get("output").map_or(Output::Text(Cow::Borrowed("")), text_or_json);
            Kind::Answered(call, answer(output, false))
        }
        "output-error" => {
            let text = object.text("errorText").unwrap_or_default();
            Kind::Answered(call, answer(Output::Text(text), true))
        }
        "output-denied" => {
            let reason = object.object("approval").text("reason");
            let text = reason.unwrap_or(Cow::Borrowed("[the user did not allow this]"));
            Kind::Answered(call, answer(Output::Text(text), true))
        }
        _ => Kind::Call(call),
    };
    Some((SPELLING, kind))
}

/// A `tool-result` of model messages: `output` has a type and a value. In older releases it is `result`.
fn result<'a>(stored: &'a RawValue, object: &Object<'a>) -> Answer<'a> {
    let typed = object.object("output");
    let kind = typed.text("type").unwrap_or_default();
    let output = match (&*kind, typed.get("value")) {
        ("content", Some(value)) => output_parts(elements(value)),
        ("execution-denied", _) => Output::Text(typed.text("reason").unwrap_or_default()),
        (_, Some(value)) => text_or_json(value),
        _ => object.any(&["output", "result"]).map_or(Output::Text(Cow::Borrowed("")), text_or_json),
    };
    let is_error = kind.starts_with("error") || object.is_true("isError");
    Answer { id: id(object, "toolCallId"), output, is_error, stored: Some(stored), spelling: Spelling::AiSdk }
}

/// What a tool has said, in a result's part, and what is around a text in its place: `output` of model messages has a type and a value.
pub(crate) fn place_of_output<'a>(object: &Object<'a>, spelling: Spelling) -> Option<OutputPlace<'a>> {
    let names: &[&str] = if spelling == Spelling::AiSdk { &["output", "result"] } else { &["output", "errorText"] };
    let value = object.any(names)?;
    let is_typed = spelling == Spelling::AiSdk && Object::of(value).has("type");
    Some(if is_typed { OutputPlace::in_json(value, r#"{"type":"text","value":""#, "\"}") } else { OutputPlace::of(value) })
}

/// The part of a UI message with a result for its call.
pub(crate) fn with_error(stored: &RawValue, text: &str) -> Box<RawValue> {
    with_member(&with_member(stored, "state", "\"output-error\""), "errorText", &quoted(text))
}
