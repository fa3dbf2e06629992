//! The lines of an import, each an object with fields of its own.

use std::collections::{HashMap, HashSet};
use std::time::{SystemTime, UNIX_EPOCH};

use shared::error::{Fault, Invalid};
use shared::http::{Fields, Request};
use shared::models::{
    ForkedFrom, Import, ImportedConversation, ImportedMessage, ImportedSummary, Metadata, NewMessage, NewSummary, Role, Status,
    Text, Title,
};
use shared::{Error, Result};

/// The largest position that a line may have: one for each microsecond since 1970. Conversations grow more slowly, so what was imported and
/// has grown can be imported again. Until the year 2255, this is less than 2^53, up to which every JSON parser reads integers exactly.
fn max_position() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX)
}

/// Reads the lines of an export. A line that is there again, letter by letter, counts as stored before. The error names the first line that
/// is none of an export, and its field.
pub(crate) fn read(request: &Request) -> Result<Import> {
    let mut import = Import::default();
    let (mut conversations, mut ids, mut positions) = (HashMap::new(), HashSet::new(), HashSet::new());
    let (mut seen, mut throughs) = (HashSet::new(), HashSet::new());
    for (line, number) in request.lines()?.lines().zip(1..) {
        if !seen.insert(line) {
            import.repeated += 1;
            continue;
        }
        let mut fields = Fields::of_line(line, number)?;
        let (conversation, message) = (fields.object("conversation")?, fields.object("message")?);
        match (conversation, message) {
            (Some(conversation), None) => {
                let conversation = read_conversation(fields, conversation, number)?;
                let is_new = conversation.summaries.iter().all(|summary| throughs.insert((conversation.id, summary.through)));
                let at = *conversations.entry(conversation.id).or_insert(import.conversations.len());
                match import.conversations.get_mut(at) {
                    Some(known) if !known.goes_on_as(&conversation) => return Err(twice(number, "conversation.id")),
                    _ if !is_new => return Err(twice(number, "summaries")),
                    None => import.conversations.push(conversation),
                    Some(known) => known.summaries.extend(conversation.summaries),
                }
            }
            (None, Some(message)) => {
                fields.finish()?;
                let message = read_message(message, number)?;
                if !ids.insert((message.conversation_id, message.message.id)) {
                    return Err(twice(number, "message.id"));
                }
                if !positions.insert((message.conversation_id, message.position)) {
                    return Err(twice(number, "message.position"));
                }
                import.messages.push(message);
            }
            _ => {
                let detail = "each line has either a conversation or a message, as an export writes them";
                return Err(Invalid::new(Fault::Body, detail).at(format!("line {number}")));
            }
        }
    }
    Ok(import)
}

fn twice(line: i64, field: &str) -> Error {
    Invalid::new(Fault::Ambiguous, "it is in the request twice, with different content").at(format!("line {line}: {field}"))
}

fn read_conversation(mut line: Fields<'_>, mut fields: Fields<'_>, number: i64) -> Result<ImportedConversation> {
    let summaries = line.objects("summaries", 0..=100_000)?.unwrap_or_default();
    let next_position = line.integer("next_position", 1..=max_position())?;
    let next_position = line.required("next_position", next_position)?;
    line.finish()?;
    let id = fields.uuid("id")?;
    let forked_from = fields.object("forked_from")?.map(read_source).transpose()?;
    let (created_at, updated_at) = (fields.past("created_at")?, fields.past("updated_at")?);
    let conversation = ImportedConversation {
        line: number,
        id: fields.required("id", id)?,
        title: fields.parse("title", Title::parse)?,
        metadata: fields.metadata(Metadata::of_conversation)?.unwrap_or_default(),
        created_at: fields.required("created_at", created_at)?,
        updated_at: fields.required("updated_at", updated_at)?,
        last_message_at: fields.past("last_message_at")?,
        archived_at: fields.past("archived_at")?,
        pinned_at: fields.past("pinned_at")?,
        expires_at: fields.time("expires_at")?,
        forked_from,
        next_position,
        summaries: summaries.into_iter().map(|summary| read_summary(summary, number, next_position)).collect::<Result<_>>()?,
    };
    // The path says whose it is. The others are counted from what is stored.
    fields.ignore(&["user_id", "message_count", "kept_count", "summary"]);
    fields.finish()?;
    Ok(conversation)
}

fn read_source(mut fields: Fields<'_>) -> Result<ForkedFrom> {
    let (id, position) = (fields.uuid("conversation_id")?, fields.integer("position", 0..=max_position())?);
    let source =
        ForkedFrom { conversation_id: fields.required("conversation_id", id)?, position: fields.required("position", position)? };
    fields.finish()?;
    Ok(source)
}

fn read_summary(mut fields: Fields<'_>, line: i64, next_position: i64) -> Result<ImportedSummary> {
    // No summary stands for messages that are to come, or for more than one at a position.
    let through = fields.integer("through", 1..=next_position - 1)?;
    let through = fields.required("through", through)?;
    let messages = fields.integer("messages", 0..=through)?;
    let (content, created_at) = (fields.parse("content", NewSummary::content)?, fields.past("created_at")?);
    let summary = ImportedSummary {
        line,
        through,
        content: fields.required("content", content)?,
        token_count: fields.token_count()?,
        messages: fields.required("messages", messages)?,
        created_at: fields.required("created_at", created_at)?,
    };
    fields.finish()?;
    Ok(summary)
}

fn read_message(mut fields: Fields<'_>, line: i64) -> Result<ImportedMessage> {
    let role = fields.parse("role", |text| Ok(Role::parse(&text)?))?;
    let (role, content, tool_calls) = (fields.required("role", role)?, fields.content()?, fields.tool_calls()?);
    let mut message =
        NewMessage::new(role, content, tool_calls).map_err(|invalid| invalid.at(format!("line {line}: message.content")))?;
    let (id, conversation_id) = (fields.uuid("id")?, fields.uuid("conversation_id")?);
    message.id = fields.required("id", id)?;
    message.tool_call_id = fields.parse("tool_call_id", Text::tool_call_id)?;
    message.name = fields.parse("name", Text::name)?;
    message.metadata = fields.metadata(Metadata::of_message)?.unwrap_or_default();
    message.token_count = fields.token_count()?;
    // One that has lost its writer is stored as one that is still being written.
    let status = fields.parse("status", |text| if text == "incomplete" { Ok(Status::Incomplete) } else { Status::parse(&text) })?;
    message.status = status.unwrap_or(Status::Complete);
    if let Some(mut extra) = fields.object("extra")? {
        message.extra = extra.extra()?;
        extra.finish()?;
    }
    let feedback = fields.feedback()?;
    let (kept, parent) = (fields.flag("kept")?, fields.uuid("parent_id")?);
    if parent.is_some() && kept != Some(true) {
        let detail = "a message has a parent_id where kept is true; that of any other is the message before it";
        return Err(Invalid::new(Fault::Parameter, detail).at(format!("line {line}: message.parent_id")));
    }
    let position = fields.integer("position", 1..=max_position())?;
    let (created_at, updated_at) = (fields.past("created_at")?, fields.past("updated_at")?);
    let message = ImportedMessage {
        line,
        conversation_id: fields.required("conversation_id", conversation_id)?,
        position: fields.required("position", position)?,
        message,
        feedback,
        kept_behind: (kept == Some(true)).then_some(parent),
        created_at: fields.required("created_at", created_at)?,
        updated_at: fields.required("updated_at", updated_at)?,
    };
    fields.finish()?;
    Ok(message)
}
