//! The contract, as plain data: what is stored, and what each operation answers and leaves.

#![expect(clippy::option_option, reason = "a field is left out, cleared or set")]

use std::collections::BTreeMap;

use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum By {
    User(usize),
    /// A back end, for a user where one has to be named.
    Service(usize),
}

impl By {
    pub fn user(self) -> usize {
        let (Self::User(user) | Self::Service(user)) = self;
        user
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    None,
    Current,
    Stale,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    End,
    At(usize),
}

#[derive(Clone, Debug, PartialEq)]
pub struct NewMessage {
    pub id: usize,
    pub role: &'static str,
    pub content: String,
    pub status: &'static str,
    pub token_count: Option<i32>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    Create {
        conversation: usize,
        title: Option<String>,
    },
    GetOrCreate,
    Update {
        conversation: usize,
        title: Option<Option<String>>,
        tag: Option<Option<i32>>,
        archived: Option<bool>,
        pinned: Option<bool>,
    },
    Delete {
        conversation: usize,
    },
    Append {
        conversation: usize,
        messages: Vec<NewMessage>,
        from: Option<i64>,
    },
    Edit {
        conversation: usize,
        message: usize,
        content: Option<String>,
        tag: Option<Option<i32>>,
        token_count: Option<Option<i32>>,
    },
    Grow {
        conversation: usize,
        message: usize,
        piece: Option<(String, Place)>,
        status: Option<&'static str>,
    },
    DeleteMessage {
        conversation: usize,
        message: usize,
    },
    Rewind {
        conversation: usize,
        from: i64,
    },
    Summarize {
        conversation: usize,
        through: i64,
        text: i32,
    },
    Fork {
        conversation: usize,
        copy: usize,
        at: Option<i64>,
        title: Option<String>,
    },
    /// To the other user.
    Transfer,
    Erase,
    /// Time passes, and the conversation's end with it.
    Expire {
        conversation: usize,
    },
}

impl Operation {
    /// A batch has each id once.
    pub fn append(conversation: usize, mut messages: Vec<NewMessage>, from: Option<i64>) -> Self {
        let mut seen = Vec::new();
        messages.retain(|message| {
            !seen.contains(&message.id) && {
                seen.push(message.id);
                true
            }
        });
        Self::Append { conversation, messages, from }
    }

