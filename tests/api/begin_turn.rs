//! `POST /conversations/{conversation_id}/turn`

use serde_json::{Value, json};
use uuid::Uuid;

use crate::concurrency::all_at_once;
use crate::support::{Answer, App};

fn new_id() -> String {
    Uuid::now_v7().to_string()
}

fn positions(context: &Value) -> Vec<i64> {
    context["messages"].as_array().unwrap().iter().map(|message| message["position"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_turn_is_what_three_requests_would_do() {
    let app = App::start().await;
    let (id, question, reply) = (new_id(), new_id(), new_id());
    let path = format!("/conversations/{id}");
    let body = json!({
        "id": question, "role": "user", "content": "Is it raining in Oslo?", "reply_id": reply,
        "conversation": {"title": "Rain", "metadata": {"a": 1}, "expires_in": 3600}, "context": {"format": "openai"},
    });
    let begun = app.post(&format!("{path}/turn")).json(&body).by_service();
    // A back end says for whom.
    begun.clone().refused(400, "missing_parameter", "conversation.user_id").await;
    let mut body = body;
    body["conversation"]["user_id"] = json!("ada");
    let begun = app.post(&format!("{path}/turn")).json(&body).by_service().expect(201).await;
    assert_eq!((begun.headers["etag"].as_str(), begun.headers.get("idempotent-replayed")), ("\"2\"", None));
    let turn = begun.json();
    assert_eq!(turn["messages"], Value::from(vec![app.get(&format!("{path}/messages/{question}")).expect(200).await.json()]));
    assert_eq!(turn["reply"], app.get(&format!("{path}/messages/{reply}")).expect(200).await.json());
    assert_eq!(
        (&turn["reply"]["status"], &turn["reply"]["content"], &turn["reply"]["position"]),
        (&json!("in_progress"), &json!(""), &json!(2))
    );
    assert_eq!(turn["conversation"], app.get(&path).expect(200).await.json());
    assert_eq!((&turn["conversation"]["user_id"], &turn["conversation"]["title"]), (&json!("ada"), &json!("Rain")));
    assert_eq!(turn["context"], app.get(&format!("{path}/context?format=openai")).expect(200).await.json());
    assert_eq!(turn["context"]["messages"], json!([{"role": "user", "content": "Is it raining in Oslo?"}]));

    // The next one: several messages, no conversation, no reply, and limits.
    app.patch(&format!("{path}/messages/{reply}"))
        .json(&json!({"append": "Yes.", "at": 0, "status": "complete"}))
        .by_service()
        .expect(200)
        .await;
    let two = json!({"messages": [{"role": "user", "content": "And"}, {"role": "user", "content": "in Bergen?"}], "context": {"max_messages": 2}});
    let next = app.post(&format!("{path}/turn")).json(&two).expect(201).await.json();
    assert_eq!((positions(&next["context"]), &next["context"]["omitted"]), (vec![3, 4], &json!(2)));
    assert_eq!(next["context"], app.get(&format!("{path}/context?max_messages=2")).expect(200).await.json());
    assert_eq!(next.as_object().unwrap().keys().collect::<Vec<_>>(), ["context", "messages"]);
    assert_eq!(next["messages"].as_array().unwrap().len(), 2);
    // One that replaces them. The conversation that is there stays as it is.
    let instead = json!({"role": "user", "content": "And in Bergen?", "from": 3, "conversation": {"title": "Another"}});
    let replaced = app.post(&format!("{path}/turn")).json(&instead).expect(201).await.json();
    assert_eq!(positions(&replaced["context"]), [1, 2, 5]);
    assert_eq!((&replaced["conversation"]["title"], &replaced["conversation"]["message_count"]), (&json!("Rain"), &json!(3)));
}

#[tokio::test]
async fn a_turn_that_comes_again_is_answered_with_the_reply_and_the_context_as_they_are_now() {
    let app = App::start().await;
    let path = format!("/conversations/{}", new_id());
    let reply = new_id();
    let body = json!({"id": new_id(), "role": "user", "content": "Rain?", "reply_id": reply, "conversation": {"user_id": "ada"}});
    let again = || app.post(&format!("{path}/turn")).json(&body).by_service();
    let first = again().expect(201).await;
    let is_replay = |answer: &Answer| answer.headers.get("idempotent-replayed").map(String::as_str) == Some("true");
    let second = again().expect(200).await;
    assert!(is_replay(&second));
    assert_eq!((second.json(), &second.headers["etag"]), (first.json(), &first.headers["etag"]));

    // The reply is written, and another message comes. The version is the one that a conditional write of this caller would know.
    let piece = json!({"append": "It is.", "at": 0, "status": "complete"});
    app.patch(&format!("{path}/messages/{reply}")).json(&piece).by_service().expect(200).await;
    app.post(&format!("{path}/messages?role=user&content=Thanks")).by("ada").expect(201).await;
    let late = again().expect(200).await;
    assert!(is_replay(&late));
    assert_eq!(late.headers["etag"], "\"2\"");
    let (late, stored) = (late.json(), app.get(&format!("{path}/messages/{reply}")).by("ada").expect(200).await.json());
    assert_eq!((&late["reply"], &late["messages"]), (&stored, &first.json()["messages"]));
    assert_eq!((positions(&late["context"]), &late["conversation"]["message_count"]), (vec![1, 2, 3], &json!(3)));
    assert_eq!(app.get(&format!("{path}/messages")).by("ada").expect(200).await.array().len(), 3);

    // That reply is not the reply to another message.
    let other = json!({"role": "user", "content": "Snow?", "reply_id": reply});
    app.post(&format!("{path}/turn")).json(&other).by_service().refused(409, "conflict", "reply_id").await;
    let question = json!({"role": "user", "content": "Snow?", "reply_id": body["id"]});
    app.post(&format!("{path}/turn")).json(&question).by_service().refused(409, "conflict", "reply_id").await;
    // Nor to one that was stored behind it.
    let later = app
        .post(&format!("{path}/messages"))
        .json(&json!({"id": new_id(), "role": "user", "content": "Snow?"}))
        .expect(201)
        .await
        .json();
    let taken = json!({"id": later["id"], "role": "user", "content": "Snow?", "reply_id": reply});
    app.post(&format!("{path}/turn")).json(&taken).by_service().refused(409, "conflict", "reply_id").await;
    // Unless it goes with what is replaced.
    let instead = json!({"role": "user", "content": "Snow?", "reply_id": reply, "from": 2});
    let replaced = app.post(&format!("{path}/turn")).json(&instead).by_service().expect(201).await.json();
    assert_eq!((&replaced["reply"]["content"], &replaced["reply"]["position"]), (&json!(""), &json!(6)));
}

#[tokio::test]
async fn a_turn_that_is_refused_leaves_nothing() {
    let app = App::start().await;
    let there = app.conversation().await;
    let stored = app.post(&format!("/conversations/{there}/messages?role=user&content=x")).expect(201).await.json();
    let new = format!("/conversations/{}", new_id());
    let (path, turn) = (format!("/conversations/{there}/turn"), format!("{new}/turn"));
    let nothing_is_new = async || {
        app.get(&new).refused(404, "not_found", None).await;
        assert_eq!(app.get("/users/ada/conversations").expect(200).await.array().len(), 1);
        assert_eq!(app.get(&format!("/conversations/{there}")).expect(200).await.json()["message_count"], 1);
    };
    let said = |more: Value| {
        let mut body = json!({"role": "user", "content": "x"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let created = said(json!({"conversation": {}}));
    app.post(&turn).json(&created).header("if-match", "\"7\"").refused(412, "precondition_failed", "If-Match").await;
    nothing_is_new().await;
    app.post(&turn).json(&said(json!({"conversation": {}, "from": 2}))).refused(400, "invalid_parameter", "from").await;
    nothing_is_new().await;
    app.post(&turn).json(&said(json!({}))).refused(404, "not_found", None).await;
    app.post(&path).json(&said(json!({"id": stored["id"], "content": "y"}))).refused(409, "conflict", "id").await;
    let two = json!({"messages": [{"role": "user", "content": "1"}, {"id": stored["id"], "role": "user", "content": "2"}]});
    app.post(&path).json(&two).refused(409, "conflict", "messages[1].id").await;
    // Another user's conversation: with `conversation`, its id is taken; without, it is not there.
    app.post(&path).json(&created).by("bob").refused(409, "conflict", "conversation_id").await;
    app.post(&path).json(&said(json!({}))).by("bob").refused(404, "not_found", None).await;
    app.post(&turn).json(&said(json!({"conversation": {"user_id": "bob"}}))).refused(403, "forbidden", None).await;
    for (wrong, param) in [
        (json!({"context": {"max_messages": 0}}), "context.max_messages"),
        (json!({"context": {"format": "xml"}}), "context.format"),
        (json!({"context": 7}), "context"),
        (json!({"conversation": "x"}), "conversation"),
        (json!({"conversation": {"expires_in": 1}}), "conversation.expires_in"),
        (json!({"from": 0}), "from"),
    ] {
        app.post(&turn).json(&said(wrong)).refused(400, "invalid_parameter", param).await;
    }
    for (wrong, code, param) in [
        (json!({"context": {"max": 1}}), "unknown_parameter", "context.max"),
        (json!({"conversation": {"id": new_id()}}), "unknown_parameter", "conversation.id"),
        (json!({"reply_id": "x"}), "invalid_uuid", "reply_id"),
        (json!({"messages": []}), "invalid_parameter", "messages"),
        (json!({"messages": [{"role": "user", "content": "x"}]}), "ambiguous_parameter", "role"),
        (json!({"role": null}), "missing_parameter", "role"),
    ] {
        app.post(&turn).json(&said(wrong)).refused(400, code, param).await;
    }
    let twice = new_id();
    app.post(&turn)
        .json(&said(json!({"id": twice, "reply_id": twice})))
        .by_service()
        .refused(400, "invalid_parameter", "reply_id")
        .await;
    app.post(&format!("{turn}?context=x&role=user&content=x")).refused(400, "invalid_parameter", "context").await;
    app.post(&turn).by_nobody().json(&created).refused(401, "unauthenticated", None).await;
    nothing_is_new().await;
}

#[tokio::test]
async fn turns_at_once_are_one_behind_the_other() {
    let app = App::with_instances(4).await;
    let path = format!("/conversations/{}", new_id());
    let turn = |n: usize| {
        let body = json!({"role": "user", "content": format!("{n}"), "conversation": {}, "context": {"max_messages": 1}});
        app.post(&format!("{path}/turn")).json(&body)
    };
    let answers = all_at_once((0..8).map(turn).collect()).await;
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
    let mut at: Vec<i64> = answers.iter().map(|answer| answer.json()["messages"][0]["position"].as_i64().unwrap()).collect();
    for answer in &answers {
        // No other message came between the append and the context.
        let turn = answer.json();
        assert_eq!(positions(&turn["context"]), [turn["messages"][0]["position"].as_i64().unwrap()]);
        assert_eq!(turn["context"]["omitted"], turn["messages"][0]["position"].as_i64().unwrap() - 1);
    }
    at.sort_unstable();
    assert_eq!(at, (1..=8).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_answered_fits_in_a_response() {
    let app = App::start().await;
    let path = format!("/conversations/{}", app.conversation().await);
    // Quotes take two bytes in JSON, and three on the way through API Gateway.
    let long = |bytes: usize| "\"".repeat(bytes);
    for _ in 0..4 {
        app.post(&format!("{path}/messages")).json(&json!({"role": "user", "content": long(400_000)})).expect(201).await;
    }
    let turn = app.post(&format!("{path}/turn")).json(&json!({"role": "user", "content": long(700_000)})).expect(201).await;
    let json = turn.json();
    assert_eq!((positions(&json["context"]), &json["messages"][0]["position"]), (vec![3, 4, 5], &json!(5)));
    assert!(turn.body.len() < 4_490_000, "{}", turn.body.len());
    // The results of tools that a model has asked for are in the context behind them, however long they are.
    let path = format!("/conversations/{}", app.conversation().await);
    let call = |n: usize| json!({"id": format!("call_{n}"), "type": "function", "function": {"name": "read", "arguments": "{}"}});
    let asked = json!({"role": "assistant", "content": null, "tool_calls": [call(1), call(2)]});
    let asked = json!({"messages": [{"role": "user", "content": "What do they say?"}, asked]});
    app.post(&format!("{path}/messages")).json(&asked).by_service().expect(201).await;
    let result = |n: usize| json!({"role": "tool", "tool_call_id": format!("call_{n}"), "content": "x".repeat(1_000_000)});
    let both = json!({"messages": [result(1), result(2)]});
    let turn = app.post(&format!("{path}/turn")).json(&both).by_service().expect(201).await.json();
    assert_eq!(positions(&turn["context"]), [1, 2, 3, 4]);
    // More is refused before it is stored.
    let four = json!({"messages": [result(1), result(2), {"role": "user", "content": "x".repeat(200_000)}]});
    let refused = app.post(&format!("{path}/turn")).json(&four).by_service().refused(413, "payload_too_large", None).await;
    assert!(refused.json()["detail"].as_str().unwrap().contains("get-context"), "{}", refused.body);
    assert_eq!(app.get(&format!("{path}/messages?last=1")).expect(200).await.array()[0]["position"], 4);
    // An old question leaves less room.
    let other = format!("/conversations/{}", app.conversation().await);
    app.post(&format!("{other}/messages")).json(&json!({"role": "user", "content": long(1_000_000)})).expect(201).await;
    let answer = json!({"id": new_id(), "role": "assistant", "content": long(1_000_000)});
    for status in [201, 200] {
        let turn = app.post(&format!("{other}/turn")).json(&answer).by_service().expect(status).await.json();
        assert_eq!(positions(&turn["context"]), [1]);
    }
}

#[tokio::test]
async fn only_who_may_write_a_reply_may_give_it_a_place() {
    let mut app = App::start().await;
    app.set("USER_ROLES", "user");
    let path = format!("/conversations/{}/turn", new_id());
    let turn = json!({"role": "user", "content": "x", "reply_id": new_id(), "conversation": {"user_id": "ada"}});
    app.post(&path).json(&turn).refused(403, "forbidden", "reply_id").await;
    let system = json!({"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "x"}], "conversation": {}});
    app.post(&path).json(&system).refused(403, "forbidden", "messages[1].role").await;
    app.post(&path).json(&turn).by_service().expect(201).await;
    app.post(&path).json(&json!({"role": "user", "content": "y"})).expect(201).await;
}
