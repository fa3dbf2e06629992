//! Messages whose roles alternate, as the APIs of Anthropic and of Amazon Bedrock want them.

use serde::{Serialize, Serializer};

use super::marks::Marks;
use crate::json::{Json, Object, quoted, raw, with_member};
use crate::message::Role;

/// The messages. Neighbours of one role are one message.
#[derive(Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Alternating<'a>(Vec<Spoken<'a>>);

#[derive(Serialize)]
struct Spoken<'a> {
    role: Role,
    #[serde(serialize_with = "blocks")]
    content: Vec<Block<'a>>,
}

/// A block, and whether it is a thought.
pub(crate) struct Block<'a> {
    pub(crate) json: Json<'a>,
    pub(crate) thinks: bool,
}

impl<'a> From<Json<'a>> for Block<'a> {
    fn from(json: Json<'a>) -> Self {
        Self { json, thinks: false }
    }
}

fn blocks<S: Serializer>(blocks: &[Block], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(blocks.iter().map(|block| &block.json))
}

impl<'a> Alternating<'a> {
    pub(crate) fn add(&mut self, role: Role, blocks: Vec<Block<'a>>) {
        if blocks.is_empty() {
            return;
        }
        if role == Role::User {
            self.drop_last_thoughts();
        }
        match self.0.last_mut() {
            Some(turn) if turn.role == role => turn.content.extend(blocks),
            _ => self.0.push(Spoken { role, content: blocks }),
        }
    }

    /// The APIs refuse a turn of the assistant that ends with a thought.
    fn drop_last_thoughts(&mut self) {
        let Some(turn) = self.0.last_mut().filter(|turn| turn.role == Role::Assistant) else { return };
        while turn.content.pop_if(|block| block.thinks).is_some() {}
        if turn.content.is_empty() {
            self.0.pop();
        }
    }

    /// The APIs limit the marks for a cache. They refuse white space at the end of a reply that they are asked to continue.
    pub(crate) fn end(&mut self, system: &mut Vec<Json<'a>>) {
        self.drop_last_thoughts();
        let mut marks = Marks::of(system, self.0.iter().flat_map(|turn| &turn.content).map(|block| &block.json));
        system.retain_mut(|json| marks.limit(json));
        for turn in &mut self.0 {
            turn.content.retain_mut(|block| marks.limit(&mut block.json));
        }
        let Some(block) = self.0.last_mut().filter(|turn| turn.role == Role::Assistant).and_then(|turn| turn.content.last_mut())
        else {
            return;
        };
        let stored = raw(block.json.to_text().into_owned());
        if let Some(text) = Object::of(&stored).text("text")
            && text.ends_with(char::is_whitespace)
        {
            block.json = with_member(&stored, "text", &quoted(text.trim_end())).into();
        }
    }
}
