//! Items of the Responses API.
//!
//! The leading instructions are `instructions`. What the assistant says, its reasoning and its calls are items in the order in which they
//! are stored. The outputs of the calls come behind them, paired by `call_id`.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::spelling::{self, output};
use crate::ids::IdRule;
use crate::json::{Json, Object, array, elements, quoted, raw, string, with_member};
use crate::media::{Data, Media};
use crate::message::Role;
use crate::part::{Answer, Call, Kind, Output, Part, Reasoning, Spelling, arguments_text, id, in_alphabet};
use crate::turn::{Element, NOTHING, Step, Turn};

pub(crate) fn read<'a>(kind: &str, stored: &'a RawValue, object: &Object<'a>) -> Option<(Spelling, Kind<'a>)> {
    const SPELLING: Spelling = Spelling::Responses;
    let kind = match kind {
        "input_text" | "output_text" => Kind::Text(object.text("text")?),
        "input_image" => {
            let detail = object.text("detail");
            let media = match object.text("image_url") {
                Some(address) => Media::at(address, "image/*"),
                None => Media::new("image/*", Data::Id(object.text("file_id")?)),
            };
            Kind::Media(Media { detail, ..media })
        }
        "input_file" => {
            let media = match (object.text("file_data"), object.text("file_url")) {
                (Some(data), _) => Media::of(data, "application/pdf"),
                (None, Some(url)) => Media::at(url, "application/pdf"),
                (None, None) => Media::new("application/octet-stream", Data::Id(object.text("file_id")?)),
            };
            Kind::Media(media.named(object.text("filename")))
        }
        "function_call" => {
            let (id, name) = (id(object, "call_id"), object.text("name").unwrap_or_default());
            Kind::Call(Call { id, name, arguments: object.get("arguments"), signature: None, stored, spelling: SPELLING })
        }
        // Those of other tools, whose calls are not read, have no call that they could stand behind.
        _ if kind.ends_with("_call_output") => {
            let (id, output) = (id(object, "call_id"), output(object.get("output")));
            Kind::Answer(Answer { id, output, is_error: false, stored: Some(stored), spelling: SPELLING })
        }
        // The AI SDK's parts of that name have no summary.
        "reasoning" if object.get("summary").is_some_and(|summary| summary.get().starts_with('[')) => {
            let texts = object.elements("summary").into_iter().filter_map(|part| Object::of(part).text("text"));
            let text = Cow::Owned(texts.collect::<Vec<_>>().join("\n\n"));
            Kind::Reasoning(Reasoning { text, ..Reasoning::default() })
        }
        "message" => Kind::Item(object.get("content").map(parts_of)?),
        // The API has run these itself.
        "web_search_call"
        | "file_search_call"
        | "code_interpreter_call"
        | "image_generation_call"
        | "mcp_call"
        | "mcp_list_tools" => Kind::Other,
        _ => return None,
    };
    Some((SPELLING, kind))
}

fn parts_of(content: &RawValue) -> Vec<Part<'_>> {
    if let Some(text) = string(content) {
        return vec![Part { stored: None, spelling: Spelling::Plain, kind: Kind::Text(text) }];
    }
    // Nothing in an item calls or answers.
    elements(content).into_iter().map(|part| spelling::part(part, Role::System)).collect()
}

/// Which ids of calls the API takes.
pub(crate) const IDS: IdRule = IdRule::Once;

/// The members of a request that hold the conversation.
#[derive(Default, Serialize)]
pub(crate) struct Request<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<String>,
    input: Vec<Json<'a>>,
    /// What the model has thought before the item that comes next. The API refuses a thought without that item.
    #[serde(skip)]
    thoughts: Vec<Json<'a>>,
    /// Whether a thought was sent since somebody else spoke. The API refuses the `id` of an item without the thought that led to it.
    #[serde(skip)]
    has_thought: bool,
}

