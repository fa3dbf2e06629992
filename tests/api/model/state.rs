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
    /// As it was when the request was sent first.
    Version(i64),
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
    /// Messages, the place of a reply, and the context behind them. The conversation is created if it is not there, and `create` is set.
    Turn {
        conversation: usize,
        messages: Vec<NewMessage>,
        from: Option<i64>,
        reply: Option<usize>,
        create: bool,
    },
    Edit {
        conversation: usize,
        message: usize,
        content: Option<String>,
        tag: Option<Option<i32>>,
        token_count: Option<Option<i32>>,
        /// A number of `FEEDBACK`.
        feedback: Option<Option<usize>>,
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
    DeleteSummary {
        conversation: usize,
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
    pub fn append(conversation: usize, messages: Vec<NewMessage>, from: Option<i64>) -> Self {
        Self::Append { conversation, messages: with_each_id_once(messages), from }
    }

    pub fn turn(conversation: usize, messages: Vec<NewMessage>, from: Option<i64>, reply: Option<usize>, create: bool) -> Self {
        let messages = with_each_id_once(messages);
        let reply = reply.filter(|reply| messages.iter().all(|message| message.id != *reply));
        Self::Turn { conversation, messages, from, reply, create }
    }

    /// The conversation that it is about, if it names one.
    pub fn conversation(&self) -> Option<usize> {
        match self {
            Self::GetOrCreate | Self::Transfer | Self::Erase => None,
            Self::Create { conversation, .. }
            | Self::Update { conversation, .. }
            | Self::Delete { conversation }
            | Self::Append { conversation, .. }
            | Self::Turn { conversation, .. }
            | Self::Edit { conversation, .. }
            | Self::Grow { conversation, .. }
            | Self::DeleteMessage { conversation, .. }
            | Self::Rewind { conversation, .. }
            | Self::Summarize { conversation, .. }
            | Self::DeleteSummary { conversation }
            | Self::Fork { conversation, .. }
            | Self::Expire { conversation } => Some(*conversation),
        }
    }
}

fn with_each_id_once(mut messages: Vec<NewMessage>) -> Vec<NewMessage> {
    let mut seen = Vec::new();
    messages.retain(|message| {
        !seen.contains(&message.id) && {
            seen.push(message.id);
            true
        }
    });
    messages
}

#[derive(Clone, Debug)]
pub struct Step {
    pub by: By,
    pub operation: Operation,
    pub condition: Condition,
    /// How often the request is sent.
    pub sent: usize,
    /// The number of its key. A few keys are used again and again, by other requests, too.
    pub key: Option<usize>,
    /// A late duplicate: the request that was sent so many steps before.
    pub again: Option<usize>,
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

    fn precondition(version: i64) -> Self {
        Self { version: Some(version), ..Self::refused(412, "precondition_failed", Some("If-Match")) }
    }

    fn reused() -> Self {
        Self::refused(409, "conflict", Some("Idempotency-Key"))
    }
}

/// What users think of messages.
pub const FEEDBACK: [&str; 3] = [r#"{"rating":"up"}"#, r#"{"rating":"down","comment":"It is wind."}"#, r#"{"rating":null}"#];

pub fn feedback(number: Option<usize>) -> Value {
    number.map_or(Value::Null, |number| serde_json::from_str(FEEDBACK[number]).unwrap())
}

/// The id of a message that a fork has copied: the server has chosen it.
const COPY: usize = usize::MAX;

#[derive(Clone, Debug)]
struct Message {
    new: NewMessage,
    position: i64,
    tag: Option<i32>,
    feedback: Option<usize>,
    /// In the order of all changes: when it was appended.
    appended: u64,
    appended_version: i64,
    /// In the order of all changes: when it was last changed.
    touched: u64,
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
    /// The newest requests with a key or without, the newest last.
    done: Vec<Done>,
}

/// What a request is recognized by.
struct Request {
    key: Option<usize>,
    said: String,
}

/// A request that was done.
#[derive(Clone, Debug)]
struct Done {
    /// None: nobody knows it.
    key: Option<usize>,
    /// What it said, as the caller wrote it.
    said: String,
    version: i64,
    deleted: usize,
}

/// How many requests a conversation remembers.
const REMEMBERED: usize = 8;

/// Everything that is stored.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Deletions of conversations: the conversation, the key, and who sent it.
    deletions: Vec<(usize, usize, By)>,
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
            "feedback": feedback(self.feedback),
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
            done: Vec::new(),
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

    /// The answer to a request that was done before, or that has the key of another one.
    fn recall(&self, request: &Request, shown: impl FnOnce(&Done) -> (u16, Value)) -> Option<Answer> {
        let done = self.done.iter().rev().find(|done| request.key.is_some() && done.key == request.key)?;
        if done.said != request.said {
            return Some(Answer::reused());
        }
        let (status, body) = shown(done);
        Some(Answer { replayed: true, ..Answer::new(status, body, done.version) })
    }

    fn remember(&mut self, request: &Request, deleted: usize) {
        self.done.push(Done { key: request.key, said: request.said.clone(), version: self.version, deleted });
        let too_many = self.done.len().saturating_sub(REMEMBERED);
        self.done.drain(..too_many);
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
            Condition::Version(version) => Some(version),
        }
    }

    /// The step's request as it is sent now. Sent again, it says the same, whatever has changed since.
    pub fn fixed(&self, step: &Step) -> Step {
        let mut step = step.clone();
        step.condition = self.condition(&step).map_or(Condition::None, Condition::Version);
        if let Operation::Grow { conversation, message, piece: Some((_, place)), .. } = &mut step.operation {
            *place = Place::At(self.place(*conversation, *message, *place));
        }
        step
    }

    /// What a step's request is recognized by. Two requests that say the same are the same one.
    fn request(&self, step: &Step) -> Request {
        let said = match &step.operation {
            Operation::Grow { conversation, message, piece: None, status: None } => {
                let (conversation, message) = (*conversation, *message);
                format!(
                    "{:?}",
                    Operation::Edit { conversation, message, content: None, tag: None, token_count: None, feedback: None }
                )
            }
            Operation::Grow { conversation, message, piece: Some((text, place)), status } => {
                format!("grow {message} {text} {} {status:?}", self.place(*conversation, *message, *place))
            }
            operation => format!("{operation:?}"),
        };
        Request { key: step.key, said }
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

    /// The newest summary, and the position up to which it is in a context of one message.
    pub fn summary(&self, number: usize) -> (Option<Value>, Option<i64>) {
        let Some(conversation) = self.conversations.get(&number) else { return (None, None) };
        let newest = conversation.summaries.last_key_value();
        let complete = conversation.messages.iter().filter(|message| message.new.status != "in_progress").count();
        let shown = newest.map(|(through, text)| json!({"through": through, "content": text}));
        (shown, newest.filter(|_| complete > 1).map(|(through, _)| *through))
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
            Operation::Turn { conversation: number, messages, from, reply, create } => {
                let (messages, from, reply, number) = (messages.as_slice(), *from, *reply, *number);
                let is_there = self.conversations.contains_key(&number);
                if *create {
                    let found = self.conversations.entry(number).or_insert_with(|| Conversation::new(user, None, clock));
                    if found.user != user {
                        return Answer::refused(409, "conflict", Some("conversation_id"));
                    }
                }
                let found = self.conversations.get_mut(&number).filter(|found| step.by == By::Service(user) || found.user == user);
                let Some(found) = found else { return Answer::not_found() };
                let is_allowed = condition.is_none_or(|version| version == found.version);
                let mut answer = found.begin_turn(messages, from, reply, is_allowed, clock);
                if answer.status >= 400 {
                    if !is_there {
                        self.conversations.remove(&number);
                    }
                    return answer;
                }
                let (conversation, _, context) = self.shown(number).expect("it is there");
                answer.body["context"] = context;
                if *create {
                    answer.body["conversation"] = conversation;
                }
                answer
            }
            operation => {
                let number = operation.conversation().expect("all others are about one");
                let (request, is_deletion) = (self.request(step), matches!(operation, Operation::Delete { .. }));
                // The caller is one whatever user a back end acts for.
                let by = if let By::User(user) = step.by { By::User(user) } else { By::Service(0) };
                if is_deletion && request.key.is_some_and(|key| self.deletions.contains(&(number, key, by))) {
                    return Answer { status: 204, body: Value::Null, version: None, replayed: true };
                }
                let found = self.conversations.get_mut(&number).filter(|found| step.by == By::Service(user) || found.user == user);
                let Some(found) = found else { return Answer::not_found() };
                let answer = found.apply(number, operation, condition, clock, &request);
                if is_deletion && answer.status == 204 {
                    self.conversations.remove(&number);
                    self.deletions.extend(request.key.map(|key| (number, key, by)));
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
            return Answer::refused(400, "invalid_parameter", Some("through"));
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
    fn apply(&mut self, number: usize, operation: &Operation, condition: Option<i64>, clock: u64, request: &Request) -> Answer {
        let is_allowed = condition.is_none_or(|version| version == self.version);
        match operation {
            Operation::Update { title, tag, archived, pinned, .. } => {
                if let Some(answer) = self.recall(request, |_| (200, self.shown(number))) {
                    return answer;
                }
                if !is_allowed {
                    return Answer::precondition(self.version);
                }
                let before = (self.title.clone(), self.tag, self.archived, self.pinned);
                self.title = title.clone().unwrap_or_else(|| self.title.clone());
                self.tag = tag.unwrap_or(self.tag);
                self.archived = archived.unwrap_or(self.archived);
                self.pinned = pinned.unwrap_or(self.pinned);
                if (self.title.clone(), self.tag, self.archived, self.pinned) != before {
                    self.change(clock);
                }
                self.remember(request, 0);
                Answer::new(200, self.shown(number), self.version)
            }
            Operation::Delete { .. } => {
                if let Some(answer) = self.recall(request, |_| unreachable!("the conversation would be gone")) {
                    return answer;
                }
                if !is_allowed {
                    return Answer::precondition(self.version);
                }
                Answer { status: 204, body: Value::Null, version: None, replayed: false }
            }
            Operation::Append { messages, from, .. } => self.append(messages, *from, is_allowed, clock),
            Operation::Edit { message, content, tag, token_count, feedback, .. } => {
                self.edit(*message, content.as_ref(), *tag, *token_count, *feedback, is_allowed, clock, request)
            }
            Operation::Grow { message, piece, status, .. } => {
                let piece = piece.as_ref().map(|(text, place)| (text.as_str(), *place));
                let Some(shown) = self.message(*message).map(|stored| stored.shown()) else { return Answer::not_found() };
                // A piece is recognized by its place. Only one with a condition needs its key.
                let is_remembered = piece.is_none() || condition.is_some();
                if let Some(answer) = self.recall(request, |_| (200, shown)).filter(|_| is_remembered) {
                    return answer;
                }
                let answer = self.grow(*message, piece, *status, is_allowed, clock);
                if answer.status == 200 && !answer.replayed && is_remembered {
                    self.remember(request, 0);
                }
                answer
            }
            Operation::DeleteMessage { message, .. } => {
                if let Some(answer) = self.recall(request, |_| (204, Value::Null)) {
                    return answer;
                }
                let Some(position) = self.message(*message).map(|stored| stored.position) else { return Answer::not_found() };
                if !is_allowed {
                    return Answer::precondition(self.version);
                }
                self.messages.retain(|stored| stored.position != position);
                self.change(clock);
                self.change_from(position);
                self.remember(request, 0);
                Answer { status: 204, body: Value::Null, version: Some(self.version), replayed: false }
            }
            Operation::Rewind { from, .. } => {
                if let Some(answer) = self.recall(request, |done| (200, json!({"deleted": done.deleted}))) {
                    return answer;
                }
                if !is_allowed {
                    return Answer::precondition(self.version);
                }
                let before = self.messages.len();
                self.messages.retain(|stored| stored.position < *from);
                let deleted = before - self.messages.len();
                if deleted > 0 {
                    self.change(clock);
                    self.change_from(*from);
                }
                self.remember(request, deleted);
                Answer::new(200, json!({"deleted": deleted}), self.version)
            }
            Operation::DeleteSummary { .. } => self.delete_summary(is_allowed, clock, request),
            Operation::Summarize { through, text, .. } => self.summarize(number, *through, *text, condition, clock, request),
            Operation::Create { .. }
            | Operation::GetOrCreate
            | Operation::Turn { .. }
            | Operation::Fork { .. }
            | Operation::Transfer
            | Operation::Erase
            | Operation::Expire { .. } => {
                unreachable!("these are not about a conversation that is there")
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "an edit has so many parts")]
    fn edit(
        &mut self,
        message: usize,
        content: Option<&String>,
        tag: Option<Option<i32>>,
        token_count: Option<Option<i32>>,
        feedback: Option<Option<usize>>,
        is_allowed: bool,
        clock: u64,
        request: &Request,
    ) -> Answer {
        let Some(shown) = self.message(message).map(|stored| stored.shown()) else { return Answer::not_found() };
        if let Some(answer) = self.recall(request, |_| (200, shown)) {
            return answer;
        }
        if !is_allowed {
            return Answer::precondition(self.version);
        }
        let stored = self.message(message).expect("it was there");
        let before = (stored.new.content.clone(), stored.tag, stored.new.token_count, stored.feedback);
        stored.tag = tag.unwrap_or(stored.tag);
        stored.feedback = feedback.unwrap_or(stored.feedback);
        let has_other_text = content.is_some_and(|content| *content != stored.new.content);
        if let Some(content) = content.filter(|_| has_other_text) {
            stored.new.content.clone_from(content);
            stored.new.token_count = None;
        }
        stored.new.token_count = token_count.unwrap_or(stored.new.token_count);
        let has_changed = (stored.new.content.clone(), stored.tag, stored.new.token_count, stored.feedback) != before;
        if has_changed {
            stored.touched = clock;
        }
        let (shown, position) = (stored.shown(), stored.position);
        if has_changed {
            self.change(clock);
        }
        if has_other_text {
            self.change_from(position);
        }
        self.remember(request, 0);
        Answer::new(200, shown, self.version)
    }

    fn summarize(
        &mut self,
        number: usize,
        through: i64,
        text: i32,
        condition: Option<i64>,
        clock: u64,
        request: &Request,
    ) -> Answer {
        if let Some(answer) = self.recall(request, |_| (200, self.shown(number))) {
            return answer;
        }
        if condition.is_some_and(|version| version < self.changed(through) || version > self.version) {
            return Answer::precondition(self.version);
        }
        let is_stored = self.messages.iter().any(|message| message.position == through);
        let first = self.messages.iter().find(|message| message.new.role != "system").map(|message| message.position);
        if !is_stored || first.is_none_or(|first| through < first) {
            return Answer::refused(400, "invalid_parameter", Some("through"));
        }
        let text = format!("summary {text}");
        if self.summaries.get(&through) != Some(&text) {
            self.summaries.insert(through, text);
            self.change(clock);
        }
        self.remember(request, 0);
        Answer::new(200, self.shown(number), self.version)
    }

    fn delete_summary(&mut self, is_allowed: bool, clock: u64, request: &Request) -> Answer {
        if let Some(answer) = self.recall(request, |_| (204, Value::Null)) {
            return answer;
        }
        if self.summaries.is_empty() {
            return Answer::not_found();
        }
        if !is_allowed {
            return Answer::precondition(self.version);
        }
        self.summaries.pop_last();
        self.change(clock);
        self.remember(request, 0);
        Answer { status: 204, body: Value::Null, version: Some(self.version), replayed: false }
    }

    /// The context and the conversation are not in the answer yet.
    fn begin_turn(
        &mut self,
        messages: &[NewMessage],
        from: Option<i64>,
        reply: Option<usize>,
        is_allowed: bool,
        clock: u64,
    ) -> Answer {
        let Some(id) = reply else {
            let answer = self.append(messages, from, is_allowed, clock);
            return if answer.status < 400 { Answer { body: json!({"messages": answer.body}), ..answer } } else { answer };
        };
        let mut place = NewMessage { id, role: "assistant", content: String::new(), status: "in_progress", token_count: None };
        let stored = |id: usize| self.messages.iter().find(|message| message.new.id == id);
        if let Some(there) = stored(id) {
            let question = messages.iter().map(|new| stored(new.id).filter(|stored| stored.is_same(new)));
            let is_before = |question: &Vec<&Message>| question.iter().any(|message| there.position < message.position);
            let question = question.collect::<Option<Vec<_>>>();
            let question = question.filter(|question| there.new.role == "assistant" && !is_before(question));
            if let Some(question) = question {
                // Whatever was written into it since, it is the same reply.
                let version = question.iter().chain([&there]).map(|message| message.appended_version).max().expect("the reply's");
                let shown: Vec<Value> = question.iter().map(|message| message.shown()).collect();
                let body = json!({"messages": shown, "reply": there.shown()});
                return Answer { replayed: true, ..Answer::new(200, body, version) };
            }
            if from.is_none_or(|from| there.position < from) {
                // It stands before what it answers. No content is the same as this.
                "another reply".clone_into(&mut place.content);
            }
        }
        let mut answer = self.append(&[messages, &[place]].concat(), from, is_allowed, clock);
        if answer.body["param"] == json!(format!("messages[{}].id", messages.len())) {
            answer.body["param"] = json!("reply_id");
        }
        if answer.status < 400 {
            let mut shown = answer.body.as_array().cloned().expect("messages");
            let reply = shown.pop();
            answer.body = json!({"messages": shown, "reply": reply});
        }
        answer
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
                return Answer::precondition(self.version);
            }
            if from.is_some_and(|from| from > self.next_position) {
                return Answer::refused(400, "invalid_parameter", Some("from"));
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
                    let (new, tag, feedback) = (new.clone(), None, None);
                    self.messages.push(Message { new, position, tag, feedback, appended: clock, appended_version, touched: clock });
                    self.next_position += 1;
                    self.has_had_messages = true;
                }
            }
        }
        let shown = messages.iter().map(|new| find(self, new.id).expect("all are stored").shown()).collect();
        // A replay has the version that the last of them was stored with.
        let stored_in = stored.iter().flatten().map(|message| message.appended_version).max();
        let version = stored_in.filter(|_| is_replay).unwrap_or(self.version);
        Answer { status: if is_replay { 200 } else { 201 }, body: shown, version: Some(version), replayed: is_replay }
    }

    fn grow(
        &mut self,
        id: usize,
        piece: Option<(&str, Place)>,
        status: Option<&'static str>,
        is_allowed: bool,
        clock: u64,
    ) -> Answer {
        let (version, updated) = (self.version, self.updated);
        let message = self.message(id).expect("it is there");
        let characters: Vec<char> = message.new.content.chars().collect();
        let piece = piece.map(|(text, place)| {
            let at = if let Place::At(at) = place { at } else { characters.len() };
            (text, at)
        });
        let is_there = piece.is_some_and(|(text, at)| {
            !text.is_empty() && characters.get(at..).is_some_and(|rest| rest.starts_with(&text.chars().collect::<Vec<_>>()))
        });
        let was = message.new.status;
        let (mut appended, mut becomes) = ("", status.unwrap_or(was));
        match (was, status) {
            ("cancelled", Some("complete")) => return Answer::refused(409, "cancelled", Some("status")),
            ("cancelled", _) if !is_there && (piece.is_some() || status == Some("in_progress")) => {
                return Answer::refused(409, "cancelled", Some("status"));
            }
            ("complete", Some("cancelled")) => return Answer::refused(409, "conflict", Some("status")),
            ("cancelled", Some("cancelled")) => return Answer::new(200, message.shown(), version),
            _ => {}
        }
        match piece {
            // It is there already. Only if it is the end, it may end the reply.
            Some((text, at)) if is_there => {
                let ends = at + text.chars().count() == characters.len();
                if !(ends && was == "in_progress") {
                    becomes = was;
                }
                if becomes == was {
                    // Which version was behind it is not known if the conversation has changed since. That of the append is older.
                    let version = if message.touched == updated { version } else { message.appended_version };
                    return Answer { replayed: true, ..Answer::new(200, message.shown(), version) };
                }
                if !is_allowed {
                    return Answer::precondition(version);
                }
            }
            _ if !is_allowed => return Answer::precondition(version),
            Some((_, at)) if at != characters.len() => {
                let body = json!({"code": "conflict", "param": "at", "length": characters.len()});
                return Answer { status: 409, body, version: None, replayed: false };
            }
            Some((text, _)) => appended = text,
            None => {}
        }
        if !appended.is_empty() || becomes != was {
            message.new.content.push_str(appended);
            message.new.status = becomes;
            message.touched = clock;
            if !appended.is_empty() {
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
