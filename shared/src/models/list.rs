//! Which of a user's conversations a list has, and in which order.

use serde::Serialize;
use uuid::Uuid;

use super::{Conversation, Cursor, List, Message, Text, Title, alike};
use crate::invalid::{Fault, Invalid};
use crate::wire::ToWire;

/// What a list of conversations is ordered by, the newest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ListOrder {
    /// By `updated_at`.
    #[default]
    Updated,
    /// By `last_message_at`, or `created_at` where there is no message.
    Activity,
}

impl ListOrder {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "updated" => Ok(Self::Updated),
            "activity" => Ok(Self::Activity),
            _ => Err(Invalid::new(Fault::Parameter, "must be updated or activity")),
        }
    }

    /// The name that [`ListOrder::parse`] reads.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Updated => "updated",
            Self::Activity => "activity",
        }
    }

    pub(crate) fn is_by_activity(self) -> bool {
        self == Self::Activity
    }

    /// What the cursors of a list in this order are of. A cursor of the other order names another time.
    #[must_use]
    pub fn list(self) -> List {
        match self {
            Self::Updated => List::Updated,
            Self::Activity => List::Activity,
        }
    }
}

/// Which conversations a list has. They have to pass all filters that are set.
#[derive(Debug, Clone, Default)]
pub struct ConversationFilter {
    pub order: ListOrder,
    /// A part of the title, where upper and lower case are alike.
    pub title: Option<Title>,
    /// Members of the metadata, with their values as text.
    pub members: Vec<(Text, Text)>,
    pub archived: Option<bool>,
    pub pinned: Option<bool>,
    /// Only these.
    pub ids: Option<Vec<Uuid>>,
    /// Whether each comes with its newest message.
    pub with_last_message: bool,
}

impl ConversationFilter {
    /// Whether conversations of the user have to be read that the list does not have.
    pub(crate) fn is_selective(&self) -> bool {
        self.ids.is_none() && (self.title.is_some() || !self.members.is_empty() || self.archived.is_some() || self.pinned.is_some())
    }

    /// The part of the title as a regular expression, for `~*`.
    pub(crate) fn title_pattern(&self) -> Option<String> {
        self.title.as_ref().map(|title| alike::part_pattern(title.as_str()))
    }

    /// The members' keys, and their values.
    pub(crate) fn columns(&self) -> (Option<Vec<&str>>, Option<Vec<&str>>) {
        let columns = (!self.members.is_empty())
            .then(|| self.members.iter().map(|(key, value)| (key.as_str(), value.as_str())).unzip::<_, _, Vec<_>, Vec<_>>());
        columns.unzip()
    }

    /// Where a list goes on behind a conversation.
    #[must_use]
    pub fn cursor(&self, conversation: &Conversation) -> Cursor {
        let time = match self.order {
            ListOrder::Updated => conversation.updated_at,
            ListOrder::Activity => conversation.last_message_at.unwrap_or(conversation.created_at),
        };
        Cursor { time, id: conversation.id, position: 0 }
    }
}

#[derive(Debug, Serialize)]
pub struct ListedConversation {
    #[serde(flatten)]
    pub conversation: Conversation,
    /// Its newest message, if it has one. The outer `None`: nobody has asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_message: Option<Option<Message>>,
}

impl ToWire for ListedConversation {}
