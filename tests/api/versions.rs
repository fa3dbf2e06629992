//! A conversation as a tree of messages: the current line, what is kept beside it, and how the line moves.

#![expect(clippy::option_option, reason = "no parent is said, none, or a message")]

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::concurrency::all_at_once;
use crate::support::{Answer, App, Call};

/// A conversation of ada's. Its messages have numbers, which are their contents.
pub struct Tree<'a> {
    app: &'a App,
    pub path: String,
    ids: Vec<Uuid>,
}

impl<'a> Tree<'a> {
    /// With the numbers 0 to 99 to give to messages.
    pub async fn plant(app: &'a App) -> Self {
        let path = format!("/conversations/{}", app.conversation().await);
        Self { app, path, ids: (0..100).map(|_| Uuid::now_v7()).collect() }
    }

    /// A question and its answers: 1 is the question, 2 and 4 answer it, 3 follows 2, and 5 follows 4. The line is 1, 4, 5.
    pub async fn of_two_answers(app: &'a App) -> Self {
        let tree = Self::plant(app).await;
        tree.append(&[1, 2, 3], None).expect(201).await;
        tree.append(&[4, 5], Some(Some(1))).expect(201).await;
        tree
    }

    pub fn id(&self, number: usize) -> String {
        self.ids[number].to_string()
    }

    /// Even numbers are answers.
    pub fn message(&self, number: usize) -> Value {
        let role = if number.is_multiple_of(2) { "assistant" } else { "user" };
        json!({"id": self.ids[number], "role": role, "content": number.to_string()})
    }

    pub fn at(&self, number: usize) -> String {
        format!("{}/messages/{}", self.path, self.ids[number])
    }

    /// Messages with these numbers, behind the line, at the beginning or behind another message.
    pub fn append(&self, numbers: &[usize], parent: Option<Option<usize>>) -> Call<'a> {
        let messages: Vec<Value> = numbers.iter().map(|number| self.message(*number)).collect();
        let mut body = json!({"messages": messages});
        if let Some(parent) = parent {
            body["parent_id"] = json!(parent.map(|parent| self.ids[parent]));
        }
        self.app.post(&format!("{}/messages", self.path)).json(&body)
    }

    pub fn select(&self, number: Option<usize>) -> Call<'a> {
        self.app.put(&format!("{}/line", self.path)).json(&json!({"message_id": number.map(|number| self.ids[number])}))
    }

    /// The message at the end of the line, or the newest one below it.
    pub fn select_newest(&self, number: Option<usize>) -> Call<'a> {
        let body = json!({"message_id": number.map(|number| self.ids[number]), "newest": true});
        self.app.put(&format!("{}/line", self.path)).json(&body)
    }

    pub fn get(&self, end: &str) -> Call<'a> {
        self.app.get(&format!("{}{end}", self.path))
    }

    pub async fn conversation(&self) -> Value {
        self.get("").expect(200).await.json()
    }

    /// How many messages the line has, and how many are kept beside it.
    pub async fn counts(&self) -> (i64, i64) {
        let conversation = self.conversation().await;
        (conversation["message_count"].as_i64().unwrap(), conversation["kept_count"].as_i64().unwrap())
    }

    /// The numbers of a history's messages.
    pub async fn history(&self, query: &str) -> Vec<usize> {
        self.numbers(&self.get(&format!("/messages{query}")).expect(200).await.array())
    }

    pub async fn line(&self) -> Vec<usize> {
        self.history("").await
    }

    pub fn numbers(&self, messages: &[Value]) -> Vec<usize> {
        messages.iter().map(|message| self.number(&message["id"]).unwrap()).collect()
    }

    pub fn number(&self, id: &Value) -> Option<usize> {
        let id: Uuid = id.as_str()?.parse().unwrap();
        Some(self.ids.iter().position(|known| *known == id).unwrap())
    }

    /// Each message of the tree with its parent, and whether it is on the line.
    pub async fn tree(&self) -> Vec<(usize, Option<usize>, bool)> {
        let all = self.get("/messages?all=true").expect(200).await.array();
        let in_tree = |message: &Value| {
            (self.number(&message["id"]).unwrap(), self.number(&message["parent_id"]), message["on_line"] == true)
        };
        all.iter().map(in_tree).collect()
    }

    /// The versions of a message.
    pub async fn versions(&self, number: usize) -> Vec<usize> {
        let message = self.app.get(&format!("{}?include=versions", self.at(number))).expect(200).await.json();
        message["versions"].as_array().unwrap().iter().map(|id| self.number(id).unwrap()).collect()
    }

    pub async fn summarize(&self, through: i64, content: &str) -> Answer {
        let body = json!({"through": through, "content": content});
        self.app.put(&format!("{}/summary", self.path)).json(&body).expect(200).await
    }

    /// The position up to which the conversation's summary stands.
    pub async fn summary(&self) -> Option<i64> {
        self.conversation().await["summary"]["through"].as_i64()
    }
}

fn is_replayed(answer: &Answer) -> bool {
    answer.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
}

/// How many rows are kept beside all lines.
async fn kept_rows(app: &App) -> i64 {
    app.rows().await["kept_messages"]
}

#[tokio::test]
async fn what_followed_a_parent_is_kept_and_what_is_appended_to_it_is_the_line() {
    let app = App::start().await;
    let tree = Tree::plant(&app).await;
    tree.append(&[1, 2, 3, 4], None).expect(201).await;
    assert_eq!(tree.counts().await, (4, 0));
    // An edited question, with its answer.
    let edited = tree.append(&[5, 6], Some(Some(2))).expect(201).await;
    assert_eq!((&edited.headers["etag"], edited.array()[1]["position"].as_i64()), (&"\"3\"".to_owned(), Some(6)));
    assert_eq!((tree.line().await, tree.counts().await), (vec![1, 2, 5, 6], (4, 2)));
    // At the end of the line, it is a plain append.
    tree.append(&[7], Some(Some(6))).expect(201).await;
    assert_eq!((tree.line().await, tree.counts().await), (vec![1, 2, 5, 6, 7], (5, 2)));
    // Behind a kept message: the line moves there first.
    let behind = tree.append(&[8], Some(Some(3))).expect(201).await;
    assert_eq!(behind.headers["etag"], "\"5\"");
    assert_eq!((tree.line().await, tree.counts().await), (vec![1, 2, 3, 8], (4, 4)));
    // At the beginning.
    tree.append(&[9], Some(None)).expect(201).await;
    assert_eq!((tree.line().await, tree.counts().await), (vec![9], (1, 8)));
    // What says no parent goes on.
    tree.append(&[10], None).expect(201).await;
    assert_eq!((tree.line().await, tree.counts().await), (vec![9, 10], (2, 8)));
    let expected = [
        (1, None, false),
        (2, Some(1), false),
        (3, Some(2), false),
        (4, Some(3), false),
        (5, Some(2), false),
        (6, Some(5), false),
        (7, Some(6), false),
        (8, Some(3), false),
        (9, None, true),
        (10, Some(9), true),
    ];
    assert_eq!(tree.tree().await, expected);
    // The fields of one message, and the query string.
    let one = json!({"role": "user", "content": "x", "id": tree.ids[11], "parent_id": tree.ids[9]});
    let one = app.post(&format!("{}/messages", tree.path)).json(&one).expect(201).await.json();
    assert_eq!((&one["position"], tree.line().await), (&json!(11), vec![9, 11]));
    let query = format!("{}/messages?role=user&content=y&id={}&parent_id={}", tree.path, tree.ids[12], tree.ids[8]);
    app.post(&query).expect(201).await;
    assert_eq!(tree.line().await, [1, 2, 3, 8, 12]);
}

