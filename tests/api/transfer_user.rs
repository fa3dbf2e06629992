//! `POST /users/{user_id}/transfer`

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};

use crate::concurrency::{all_at_once, one_behind_the_other};
use crate::erase_user::fill;
use crate::support::{App, Call};

/// By a back end.
fn transfer<'a>(app: &'a App, from: &str, to: &str) -> Call<'a> {
    app.post(&format!("/users/{from}/transfer")).json(&json!({"to": to})).by_service()
}

/// A conversation of this user's with these messages; its path.
async fn chat(app: &App, user: &str, contents: &[&str]) -> String {
    let made = app.post("/conversations?new=true").by(user).expect(201).await.json();
    let path = format!("/conversations/{}", made["id"].as_str().unwrap());
    for content in contents {
        let message = json!({"role": "user", "content": content});
        app.post(&format!("{path}/messages")).json(&message).by(user).expect(201).await;
    }
    path
}

async fn listed(app: &App, user: &str) -> Vec<Value> {
    app.get(&format!("/users/{user}/conversations")).by(user).expect(200).await.array()
}

async fn found(app: &App, user: &str, word: &str) -> usize {
    app.get(&format!("/users/{user}/search?q={word}")).by(user).expect(200).await.array().len()
}

#[tokio::test]
async fn a_guests_conversations_become_the_accounts() {
    let app = App::start().await;
    let own = chat(&app, "ada", &["umbrella"]).await;
    let bobs = chat(&app, "bob", &["umbrella"]).await;
    let mut paths = Vec::new();
    for contents in [&["raining"][..], &["raining", "umbrella"], &[]] {
        paths.push(chat(&app, "guest", contents).await);
    }
    app.patch(&paths[0]).json(&json!({"archived": true, "pinned": true})).by("guest").expect(200).await;
    app.put(&format!("{}/summary", paths[1])).json(&json!({"through": 1, "content": "rain"})).by("guest").expect(200).await;
    let mut before = listed(&app, "guest").await;
    let etag = app.get(&paths[1]).by("guest").expect(200).await.headers["etag"].clone();
    let messages = app.get(&format!("{}/messages", paths[1])).by("guest").expect(200).await.body;
    let bob = app.get(&bobs).by("bob").expect(200).await;

    assert_eq!(transfer(&app, "guest", "ada").expect(200).await.json(), json!({"conversations": 3}));
    assert_eq!(transfer(&app, "guest", "ada").expect(200).await.json(), json!({"conversations": 0}));
    assert!(listed(&app, "guest").await.is_empty());
    for path in &paths {
        app.get(path).by("guest").refused(404, "not_found", None).await;
    }
    // Nothing has changed but whose they are, and so their versions.
    for conversation in &mut before {
        conversation["user_id"] = json!("ada");
    }
    let mut after = listed(&app, "ada").await;
    after.retain(|conversation| format!("/conversations/{}", conversation["id"].as_str().unwrap()) != own);
    assert_eq!(after, before);
    assert_eq!(app.get(&format!("{}/messages", paths[1])).expect(200).await.body, messages);
    assert_ne!(app.get(&paths[1]).header("if-none-match", etag.clone()).expect(200).await.headers["etag"], etag);
    assert_eq!((found(&app, "ada", "raining").await, found(&app, "ada", "umbrella").await), (2, 2));
    assert_eq!((found(&app, "guest", "raining").await, found(&app, "bob", "umbrella").await), (0, 1));
    let answer = app.get(&bobs).by("bob").expect(200).await;
    assert_eq!((answer.json(), &answer.headers["etag"]), (bob.json(), &bob.headers["etag"]), "bob's is not touched");
    // What is appended now is ada's, and is found as hers.
    app.post(&format!("{}/messages?role=user&content=raining", paths[2])).expect(201).await;
    assert_eq!(found(&app, "ada", "raining").await, 3);
    assert_eq!(app.delete("/users/ada").expect(200).await.json(), json!({"conversations": 4, "messages": 5}));
}

#[tokio::test]
async fn messages_of_a_conversation_that_was_taken_meanwhile_stay_its_owners() {
    let app = App::start().await;
    chat(&app, "guest", &["raining"]).await;
    let other = app.superuser().await;
    // As if the conversation had been deleted, and carl had made one with its id.
    let taken = "begin; update conversations set user_id = 'carl'; update messages set owner_key = owner_key('carl')";
    other.batch_execute(taken).await.unwrap();
    let moved = async {
        let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        let superuser = app.superuser().await;
        while superuser.query_typed(waiting, &[]).await.unwrap()[0].get::<_, i64>(0) < 1 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        other.batch_execute("commit").await.unwrap();
    };
    let (moved, ()) = tokio::join!(transfer(&app, "guest", "ada").expect(200), moved);
    assert_eq!(moved.json(), json!({"conversations": 0}));
    assert_eq!((found(&app, "carl", "raining").await, found(&app, "ada", "raining").await), (1, 0));
}

