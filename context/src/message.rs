//! A message, as far as a model is concerned, and how much limits count of it.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::media::MediaSize;
use crate::part;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A tool that the model called.
    Tool,
    /// Instructions to the model.
    System,
    /// Instructions to the model, as newer models call them.
    Developer,
}

impl Role {
    /// # Errors
    /// No role is called so. The text says what would be right.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "user" => Ok(Self::User),
            "assistant" => Ok(Self::Assistant),
            "tool" => Ok(Self::Tool),
            "system" => Ok(Self::System),
            "developer" => Ok(Self::Developer),
            _ => Err("a role is one of user, assistant, tool, system, developer"),
        }
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::System => "system",
            Self::Developer => "developer",
        }
    }

    /// Whether it gives instructions.
    pub(crate) fn instructs(self) -> bool {
        matches!(self, Self::System | Self::Developer)
    }
}

/// What a message says.
#[derive(Debug, Clone)]
pub enum Content {
    /// A string.
    Text(String),
    /// An array of objects.
    Parts(Box<RawValue>),
}

impl Content {
    /// Its characters (Unicode scalar values); of parts, those of their JSON text.
    pub(crate) fn characters(&self) -> usize {
        self.stored_text().chars().count()
    }

    /// Its text, or the JSON text of its parts.
    pub(crate) fn stored_text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Parts(parts) => parts.get(),
        }
    }

    /// Whether it is an empty text.
    pub(crate) fn is_empty_text(&self) -> bool {
        matches!(self, Self::Text(text) if text.is_empty())
    }
}

/// Which of the caller's messages a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The one with this number, which the caller has chosen. Its content or its calls may be others than those that are stored.
    Stored(usize),
    /// One that nobody has stored. It is made for the stored message with this number.
    Made {
        /// The number.
        of: usize,
        /// The same every time, and another one for each message that is made for the same stored one.
        name: String,
    },
}

impl Source {
    pub(crate) fn stored(&self) -> usize {
        match self {
            Self::Stored(number) | Self::Made { of: number, .. } => *number,
        }
    }
}

/// A message.
#[derive(Debug, Clone)]
pub struct Message {
    /// Which of the caller's messages it is.
    pub source: Source,
    /// Its place in the conversation: strictly increasing.
    pub position: i64,
    /// Who speaks.
    pub role: Role,
    /// What is said; `None` where `tool_calls` says it all.
    pub content: Option<Content>,
    /// The calls to tools: an object or an array.
    pub tool_calls: Option<Box<RawValue>>,
    /// The call that a tool's message answers.
    pub tool_call_id: Option<String>,
    /// The speaker's or the tool's name.
    pub name: Option<String>,
    /// Its tokens, as the caller counted them.
    pub token_count: Option<i32>,
    /// What the API of Chat Completions has answered beside the content and the calls, such as a refusal: an object.
    pub extra: Option<Box<RawValue>>,
    /// What it takes in the format `messages` beside these members, in bytes.
    pub other_bytes: usize,
}

impl Message {
    /// What the metadata of a message takes that nobody has stored.
    pub(crate) const MADE_BYTES: usize = 20;

    /// What `max_chars` counts; the column `characters` says the same.
    #[must_use]
    pub fn characters(&self) -> i64 {
        characters(self.content.as_ref().map(Content::stored_text), self.tool_calls.as_ref().map(|calls| calls.get()))
    }

    /// What `max_tokens` counts; `get_context.sql` says the same.
    #[must_use]
    pub fn tokens(&self) -> i64 {
        let (text, parts) = match &self.content {
            Some(Content::Text(text)) => (Some(text.as_str()), None),
            Some(Content::Parts(parts)) => (None, Some(parts.get())),
            None => (None, None),
        };
        let tool_calls = self.tool_calls.as_ref().map(|calls| calls.get());
        self.token_count.map_or_else(|| estimate(text, parts, tool_calls, self.name.as_deref()), i64::from)
    }

    /// What a message takes in a response, at most.
    pub(crate) fn json_bytes(&self) -> usize {
        const IDS_TIMES_AND_NAMES: usize = 400;
        // What a part's members in another format take more.
        const FRAME: usize = 40;
        let text = |text: &Option<String>| text.as_ref().map_or(0, |text| escaped_bytes(text));
        let content = match &self.content {
            Some(Content::Text(text)) => escaped_bytes(text),
            Some(Content::Parts(parts)) => {
                let frames = FRAME * parts.get().bytes().filter(|byte| *byte == b'{').count();
                // A format may write them as text.
                let may_be_text = part::may_have_calls(parts.get());
                frames + if may_be_text { escaped_bytes(parts.get()) } else { parts.get().len() }
            }
            None => 0,
        };
        let tool_calls = self.tool_calls.as_ref().map_or(0, |calls| calls.get().len());
        let extra = self.extra.as_ref().map_or(0, |extra| extra.get().len());
        IDS_TIMES_AND_NAMES + content + tool_calls + text(&self.tool_call_id) + text(&self.name) + extra + self.other_bytes
    }
}

/// How many bytes a text has in JSON.
pub(crate) fn escaped_bytes(text: &str) -> usize {
    // The compiler makes vector code of sums of single bytes. A sum of 32 fits in one: a byte adds at most 5.
    let added = |byte: &u8| {
        // From \b to \r, all but \v.
        let is_short = byte.wrapping_sub(0x08) < 6 && *byte != 0x0b;
        u8::from(*byte == b'"' || *byte == b'\\') + 5 * u8::from(*byte < 0x20) - 4 * u8::from(is_short)
    };
    let chunks = text.as_bytes().chunks(32);
    text.len() + chunks.map(|chunk| usize::from(chunk.iter().map(added).sum::<u8>())).sum::<usize>()
}

/// The characters (Unicode scalar values) of a message: those of its content and of its calls; of JSON, those of its text.
#[must_use]
pub fn characters(content: Option<&str>, tool_calls: Option<&str>) -> i64 {
    let count = |text: Option<&str>| text.map_or(0, |text| text.chars().count());
    i64::try_from(count(content) + count(tool_calls)).unwrap_or(i64::MAX)
}

/// The tokens of a message, estimated without a tokenizer: one for every four bytes of UTF-8, and four for the frame of a message. Pictures and
/// files count by what they are ([`MediaSize`]). `get_context.sql` says the same.
#[must_use]
pub fn estimate(text: Option<&str>, parts: Option<&str>, tool_calls: Option<&str>, name: Option<&str>) -> i64 {
    const BYTES_OF_A_TOKEN: i64 = 4;
    const FRAME: i64 = 4;
    let media = parts.and_then(MediaSize::of).unwrap_or_default();
    let bytes: usize = [text, parts, tool_calls, name].into_iter().flatten().map(str::len).sum();
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX) - i64::from(media.bytes);
    (bytes + BYTES_OF_A_TOKEN - 1) / BYTES_OF_A_TOKEN + FRAME + i64::from(media.tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_takes_no_more_than_what_is_reckoned() {
        let every_character: String = ('\u{1}'..='\u{ff}').collect();
        for text in [every_character.repeat(7), "\u{b}".repeat(63), "\n\"\\".repeat(33), "é".repeat(31)] {
            let written = serde_json::to_string(&text).unwrap().len() - 2;
            assert_eq!(escaped_bytes(&text), written);
        }
    }
}