    /// The conversation that it is about, if it names one.
    pub fn conversation(&self) -> Option<usize> {
        match self {
            Self::GetOrCreate | Self::Transfer | Self::Erase => None,
            Self::Create { conversation, .. }
            | Self::Update { conversation, .. }
            | Self::Delete { conversation }
            | Self::Append { conversation, .. }
            | Self::Edit { conversation, .. }
            | Self::Grow { conversation, .. }
            | Self::DeleteMessage { conversation, .. }
            | Self::Rewind { conversation, .. }
            | Self::Summarize { conversation, .. }
            | Self::Fork { conversation, .. }
            | Self::Expire { conversation } => Some(*conversation),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Step {
    pub by: By,
    pub operation: Operation,
    pub condition: Condition,
    /// How often the request is sent.
    pub sent: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub version: Option<i64>,
    pub replayed: bool,
}

impl Answer {
    fn new(status: u16, body: Value, version: i64) -> Self {
        Self { status, body, version: Some(version), replayed: false }
    }

    fn refused(status: u16, code: &str, param: Option<&str>) -> Self {
        Self { status, body: json!({"code": code, "param": param, "length": null}), version: None, replayed: false }
    }

    fn not_found() -> Self {
        Self::refused(404, "not_found", None)
    }

    fn precondition() -> Self {
        Self::refused(412, "precondition_failed", Some("If-Match"))
    }
}

/// The id of a message that a fork has copied: the server has chosen it.
const COPY: usize = usize::MAX;

#[derive(Clone, Debug)]
struct Message {
    new: NewMessage,
    position: i64,
    tag: Option<i32>,
    /// In the order of all changes: when it was appended.
    appended: u64,
    appended_version: i64,
}

#[derive(Clone, Debug)]
struct Conversation {
    user: usize,
    title: Option<String>,
    tag: Option<i32>,
    messages: Vec<Message>,
    next_position: i64,
    version: i64,
    archived: bool,
    pinned: bool,
    has_had_messages: bool,
    summaries: BTreeMap<i64, String>,
    /// The source, and the position of the last message that was copied.
    forked: Option<(usize, i64)>,
    /// Positions from which on something was edited or deleted, and the version that did it.
    changes: Vec<(i64, i64)>,
    updated: u64,
}

/// Everything that is stored.
#[derive(Clone, Debug, Default)]
pub struct State {
    conversations: BTreeMap<usize, Conversation>,
    /// Counts changes.
    clock: u64,
    /// How many conversations got an id from the server.
    made: usize,
}

/// A tag that was cleared is not there.
fn metadata(tag: Option<i32>) -> Value {
    tag.map_or_else(|| json!({}), |tag| json!({"tag": tag}))
}

impl Message {
    fn shown(&self) -> Value {
        json!({
            "id": Some(self.new.id).filter(|id| *id != COPY),
            "position": self.position,
            "role": self.new.role,
            "content": self.new.content,
            "metadata": metadata(self.tag),
            "token_count": self.new.token_count,
            "status": self.new.status,
        })
    }

    /// Whether it is what a request wants to store.
    fn is_same(&self, new: &NewMessage) -> bool {
        let stored = (self.new.role, &self.new.content, self.new.token_count, self.tag);
        stored == (new.role, &new.content, new.token_count, None)
    }
}

impl Conversation {
    fn new(user: usize, title: Option<String>, updated: u64) -> Self {
        Self {
            user,
            title,
            tag: None,
            messages: Vec::new(),
            next_position: 1,
            version: 1,
            archived: false,
            pinned: false,
            has_had_messages: false,
            summaries: BTreeMap::new(),
            forked: None,
            changes: Vec::new(),
            updated,
        }
    }

    fn shown(&self, number: usize) -> Value {
        json!({
            "id": number,
            "user": self.user,
            "title": self.title,
            "metadata": metadata(self.tag),
            "message_count": self.messages.len(),
            "archived": self.archived,
            "pinned": self.pinned,
            "has_had_messages": self.has_had_messages,
            "summary": self.summaries.keys().next_back(),
            "forked": self.forked,
        })
    }

    fn change(&mut self, clock: u64) {
        self.version += 1;
        self.updated = clock;
    }

    /// What a summary could have stood for has changed.
    fn change_from(&mut self, position: i64) {
        self.summaries.retain(|through, _| *through < position);
        self.changes.push((position, self.version));
    }

    /// The version at which messages up to a position last changed.
    fn changed(&self, through: i64) -> i64 {
        let last = self.messages.iter().rev().find(|message| message.position <= through);
        let changes = self.changes.iter().filter(|(position, _)| *position <= through).map(|(_, version)| *version);
        changes.chain(last.map(|message| message.appended_version)).max().unwrap_or(0)
    }

    fn message(&mut self, id: usize) -> Option<&mut Message> {
        self.messages.iter_mut().find(|message| message.new.id == id)
    }
}

impl State {
    /// The version that a step's `If-Match` names.
    pub fn condition(&self, step: &Step) -> Option<i64> {
        let version =
            step.operation.conversation().and_then(|number| self.conversations.get(&number)).map_or(1, |found| found.version);
        match step.condition {
            Condition::None => None,
            _ if matches!(
                step.operation,
                Operation::Create { .. } | Operation::GetOrCreate | Operation::Fork { .. } | Operation::Transfer | Operation::Erase
            ) =>
            {
                None
            }
            Condition::Current => Some(version),
            Condition::Stale => Some(version - 1),
        }
    }

    /// How many characters there are before a piece.
    pub fn place(&self, conversation: usize, message: usize, place: Place) -> usize {
        let Place::End = place else {
            let Place::At(at) = place else { unreachable!("there are two") };
            return at;
        };
        let messages = self.conversations.get(&conversation).map(|found| found.messages.iter());
        let message = messages.and_then(|mut messages| messages.find(|stored| stored.new.id == message));
        message.map_or(0, |message| message.new.content.chars().count())
    }

    /// A conversation, its messages, and its context without limits.
    pub fn shown(&self, number: usize) -> Option<(Value, Value, Value)> {
        let conversation = self.conversations.get(&number)?;
        let messages = conversation.messages.iter().map(Message::shown).collect();
        let complete: Vec<&Message> = conversation.messages.iter().filter(|message| message.new.status != "in_progress").collect();
        let pinned = complete.iter().take_while(|message| message.new.role == "system").count();
        let start =
            complete[pinned..].iter().position(|message| message.new.role == "user").map_or(complete.len(), |at| pinned + at);
        let sent: Vec<i64> = complete[..pinned].iter().chain(&complete[start..]).map(|message| message.position).collect();
        let context = json!({"omitted": complete.len() - sent.len(), "positions": sent});
        Some((conversation.shown(number), messages, context))
    }

    /// A user's conversations, the most recently updated first.
    pub fn listed(&self, user: usize) -> Vec<Option<usize>> {
        let mut listed: Vec<_> = self.conversations.iter().filter(|(_, found)| found.user == user).collect();
        listed.sort_by_key(|(_, found)| std::cmp::Reverse(found.updated));
        listed.into_iter().map(|(number, _)| Some(*number)).collect()
    }

    /// The messages of a user that have the word rain, the newest first.
    pub fn found(&self, user: usize) -> Vec<Value> {
        let mut found = Vec::new();
        for (number, conversation) in self.conversations.iter().filter(|(_, found)| found.user == user) {
            for message in conversation.messages.iter().filter(|message| message.new.content.split(' ').any(|word| word == "rain"))
            {
                found.push(((message.appended, *number, message.position), json!([number, message.position, conversation.title])));
            }
        }
        found.sort_by_key(|(order, _)| std::cmp::Reverse(*order));
        found.into_iter().map(|(_, hit)| hit).collect()
    }

    /// Does what the step's request asks for. Returns its answer.
    pub fn apply(&mut self, step: &Step) -> Answer {
        self.clock += 1;
        let (clock, user, condition) = (self.clock, step.by.user(), self.condition(step));
        match &step.operation {
            Operation::Create { conversation: number, title } => match self.conversations.get(number) {
                Some(found) if found.user != user => Answer::refused(409, "conflict", Some("id")),
                Some(found) => Answer::new(200, found.shown(*number), found.version),
                None => {
                    let made = Conversation::new(user, title.clone(), clock);
                    let answer = Answer::new(201, made.shown(*number), 1);
                    self.conversations.insert(*number, made);
                    answer
                }
            },
            Operation::GetOrCreate => {
                let active = self.conversations.iter().filter(|(_, found)| found.user == user && !found.archived);
                if let Some((number, found)) = active.max_by_key(|(_, found)| found.updated) {
                    return Answer::new(200, found.shown(*number), found.version);
                }
                let (number, made) = (super::CONVERSATIONS + self.made, Conversation::new(user, None, clock));
                self.made += 1;
                let answer = Answer::new(201, made.shown(number), 1);
                self.conversations.insert(number, made);
                answer
            }
            Operation::Erase => {
                let erased: Vec<Conversation> = {
                    let (erased, kept) =
                        std::mem::take(&mut self.conversations).into_iter().partition(|(_, found)| found.user == user);
                    self.conversations = kept;
                    let erased: BTreeMap<usize, Conversation> = erased;
                    erased.into_values().collect()
                };
                let messages: usize = erased.iter().map(|conversation| conversation.messages.len()).sum();
                Answer {
                    status: 200,
                    body: json!({"conversations": erased.len(), "messages": messages}),
                    version: None,
                    replayed: false,
                }
            }
            Operation::Transfer if step.by == By::User(user) => Answer::refused(403, "forbidden", None),
            Operation::Transfer => {
                let mut count = 0;
                for found in self.conversations.values_mut().filter(|found| found.user == user) {
                    // A list has it where it was.
                    (found.user, found.version, count) = (1 - user, found.version + 1, count + 1);
                }
                Answer { status: 200, body: json!({"conversations": count}), version: None, replayed: false }
            }
            Operation::Fork { conversation, copy, at, title } => self.fork(step.by, *conversation, *copy, *at, title.as_ref()),
            Operation::Expire { conversation } => {
                self.conversations.remove(conversation);
                Answer { status: 0, body: Value::Null, version: None, replayed: false }
            }
            operation => {
                let number = operation.conversation().expect("all others are about one");
                let found = self.conversations.get_mut(&number).filter(|found| step.by == By::Service(user) || found.user == user);
                let Some(found) = found else { return Answer::not_found() };
                let answer = found.apply(number, operation, condition, clock);
                if matches!(operation, Operation::Delete { .. }) && answer.status == 204 {
                    self.conversations.remove(&number);
                }
                answer
            }
        }
    }
}

impl State {
    fn fork(&mut self, by: By, source: usize, copy: usize, at: Option<i64>, title: Option<&String>) -> Answer {
        let may_see = |found: &&Conversation| by == By::Service(by.user()) || found.user == by.user();
        let earlier = self.conversations.get(&copy);
        let is_same = |forked: (usize, i64)| forked.0 == source && at.is_none_or(|at| at == forked.1);
        if let Some(earlier) = earlier.filter(may_see).filter(|earlier| earlier.forked.is_some_and(is_same)) {
            return Answer::new(200, earlier.shown(copy), earlier.version);
        }
        let Some(found) = self.conversations.get(&source).filter(may_see) else { return Answer::not_found() };
        if earlier.is_some() {
            return Answer::refused(409, "conflict", Some("id"));
        }
        let newest = found.messages.last().map_or(0, |message| message.position);
        let position = at.unwrap_or(newest);
        if position > newest {
            return Answer::refused(400, "invalid_parameter", Some("at"));
        }
        let mut fork = Conversation::new(found.user, title.or(found.title.as_ref()).cloned(), self.clock);
        let copied = found.messages.iter().filter(|message| message.position <= position).cloned();
        fork.messages =
            copied.map(|message| Message { new: NewMessage { id: COPY, ..message.new }, appended_version: 1, ..message }).collect();
        fork.summaries = found.summaries.range(..=position).map(|(through, text)| (*through, text.clone())).collect();
        (fork.tag, fork.next_position, fork.forked) = (found.tag, position + 1, Some((source, position)));
        fork.has_had_messages = !fork.messages.is_empty();
        let answer = Answer::new(201, fork.shown(copy), 1);
        self.conversations.insert(copy, fork);
        answer
    }
}

impl Conversation {
    fn apply(&mut self, number: usize, operation: &Operation, condition: Option<i64>, clock: u64) -> Answer {
        let is_allowed = condition.is_none_or(|version| version == self.version);
        match operation {
            Operation::Update { title, tag, archived, pinned, .. } => {
                if !is_allowed {
                    return Answer::precondition();
                }
                if title.is_some() || tag.is_some() || archived.is_some() || pinned.is_some() {
                    self.change(clock);
                }
                self.title = title.clone().unwrap_or_else(|| self.title.clone());
                self.tag = tag.unwrap_or(self.tag);
                self.archived = archived.unwrap_or(self.archived);
                self.pinned = pinned.unwrap_or(self.pinned);
                Answer::new(200, self.shown(number), self.version)
            }
            Operation::Delete { .. } if is_allowed => Answer { status: 204, body: Value::Null, version: None, replayed: false },
            Operation::Delete { .. } => Answer::precondition(),
            Operation::Append { messages, from, .. } => self.append(messages, *from, is_allowed, clock),
            Operation::Edit { message, content, tag, token_count, .. } => {
                if self.message(*message).is_none() {
                    return Answer::not_found();
                }
                if !is_allowed {
                    return Answer::precondition();
                }
                if content.is_some() || tag.is_some() || token_count.is_some() {
                    self.change(clock);
                }
                let version = self.version;
                let stored = self.message(*message).expect("it was there");
                stored.tag = tag.unwrap_or(stored.tag);
                if let Some(content) = content {
                    stored.new.content.clone_from(content);
                    stored.new.token_count = None;
                }
                stored.new.token_count = token_count.unwrap_or(stored.new.token_count);
                let (shown, position) = (stored.shown(), stored.position);
                if content.is_some() {
                    self.change_from(position);
                }
                Answer::new(200, shown, version)
            }
            Operation::Grow { message, piece, status, .. } => self.grow(*message, piece.as_ref(), *status, is_allowed, clock),
            Operation::DeleteMessage { message, .. } => {
                let Some(position) = self.message(*message).map(|stored| stored.position) else { return Answer::not_found() };
                if !is_allowed {
                    return Answer::precondition();
                }
                self.messages.retain(|stored| stored.position != position);
                self.change(clock);
                self.change_from(position);
                Answer { status: 204, body: Value::Null, version: Some(self.version), replayed: false }
            }
            Operation::Rewind { from, .. } => {
                if !is_allowed {
                    return Answer::precondition();
                }
                let before = self.messages.len();
                self.messages.retain(|stored| stored.position < *from);
                let deleted = before - self.messages.len();
                if deleted > 0 {
                    self.change(clock);
                    self.change_from(*from);
                }
                Answer::new(200, json!({"deleted": deleted}), self.version)
            }
            Operation::Summarize { through, text, .. } => {
                if condition.is_some_and(|version| version < self.changed(*through) || version > self.version) {
                    return Answer::precondition();
                }
                let is_stored = self.messages.iter().any(|message| message.position == *through);
                let first = self.messages.iter().find(|message| message.new.role != "system").map(|message| message.position);
                if !is_stored || first.is_none_or(|first| *through < first) {
                    return Answer::refused(400, "invalid_parameter", Some("through"));
                }
                let text = format!("summary {text}");
                if self.summaries.get(through) != Some(&text) {
                    self.summaries.insert(*through, text);
                    self.change(clock);
                }
                Answer::new(200, self.shown(number), self.version)
            }
            Operation::Create { .. }
            | Operation::GetOrCreate
            | Operation::Fork { .. }
            | Operation::Transfer
            | Operation::Erase
            | Operation::Expire { .. } => {
                unreachable!("these are not about a conversation that is there")
            }
        }
    }

    fn append(&mut self, messages: &[NewMessage], from: Option<i64>, is_allowed: bool, clock: u64) -> Answer {
        let find = |stored: &Self, id: usize| stored.messages.iter().find(|message| message.new.id == id).cloned();
        let stored: Vec<Option<Message>> = messages.iter().map(|message| find(self, message.id)).collect();
        let is_replay = stored.iter().zip(messages).all(|(stored, new)| stored.as_ref().is_some_and(|stored| stored.is_same(new)));
        if !is_replay {
            // Messages that go take their ids along.
            let stays = |stored: &Message| from.is_none_or(|from| stored.position < from);
            let taken = stored
                .iter()
                .zip(messages)
                .position(|(stored, new)| stored.as_ref().is_some_and(|stored| stays(stored) && !stored.is_same(new)));
            if let Some(index) = taken {
                return Answer::refused(409, "conflict", Some(&format!("messages[{index}].id")));
            }
            if !is_allowed {
                return Answer::precondition();
            }
            self.change(clock);
            let before = self.messages.len();
            self.messages.retain(stays);
            if let Some(from) = from.filter(|_| self.messages.len() < before) {
                self.change_from(from);
            }
            for new in messages {
                if find(self, new.id).is_none() {
                    let (position, appended_version) = (self.next_position, self.version);
                    self.messages.push(Message { new: new.clone(), position, tag: None, appended: clock, appended_version });
                    self.next_position += 1;
                    self.has_had_messages = true;
                }
            }
        }
        let shown = messages.iter().map(|new| find(self, new.id).expect("all are stored").shown()).collect();
        Answer { status: if is_replay { 200 } else { 201 }, body: shown, version: Some(self.version), replayed: is_replay }
    }

    fn grow(
        &mut self,
        id: usize,
        piece: Option<&(String, Place)>,
        status: Option<&'static str>,
        is_allowed: bool,
        clock: u64,
    ) -> Answer {
        let Some(message) = self.message(id) else { return Answer::not_found() };
        let characters: Vec<char> = message.new.content.chars().collect();
        let piece = piece.map(|(text, place)| {
            let at = if let Place::At(at) = place { *at } else { characters.len() };
            (text.as_str(), at)
        });
        let is_there = piece.is_some_and(|(text, at)| {
            !text.is_empty() && characters.get(at..).is_some_and(|rest| rest.starts_with(&text.chars().collect::<Vec<_>>()))
        });
        let was = message.new.status;
        let (mut appended, mut becomes, mut counts) = ("", status.unwrap_or(was), false);
        match (was, status) {
            ("cancelled", Some("complete")) => return Answer::refused(409, "cancelled", Some("status")),
            ("cancelled", _) if !is_there && (piece.is_some() || status == Some("in_progress")) => {
                return Answer::refused(409, "cancelled", Some("status"));
            }
            ("complete", Some("cancelled")) => return Answer::refused(409, "conflict", Some("status")),
            ("cancelled", Some("cancelled")) => return Answer::new(200, message.shown(), self.version),
            _ => {}
        }
        match piece {
            // It is there already. Only if it is the end, it may end the reply.
            Some((text, at)) if is_there => {
                let ends = at + text.chars().count() == characters.len();
                if !(ends && was == "in_progress") {
                    becomes = was;
                }
                counts = true;
            }
            _ if !is_allowed => return Answer::precondition(),
            Some((_, at)) if at != characters.len() => {
                let body = json!({"code": "conflict", "param": "at", "length": characters.len()});
                return Answer { status: 409, body, version: None, replayed: false };
            }
            Some((text, _)) => appended = text,
            None => counts = true,
        }
        if !appended.is_empty() || becomes != was {
            message.new.content.push_str(appended);
            message.new.status = becomes;
            if !counts {
                message.new.token_count = None;
            }
            let position = message.position;
            self.change(clock);
            self.change_from(position);
        }
        let version = self.version;
        Answer::new(200, self.message(id).expect("it is there").shown(), version)
    }
}
