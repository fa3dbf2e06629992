//! A model of the whole API: random sequences of all operations, by two users and a back end, against a description of the contract in
//! memory. Requests are repeated as by a client that has lost the answer. Each answer, and the state after each step, has to be the model's.

mod state;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use uuid::Uuid;

use self::state::{Answer, By, Condition, FEEDBACK, NewMessage, Operation, Place, Range, Start, State, Step, feedback};
use crate::support::{App, Call};

/// Sequences in `cargo test`; `SEQUENCES=10000 SEED=2 cargo test -p tests model:: -- --nocapture` runs more, and others.
const SEQUENCES: u32 = 40;
const STEPS: usize = 30;
/// Conversations and messages are chosen among so few that they meet.
const CONVERSATIONS: usize = 4;
/// So many of them are there from the beginning.
const BEGUN: usize = 3;
/// And these are their users.
const OWNERS: [usize; BEGUN] = [0, 0, 1];
const MESSAGES: usize = 16;
const KEYS: usize = 12;
/// The message that is a reply in progress at the beginning.
const WRITTEN: usize = 3;

/// What an id stands for, in most cases. With another content, it is refused where it is stored.
fn usual_message(id: usize) -> NewMessage {
    let (role, content) = match id {
        0 => ("system", "snow"),
        1 | 2 => ("user", ["rain", "wind"][id - 1]),
        WRITTEN => ("assistant", ""),
        _ => (["user", "assistant"][id % 2], ["rain", "snow", "rain and snow", "é wind", ""][id % 5]),
    };
    let status = if id == WRITTEN { "in_progress" } else { "complete" };
    NewMessage { id, role, content: content.to_owned(), status, token_count: None }
}

fn any_message() -> impl Strategy<Value = NewMessage> {
    prop_oneof![5 => (0..MESSAGES).prop_map(usual_message), 1 => any_unusual_message()]
}

/// One that may be stored: some are from the beginning.
fn any_id() -> impl Strategy<Value = usize> + Clone {
    prop_oneof![3 => 0..WRITTEN + 3, 2 => 0..MESSAGES]
}

fn any_unusual_message() -> impl Strategy<Value = NewMessage> {
    (0..MESSAGES, prop::sample::select(vec!["user", "assistant", "system"]), any_text(), prop::bool::weighted(0.2), any_tokens())
        .prop_map(|(id, role, content, in_progress, token_count)| NewMessage {
            id,
            role,
            content: content.to_owned(),
            status: if in_progress { "in_progress" } else { "complete" },
            token_count,
        })
}

fn any_text() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["rain", "snow", "rain and snow", "é wind", ""])
}

fn any_tokens() -> impl Strategy<Value = Option<i32>> {
    prop::option::weighted(0.3, 0..9)
}

/// A field that is left out, cleared or set.
fn any_change<T: std::fmt::Debug + Clone>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Option<Option<T>>> {
    prop::option::of(prop::option::weighted(0.7, value))
}

/// Behind the line, in most cases, or behind any message. Both places at once are refused.
fn any_start() -> impl Strategy<Value = Start> {
    let parent = || prop_oneof![1 => Just(None), 5 => any_id().prop_map(Some)];
    prop_oneof![
        8 => Just(Start::default()),
        4 => (1..9_i64).prop_map(|from| Start { from: Some(from), parent: None }),
        9 => parent().prop_map(|parent| Start { from: None, parent: Some(parent) }),
        1 => (1..9_i64, parent()).prop_map(|(from, parent)| Start { from: Some(from), parent: Some(parent) }),
    ]
}

fn any_range() -> impl Strategy<Value = Range> {
    let position = || prop::option::of(0..12_i64);
    prop_oneof![
        1 => (1..5_usize).prop_map(Range::Last),
        3 => (position(), position(), prop::option::of(1..4_usize), any::<bool>())
            .prop_map(|(after, before, limit, newest_first)| Range::Between { after, before, limit, newest_first }),
    ]
}

/// The one with versions, in most cases.
fn any_conversation() -> impl Strategy<Value = usize> + Clone {
    prop_oneof![4 => Just(0), 2 => 0..BEGUN, 1 => 0..CONVERSATIONS]
}