impl<'a> Request<'a> {
    pub(crate) fn of(turns: Vec<Turn<'a>>) -> Self {
        let mut request = Self::default();
        let leading = turns.iter().take_while(|turn| matches!(turn, Turn::Instructions(..))).count();
        let texts: Vec<String> = turns[..leading].iter().filter_map(instructions).collect();
        request.instructions = (!texts.is_empty()).then(|| texts.join("\n\n"));
        for turn in turns.into_iter().skip(leading) {
            match &turn {
                Turn::Instructions(message, _) => {
                    let item = instructions(&turn).map(|text| json!({"role": message.role, "content": text}).into());
                    request.hear(item);
                }
                Turn::User(_, said) => {
                    let content = match &said[..] {
                        [Part { stored: None, kind: Kind::Text(text), .. }] => Some(quoted(text)),
                        _ => filled_array(&said.iter().flat_map(Part::leaves).filter_map(input_part).collect::<Vec<_>>()),
                    };
                    let content = content.unwrap_or_else(|| quoted(NOTHING));
                    request.hear(Some(raw(format!(r#"{{"role":"user","content":{content}}}"#)).into()));
                }
                Turn::Step(step) => request.take(step),
            }
        }
        request
    }

    /// Takes items that the model has not written.
    fn hear(&mut self, items: impl IntoIterator<Item = Json<'a>>) {
        self.thoughts.clear();
        self.has_thought = false;
        self.input.extend(items);
    }

    /// Takes an item that the model has written, with what it has thought before.
    fn write(&mut self, item: Json<'a>) {
        self.has_thought |= !self.thoughts.is_empty();
        self.input.append(&mut self.thoughts);
        self.input.push(item);
    }

    fn take(&mut self, step: &Step<'a>) {
        // What the assistant says in adjacent parts is one message.
        let mut said: Vec<Cow<str>> = Vec::new();
        for element in &step.elements {
            if let Element::Said(part) = element
                && !part.leaves().is_empty()
                && !matches!(part.kind, Kind::Reasoning(_) | Kind::Item(_) | Kind::Other)
            {
                said.extend(output_text(part));
                if part.stored.is_some() {
                    continue;
                }
            }
            self.say(&mut said);
            match element {
                Element::Said(part) => match (&part.kind, part.stored_as(Spelling::Responses)) {
                    (Kind::Reasoning(_), Some(stored)) => self.thoughts.push(item(stored)),
                    (Kind::Item(_), Some(stored)) if self.takes_whole(stored) => self.write(item(stored)),
                    (Kind::Other, Some(stored)) if self.has_thoughts() => self.write(item(stored)),
                    (Kind::Item(parts), _) => {
                        said.extend(parts.iter().filter_map(output_text));
                        self.say(&mut said);
                    }
                    _ => {}
                },
                Element::Call { call, id, number } if step.is_answered(*number) => {
                    let item = function_call(call, id, self.has_thoughts());
                    self.write(item);
                }
                Element::Call { .. } => self.thoughts.clear(),
            }
        }
        self.say(&mut said);
        let outputs: Vec<Json> =
            step.results.iter().map(|(number, answer, _)| function_call_output(answer, step.call(*number).1)).collect();
        if !outputs.is_empty() {
            self.hear(outputs);
        }
    }

    fn say(&mut self, said: &mut Vec<Cow<'_, str>>) {
        if !said.is_empty() {
            self.write(json!({"role": "assistant", "content": said.join("\n\n")}).into());
            said.clear();
        }
    }

    /// Whether a thought has led to the item that comes next, so that its `id` may stay.
    fn has_thoughts(&self) -> bool {
        self.has_thought || !self.thoughts.is_empty()
    }

    /// Whether it is a message as this API has answered, with an `id` that may stay.
    fn takes_whole(&self, stored: &RawValue) -> bool {
        let object = Object::of(stored);
        self.has_thoughts()
            && ["id", "status"].iter().all(|name| object.text(name).is_some())
            && object.text("role").is_some_and(|role| role == "assistant")
            && object.get("content").is_some_and(|content| content.get().starts_with('['))
    }
}

/// An item as it is stored. The SDK dumps members that are null, and what it has read the arguments as. The API refuses both.
fn item(stored: &RawValue) -> Json<'_> {
    const OF_THE_SDK: &str = "parsed_arguments";
    let object = Object::of(stored);
    let is_clean = !object.has_nulls() && !object.has(OF_THE_SDK);
    if is_clean { stored.into() } else { object.filled(|name| name != OF_THE_SDK).into() }
}

/// The texts of instructions.
fn instructions(turn: &Turn) -> Option<String> {
    let Turn::Instructions(_, said) = turn else { return None };
    let texts: Vec<Cow<str>> = said.iter().flat_map(Part::leaves).filter_map(output_text).collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

/// A part of any API as the user's messages, and outputs, have it here.
fn input_part<'a>(part: &Part<'a>) -> Option<Json<'a>> {
    match &part.kind {
        Kind::Text(text) | Kind::Refusal(text) if text.is_empty() => None,
        Kind::Text(text) | Kind::Refusal(text) => Some(input_text(text)),
        Kind::Media(media) => {
            let own = part.stored_as(Spelling::Responses).map(Json::Stored);
            let known = own.or_else(|| written_media(media, part.spelling));
            Some(known.unwrap_or_else(|| input_text(&media.text().unwrap_or_else(|| media.described().into()))))
        }
        _ => None,
    }
}

fn input_text<'a>(text: &str) -> Json<'a> {
    json!({"type": "input_text", "text": text}).into()
}

fn written_media<'a>(media: &Media, spelling: Spelling) -> Option<Json<'a>> {
    if media.is_common_image() {
        let detail = media.detail.as_deref().unwrap_or("auto");
        return Some(json!({"type": "input_image", "image_url": media.address()?, "detail": detail}).into());
    }
    let mut item = match &media.data {
        // The same files as in Chat Completions.
        Data::Id(id) if spelling == Spelling::OpenAi => return Some(json!({"type": "input_file", "file_id": id}).into()),
        Data::Base64(_) if media.is_pdf() => json!({"type": "input_file", "file_data": media.address()}),
        Data::Url(url) if media.is_pdf() && url.starts_with("http") => {
            return Some(json!({"type": "input_file", "file_url": url}).into());
        }
        _ => return None,
    };
    item["filename"] = json!(media.name.as_deref().unwrap_or("document.pdf"));
    Some(item.into())
}

/// What a part says in words.
fn output_text<'p>(part: &'p Part<'_>) -> Option<Cow<'p, str>> {
    let text = match &part.kind {
        Kind::Text(text) | Kind::Refusal(text) => Cow::Borrowed(&**text),
        Kind::Media(media) => media.text().unwrap_or_else(|| media.described().into()),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

fn function_call<'a>(call: &Call<'a>, id: &str, keeps_own_id: bool) -> Json<'a> {
    let (name, is_text) = (in_alphabet(&call.name, "tool"), call.arguments.is_some_and(|given| given.get().starts_with('"')));
    if call.spelling == Spelling::Responses && is_text {
        let mut own = with_member(call.stored, "call_id", &quoted(id));
        if call.name != name {
            own = with_member(&own, "name", &quoted(&name));
        }
        return if keeps_own_id { raw(item(&own).to_text().into_owned()).into() } else { without_id(&own).into() };
    }
    json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments_text(call.arguments)}).into()
}

fn without_id(item: &RawValue) -> Box<RawValue> {
    Object::of(item).only(&["type", "call_id", "name", "arguments", "status"])
}

fn function_call_output<'a>(answer: &Answer<'a>, id: &str) -> Json<'a> {
    let id = quoted(id);
    let output = match &answer.output {
        Output::Text(text) => quoted(text),
        Output::Json(json) => quoted(json.get()),
        Output::Parts(parts) => {
            let parts: Vec<Json> = parts.iter().flat_map(Part::leaves).filter_map(input_part).collect();
            filled_array(&parts).unwrap_or_else(|| "\"\"".to_owned())
        }
    };
    if let (Spelling::Responses, Some(stored)) = (answer.spelling, answer.stored) {
        let own = raw(item(stored).to_text().into_owned());
        return with_member(&with_member(&own, "call_id", &id), "output", &output).into();
    }
    raw(format!(r#"{{"type":"function_call_output","call_id":{id},"output":{output}}}"#)).into()
}

/// `None` without elements: the API takes no empty content.
fn filled_array(items: &[Json]) -> Option<String> {
    let texts: Vec<Cow<str>> = items.iter().map(Json::to_text).collect();
    (!texts.is_empty()).then(|| array(&texts))
}
