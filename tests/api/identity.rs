//! Every route is called as the wrong user, who must not see another user's data. And nobody writes a role that is not theirs to write.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, App, Call, ROUTES};

/// What a route's function needs to get as far as the database.
fn body(function: &str) -> Option<Value> {
    match function {
        "add-message" | "begin-turn" => Some(json!({"role": "user", "content": "mine?"})),
        "update-conversation" => Some(json!({"title": "mine?"})),
        "summarize-conversation" => Some(json!({"through": 1, "content": "mine?"})),
        "update-message" => Some(json!({"content": "mine?"})),
        "select-line" => Some(json!({"message_id": null})),
        "transfer-user" => Some(json!({"to": "eve"})),
        _ => None,
    }
}

fn query(function: &str) -> &'static str {
    if function == "search-messages" { "?q=secret" } else { "" }
}

/// A call to a route, with these ids in its path.
pub fn call<'a>(app: &'a App, method: &str, route: &str, function: &str, ids: &[(&str, &str)]) -> Call<'a> {
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
pub fn visible(answer: &Answer) -> Value {
    let mut problem = answer.json();
    problem["request_id"].take();
    json!({"status": answer.status, "headers": answer.headers, "body": problem})
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
    let before = app.everything().await;
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
    assert_eq!(app.everything().await, before, "nothing was touched");

    // For another user, who has one or who has none.
    let [others, missing] = ["ada", "eve"].map(|user| app.post("/conversations").json(&json!({"user_id": user})).by("bob"));
    let (others, missing) = (others.expect(403).await, missing.expect(403).await);
    assert_eq!(visible(&others), visible(&missing));
    assert_eq!(app.everything().await, before, "nothing was touched");

    // Another's message, under a conversation of one's own.
    let own = app.post("/conversations").by("bob").expect(201).await.json()["id"].as_str().unwrap().to_owned();
    let before = app.everything().await;
    let edit = async |message: &str| {
        let path = format!("/conversations/{own}/messages/{message}");
        app.patch(&path).json(&json!({"content": "mine?"})).by("bob").expect(404).await
    };
    assert_eq!(visible(&edit(&message).await), visible(&edit(&nobody[0]).await));
    assert_eq!(app.everything().await, before, "nothing was touched");
}

