//! What tools of the Model Context Protocol say.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::spelling;
use crate::json::{Object, elements};
use crate::media::{Data, Media};
use crate::message::Role;
use crate::part::{Kind, Output, Part, Spelling};

pub(crate) fn read<'a>(kind: &str, _stored: &'a RawValue, object: &Object<'a>) -> Option<(Spelling, Kind<'a>)> {
    let kind = match kind {
        "image" | "audio" => Kind::Media(Media::of(object.text("data")?, object.text("mimeType")?)),
        "resource" => {
            let resource = object.object("resource");
            match (resource.text("text"), resource.text("blob")) {
                (Some(text), _) => Kind::Text(text),
                (None, blob) => {
                    let media_type = resource.text("mimeType").unwrap_or(Cow::Borrowed("application/octet-stream"));
                    Kind::Media(Media::new(media_type, Data::Base64(blob?)).named(resource.text("uri")))
                }
            }
        }
        "resource_link" => Kind::Text(object.text("uri")?),
        _ => return None,
    };
    Some((Spelling::Mcp, kind))
}

/// The result of a call as the protocol has it: an object with the parts in `content`.
pub(crate) fn result(value: &RawValue) -> Option<Output<'_>> {
    if !value.get().starts_with('{') || !value.get().contains("\"content\"") {
        return None;
    }
    let object = Object::of(value);
    if !object.names().all(|name| ["content", "isError", "structuredContent", "_meta"].contains(&name)) {
        return None;
    }
    let parts: Vec<Part> = elements(object.get("content")?).into_iter().map(|part| spelling::part(part, Role::Tool)).collect();
    let known = |part: &Part| matches!(part.kind, Kind::Text(_) | Kind::Media(_));
    (!parts.is_empty() && parts.iter().all(known)).then_some(Output::Parts(parts))
}