#[tokio::test]
async fn the_same_messages_under_the_same_parent_are_a_replay_wherever_the_line_is() {
    let app = App::start().await;
    let tree = Tree::of_two_answers(&app).await;
    let replayed = async |numbers: &[usize], parent: Option<Option<usize>>, version: &str| {
        let before = (app.everything().await, tree.conversation().await);
        let again = tree.append(numbers, parent).header("if-match", "\"77\"").expect(200).await;
        assert!(is_replayed(&again), "{again:?}");
        assert_eq!((&*again.headers["etag"], tree.numbers(&again.array())), (version, numbers.to_vec()));
        assert_eq!((app.everything().await, tree.conversation().await), before, "the line does not move");
    };
    // On the line, and beside it.
    replayed(&[4, 5], Some(Some(1)), "\"3\"").await;
    replayed(&[2, 3], Some(Some(1)), "\"2\"").await;
    replayed(&[1], Some(None), "\"2\"").await;
    replayed(&[3], Some(Some(2)), "\"2\"").await;
    // Who names no parent says nothing about the place.
    replayed(&[1, 2, 3], None, "\"2\"").await;
    replayed(&[3], None, "\"2\"").await;
    // Another parent, or another order.
    for (numbers, parent, param) in [
        (&[4, 5][..], Some(Some(2)), "messages[0].id"),
        (&[4, 5], Some(None), "messages[0].id"),
        (&[2, 4], Some(Some(1)), "messages[1].id"),
        (&[5], Some(Some(1)), "messages[0].id"),
        (&[3, 2], Some(Some(2)), "messages[1].id"),
        // The second is stored, and the first is not.
        (&[20, 3], Some(Some(2)), "messages[1].id"),
        (&[2, 20, 3], Some(Some(1)), "messages[2].id"),
    ] {
        let before = app.everything().await;
        tree.append(numbers, parent).refused(409, "conflict", param).await;
        assert_eq!(app.everything().await, before, "{numbers:?} behind {parent:?}");
    }
    let mut other = tree.message(3);
    other["parent_id"] = json!(tree.ids[4]);
    app.post(&format!("{}/messages", tree.path)).json(&other).refused(409, "conflict", "id").await;
    // Other content, under the same parent.
    other["parent_id"] = json!(tree.ids[2]);
    other["content"] = json!("other");
    app.post(&format!("{}/messages", tree.path)).json(&other).refused(409, "conflict", "id").await;

    // The beginning of this batch is stored. The rest goes behind it, and the line with it.
    tree.append(&[2, 3, 20], Some(Some(1))).expect(201).await;
    assert_eq!((tree.line().await, tree.counts().await), (vec![1, 2, 3, 20], (4, 2)));
    // A parent that has been deleted meanwhile changes nothing for who tries again.
    app.delete(&tree.at(1)).expect(204).await;
    replayed(&[4, 5], Some(Some(1)), "\"3\"").await;
    tree.append(&[30], Some(Some(1))).refused(404, "not_found", None).await;
}

#[tokio::test]
async fn a_parent_that_is_not_there_and_a_place_that_is_said_twice_are_refused() {
    let app = App::start().await;
    let tree = Tree::of_two_answers(&app).await;
    let elsewhere = Tree::of_two_answers(&app).await;
    let before = app.everything().await;
    tree.append(&[20], Some(Some(77))).refused(404, "not_found", None).await;
    let mut foreign = tree.message(20);
    foreign["parent_id"] = json!(elsewhere.ids[1]);
    let path = format!("{}/messages", tree.path);
    app.post(&path).json(&foreign).refused(404, "not_found", None).await;
    for parent in [json!(tree.ids[1]), Value::Null] {
        let mut both = tree.message(20);
        (both["parent_id"], both["from"]) = (parent, json!(2));
        app.post(&path).json(&both).refused(400, "invalid_parameter", "parent_id").await;
        app.post(&format!("{}/turn", tree.path)).json(&both).refused(400, "invalid_parameter", "parent_id").await;
    }
    foreign["parent_id"] = json!("x");
    app.post(&path).json(&foreign).refused(400, "invalid_uuid", "parent_id").await;
    // It is said once, beside the messages.
    let inside = json!({"messages": [{"role": "user", "content": "x", "parent_id": tree.ids[1]}]});
    app.post(&path).json(&inside).refused(400, "unknown_parameter", "messages[0].parent_id").await;
    tree.append(&[20], Some(Some(1))).header("if-match", "\"2\"").refused(412, "precondition_failed", "If-Match").await;
    assert_eq!(app.everything().await, before, "nothing was touched");
    tree.append(&[20], Some(Some(1))).header("if-match", "\"3\"").expect(201).await;
}

#[tokio::test]
async fn appends_to_one_parent_at_once_are_versions_of_which_none_is_lost() {
    let app = App::with_instances(4).await;
    let tree = Tree::plant(&app).await;
    tree.append(&[1, 3], None).expect(201).await;
    let answers = all_at_once((0..12).map(|n| tree.append(&[10 + 2 * n, 40 + n], Some(Some(1)))).collect()).await;
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
    let versions: BTreeSet<&String> = answers.iter().map(|answer| &answer.headers["etag"]).collect();
    assert_eq!(versions.len(), 12, "a version for each");
    let mut firsts: Vec<Vec<Value>> = answers.iter().map(Answer::array).collect();
    firsts.sort_by_key(|pair| pair[0]["position"].as_i64());
    let by_position: Vec<usize> = firsts.iter().map(|pair| tree.number(&pair[0]["id"]).unwrap()).collect();
    for pair in &firsts {
        assert_eq!(pair[0]["position"].as_i64().unwrap() + 1, pair[1]["position"].as_i64().unwrap());
    }
    assert_eq!(tree.versions(3).await, [&[3], &*by_position].concat());
    // The last one has the line.
    let last = by_position[11];
    assert_eq!((tree.line().await, tree.counts().await), (vec![1, last, 40 + (last - 10) / 2], (3, 23)));
    // Many attempts at once to store the same version store one.
    let same = all_at_once((0..12).map(|_| tree.append(&[60, 61], Some(Some(3)))).collect()).await;
    let count = |status| same.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(201), count(200)), (1, 11), "{same:?}");
    assert_eq!((tree.line().await, tree.counts().await), (vec![1, 3, 60, 61], (4, 24)));
    // Without a parent, each goes behind the one before.
    all_at_once((70..78).map(|n| tree.append(&[n], None)).collect()).await;
    assert_eq!(tree.counts().await, (12, 24));
}

#[tokio::test]
async fn a_line_is_chosen_and_nothing_is_deleted() {
    let app = App::start().await;
    let tree = Tree::of_two_answers(&app).await;
    let before = tree.conversation().await;
    let chosen = tree.select(Some(3)).expect(200).await;
    let after = tree.conversation().await;
    assert_eq!((&chosen.json(), &*chosen.headers["etag"]), (&after, "\"4\""));
    assert!(after["updated_at"].as_str() > before["updated_at"].as_str());
    assert_eq!(after["last_message_at"], before["last_message_at"], "only new messages move it");
    assert_eq!((tree.line().await, tree.counts().await), (vec![1, 2, 3], (3, 2)));
    // Every byte of what left the line is as it was, and so are its times.
    let kept = app.get(&tree.at(5)).expect(200).await;
    assert_eq!(kept.headers["etag"], "\"4\"");
    tree.select(Some(5)).expect(200).await;
    assert_eq!(tree.get("/messages").expect(200).await.array()[2], kept.json());
    assert_eq!((tree.line().await, tree.counts().await), (vec![1, 4, 5], (3, 2)));
    // In the middle of a line, and the beginning.
    tree.select(Some(2)).expect(200).await;
    assert_eq!((tree.line().await, tree.counts().await), (vec![1, 2], (2, 3)));
    tree.select(Some(1)).expect(200).await;
    assert_eq!((tree.line().await, tree.counts().await), (vec![1], (1, 4)));
    tree.select(None).expect(200).await;
    assert_eq!((tree.line().await, tree.counts().await), (vec![], (0, 5)));
    assert_eq!(tree.get("/context").expect(200).await.json()["messages"], json!([]));
    // To the newest message at each step.
    tree.select_newest(Some(2)).expect(200).await;
    assert_eq!(tree.line().await, [1, 2, 3]);
    tree.select_newest(Some(1)).expect(200).await;
    assert_eq!(tree.line().await, [1, 4, 5]);
    tree.append(&[6], Some(Some(2))).expect(201).await;
    tree.select_newest(Some(2)).expect(200).await;
    assert_eq!(tree.line().await, [1, 2, 6]);
    tree.append(&[7, 8], Some(None)).expect(201).await;
    tree.select(Some(1)).expect(200).await;
    tree.select_newest(None).expect(200).await;
    assert_eq!((tree.line().await, tree.counts().await), (vec![7, 8], (2, 6)));
    assert_eq!(tree.tree().await.len(), 8);
}

