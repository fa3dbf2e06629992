//! Reads a message, or waits for a change of it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::call;
use super::rows::Columns;
use crate::auth::Caller;
use crate::db::Database;
use crate::error::{Error, Fault, Invalid, Result};
use crate::models::{Conditional, Content, ETags, InTree, Message, Status, Version};

/// The first pause between two looks of a wait. A reply is written in pieces, and the next one is a fraction of a second away.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Each pause is longer than the one before it by half, up to this. So a piece is seen within half a second.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What a reader wants of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// How many characters of the content the reader has already.
    pub skip: Option<i64>,
    /// How long to wait for a change, where the reader has the message.
    pub wait: Option<Duration>,
    /// Whether the message says which messages follow the same one.
    pub with_versions: bool,
}

/// Reads a message; with `skip`, its content is only what comes behind that many characters. So a reader can follow a reply that is
/// being written. If `if_none_match` names the ETag, no content is read.
///
/// With `wait`, a reader who has the message waits for so long at most until it changes or ends. Each look is a statement of its own. Between
/// two looks there is no transaction, so a pooler has given the server's connection to others.
///
/// # Errors
/// [`Error::NotFound`]: no such message in a conversation of the caller's. `invalid_parameter`: `skip`, and the content is no string.
/// [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn get_message(
    database: &Database,
    caller: &Caller,
    conversation_id: Uuid,
    message_id: Uuid,
    look: Look,
    if_none_match: Option<&ETags>,
) -> Result<Conditional<Message>> {
    let Look { skip, wait, with_versions } = look;
    let until = database.last_look(wait.unwrap_or_default());
    let known = ETags::known(if_none_match);
    let mut pause = FIRST_PAUSE;
    loop {
        let rows = call(
            &database.for_a_look(),
            if with_versions { "get_message_versions" } else { "get_message" },
            &[
                (&conversation_id, Type::UUID),
                (&caller.owner(), Type::TEXT),
                (&message_id, Type::UUID),
                (&known, Type::TEXT_ARRAY),
                (&skip, Type::INT8),
                (&database.retention(), Type::INT4),
            ],
        )
        .await?;
        let mut columns = Columns::of(rows.first().ok_or(Error::NotFound)?);
        let version = Version { number: columns.read()?, abandoned: columns.read()? };
        if !columns.read()? {
            let mut message = columns.message(conversation_id)?;
            if with_versions {
                message.tree = Some(Box::new(InTree { versions: Some(columns.read()?), ..InTree::default() }));
            }
            if skip.is_some() && matches!(message.content, Some(Content::Parts(_))) {
                return Err(Invalid::new(
                    Fault::Parameter,
                    "this content has parts, and only a string has characters to skip; leave skip out",
                )
                .at("skip"));
            }
            return Ok(Conditional::Modified(message, version));
        }
        let has_ended = Status::stored(columns.skip(10).read()?) != Status::InProgress;
        if has_ended || Instant::now() >= until {
            return Ok(Conditional::NotModified(version));
        }
        // The last look is at the end.
        sleep_until(until.min(Instant::now() + pause)).await;
        pause = LONGEST_PAUSE.min(pause * 3 / 2);
    }
}