fn any_read() -> impl Strategy<Value = Operation> {
    let (conversation, message) = (any_conversation(), any_id());
    // Which messages: those of the current line, of another one, or all.
    let which =
        prop_oneof![1 => Just((None, false)), 2 => message.clone().prop_map(|line| (Some(line), false)), 1 => Just((None, true))];
    prop_oneof![
        4 => (conversation.clone(), which, any::<bool>(), any_range())
            .prop_map(|(conversation, (line, all), versions, range)| Operation::History { conversation, line, all, versions, range }),
        1 => (conversation.clone(), message.clone()).prop_map(|(conversation, message)| Operation::Message { conversation, message }),
        2 => (conversation, message, any::<bool>())
            .prop_map(|(conversation, line, summary)| Operation::Context { conversation, line, summary }),
    ]
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let (conversation, message) = (any_conversation(), any_id());
    let title = || prop::sample::select(vec!["Oslo", "Bergen"]).prop_map(str::to_owned);
    prop_oneof![
        4 => (conversation.clone(), prop::option::of(title())).prop_map(|(conversation, title)| Operation::Create { conversation, title }),
        2 => Just(Operation::GetOrCreate),
        2 => (conversation.clone(), any_change(title()), any_change(0..3_i32), prop::option::of(any::<bool>()), prop::option::of(any::<bool>()))
            .prop_map(|(conversation, title, tag, archived, pinned)| Operation::Update { conversation, title, tag, archived, pinned }),
        1 => conversation.clone().prop_map(|conversation| Operation::Delete { conversation }),
        12 => (conversation.clone(), prop::collection::vec(any_message(), 1..4), any_start())
            .prop_map(|(conversation, messages, start)| Operation::append(conversation, messages, start)),
        9 => (conversation.clone(), prop::option::weighted(0.9, message.clone()), prop::option::of(any::<bool>()))
            .prop_map(|(conversation, message, newest)| Operation::SelectLine { conversation, message, newest }),
        7 => any_read(),
        8 => (
            conversation.clone(),
            prop::collection::vec(any_message(), 1..3),
            any_start(),
            // One that is there, or others.
            prop::option::weighted(0.7, prop_oneof![1 => Just(WRITTEN), 2 => message.clone()]),
            any::<bool>(),
        )
            .prop_map(|(conversation, messages, start, reply, create)| Operation::turn(conversation, messages, start, reply, create)),
        5 => (
            conversation.clone(),
            message.clone(),
            prop::option::of(any_text()),
            any_change(0..3_i32),
            prop::option::of(any_tokens()),
            any_change(0..FEEDBACK.len()),
        )
            .prop_map(|(conversation, message, content, tag, token_count, feedback)| {
                Operation::Edit { conversation, message, content: content.map(str::to_owned), tag, token_count, feedback }
            }),
        // A rating alone, as a page sends it.
        2 => (conversation.clone(), message.clone(), prop::option::weighted(0.8, 0..FEEDBACK.len()))
            .prop_map(|(conversation, message, feedback)| {
                Operation::Edit { conversation, message, content: None, tag: None, token_count: None, feedback: Some(feedback) }
            }),
        // A piece that comes again is recognized by its place, and only where another change came in between does its version tell. So there
        // are many of them, to replies that are being written.
        10 => (
            conversation.clone(),
            prop_oneof![3 => Just(WRITTEN), 1 => message.clone()],
            prop::option::weighted(0.8, (prop::sample::select(vec![" rain", "ing", "é", ""]), prop_oneof![4 => Just(Place::End), 1 => (0..6_usize).prop_map(Place::At)])),
            prop::option::of(prop::sample::select(vec!["complete", "in_progress", "cancelled"])),
        )
            .prop_map(|(conversation, message, piece, status)| Operation::Grow {
                conversation,
                message,
                piece: piece.map(|(text, place)| (text.to_owned(), place)),
                status,
            }),
        2 => (conversation.clone(), message).prop_map(|(conversation, message)| Operation::DeleteMessage { conversation, message }),
        4 => (conversation.clone(), prop::option::weighted(0.9, 1..9_i64))
            .prop_map(|(conversation, from)| Operation::Rewind { conversation, from }),
        3 => (conversation.clone(), 1..9_i64, 0..3_i32).prop_map(|(conversation, through, text)| Operation::Summarize { conversation, through, text }),
        2 => conversation.clone().prop_map(|conversation| Operation::DeleteSummary { conversation }),
        3 => (conversation.clone(), 0..CONVERSATIONS, prop::option::of(1..9_i64), prop::option::of(title()))
            .prop_map(|(conversation, copy, at, title)| Operation::Fork { conversation, copy, at, title }),
        1 => Just(Operation::Transfer),
        1 => Just(Operation::Erase),
        1 => conversation.prop_map(|conversation| Operation::Expire { conversation }),
    ]
}

