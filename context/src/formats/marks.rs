//! Marks for a prompt cache, as the APIs of Anthropic and of Amazon Bedrock have them: members of blocks, or blocks of their own.

use serde_json::value::RawValue;

use crate::json::{Json, Object, array, elements, with_member};

const MEMBER: &str = "cache_control";
const BLOCK: &str = "cachePoint";

/// Which blocks of a request keep their marks. The APIs refuse a fifth mark. The last mark of the instructions stays, because what is before it
/// changes least. Then the newest marks stay, because the next request looks there for what this one has written.
pub(crate) struct Marks {
    /// For each block: how many marks it has, and whether they stay.
    blocks: std::vec::IntoIter<(usize, bool)>,
    /// Whether a mark was for a short time. The APIs refuse one for a longer time behind it.
    is_short: bool,
}

impl Marks {
    pub(crate) fn of<'a>(system: &[Json], messages: impl Iterator<Item = &'a Json<'a>>) -> Self {
        const MOST: usize = 4;
        let mut blocks: Vec<(usize, bool)> =
            system.iter().map(count).chain(messages.map(count)).map(|count| (count, true)).collect();
        let last = blocks[..system.len()].iter().rposition(|(count, _)| *count > 0);
        let mut left = MOST - usize::from(last.is_some());
        for (_, (count, stays)) in blocks.iter_mut().enumerate().rev().filter(|(at, _)| Some(*at) != last) {
            *stays = *count <= left;
            left -= if *stays { *count } else { 0 };
        }
        Self { blocks: blocks.into_iter(), is_short: false }
    }

    /// Takes marks that do not stay from the next block. Returns whether anything of it is left.
    pub(crate) fn limit(&mut self, json: &mut Json) -> bool {
        let (Some((1.., stays)), Some(block)) = (self.blocks.next(), may_have(json)) else { return true };
        let object = Object::of(block);
        let name = if object.has(BLOCK) { BLOCK } else { MEMBER };
        if !stays {
            let without = |object: &Object| object.filled(|member| member != MEMBER);
            let mut rest = without(&object);
            if let Some(content) = object.get("content").filter(|content| content.get().starts_with('[')) {
                let parts: Vec<Box<RawValue>> = elements(content).into_iter().map(|part| without(&Object::of(part))).collect();
                rest = with_member(&rest, "content", &array(&parts.iter().map(|part| part.get()).collect::<Vec<_>>()));
            }
            *json = rest.into();
            return name != BLOCK;
        }
        if object.object(name).text("ttl").is_none_or(|time| time != "1h") {
            self.is_short = true;
        } else if self.is_short {
            let shorter = object.object(name).filled(|member| member != "ttl");
            *json = with_member(block, name, shorter.get()).into();
        }
        true
    }
}

/// Whether the block is nothing but a mark.
pub(crate) fn is_mark(json: &Json) -> bool {
    may_have(json).is_some_and(|block| Object::of(block).has(BLOCK))
}

/// How many marks a block has. The blocks in a result may have some, too.
fn count(json: &Json) -> usize {
    let Some(object) = may_have(json).map(Object::of) else { return 0 };
    let in_content = object.elements("content").into_iter().filter(|part| Object::of(part).has(MEMBER)).count();
    usize::from(object.has(MEMBER) || object.has(BLOCK)) + in_content
}

/// What is made anew has no marks.
fn may_have<'j>(json: &'j Json) -> Option<&'j RawValue> {
    let block: &RawValue = match json {
        Json::Stored(block) => block,
        Json::Written(block) => block,
        Json::Made(_) => return None,
    };
    [MEMBER, BLOCK].iter().any(|name| block.get().contains(name)).then_some(block)
}
