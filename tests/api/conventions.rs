//! What every endpoint has in common: which parameters and bodies it reads, and which it refuses.

use serde_json::json;

use crate::support::App;

#[tokio::test]
async fn a_parameter_that_the_endpoint_does_not_have_is_refused_with_the_nearest_name() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    let path = format!("/conversations/{conversation}");
    app.post(&format!("{path}/messages?role=user&content=x")).expect(201).await;
    for (target, param, nearest) in [
        ("/users/ada/conversations?limt=3", "limt", "limit"),
        (&*format!("{path}/messages?lmit=3"), "lmit", "limit"),
        (&*format!("{path}/context?max_mesages=3"), "max_mesages", "max_messages"),
        ("/users/ada/search?q=x&curser=y", "curser", "cursor"),
        ("/users/ada/export?Cursor=y", "Cursor", "cursor"),
    ] {
        let refused = app.get(target).refused(400, "unknown_parameter", param).await;
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(&format!("the nearest is {nearest},")), "{target}: {detail}");
    }
    app.post(&format!("{path}/messages?role=user&content=x&rolle=user")).refused(400, "unknown_parameter", "rolle").await;
    app.get(&format!("{path}?limit=3")).refused(400, "unknown_parameter", "limit").await;
    app.delete(&format!("{path}?force=true")).refused(400, "unknown_parameter", "force").await;
    let import = app.post("/users/ada/import?dry=true").by_service().header("content-type", "application/x-ndjson").body("");
    import.refused(400, "unknown_parameter", "dry").await;
    let body = json!({"messages": [{"role": "user", "content": "x", "rol": 1}]});
    app.post(&format!("{path}/messages")).json(&body).refused(400, "unknown_parameter", "messages[0].rol").await;
    // What others add to a link is theirs.
    app.get(&format!("{path}/messages?utm_source=mail&x-trace=1&limit=3")).expect(200).await;
    app.get(&format!("{path}?utm_source=mail")).expect(200).await;
    assert_eq!(app.get(&format!("{path}/messages")).expect(200).await.array().len(), 1);
}

#[tokio::test]
async fn a_body_that_is_compressed_or_in_another_encoding_is_refused_as_such() {
    let app = App::start().await;
    let path = format!("/conversations/{}/messages", app.conversation().await);
    let body = json!({"role": "user", "content": "Zoë"}).to_string();
    let send =
        |name: &str, value: &str| app.post(&path).header("content-type", "application/json").header(name, value).body(&*body);
    for (name, value) in [
        ("content-encoding", "gzip"),
        ("content-encoding", "br"),
        ("content-type", "application/json; charset=iso-8859-1"),
        ("content-type", "application/json;charset=\"UTF-16\""),
    ] {
        let refused = send(name, value).refused(415, "unsupported_media_type", None).await;
        let named = value.rsplit('=').next().unwrap().trim_matches('"');
        assert!(refused.json()["detail"].as_str().unwrap().contains(named), "{}", refused.body);
    }
    // As bytes that are no text, as a gzip is.
    send("content-encoding", "gzip").base64().refused(415, "unsupported_media_type", None).await;
    for (name, value) in [
        ("content-encoding", "identity"),
        ("content-type", "application/json; charset=UTF-8"),
        ("content-type", "application/json; charset=\"utf-8\"; profile=x"),
    ] {
        assert_eq!(send(name, value).expect(201).await.json()["content"], "Zoë");
    }
}

#[tokio::test]
async fn a_byte_order_mark_before_a_body_is_skipped() {
    let app = App::start().await;
    let path = format!("/conversations/{}/messages", app.conversation().await);
    let marked = "\u{feff}{\"role\": \"user\", \"content\": \"\u{feff}x\"}";
    for call in [app.post(&path).body(marked), app.post(&path).body(marked).base64()] {
        assert_eq!(call.expect(201).await.json()["content"], "\u{feff}x", "only the first is one");
    }
    let export = app.get("/users/ada/export").expect(200).await.body;
    let import = app.post("/users/bob/import").by_service().header("content-type", "application/x-ndjson");
    app.delete("/users/ada").expect(200).await;
    assert_eq!(import.body(format!("\u{feff}{export}")).expect(200).await.json()["messages"], 2);
}

#[tokio::test]
async fn a_cursor_is_of_one_list() {
    let app = App::start().await;
    for content in ["x", "x"] {
        let path = format!("/conversations/{}/messages", app.conversation().await);
        app.post(&path).json(&json!({"role": "user", "content": content})).expect(201).await;
    }
    let lists = ["conversations?limit=1", "conversations?limit=1&order=activity", "search?limit=1&q=x"];
    let mut cursors = Vec::new();
    for list in lists {
        let page = app.get(&format!("/users/ada/{list}")).expect(200).await;
        cursors.push(page.next().unwrap().rsplit("cursor=").next().unwrap().to_owned());
    }
    for (n, list) in lists.into_iter().chain(["export?"]).enumerate() {
        for (of, cursor) in cursors.iter().enumerate() {
            let call = app.get(&format!("/users/ada/{list}&cursor={cursor}"));
            if n == of {
                call.expect(200).await;
            } else {
                call.refused(400, "invalid_parameter", "cursor").await;
            }
        }
    }
}

#[tokio::test]
async fn a_user_id_that_no_url_can_name_is_refused() {
    let app = App::start().await;
    for user in [".", ".."] {
        app.post("/conversations").by_service().json(&json!({"user_id": user})).refused(400, "invalid_parameter", "user_id").await;
        let transfer = app.post("/users/ada/transfer").by_service().json(&json!({"to": user}));
        transfer.refused(400, "invalid_parameter", "to").await;
        app.post("/conversations").by(user).json(&json!({})).refused(401, "unauthenticated", None).await;
    }
    app.post("/conversations").by_service().json(&json!({"user_id": "..."})).expect(201).await;
}