/// How often a request is sent.
fn any_count() -> impl Strategy<Value = usize> {
    prop_oneof![2 => Just(1), 1 => Just(2)]
}

fn any_step() -> impl Strategy<Value = Step> {
    let by = prop_oneof![6 => Just(By::User(0)), 3 => Just(By::User(1)), 1 => (0..2_usize).prop_map(By::Service)];
    let condition =
        prop_oneof![8 => Just(Condition::None), 1 => Just(Condition::Current), 1 => (1..5_i64).prop_map(Condition::Stale)];
    let step = (by, prop::bool::weighted(0.7), any_operation(), condition, any_count(), prop::option::weighted(0.8, 0..KEYS));
    step.prop_map(|(by, is_own, operation, condition, sent, key)| {
        // Most steps are about a conversation that is the caller's at the beginning.
        let owner = operation.conversation().filter(|_| is_own).and_then(|number| OWNERS.get(number));
        let by = owner.map_or(by, |owner| By::User(*owner));
        Step { by, operation, condition, sent, key, again: None }
    })
}

/// What another request with the messages of an earlier one has instead.
#[derive(Clone, Debug)]
enum Twist {
    /// One message more, so that the beginning may be stored.
    Longer(NewMessage),
    /// The first message is the parent of the others.
    Shorter,
    /// Another place.
    Start(Start),
}

impl Twist {
    fn of(self, earlier: &Operation) -> Option<Operation> {
        let mut twisted = earlier.clone();
        let (Operation::Append { messages, place, .. } | Operation::Turn { messages, place, .. }) = &mut twisted else {
            return None;
        };
        match self {
            Self::Longer(new) => messages.push(new),
            Self::Shorter if messages.len() == 1 => return None,
            Self::Shorter => *place = Start { from: None, parent: Some(Some(messages.remove(0).id)) },
            Self::Start(start) => *place = start,
        }
        Some(match twisted {
            Operation::Append { conversation, messages, place } => Operation::append(conversation, messages, place),
            Operation::Turn { conversation, messages, place, reply, create } => {
                Operation::turn(conversation, messages, place, reply, create)
            }
            other => other,
        })
    }
}

fn any_twist() -> impl Strategy<Value = Twist> {
    prop_oneof![any_message().prop_map(Twist::Longer), Just(Twist::Shorter), any_start().prop_map(Twist::Start)]
}

/// Some steps are late duplicates: requests that were sent before, with some others in between. Some appends say something else the second time.
fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let late = prop::option::weighted(0.35, (any::<prop::sample::Index>(), prop::option::weighted(0.4, any_twist())));
    prop::collection::vec((any_step(), late), 1..STEPS).prop_map(|planned| {
        let mut steps: Vec<Step> = Vec::new();
        for (step, late) in planned {
            let (late, twist) = late.unzip();
            // The newest few are the likeliest to find what they found before.
            let of_step = |back: usize| &steps[steps.len() - back];
            // Networks hold pieces back more often, because a reply has hundreds of them.
            let weight = |back| match &of_step(back).operation {
                Operation::Grow { piece: Some(_), .. } => 4,
                read if read.reads() => 0,
                _ => 1,
            };
            let newest: Vec<usize> = (1..=steps.len().min(6)).flat_map(|back| std::iter::repeat_n(back, weight(back))).collect();
            let back = late.filter(|_| !newest.is_empty()).map(|late| *late.get(&newest));
            let earlier = back.map(|back| Step { again: Some(back), ..of_step(back).clone() });
            let twisted = |back| {
                let operation = twist.flatten()?.of(&of_step(back).operation)?;
                Some(Step { operation, again: None, ..of_step(back).clone() })
            };
            let twisted = back.and_then(twisted);
            steps.push(twisted.or(earlier).unwrap_or(step));
        }
        steps
    })
}

