//! Events as other senders than an HTTP API deliver them, and events that nobody should.

use serde_json::{Value, json};

use crate::support::App;

#[tokio::test]
async fn a_path_that_no_gateway_has_matched_is_not_guessed_at() {
    let app = App::start().await;
    app.post("/conversations").by("ada").expect(201).await;
    let (function, mut event) = app.get("/users/x/conversations").by("ada").event();
    event["routeKey"] = json!("$default");
    event["rawPath"] = json!("/users/ada/conversations");
    event.as_object_mut().unwrap().remove("pathParameters");
    let answer = app.invoke(function, &event).await;
    let problem = answer.json();
    assert_eq!((answer.status, &problem["code"], &problem["param"]), (400, &json!("missing_parameter"), &json!("user_id")));
}

#[tokio::test]
async fn the_emulator_hands_over_encoded_parameters() {
    let app = App::start().await;
    app.post("/conversations").by("100% é").expect(201).await;
    let (function, mut event) = app.get("/users/x/conversations").by("100% é").event();
    event["routeKey"] = json!("$default");
    event["rawPath"] = json!("/users/100%25%20%C3%A9/conversations");
    event["pathParameters"] = json!({"user_id": "100%25%20%C3%A9"});
    let answer = app.invoke(function, &event).await;
    assert_eq!((answer.status, &answer.array()[0]["user_id"]), (200, &json!("100% é")));
    event["pathParameters"] = json!({"user_id": "%ff"});
    assert_eq!(app.invoke(function, &event).await.json()["param"], "user_id");
}

#[tokio::test]
async fn links_and_locations_keep_the_stage() {
    let app = App::start().await;
    let (function, mut event) = app.post("/conversations?new=true").event();
    event["rawPath"] = json!("/prod/conversations");
    let made = app.invoke(function, &event).await;
    assert!(made.headers["location"].starts_with("/prod/conversations/"), "{made:?}");
    app.conversation().await;
    let (function, mut event) = app.get("/users/ada/conversations?limit=1").event();
    event["rawPath"] = json!("/prod/users/ada/conversations");
    assert!(app.invoke(function, &event).await.next().unwrap().starts_with("/prod/users/ada/conversations?limit=1&cursor="));
}

#[tokio::test]
async fn a_hand_written_event_may_have_only_decoded_parameters() {
    let app = App::start().await;
    let (function, mut event) = app.post("/conversations").event();
    event.as_object_mut().unwrap().remove("rawQueryString");
    event["queryStringParameters"] = json!({"title": "a & b = 100%", "new": "true"});
    let made = app.invoke(function, &event).await;
    assert_eq!((made.status, &made.json()["title"]), (201, &json!("a & b = 100%")));
}

#[tokio::test]
async fn bodies_that_are_no_text_are_refused() {
    let app = App::start().await;
    let (function, mut event) = app.post("/conversations").body("{}").base64().event();
    event["body"] = json!("!!!");
    assert_eq!(app.invoke(function, &event).await.json()["code"], "invalid_body");
    event["body"] = json!("/w==");
    assert_eq!(app.invoke(function, &event).await.json()["code"], "invalid_body");
}

#[tokio::test]
async fn media_types_are_compared_as_http_says() {
    let app = App::start().await;
    for media_type in ["application/json", "Application/JSON; charset=utf-8", "application/json ;x=y"] {
        app.post("/conversations").body("{}").header("content-type", media_type).send().await;
        let answer = app.post("/conversations").body("{}").header("content-type", media_type).send().await;
        assert_eq!(answer.status, 200, "{media_type}");
    }
    for media_type in ["", "text/json", "application/jsonp", "application/x-www-form-urlencoded", "multipart/form-data"] {
        app.post("/conversations").body("{}").header("content-type", media_type).refused(415, "unsupported_media_type", None).await;
    }
    app.post("/conversations").header("content-type", "text/plain").expect(200).await;
}

#[tokio::test]
async fn a_malformed_event_is_an_error_and_the_process_lives() {
    let app = App::start().await;
    let function = app.function("get-or-create-conversation");
    let secret = json!("a secret in the wrong place");
    for event in [
        json!(7),
        secret.clone(),
        json!({"headers": secret}),
        json!({"body": {"a": secret}}),
        json!({"requestContext": {"authorizer": {"jwt": {"claims": secret}}}}),
    ] {
        let answer = app.invoke("get-or-create-conversation", &event).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_body")), "{event}");
    }
    // The runtime itself reports an event that is not JSON.
    for event in ["{", "", r#"{"headers": "a secret in the"#] {
        assert!(function.invoke(event.to_owned()).await.is_err(), "{event}");
    }
    assert_eq!(app.invoke("get-or-create-conversation", &json!({})).await.status, 401);
    app.post("/conversations").expect(201).await;
    assert_eq!(function.log().matches("\"message\":\"request\"").count(), 7);
}

#[tokio::test]
async fn a_claim_of_another_type_is_no_identity() {
    let app = App::start().await;
    let (function, mut event) = app.post("/conversations").event();
    for sub in [json!(7), json!(""), json!("a\nb"), json!(null)] {
        event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"] = sub;
        assert_eq!(app.invoke(function, &event).await.status, 401);
    }
}

#[tokio::test]
async fn the_log_has_one_line_a_request_and_nothing_that_was_said() {
    let mut app = App::start().await;
    app.set("AWS_LAMBDA_LOG_LEVEL", "TRACE");
    let conversation = app.conversation().await;
    let secret = "Rosebud-7c1f";
    let path = format!("/conversations/{conversation}/messages");
    app.post(&path).json(&json!({"role": "user", "content": secret, "metadata": {"a": secret}})).expect(201).await;
    let refused = app.post(&path).json(&json!({"role": secret, "content": secret})).expect(400).await.json();
    app.post(&path).body(format!("{{\"{secret}")).expect(400).await;
    app.post(&format!("{path}?role=user&content={secret}")).expect(201).await;
    let log = app.function("add-message").log();
    assert!(!log.contains(secret), "{log}");
    assert!(log.contains("\"level\":\"DEBUG\""), "the most that there is");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let requests: Vec<&Value> = lines.iter().filter(|line| line["message"] == "request").collect();
    let members = |name: &str| requests.iter().map(|line| line[name].clone()).collect::<Vec<_>>();
    assert_eq!(members("status"), [201, 400, 400, 201]);
    assert_eq!(members("cold_start"), [true, false, false, false]);
    assert_eq!(members("code"), [Value::Null, json!("invalid_parameter"), json!("invalid_body"), Value::Null]);
    assert!(members("level").iter().all(|level| level == "INFO"));
    let first = requests[0];
    assert_eq!(first["route"], "POST /conversations/{conversation_id}/messages");
    assert_eq!((&first["function"], &first["caller"]), (&json!("add-message"), &json!("user")));
    assert_eq!(first["conversation"]["id"], json!(conversation));
    assert_eq!((&first["db"]["statements"], &first["db"]["connects"]), (&json!(1), &json!(1)));
    assert!(first["duration"]["ms"].as_f64() >= first["db"]["ms"].as_f64() && first["db"]["ms"].as_f64() > Some(0.0));
    let traces: std::collections::BTreeSet<_> = requests.iter().map(|line| line["xrayTraceId"].as_str().unwrap()).collect();
    assert!(traces.len() == 4 && traces.iter().all(|trace| trace.starts_with("Root=1-")), "{traces:?}");
    assert_eq!(requests[1]["requestId"], refused["request_id"], "what the caller can name");
    chrono::DateTime::parse_from_rfc3339(first["timestamp"].as_str().unwrap()).unwrap();
}
