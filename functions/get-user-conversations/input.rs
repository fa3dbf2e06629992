//! Which of a user's conversations a request asks for.

use shared::Result;
use shared::error::{Fault, Invalid};
use shared::http::Request;
use shared::models::{ConversationFilter, Cursor, ListOrder, Text, Title};

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
        members: fields.metadata_members()?,
        archived: fields.flag("archived")?,
        pinned: fields.flag("pinned")?,
        ids: fields.ids()?,
        with_last_message: include.is_some(),
    };
    let cursor = fields.parse("cursor", |text| Cursor::parse(&text, order.list()))?;
    let input = Input { filter, limit: fields.limit("limit")?, cursor };
    fields.finish()?;
    Ok(input)
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
