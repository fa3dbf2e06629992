//! Messages of Anthropic's Messages API.
//!
//! Roles alternate, so neighbours of one role are one turn. Calls are the last blocks of the assistant's turn. Their results are the first
//! blocks of the user's turn behind it. The API has no place for instructions between the messages, so all of them are in `system`.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::alternating::{Alternating, Block};
use super::spelling::output;
use crate::ids::IdRule;
use crate::json::{Json, Object, array, quoted, raw, with_member};
use crate::media::{COMMON_IMAGES, Data, Media};
use crate::message::Role;
use crate::part::{Answer, Call, Kind, Output, Part, Reasoning, Spelling, arguments_object, id, in_alphabet};
use crate::turn::{NOTHING, Step, Turn};

pub(crate) fn read<'a>(kind: &str, stored: &'a RawValue, object: &Object<'a>) -> Option<(Spelling, Kind<'a>)> {
    const SPELLING: Spelling = Spelling::Anthropic;
    let kind = match kind {
        "tool_use" => {
            let (id, name) = (id(object, "id"), object.text("name").unwrap_or_default());
            Kind::Call(Call { id, name, arguments: object.get("input"), signature: None, stored, spelling: SPELLING })
        }
        "tool_result" => {
            let (id, output) = (id(object, "tool_use_id"), output(object.get("content")));
            Kind::Answer(Answer { id, output, is_error: object.is_true("is_error"), stored: Some(stored), spelling: SPELLING })
        }
        "image" | "document" if object.has("source") => {
            let source = object.object("source");
            let default = Cow::Borrowed(if kind == "image" { "image/*" } else { "application/pdf" });
            let media_type = source.text("media_type").unwrap_or(default);
            let data = match source.text("type").as_deref() {
                Some("base64") => Data::Base64(source.text("data")?),
                Some("url") => Data::Url(source.text("url")?),
                Some("file") => Data::Id(source.text("file_id")?),
                Some("text") => Data::Text(source.text("data")?),
                _ => return Some((SPELLING, Kind::Other)),
            };
            Kind::Media(Media::new(media_type, data).named(object.text("title")))
        }
        "thinking" => {
            let (text, signature) = (object.text("thinking")?, object.text("signature").filter(|text| !text.is_empty()));
            Kind::Reasoning(Reasoning { text, signature, redacted: None })
        }
        "redacted_thinking" => Kind::Reasoning(Reasoning { redacted: Some(object.text("data")?), ..Reasoning::default() }),
        "document"
        | "search_result"
        | "server_tool_use"
        | "web_search_tool_result"
        | "web_fetch_tool_result"
        | "code_execution_tool_result"
        | "mcp_tool_use"
        | "mcp_tool_result"
        | "container_upload" => Kind::Other,
        _ => return None,
    };
    Some((SPELLING, kind))
}

/// Which ids of calls the API takes.
pub(crate) const IDS: IdRule = IdRule::Once;

/// The members of a request that hold the conversation.
#[derive(Default, Serialize)]
pub(crate) struct Request<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Json<'a>>,
    messages: Alternating<'a>,
}

