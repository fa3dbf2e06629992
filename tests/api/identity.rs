//! Nobody reads another user's data: every route is called as the wrong user.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, App, Call, ROUTES};

/// What a route's function needs to get as far as the database.
fn body(function: &str) -> Option<Value> {
    match function {
        "add-message" => Some(json!({"role": "user", "content": "mine?"})),
        "update-conversation" => Some(json!({"title": "mine?"})),
        "summarize-conversation" => Some(json!({"through": 1, "content": "mine?"})),
        "update-message" => Some(json!({"content": "mine?"})),
        "transfer-user" => Some(json!({"to": "eve"})),
        _ => None,
    }
}

fn query(function: &str) -> &'static str {
    if function == "search-messages" { "?q=secret" } else { "" }
}

/// A call to a route, with these ids in its path.
fn call<'a>(app: &'a App, method: &str, route: &str, function: &str, ids: &[(&str, &str)]) -> Call<'a> {
    let mut path = route.to_owned();
    for (name, id) in ids {
        path = path.replace(&format!("{{{name}}}"), id);
    }
    assert!(!path.contains('{'), "a parameter of {route} is not known here");
    let target = path + query(function);
    let call = match method {
        "GET" => app.get(&target),
        "POST" => app.post(&target),
        "PUT" => app.put(&target),
        "PATCH" => app.patch(&target),
        "DELETE" => app.delete(&target),
        method => panic!("no {method} here yet"),
    };
    match body(function) {
        Some(body) => call.json(&body),
        None => call,
    }
}

/// All that a caller can see, but for the request's own id.
fn visible(answer: &Answer) -> Value {
    let mut problem = answer.json();
    problem["request_id"].take();
    json!({"status": answer.status, "headers": answer.headers, "body": problem})
}

/// What everything that is stored looks like.
async fn everything(app: &App) -> Vec<String> {
    let superuser = app.superuser().await;
    let mut rows = Vec::new();
    for table in app.rows().await.into_keys() {
        let all = format!("select t::text from {table} t order by 1");
        rows.extend(superuser.query_typed(&all, &[]).await.unwrap().iter().map(|row| row.get::<_, String>(0)));
    }
    rows
}

/// The contract has one exception: a new conversation with the id of another user's conversation is a 409. Ids are UUIDs, which nobody
/// guesses.
#[tokio::test]
async fn no_route_tells_another_users_things_from_missing_ones_or_touches_them() {
    let app = App::start().await;
    let conversation = app.conversation().await.to_string();
    let message = app.post(&format!("/conversations/{conversation}/messages?role=user&content=secret")).expect(201).await.json();
    let message = message["id"].as_str().unwrap().to_owned();
    let nobody = [Uuid::now_v7().to_string(), Uuid::now_v7().to_string()];
    let before = everything(&app).await;
    for (route, methods) in ROUTES.iter() {
        for (method, function) in methods {
            let as_bob = async |user_id: &str, conversation: &str, message: &str, header: Option<(&str, &str)>| {
                let ids = [("user_id", user_id), ("conversation_id", conversation), ("message_id", message)];
                let call = call(&app, method, route, function, &ids).by("bob");
                match header {
                    Some((name, value)) => call.header(name, value).send().await,
                    None => call.send().await,
                }
            };
            let expected = match &**route {
                route if route.contains("{conversation_id}") => 404,
                route if route.contains("{user_id}") => 403,
                // There is nothing in the path; what its body may name is below.
                "/conversations" => continue,
                route => panic!("what does the wrong user see at {route}?"),
            };
            for header in [None, Some(("if-match", "*")), Some(("if-match", "\"99\"")), Some(("if-none-match", "*"))] {
                let others = as_bob("ada", &conversation, &message, header).await;
                let missing = as_bob("eve", &nobody[0], &nobody[1], header).await;
                assert_eq!(others.status, expected, "{method} {route} {header:?}: {}", others.body);
                assert_eq!(visible(&others), visible(&missing), "{method} {route} {header:?}");
            }
            // Their effort is the same, too: none, or one statement.
            let log = app.function(function).log();
            let statements =
                log.lines().filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["db"]["statements"].as_u64());
            assert!(statements.collect::<Vec<_>>().windows(2).all(|pair| pair[0] == pair[1]), "{method} {route}: {log}");
        }
    }
    assert_eq!(everything(&app).await, before, "nothing was touched");

    // For another user, who has one or who has none.
    let [others, missing] = ["ada", "eve"].map(|user| app.post("/conversations").json(&json!({"user_id": user})).by("bob"));
    let (others, missing) = (others.expect(403).await, missing.expect(403).await);
    assert_eq!(visible(&others), visible(&missing));
    assert_eq!(everything(&app).await, before, "nothing was touched");

    // Another's message, under a conversation of one's own.
    let own = app.post("/conversations").by("bob").expect(201).await.json()["id"].as_str().unwrap().to_owned();
    let before = everything(&app).await;
    let edit = async |message: &str| {
        let path = format!("/conversations/{own}/messages/{message}");
        app.patch(&path).json(&json!({"content": "mine?"})).by("bob").expect(404).await
    };
    assert_eq!(visible(&edit(&message).await), visible(&edit(&nobody[0]).await));
    assert_eq!(everything(&app).await, before, "nothing was touched");
}

#[tokio::test]
async fn no_route_answers_without_an_identity() {
    let app = App::start().await;
    let conversation = app.conversation().await.to_string();
    let before = everything(&app).await;
    for (route, methods) in ROUTES.iter() {
        for (method, function) in methods {
            let id = Uuid::now_v7().to_string();
            let ids = [("user_id", "ada"), ("conversation_id", conversation.as_str()), ("message_id", id.as_str())];
            call(&app, method, route, function, &ids).by_nobody().refused(401, "unauthenticated", None).await;
        }
    }
    assert_eq!(everything(&app).await, before, "nothing was touched");
}

#[tokio::test]
async fn a_back_end_with_the_service_scope_acts_for_any_user() {
    let app = App::start().await;
    for user in ["ada", "bob"] {
        let made = app.post("/conversations").json(&json!({"user_id": user})).by_service().expect(201).await.json();
        assert_eq!(made["user_id"], user);
        let path = format!("/conversations/{}/messages", made["id"].as_str().unwrap());
        app.post(&format!("{path}?role=user&content=hello")).by_service().expect(201).await;
        assert_eq!(app.get(&path).by(user).expect(200).await.array().len(), 1);
    }
    app.post("/conversations").by_service().refused(400, "missing_parameter", "user_id").await;
}

#[tokio::test]
async fn a_scope_that_only_looks_like_it_is_none() {
    let mut app = App::start().await;
    app.set("SERVICE_SCOPE", "service");
    app.post("/conversations?user_id=ada").by_service().refused(403, "forbidden", None).await;
    let mut app = App::start().await;
    app.set("SERVICE_SCOPE", "");
    app.post("/conversations?user_id=ada").by_service().refused(403, "forbidden", None).await;
}