#[tokio::test]
async fn each_message_can_be_read_with_its_versions() {
    let app = App::start().await;
    let tree = Tree::of_two_answers(&app).await;
    tree.append(&[6], Some(Some(1))).expect(201).await;
    tree.append(&[7], Some(None)).expect(201).await;
    tree.select(Some(5)).expect(200).await;
    let read = async |query: &str| {
        let messages = tree.get(&format!("/messages?{query}")).expect(200).await.array();
        let versions = |message: &Value| -> Vec<usize> {
            message["versions"].as_array().unwrap().iter().map(|id| tree.number(id).unwrap()).collect()
        };
        messages.iter().map(|message| (tree.number(&message["id"]).unwrap(), versions(message))).collect::<Vec<_>>()
    };
    let line = [(1, vec![1, 7]), (4, vec![2, 4, 6]), (5, vec![5])];
    assert_eq!(read("include=versions").await, line);
    assert_eq!(read("include=versions&limit=1&after=1").await, line[1..2]);
    assert_eq!(read("include=versions&last=2").await, line[1..]);
    assert_eq!(read(&format!("include=versions&line={}", tree.id(3))).await, [(1, vec![1, 7]), (2, vec![2, 4, 6]), (3, vec![3])]);
    assert_eq!(read("include=versions&all=true").await.len(), 7);
    for (number, versions) in [(1, vec![1, 7]), (2, vec![2, 4, 6]), (3, vec![3]), (4, vec![2, 4, 6]), (7, vec![1, 7])] {
        assert_eq!(tree.versions(number).await, versions, "{number}");
    }
    let plain = tree.get("/messages").expect(200).await.array();
    assert!(plain.iter().all(|message| message.get("versions").is_none()), "nobody has asked");
    assert!(app.get(&tree.at(2)).expect(200).await.json().get("versions").is_none());
    tree.get("/messages?include=version").refused(400, "invalid_parameter", "include").await;
    app.get(&format!("{}?include=x", tree.at(1))).refused(400, "invalid_parameter", "include").await;
    // A conversation that was never branched has them, too.
    let linear = Tree::plant(&app).await;
    linear.append(&[1, 2], None).expect(201).await;
    assert_eq!((linear.versions(1).await, linear.versions(2).await), (vec![1], vec![2]));
    // A new version of a message changes what is read of another one.
    let before = tree.get("/messages?include=versions").expect(200).await.headers["etag"].clone();
    tree.append(&[8], Some(Some(1))).expect(201).await;
    tree.select(Some(5)).expect(200).await;
    let changed = tree.get("/messages?include=versions").header("if-none-match", &before).expect(200).await;
    let unchanged = tree.get("/messages?include=versions").header("if-none-match", &changed.headers["etag"]);
    assert_eq!(unchanged.send().await.status, 304);
}

#[tokio::test]
async fn a_line_is_read_as_if_it_were_the_current_one() {
    let app = App::start().await;
    let tree = Tree::plant(&app).await;
    // 1 to 30, and branches at 10, at 20 and within the first branch.
    tree.append(&(1..=30).collect::<Vec<_>>(), None).expect(201).await;
    tree.append(&(31..=40).collect::<Vec<_>>(), Some(Some(10))).expect(201).await;
    tree.append(&(41..=45).collect::<Vec<_>>(), Some(Some(33))).expect(201).await;
    tree.append(&(46..=50).collect::<Vec<_>>(), Some(Some(20))).expect(201).await;
    tree.append(&[51, 52], Some(None)).expect(201).await;
    tree.select(Some(45)).expect(200).await;
    tree.summarize(33, "up to 33").await;
    tree.select(Some(48)).expect(200).await;
    let queries = [
        "/messages",
        "/messages?limit=4",
        "/messages?order=desc&limit=3&before=38",
        "/messages?after=9&before=42",
        "/messages?last=7",
        "/messages?include=versions",
        "/context",
        "/context?max_messages=5",
        "/context?max_messages=12&step=4",
        "/context?max_tokens=60&format=openai",
        "/context?max_chars=20&step=6",
        "/context?max_messages=1",
    ];
    // Each page has the next one's address.
    let read = async |query: &str| {
        let mut pages = vec![tree.get(query).expect(200).await];
        while let Some(next) = pages.last().unwrap().next().map(str::to_owned) {
            pages.push(app.get(&next).expect(200).await);
        }
        pages.iter().map(Answer::json).collect::<Vec<_>>()
    };
    for end in [1, 5, 10, 15, 20, 25, 30, 31, 33, 35, 40, 41, 45, 46, 48, 50, 51, 52] {
        let mut beside = Vec::new();
        let before = tree.conversation().await;
        for query in queries {
            let and = if query.contains('?') { '&' } else { '?' };
            beside.push(read(&format!("{query}{and}line={}", tree.id(end))).await);
        }
        assert_eq!(tree.conversation().await, before, "reading moves nothing");
        tree.select(Some(end)).expect(200).await;
        for (query, beside) in queries.iter().zip(&beside) {
            assert_eq!(&read(query).await, beside, "the line to {end}: {query}");
        }
        tree.select(Some(48)).expect(200).await;
    }
    tree.get(&format!("/messages?line={}", tree.id(77))).refused(404, "not_found", None).await;
    tree.get(&format!("/context?line={}", tree.id(77))).refused(404, "not_found", None).await;
    tree.get("/messages?line=x").refused(400, "invalid_uuid", "line").await;
    tree.get("/context?line=x").refused(400, "invalid_uuid", "line").await;
    let known = tree.get(&format!("/context?line={}", tree.id(30))).expect(200).await;
    let again = tree.get(&format!("/context?line={}", tree.id(30))).header("if-none-match", &known.headers["etag"]);
    assert_eq!(again.send().await.status, 304);
    // A turn's context is that of its own line.
    let turn = json!({"role": "user", "content": "x", "context": {"line": tree.ids[30]}});
    app.post(&format!("{}/turn", tree.path)).json(&turn).refused(400, "unknown_parameter", "context.line").await;
}

