//! `PATCH /conversations/{conversation_id}`

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::App;

#[tokio::test]
async fn title_and_metadata_are_patched() {
    let app = App::start().await;
    let made =
        app.post("/conversations").json(&json!({"title": "Oslo", "metadata": {"a": 1, "b": {"c": 2}}})).expect(201).await.json();
    let path = format!("/conversations/{}", made["id"].as_str().unwrap());
    let changed = app.patch(&path).json(&json!({"title": "Bergen"})).expect(200).await;
    assert_eq!((&changed.json()["title"], &changed.json()["metadata"]), (&json!("Bergen"), &made["metadata"]));
    assert_eq!(changed.headers["etag"], "\"2\"");
    assert!(changed.json()["updated_at"].as_str() > made["updated_at"].as_str());
    let changed = app.patch(&path).json(&json!({"title": null, "metadata": {"b": {"d": 3}, "a": null}})).expect(200).await.json();
    assert_eq!((&changed["title"], &changed["metadata"]), (&Value::Null, &json!({"b": {"c": 2, "d": 3}})));
    assert_eq!(app.patch(&path).json(&json!({"metadata": null})).expect(200).await.json()["metadata"], json!({}));
    assert_eq!(app.patch(&format!("{path}?title=query")).expect(200).await.json()["title"], "query");
    let same = app.patch(&path).json(&json!({})).expect(200).await;
    assert_eq!(same.headers["etag"], "\"5\"", "nothing to change changes nothing");
    assert_eq!(app.get(&path).expect(200).await.json(), same.json());
}

/// RFC 7396, appendix A, as far as both sides are objects.
#[tokio::test]
async fn metadata_is_merged_as_the_rfc_says() {
    let app = App::start().await;
    for (metadata, patch, merged) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        (json!({"a": 1}), json!({}), json!({"a": 1})),
    ] {
        let made = app.post("/conversations").json(&json!({"new": true, "metadata": metadata})).expect(201).await.json();
        let path = format!("/conversations/{}", made["id"].as_str().unwrap());
        let changed = app.patch(&path).json(&json!({"metadata": patch})).expect(200).await.json();
        assert_eq!(changed["metadata"], merged, "{metadata} and {patch}");
    }
    let body = r#"{"new": true, "metadata": {"keep": 1.50e1, "x": 1, "x": 2}}"#;
    let made = app.post("/conversations").body(body).expect(201).await.json();
    let path = format!("/conversations/{}", made["id"].as_str().unwrap());
    let changed = app.patch(&path).body(r#"{"metadata": {"y": [1.0], "y": [2.0]}}"#).expect(200).await;
    assert!(changed.body.contains("1.50e1") && changed.body.contains("[2.0]"), "{}", changed.body);
    assert_eq!(
        changed.json()["metadata"],
        json!({"keep": 15.0, "x": 2, "y": [2.0]}),
        "of a name that is there twice, the last counts"
    );
}

#[tokio::test]
async fn a_conversation_is_archived_and_pinned_and_back() {
    let app = App::start().await;
    let path = format!("/conversations/{}", app.conversation().await);
    for (field, member, other) in [("archived", "archived_at", "pinned_at"), ("pinned", "pinned_at", "archived_at")] {
        let before = app.get(&path).expect(200).await.json();
        assert_eq!((&before[member], &before[other]), (&Value::Null, &Value::Null));
        let set = app.patch(&path).json(&json!({(field): true})).expect(200).await.json();
        assert_eq!((&set[member], &set[other]), (&set["updated_at"], &Value::Null));
        assert!(set["updated_at"].as_str() > before["updated_at"].as_str());
        let again = app.patch(&format!("{path}?{field}=true")).expect(200).await.json();
        assert_eq!(again[member], set[member], "it is so since then");
        let renamed = app.patch(&path).json(&json!({"title": "x", (field): null})).expect(200).await.json();
        assert_eq!(renamed[member], set[member], "null changes nothing");
        let cleared = app.patch(&path).json(&json!({(field): false})).expect(200).await;
        assert_eq!(cleared.json()[member], Value::Null);
        assert_eq!(app.get(&path).expect(200).await.json(), cleared.json());
        let again = app.patch(&path).json(&json!({(field): true})).expect(200).await.json();
        assert!(again[member].as_str() > set[member].as_str(), "a new time");
        app.patch(&path).json(&json!({(field): false})).expect(200).await;
        for wrong in [json!("yes"), json!(1), json!({})] {
            app.patch(&path).json(&json!({(field): wrong})).refused(400, "invalid_parameter", field).await;
        }
    }
    let both = app.patch(&path).json(&json!({"archived": true, "pinned": true})).expect(200).await.json();
    assert_eq!(both["archived_at"], both["pinned_at"]);
    let etag = app.get(&path).expect(200).await.headers["etag"].clone();
    app.patch(&path)
        .json(&json!({"archived": false}))
        .header("if-match", "\"1\"")
        .refused(412, "precondition_failed", "If-Match")
        .await;
    app.patch(&path).json(&json!({"archived": false})).header("if-match", etag).expect(200).await;
}