#[tokio::test]
async fn both_users_may_have_a_first_conversation_and_get_another_one() {
    let app = App::with_instances(4).await;
    let first = async |user: &str| app.post("/conversations").by(user).send().await;
    let guests = first("guest").await.json();
    let adas = first("ada").await.json();
    assert_eq!(transfer(&app, "guest", "ada").expect(200).await.json(), json!({"conversations": 1}));
    let found = first("ada").await;
    assert_eq!((found.status, &found.json()["id"]), (200, &adas["id"]), "hers is the most recent one");
    app.delete(&format!("/conversations/{}", adas["id"].as_str().unwrap())).expect(204).await;
    assert_eq!(first("ada").await.json()["id"], guests["id"]);
    // However many calls there are, the guest gets one new conversation.
    let answers = all_at_once((0..20).map(|_| app.post("/conversations").by("guest")).collect()).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(answers.iter().map(|answer| answer.json()["id"].to_string()).collect::<BTreeSet<_>>().len(), 1);
    assert_eq!(transfer(&app, "guest", "new").expect(200).await.json(), json!({"conversations": 1}));
    assert_eq!(first("new").await.status, 200);
}

#[tokio::test]
async fn only_a_back_end_may_transfer() {
    let app = App::start().await;
    chat(&app, "ada", &["x"]).await;
    let transfer = app.post("/users/ada/transfer");
    let to_bob = transfer.clone().json(&json!({"to": "bob"}));
    for user in ["ada", "bob"] {
        let answer = to_bob.clone().by(user).refused(403, "forbidden", None).await;
        assert!(answer.body.contains("service scope"), "{}", answer.body);
    }
    to_bob.clone().by_nobody().refused(401, "unauthenticated", None).await;
    let transfer = transfer.by_service();
    transfer.clone().refused(400, "missing_parameter", "to").await;
    transfer.clone().json(&json!({"to": "ada"})).refused(400, "invalid_parameter", "to").await;
    transfer.clone().json(&json!({"to": ""})).refused(400, "invalid_parameter", "to").await;
    transfer.clone().json(&json!({"to": "a\nb"})).refused(400, "invalid_character", "to").await;
    transfer.clone().json(&json!({"to": "bob", "all": true})).refused(400, "invalid_parameter", "all").await;
    app.post("/users/a%0Ab/transfer?to=bob").by_service().refused(400, "invalid_character", "user_id").await;
    assert_eq!(listed(&app, "ada").await.len(), 1);
    let moved = app.post("/users/ada/transfer?to=auth0%7C6f%20100%25%2FZo%C3%AB").by_service().expect(200).await;
    assert_eq!(moved.json(), json!({"conversations": 1}));
    assert_eq!(app.get("/users/auth0%7C6f%20100%25%2FZo%C3%AB/conversations").by_service().expect(200).await.array().len(), 1);
}

#[tokio::test]
async fn what_has_expired_is_neither_moved_nor_counted() {
    let app = App::start().await;
    let (kept, expired) = (chat(&app, "guest", &["x"]).await, chat(&app, "guest", &["x"]).await);
    let id = expired.rsplit('/').next().unwrap();
    let superuser = app.superuser().await;
    superuser.batch_execute(&format!("update conversations set expires_at = now() where id = '{id}'")).await.unwrap();
    assert_eq!(transfer(&app, "guest", "ada").expect(200).await.json(), json!({"conversations": 1}));
    app.get(&kept).expect(200).await;
    app.get(&expired).refused(404, "not_found", None).await;
    let owner = superuser.query_typed(&format!("select user_id from conversations where id = '{id}'"), &[]).await.unwrap();
    assert_eq!(owner[0].get::<_, &str>(0), "guest", "so that an erasure of the guest deletes it, too");
}

