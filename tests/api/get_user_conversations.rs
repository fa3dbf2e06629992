//! `GET /users/{user_id}/conversations`

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::App;

fn ids(conversations: &[Value]) -> Vec<Uuid> {
    conversations.iter().map(|conversation| conversation["id"].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn an_unknown_user_has_none() {
    let app = App::start().await;
    let answer = app.get("/users/ada/conversations").expect(200).await;
    assert_eq!((answer.body.as_str(), answer.next()), ("[]", None));
}

#[tokio::test]
async fn the_most_recently_updated_come_first() {
    let app = App::start().await;
    let made = [app.conversation().await, app.conversation().await, app.conversation().await];
    app.post("/conversations").by("bob").expect(201).await;
    app.post(&format!("/conversations/{}/messages?role=user&content=x", made[0])).expect(201).await;
    let answer = app.get("/users/ada/conversations").expect(200).await;
    assert_eq!(ids(&answer.array()), [made[0], made[2], made[1]]);
    assert_eq!(answer.array()[0]["message_count"], 1);
}

#[tokio::test]
async fn links_lead_through_everything_once() {
    let app = App::start().await;
    let mut made = Vec::new();
    for _ in 0..7 {
        made.insert(0, app.conversation().await);
    }
    // All at one instant: the id decides.
    app.superuser().await.batch_execute("update conversations set updated_at = '2026-01-01'").await.unwrap();
    made.sort_unstable_by(|a, b| b.cmp(a));
    for limit in [1, 3, 7] {
        let mut target = format!("/users/ada/conversations?limit={limit}");
        let mut seen = Vec::new();
        loop {
            let answer = app.get(&target).expect(200).await;
            let page = ids(&answer.array());
            assert!(page.len() <= limit);
            seen.extend(page);
            let Some(next) = answer.next() else { break };
            next.clone_into(&mut target);
        }
        assert_eq!(seen, made, "limit={limit}");
    }
}

#[tokio::test]
async fn what_does_not_fit_in_a_response_is_behind_its_link() {
    let app = App::start().await;
    let fill = "insert into conversations (id, user_id, metadata)
        select gen_random_uuid(), 'ada', json_build_object('x', repeat('\"', 8000)) from generate_series(1, 400)";
    app.superuser().await.batch_execute(fill).await.unwrap();
    let mut target = "/users/ada/conversations".to_owned();
    let (mut seen, mut pages) = (Vec::new(), 0);
    loop {
        let answer = app.get(&target).expect(200).await;
        seen.extend(ids(&answer.array()));
        pages += 1;
        let Some(next) = answer.next() else { break };
        next.clone_into(&mut target);
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 400);
    assert!(pages > 1);
}

#[tokio::test]
async fn user_ids_of_every_kind_are_decoded_once() {
    let app = App::start().await;
    for (user_id, encoded) in [
        ("auth0|6f", "auth0%7C6f"),
        ("a b", "a%20b"),
        ("a+b", "a+b"),
        ("100%", "100%25"),
        ("a%2Fb", "a%252Fb"),
        ("a/b", "a%2Fb"),
        ("Zoë 山", "Zo%C3%AB%20%E5%B1%B1"),
        ("{user_id}", "%7Buser_id%7D"),
        ("..", "%2E%2E"),
        ("a'\"\\b", "a%27%22%5Cb"),
    ] {
        for _ in 0..2 {
            app.post("/conversations").json(&json!({"user_id": user_id, "new": true})).by(user_id).expect(201).await;
        }
        let first = app.get(&format!("/users/{encoded}/conversations?limit=1")).by(user_id).expect(200).await;
        assert_eq!(first.array()[0]["user_id"], user_id);
        let next = first.next().unwrap();
        let second = app.get(next).by(user_id).expect(200).await;
        assert_ne!(ids(&second.array()), ids(&first.array()));
        assert_eq!((second.array()[0]["user_id"].as_str(), second.next()), (Some(user_id), None));
    }
}

#[tokio::test]
async fn bad_input_is_refused_by_name() {
    let app = App::start().await;
    for (target, code, param) in [
        ("/users/ada/conversations?limit=0", "invalid_parameter", "limit"),
        ("/users/ada/conversations?limit=1001", "invalid_parameter", "limit"),
        ("/users/ada/conversations?cursor=x", "invalid_parameter", "cursor"),
        ("/users/ada/conversations?cursor=", "invalid_parameter", "cursor"),
        ("/users/ada/conversations?limit=1&limit=1", "ambiguous_parameter", "limit"),
        ("/users/a%0Ab/conversations", "invalid_character", "user_id"),
        ("/users/a%00b/conversations", "invalid_character", "user_id"),
    ] {
        app.get(target).by_service().refused(400, code, param).await;
    }
    app.get(&format!("/users/{}/conversations", "x".repeat(256))).by_service().refused(400, "invalid_parameter", "user_id").await;
}

#[tokio::test]
async fn nobody_and_other_users_are_turned_away() {
    let app = App::start().await;
    app.conversation().await;
    app.get("/users/ada/conversations").by_nobody().refused(401, "unauthenticated", None).await;
    app.get("/users/ada/conversations").by("bob").refused(403, "forbidden", None).await;
    assert_eq!(app.get("/users/ada/conversations").by_service().expect(200).await.array().len(), 1);
}

#[tokio::test]
async fn tens_of_thousands_are_all_reached() {
    let app = App::start().await;
    let fill = "insert into conversations (id, user_id) select gen_random_uuid(), 'ada' from generate_series(1, 25000)";
    app.superuser().await.batch_execute(fill).await.unwrap();
    let first = app.get("/users/ada/conversations").expect(200).await;
    let second = app.get(first.next().expect("a link to the rest")).expect(200).await;
    assert_eq!((first.array().len() + second.array().len(), second.next()), (25_000, None));
}
