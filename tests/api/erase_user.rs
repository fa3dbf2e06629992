//! `DELETE /users/{user_id}`

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::App;

/// Stores conversations with so many messages each, by SQL, and returns their ids.
pub async fn fill(app: &App, user: &str, conversations: u32, messages: u32) -> Vec<String> {
    let superuser = app.superuser().await;
    let fill = format!(
        "insert into conversations (id, user_id, message_count, next_position)
        select gen_random_uuid(), '{user}', {messages}, {messages} + 1 from generate_series(1, {conversations});
        insert into messages (conversation_id, position, id, role, content, created_at, updated_at)
        select c.id, n, gen_random_uuid(), 'user', 'Is it raining in Oslo?', now(), now()
        from conversations c, generate_series(1, {messages}) n where c.user_id = '{user}';
        analyze messages"
    );
    superuser.batch_execute(&fill).await.unwrap();
    let ids = format!("select id::text from conversations where user_id = '{user}' order by id");
    superuser.query_typed(&ids, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn everything_about_a_user_is_erased_and_nothing_else() {
    let app = App::start().await;
    for user in ["ada", "bob"] {
        for _ in 0..3 {
            let made = app.post("/conversations?new=true").by(user).expect(201).await.json();
            let path = format!("/conversations/{}/messages", made["id"].as_str().unwrap());
            let messages = vec![json!({"role": "user", "content": "x"}); 4];
            app.post(&path).json(&json!({"messages": messages})).by(user).expect(201).await;
        }
    }
    app.post("/conversations?new=true").expect(201).await;
    assert_eq!(app.delete("/users/ada").expect(200).await.json(), json!({"conversations": 4, "messages": 12}));
    assert_eq!(app.delete("/users/ada").expect(200).await.json(), json!({"conversations": 0, "messages": 0}));
    assert_eq!(app.get("/users/ada/conversations").expect(200).await.body, "[]");
    assert_eq!(app.get("/users/ada/search?q=x").expect(200).await.body, "[]");
    assert_eq!(app.delete("/users/bob").by("bob").expect(200).await.json(), json!({"conversations": 3, "messages": 12}));
    assert!(app.rows().await.values().all(|rows| *rows == 0), "no row in any table: {:?}", app.rows().await);
}

#[tokio::test]
async fn a_user_of_every_kind_can_be_erased() {
    let app = App::start().await;
    app.post("/conversations").by("auth0|6f 100%/Zoë").expect(201).await;
    let erased = app.delete("/users/auth0%7C6f%20100%25%2FZo%C3%AB").by("auth0|6f 100%/Zoë").expect(200).await;
    assert_eq!(erased.json()["conversations"], 1);
}

#[tokio::test]
async fn nobody_and_other_users_are_turned_away() {
    let app = App::start().await;
    app.conversation().await;
    app.delete("/users/ada").by("bob").refused(403, "forbidden", None).await;
    app.delete("/users/ada").by_nobody().refused(401, "unauthenticated", None).await;
    app.delete("/users/a%0Ab").by_service().refused(400, "invalid_character", "user_id").await;
    app.delete("/users/ada").json(&json!({"sure": true})).refused(400, "unknown_parameter", "sure").await;
    assert_eq!(app.delete("/users/ada").by_service().expect(200).await.json()["conversations"], 1);
}

/// What anybody finds of these conversations of ada's: a back end by their ids, and ada in her list and by a search.
async fn visible(app: &App, ids: &[&String]) -> BTreeSet<&'static str> {
    let mut visible = BTreeSet::new();
    for id in ids {
        for part in ["", "/messages", "/context"] {
            let answer = app.get(&format!("/conversations/{id}{part}")).by_service().send().await;
            visible.insert(match answer.status {
                404 => "nothing",
                200 => "a conversation",
                _ => panic!("{answer:?}"),
            });
        }
    }
    for path in ["/users/ada/conversations", "/users/ada/search?q=oslo&limit=1"] {
        let answer = app.get(path).expect(200).await;
        visible.insert(if answer.body == "[]" { "nothing" } else { "a conversation" });
    }
    visible
}

#[tokio::test]
async fn a_user_too_large_for_a_request_is_hidden_at_once_and_erased_by_the_same_request_again() {
    let app = App::start().await;
    let ids = fill(&app, "ada", 700, 40).await;
    fill(&app, "bob", 2, 3).await;
    // As a slow disk would.
    let slow = "
        create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(2.1); return null; end $$;
        create trigger slow before delete on messages for each statement execute function slow()";
    app.superuser().await.batch_execute(slow).await.unwrap();
    let (first, last) = (&ids[0], &ids[699]);
    assert_eq!(visible(&app, &[first, last]).await, BTreeSet::from(["a conversation"]));

    let erase = app.delete("/users/ada").expect(202);
    let (erased, ()) = tokio::join!(erase, async {
        // The first step is committed after 2.1 s, and the second one runs until 4.2 s.
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(visible(&app, &[first, last]).await, BTreeSet::from(["nothing"]), "hidden while the erasure runs");
    });
    let erased = erased.json();
    // A step is 10,000 rows: 243 conversations of 41.
    assert_eq!(erased, json!({"conversations": 2 * 243, "messages": 2 * 243 * 40}));
    assert_eq!(visible(&app, &[first, last]).await, BTreeSet::from(["nothing"]), "hidden from the first answer on");
    let left = app.superuser().await.query_typed("select id::text from erased_conversations limit 1", &[]).await.unwrap();
    let left: String = left[0].get(0);
    let taken = json!({"id": left});
    app.post("/conversations").json(&taken).refused(409, "conflict", "id").await;
    app.post("/conversations").json(&taken).by("bob").refused(409, "conflict", "id").await;
    app.post(&format!("/conversations/{left}/messages?role=user&content=x")).by_service().refused(404, "not_found", None).await;
    // The user may be back.
    let back = app.post("/conversations").expect(201).await.json();
    app.post(&format!("/conversations/{}/messages?role=user&content=x", back["id"].as_str().unwrap())).expect(201).await;
    assert_eq!(app.get("/users/ada/conversations").expect(200).await.array().len(), 1);

    app.superuser().await.batch_execute("drop function slow cascade").await.unwrap();
    let rest = app.delete("/users/ada").expect(200).await.json();
    assert_eq!(rest, json!({"conversations": 700 - 2 * 243 + 1, "messages": 40 * (700 - 2 * 243) + 1}), "and what came meanwhile");
    assert_eq!(app.delete("/users/ada").expect(200).await.json(), json!({"conversations": 0, "messages": 0}));
    let rows = app.rows().await;
    assert_eq!((rows["conversations"], rows["messages"], rows["erased_conversations"]), (2, 6, 0), "bob's");
    app.post("/conversations").json(&taken).expect(201).await;
    assert_eq!(app.get(&format!("/conversations/{left}/messages")).expect(200).await.body, "[]");
}

#[tokio::test]
async fn a_conversation_larger_than_a_step_is_erased_in_several() {
    let app = App::start().await;
    fill(&app, "ada", 3, 21_000).await;
    assert_eq!(app.delete("/users/ada").expect(200).await.json(), json!({"conversations": 3, "messages": 63_000}));
    assert!(app.rows().await.values().all(|rows| *rows == 0), "{:?}", app.rows().await);
    let line = app.function("erase-user").log();
    let line: serde_json::Value = serde_json::from_str(line.lines().next_back().unwrap()).unwrap();
    assert_eq!(line["db"]["statements"], 9, "for each conversation 10,000, 10,000, and the rest");
}

#[tokio::test]
async fn no_reader_sees_half_of_a_user() {
    let app = App::with_instances(2).await;
    fill(&app, "ada", 600, 40).await;
    let reading = async {
        let mut seen = BTreeSet::new();
        while seen.last() != Some(&0) || seen.len() < 2 {
            let listed = app.get("/users/ada/conversations").expect(200).await.array().len();
            seen.insert(listed);
            if listed == 0 {
                break;
            }
        }
        seen
    };
    let erasing = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        app.delete("/users/ada").expect(200).await
    };
    let (seen, erased) = tokio::join!(reading, erasing);
    assert_eq!(seen, BTreeSet::from([0, 600]));
    assert_eq!(erased.json(), json!({"conversations": 600, "messages": 24_000}));
}

