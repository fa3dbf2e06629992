//! Which of a user's conversations a request asks for.

use shared::Result;
use shared::error::{Fault, Invalid};
use shared::http::{Fields, Request};
use shared::models::{ConversationFilter, Cursor, ListOrder, Text, Title};

const MAX_IDS: usize = 100;
const MAX_MEMBERS: usize = 16;
/// All of them together. They have to fit in the URL of the next page.
const MAX_MEMBER_BYTES: usize = 2048;

/// What the list has, how many of it, and behind which conversation.
pub(crate) struct Input {
    pub(crate) filter: ConversationFilter,
    pub(crate) limit: Option<i64>,
    pub(crate) cursor: Option<Cursor>,
}

pub(crate) fn read(request: &Request) -> Result<Input> {
    let mut fields = request.fields()?;
    let order = fields.parse("order", |text| ListOrder::parse(&text))?.unwrap_or_default();
    let include = fields.parse("include", |text| match &*text {
        "last_message" => Ok(()),
        _ => Err(Invalid::new(Fault::Parameter, "must be last_message")),
    })?;
    let filter = ConversationFilter {
        order,
        // Every title has an empty part, and so has an empty search box.
        title: fields.parse("title", Title::parse)?.filter(|title| !title.as_str().is_empty()),
        members: members(&mut fields)?,
        archived: fields.flag("archived")?,
        pinned: fields.flag("pinned")?,
        ids: fields.uuids("ids", MAX_IDS)?,
        with_last_message: include.is_some(),
    };
    let cursor = fields.parse("cursor", |text| Cursor::parse(&text, order.list()))?;
    let input = Input { filter, limit: fields.limit("limit")?, cursor };
    fields.finish()?;
    Ok(input)
}

/// The members of the metadata that a conversation has to have.
fn members(fields: &mut Fields<'_>) -> Result<Vec<(Text, Text)>> {
    let members = fields.members("metadata.KEY")?;
    let bytes: usize = members.iter().map(|(key, value)| key.as_str().len() + value.as_str().len()).sum();
    if members.len() > MAX_MEMBERS || bytes > MAX_MEMBER_BYTES {
        let detail = "a list is filtered by 16 members at most, which have 2048 bytes at most";
        return Err(Invalid::new(Fault::Parameter, detail).at("metadata."));
    }
    Ok(members)
}

impl Input {
    /// The same request for what is behind `cursor`.
    pub(crate) fn page(&self, request: &Request, cursor: Cursor) -> String {
        let filter = &self.filter;
        let ids = |ids: &Vec<_>| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let order = Some(filter.order).filter(|order| *order != ListOrder::default());
        let mut parameters = vec![
            ("limit".to_owned(), self.limit.map(|limit| limit.to_string())),
            ("order".to_owned(), order.map(|order| order.as_str().to_owned())),
            ("title".to_owned(), filter.title.as_ref().map(|title| title.as_str().to_owned())),
            ("archived".to_owned(), filter.archived.map(|archived| archived.to_string())),
            ("pinned".to_owned(), filter.pinned.map(|pinned| pinned.to_string())),
            ("ids".to_owned(), filter.ids.as_ref().map(ids)),
            ("include".to_owned(), filter.with_last_message.then(|| "last_message".to_owned())),
        ];
        let member = |(key, value): &(Text, Text)| (format!("metadata.{}", key.as_str()), Some(value.as_str().to_owned()));
        parameters.extend(filter.members.iter().map(member));
        parameters.push(("cursor".to_owned(), Some(cursor.encode(filter.order.list()))));
        request.page(&parameters)
    }
}
