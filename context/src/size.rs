//! How much limits count of a message, and what it takes in a response.

use crate::formats::spelling::{self, may_have_calls};
use crate::json::{elements, escaped_bytes};
use crate::message::{Content, Message, Role};
use crate::part::{Kind, Part};

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
                let may_be_text = may_have_calls(parts.get());
                frames + if may_be_text { escaped_bytes(parts.get()) } else { parts.get().len() }
            }
            None => 0,
        };
        let tool_calls = self.tool_calls.as_ref().map_or(0, |calls| calls.get().len());
        let extra = self.extra.as_ref().map_or(0, |extra| extra.get().len());
        IDS_TIMES_AND_NAMES + content + tool_calls + text(&self.tool_call_id) + text(&self.name) + extra + self.other_bytes
    }
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

/// How much of content parts is pictures and files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MediaSize {
    /// The bytes of the stored text that are base64, and count nothing.
    pub bytes: i32,
    /// What the pictures and files count instead: each picture 1,600, each started second of a sound 32, and each started 4 KiB of another
    /// file 1,000.
    pub tokens: i32,
}

impl MediaSize {
    /// Measures an array of content parts. `None`: it has no pictures and files.
    #[must_use]
    pub fn of(parts: &str) -> Option<Self> {
        // Every spelling of a picture or file has a string or a member that begins so.
        const WORDS: [&str; 10] =
            ["image", "file", "media", "input_", "document", "audio", "video", "inline", "resource", "source"];
        if !parts.split('"').any(|word| WORDS.iter().any(|known| word.starts_with(known))) {
            return None;
        }
        let parts = elements(serde_json::from_str(parts).ok()?);
        let (bytes, tokens) = parts.into_iter().fold((0, 0), |sum, part| add(sum, &spelling::part(part, Role::Assistant)));
        let count = |number| i32::try_from(number).unwrap_or(i32::MAX);
        (tokens > 0).then(|| Self { bytes: count(bytes), tokens: count(tokens) })
    }
}

fn add(sum: (usize, usize), part: &Part) -> (usize, usize) {
    match &part.kind {
        Kind::Media(media) => {
            let (bytes, tokens) = media.weight();
            (sum.0 + bytes, sum.1 + tokens)
        }
        Kind::Answer(answer) | Kind::Answered(_, answer) => answer.output.parts().iter().fold(sum, add),
        Kind::Item(parts) => parts.iter().fold(sum, add),
        _ => sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_counts_as_a_picture_and_a_sound_its_seconds() {
        let data = "A".repeat(200_000);
        for (part, expected) in [
            (format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{data}"}}}}"#), (200_000, 1600)),
            (r#"{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}"#.to_owned(), (0, 1600)),
            (
                format!(r#"{{"type":"image","source":{{"type":"base64","mime_type":"image/png","data":"{data}"}}}}"#),
                (200_000, 1600),
            ),
            (
                format!(r#"{{"type":"tool_result","content":[{{"type":"image","data":"{data}","mimeType":"image/png"}}]}}"#),
                (200_000, 1600),
            ),
            (format!(r#"{{"type":"input_audio","input_audio":{{"format":"mp3","data":"{data}"}}}}"#), (200_000, 32 * 10)),
            (
                format!(r#"{{"type":"file","mediaType":"application/pdf","url":"data:application/pdf;base64,{data}"}}"#),
                (200_000, 37_000),
            ),
            (r#"{"type":"text","text":"file"}"#.to_owned(), (0, 0)),
        ] {
            let size = MediaSize::of(&format!("[{part}]")).unwrap_or_default();
            assert_eq!((size.bytes, size.tokens), expected, "{}", &part[..part.len().min(40)]);
        }
    }
}