#[tokio::test]
async fn expires_in_sets_the_end_and_null_takes_it_back() {
    let app = App::start().await;
    let path = format!("/conversations/{}", app.conversation().await);
    for seconds in [60, 86_400, 31_556_952_000_i64] {
        let changed = app.patch(&path).json(&json!({"expires_in": seconds})).expect(200).await.json();
        let lifetime = "select extract(epoch from expires_at - updated_at)::int8 from conversations";
        let lifetime: i64 = app.superuser().await.query_typed(lifetime, &[]).await.unwrap()[0].get(0);
        assert_eq!(lifetime, seconds, "{changed}");
        let renamed = app.patch(&path).json(&json!({"title": seconds.to_string()})).expect(200).await.json();
        assert_eq!(renamed["expires_at"], changed["expires_at"], "another change does not move it");
        let read = app.get(&path).expect(200).await.json();
        assert!(read["expires_at"].as_str().unwrap().ends_with('Z'), "{read}");
    }
    let cleared = app.patch(&path).json(&json!({"expires_in": null})).expect(200).await;
    assert_eq!((&cleared.json()["expires_at"], cleared.headers["etag"].as_str()), (&Value::Null, "\"8\""));
    app.patch(&format!("{path}?expires_in=60")).expect(200).await;
    for wrong in [json!(59), json!(0), json!(-60), json!(60.5), json!("60"), json!(true), json!(31_556_952_001_i64)] {
        app.patch(&path).json(&json!({"expires_in": wrong})).refused(400, "invalid_parameter", "expires_in").await;
    }
    app.patch(&format!("{path}?expires_in=soon")).refused(400, "invalid_parameter", "expires_in").await;
}

#[tokio::test]
async fn if_match_decides_between_two_tabs() {
    let app = App::start().await;
    let path = format!("/conversations/{}", app.conversation().await);
    app.patch(&path).json(&json!({"title": "one"})).header("if-match", "\"1\"").expect(200).await;
    app.patch(&path)
        .json(&json!({"title": "two"}))
        .header("if-match", "\"1\"")
        .refused(412, "precondition_failed", "If-Match")
        .await;
    app.patch(&path).json(&json!({})).header("if-match", "\"1\"").refused(412, "precondition_failed", "If-Match").await;
    app.patch(&path).json(&json!({"title": "any"})).header("if-match", "*").expect(200).await;
    assert_eq!(app.get(&path).expect(200).await.json()["title"], "any");
}

#[tokio::test]
async fn what_is_wrong_or_not_there_or_not_allowed_is_refused() {
    let app = App::start().await;
    let path = format!("/conversations/{}", app.conversation().await);
    let half = json!({"x": "x".repeat(9 << 10)});
    app.patch(&path).json(&json!({"metadata": half})).expect(200).await;
    let other_half = json!({"metadata": {"y": "y".repeat(9 << 10)}});
    app.patch(&path).json(&other_half).refused(413, "payload_too_large", "metadata").await;
    app.patch(&path).json(&json!({"metadata": {"x": "x".repeat(16 << 10)}})).refused(413, "payload_too_large", "metadata").await;
    let many: serde_json::Map<String, Value> = (0..1200).map(|n| (format!("k{n:04}"), json!(n))).collect();
    let made = app.post("/conversations").json(&json!({"new": true, "metadata": many})).expect(201).await.json();
    let large = format!("/conversations/{}", made["id"].as_str().unwrap());
    app.patch(&large).json(&json!({"metadata": {"k0000": null}})).expect(200).await;
    app.patch(&large).body(r#"{"metadata": {"huge": 1e999}}"#).expect(200).await;
    app.patch(&path).json(&json!({"metadata": [1]})).refused(400, "invalid_parameter", "metadata").await;
    app.patch(&path).json(&json!({"title": "x".repeat(513)})).refused(400, "invalid_parameter", "title").await;
    app.patch(&path).json(&json!({"user_id": "bob"})).refused(400, "unknown_parameter", "user_id").await;
    app.patch(&format!("{path}?title=a")).json(&json!({"title": null})).refused(400, "ambiguous_parameter", "title").await;
    app.patch(&path).body("x").header("content-type", "text/plain").refused(415, "unsupported_media_type", None).await;
    app.patch(&path).json(&json!({"title": "x"})).header("if-match", "1").refused(400, "invalid_parameter", "If-Match").await;
    app.patch("/conversations/x").json(&json!({})).refused(400, "invalid_uuid", "conversation_id").await;
    for body in [json!({"title": "x"}), json!({})] {
        app.patch(&path).json(&body).by("bob").refused(404, "not_found", None).await;
        app.patch(&format!("/conversations/{}", Uuid::now_v7())).json(&body).refused(404, "not_found", None).await;
        app.patch(&path).json(&body).by_nobody().refused(401, "unauthenticated", None).await;
    }
    let read = app.get(&path).expect(200).await;
    assert_eq!((&read.json()["title"], read.headers["etag"].as_str()), (&Value::Null, "\"2\""), "nothing half done");
}
