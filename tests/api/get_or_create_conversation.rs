//! `POST /conversations`

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::App;

#[tokio::test]
async fn a_first_call_creates_and_the_next_finds() {
    let app = App::start().await;
    let made = app.post("/conversations").json(&json!({"user_id": "ada"})).expect(201).await;
    let conversation = made.json();
    let members: Vec<&String> = conversation.as_object().unwrap().keys().collect();
    let expected = [
        "archived_at",
        "created_at",
        "expires_at",
        "forked_from",
        "id",
        "kept_count",
        "last_message_at",
        "message_count",
        "metadata",
        "pinned_at",
        "summary",
        "title",
        "updated_at",
        "user_id",
    ];
    assert_eq!(members, expected);
    for member in ["archived_at", "expires_at", "forked_from", "last_message_at", "pinned_at", "summary"] {
        assert_eq!(conversation[member], Value::Null, "{member}");
    }
    assert_eq!(
        (&conversation["title"], &conversation["metadata"], &conversation["message_count"]),
        (&Value::Null, &json!({}), &json!(0))
    );
    assert_eq!(made.headers["location"], format!("/conversations/{}", conversation["id"].as_str().unwrap()));
    assert_eq!((made.headers["etag"].as_str(), made.headers["content-type"].as_str()), ("\"1\"", "application/json"));
    let time = conversation["created_at"].as_str().unwrap();
    assert!(time.len() == "2026-11-22T10:00:00.123456Z".len() && time.ends_with('Z'), "{time}");

    let found = app.post("/conversations?user_id=ada").expect(200).await;
    assert_eq!(found.json(), conversation);
    assert!(!found.headers.contains_key("location"));
    let bobs = app.post("/conversations?user_id=bob").by("bob").expect(201).await;
    assert_ne!(bobs.json()["id"], conversation["id"]);
}

#[tokio::test]
async fn the_most_recently_updated_conversation_is_found() {
    let app = App::start().await;
    let (older, newer) = (app.conversation().await, app.conversation().await);
    assert_eq!(app.post("/conversations").expect(200).await.json()["id"], json!(newer));
    app.post(&format!("/conversations/{older}/messages?role=user&content=hello")).expect(201).await;
    assert_eq!(app.post("/conversations").expect(200).await.json()["id"], json!(older));
}

#[tokio::test]
async fn what_is_archived_or_has_expired_is_not_found_unless_by_its_id() {
    let app = App::start().await;
    let (oldest, archived, expired) = (app.conversation().await, app.conversation().await, app.conversation().await);
    app.patch(&format!("/conversations/{archived}")).json(&json!({"archived": true})).expect(200).await;
    let end = format!("update conversations set expires_at = now() where id = '{expired}'");
    app.superuser().await.batch_execute(&end).await.unwrap();
    assert_eq!(app.post("/conversations").expect(200).await.json()["id"], json!(oldest));
    assert_eq!(app.post("/conversations").json(&json!({"id": archived})).expect(200).await.json()["id"], json!(archived));
    app.patch(&format!("/conversations/{oldest}")).json(&json!({"archived": true})).expect(200).await;
    let made = app.post("/conversations").expect(201).await.json();
    assert!(![json!(oldest), json!(archived), json!(expired)].contains(&made["id"]));
    assert_eq!(app.post("/conversations").expect(200).await.json()["id"], made["id"]);
    // Back from the archive, it may be the most recently updated one.
    app.patch(&format!("/conversations/{archived}")).json(&json!({"archived": false})).expect(200).await;
    assert_eq!(app.post("/conversations").expect(200).await.json()["id"], json!(archived));
}

#[tokio::test]
async fn expires_in_is_for_a_created_one() {
    let app = App::start().await;
    for target in ["/conversations?expires_in=3600", "/conversations?new=true&expires_in=3600"] {
        let made = app.post(target).expect(201).await.json();
        let lifetime = "select extract(epoch from expires_at - created_at)::int8 from conversations where id = $1::text::uuid";
        let id = made["id"].as_str().unwrap();
        let lifetime = app.superuser().await.query_typed(lifetime, &[(&id, tokio_postgres::types::Type::TEXT)]).await.unwrap();
        assert_eq!(lifetime[0].get::<_, i64>(0), 3600, "{target}");
        assert!(made["expires_at"].as_str() > made["created_at"].as_str(), "{made}");
        // It changes nothing of one that was found.
        for body in [json!({"id": id, "expires_in": 60}), json!({"expires_in": 60})] {
            assert_eq!(app.post("/conversations").json(&body).expect(200).await.json(), made);
        }
    }
    let made = app.post("/conversations").json(&json!({"id": Uuid::now_v7(), "expires_in": null})).expect(201).await.json();
    assert_eq!(made["expires_at"], Value::Null);
}

