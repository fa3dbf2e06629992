//! The contract, as plain data: what is stored, and what each operation answers and leaves.

#![expect(clippy::option_option, reason = "a field is left out, cleared or set")]

use std::collections::{BTreeMap, BTreeSet};

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
    /// So many versions before.
    Stale(i64),
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
        place: Start,
    },
    /// Messages, the place of a reply, and the context behind them. The conversation is created if it is not there, and `create` is set.
    Turn {
        conversation: usize,
        messages: Vec<NewMessage>,
        place: Start,
        reply: Option<usize>,
        create: bool,
    },
    SelectLine {
        conversation: usize,
        message: Option<usize>,
        newest: Option<bool>,
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
        from: Option<i64>,
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
    /// Reads pages of the history: of a line, or of everything.
    History {
        conversation: usize,
        line: Option<usize>,
        all: bool,
        versions: bool,
        range: Range,
    },
    /// Reads a message with its versions.
    Message {
        conversation: usize,
        message: usize,
    },
    /// Reads the context of a line, or which summary there is in a context of one message.
    Context {
        conversation: usize,
        line: usize,
        summary: bool,
    },
}

/// Where new messages begin: at the position `from`, behind a parent, or at the line's end.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Start {
    pub from: Option<i64>,
    /// A message, or the beginning.
    pub parent: Option<Option<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Range {
    Last(usize),
    Between { after: Option<i64>, before: Option<i64>, limit: Option<usize>, newest_first: bool },
}

impl Operation {
    pub fn append(conversation: usize, messages: Vec<NewMessage>, place: Start) -> Self {
        Self::Append { conversation, messages: with_each_id_once(messages), place }
    }

    pub fn turn(conversation: usize, messages: Vec<NewMessage>, place: Start, reply: Option<usize>, create: bool) -> Self {
        let messages = with_each_id_once(messages);
        let reply = reply.filter(|reply| messages.iter().all(|message| message.id != *reply));
        Self::Turn { conversation, messages, place, reply, create }
    }