/// How each sequence begins: two conversations of the first user and one of the second, with messages and summaries. One has versions of a
/// message. Otherwise most steps would find nothing.
fn beginning() -> Vec<Step> {
    let step =
        |user, operation| Step { by: By::User(user), operation, condition: Condition::None, sent: 1, key: None, again: None };
    let mut steps = Vec::new();
    for (conversation, user) in OWNERS.into_iter().enumerate() {
        steps.push(step(user, Operation::Create { conversation, title: None }));
        let messages: Vec<NewMessage> = (0..=WRITTEN).map(usual_message).collect();
        steps.push(step(user, Operation::append(conversation, messages, Start::default())));
        steps.extend([2, 3].map(|through| step(user, Operation::Summarize { conversation, through, text: 0 })));
        if conversation == 0 {
            // Another question, with its answer. What was behind the first one is kept.
            let version = (WRITTEN + 1..WRITTEN + 3).map(usual_message).collect();
            steps.push(step(user, Operation::append(conversation, version, Start { from: None, parent: Some(Some(1)) })));
        }
    }
    steps
}

/// What one sequence calls its users, conversations and messages.
struct Names {
    users: [String; 2],
    conversations: Vec<Uuid>,
    messages: Vec<Uuid>,
    keys: Vec<Uuid>,
}

impl Names {
    fn new() -> Self {
        let ids = |count| (0..count).map(|_| Uuid::now_v7()).collect();
        let user = |name: &str| format!("{name} {}", Uuid::now_v7());
        Self { users: [user("ada"), user("bob")], conversations: ids(CONVERSATIONS), messages: ids(MESSAGES), keys: ids(KEYS) }
    }

    fn conversation(&self, number: usize) -> String {
        format!("/conversations/{}", self.conversations[number])
    }

    fn message(&self, conversation: usize, message: usize) -> String {
        format!("{}/messages/{}", self.conversation(conversation), self.messages[message])
    }

    fn user(&self, number: usize) -> String {
        format!("/users/{}", self.users[number].replace(' ', "%20"))
    }

    /// The number of an id that an answer has.
    fn number(ids: &[Uuid], id: &Value) -> Option<usize> {
        let id: Uuid = id.as_str()?.parse().ok()?;
        ids.iter().position(|known| *known == id)
    }
}

fn message_body(names: &Names, message: &NewMessage) -> Value {
    let mut body = json!({"id": names.messages[message.id], "role": message.role, "content": message.content});
    if message.status != "complete" {
        body["status"] = json!(message.status);
    }
    if let Some(count) = message.token_count {
        body["token_count"] = json!(count);
    }
    body
}

fn append_body(names: &Names, messages: &[NewMessage], place: Start) -> Value {
    let messages: Vec<Value> = messages.iter().map(|message| message_body(names, message)).collect();
    let mut body = json!({"messages": messages, "from": place.from});
    if let Some(parent) = place.parent {
        body["parent_id"] = json!(parent.map(|parent| names.messages[parent]));
    }
    body
}

/// What a step reads.
fn address(names: &Names, operation: &Operation) -> String {
    match operation {
        Operation::History { conversation, line, all, versions, range } => {
            let mut query = match range {
                Range::Last(count) => vec![format!("last={count}")],
                Range::Between { after, before, limit, newest_first } => {
                    let after = after.map(|after| format!("after={after}"));
                    let before = before.map(|before| format!("before={before}"));
                    let limit = limit.map(|limit| format!("limit={limit}"));
                    let order = newest_first.then(|| "order=desc".to_owned());
                    after.into_iter().chain(before).chain(limit).chain(order).collect()
                }
            };
            query.extend(line.map(|line| format!("line={}", names.messages[line])));
            query.extend(all.then(|| "all=true".to_owned()));
            query.extend(versions.then(|| "include=versions".to_owned()));
            format!("{}/messages?{}", names.conversation(*conversation), query.join("&"))
        }
        Operation::Message { conversation, message } => {
            format!("{}?include=versions", names.message(*conversation, *message))
        }
        Operation::Context { conversation, line, summary } => {
            let short = if *summary { "&max_messages=1" } else { "" };
            format!("{}/context?line={}{short}", names.conversation(*conversation), names.messages[*line])
        }
        _ => unreachable!("these are all that read"),
    }
}

