//! `POST /conversations/{conversation_id}/messages`

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::App;

fn messages_of(conversation: Uuid) -> String {
    format!("/conversations/{conversation}/messages")
}

#[tokio::test]
async fn a_message_is_stored_and_comes_back() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    let answer = app.post(&messages_of(conversation)).json(&json!({"role": "user", "content": "Is it raining?"})).expect(201).await;
    let message = answer.json();
    let members: Vec<&String> = message.as_object().unwrap().keys().collect();
    assert_eq!(
        members,
        [
            "content",
            "conversation_id",
            "created_at",
            "feedback",
            "id",
            "metadata",
            "name",
            "position",
            "role",
            "status",
            "token_count",
            "tool_call_id",
            "tool_calls",
            "updated_at"
        ]
    );
    assert_eq!(
        (&message["position"], &message["role"], &message["content"]),
        (&json!(1), &json!("user"), &json!("Is it raining?"))
    );
    assert_eq!((&message["tool_calls"], &message["name"], &message["metadata"]), (&Value::Null, &Value::Null, &json!({})));
    assert_eq!(answer.headers["etag"], "\"2\"");
    assert_eq!(app.get(&messages_of(conversation)).expect(200).await.array(), std::slice::from_ref(&message));
    let found = app.post("/conversations").expect(200).await.json();
    assert_eq!((&found["message_count"], &found["updated_at"]), (&json!(1), &message["created_at"]));
}