#[tokio::test]
async fn new_always_creates() {
    let app = App::start().await;
    let body = r#"{"user_id":"ada","new":true,"title":"Rain in Oslo","metadata":{"b":1.50,"a":[null]}}"#;
    let first = app.post("/conversations").body(body).expect(201).await;
    let second = app.post("/conversations").body(body).expect(201).await;
    assert_ne!(first.json()["id"], second.json()["id"]);
    assert_eq!(first.json()["title"], "Rain in Oslo");
    assert!(
        first.body.contains(r#""metadata":{"a":[null],"b":1.50}"#) || first.body.contains(r#""metadata":{"b":1.50,"a":[null]}"#)
    );
    app.post("/conversations?new=false").expect(200).await;
}

#[tokio::test]
async fn an_id_names_exactly_one_conversation() {
    let app = App::start().await;
    let id = Uuid::now_v7();
    let body = json!({"id": id.to_string().to_uppercase(), "title": "mine"});
    let made = app.post("/conversations").json(&body).expect(201).await;
    assert_eq!(made.json()["id"], json!(id), "in lower case");
    app.conversation().await;
    let found = app.post("/conversations").json(&body).expect(200).await;
    assert_eq!(found.json(), made.json());
    app.post("/conversations").json(&json!({"id": id, "new": true})).expect(200).await;
    app.post("/conversations").json(&json!({"id": id})).by("bob").refused(409, "conflict", "id").await;
    app.post("/conversations").json(&json!({"id": id, "user_id": "bob"})).by_service().refused(409, "conflict", "id").await;
}

#[tokio::test]
async fn bad_input_is_refused_by_name() {
    let app = App::start().await;
    let long_title = "x".repeat(513);
    let long_user = "ü".repeat(256);
    for (body, status, code, param) in [
        (json!({"user_id": 7}), 400, "invalid_parameter", Some("user_id")),
        (json!({"user_id": ""}), 400, "invalid_parameter", Some("user_id")),
        (json!({"user_id": long_user}), 400, "invalid_parameter", Some("user_id")),
        (json!({"user_id": "a\nb"}), 400, "invalid_character", Some("user_id")),
        (json!({"user_id": "a\u{0}"}), 400, "invalid_character", Some("user_id")),
        (json!({"id": "01931e0a"}), 400, "invalid_uuid", Some("id")),
        (json!({"id": "01931e0a7b9c7cc080000242ac120002"}), 400, "invalid_uuid", Some("id")),
        (json!({"new": "maybe"}), 400, "invalid_parameter", Some("new")),
        (json!({"new": 1}), 400, "invalid_parameter", Some("new")),
        (json!({"title": long_title}), 400, "invalid_parameter", Some("title")),
        (json!({"title": "\u{0}"}), 400, "invalid_character", Some("title")),
        (json!({"metadata": []}), 400, "invalid_parameter", Some("metadata")),
        (json!({"metadata": {"a": "\u{0}"}}), 400, "invalid_character", Some("metadata")),
        (json!({"metadata": {"a": "x".repeat(16 << 10)}}), 413, "payload_too_large", Some("metadata")),
        (json!({"expires_in": 59}), 400, "invalid_parameter", Some("expires_in")),
        (json!({"expires_in": "3600"}), 400, "invalid_parameter", Some("expires_in")),
        (json!({"expires_in": 31_556_952_001_u64}), 400, "invalid_parameter", Some("expires_in")),
        (json!({"titel": "x"}), 400, "unknown_parameter", Some("titel")),
        (json!([]), 400, "invalid_body", None),
        (json!("text"), 400, "invalid_body", None),
    ] {
        app.post("/conversations").json(&body).refused(status, code, param).await;
    }
    app.post("/conversations").by_service().refused(400, "missing_parameter", "user_id").await;
    app.post("/conversations").json(&json!({"user_id": null})).by_service().refused(400, "missing_parameter", "user_id").await;
    app.post("/conversations").body("{\"new\": tru").refused(400, "invalid_body", None).await;
    app.post("/conversations").body(r#"{"new": true, "new": true}"#).refused(400, "ambiguous_parameter", "new").await;
    app.post("/conversations").body(r#"{"title": "\ud800"}"#).refused(400, "invalid_character", "title").await;
    app.post("/conversations").body(r#"{"metadata": {"a": "\udfff"}}"#).refused(400, "invalid_character", "metadata").await;
    app.post("/conversations?title=a").json(&json!({"title": "a"})).refused(400, "ambiguous_parameter", "title").await;
    app.post("/conversations?new=true&new=true").refused(400, "ambiguous_parameter", "new").await;
    app.post("/conversations?title=%ff").refused(400, "invalid_character", "title").await;
    app.post("/conversations")
        .body("a=b")
        .header("content-type", "application/x-www-form-urlencoded")
        .refused(415, "unsupported_media_type", None)
        .await;
    assert_eq!(app.superuser().await.query_typed("select from conversations", &[]).await.unwrap().len(), 0, "nothing half done");
}

#[tokio::test]
async fn nobody_and_other_users_are_turned_away() {
    let app = App::start().await;
    app.post("/conversations?user_id=ada").by_nobody().refused(401, "unauthenticated", None).await;
    app.post("/conversations?user_id=ada").by("bob").refused(403, "forbidden", None).await;
    app.post("/conversations?user_id=ada").by_service().expect(201).await;
    assert_eq!(app.post("/conversations").expect(200).await.json()["user_id"], "ada", "the token says who is calling");
}