/// The request of a step. `None`: what happens by itself.
fn request<'a>(app: &'a App, names: &Names, state: &State, step: &Step) -> Option<Call<'a>> {
    let user = names.users[step.by.user()].as_str();
    let call = match &step.operation {
        Operation::Create { conversation, title } => {
            let id = names.conversations[*conversation];
            app.post("/conversations").json(&json!({"user_id": user, "id": id, "title": title}))
        }
        Operation::GetOrCreate => app.post("/conversations").json(&json!({"user_id": user})),
        Operation::Update { conversation, title, tag, archived, pinned } => {
            let mut body = json!({});
            if let Some(title) = title {
                body["title"] = json!(title);
            }
            if let Some(tag) = tag {
                body["metadata"] = json!({"tag": tag});
            }
            if let Some(archived) = archived {
                body["archived"] = json!(archived);
            }
            if let Some(pinned) = pinned {
                body["pinned"] = json!(pinned);
            }
            app.patch(&names.conversation(*conversation)).json(&body)
        }
        Operation::Delete { conversation } => app.delete(&names.conversation(*conversation)),
        Operation::Append { conversation, messages, place } => {
            app.post(&format!("{}/messages", names.conversation(*conversation))).json(&append_body(names, messages, *place))
        }
        Operation::Turn { conversation, messages, place, reply, create } => {
            let mut body = append_body(names, messages, *place);
            body["reply_id"] = json!(reply.map(|reply| names.messages[reply]));
            body["conversation"] = json!(create.then(|| json!({"user_id": user})));
            app.post(&format!("{}/turn", names.conversation(*conversation))).json(&body)
        }
        Operation::SelectLine { conversation, message, newest } => {
            let mut body = json!({"message_id": message.map(|message| names.messages[message])});
            if let Some(newest) = newest {
                body["newest"] = json!(newest);
            }
            app.put(&format!("{}/line", names.conversation(*conversation))).json(&body)
        }
        Operation::History { .. } | Operation::Message { .. } | Operation::Context { .. } => {
            app.get(&address(names, &step.operation))
        }
        Operation::Edit { conversation, message, content, tag, token_count, feedback: given } => {
            let mut body = json!({});
            if let Some(content) = content {
                body["content"] = json!(content);
            }
            if let Some(tag) = tag {
                body["metadata"] = json!({"tag": tag});
            }
            if let Some(token_count) = token_count {
                body["token_count"] = json!(token_count);
            }
            if let Some(given) = given {
                body["feedback"] = feedback(*given);
            }
            app.patch(&names.message(*conversation, *message)).json(&body)
        }
        Operation::Grow { conversation, message, piece, status } => {
            let mut body = json!({});
            if let Some((text, place)) = piece {
                (body["append"], body["at"]) = (json!(text), json!(state.place(*conversation, *message, *place)));
            }
            if let Some(status) = status {
                body["status"] = json!(status);
            }
            app.patch(&names.message(*conversation, *message)).json(&body)
        }
        Operation::DeleteMessage { conversation, message } => app.delete(&names.message(*conversation, *message)),
        Operation::Rewind { conversation, from } => {
            let from = from.map(|from| format!("?from={from}")).unwrap_or_default();
            app.delete(&format!("{}/messages{from}", names.conversation(*conversation)))
        }
        Operation::Summarize { conversation, through, text } => {
            let body = json!({"through": through, "content": format!("summary {text}")});
            app.put(&format!("{}/summary", names.conversation(*conversation))).json(&body)
        }
        Operation::DeleteSummary { conversation } => app.delete(&format!("{}/summary", names.conversation(*conversation))),
        Operation::Fork { conversation, copy, at, title } => {
            let body = json!({"id": names.conversations[*copy], "through": at, "title": title});
            app.post(&format!("{}/fork", names.conversation(*conversation))).json(&body)
        }
        Operation::Transfer => {
            let to = &names.users[1 - step.by.user()];
            app.post(&format!("{}/transfer", names.user(step.by.user()))).json(&json!({"to": to}))
        }
        Operation::Erase => app.delete(&names.user(step.by.user())),
        Operation::Expire { .. } => return None,
    };
    let call = match step.by {
        By::User(_) => call.by(user),
        By::Service(_) => call.by_service(),
    };
    let key = step.key.filter(|_| !step.operation.reads());
    let call = if let Some(key) = key { call.header("idempotency-key", names.keys[key].to_string()) } else { call };
    let version = state.condition(step);
    Some(if let Some(version) = version { call.header("if-match", format!("\"{version}\"")) } else { call })
}