#[tokio::test]
#[ignore = "measures: 300,000 messages"]
async fn long_histories_are_deleted_within_a_request() {
    let app = App::start().await;
    for (what, conversations, messages) in [("3,000 conversations", 3_000, 100), ("one conversation", 1, 300_000)] {
        let ids = fill(&app, "ada", conversations, messages).await;
        let mut requests = vec![("erase-user", app.delete("/users/ada"))];
        if conversations == 1 {
            fill(&app, "bob", 1, messages).await;
            fill(&app, "eve", 1, messages).await;
            let of = async |user: &str| {
                app.get(&format!("/users/{user}/conversations")).by(user).expect(200).await.json()[0]["id"].clone()
            };
            let (bobs, eves) = (of("bob").await, of("eve").await);
            let [bobs, eves] = [bobs, eves].map(|id| format!("/conversations/{}", id.as_str().unwrap()));
            requests.push(("rewind-conversation", app.delete(&format!("{bobs}/messages")).by("bob")));
            requests.push(("delete-conversation", app.delete(&eves).by("eve")));
        }
        assert_eq!(ids.len(), conversations as usize);
        for (name, request) in requests {
            let started = Instant::now();
            let answer = request.send().await;
            println!("{name}, {what}: {:?}, {} {}", started.elapsed(), answer.status, answer.body);
            assert!([200, 204].contains(&answer.status));
        }
    }
}