#[tokio::test]
async fn no_route_answers_without_an_identity() {
    let app = App::start().await;
    let conversation = app.conversation().await.to_string();
    let before = app.everything().await;
    for (route, methods) in ROUTES.iter() {
        for (method, function) in methods {
            let id = Uuid::now_v7().to_string();
            let ids = [("user_id", "ada"), ("conversation_id", conversation.as_str()), ("message_id", id.as_str())];
            call(&app, method, route, function, &ids).by_nobody().refused(401, "unauthenticated", None).await;
        }
    }
    assert_eq!(app.everything().await, before, "nothing was touched");
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

#[tokio::test]
async fn the_service_scope_is_read_as_each_provider_writes_it() {
    let app = App::start().await;
    let asked = |name: &str, scope: Value| app.get("/users/bob/conversations").claim(name, scope);
    for name in ["scope", "scp"] {
        for scope in [json!("scrollback/service"), json!("[openid scrollback/service]"), json!(["openid", "scrollback/service"])] {
            asked(name, scope).expect(200).await;
        }
        for scope in [json!("[openid scrollback/services]"), json!(["scrollback/service openid"]), json!("openid")] {
            asked(name, scope).refused(403, "forbidden", None).await;
        }
    }
}

const ROLES: [&str; 5] = ["user", "assistant", "tool", "system", "developer"];

/// The API of a stack with these `UserRoles`, and a conversation of ada's with a message of each role, which a back end has written.
async fn stack(user_roles: &str) -> (App, String, Vec<Value>) {
    let mut app = App::start().await;
    app.set("USER_ROLES", user_roles);
    let conversation = format!("/conversations/{}", app.conversation().await);
    let messages: Vec<Value> = ROLES.iter().map(|role| json!({"role": role, "content": "as it was"})).collect();
    let path = format!("{conversation}/messages");
    let stored = app.post(&path).json(&json!({"messages": messages})).by_service().expect(201).await.array();
    (app, conversation, stored)
}

#[tokio::test]
async fn a_users_own_token_writes_only_the_roles_of_the_stack() {
    for (user_roles, may_write) in
        [("", vec!["user"]), ("user,tool", vec!["user", "tool"]), ("none", vec![]), ("user,assistant", vec!["user", "assistant"])]
    {
        let (app, conversation, _) = stack(user_roles).await;
        let path = format!("{conversation}/messages");
        for role in ROLES {
            let message = json!({"role": role, "content": "mine?"});
            let batch = json!({"messages": [message, message]});
            if may_write.contains(&role) {
                app.post(&path).json(&message).expect(201).await;
                app.post(&path).json(&batch).expect(201).await;
            } else {
                let before = app.everything().await;
                let refused = app.post(&path).json(&message).refused(403, "forbidden", "role").await.json();
                let detail = refused["detail"].as_str().unwrap();
                assert!(may_write.iter().all(|role| detail.contains(role)) && !detail.contains("developer"), "{detail}");
                app.post(&format!("{path}?role={role}&content=mine?")).refused(403, "forbidden", "role").await;
                app.post(&path).json(&batch).refused(403, "forbidden", "messages[0].role").await;
                if may_write.contains(&"user") {
                    let batch = json!({"messages": [{"role": "user", "content": "mine"}, message]});
                    app.post(&path).json(&batch).refused(403, "forbidden", "messages[1].role").await;
                }
                assert_eq!(app.everything().await, before, "nothing was stored");
            }
            app.post(&path).json(&batch).by_service().expect(201).await;
        }
    }
}

#[tokio::test]
async fn a_result_of_a_tool_counts_as_the_role_tool_in_every_message() {
    let (app, conversation, stored) = stack("user,assistant").await;
    let path = format!("{conversation}/messages");
    let before = app.everything().await;
    let typed = [r#""tool_result""#, r#""function_call_output""#, r#""tool-result""#, r#""tool\u005fresult""#];
    let typed = typed.map(|kind| format!(r#"{{"type": {kind}, "tool_use_id": "a", "content": "it rains"}}"#));
    let untyped = ["functionResponse", "function_response", "toolResult", r"function\u0052esponse"];
    let untyped = untyped.map(|member| format!(r#"{{"{member}": {{"name": "f", "response": {{}}, "content": []}}}}"#));
    for part in typed.into_iter().chain(untyped) {
        let content = format!(r#"[{{"type": "text", "text": "hello"}}, {part}]"#);
        for role in ["user", "assistant"] {
            let body = format!(r#"{{"role": "{role}", "content": {content}}}"#);
            app.post(&path).body(body.clone()).refused(403, "forbidden", "content").await;
            app.post(&path).body(format!(r#"{{"messages": [{body}]}}"#)).refused(403, "forbidden", "messages[0].content").await;
        }
        let edit = app.patch(&format!("{path}/{}", stored[0]["id"].as_str().unwrap()));
        edit.body(format!(r#"{{"content": {content}}}"#)).refused(403, "forbidden", "content").await;
    }
    assert_eq!(app.everything().await, before, "nothing was touched");
    let content = json!([{"type": "tool_result", "tool_use_id": "a", "content": "it rains"}]);
    app.post(&path).json(&json!({"role": "user", "content": content})).by_service().expect(201).await;
    let (app, conversation, _) = stack("user,tool").await;
    app.post(&format!("{conversation}/messages")).json(&json!({"role": "user", "content": content})).expect(201).await;
}

#[tokio::test]
async fn a_users_own_token_changes_only_the_metadata_of_other_roles_messages() {
    let (app, conversation, stored) = stack("").await;
    let version = async || app.get(&conversation).expect(200).await.headers["etag"].clone();
    for message in &stored {
        let path = format!("{conversation}/messages/{}", message["id"].as_str().unwrap());
        let changes = [
            ("content", json!({"content": "mine?", "tool_calls": [], "metadata": {"rating": 1}})),
            ("tool_calls", json!({"tool_calls": [{"id": "a"}], "token_count": 1})),
            ("token_count", json!({"token_count": 1})),
            ("token_count", json!({"token_count": null})),
        ];
        for (param, change) in changes {
            if message["role"] == "user" {
                app.patch(&path).json(&change).expect(200).await;
                continue;
            }
            let before = (app.everything().await, version().await);
            let refused = app.patch(&path).json(&change).refused(403, "forbidden", param).await;
            assert!(!refused.headers.contains_key("etag"), "{refused:?}");
            app.patch(&path).json(&change).header("if-match", "\"99\"").refused(403, "forbidden", param).await;
            // Others still learn nothing.
            app.patch(&path).json(&change).by("bob").refused(404, "not_found", None).await;
            assert_eq!((app.everything().await, version().await), before, "nothing was touched");
        }
        let rated = app.patch(&path).json(&json!({"metadata": {"rating": 5}})).expect(200).await.json();
        assert_eq!(rated["metadata"]["rating"], 5);
        app.patch(&path).json(&json!({"content": "better"})).by_service().expect(200).await;
    }
    let missing = format!("{conversation}/messages/{}", Uuid::now_v7());
    app.patch(&missing).json(&json!({"content": "mine?"})).refused(404, "not_found", None).await;
    // Deleting puts no words into anybody's mouth.
    let rewound = app.delete(&format!("{conversation}/messages?from=2")).expect(200).await.json();
    assert_eq!(rewound["deleted"], 4);
}

#[tokio::test]
async fn a_summary_needs_the_role_system_because_contexts_have_it_as_such_a_message() {
    for (user_roles, may) in [("", false), ("user,assistant,tool", false), ("user,system", true)] {
        let (app, conversation, _) = stack(user_roles).await;
        let path = format!("{conversation}/summary");
        let summary = json!({"through": 5, "content": "They spoke."});
        if may {
            app.put(&path).json(&summary).expect(200).await;
        } else {
            let before = app.everything().await;
            app.put(&path).json(&summary).refused(403, "forbidden", "content").await;
            assert_eq!(app.everything().await, before, "nothing was touched");
            app.put(&path).json(&summary).by_service().expect(200).await;
        }
    }
}

/// What the log says of who called for the last request of a function.
fn who(app: &App, function: &str) -> Value {
    let log = app.function(function).log();
    let line: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    json!({"caller": line["caller"], "client": line["client"]["id"], "sub": line["sub"]["hash"], "user": line["user"]["hash"]})
}

#[tokio::test]
async fn the_log_says_who_called_without_anybodys_id() {
    let mut app = App::start().await;
    let (ada, path) = ("auth0|a-user-whose-name-is-ada", "/users/auth0%7Ca-user-whose-name-is-ada");
    app.get(&format!("{path}/conversations")).by(ada).claim("client_id", "the-web-application").expect(200).await;
    let own = who(&app, "get-user-conversations");
    // printf %s 'auth0|a-user-whose-name-is-ada' | openssl dgst -sha256 -hmac a-secret-of-32-characters-or-more
    let hash = "f500e8998d691ec78efbaa07187b72c3";
    assert_eq!(own, json!({"caller": "user", "client": "the-web-application", "sub": hash, "user": hash}));

    // A back end's erasure can be found by the user's hash.
    app.delete(path).by_service().claim("azp", "the-back-end-itself").expect(200).await;
    let erased = who(&app, "erase-user");
    assert_eq!(
        (&erased["caller"], &erased["client"], &erased["user"]),
        (&json!("service"), &json!("the-back-end-itself"), &json!(hash))
    );
    assert!(erased["sub"].is_string() && erased["sub"] != erased["user"], "{erased}");

    // For another user it is refused, and the log says whose token it was.
    app.delete(path)
        .by("auth0|another-user-named-bob")
        .claim("azp", "auth0|another-user-named-bob")
        .refused(403, "forbidden", None)
        .await;
    let refused = who(&app, "erase-user");
    assert_eq!((&refused["client"], &refused["user"]), (&Value::Null, &Value::Null), "{refused}");
    assert!(refused["sub"].is_string() && refused["sub"] != hash, "{refused}");
    app.delete(path).by_nobody().refused(401, "unauthenticated", None).await;
    assert_eq!(who(&app, "erase-user"), json!({"caller": "nobody", "client": null, "sub": null, "user": null}));

    // Without a key there are no hashes.
    app.set("LOG_KEY", "");
    app.delete("/conversations/00000000-0000-4000-8000-000000000000").by(ada).claim("azp", "the-web-application").expect(404).await;
    let unhashed = who(&app, "delete-conversation");
    assert_eq!(unhashed, json!({"caller": "user", "client": "the-web-application", "sub": null, "user": null}));
}