/// A message or conversation of an answer as the model has it: with numbers for ids, without times.
fn shown(names: &Names, value: &Value) -> Value {
    let Some(object) = value.as_object() else {
        return value.as_array().map_or_else(|| value.clone(), |values| values.iter().map(|value| shown(names, value)).collect());
    };
    if object.contains_key("position") {
        let mut message = json!({
            "id": Names::number(&names.messages, &value["id"]),
            "position": value["position"],
            "role": value["role"],
            "content": value["content"],
            "metadata": value["metadata"],
            "token_count": value["token_count"],
            "status": value["status"],
            "feedback": value["feedback"],
        });
        // The server has chosen the ids of copies.
        let name = |id: &Value| {
            if id.is_null() { Value::Null } else { Names::number(&names.messages, id).map_or(json!("copy"), |id| json!(id)) }
        };
        if let Some(versions) = object.get("versions") {
            message["versions"] = versions.as_array().unwrap().iter().map(name).collect();
        }
        if let Some(parent) = object.get("parent_id") {
            (message["parent"], message["on_line"]) = (name(parent), value["on_line"].clone());
        }
        return message;
    }
    if object.contains_key("message_count") {
        return json!({
            "id": Names::number(&names.conversations, &value["id"]),
            "user": names.users.iter().position(|user| value["user_id"] == json!(user)),
            "title": value["title"],
            "metadata": value["metadata"],
            "message_count": value["message_count"],
            "kept_count": value["kept_count"],
            "archived": !value["archived_at"].is_null(),
            "pinned": !value["pinned_at"].is_null(),
            "has_had_messages": !value["last_message_at"].is_null(),
            "summary": value["summary"]["through"],
            "forked": value["forked_from"].as_object().map(|from| {
                json!([Names::number(&names.conversations, &from["conversation_id"]), from["position"]])
            }),
        });
    }
    if let Some(context) = object.get("context") {
        let mut turn = json!({"messages": shown(names, &value["messages"]), "context": positions(context)});
        for member in ["reply", "conversation"] {
            if let Some(value) = object.get(member) {
                turn[member] = shown(names, value);
            }
        }
        return turn;
    }
    if object.contains_key("code") {
        return json!({"code": value["code"], "param": value["param"], "length": value["length"]});
    }
    value.clone()
}

/// Which messages a context has, and how many it leaves out.
fn positions(context: &Value) -> Value {
    let sent: Vec<&Value> = context["messages"].as_array().unwrap().iter().map(|message| &message["position"]).collect();
    json!({"positions": sent, "omitted": context["omitted"]})
}