    pub fn reads(&self) -> bool {
        matches!(self, Self::History { .. } | Self::Message { .. } | Self::Context { .. })
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
            | Self::SelectLine { conversation, .. }
            | Self::History { conversation, .. }
            | Self::Message { conversation, .. }
            | Self::Context { conversation, .. }
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
    /// The position of the message that it follows. None: it is a beginning.
    parent: Option<i64>,
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
    /// A tree, in the order of positions.
    messages: Vec<Message>,
    /// The position of the last message on the line.
    end: Option<i64>,
    next_position: i64,
    version: i64,
    archived: bool,
    pinned: bool,
    has_had_messages: bool,
    summaries: BTreeMap<i64, String>,
    /// The source, and the position of the last message that was copied.
    forked: Option<(usize, i64)>,
    /// Positions at which something was edited or deleted, and the version that did it.
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
            end: None,
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
            "message_count": self.line().len(),
            "kept_count": self.messages.len() - self.line().len(),
            "archived": self.archived,
            "pinned": self.pinned,
            "has_had_messages": self.has_had_messages,
            "summary": self.summary(&self.line()).map(|(through, _)| through),
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

    /// The text of the message at a position has changed, or the message goes.
    fn change_at(&mut self, position: i64) {
        let below = self.below(position);
        self.summaries.retain(|through, _| !below.contains(through));
        self.changes.push((position, self.version));
    }

    /// Deletes the line from a position on, and everything that descends from it. How many messages these were.
    fn cut(&mut self, from: i64) -> usize {
        let Some(first) = self.first_from(from) else { return 0 };
        let (below, before) = (self.below(first), self.messages.len());
        self.end = self.at(first).and_then(|message| message.parent);
        self.summaries.retain(|through, _| !below.contains(through));
        self.messages.retain(|message| !below.contains(&message.position));
        self.changes.push((from, self.version));
        before - self.messages.len()
    }

    /// The version at which messages up to a position last changed. An edit of a message beside the line counts, too. A move does not.
    fn changed(&self, through: i64) -> i64 {
        let line = self.line();
        let last = line.iter().rev().find(|message| message.position <= through);
        let changes = self.changes.iter().filter(|(position, _)| *position <= through).map(|(_, version)| *version);
        changes.chain(last.map(|message| message.appended_version)).max().unwrap_or(0)
    }

    fn message(&mut self, id: usize) -> Option<&mut Message> {
        self.messages.iter_mut().find(|message| message.new.id == id)
    }

    fn find(&self, id: usize) -> Option<&Message> {
        self.messages.iter().find(|message| message.new.id == id)
    }

    fn at(&self, position: i64) -> Option<&Message> {
        self.messages.iter().find(|message| message.position == position)
    }

    /// The path that ends with the message at this position.
    fn path(&self, end: Option<i64>) -> Vec<&Message> {
        let mut path: Vec<&Message> =
            std::iter::successors(end.and_then(|end| self.at(end)), |message| message.parent.and_then(|parent| self.at(parent)))
                .collect();
        path.reverse();
        path
    }

    /// The current line.
    fn line(&self) -> Vec<&Message> {
        self.path(self.end)
    }

    /// The positions of a message and of everything that descends from it.
    fn below(&self, position: i64) -> BTreeSet<i64> {
        let mut below = BTreeSet::from([position]);
        // A parent comes before its children.
        for message in &self.messages {
            if message.parent.is_some_and(|parent| below.contains(&parent)) {
                below.insert(message.position);
            }
        }
        below
    }

    /// The newest message below another one, or below the beginning.
    fn newest_child(&self, parent: Option<i64>) -> Option<i64> {
        self.messages.iter().rev().find(|message| message.parent == parent).map(|message| message.position)
    }

    /// The first message of the line at a position or behind it.
    fn first_from(&self, from: i64) -> Option<i64> {
        self.line().iter().map(|message| message.position).find(|position| *position >= from)
    }

    /// The newest summary that holds on a path.
    fn summary(&self, path: &[&Message]) -> Option<(i64, &str)> {
        let text = |message: &&Message| Some((message.position, self.summaries.get(&message.position)?.as_str()));
        path.iter().rev().find_map(text)
    }

    /// A path's context without limits.
    fn context(path: &[&Message]) -> Value {
        let complete: Vec<&&Message> = path.iter().filter(|message| message.new.status != "in_progress").collect();
        let pinned = complete.iter().take_while(|message| message.new.role == "system").count();
        let start =
            complete[pinned..].iter().position(|message| message.new.role == "user").map_or(complete.len(), |at| pinned + at);
        let sent: Vec<i64> = complete[..pinned].iter().chain(&complete[start..]).map(|message| message.position).collect();
        json!({"omitted": complete.len() - sent.len(), "positions": sent})
    }

    /// Up to where the summary stands in a path's context of one message.
    fn summary_in_context(&self, path: &[&Message]) -> Option<i64> {
        let complete = path.iter().filter(|message| message.new.status != "in_progress").count();
        self.summary(path).filter(|_| complete > 1).map(|(through, _)| through)
    }

    /// What a message is called in an answer. The server has chosen a copy's id.
    fn name(&self, position: i64) -> Value {
        let id = self.at(position).expect("it is there").new.id;
        if id == COPY { json!("copy") } else { json!(id) }
    }

    /// A message with its versions.
    fn with_versions(&self, message: &Message) -> Value {
        let mut shown = message.shown();
        let versions = self.messages.iter().filter(|other| other.parent == message.parent);
        shown["versions"] = versions.map(|other| self.name(other.position)).collect();
        shown
    }

    /// A message with its place in the tree.
    fn in_tree(&self, message: &Message, mut shown: Value) -> Value {
        shown["parent"] = message.parent.map_or(Value::Null, |parent| self.name(parent));
        shown["on_line"] = json!(self.line().iter().any(|on_line| on_line.position == message.position));
        shown
    }

    /// Pages of the history.
    fn history(&self, line: Option<usize>, all: bool, versions: bool, range: Range) -> Option<Value> {
        let mut messages: Vec<&Message> = match line {
            _ if all => self.messages.iter().collect(),
            Some(id) => self.path(Some(self.find(id)?.position)),
            None => self.line(),
        };
        let mut page = usize::MAX;
        match range {
            Range::Last(count) => drop(messages.drain(..messages.len().saturating_sub(count))),
            Range::Between { after, before, limit, newest_first } => {
                let is_in = |position| after.is_none_or(|after| position > after) && before.is_none_or(|before| position < before);
                messages.retain(|message| is_in(message.position));
                if newest_first {
                    messages.reverse();
                }
                page = limit.unwrap_or(page);
            }
        }
        let shown = |message: &&Message| {
            let shown = if versions { self.with_versions(message) } else { message.shown() };
            if all { self.in_tree(message, shown) } else { shown }
        };
        let pages: Vec<Value> = messages.chunks(page).map(|page| page.iter().map(shown).collect()).collect();
        Some(if pages.is_empty() { json!([[]]) } else { Value::from(pages) })
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
            ) || step.operation.reads() =>
            {
                None
            }
            Condition::Current => Some(version),
            Condition::Stale(back) => Some((version - back).max(0)),
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

    /// A conversation, its messages with their versions, all messages with their places in the tree, and its context without limits.
    pub fn shown(&self, number: usize) -> Option<(Value, Value, Value, Value)> {
        let conversation = self.conversations.get(&number)?;
        let line = conversation.line();
        let messages = line.iter().map(|message| conversation.with_versions(message)).collect();
        let all = conversation.messages.iter().map(|message| conversation.in_tree(message, message.shown())).collect();
        Some((conversation.shown(number), messages, all, Conversation::context(&line)))
    }

    /// The newest summary, and the position up to which it is in a context of one message.
    pub fn summary(&self, number: usize) -> (Option<Value>, Option<i64>) {
        let Some(conversation) = self.conversations.get(&number) else { return (None, None) };
        let line = conversation.line();
        let shown = conversation.summary(&line).map(|(through, text)| json!({"through": through, "content": text}));
        (shown, conversation.summary_in_context(&line))
    }

    /// The messages of a conversation with versions, by their numbers.
    pub fn tree(&self, number: usize) -> Vec<usize> {
        let branched = self.conversations.get(&number).filter(|found| found.line().len() < found.messages.len());
        let messages = branched.map(|found| found.messages.iter().map(|message| message.new.id));
        messages.map(|ids| ids.filter(|id| *id != COPY).collect()).unwrap_or_default()
    }

    /// Each user gets the other's conversations, as an import stores them.
    pub fn swap_users(&mut self) {
        for found in self.conversations.values_mut() {
            found.user = 1 - found.user;
        }
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
            for message in conversation.line().iter().filter(|message| message.new.content.split(' ').any(|word| word == "rain")) {
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
            Operation::Append { place: Start { from: Some(_), parent: Some(_) }, .. }
            | Operation::Turn { place: Start { from: Some(_), parent: Some(_) }, .. } => {
                Answer::refused(400, "invalid_parameter", Some("parent_id"))
            }
            Operation::Turn { conversation: number, messages, place, reply, create } => {
                let (reply, number) = (*reply, *number);
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
                let mut answer = found.begin_turn(messages, *place, reply, is_allowed, clock);
                if answer.status >= 400 {
                    if !is_there {
                        self.conversations.remove(&number);
                    }
                    return answer;
                }
                let (conversation, .., context) = self.shown(number).expect("it is there");
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
        let line = found.line();
        let newest = line.last().map_or(0, |message| message.position);
        let position = at.unwrap_or(newest);
        if position > newest {
            return Answer::refused(400, "invalid_parameter", Some("through"));
        }
        let mut fork = Conversation::new(found.user, title.or(found.title.as_ref()).cloned(), self.clock);
        for message in line.into_iter().filter(|message| message.position <= position).cloned() {
            let new = NewMessage { id: COPY, ..message.new };
            fork.messages.push(Message { new, parent: fork.end, appended_version: 1, ..message });
            fork.end = Some(message.position);
        }
        let is_copied = |through: &i64| fork.at(*through).is_some();
        let held = found.summaries.iter().filter(|(through, _)| is_copied(through));
        fork.summaries = held.map(|(through, text)| (*through, text.clone())).collect();
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
            Operation::Append { messages, place, .. } => self.append(messages, false, *place, is_allowed, clock),
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
            Operation::SelectLine { message, newest, .. } => {
                self.select_line(number, *message, *newest == Some(true), is_allowed, clock, request)
            }
            Operation::History { .. } | Operation::Message { .. } | Operation::Context { .. } => {
                self.read(operation).map_or_else(Answer::not_found, |body| Answer::new(200, body, self.version))
            }
            Operation::DeleteMessage { message, .. } => self.delete_message(*message, is_allowed, clock, request),
            Operation::Rewind { from, .. } => self.rewind(*from, is_allowed, clock, request),
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

    fn select_line(
        &mut self,
        number: usize,
        message: Option<usize>,
        newest: bool,
        is_allowed: bool,
        clock: u64,
        request: &Request,
    ) -> Answer {
        if let Some(answer) = self.recall(request, |_| (200, self.shown(number))) {
            return answer;
        }
        let selected = message.map(|id| self.find(id).map(|message| message.position));
        if selected == Some(None) {
            return Answer::not_found();
        }
        if !is_allowed {
            return Answer::precondition(self.version);
        }
        let mut end = selected.flatten();
        while let Some(child) = self.newest_child(end).filter(|_| newest) {
            end = Some(child);
        }
        if end != self.end {
            self.end = end;
            self.change(clock);
        }
        self.remember(request, 0);
        Answer::new(200, self.shown(number), self.version)
    }

    /// `None`: there is no such message.
    fn read(&self, operation: &Operation) -> Option<Value> {
        match operation {
            Operation::History { line, all, versions, range, .. } => self.history(*line, *all, *versions, *range),
            Operation::Message { message, .. } => Some(self.with_versions(self.find(*message)?)),
            Operation::Context { line, summary, .. } => {
                let path = self.path(Some(self.find(*line)?.position));
                Some(if *summary { json!(self.summary_in_context(&path)) } else { Self::context(&path) })
            }
            _ => unreachable!("these are all that read"),
        }
    }

    fn delete_message(&mut self, message: usize, is_allowed: bool, clock: u64, request: &Request) -> Answer {
        if let Some(answer) = self.recall(request, |_| (204, Value::Null)) {
            return answer;
        }
        let Some(gone) = self.find(message).cloned() else { return Answer::not_found() };
        if !is_allowed {
            return Answer::precondition(self.version);
        }
        self.change(clock);
        self.change_at(gone.position);
        self.messages.retain(|stored| stored.position != gone.position);
        // What followed it follows its parent.
        for child in self.messages.iter_mut().filter(|stored| stored.parent == Some(gone.position)) {
            child.parent = gone.parent;
        }
        if self.end == Some(gone.position) {
            self.end = gone.parent;
        }
        self.remember(request, 0);
        Answer { status: 204, body: Value::Null, version: Some(self.version), replayed: false }
    }

    fn rewind(&mut self, from: Option<i64>, is_allowed: bool, clock: u64, request: &Request) -> Answer {
        if let Some(answer) = self.recall(request, |done| (200, json!({"deleted": done.deleted}))) {
            return answer;
        }
        if !is_allowed {
            return Answer::precondition(self.version);
        }
        let mut deleted = 0;
        if let (None, false) = (from, self.messages.is_empty()) {
            deleted = self.messages.len();
            self.change(clock);
            self.changes.push((1, self.version));
            (self.messages, self.summaries, self.end) = (Vec::new(), BTreeMap::new(), None);
        } else if let Some(from) = from.filter(|from| self.first_from(*from).is_some()) {
            self.change(clock);
            deleted = self.cut(from);
        }
        self.remember(request, deleted);
        Answer::new(200, json!({"deleted": deleted}), self.version)
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
            self.change_at(position);
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
        let line = self.line();
        let is_stored = line.iter().any(|message| message.position == through);
        let first = line.iter().find(|message| message.new.role != "system").map(|message| message.position);
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
        let Some(through) = self.summary(&self.line()).map(|(through, _)| through) else { return Answer::not_found() };
        if !is_allowed {
            return Answer::precondition(self.version);
        }
        self.summaries.remove(&through);
        self.change(clock);
        self.remember(request, 0);
        Answer { status: 204, body: Value::Null, version: Some(self.version), replayed: false }
    }

    /// The context and the conversation are not in the answer yet.
    fn begin_turn(&mut self, messages: &[NewMessage], place: Start, reply: Option<usize>, is_allowed: bool, clock: u64) -> Answer {
        let begun = |id| NewMessage { id, role: "assistant", content: String::new(), status: "in_progress", token_count: None };
        let reply = reply.map(begun);
        let all = messages.iter().chain(&reply).cloned().collect::<Vec<_>>();
        let mut answer = self.append(&all, reply.is_some(), place, is_allowed, clock);
        if reply.is_some() && answer.body["param"] == json!(format!("messages[{}].id", messages.len())) {
            answer.body["param"] = json!("reply_id");
        }
        if answer.status < 400 {
            let mut shown = answer.body.as_array().cloned().expect("messages");
            let written = if reply.is_some() { shown.pop() } else { None };
            answer.body = json!({"messages": shown});
            if let Some(written) = written {
                answer.body["reply"] = written;
            }
        }
        answer
    }

    /// With `has_reply`, the last message is the place of a reply. One that is stored there already is the same, whatever was written into it.
    fn append(&mut self, messages: &[NewMessage], has_reply: bool, place: Start, is_allowed: bool, clock: u64) -> Answer {
        let stored: Vec<Option<Message>> = messages.iter().map(|message| self.find(message.id).cloned()).collect();
        let reply = has_reply.then(|| messages.len() - 1);
        let is_same = |index: usize| {
            let is_reply = |stored: &Message| reply == Some(index) && stored.new.role == "assistant";
            stored[index].as_ref().is_some_and(|stored| stored.is_same(&messages[index]) || is_reply(stored))
        };
        let are_all_same = (0..messages.len()).all(is_same);
        let position = |index: usize| stored[index].as_ref().map(|message| message.position);
        // Messages that go take their ids along.
        let cut = place.from.and_then(|from| self.first_from(from));
        let goes = cut.map(|first| self.below(first)).unwrap_or_default();

        let (is_replay, taken, above, is_nowhere);
        if let Some(parent) = place.parent {
            let parent = parent.map(|id| self.find(id).map(|message| message.position));
            // It may have been deleted after a first attempt.
            let is_unknown = parent == Some(None);
            above = parent.flatten();
            let stands = |index: usize| match (index, &stored[index]) {
                (0, Some(first)) => is_unknown || first.parent == above,
                (_, Some(message)) => message.parent.is_some() && message.parent == position(index - 1),
                (_, None) => false,
            };
            taken = (0..messages.len()).find(|index| stored[*index].is_some() && !(is_same(*index) && stands(*index)));
            is_replay = are_all_same && taken.is_none();
            is_nowhere = is_unknown && stored.iter().all(Option::is_none);
        } else {
            (above, is_nowhere) = (None, false);
            // A reply that stands before what it answers is another one.
            let is_before = reply.is_some_and(|reply| position(reply) < (0..reply).filter_map(position).max());
            is_replay = are_all_same && !(is_before && reply.is_some_and(|reply| stored[reply].is_some()));
            let stays = |index: &usize| position(*index).is_some_and(|position| !goes.contains(&position));
            let other = (0..messages.len()).find(|index| stays(index) && !is_same(*index));
            taken = other.or(reply.filter(stays));
        }
        if !is_replay {
            if let Some(index) = taken {
                return Answer::refused(409, "conflict", Some(&format!("messages[{index}].id")));
            }
            if !is_allowed {
                return Answer::precondition(self.version);
            }
            if place.from.is_some_and(|from| from > self.next_position) {
                return Answer::refused(400, "invalid_parameter", Some("from"));
            }
            if is_nowhere {
                return Answer::not_found();
            }
            self.change(clock);
            if let Some(from) = place.from {
                self.cut(from);
            }
            if place.parent.is_some() {
                // Behind those that are stored already.
                self.end = stored.iter().flatten().last().map(|message| message.position).or(above);
            }
            for new in messages {
                if self.find(new.id).is_none() {
                    let (position, parent, appended_version) = (self.next_position, self.end, self.version);
                    let (new, tag, feedback) = (new.clone(), None, None);
                    let (appended, touched) = (clock, clock);
                    let message = Message { new, position, parent, tag, feedback, appended, appended_version, touched };
                    self.messages.push(message);
                    self.end = Some(position);
                    self.next_position += 1;
                    self.has_had_messages = true;
                }
            }
        }
        let shown = messages.iter().map(|new| self.find(new.id).expect("all are stored").shown()).collect();
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
            self.change_at(position);
        }
        let version = self.version;
        Answer::new(200, self.message(id).expect("it is there").shown(), version)
    }
}