#[tokio::test]
async fn the_query_string_of_old_still_works() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    let path = messages_of(conversation);
    let text = app.post(&format!("{path}?role=user&content=a+b%20c%2C+100%25,%22d%22+%E2%82%AC")).expect(201).await.json();
    assert_eq!(text["content"], "a b c, 100%,\"d\" €");
    let calls = "%5B%7B%22id%22%3A%22call_1%22%2C%22n%22%3A1.0%7D%5D";
    let answer = app.post(&format!("{path}?role=assistant&tool_calls={calls}")).expect(201).await;
    assert!(answer.body.contains(r#""content":null,"tool_calls":[{"id":"call_1","n":1.0}]"#), "{}", answer.body);
    let answer =
        app.post(&format!("{path}?role=tool&content=&tool_call_id=call_1&name=weather&token_count=5")).expect(201).await.json();
    assert_eq!(answer["token_count"], 5);
    assert_eq!((&answer["content"], &answer["tool_call_id"], &answer["name"]), (&json!(""), &json!("call_1"), &json!("weather")));
}

#[tokio::test]
async fn a_whole_number_may_be_spelled_as_json_spells_numbers() {
    let app = App::start().await;
    let path = messages_of(app.conversation().await);
    for (spelled, expected) in [("7.0", 7), ("1e3", 1000), ("-0.0", 0), ("25E-1", -1), ("1e999", -1), ("1e10", -1), ("\"7\"", -1)] {
        let body = format!(r#"{{"role":"user","content":"x","token_count":{spelled}}}"#);
        let call = app.post(&path).body(body);
        if expected < 0 {
            call.refused(400, "invalid_parameter", "token_count").await;
        } else {
            assert_eq!(call.expect(201).await.json()["token_count"], expected, "{spelled}");
        }
    }
    app.post(&format!("{path}?role=user&content=x&token_count=7.0")).refused(400, "invalid_parameter", "token_count").await;
}

#[tokio::test]
async fn json_is_kept_to_the_byte() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    let calls =
        r#"[ {"z":1,"a":1.0e+2, "a":-0,"s":"\u00e9\ud83d\ude00 \ud800","n":null,"big":123456789012345678901234567890.10} ]"#;
    let parts =
        r#"[{"type":"text","text":"y","text":"x","more":{"b":[],"a":1E5}}, {"type":"image_url","image_url":{"url":"data:"}}]"#;
    let metadata = r#"{"z":0.10,"a":{"y":null}}"#;
    let body = format!(r#"{{"role":"assistant","content":{parts},"tool_calls":{calls},"metadata":{metadata}}}"#);
    let stored = app.post(&messages_of(conversation)).body(body).expect(201).await.body;
    let read = app.get(&messages_of(conversation)).expect(200).await.body;
    for text in [calls, parts, metadata] {
        assert!(stored.contains(text), "{stored}");
        assert!(read.contains(text), "{read}");
    }
}

#[tokio::test]
async fn every_role_and_every_kind_of_content_is_stored() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    let batch = json!({"messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Oslo?"}], "name": "Ada"},
        {"role": "assistant", "content": null, "tool_calls": {"id": "call_1"}},
        {"role": "assistant", "tool_calls": []},
        {"role": "tool", "content": "12 °C", "tool_call_id": "call_1", "name": "weather", "metadata": {"ms": 5}, "token_count": 7},
        {"role": "assistant", "content": "", "id": Uuid::now_v7(), "token_count": 0},
    ]});
    let stored = app.post(&messages_of(conversation)).json(&batch).expect(201).await.array();
    assert_eq!(stored.iter().map(|message| message["position"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    for (sent, stored) in batch["messages"].as_array().unwrap().iter().zip(&stored) {
        for (member, value) in sent.as_object().unwrap() {
            assert_eq!(value, &stored[member], "{member}");
        }
        assert_eq!(stored["created_at"], stored["updated_at"]);
    }
    assert_eq!(app.get(&messages_of(conversation)).expect(200).await.array(), stored);
}

#[tokio::test]
async fn a_retried_append_is_stored_once() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    let path = messages_of(conversation);
    let message = json!({"id": Uuid::now_v7(), "role": "user", "content": "once", "tool_calls": [1.0], "metadata": {"a": 1}});
    let first = app.post(&path).json(&message).expect(201).await;
    assert!(!first.headers.contains_key("idempotent-replayed"));
    let again = app.post(&path).json(&message).expect(200).await;
    assert_eq!((again.headers["idempotent-replayed"].as_str(), again.json()), ("true", first.json()));
    assert_eq!(again.headers["etag"], first.headers["etag"], "nothing has changed");

    let batch = json!({"messages": (0..3).map(|n| json!({"id": Uuid::now_v7(), "role": "user", "content": n.to_string()})).collect::<Vec<_>>()});
    let first = app.post(&path).json(&batch).expect(201).await;
    let again = app.post(&path).json(&batch).expect(200).await;
    assert_eq!((again.headers["idempotent-replayed"].as_str(), again.array()), ("true", first.array()));
    assert_eq!(app.get(&path).expect(200).await.array().len(), 4);
}

#[tokio::test]
async fn of_a_batch_only_what_is_new_is_stored() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    let path = messages_of(conversation);
    let message = |n: u32| json!({"id": Uuid::from_u128(u128::from(n)), "role": "user", "content": n.to_string()});
    app.post(&path).json(&message(2)).expect(201).await;
    let answer = app.post(&path).json(&json!({"messages": [message(1), message(2), message(3)]})).expect(201).await;
    let positions: Vec<_> = answer.array().iter().map(|message| message["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, [2, 1, 3], "in the order given, the new ones adjacent");
    assert!(!answer.headers.contains_key("idempotent-replayed"));
    assert_eq!(app.post("/conversations").expect(200).await.json()["message_count"], 3);
}

#[tokio::test]
async fn an_id_with_other_content_is_a_conflict() {
    let app = App::start().await;
    let path = messages_of(app.conversation().await);
    let message = json!({"id": Uuid::now_v7(), "role": "user", "content": "once"});
    app.post(&path).json(&message).expect(201).await;
    for (member, value) in [
        ("content", json!("twice")),
        ("content", json!([{"type": "text", "text": "once"}])),
        ("role", json!("assistant")),
        ("tool_calls", json!([])),
        ("tool_call_id", json!("call_1")),
        ("name", json!("Ada")),
        ("metadata", json!({"a": 1})),
        ("token_count", json!(5)),
    ] {
        let mut changed = message.clone();
        changed[member] = value;
        app.post(&path).json(&changed).refused(409, "conflict", "id").await;
    }
    let fresh = json!({"role": "user", "content": "new"});
    let mut changed = message.clone();
    changed["content"] = json!("changed");
    app.post(&path).json(&json!({"messages": [fresh, changed]})).refused(409, "conflict", "messages[1].id").await;
    app.post(&path).json(&json!({"messages": [changed]})).refused(409, "conflict", "messages[0].id").await;
    assert_eq!(app.get(&path).expect(200).await.array().len(), 1, "all or none");
}

#[tokio::test]
async fn an_id_is_unique_in_its_conversation_and_not_in_the_world() {
    let app = App::start().await;
    let bobs = app.post("/conversations").by("bob").expect(201).await.json()["id"].as_str().unwrap().parse().unwrap();
    let id = Uuid::now_v7();
    let places = [(app.conversation().await, "ada", "one"), (app.conversation().await, "ada", "two"), (bobs, "bob", "three")];
    for (conversation, user, content) in places {
        let path = messages_of(conversation);
        let message = json!({"id": id, "role": "user", "content": content});
        app.post(&path).json(&message).by(user).expect(201).await;
        let again = app.post(&path).json(&message).by(user).expect(200).await;
        assert_eq!((again.headers["idempotent-replayed"].as_str(), &again.json()["position"]), ("true", &json!(1)));
        let changed = json!({"id": id, "role": "user", "content": "changed"});
        app.post(&path).json(&changed).by(user).refused(409, "conflict", "id").await;
    }
    // An edit changes the message of its own conversation.
    app.patch(&format!("{}/{id}", messages_of(places[0].0))).json(&json!({"content": "edited"})).expect(200).await;
    for (conversation, user, content) in places {
        let stored = app.get(&messages_of(conversation)).by(user).expect(200).await.array();
        let content = if content == "one" { "edited" } else { content };
        assert_eq!((stored.len(), &stored[0]["id"], &stored[0]["content"]), (1, &json!(id), &json!(content)));
    }
}

#[tokio::test]
async fn if_match_decides_between_two_writers() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    let path = messages_of(conversation);
    let message = |content: &str| json!({"id": Uuid::now_v7(), "role": "user", "content": content});
    let first = message("first");
    app.post(&path).json(&first).header("if-match", "\"1\"").expect(201).await;
    app.post(&path).json(&message("late")).header("if-match", "\"1\"").refused(412, "precondition_failed", "If-Match").await;
    app.post(&path).json(&message("weak")).header("if-match", "W/\"1\"").refused(412, "precondition_failed", "If-Match").await;
    app.post(&path).json(&message("other")).header("if-match", "\"x\"").refused(412, "precondition_failed", "If-Match").await;
    app.post(&path).json(&message("none")).header("if-match", "2").refused(400, "invalid_parameter", "If-Match").await;
    let retried = app.post(&path).json(&first).header("if-match", "\"1\"").expect(200).await;
    assert_eq!(retried.headers["idempotent-replayed"], "true", "a retry whose answer was lost has not failed");
    app.post(&path).json(&message("list")).header("If-Match", "\"7\", \"2\"").expect(201).await;
    app.post(&path).json(&message("any")).header("if-match", "*").expect(201).await;
    assert_eq!(app.get(&path).expect(200).await.array().len(), 3);
}

#[tokio::test]
async fn a_missing_conversation_and_another_users_are_the_same() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    let message = json!({"role": "user", "content": "mine?"});
    let missing = app.post(&messages_of(Uuid::now_v7())).json(&message).refused(404, "not_found", None).await;
    let others = app.post(&messages_of(conversation)).json(&message).by("bob").refused(404, "not_found", None).await;
    let without_id = |answer: &crate::support::Answer| {
        let mut problem = answer.json();
        problem["request_id"].take();
        (problem, answer.headers.clone())
    };
    assert_eq!(without_id(&missing), without_id(&others));
    app.post(&messages_of(conversation)).json(&message).by_nobody().refused(401, "unauthenticated", None).await;
    app.post(&messages_of(conversation)).json(&message).by_service().expect(201).await;
    app.post("/conversations/17/messages").json(&message).refused(400, "invalid_uuid", "conversation_id").await;
}