async fn check_sequence(app: &App, superuser: &tokio_postgres::Client, steps: &[Step]) -> Result<(), TestCaseError> {
    let (mut names, mut state, mut sent) = (Names::new(), State::default(), Vec::<Step>::new());
    let beginning = beginning().len();
    for step in steps {
        // A duplicate is the same request, letter by letter.
        let step = &match step.again {
            Some(back) => Step { sent: step.sent, ..sent[sent.len() - back].clone() },
            None => state.fixed(step),
        };
        sent.push(step.clone());
        for _ in 0..step.sent {
            let call = request(app, &names, &state, step);
            let Some(call) = call else {
                let Operation::Expire { conversation } = step.operation else { unreachable!("only this happens by itself") };
                let expire = "update conversations set expires_at = now() - interval '1 second' where id = $1";
                let id = names.conversations[conversation];
                superuser.query_typed(expire, &[(&id, tokio_postgres::types::Type::UUID)]).await.unwrap();
                state.apply(step);
                continue;
            };
            let expected = state.apply(step);
            let answer = call.send().await;
            if step.operation == Operation::GetOrCreate && answer.status == 201 {
                // The server has chosen the id.
                names.conversations.push(answer.json()["id"].as_str().unwrap().parse().unwrap());
            }
            let body = match &step.operation {
                _ if answer.body.is_empty() => Value::Null,
                Operation::History { .. } if answer.status == 200 => all_pages(app, &names, &answer).await,
                Operation::Context { summary: true, .. } if answer.status == 200 => answer.json()["summary"]["through"].clone(),
                Operation::Context { .. } if answer.status == 200 => positions(&answer.json()),
                _ => shown(&names, &answer.json()),
            };
            let version = answer.headers.get("etag").map(|etag| etag.trim_matches('"').parse::<i64>().unwrap());
            let given =
                Answer { status: answer.status, body, version, replayed: answer.headers.contains_key("idempotent-replayed") };
            prop_assert_eq!(&given, &expected, "the answer to {:?}", step);
        }
        // All sequences begin in the same way.
        if sent.len() < beginning {
            continue;
        }
        // What the step was about. The rest is read at the end.
        if let Some(conversation) = step.operation.conversation() {
            check_conversation(app, &names, &state, conversation).await?;
        }
        check_user(app, &names, &state, step.by.user()).await?;
    }
    check_everything(app, &names, &state).await?;
    check_lines(app, &names, &mut state).await?;
    check_export(app, &names, &mut state).await
}

async fn check_everything(app: &App, names: &Names, state: &State) -> Result<(), TestCaseError> {
    for conversation in 0..names.conversations.len() {
        check_conversation(app, names, state, conversation).await?;
    }
    for user in 0..names.users.len() {
        check_user(app, names, state, user).await?;
    }
    Ok(())
}

/// Reads all pages of a history. Each page has the address of the next one.
async fn all_pages(app: &App, names: &Names, first: &crate::support::Answer) -> Value {
    let mut pages = vec![shown(names, &first.json())];
    let mut next = first.next().map(str::to_owned);
    while let Some(target) = next {
        let page = app.get(&target).by_service().expect(200).await;
        pages.push(shown(names, &page.json()));
        next = page.next().map(str::to_owned);
    }
    Value::from(pages)
}

/// What is read of a line is what is read when it is the current one.
async fn check_lines(app: &App, names: &Names, state: &mut State) -> Result<(), TestCaseError> {
    for conversation in 0..names.conversations.len() {
        let path = names.conversation(conversation);
        let read = async |of: &str, line: &str| {
            let mut answers = Vec::new();
            for what in [
                "messages?include=versions",
                "context?format=messages",
                "context?max_messages=2",
                "context?max_tokens=7&step=3",
                "context?max_chars=9&format=openai",
            ] {
                answers.push(app.get(&format!("{path}/{what}{line}")).by_service().expect(200).await.json());
            }
            (of.to_owned(), answers)
        };
        for message in state.tree(conversation) {
            let id = names.messages[message];
            let beside = read("a line", &format!("&line={id}")).await;
            let operation = Operation::SelectLine { conversation, message: Some(message), newest: None };
            let step = Step { by: By::Service(0), operation, condition: Condition::None, sent: 1, key: None, again: None };
            let call = request(app, names, state, &step).expect("a request");
            let expected = state.apply(&step);
            prop_assert_eq!(&shown(names, &call.expect(200).await.json()), &expected.body);
            prop_assert_eq!(beside, read("a line", "").await, "the line that ends with message {}", message);
        }
        check_conversation(app, names, state, conversation).await?;
    }
    Ok(())
}