#[tokio::test]
async fn all_messages_are_read_with_their_places_in_the_tree() {
    let app = App::start().await;
    let tree = Tree::of_two_answers(&app).await;
    let expected = [(1, None, true), (2, Some(1), false), (3, Some(2), false), (4, Some(1), true), (5, Some(4), true)];
    assert_eq!(tree.tree().await, expected);
    for (query, numbers) in [
        ("all=true&limit=2", vec![1, 2]),
        ("all=true&limit=2&after=2", vec![3, 4]),
        ("all=true&order=desc&limit=3", vec![5, 4, 3]),
        ("all=true&before=4&after=1", vec![2, 3]),
        ("all=true&last=3", vec![3, 4, 5]),
        ("all=false", vec![1, 4, 5]),
    ] {
        assert_eq!(tree.history(&format!("?{query}")).await, numbers, "{query}");
    }
    let mut target = format!("{}/messages?all=true&limit=2&include=versions", tree.path);
    let mut pages = Vec::new();
    loop {
        let page = app.get(&target).expect(200).await;
        pages.push(tree.numbers(&page.array()));
        assert!(page.array().iter().all(|message| message["versions"].is_array() && message["on_line"].is_boolean()));
        let Some(next) = page.next() else { break };
        next.clone_into(&mut target);
    }
    assert_eq!(pages, [vec![1, 2], vec![3, 4], vec![5]]);
    assert!(tree.get("/messages").expect(200).await.array().iter().all(|message| message.get("on_line").is_none()));
    let both = format!("/messages?all=true&line={}", tree.id(3));
    let refused = tree.get(&both).expect(400).await.json();
    assert_eq!(refused["code"], "invalid_parameter", "{refused}");
    tree.get("/messages?all=yes").refused(400, "invalid_parameter", "all").await;
    // A conversation that was never branched is its line.
    let linear = Tree::plant(&app).await;
    linear.append(&[1, 2], None).expect(201).await;
    assert_eq!(linear.tree().await, [(1, None, true), (2, Some(1), true)]);
}

#[tokio::test]
async fn a_kept_message_is_read_changed_and_rated_by_its_id() {
    let app = App::start().await;
    let tree = Tree::of_two_answers(&app).await;
    let kept = app.get(&tree.at(2)).expect(200).await;
    assert_eq!((&kept.json()["content"], &kept.json()["position"], &*kept.headers["etag"]), (&json!("2"), &json!(2), "\"3\""));
    assert_eq!(app.get(&format!("{}?skip=1", tree.at(2))).expect(200).await.json()["content"], "");
    let edited = app.patch(&tree.at(2)).json(&json!({"content": "edited", "metadata": {"a": 1}})).header("if-match", "\"3\"");
    let edited = edited.expect(200).await;
    assert_eq!((&*edited.headers["etag"], &edited.json()["content"]), ("\"4\"", &json!("edited")));
    assert!(edited.json()["updated_at"].as_str() > kept.json()["updated_at"].as_str());
    app.patch(&tree.at(3))
        .json(&json!({"content": "x"}))
        .header("if-match", "\"3\"")
        .refused(412, "precondition_failed", "If-Match")
        .await;
    let rated = app.patch(&tree.at(2)).json(&json!({"feedback": {"rating": "up"}})).expect(200).await.json();
    assert_eq!(rated["feedback"]["rating"], "up");
    let counts = tree.counts().await;
    tree.select(Some(3)).expect(200).await;
    let line = tree.get("/messages").expect(200).await.array();
    assert_eq!((&line[1], counts, tree.counts().await), (&rated, (3, 2), (3, 2)));
    // The same edit with its key, after the message has left the line.
    let key = Uuid::now_v7().to_string();
    let edit = app.patch(&tree.at(3)).json(&json!({"content": "last"})).header("idempotency-key", &key);
    edit.clone().expect(200).await;
    tree.select(Some(5)).expect(200).await;
    let again = edit.expect(200).await;
    assert!(is_replayed(&again) && again.json()["content"] == "last", "{again:?}");
}

#[tokio::test]
async fn what_followed_a_deleted_message_follows_its_parent() {
    let app = App::start().await;
    let tree = Tree::of_two_answers(&app).await;
    tree.append(&[6], Some(Some(4))).expect(201).await;
    // 1 (2 (3), 4 (5, 6)), and the line is 1, 4, 6. In the middle of the line, with versions below it.
    app.delete(&tree.at(4)).expect(204).await;
    let expected = [(1, None, true), (2, Some(1), false), (3, Some(2), false), (5, Some(1), false), (6, Some(1), true)];
    assert_eq!((tree.tree().await, tree.counts().await), (expected.to_vec(), (2, 3)));
    assert_eq!(tree.versions(6).await, [2, 5, 6]);
    // A kept one, in the middle of its path.
    app.delete(&tree.at(2)).expect(204).await;
    assert_eq!((tree.versions(3).await, tree.counts().await), (vec![3, 5, 6], (2, 2)));
    // The beginning, below which there are three.
    app.delete(&tree.at(1)).expect(204).await;
    let expected = [(3, None, false), (5, None, false), (6, None, true)];
    assert_eq!((tree.tree().await, tree.counts().await), (expected.to_vec(), (1, 2)));
    // The end of the line, and a kept leaf.
    app.delete(&tree.at(6)).expect(204).await;
    assert_eq!((tree.line().await, tree.counts().await), (vec![], (0, 2)));
    app.delete(&tree.at(3)).expect(204).await;
    app.delete(&tree.at(3)).refused(404, "not_found", None).await;
    tree.select_newest(None).expect(200).await;
    assert_eq!((tree.line().await, tree.counts().await), (vec![5], (1, 0)));
    tree.append(&[7], None).expect(201).await;
    assert_eq!(tree.get("/messages").expect(200).await.array()[1]["position"], 7, "positions are not used again");
}

#[tokio::test]
async fn a_rewind_deletes_the_versions_below_what_it_deletes_and_no_others() {
    let app = App::start().await;
    for replaces in [false, true] {
        let tree = Tree::plant(&app).await;
        // 1 (2 (3 (4, 7 (8))), 5 (6)), and 9. The line is 1, 2, 3, 4.
        tree.append(&[1, 2, 3, 4], None).expect(201).await;
        tree.append(&[5, 6], Some(Some(1))).expect(201).await;
        tree.append(&[7, 8], Some(Some(3))).expect(201).await;
        tree.append(&[9], Some(None)).expect(201).await;
        tree.select(Some(4)).expect(200).await;
        assert_eq!((tree.line().await, tree.counts().await), (vec![1, 2, 3, 4], (4, 5)));
        if replaces {
            let messages = [tree.message(20), tree.message(4)];
            let body = json!({"messages": messages, "from": 3});
            app.post(&format!("{}/messages", tree.path)).json(&body).expect(201).await;
            // A message that goes takes its id along.
            assert_eq!((tree.line().await, tree.counts().await), (vec![1, 2, 20, 4], (4, 3)));
        } else {
            let deleted = app.delete(&format!("{}/messages?from=3", tree.path)).expect(200).await.json();
            assert_eq!(deleted, json!({"deleted": 4}), "3 and 4, and 7 and 8 below them");
            assert_eq!((tree.line().await, tree.counts().await), (vec![1, 2], (2, 3)));
        }
        for (number, status) in [(3, 404), (7, 404), (8, 404), (5, 200), (6, 200), (9, 200)] {
            app.get(&tree.at(number)).expect(status).await;
        }
        // Their positions are behind, and they stay.
        assert_eq!(tree.versions(2).await, [2, 5]);
        assert_eq!(tree.history(&format!("?line={}", tree.id(6))).await, [1, 5, 6]);
        // Behind the line's end there is nothing to delete, even if kept messages have such positions.
        tree.select(Some(2)).expect(200).await;
        let nothing = app.delete(&format!("{}/messages?from=9", tree.path)).expect(200).await.json();
        let all = tree.tree().await.len();
        assert_eq!((nothing, all), (json!({"deleted": 0}), if replaces { 7 } else { 5 }));
        // Without a position: everything.
        assert_eq!(app.delete(&format!("{}/messages", tree.path)).expect(200).await.json(), json!({"deleted": all}));
        assert_eq!((tree.tree().await, tree.counts().await), (vec![], (0, 0)));
        // On an empty line, too.
        tree.append(&[1, 2], None).expect(201).await;
        tree.select(None).expect(200).await;
        assert_eq!(app.delete(&format!("{}/messages?from=1", tree.path)).expect(200).await.json(), json!({"deleted": 0}));
        assert_eq!(app.delete(&format!("{}/messages", tree.path)).expect(200).await.json(), json!({"deleted": 2}));
    }
    assert_eq!(kept_rows(&app).await, 0);
}