#[tokio::test]
async fn bad_input_is_refused_by_name() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    let path = messages_of(conversation);
    for (body, status, code, param) in [
        (json!({}), 400, "missing_parameter", "role"),
        (json!({"role": "user"}), 400, "missing_parameter", "content"),
        (json!({"role": "user", "content": null}), 400, "missing_parameter", "content"),
        (json!({"role": "robot", "content": "x"}), 400, "invalid_parameter", "role"),
        (json!({"role": ["user"], "content": "x"}), 400, "invalid_parameter", "role"),
        (json!({"role": "user", "content": 7}), 400, "invalid_parameter", "content"),
        (json!({"role": "user", "content": {"type": "text"}}), 400, "invalid_parameter", "content"),
        (json!({"role": "user", "content": ["text"]}), 400, "invalid_parameter", "content"),
        (json!({"role": "user", "content": [{"words": "x"}]}), 400, "invalid_parameter", "content"),
        (json!({"role": "user", "content": [{"type": 7}]}), 400, "invalid_parameter", "content"),
        (json!({"role": "user", "content": [["text", "x"]]}), 400, "invalid_parameter", "content"),
        (json!({"role": "user", "content": "a\u{0}b"}), 400, "invalid_character", "content"),
        (json!({"role": "user", "content": [{"type": "\u{0}"}]}), 400, "invalid_character", "content"),
        (json!({"role": "user", "tool_calls": "x"}), 400, "invalid_parameter", "tool_calls"),
        (json!({"role": "user", "tool_calls": ["\u{0}"]}), 400, "invalid_character", "tool_calls"),
        (json!({"role": "user", "content": "x", "id": "1"}), 400, "invalid_uuid", "id"),
        (json!({"role": "user", "content": "x", "name": 1}), 400, "invalid_parameter", "name"),
        (json!({"role": "user", "content": "x", "tool_call_id": "\u{0}"}), 400, "invalid_character", "tool_call_id"),
        (json!({"role": "user", "content": "x", "token_count": -1}), 400, "invalid_parameter", "token_count"),
        (json!({"role": "user", "content": "x", "token_count": 1.5}), 400, "invalid_parameter", "token_count"),
        (json!({"role": "user", "content": "x", "token_count": 2_147_483_648_u32}), 400, "invalid_parameter", "token_count"),
        (json!({"role": "user", "content": "x", "metadata": "x"}), 400, "invalid_parameter", "metadata"),
        (json!({"role": "user", "content": "x", "text": "x"}), 400, "unknown_parameter", "text"),
        (json!({"role": "user", "content": "x".repeat((1 << 20) + 1)}), 413, "payload_too_large", "content"),
        (json!({"role": "user", "tool_calls": ["x".repeat(256 << 10)]}), 413, "payload_too_large", "tool_calls"),
        (json!({"role": "user", "content": "x", "metadata": {"x": "x".repeat(256 << 10)}}), 413, "payload_too_large", "metadata"),
        (json!({"role": "user", "content": "x", "name": "x".repeat((1 << 10) + 1)}), 413, "payload_too_large", "name"),
        (
            json!({"role": "user", "content": "x", "tool_call_id": "x".repeat((16 << 10) + 1)}),
            413,
            "payload_too_large",
            "tool_call_id",
        ),
        (json!({"role": "user", "content": "x", "status": "incomplete"}), 400, "invalid_parameter", "status"),
        (json!({"role": "user", "status": "complete"}), 400, "missing_parameter", "content"),
        (json!({"role": "user", "content": "x", "from": 0}), 400, "invalid_parameter", "from"),
        (json!({"messages": [{"role": "user", "content": "x", "from": 1}]}), 400, "unknown_parameter", "messages[0].from"),
        (json!({"messages": []}), 400, "invalid_parameter", "messages"),
        (json!({"messages": "x"}), 400, "invalid_parameter", "messages"),
        (json!({"messages": vec![json!({"role": "user", "content": "x"}); 501]}), 400, "invalid_parameter", "messages"),
        (json!({"messages": [7]}), 400, "invalid_parameter", "messages[0]"),
        (json!({"messages": [{"role": "user", "content": "x"}], "role": "user"}), 400, "ambiguous_parameter", "role"),
        (json!({"messages": [{"role": "user", "content": "x"}], "more": 1}), 400, "unknown_parameter", "more"),
        (json!({"messages": [{"role": "user", "content": "x"}, {"role": "x"}]}), 400, "invalid_parameter", "messages[1].role"),
        (json!({"messages": [{"role": "user", "content": "x", "y": 1}]}), 400, "unknown_parameter", "messages[0].y"),
    ] {
        app.post(&path).json(&body).refused(status, code, param).await;
    }
    let id = Uuid::now_v7();
    let twice = json!({"messages": [{"role": "user", "content": "x", "id": id}, {"role": "user", "content": "x", "id": id}]});
    app.post(&path).json(&twice).refused(400, "invalid_parameter", "messages[1].id").await;
    let deep = format!(r#"{{"role":"user","tool_calls":{}{}}}"#, "[".repeat(513), "]".repeat(513));
    app.post(&path).body(deep).refused(400, "invalid_parameter", "tool_calls").await;
    app.post(&path).body(r#"{"role":"user","content":"\udc00"}"#).refused(400, "invalid_character", "content").await;
    app.post(&path)
        .body(format!(r#"{{"role":"user","content":"{}"}}"#, "x".repeat(4 << 20)))
        .refused(413, "payload_too_large", None)
        .await;
    app.post(&path).body("role=user").header("content-type", "text/plain").refused(415, "unsupported_media_type", None).await;
    app.post(&format!("{path}?role=user"))
        .json(&json!({"role": "user", "content": "x"}))
        .refused(400, "ambiguous_parameter", "role")
        .await;
    app.post(&format!("{path}?role=user&tool_calls=%7B")).refused(400, "invalid_parameter", "tool_calls").await;
    app.post(&format!("{path}?role=user&content=%00")).refused(400, "invalid_character", "content").await;
    assert_eq!(app.get(&path).expect(200).await.array().len(), 0, "nothing half done");
}

#[tokio::test]
async fn what_is_just_within_the_limits_is_stored() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    let path = messages_of(conversation);
    let largest = json!({
        "role": "assistant",
        "content": "\"".repeat(1 << 20),
        "tool_calls": ["x".repeat((256 << 10) - 4)],
        "metadata": {"x": "x".repeat((256 << 10) - 8)},
        "name": "x".repeat(1 << 10),
        "tool_call_id": "x".repeat(16 << 10),
    });
    app.post(&path).json(&largest).base64().expect(201).await;
    assert_eq!(app.get(&path).expect(200).await.array()[0]["content"], largest["content"]);
    let deepest = format!(r#"{{"role":"user","tool_calls":{}{}}}"#, "[".repeat(512), "]".repeat(512));
    app.post(&path).body(deepest).expect(201).await;
    let quotes = "\"".repeat(510 << 10);
    let batch = json!({"messages": vec![json!({"role": "user", "content": quotes}); 4]});
    assert_eq!(app.post(&path).json(&batch).base64().expect(201).await.array().len(), 4, "although its quotes do not fit as text");
    let batch = json!({"messages": vec![json!({"role": "user", "content": "x"}); 500]});
    assert_eq!(app.post(&path).json(&batch).expect(201).await.array()[499]["position"], 506);
}

/// A conversation's messages, as positions and contents.
async fn contents(app: &App, path: &str) -> Vec<(i64, String)> {
    let stored = app.get(path).expect(200).await.array();
    let read = |message: &Value| (message["position"].as_i64().unwrap(), message["content"].as_str().unwrap().to_owned());
    stored.iter().map(read).collect()
}

#[tokio::test]
async fn from_replaces_the_end_in_one_step() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    let path = messages_of(conversation);
    let ids: Vec<Uuid> = (0..6).map(|_| Uuid::now_v7()).collect();
    let message = |n: usize, content: &str| json!({"id": ids[n], "role": "user", "content": content});
    let three = json!({"messages": [message(0, "a"), message(1, "b"), message(2, "c")]});
    app.post(&path).json(&three).expect(201).await;
    app.put(&format!("/conversations/{conversation}/summary")).json(&json!({"through": 2, "content": "x"})).expect(200).await;

    // A message may come back with another content, because the one that had its id goes.
    let new_end = json!({"from": 2, "messages": [message(3, "d"), message(2, "C")]});
    let answer = app.post(&path).json(&new_end).expect(201).await;
    assert_eq!(answer.array().iter().map(|message| message["position"].as_i64().unwrap()).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(answer.headers["etag"], "\"4\"", "one change");
    let after = [(1, "a".to_owned()), (4, "d".to_owned()), (5, "C".to_owned())];
    assert_eq!(contents(&app, &path).await, after);
    let read = app.get(&format!("/conversations/{conversation}")).expect(200).await.json();
    assert_eq!((&read["message_count"], &read["summary"]), (&json!(3), &Value::Null), "the summary stood for what went");

    // Again: a replay deletes nothing, not even what came behind.
    app.post(&path).json(&message(4, "e")).expect(201).await;
    let again = app.post(&path).json(&new_end).header("if-match", "\"1\"").expect(200).await;
    assert_eq!((again.headers["idempotent-replayed"].as_str(), again.array()), ("true", answer.array()));
    assert_eq!(contents(&app, &path).await.len(), 4);

    // An id of a message that stays is taken, and then nothing is deleted.
    let taken = json!({"from": 4, "messages": [message(5, "f"), message(0, "A")]});
    app.post(&path).json(&taken).refused(409, "conflict", "messages[1].id").await;
    app.post(&path)
        .json(&json!({"from": 1, "role": "user", "content": "x"}))
        .header("if-match", "\"1\"")
        .refused(412, "precondition_failed", "If-Match")
        .await;
    assert_eq!(contents(&app, &path).await.len(), 4);
    // What stays and is sent again with the same content is not stored again.
    app.post(&path).json(&json!({"from": 4, "messages": [message(0, "a"), message(5, "f")]})).expect(201).await;
    assert_eq!(contents(&app, &path).await, [(1, "a".to_owned()), (7, "f".to_owned())]);

    // Behind the end there is nothing to replace; a single message and the query string work, too.
    app.post(&format!("{path}?role=user&content=g&from=8")).expect(201).await;
    app.post(&path).json(&json!({"role": "user", "content": "h", "from": 1})).expect(201).await;
    assert_eq!(contents(&app, &path).await, [(9, "h".to_owned())]);
    app.post(&path).json(&json!({"role": "user", "content": "x", "from": 1})).by("bob").refused(404, "not_found", None).await;
}

#[tokio::test]
async fn a_message_as_openais_sdks_dump_it_is_stored_and_what_it_has_beside_others_comes_back() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    let path = messages_of(conversation);
    // `ChatCompletionMessage.model_dump()`
    let dumped = json!({
        "id": Uuid::now_v7(), "content": "It rains.", "refusal": null, "role": "assistant", "annotations": [], "audio": null,
        "function_call": null, "tool_calls": null, "reasoning_content": ""
    });
    let plain = app.post(&path).json(&dumped).expect(201).await.json();
    assert_eq!((plain.get("extra"), &plain["content"]), (None, &json!("It rains.")), "{plain}");
    app.post(&path).json(&dumped).expect(200).await;

    let (refused, sound) = (Uuid::now_v7(), json!({"id": "audio_1", "data": "UklG", "expires_at": 1.0, "transcript": "\"Rain\""}));
    let annotations = json!([{"type": "url_citation", "url_citation": {"url": "https://example.com", "start_index": 0}}]);
    let all = json!({
        "id": refused, "role": "assistant", "content": null, "tool_calls": null, "refusal": "I can't say \"rain\".",
        "annotations": annotations, "audio": sound, "function_call": {"name": "rain", "arguments": "{}"}, "reasoning_content": "Hm."
    });
    let extra = json!({
        "refusal": all["refusal"], "annotations": annotations, "audio": sound, "function_call": all["function_call"],
        "reasoning_content": "Hm."
    });
    let stored = app.post(&path).json(&json!({"messages": [dumped, all]})).expect(201).await.array();
    assert_eq!((&stored[1]["content"], &stored[1]["extra"], stored[0].get("extra")), (&json!(""), &extra, None));
    app.post(&path).json(&json!({"messages": [dumped, all]})).expect(200).await;
    let mut other = all.clone();
    other["refusal"] = json!("No.");
    app.post(&path).json(&other).refused(409, "conflict", "id").await;

    // Whatever reads messages has it, and so has a copy.
    let edited = app.patch(&format!("{path}/{refused}")).json(&json!({"content": "rain"})).expect(200).await.json();
    assert_eq!(edited["extra"], extra);
    let read = app.get(&format!("{path}/{refused}")).expect(200).await;
    assert!(read.body.contains(r#""expires_at":1.0"#), "kept as it came: {}", read.body);
    assert_eq!(app.get(&path).expect(200).await.array()[1]["extra"], extra);
    let listed = app.get("/users/ada/conversations?include=last_message").expect(200).await.array();
    assert_eq!(listed[0]["last_message"]["extra"], extra);
    let found = app.get("/users/ada/search?q=rain").expect(200).await.array();
    assert_eq!(found[0]["message"]["extra"], extra);
    let fork = app.post(&format!("/conversations/{conversation}/fork")).json(&json!({})).expect(201).await.json();
    let copied = app.get(&messages_of(fork["id"].as_str().unwrap().parse().unwrap())).expect(200).await.array();
    assert_eq!(copied[1]["extra"], extra);
    let export = app.get("/users/ada/export").expect(200).await.body;
    app.delete("/users/ada").expect(200).await;
    let import = || app.post("/users/ada/import").by_service().header("content-type", "application/x-ndjson").body(&*export);
    assert_eq!(import().expect(200).await.json()["messages"], 4);
    assert_eq!(import().expect(200).await.json()["messages"], 0);
    assert_eq!(app.get(&path).expect(200).await.array()[1]["extra"], extra);
    assert_eq!(app.get("/users/ada/export").expect(200).await.body, export);

    // Its bytes count, and their kinds are checked.
    let one = |name: &str, value: Value| json!({"role": "assistant", "content": "x", name: value});
    for (name, value) in [("refusal", json!(1)), ("annotations", json!({})), ("audio", json!([])), ("function_call", json!("x"))] {
        app.post(&path).json(&one(name, value)).refused(400, "invalid_parameter", name).await;
    }
    let large = "x".repeat(256 << 10);
    app.post(&path).json(&one("reasoning_content", json!(large))).refused(413, "payload_too_large", "reasoning_content").await;
    let beside = json!({"messages": [dumped], "refusal": "No."});
    app.post(&path).json(&beside).refused(400, "ambiguous_parameter", "refusal").await;
}