/// An export, an erasure and an import by the other user change nothing but the user.
async fn check_export(app: &App, names: &Names, state: &mut State) -> Result<(), TestCaseError> {
    let mut exports = Vec::new();
    for user in 0..names.users.len() {
        let exported = app.get(&format!("{}/export", names.user(user))).by_service().expect(200).await;
        prop_assert_eq!(exported.next(), None);
        exports.push(exported.body);
    }
    let mut counts = Vec::new();
    for user in 0..names.users.len() {
        let step = Step {
            by: By::Service(user),
            operation: Operation::Erase,
            condition: Condition::None,
            sent: 1,
            key: None,
            again: None,
        };
        let erased = app.delete(&names.user(user)).by_service().expect(200).await.json();
        prop_assert_eq!(&erased, &state.clone().apply(&step).body);
        counts.push(erased);
    }
    for (user, exported) in exports.iter().enumerate() {
        let import = app.post(&format!("{}/import", names.user(1 - user))).header("content-type", "application/x-ndjson");
        let imported = import.body(&**exported).by_service().expect(200).await.json();
        let stored = json!({"conversations": imported["conversations"], "messages": imported["messages"]});
        prop_assert_eq!((&stored, &imported["skipped"]), (&counts[user], &json!(0)), "{}", imported);
    }
    // The same lines again.
    for (user, exported) in exports.iter().enumerate() {
        let import = app.post(&format!("{}/import", names.user(1 - user))).header("content-type", "application/x-ndjson");
        let imported = import.body(&**exported).by_service().expect(200).await.json();
        let skipped = json!({"conversations": 0, "messages": 0, "skipped": exported.lines().count(), "expired": 0});
        prop_assert_eq!(imported, skipped);
    }
    state.swap_users();
    check_everything(app, names, state).await?;
    for (user, exported) in exports.iter().enumerate() {
        let again = app.get(&format!("{}/export", names.user(1 - user))).by_service().expect(200).await.body;
        prop_assert_eq!(again.replace(&names.users[1 - user], &names.users[user]), exported.clone());
    }
    Ok(())
}

/// Reads a conversation, its messages and its context.
async fn check_conversation(app: &App, names: &Names, state: &State, number: usize) -> Result<(), TestCaseError> {
    let get = async |path: &str| app.get(path).by_service().send().await;
    let path = names.conversation(number);
    let read = get(&path).await;
    let Some((conversation, messages, all, context)) = state.shown(number) else {
        prop_assert_eq!(read.status, 404);
        prop_assert_eq!(get(&format!("{path}/messages")).await.status, 404);
        prop_assert_eq!(get(&format!("{path}/summary")).await.status, 404);
        return Ok(());
    };
    prop_assert_eq!(shown(names, &read.json()), conversation);
    prop_assert_eq!(shown(names, &get(&format!("{path}/messages?include=versions")).await.json()), messages);
    prop_assert_eq!(shown(names, &get(&format!("{path}/messages?all=true")).await.json()), all);
    prop_assert_eq!(positions(&get(&format!("{path}/context")).await.json()), context);
    let read = get(&format!("{path}/summary")).await;
    let summary = (read.status == 200).then(|| json!({"through": read.json()["through"], "content": read.json()["content"]}));
    let short = get(&format!("{path}/context?max_messages=1")).await.json();
    prop_assert_eq!((summary, short["summary"]["through"].as_i64()), state.summary(number));
    Ok(())
}

/// Reads a user's list, and searches it.
async fn check_user(app: &App, names: &Names, state: &State, user: usize) -> Result<(), TestCaseError> {
    let get = async |path: String| app.get(&path).by_service().expect(200).await.array();
    let list = get(format!("{}/conversations", names.user(user))).await;
    let listed: Vec<Option<usize>> = list.iter().map(|one| Names::number(&names.conversations, &one["id"])).collect();
    prop_assert_eq!(listed, state.listed(user));
    let hits = get(format!("{}/search?q=rain", names.user(user))).await;
    let hit = |hit: &Value| {
        let conversation = Names::number(&names.conversations, &hit["message"]["conversation_id"]);
        json!([conversation, hit["message"]["position"], hit["title"]])
    };
    prop_assert_eq!(hits.iter().map(hit).collect::<Vec<_>>(), state.found(user));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_does_what_a_model_of_the_contract_does() {
    let app = App::start().await;
    let superuser = app.superuser().await;
    let cases = std::env::var("SEQUENCES").map_or(SEQUENCES, |count| count.parse().unwrap());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let seed: u8 = std::env::var("SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]));
    let runtime = tokio::runtime::Handle::current();
    let result = tokio::task::block_in_place(|| {
        let sequences = any_steps().prop_map(|steps| [beginning(), steps].concat());
        runner.run(&sequences, |steps| runtime.block_on(check_sequence(&app, &superuser, &steps)))
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    println!("{cases} sequences without a difference");
}
