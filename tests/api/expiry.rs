//! What has expired is gone at that moment, on every route.

use serde_json::{Value, json};

use crate::identity::{call, visible};
use crate::support::{Answer, App, ROUTES};

/// How a conversation expires: by its own end, or by the stack's limit.
const ENDS: [&str; 2] = ["expires_at = now() - interval '1 millisecond'", "updated_at = now() - interval '30 days'"];

/// A conversation with one message.
async fn conversation(app: &App, user: &str) -> (String, String) {
    let made = app.post("/conversations?new=true&title=Oslo").by(user).expect(201).await.json();
    let id = made["id"].as_str().unwrap().to_owned();
    let message = app.post(&format!("/conversations/{id}/messages?role=user&content=secret")).by(user).expect(201).await.json();
    (id, message["id"].as_str().unwrap().to_owned())
}

async fn change(app: &App, id: &str, change: &str) {
    app.superuser().await.batch_execute(&format!("update conversations set {change} where id = '{id}'")).await.unwrap();
}

/// What a caller sees, without what differs between two new conversations.
fn comparable(answer: &Answer) -> Value {
    match answer.status {
        // Also lines of JSON, which are no JSON.
        200 => json!({"headers": answer.headers, "body": answer.body}),
        201 => json!({"title": answer.json()["title"], "message_count": answer.json()["message_count"]}),
        status if answer.body.is_empty() => json!(status),
        _ => visible(answer),
    }
}

#[tokio::test]
async fn on_every_route_what_has_expired_looks_as_if_it_had_been_deleted() {
    for end in ENDS {
        let mut app = App::start().await;
        app.set("RETENTION_DAYS", "30");
        for (route, methods) in ROUTES.iter() {
            for (method, function) in methods {
                for header in [None, Some(("if-match", "*")), Some(("if-match", "\"2\"")), Some(("if-none-match", "*"))] {
                    // Ada's has expired, and bob's has been deleted.
                    let (expired, of_expired) = conversation(&app, "ada").await;
                    let (deleted, of_deleted) = conversation(&app, "bob").await;
                    change(&app, &expired, end).await;
                    app.delete(&format!("/conversations/{deleted}")).by("bob").expect(204).await;
                    let send = async |user: &str, conversation: &str, message: &str| {
                        let ids = [("user_id", user), ("conversation_id", conversation), ("message_id", message)];
                        let call = call(&app, method, route, function, &ids);
                        let call = if ["import-user", "transfer-user"].contains(&function.as_str()) {
                            call.by_service()
                        } else {
                            call.by(user)
                        };
                        match header {
                            Some((name, value)) => call.header(name, value).send().await,
                            None => call.send().await,
                        }
                    };
                    let seen = send("ada", &expired, &of_expired).await;
                    let expected = send("bob", &deleted, &of_deleted).await;
                    assert_eq!(comparable(&seen), comparable(&expected), "{method} {route} {header:?}, {end}");
                    let status = if route.contains("{conversation_id}") { 404..405 } else { 200..202 };
                    assert!(status.contains(&seen.status), "{method} {route}: {}", seen.body);
                    for user in ["ada", "bob"] {
                        app.delete(&format!("/users/{user}")).by(user).expect(200).await;
                    }
                    assert!(app.rows().await.values().all(|rows| *rows == 0), "{method} {route}: {:?}", app.rows().await);
                }
            }
        }
    }
}

#[tokio::test]
async fn the_id_of_what_has_expired_makes_a_new_empty_conversation_for_anybody() {
    for (end, user) in ENDS.into_iter().zip(["ada", "bob"]) {
        let mut app = App::start().await;
        app.set("RETENTION_DAYS", "30");
        let (id, _) = conversation(&app, "ada").await;
        change(&app, &id, end).await;
        let made = app.post("/conversations").json(&json!({"id": id})).by(user).expect(201).await.json();
        assert_eq!((&made["title"], &made["message_count"], &made["expires_at"]), (&Value::Null, &json!(0), &Value::Null));
        assert_eq!(app.get(&format!("/conversations/{id}/messages")).by(user).expect(200).await.body, "[]");
        assert_eq!((app.rows().await["messages"], app.rows().await["conversations"]), (0, 1));
    }
}

#[tokio::test]
async fn an_erasure_counts_what_is_kept_and_erases_what_has_expired_too() {
    let mut app = App::start().await;
    app.set("RETENTION_DAYS", "30");
    let made = [conversation(&app, "ada").await.0, conversation(&app, "ada").await.0, conversation(&app, "ada").await.0];
    conversation(&app, "bob").await;
    change(&app, &made[0], ENDS[0]).await;
    change(&app, &made[1], ENDS[1]).await;
    assert_eq!(app.delete("/users/ada").expect(200).await.json(), json!({"conversations": 1, "messages": 1}));
    assert_eq!((app.rows().await["messages"], app.rows().await["conversations"]), (1, 1), "bob's");
}

#[tokio::test]
async fn before_its_end_a_conversation_is_all_there() {
    let mut app = App::start().await;
    app.set("RETENTION_DAYS", "30");
    let (id, _) = conversation(&app, "ada").await;
    change(&app, &id, "expires_at = now() + interval '1 minute', updated_at = now() - interval '29 days 23 hours'").await;
    app.get(&format!("/conversations/{id}")).expect(200).await;
    assert_eq!(app.get("/users/ada/conversations").expect(200).await.array().len(), 1);
    assert_eq!(app.get("/users/ada/search?q=secret").expect(200).await.array().len(), 1);
    // The limit counts from the last change.
    app.post(&format!("/conversations/{id}/messages?role=user&content=x")).expect(201).await;
    app.patch(&format!("/conversations/{id}")).json(&json!({"expires_in": null})).expect(200).await;
    change(&app, &id, "created_at = now() - interval '99 days'").await;
    app.get(&format!("/conversations/{id}")).expect(200).await;
}

#[tokio::test]
async fn without_a_limit_of_the_stack_conversations_are_kept_for_ever() {
    for days in ["", "0"] {
        let mut app = App::start().await;
        app.set("RETENTION_DAYS", days);
        let (id, _) = conversation(&app, "ada").await;
        change(&app, &id, "updated_at = now() - interval '99 years', created_at = now() - interval '99 years'").await;
        app.get(&format!("/conversations/{id}")).expect(200).await;
        assert_eq!(app.post("/conversations").expect(200).await.json()["id"], json!(id));
    }
}