#[tokio::test]
async fn a_user_too_large_for_a_request_is_moved_by_the_same_request_again() {
    let app = App::start().await;
    fill(&app, "guest", 700, 40).await;
    // As a slow disk would.
    let slow = "
        create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(2.1); return null; end $$;
        create trigger slow before update on messages for each statement execute function slow()";
    app.superuser().await.batch_execute(slow).await.unwrap();
    // A step is 10,000 rows: 243 conversations of 41.
    assert_eq!(transfer(&app, "guest", "ada").expect(202).await.json(), json!({"conversations": 2 * 243}));
    let owners = "
        select count(*) from conversations c join messages m on m.conversation_id = c.id
        where m.owner_key is distinct from owner_key(c.user_id)";
    let foreign = async || app.superuser().await.query_typed(owners, &[]).await.unwrap()[0].get::<_, i64>(0);
    assert_eq!(foreign().await, 0, "each conversation is moved with its messages");
    assert_eq!((listed(&app, "ada").await.len(), listed(&app, "guest").await.len()), (2 * 243, 700 - 2 * 243));
    app.superuser().await.batch_execute("drop function slow cascade").await.unwrap();
    assert_eq!(transfer(&app, "guest", "ada").expect(200).await.json(), json!({"conversations": 700 - 2 * 243}));
    assert_eq!(foreign().await, 0);
    // A conversation that is larger than a step is moved, too.
    fill(&app, "guest", 2, 10_500).await;
    assert_eq!(transfer(&app, "guest", "bob").expect(200).await.json(), json!({"conversations": 2}));
    assert_eq!((foreign().await, listed(&app, "bob").await.len()), (0, 2));
}

#[tokio::test]
async fn an_append_beside_a_transfer_goes_with_it_or_finds_nothing() {
    for appended_first in [true, false] {
        let app = App::with_instances(2).await;
        let path = chat(&app, "guest", &["raining"]).await;
        let append = app.post(&format!("{path}/messages?role=user&content=raining")).by("guest");
        let transfer = transfer(&app, "guest", "ada");
        if appended_first {
            let [appended, moved] = one_behind_the_other(&app, append, transfer).await;
            assert_eq!((appended.status, moved.json()), (201, json!({"conversations": 1})));
        } else {
            let [moved, appended] = one_behind_the_other(&app, transfer, append).await;
            assert_eq!((appended.status, moved.json()), (404, json!({"conversations": 1})));
        }
        assert_eq!(found(&app, "ada", "raining").await, if appended_first { 2 } else { 1 });
        assert_eq!(found(&app, "guest", "raining").await, 0);
    }
}

#[tokio::test]
async fn a_fork_and_an_erasure_beside_a_transfer_leave_nothing_behind() {
    let app = App::with_instances(2).await;
    let path = chat(&app, "guest", &["raining"]).await;
    let fork = app.post(&format!("{path}/fork")).by("guest");
    let [forked, moved] = one_behind_the_other(&app, fork, transfer(&app, "guest", "ada")).await;
    assert_eq!((forked.status, moved.json()), (201, json!({"conversations": 2})));
    assert_eq!((listed(&app, "ada").await.len(), found(&app, "ada", "raining").await), (2, 2));
    // An erasure of either user waits for the transfer.
    let [moved, erased] = one_behind_the_other(&app, transfer(&app, "ada", "bob"), app.delete("/users/bob").by("bob")).await;
    assert_eq!((moved.json(), erased.json()), (json!({"conversations": 2}), json!({"conversations": 2, "messages": 2})));
    assert!(app.rows().await.values().all(|rows| *rows == 0), "{:?}", app.rows().await);
}

#[tokio::test]
async fn transfers_in_both_directions_at_once_lose_nothing() {
    let app = App::with_instances(6).await;
    for _ in 0..5 {
        chat(&app, "ada", &["x"]).await;
        chat(&app, "bob", &["x"]).await;
    }
    let calls = (0..20).map(|n| if n % 2 == 0 { transfer(&app, "ada", "bob") } else { transfer(&app, "bob", "ada") });
    let answers = all_at_once(calls.collect()).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(listed(&app, "ada").await.len() + listed(&app, "bob").await.len(), 10);
    assert_eq!(found(&app, "ada", "x").await + found(&app, "bob", "x").await, 10);
}

#[tokio::test]
#[ignore = "measures: 300,000 messages"]
async fn long_histories_are_moved() {
    let app = App::start().await;
    for (what, conversations, messages) in [("3,000 conversations", 3_000, 100), ("one conversation", 1, 300_000)] {
        fill(&app, "guest", conversations, messages).await;
        let mut answers = Vec::new();
        while answers.last() != Some(&200) {
            let started = Instant::now();
            let answer = transfer(&app, "guest", "ada").send().await;
            println!("transfer-user, {what}: {:?}, {} {}", started.elapsed(), answer.status, answer.body);
            assert!([200, 202].contains(&answer.status));
            answers.push(answer.status);
        }
    }
}