#[tokio::test]
async fn a_summary_holds_on_every_line_that_has_its_end() {
    let app = App::start().await;
    let tree = Tree::plant(&app).await;
    // 1 (2 (3 (4), 5 (6))), and the line is 1, 2, 5, 6.
    tree.append(&[1, 2, 3, 4], None).expect(201).await;
    tree.summarize(2, "up to 2").await;
    tree.summarize(4, "up to 4").await;
    tree.append(&[5, 6], Some(Some(2))).expect(201).await;
    assert_eq!(tree.summary().await, Some(2), "the newest that holds on this line");
    let read = app.get(&format!("{}/summary", tree.path)).expect(200).await.json();
    assert_eq!(read["content"], "up to 2");
    tree.summarize(5, "up to 5").await;
    let context =
        async |query: &str| tree.get(&format!("/context?max_messages=1{query}")).expect(200).await.json()["summary"].clone();
    assert_eq!(context("").await, json!({"through": 5}));
    assert_eq!(context(&format!("&line={}", tree.id(4))).await, json!({"through": 4}));
    assert_eq!(context(&format!("&line={}", tree.id(3))).await, json!({"through": 2}));
    for (end, through) in [(4, 4), (3, 2), (2, 2), (6, 5), (5, 5)] {
        let chosen = tree.select(Some(end)).expect(200).await.json();
        assert_eq!((chosen["summary"]["through"].as_i64(), tree.summary().await), (Some(through), Some(through)), "{end}");
    }
    assert_eq!(tree.select(Some(1)).expect(200).await.json()["summary"], Value::Null);
    app.get(&format!("{}/summary", tree.path)).refused(404, "not_found", None).await;
    app.delete(&format!("{}/summary", tree.path)).refused(404, "not_found", None).await;
    // One cannot end beside the line.
    tree.select(Some(6)).expect(200).await;
    let beside = json!({"through": 4, "content": "x"});
    app.put(&format!("{}/summary", tree.path)).json(&beside).refused(400, "invalid_parameter", "through").await;
    // An edit of a kept message voids the summaries of the lines that have it, and no others.
    app.patch(&tree.at(3)).json(&json!({"content": "edited"})).expect(200).await;
    assert_eq!(tree.summary().await, Some(5));
    assert_eq!(tree.select(Some(4)).expect(200).await.json()["summary"]["through"], 2);
    // A deletion, too. On every line.
    app.delete(&tree.at(1)).expect(204).await;
    for end in [4, 6] {
        assert_eq!(tree.select(Some(end)).expect(200).await.json()["summary"], Value::Null);
    }
    assert_eq!(app.rows().await["summaries"], 0);
    // The line moves during a slow summary. What it stands for has not changed.
    let version = tree.get("").expect(200).await.headers["etag"].clone();
    tree.select(Some(4)).expect(200).await;
    app.patch(&tree.at(6)).json(&json!({"content": "on another line"})).expect(200).await;
    let late = app.put(&format!("{}/summary", tree.path)).json(&json!({"through": 4, "content": "x"})).header("if-match", &version);
    late.expect(200).await;
    // Deleting a version deletes its summaries.
    tree.select(Some(6)).expect(200).await;
    app.delete(&tree.at(4)).expect(204).await;
    assert_eq!(app.rows().await["summaries"], 0);
}

#[tokio::test]
async fn a_reply_that_leaves_the_line_while_it_is_written_loses_nothing() {
    let app = App::start().await;
    let tree = Tree::plant(&app).await;
    tree.append(&[1], None).expect(201).await;
    let begin = json!({"id": tree.ids[2], "role": "assistant", "content": "It", "status": "in_progress"});
    app.post(&format!("{}/messages", tree.path)).json(&begin).expect(201).await;
    let piece = |text: &str, at: usize| app.patch(&tree.at(2)).json(&json!({"append": text, "at": at}));
    piece(" rains", 2).expect(200).await;
    // Somebody asks for another answer, and the first one goes on.
    tree.append(&[4], Some(Some(1))).expect(201).await;
    assert_eq!(tree.counts().await, (2, 1));
    assert_eq!(piece(" in", 8).expect(200).await.json()["content"], "It rains in");
    assert!(is_replayed(&piece(" in", 8).expect(200).await), "the same piece again");
    let wrong = piece("x", 3).refused(409, "conflict", "at").await.json();
    assert_eq!(wrong["length"], 11);
    let sign = piece("", 11).expect(200).await.json();
    assert_eq!(sign["status"], "in_progress");
    // A reader who follows it sees it grow.
    let seen = app.get(&tree.at(2)).expect(200).await.headers["etag"].clone();
    let following = app.get(&format!("{}?wait=5", tree.at(2))).header("if-none-match", &seen);
    let (followed, _) = tokio::join!(following.expect(200), piece(" Oslo", 11).expect(200));
    assert_eq!(followed.json()["content"], "It rains in Oslo");
    let done = app.patch(&tree.at(2)).json(&json!({"append": ".", "at": 16, "status": "complete"})).expect(200).await.json();
    assert_eq!((&done["status"], &done["content"]), (&json!("complete"), &json!("It rains in Oslo.")));
    assert_eq!((tree.line().await, tree.counts().await), (vec![1, 4], (2, 1)));
    let chosen = tree.select(Some(2)).expect(200).await.json();
    assert_eq!(tree.get("/messages").expect(200).await.array()[1], done);
    assert_eq!(chosen["message_count"], 2);
    // One that its reader has stopped.
    let other = json!({"id": tree.ids[6], "role": "assistant", "content": "So", "status": "in_progress", "parent_id": tree.ids[1]});
    app.post(&format!("{}/messages", tree.path)).json(&other).expect(201).await;
    tree.select(Some(4)).expect(200).await;
    app.patch(&tree.at(6)).json(&json!({"status": "cancelled"})).expect(200).await;
    let late = app.patch(&tree.at(6)).json(&json!({"append": " what", "at": 2})).expect(409).await.json();
    assert_eq!(late["code"], "cancelled");
}

#[tokio::test]
async fn a_stop_and_a_new_answer_at_once_both_happen() {
    let app = App::with_instances(3).await;
    for _ in 0..6 {
        let tree = Tree::plant(&app).await;
        tree.append(&[1], None).expect(201).await;
        let begin = json!({"id": tree.ids[2], "role": "assistant", "content": "It", "status": "in_progress"});
        app.post(&format!("{}/messages", tree.path)).json(&begin).expect(201).await;
        let stop = app.patch(&tree.at(2)).json(&json!({"status": "cancelled"}));
        let regenerate = tree.append(&[4], Some(Some(1)));
        let piece = app.patch(&tree.at(2)).json(&json!({"append": " rains", "at": 2}));
        let (stop, regenerate, piece) = tokio::join!(stop.send(), regenerate.send(), piece.send());
        assert_eq!((stop.status, regenerate.status), (200, 201), "{stop:?} {regenerate:?}");
        // The piece came before the stop or behind it.
        assert!([200, 409].contains(&piece.status), "{piece:?}");
        let expected = if piece.status == 200 { "It rains" } else { "It" };
        let stopped = app.get(&tree.at(2)).expect(200).await;
        assert_eq!((&stopped.json()["status"], &stopped.json()["content"]), (&json!("cancelled"), &json!(expected)));
        assert_eq!((tree.line().await, tree.counts().await, tree.versions(4).await), (vec![1, 4], (2, 1), vec![2, 4]));
        let version = if piece.status == 200 { "\"6\"" } else { "\"5\"" };
        assert_eq!(stopped.headers["etag"], version, "a version for each change");
    }
}