impl<'a> Request<'a> {
    pub(crate) fn of(turns: Vec<Turn<'a>>) -> Self {
        let mut request = Self::default();
        for turn in turns {
            match turn {
                Turn::Instructions(_, said) => {
                    let blocks = said.iter().flat_map(Part::leaves).filter_map(|part| block(part, Role::System));
                    request.system.extend(blocks.map(|block| block.json));
                }
                Turn::User(_, said) => {
                    let mut blocks: Vec<Block> =
                        said.iter().flat_map(Part::leaves).filter_map(|part| block(part, Role::User)).collect();
                    if blocks.is_empty() {
                        blocks.push(text_block(NOTHING));
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
        let said = step.said().flat_map(Part::leaves).filter_map(|part| block(part, Role::Assistant));
        let calls = step.calls().map(|(call, id)| tool_use(call, id).into());
        self.messages.add(Role::Assistant, said.chain(calls).collect());
        // Results of calls with the same id keep their order, and the order does not matter to the API otherwise.
        let mut results: Vec<_> = step.results.iter().collect();
        results.sort_by_key(|(number, ..)| *number);
        let result = |(number, answer, _): &(usize, Answer<'a>, _)| tool_result(answer, step.call(*number).1);
        self.messages.add(Role::User, results.into_iter().map(|of| result(of).into()).collect());
    }
}

/// A part of any API as a block of a turn of this role. `None` for what the API does not know.
fn block<'a>(part: &Part<'a>, role: Role) -> Option<Block<'a>> {
    let own = || part.stored_as(Spelling::Anthropic).map(Json::Stored);
    let json = match &part.kind {
        Kind::Text(text) | Kind::Refusal(text) if text.trim().is_empty() => return None,
        Kind::Text(text) | Kind::Refusal(text) => {
            let own = part.own(Spelling::Plain, &["type", "text", "cache_control", "citations"]);
            return Some(own.map_or_else(|| text_block(text), Block::from));
        }
        Kind::Reasoning(_) if role != Role::Assistant => return None,
        Kind::Reasoning(Reasoning { redacted: Some(data), .. }) => {
            own().unwrap_or_else(|| json!({"type": "redacted_thinking", "data": data}).into())
        }
        // Without its signature, the API does not know a thought as the model's own.
        Kind::Reasoning(Reasoning { text, signature, .. }) => {
            let signature = signature.as_ref()?;
            own().unwrap_or_else(|| json!({"type": "thinking", "thinking": text, "signature": signature}).into())
        }
        Kind::Media(media) if role == Role::User => {
            let own = own().filter(|_| part.stored.is_some_and(is_taken));
            let Some(json) = own.or_else(|| written_media(media)) else { return Some(instead(media)) };
            json
        }
        Kind::Media(media) => return Some(instead(media)),
        _ => own().filter(|_| !role.instructs())?,
    };
    let thinks = matches!(part.kind, Kind::Reasoning(_));
    Some(Block { json, thinks })
}

fn text_block<'a>(text: &str) -> Block<'a> {
    Block::from(Json::from(json!({"type": "text", "text": text})))
}

/// A text in the place of what the API does not take.
fn instead<'a>(media: &Media) -> Block<'a> {
    text_block(&media.text().filter(|text| !text.trim().is_empty()).unwrap_or_else(|| media.described().into()))
}

/// Whether the API takes the data of a picture or document of its own as they are.
fn is_taken(stored: &RawValue) -> bool {
    let part = Object::of(stored);
    let source = part.object("source");
    let types: &[&str] = if part.text("type").is_some_and(|kind| kind == "image") { &COMMON_IMAGES } else { &["application/pdf"] };
    source.text("type").is_none_or(|kind| kind != "base64") || source.text("media_type").is_some_and(|own| types.contains(&&*own))
}

fn written_media<'a>(media: &Media) -> Option<Json<'a>> {
    let kind = if media.is_common_image() { "image" } else { "document" };
    let text = media.text();
    let source = match &media.data {
        _ if kind == "document" && text.as_ref().is_some_and(|text| !text.trim().is_empty()) => {
            json!({"type": "text", "media_type": "text/plain", "data": text})
        }
        _ if kind == "document" && !media.is_pdf() => return None,
        Data::Base64(data) => json!({"type": "base64", "media_type": media.mime_type, "data": data}),
        Data::Url(url) if url.starts_with("http") => json!({"type": "url", "url": url}),
        Data::Url(_) | Data::Id(_) | Data::Text(_) => return None,
    };
    let mut block = json!({"type": kind, "source": source});
    if let Some(name) = media.name.as_ref().filter(|name| kind == "document" && !name.is_empty()) {
        block["title"] = json!(name);
    }
    Some(block.into())
}

fn tool_use<'a>(call: &Call<'a>, id: &str) -> Json<'a> {
    let (own_id, id, name) = (call.id.as_deref(), id, in_alphabet(&call.name, "tool"));
    let is_object = call.arguments.is_some_and(|arguments| arguments.get().starts_with('{'));
    if call.spelling == Spelling::Anthropic && is_object {
        let mut own = Cow::Borrowed(call.stored);
        if own_id != Some(id) {
            own = Cow::Owned(with_member(&own, "id", &quoted(id)));
        }
        if call.name != name {
            own = Cow::Owned(with_member(&own, "name", &quoted(&name)));
        }
        return match own {
            Cow::Borrowed(stored) => stored.into(),
            Cow::Owned(written) => written.into(),
        };
    }
    let (id, name, input) = (quoted(id), quoted(&name), arguments_object(call.arguments));
    raw(format!(r#"{{"type":"tool_use","id":{id},"name":{name},"input":{input}}}"#)).into()
}

fn tool_result<'a>(answer: &Answer<'a>, id: &str) -> Json<'a> {
    let id = quoted(id);
    let content = match &answer.output {
        Output::Text(text) => (!text.is_empty()).then(|| quoted(text)),
        Output::Json(json) => Some(quoted(json.get())),
        Output::Parts(parts) => {
            let blocks = parts.iter().flat_map(Part::leaves).filter_map(|part| result_block(part, answer.spelling));
            let blocks: Vec<Json> = blocks.collect();
            let texts: Vec<Cow<str>> = blocks.iter().map(Json::to_text).collect();
            (!blocks.is_empty()).then(|| array(&texts))
        }
    };
    if let (Spelling::Anthropic, Some(stored)) = (answer.spelling, answer.stored) {
        let own = Object::of(stored);
        let with_id = with_member(stored, "tool_use_id", &id);
        return match (own.get("content"), content) {
            (None, _) => with_id.into(),
            (Some(_), content) => with_member(&with_id, "content", content.as_deref().unwrap_or("[]")).into(),
        };
    }
    let content = content.map(|content| format!(r#","content":{content}"#)).unwrap_or_default();
    let error = if answer.is_error { r#","is_error":true"# } else { "" };
    raw(format!(r#"{{"type":"tool_result","tool_use_id":{id}{content}{error}}}"#)).into()
}

/// What a tool has said, as a block. Only a result of this API may hold what no other API knows.
fn result_block<'a>(part: &Part<'a>, spelling: Spelling) -> Option<Json<'a>> {
    let is_known = part.words().is_some() || matches!(part.kind, Kind::Media(_));
    (is_known || spelling == Spelling::Anthropic).then(|| block(part, Role::User)).flatten().map(|block| block.json)
}
