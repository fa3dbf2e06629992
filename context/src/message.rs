//! A message, as far as a model is concerned.

use serde::Serialize;
use serde_json::value::RawValue;

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