/// Writers of all kinds, at once, on one tree. Afterwards it is one that some order of them makes.
#[tokio::test]
async fn moves_and_edits_at_once_take_turns() {
    let app = App::with_instances(4).await;
    let tree = Tree::of_two_answers(&app).await;
    for round in 0..5 {
        let mut calls = vec![tree.select(Some(3)), tree.select(Some(5)), tree.select_newest(Some(1)), tree.select(None)];
        calls.extend((0..4).map(|n| tree.append(&[20 + 4 * round + n], Some(Some(1 + n)))));
        calls.push(app.patch(&tree.at(2)).json(&json!({"content": format!("edited {round}")})));
        calls.push(app.patch(&tree.at(5)).json(&json!({"content": format!("edited {round}")})));
        let answers = all_at_once(calls).await;
        assert!(answers.iter().all(|answer| [200, 201].contains(&answer.status)), "{answers:?}");
        let all = tree.tree().await;
        let (line, kept) = tree.counts().await;
        assert_eq!((all.len(), line + kept), (9 + 4 * round, 9 + 4 * i64::try_from(round).unwrap()));
        for (number, parent, on_line) in &all {
            if *number >= 20 {
                assert_eq!(*parent, Some(1 + (number - 20) % 4));
            }
            // Who is on the line has a parent on it.
            let is_on_line = |one: usize| all.iter().any(|(number, _, on_line)| *number == one && *on_line);
            assert!(!on_line || parent.is_none_or(is_on_line));
        }
        assert_eq!(tree.line().await, all.iter().filter(|(.., on_line)| *on_line).map(|(number, ..)| *number).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_turn_begins_behind_its_parent() {
    let app = App::start().await;
    let tree = Tree::of_two_answers(&app).await;
    let mut turn = tree.message(7);
    turn["parent_id"] = json!(tree.ids[2]);
    turn["reply_id"] = json!(tree.ids[8]);
    turn["conversation"] = json!({"user_id": "ada"});
    let path = format!("{}/turn", tree.path);
    let begun = app.post(&path).json(&turn).by_service().expect(201).await;
    let json = begun.json();
    let sent: Vec<&Value> = json["context"]["messages"].as_array().unwrap().iter().map(|message| &message["content"]).collect();
    assert_eq!(sent, ["1", "2", "7"], "the context is that of the new line");
    assert_eq!((&json["conversation"]["message_count"], &json["conversation"]["kept_count"]), (&json!(4), &json!(3)));
    assert_eq!(tree.line().await, [1, 2, 7, 8]);
    // The line moves, and the turn comes again: it is where it was, and the context is the one of now.
    tree.select(Some(5)).expect(200).await;
    let again = app.post(&path).json(&turn).by_service().expect(200).await;
    assert!(is_replayed(&again));
    assert_eq!((&again.headers["etag"], tree.line().await), (&begun.headers["etag"], vec![1, 4, 5]));
    assert_eq!(again.json()["reply"], json["reply"]);
    // Two turns behind one message at once.
    let other = |number: usize| {
        let mut turn = tree.message(number);
        (turn["parent_id"], turn["reply_id"]) = (json!(tree.ids[5]), json!(tree.ids[number + 1]));
        app.post(&path).json(&turn).by_service()
    };
    let answers = all_at_once(vec![other(11), other(13)]).await;
    for answer in &answers {
        let turn = answer.json();
        let positions: Vec<i64> =
            turn["context"]["messages"].as_array().unwrap().iter().map(|message| message["position"].as_i64().unwrap()).collect();
        assert_eq!(positions, [1, 4, 5, turn["messages"][0]["position"].as_i64().unwrap()], "no other turn's question is in it");
    }
    for (question, reply) in [(11, 12), (13, 14)] {
        assert_eq!(tree.history(&format!("?line={}", tree.id(reply))).await, [1, 4, 5, question, reply]);
    }
    // A reply elsewhere, and a parent that is not there.
    turn["parent_id"] = json!(tree.ids[4]);
    app.post(&path).json(&turn).by_service().refused(409, "conflict", "id").await;
    let mut elsewhere = tree.message(15);
    (elsewhere["parent_id"], elsewhere["reply_id"]) = (json!(tree.ids[5]), json!(tree.ids[8]));
    app.post(&path).json(&elsewhere).by_service().refused(409, "conflict", "reply_id").await;
    elsewhere["parent_id"] = json!(tree.ids[77]);
    elsewhere["reply_id"] = json!(tree.ids[16]);
    app.post(&path).json(&elsewhere).by_service().refused(404, "not_found", None).await;
    // In a conversation that is not there, there is no parent either, and none is made.
    let nowhere = format!("/conversations/{}", Uuid::now_v7());
    elsewhere["conversation"] = json!({"user_id": "ada"});
    app.post(&format!("{nowhere}/turn")).json(&elsewhere).by_service().refused(404, "not_found", None).await;
    app.get(&nowhere).refused(404, "not_found", None).await;
    elsewhere["parent_id"] = Value::Null;
    app.post(&format!("{nowhere}/turn")).json(&elsewhere).by_service().expect(201).await;
}

#[tokio::test]
async fn lists_and_search_and_forks_speak_of_the_line() {
    let app = App::start().await;
    let tree = Tree::plant(&app).await;
    let say = async |number: usize, content: &str, parent: Option<usize>| {
        let mut body = tree.message(number);
        body["content"] = json!(content);
        if let Some(parent) = parent {
            body["parent_id"] = json!(tree.ids[parent]);
        }
        app.post(&format!("{}/messages", tree.path)).json(&body).expect(201).await;
    };
    say(1, "Is it raining?", None).await;
    say(2, "It is raining.", None).await;
    say(4, "It snows.", Some(1)).await;
    tree.summarize(3, "weather").await;
    let found = async |word: &str| {
        let hits = app.get(&format!("/users/ada/search?q={word}")).expect(200).await.array();
        hits.iter().map(|hit| tree.number(&hit["message"]["id"]).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((found("raining").await, found("snows").await), (vec![1], vec![4]));
    let last = async || app.get("/users/ada/conversations?include=last_message").expect(200).await.array()[0].clone();
    assert_eq!((&last().await["last_message"]["content"], &last().await["kept_count"]), (&json!("It snows."), &json!(1)));
    tree.select(Some(2)).expect(200).await;
    assert_eq!((found("raining").await, found("snows").await), (vec![2, 1], vec![]));
    assert_eq!(last().await["last_message"]["content"], "It is raining.");
    // A fork has the line, and nothing else.
    let fork = app.post(&format!("{}/fork", tree.path)).json(&json!({})).expect(201).await.json();
    assert_eq!((&fork["message_count"], &fork["kept_count"], &fork["summary"]), (&json!(2), &json!(0), &Value::Null));
    let copied = format!("/conversations/{}/messages", fork["id"].as_str().unwrap());
    let copied = app.get(&format!("{copied}?all=true")).expect(200).await.array();
    assert_eq!(copied.iter().map(|message| &message["position"]).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(copied[1]["parent_id"], copied[0]["id"]);
    tree.select(Some(4)).expect(200).await;
    let fork = app.post(&format!("{}/fork", tree.path)).json(&json!({"through": 3})).expect(201).await.json();
    assert_eq!((&fork["message_count"], &fork["summary"]["through"]), (&json!(2), &json!(3)));
    // An empty line has no last message, and the time of the newest message stays.
    let before = last().await["last_message_at"].clone();
    app.delete(&format!("/conversations/{}", fork["id"].as_str().unwrap())).expect(204).await;
    tree.select(None).expect(200).await;
    let empty =
        app.get(&format!("/users/ada/conversations?include=last_message&ids={}", &tree.path[15..])).expect(200).await.json();
    assert_eq!((&empty[0]["last_message"], &empty[0]["message_count"]), (&Value::Null, &json!(0)));
    assert!(before.is_string() && empty[0]["last_message_at"].is_string());
}

#[tokio::test]
async fn the_wrong_user_sees_and_moves_nothing() {
    let app = App::start().await;
    let tree = Tree::of_two_answers(&app).await;
    let own = format!("/conversations/{}", app.post("/conversations").by("bob").expect(201).await.json()["id"].as_str().unwrap());
    let before = app.everything().await;
    for message in [2, 4, 77] {
        let line = json!({"message_id": tree.ids[message]});
        app.put(&format!("{}/line", tree.path)).json(&line).by("bob").refused(404, "not_found", None).await;
        // A conversation of one's own has no such message.
        app.put(&format!("{own}/line")).json(&line).by("bob").refused(404, "not_found", None).await;
        let append = json!({"role": "user", "content": "mine?", "parent_id": tree.ids[message]});
        for path in [&tree.path, &own] {
            app.post(&format!("{path}/messages")).json(&append).by("bob").refused(404, "not_found", None).await;
            app.post(&format!("{path}/turn")).json(&append).by("bob").refused(404, "not_found", None).await;
            let id = tree.id(message);
            app.get(&format!("{path}/messages?line={id}")).by("bob").refused(404, "not_found", None).await;
            app.get(&format!("{path}/context?line={id}")).by("bob").refused(404, "not_found", None).await;
            app.get(&format!("{path}/messages/{id}?include=versions")).by("bob").refused(404, "not_found", None).await;
            app.patch(&format!("{path}/messages/{id}"))
                .json(&json!({"content": "x"}))
                .by("bob")
                .refused(404, "not_found", None)
                .await;
            app.delete(&format!("{path}/messages/{id}")).by("bob").refused(404, "not_found", None).await;
        }
    }
    tree.get("/messages?all=true").by("bob").refused(404, "not_found", None).await;
    tree.select(None).by_nobody().refused(401, "unauthenticated", None).await;
    assert_eq!(app.everything().await, before, "nothing was touched");
    // A role that the user may not write, in a kept message.
    let mut app = App::start().await;
    app.set("USER_ROLES", "user");
    let path = format!("/conversations/{}", app.conversation().await);
    let both = json!({"messages": [{"role": "user", "content": "1"}, {"id": Uuid::now_v7(), "role": "assistant", "content": "2"}]});
    let stored = app.post(&format!("{path}/messages")).json(&both).by_service().expect(201).await.array();
    app.put(&format!("{path}/line")).json(&json!({"message_id": stored[0]["id"]})).expect(200).await;
    let kept = format!("{path}/messages/{}", stored[1]["id"].as_str().unwrap());
    app.patch(&kept).json(&json!({"content": "mine?"})).refused(403, "forbidden", "content").await;
    app.patch(&kept).json(&json!({"feedback": {"rating": "down"}})).expect(200).await;
    let answer = json!({"role": "assistant", "content": "x", "parent_id": stored[0]["id"]});
    app.post(&format!("{path}/messages")).json(&answer).refused(403, "forbidden", "role").await;
}

/// Fills a conversation with so many messages, in batches as large as they may be. Returns the id of every 500th.
async fn fill(app: &App, path: &str, messages: usize, parent: Option<&str>) -> Vec<String> {
    let mut ends: Vec<String> = Vec::new();
    let mut parent = parent.map(str::to_owned);
    for _ in 0..messages / 500 {
        let mut body = json!({"messages": vec![json!({"role": "user", "content": "x"}); 500]});
        if let Some(parent) = parent.take() {
            body["parent_id"] = json!(parent);
        }
        let stored = app.post(&format!("{path}/messages")).json(&body).expect(201).await.array();
        ends.push(stored[499]["id"].as_str().unwrap().to_owned());
    }
    ends
}

#[tokio::test]
async fn a_move_takes_ten_thousand_messages_at_most() {
    let app = App::start().await;
    let path = format!("/conversations/{}", app.conversation().await);
    let first = app.post(&format!("{path}/messages?role=user&content=first")).expect(201).await.json()["id"].clone();
    let first = first.as_str().unwrap();
    let ends = fill(&app, &path, 10_000, None).await;
    let select = |id: Option<&str>| app.put(&format!("{path}/line")).json(&json!({"message_id": id}));
    let counts = async || {
        let one = app.get(&path).expect(200).await.json();
        (one["message_count"].as_i64().unwrap(), one["kept_count"].as_i64().unwrap())
    };
    // All of them leave.
    select(Some(first)).expect(200).await;
    assert_eq!(counts().await, (1, 10_000));
    // All of them come back.
    select(Some(&ends[19])).expect(200).await;
    assert_eq!(counts().await, (10_001, 0));
    // 10,001 are too many. So they are when they make room for an append.
    let before = app.get(&path).expect(200).await;
    let refused = select(None).refused(413, "payload_too_large", "message_id").await.json();
    let detail = refused["detail"].as_str().unwrap().replace(',', "");
    assert!(detail.contains("10001") && detail.contains("10000"), "{detail}");
    let append = json!({"role": "user", "content": "x", "parent_id": null});
    let refused = app.post(&format!("{path}/messages")).json(&append).refused(413, "payload_too_large", "parent_id").await.json();
    assert!(refused["detail"].as_str().unwrap().replace(',', "").contains("10001"), "{refused}");
    app.post(&format!("{path}/turn")).json(&append).refused(413, "payload_too_large", "parent_id").await;
    assert_eq!(app.get(&path).expect(200).await.json(), before.json(), "nothing has moved");
    // Those that leave and those that come are counted together.
    let branch = fill(&app, &path, 500, Some(&ends[9])).await;
    assert_eq!(counts().await, (5501, 5000));
    select(Some(&ends[19])).expect(200).await;
    select(Some(first)).expect(200).await;
    select(Some(&branch[0])).expect(200).await;
    assert_eq!(counts().await, (5501, 5000));
    let longer = fill(&app, &path, 5000, None).await;
    assert_eq!(counts().await, (10_501, 5000));
    let refused = select(Some(&ends[19])).refused(413, "payload_too_large", "message_id").await.json();
    assert!(refused["detail"].as_str().unwrap().replace(',', "").contains("10500"), "{refused}");
    // In two steps it goes.
    select(Some(&ends[9])).expect(200).await;
    select(Some(&ends[19])).expect(200).await;
    assert_eq!(counts().await, (10_001, 5500));
    // Reads are not moves.
    let read = app.get(&format!("{path}/messages?line={}&last=3", longer[9])).expect(200).await.array();
    assert_eq!(read.last().unwrap()["id"], json!(longer[9]));
    let context = app.get(&format!("{path}/context?line={}&max_messages=10", longer[9])).expect(200).await.json();
    assert_eq!(context["omitted"], 10_491);
    let mut positions: Vec<i64> = read.iter().map(|message| message["position"].as_i64().unwrap()).collect();
    positions.dedup();
    assert!(positions.len() == 3 && positions.is_sorted(), "{positions:?}");
}

#[tokio::test]
async fn positions_grow_along_every_path() {
    let app = App::start().await;
    let tree = Tree::of_two_answers(&app).await;
    tree.append(&[6], Some(Some(3))).expect(201).await;
    tree.append(&[7], Some(Some(4))).expect(201).await;
    tree.append(&[8, 9], Some(None)).expect(201).await;
    tree.append(&[10], Some(Some(7))).expect(201).await;
    app.delete(&tree.at(3)).expect(204).await;
    for end in [1, 2, 4, 5, 6, 7, 8, 9, 10] {
        let path = tree.get(&format!("/messages?line={}", tree.id(end))).expect(200).await.array();
        let positions: Vec<i64> = path.iter().map(|message| message["position"].as_i64().unwrap()).collect();
        assert!(positions.is_sorted_by(|a, b| a < b), "{end}: {positions:?}");
    }
    // And time does, too.
    let all = tree.get("/messages?all=true").expect(200).await.array();
    assert!(all.is_sorted_by_key(|message| message["created_at"].as_str().unwrap()));
}

/// Whatever ends a conversation or a user ends what is kept beside the lines.
#[tokio::test]
async fn nothing_that_is_kept_survives_its_conversation() {
    let app = App::start().await;
    let superuser = app.superuser().await;
    let tree = Tree::of_two_answers(&app).await;
    assert_eq!(kept_rows(&app).await, 2);
    app.delete(&tree.path).expect(204).await;
    assert_eq!(kept_rows(&app).await, 0, "delete-conversation");

    let tree = Tree::of_two_answers(&app).await;
    let id: Uuid = tree.path[15..].parse().unwrap();
    superuser
        .query_typed("update conversations set expires_at = now() - interval '1 hour' where id = $1", &[(&id, Type::UUID)])
        .await
        .unwrap();
    for call in [tree.get("/messages?all=true"), app.get(&tree.at(2)), tree.get(&format!("/messages?line={}", tree.id(3)))] {
        call.refused(404, "not_found", None).await;
    }
    tree.select(Some(3)).refused(404, "not_found", None).await;
    tree.append(&[7], Some(Some(2))).refused(404, "not_found", None).await;
    let answer = app.function("purge-expired").invoke(json!({}).to_string()).await.unwrap();
    assert!(answer.to_string().contains("messages"), "{answer}");
    assert!(app.rows().await.values().all(|rows| *rows == 0), "purge-expired: {:?}", app.rows().await);

    let first = Tree::of_two_answers(&app).await;
    let second = Tree::of_two_answers(&app).await;
    app.delete(&first.at(2)).expect(204).await;
    second.select(Some(2)).expect(200).await;
    let transferred = app.post("/users/ada/transfer").json(&json!({"to": "bob"})).by_service().expect(200).await.json();
    assert_eq!(transferred["conversations"], 2);
    let read = second.get(&format!("/messages?line={}", second.id(5))).by("bob").expect(200).await.array();
    assert_eq!(second.numbers(&read), [1, 4, 5]);
    app.get(&second.at(5)).refused(404, "not_found", None).await;
    assert_eq!(app.delete("/users/bob").by("bob").expect(200).await.json(), json!({"conversations": 2, "messages": 9}));
    assert!(app.rows().await.values().all(|rows| *rows == 0), "erase-user: {:?}", app.rows().await);

    let tree = Tree::of_two_answers(&app).await;
    app.delete(&format!("{}/messages", tree.path)).expect(200).await;
    assert_eq!(kept_rows(&app).await, 0, "rewind-conversation");
    // What is kept is searched by nobody, after a transfer, too.
    let tree = Tree::of_two_answers(&app).await;
    app.post("/users/ada/transfer").json(&json!({"to": "eve"})).by_service().expect(200).await;
    let found = async |word: &str| app.get(&format!("/users/eve/search?q={word}")).by("eve").expect(200).await.array().len();
    assert_eq!((found("2").await, found("4").await), (0, 1));
    tree.select(Some(3)).by("eve").expect(200).await;
    assert_eq!((found("2").await, found("4").await), (1, 0), "it has its new owner");
}

#[tokio::test]
async fn an_export_and_an_import_keep_the_tree() {
    let app = App::start().await;
    let tree = Tree::of_two_answers(&app).await;
    tree.append(&[6], Some(Some(2))).expect(201).await;
    tree.append(&[7, 8], Some(None)).expect(201).await;
    tree.select(Some(3)).expect(200).await;
    tree.summarize(3, "up to 3").await;
    tree.select(Some(5)).expect(200).await;
    tree.summarize(5, "up to 5").await;
    app.patch(&tree.at(2)).json(&json!({"metadata": {"a": 1}, "feedback": {"rating": "up"}})).expect(200).await;
    let exported = app.get("/users/ada/export").expect(200).await.body;
    let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shown = |line: &Value| {
        let message = &line["message"];
        (tree.number(&message["id"]).unwrap(), message.get("parent_id").map(|id| tree.number(id)), message.get("kept").cloned())
    };
    let kept = Some(json!(true));
    let expected = [
        (1, None, None),
        (2, Some(Some(1)), kept.clone()),
        (3, Some(Some(2)), kept.clone()),
        (4, None, None),
        (5, None, None),
        (6, Some(Some(2)), kept.clone()),
        (7, Some(None), kept.clone()),
        (8, Some(Some(7)), kept),
    ];
    assert_eq!(lines[1..].iter().map(shown).collect::<Vec<_>>(), expected);
    assert_eq!(lines[0]["conversation"]["kept_count"], 5);
    let read = async |by: &str| {
        let all = tree.get("/messages?all=true&include=versions").by(by).expect(200).await.json();
        let mut conversation = tree.get("").by(by).expect(200).await.json();
        conversation["user_id"].take();
        (all, conversation)
    };
    let before = read("ada").await;
    assert_eq!(app.delete("/users/ada").expect(200).await.json(), json!({"conversations": 1, "messages": 8}));
    let import = |user: &str, body: &str| {
        app.post(&format!("/users/{user}/import")).header("content-type", "application/x-ndjson").body(body).by_service()
    };
    for (lines, counts) in [
        (&exported, json!({"conversations": 1, "messages": 8, "skipped": 0, "expired": 0})),
        (&exported, json!({"conversations": 0, "messages": 0, "skipped": 9, "expired": 0})),
    ] {
        assert_eq!(import("bob", lines).expect(200).await.json(), counts);
        assert_eq!(read("bob").await, before);
    }
    assert_eq!(app.get("/users/bob/export").by("bob").expect(200).await.body, exported.replace("\"ada\"", "\"bob\""));
    let summaries = async || tree.get("").by("bob").expect(200).await.json()["summary"]["through"].as_i64();
    assert_eq!(summaries().await, Some(5));
    tree.select(Some(3)).by("bob").expect(200).await;
    assert_eq!(summaries().await, Some(3), "the summary of another line came along");
    // What stands elsewhere than its line says is other content, and so is what has left the line since.
    import("bob", &exported).expect(409).await;

    // A page for each line.
    app.delete("/users/bob").by("bob").expect(200).await;
    for line in exported.lines() {
        import("bob", line).expect(200).await;
    }
    assert_eq!(read("bob").await.0, before.0);
    app.delete("/users/bob").by("bob").expect(200).await;
    // A parent that no line has named before, or that stands behind.
    let text: Vec<&str> = exported.lines().collect();
    let refused = async |body: String, line: usize| {
        let param = format!("line {line}: message.parent_id");
        import("bob", &body).refused(400, "invalid_parameter", &*param).await;
        assert!(app.rows().await.values().all(|rows| *rows == 0), "nothing is stored");
    };
    refused([text[0], text[2], text[1]].join("\n"), 2).await;
    refused([text[0], text[1], text[3]].join("\n"), 3).await;
    let own = text[2].replace(&format!("\"parent_id\":\"{}\"", tree.id(1)), &format!("\"parent_id\":\"{}\"", tree.id(2)));
    refused([text[0], text[1], &own].join("\n"), 3).await;
    let behind = text[2].replace(&tree.id(1), &tree.id(4));
    refused([text[0], text[1], text[4], &behind].join("\n"), 4).await;
}
