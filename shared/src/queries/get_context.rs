//! Reads what to send to a model.

use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::rows::Columns;
use super::{RESPONSE_BYTES, RESPONSE_ROWS, call};
use crate::auth::Caller;
use crate::db::{Database, Parameter};
use crate::error::{Error, Result};
use crate::models::{Conditional, Context, ContextOptions, ContextSummary, ETags, ExportedSummary};

/// Reads what to send to a model. It is the leading instructions, and the longest newest part of the conversation that is within the
/// limits. The model's API accepts it ([`Context`] says how it is chosen). If `if_none_match` names the conversation's version, no message is read. A
/// long conversation is read no further back than the limits need, plus the last step of tool calls.
///
/// `line`: what it would be if the line ended with this message.
///
/// ```no_run
/// use shared::Caller;
/// use shared::models::{Conditional, ContextFormat, ContextLimits, ContextOptions};
/// use shared::queries::get_context;
/// # use shared::{Database, Error};
///
/// # async fn example(database: &Database, conversation_id: uuid::Uuid) -> Result<(), Error> {
/// let limits = ContextLimits { tokens: Some(8000), ..ContextLimits::default() };
/// let options = ContextOptions { limits, step: Some(2000), ..ContextOptions::default() };
/// let read = get_context(database, &Caller::Anyone, conversation_id, options, None, None).await?;
/// if let Conditional::Modified(context, _version) = read {
///     println!("{}", serde_json::to_string(&context.into_json(ContextFormat::OpenAi)).unwrap());
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::NotFound`]: no such conversation of the caller's, or no such message in it. [`Error::Database`], [`Error::DatabaseTimeout`].
pub async fn get_context(
    database: &Database,
    caller: &Caller,
    conversation_id: Uuid,
    options: ContextOptions,
    line: Option<Uuid>,
    if_none_match: Option<&ETags>,
) -> Result<Conditional<Context>> {
    let limits = options.limits;
    let known = ETags::known(if_none_match).unwrap_or_default();
    let (owner, retention) = (caller.owner(), database.retention());
    let most_messages = limits.messages.unwrap_or(RESPONSE_ROWS).min(RESPONSE_ROWS);
    let most_characters = limits.characters.unwrap_or(i64::MAX);
    let mut parameters: Vec<Parameter<'_>> = vec![
        (&conversation_id, Type::UUID),
        (&owner, Type::TEXT),
        (&most_messages, Type::INT8),
        (&most_characters, Type::INT8),
        (&RESPONSE_BYTES, Type::INT8),
        (&known, Type::TEXT_ARRAY),
        (&limits.tokens, Type::INT8),
        (&retention, Type::INT4),
    ];
    if line.is_some() {
        parameters.push((&line, Type::UUID));
    }
    let rows = call(database, if line.is_some() { "get_context_of_line" } else { "get_context" }, &parameters).await?;
    let first = rows.first().ok_or(Error::NotFound)?;
    let mut columns = Columns::of(first);
    let (version, stored): (_, i64) = (columns.version()?, columns.read()?);
    if if_none_match.is_some_and(|known| known.matches(version)) {
        return Ok(Conditional::NotModified(version));
    }
    Ok(Conditional::Modified(chosen(conversation_id, &rows, 0, stored, options)?, version))
}

/// Chooses from these rows, whose columns of a `context_row` are behind `skipped` others. The conversation has as many complete messages as
/// `stored` says.
pub(super) fn chosen(conversation_id: Uuid, rows: &[Row], skipped: usize, stored: i64, options: ContextOptions) -> Result<Context> {
    let (mut pinned, mut newest_of_user, mut newest, mut summary) = (Vec::new(), None, Vec::new(), None);
    for row in rows {
        let mut columns = Columns::of(row);
        match columns.skip(skipped + 2).read()? {
            Some(0) => pinned.push(columns.message(conversation_id)?),
            Some(1) => newest_of_user = Some(columns.message(conversation_id)?),
            Some(3) => {
                let ExportedSummary { through, content, token_count, messages, created_at } = columns.summary(2)?;
                summary = Some(ContextSummary::new(conversation_id, through, content, token_count, messages, created_at)?);
            }
            Some(_) => newest.push((columns.message(conversation_id)?, [columns.read()?, columns.read()?])),
            None::<i32> => {}
        }
    }
    // They come in order, or in the opposite one, which is quickly seen; in the statement it would be a sort of everything.
    pinned.sort_unstable_by_key(|message| message.position);
    newest.sort_unstable_by_key(|(message, _)| message.position);
    Ok(Context::choose(pinned, newest_of_user, newest, summary, stored, options))
}
