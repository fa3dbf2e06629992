//! A conversation, and what is needed to start one.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Change, Json, Text, UserId, Version, json, serialize_optional_time, serialize_time};
use crate::invalid::{Fault, Invalid};

/// A conversation as it is stored; serializes as the contract's `Conversation`.
#[derive(Debug, Clone, Serialize)]
pub struct Conversation {
    pub id: Uuid,
    pub user_id: String,
    pub title: Option<String>,
    /// A JSON object, as it was given.
    pub metadata: Box<RawValue>,
    /// How many messages are on its line.
    pub message_count: i64,
    /// How many messages are kept beside it.
    pub kept_count: i64,
    #[serde(serialize_with = "serialize_time")]
    pub created_at: DateTime<Utc>,
    /// When it or one of its messages last changed; strictly increases.
    #[serde(serialize_with = "serialize_time")]
    pub updated_at: DateTime<Utc>,
    /// When its newest message was stored. Only new messages move it.
    #[serde(serialize_with = "serialize_optional_time")]
    pub last_message_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "serialize_optional_time")]
    pub archived_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "serialize_optional_time")]
    pub pinned_at: Option<DateTime<Utc>>,
    /// When it counts as deleted.
    #[serde(serialize_with = "serialize_optional_time")]
    pub expires_at: Option<DateTime<Utc>>,
    /// The conversation that it is a copy of.
    pub forked_from: Option<ForkedFrom>,
    pub summary: Option<Summarized>,
    /// Its version, for an ETag.
    #[serde(skip)]
    pub version: Version,
}

/// What a conversation is a copy of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ForkedFrom {
    /// The source, which may have been deleted since.
    pub conversation_id: Uuid,
    /// The position of the last message that was copied; 0: none was.
    pub position: i64,
}

/// That a conversation has a summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summarized {
    /// The position of the last message that it stands for.
    pub through: i64,
    #[serde(serialize_with = "serialize_time")]
    pub created_at: DateTime<Utc>,
}

/// A conversation's summary, with its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The position of the last message that it stands for.
    pub through: i64,
    pub content: String,
    /// Its tokens, as the caller counted them.
    pub token_count: Option<i32>,
    #[serde(serialize_with = "serialize_time")]
    pub created_at: DateTime<Utc>,
}

/// A text that is to stand for all messages up to a position.
#[derive(Debug, Clone)]
pub struct NewSummary {
    pub through: i64,
    /// The text. It is not empty.
    pub content: Text,
    /// Its tokens, as the caller counted them.
    pub token_count: Option<i32>,
}

impl NewSummary {
    const MAX_BYTES: usize = 1 << 20;

    /// The text of a summary.
    pub fn content(text: impl Into<String>) -> Result<Text, Invalid> {
        let text = Text::parse(text)?;
        match text.as_str().len() {
            0 => Err(Invalid::new(Fault::Parameter, "a summary is not empty")),
            1..=Self::MAX_BYTES => Ok(text),
            _ => Err(Invalid::new(Fault::TooLarge, "a summary may have 1 MiB")),
        }
    }
}

/// What `get_or_create_conversation` is asked for.
#[derive(Debug, Clone)]
pub struct NewConversation {
    pub user_id: UserId,
    /// Exactly this one, found or created.
    pub id: Option<Uuid>,
    /// A new one even if the user has one already.
    pub always_new: bool,
    /// For a created one.
    pub title: Option<Title>,
    /// For a created one.
    pub metadata: Metadata,
    /// For a created one: after how many seconds it expires.
    pub expires_in: Option<i64>,
}

impl NewConversation {
    /// The user's most recently updated conversation, or a new one without title and metadata.
    #[must_use]
    pub fn of(user_id: UserId) -> Self {
        Self { user_id, id: None, always_new: false, title: None, metadata: Metadata::default(), expires_in: None }
    }
}

/// A copy of a conversation to make.
#[derive(Debug, Clone)]
pub struct NewFork {
    /// Its id. `None`: a new one.
    pub id: Option<Uuid>,
    /// The position of the last message to copy. `None`: all messages.
    pub through: Option<i64>,
    /// `None`: that of the source.
    pub title: Option<Title>,
    /// `None`: that of the source.
    pub metadata: Option<Metadata>,
}

/// What becomes of a conversation.
#[derive(Debug, Clone)]
pub struct ConversationChange {
    pub title: Change<Title>,
    /// Its metadata: a JSON merge patch (RFC 7396), in which null deletes.
    pub metadata: Change<Metadata>,
    /// Whether it is archived. `None`: as it is.
    pub archived: Option<bool>,
    /// Whether it is pinned. `None`: as it is.
    pub pinned: Option<bool>,
    /// After how many seconds it expires. [`Change::Clear`]: never.
    pub expires_in: Change<i64>,
}

/// A title: text of at most 512 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title(Text);

impl Title {
    const MAX_CHARACTERS: usize = 512;

    pub fn parse(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = Text::parse(text)?;
        if text.as_str().chars().count() > Self::MAX_CHARACTERS {
            return Err(Invalid::new(Fault::Parameter, "a title has 512 characters at most"));
        }
        Ok(Self(text))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// The caller's own data about a conversation or message: a JSON object, kept as it came. A conversation has 16 KiB at most, a message
/// 256 KiB.
#[derive(Debug, Clone)]
pub struct Metadata(Json);

impl Metadata {
    const MAX_BYTES_OF_CONVERSATION: usize = 16 << 10;
    const MAX_BYTES_OF_MESSAGE: usize = 256 << 10;
    /// Less than [`Json::MAX_DEPTH`], because metadata is also merged.
    const MAX_DEPTH: usize = 100;

    /// The metadata of a conversation.
    ///
    /// # Errors
    /// The JSON is no object, is too large or too deep, or holds text that is not Unicode (a lone surrogate).
    pub fn of_conversation(json: Json) -> Result<Self, Invalid> {
        Self::parse(json, Self::MAX_BYTES_OF_CONVERSATION)
    }

    /// The metadata of a message.
    pub fn of_message(json: Json) -> Result<Self, Invalid> {
        Self::parse(json, Self::MAX_BYTES_OF_MESSAGE)
    }

    fn parse(json: Json, max_bytes: usize) -> Result<Self, Invalid> {
        if !json.is_object() {
            return Err(Invalid::new(Fault::Parameter, "metadata is a JSON object"));
        }
        if json.as_str().len() > max_bytes {
            return Err(Invalid::new(Fault::TooLarge, format!("metadata has {} KiB of JSON at most", max_bytes >> 10)));
        }
        if json::nesting(json.as_str())? > Self::MAX_DEPTH {
            return Err(Invalid::new(Fault::Parameter, "metadata may be nested 100 levels deep at most"));
        }
        if json::has_lone_surrogate(json.as_str()) {
            return Err(json::lone_surrogate());
        }
        Ok(Self(json))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn into_raw(self) -> Box<RawValue> {
        self.0.into_raw()
    }
}

impl Default for Metadata {
    /// `{}`
    fn default() -> Self {
        Self(Json::parse("{}").expect("an empty object is JSON"))
    }
}
