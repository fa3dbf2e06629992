//! Replies that are still being written: `status`, `append` and `at`, and who reads what of them.

use serde_json::{Value, json};

use crate::support::App;

/// A reply that has been begun: the paths of its conversation and of itself.
async fn begin(app: &App) -> (String, String) {
    let conversation = format!("/conversations/{}", app.conversation().await);
    app.post(&format!("{conversation}/messages?role=user&content=question")).expect(201).await;
    let reply = app.post(&format!("{conversation}/messages?role=assistant&status=in_progress")).expect(201).await.json();
    assert_eq!((&reply["status"], &reply["content"]), (&json!("in_progress"), &json!("")));
    let path = format!("{conversation}/messages/{}", reply["id"].as_str().unwrap());
    (conversation, path)
}

/// Makes it so that nobody has touched the reply for a minute.
async fn abandon(app: &App) {
    let superuser = app.superuser().await;
    let edit = "update messages set updated_at = updated_at - interval '60 seconds', alive_at = alive_at - interval '60 seconds'
        where in_progress";
    superuser.batch_execute(edit).await.unwrap();
}

#[tokio::test]
async fn a_piece_is_appended_once_at_its_place() {
    let app = App::start().await;
    let (_, path) = begin(&app).await;
    let piece = |text: &str, at: usize| json!({"append": text, "at": at});
    let first = app.patch(&path).json(&piece("Ré🌧", 0)).expect(200).await;
    assert_eq!((&first.json()["content"], &first.json()["status"]), (&json!("Ré🌧"), &json!("in_progress")));
    let etag = first.headers["etag"].clone();
    let again = app.patch(&path).json(&piece("Ré🌧", 0)).header("if-match", "\"1\"").expect(200).await;
    assert_eq!((again.json(), &again.headers["etag"]), (first.json(), &etag), "not applied twice, and not a change");

    // Places count characters. A gap, another text at a place, and an empty piece at another place are refused with the length.
    for refused in [piece("x", 4), piece("x", 2), piece("", 2), piece("🌧x", 2), piece("x", 2_147_483_647)] {
        let answer = app.patch(&path).json(&refused).refused(409, "conflict", "at").await;
        assert_eq!(answer.json()["length"], 3, "{refused}");
    }
    app.patch(&path).json(&piece("x", 3)).header("if-match", "\"1\"").refused(412, "precondition_failed", "If-Match").await;
    let last =
        app.patch(&path).json(&json!({"append": " in Oslo", "at": 3, "status": "complete", "token_count": 7})).expect(200).await;
    let last = last.json();
    assert_eq!((&last["content"], &last["status"], &last["token_count"]), (&json!("Ré🌧 in Oslo"), &json!("complete"), &json!(7)));

    // What comes late is not applied, and does not open the reply again.
    let late = app.patch(&path).json(&json!({"append": "é🌧", "at": 1, "status": "in_progress"})).expect(200).await;
    assert_eq!(late.json(), last);
    let again = json!({"append": " in Oslo", "at": 3, "status": "complete", "token_count": 7});
    assert_eq!(app.patch(&path).json(&again).expect(200).await.json(), last);
}

#[tokio::test]
async fn what_comes_with_a_repeated_piece_is_done_once_and_under_its_condition() {
    let app = App::start().await;
    let (_, path) = begin(&app).await;
    let etag = app.patch(&path).json(&json!({"append": "abc", "at": 0})).expect(200).await.headers["etag"].clone();
    let more = json!({"append": "abc", "at": 0, "status": "complete", "metadata": {"n": 1}, "token_count": 7});
    app.patch(&path).json(&more).header("if-match", "\"999\"").refused(412, "precondition_failed", "If-Match").await;
    let done = app.patch(&path).json(&more).header("if-match", &etag).expect(200).await;
    let message = done.json();
    assert_eq!((&message["content"], &message["status"]), (&json!("abc"), &json!("complete")));
    assert_eq!((&message["metadata"], &message["token_count"]), (&json!({"n": 1}), &json!(7)));
    // The answer was lost.
    let again = app.patch(&path).json(&more).header("if-match", &etag).expect(200).await;
    assert_eq!((again.json(), &again.headers["etag"]), (message, &done.headers["etag"]));
}

#[tokio::test]
async fn a_status_alone_ends_a_reply_or_opens_it_again() {
    let app = App::start().await;
    let (conversation, path) = begin(&app).await;
    let status = async |status: &str| app.patch(&path).json(&json!({"status": status})).expect(200).await;
    let done = status("complete").await;
    assert_eq!(done.json()["status"], "complete");
    assert_eq!(status("complete").await.headers["etag"], done.headers["etag"], "nothing to change");
    assert_eq!(status("in_progress").await.json()["status"], "in_progress");
    assert_eq!(app.patch(&format!("{path}?append=x&at=0&status=complete")).expect(200).await.json()["content"], "x");
    // A message that is stored again is the same message, whatever has become of it.
    let (id, messages) = (path.rsplit('/').next().unwrap(), format!("{conversation}/messages"));
    let again = json!({"id": id, "role": "assistant", "content": "x", "status": "in_progress"});
    assert_eq!(app.post(&messages).json(&again).expect(200).await.json()["status"], "complete");
}

#[tokio::test]
async fn only_a_text_grows_and_no_further_than_a_message_may() {
    let app = App::start().await;
    let (conversation, path) = begin(&app).await;
    let parts = json!({"role": "assistant", "content": [{"type": "text", "text": "x"}], "status": "in_progress"});
    let parts = app.post(&format!("{conversation}/messages")).json(&parts).expect(201).await.json();
    let parts = format!("{conversation}/messages/{}", parts["id"].as_str().unwrap());
    app.patch(&parts).json(&json!({"append": "x", "at": 0})).refused(400, "invalid_parameter", "append").await;
    let call = json!({"role": "assistant", "tool_calls": [{"id": "a"}], "status": "in_progress"});
    let call = app.post(&format!("{conversation}/messages")).json(&call).expect(201).await.json();
    assert_eq!(call["content"], Value::Null);
    let call = format!("{conversation}/messages/{}", call["id"].as_str().unwrap());
    assert_eq!(app.patch(&call).json(&json!({"append": "x", "at": 0})).expect(200).await.json()["content"], "x");

    app.patch(&path).json(&json!({"append": "x".repeat((1 << 20) - 1), "at": 0})).expect(200).await;
    app.patch(&path).json(&json!({"append": "é", "at": (1 << 20) - 1})).refused(413, "payload_too_large", "append").await;
    app.patch(&path).json(&json!({"append": "y", "at": (1 << 20) - 1})).expect(200).await;

    // A control character is six in JSON. So many of them would fit in no response.
    let piece = "\u{1}".repeat(500_000);
    app.patch(&path).json(&json!({"content": piece})).expect(200).await;
    app.patch(&path).json(&json!({"append": piece, "at": 500_000})).refused(413, "payload_too_large", "append").await;
    assert_eq!(app.get(&path).expect(200).await.json()["content"], piece);
}

#[tokio::test]
async fn contexts_leave_a_reply_out_until_it_is_complete_and_everything_else_shows_it() {
    let app = App::start().await;
    let (conversation, path) = begin(&app).await;
    app.patch(&path).json(&json!({"append": "It rains.", "at": 0})).expect(200).await;
    let context = async || app.get(&format!("{conversation}/context")).expect(200).await.json();
    let shown = async || {
        let history = app.get(&format!("{conversation}/messages")).expect(200).await.array();
        let found = app.get("/users/ada/search?q=rains").expect(200).await.array();
        let read = app.get(&path).expect(200).await.json();
        assert_eq!((&history[1], &found[0]["message"]), (&read, &read));
        read["status"].as_str().unwrap().to_owned()
    };
    for status in ["in_progress", "incomplete"] {
        assert_eq!(shown().await, status);
        let context = context().await;
        assert_eq!(context["messages"].as_array().unwrap().len(), 1, "{context}");
        assert_eq!((&context["omitted"], &context["messages"][0]["content"]), (&json!(0), &json!("question")));
        abandon(&app).await;
    }
    // A lost writer does not keep the conversation from going on.
    app.post(&format!("{conversation}/messages?role=user&content=again")).expect(201).await;
    let positions: Vec<i64> =
        context().await["messages"].as_array().unwrap().iter().map(|message| message["position"].as_i64().unwrap()).collect();
    assert_eq!(positions, [1, 3]);
    // A summary stands for complete messages, and is void when one that it passed over is ended.
    app.put(&format!("{conversation}/summary")).json(&json!({"through": 2, "content": "x"})).expect(200).await;
    let limited = app.get(&format!("{conversation}/context?max_messages=1")).expect(200).await.json();
    assert_eq!((&limited["summary"]["through"], &limited["omitted"]), (&json!(2), &json!(0)), "{limited}");
    app.patch(&path).json(&json!({"status": "complete"})).expect(200).await;
    assert_eq!(shown().await, "complete");
    assert!(app.get(&conversation).expect(200).await.json()["summary"].is_null());
    assert_eq!(context().await["messages"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_reply_that_its_reader_stops_ends_with_what_it_has_and_contexts_have_it() {
    let mut app = App::start().await;
    app.set("USER_ROLES", "user");
    let conversation = format!("/conversations/{}", app.conversation().await);
    app.post(&format!("{conversation}/messages?role=user&content=question")).expect(201).await;
    let begin = format!("{conversation}/messages?role=assistant&status=in_progress");
    let reply = app.post(&begin).by_service().expect(201).await.json();
    let path = format!("{conversation}/messages/{}", reply["id"].as_str().unwrap());
    let write = |body: Value| app.patch(&path).json(&body).by_service();
    write(json!({"append": "It rains", "at": 0, "token_count": 2})).expect(200).await;
    let read = app.get(&path).expect(200).await;
    app.put(&format!("{conversation}/summary")).json(&json!({"through": 2, "content": "x"})).by_service().expect(200).await;

    // The reader may write no assistant's messages, and so may neither end the reply nor add to it.
    for refused in [json!({"status": "complete"}), json!({"status": "cancelled", "append": "!", "at": 8})] {
        let param = if refused["append"].is_null() { "status" } else { "append" };
        app.patch(&path).json(&refused).refused(403, "forbidden", param).await;
    }
    let cancel = || app.patch(&path).json(&json!({"status": "cancelled"}));
    cancel().by("bob").refused(404, "not_found", None).await;
    cancel().header("if-match", "\"1\"").refused(412, "precondition_failed", "If-Match").await;
    let stopped = cancel().expect(200).await;
    let message = stopped.json();
    assert_eq!(
        (&message["content"], &message["status"], &message["token_count"]),
        (&json!("It rains"), &json!("cancelled"), &json!(2))
    );
    assert_ne!(stopped.headers["etag"], read.headers["etag"], "a follower is told");
    // Its answer was lost.
    for again in [cancel(), cancel().header("if-match", "\"1\""), write(json!({"status": "cancelled"}))] {
        let again = again.expect(200).await;
        assert_eq!((again.json(), &again.headers["etag"]), (message.clone(), &stopped.headers["etag"]));
    }

    // The writer is told with its next piece, its end, or a sign of life. A piece that was stored before is not new.
    let stale = read.headers["etag"].clone();
    for more in [
        json!({"append": ".", "at": 8}),
        json!({"append": ".", "at": 8, "status": "complete"}),
        json!({"append": ".", "at": 9}),
        json!({"append": "", "at": 8}),
        json!({"append": "It rains", "at": 0, "status": "complete"}),
        json!({"status": "complete", "token_count": 9}),
        json!({"status": "in_progress"}),
        json!({"content": "It rains.", "status": "in_progress"}),
    ] {
        write(more.clone()).refused(409, "cancelled", "status").await;
        write(more).header("if-match", &*stale).refused(409, "cancelled", "status").await;
    }
    let repeated = write(json!({"append": "It rains", "at": 0, "status": "in_progress"})).expect(200).await;
    assert_eq!((repeated.json(), &repeated.headers["etag"]), (message.clone(), &stopped.headers["etag"]));

    // Everything shows it, and contexts have it. A summary that had passed it over is void.
    let history = app.get(&format!("{conversation}/messages")).expect(200).await.array();
    let found = app.get("/users/ada/search?q=rains").expect(200).await.array();
    assert_eq!((&history[1], &found[0]["message"], &app.get(&path).expect(200).await.json()), (&message, &message, &message));
    let context = app.get(&format!("{conversation}/context")).expect(200).await.json();
    assert_eq!((&context["messages"][1]["content"], &context["omitted"]), (&json!("It rains"), &json!(0)), "{context}");
    assert!(context["summary"].is_null(), "{context}");
    // It is a message like others, which can be edited.
    let edited = write(json!({"content": "It rains.", "metadata": {"n": 1}})).expect(200).await.json();
    assert_eq!((&edited["content"], &edited["status"]), (&json!("It rains."), &json!("cancelled")));
    let fork = app.post(&format!("{conversation}/fork")).expect(201).await.json();
    let copy = app.get(&format!("/conversations/{}/messages", fork["id"].as_str().unwrap())).expect(200).await.array();
    assert_eq!(copy[1]["status"], "cancelled");
}

#[tokio::test]
async fn only_a_reply_that_is_being_written_can_be_cancelled() {
    let app = App::start().await;
    let (conversation, path) = begin(&app).await;
    let messages = format!("{conversation}/messages");
    let new = json!({"role": "assistant", "content": "x", "status": "cancelled"});
    app.post(&messages).json(&new).refused(400, "invalid_parameter", "status").await;
    app.post(&messages).json(&json!({"messages": [new]})).refused(400, "invalid_parameter", "messages[0].status").await;
    let question = app.get(&messages).expect(200).await.array()[0]["id"].as_str().unwrap().to_owned();
    let version = app.get(&path).expect(200).await.headers["etag"].clone();
    let cancel = json!({"status": "cancelled", "metadata": {"n": 1}});
    app.patch(&format!("{messages}/{question}")).json(&cancel).refused(409, "conflict", "status").await;
    assert_eq!(app.get(&path).expect(200).await.headers["etag"], version, "nothing of it is done");

    // A reply that has lost its writer can be. The writer may say so, with its last piece.
    abandon(&app).await;
    let piece = json!({"append": "x", "at": 0, "status": "cancelled", "token_count": 1});
    let cancelled = app.patch(&path).json(&piece).expect(200).await.json();
    assert_eq!((&cancelled["content"], &cancelled["status"]), (&json!("x"), &json!("cancelled")));
    assert_eq!(app.patch(&path).json(&piece).expect(200).await.json(), cancelled, "its answer was lost");
    let (_, path) = begin(&app).await;
    app.patch(&path).json(&json!({"append": "x", "at": 0, "status": "complete"})).expect(200).await;
    app.patch(&path).json(&json!({"status": "cancelled"})).refused(409, "conflict", "status").await;
}

#[tokio::test]
async fn a_reader_learns_that_the_writer_is_lost() {
    let app = App::start().await;
    let (conversation, path) = begin(&app).await;
    let messages = format!("{conversation}/messages");
    let etag = app.get(&path).expect(200).await.headers["etag"].clone();
    for path in [&path, &messages] {
        app.get(path).header("if-none-match", &*etag).expect(304).await;
    }
    abandon(&app).await;
    // No version has moved, but what a reader is told has changed. This is told once.
    let read = app.get(&path).header("if-none-match", &*etag).expect(200).await;
    let lost = read.headers["etag"].clone();
    assert_eq!(read.json()["status"], "incomplete");
    let history = app.get(&messages).header("if-none-match", &*etag).expect(200).await;
    assert_eq!((history.array()[1]["status"].as_str(), &history.headers["etag"]), (Some("incomplete"), &lost));
    for path in [&path, &messages] {
        let unchanged = app.get(path).header("if-none-match", &*lost).expect(304).await;
        assert_eq!(unchanged.headers["etag"], lost);
    }
    // A write goes by the version. A conversation and a context show nothing of it.
    app.patch(&conversation).json(&json!({})).header("if-match", &*lost).expect(200).await;
    for path in [conversation.clone(), format!("{conversation}/context")] {
        assert_eq!(app.get(&path).header("if-none-match", &*lost).expect(200).await.headers["etag"], etag);
        app.get(&path).header("if-none-match", &*etag).expect(304).await;
    }
    // A writer that is back goes on.
    assert_eq!(app.patch(&path).json(&json!({"append": "x", "at": 0})).expect(200).await.json()["status"], "in_progress");
    let etag = app.get(&path).expect(200).await.headers["etag"].clone();
    app.get(&path).header("if-none-match", &*etag).expect(304).await;
}

#[tokio::test]
async fn each_state_of_a_history_has_an_etag_of_its_own() {
    let app = App::start().await;
    let conversation = format!("/conversations/{}", app.conversation().await);
    let messages = format!("{conversation}/messages");
    let mut replies = Vec::new();
    for _ in 0..4 {
        let reply = app.post(&format!("{messages}?role=assistant&status=in_progress")).expect(201).await.json();
        replies.push(format!("{messages}/{}", reply["id"].as_str().unwrap()));
    }
    let superuser = app.superuser().await;
    // Each set of replies that have lost their writers, in an order in which writers come back without a change of the version.
    let mut seen: Vec<(String, String)> = Vec::new();
    for set in (0..16_u32).chain([6, 9, 0, 15]) {
        let lost: Vec<String> = (0..4).filter(|bit| set >> bit & 1 == 1).map(|bit: u32| (bit + 1).to_string()).collect();
        let alive = format!(
            "update messages set alive_at = now() - case when position = any ('{{{}}}') then interval '60 seconds' else '0' end",
            lost.join(",")
        );
        superuser.batch_execute(&alive).await.unwrap();
        let page = app.get(&messages).expect(200).await;
        let shown: Vec<String> = page.array().iter().map(|message| message["status"].as_str().unwrap().to_owned()).collect();
        let expected: Vec<&str> = (0..4).map(|bit| if set >> bit & 1 == 1 { "incomplete" } else { "in_progress" }).collect();
        assert_eq!(shown, expected);
        let etag = page.headers["etag"].clone();
        app.get(&messages).header("if-none-match", &*etag).expect(304).await;
        for (body, known) in &seen {
            assert_eq!(*known == etag, *body == page.body, "{known} and {etag}");
            let again = app.get(&messages).header("if-none-match", &**known).send().await;
            assert_eq!(again.status, if *body == page.body { 304 } else { 200 });
        }
        seen.push((page.body, etag));
    }
    // A message's ETag is about that message alone.
    let (read, other) = (app.get(&replies[0]).expect(200).await, app.get(&replies[1]).expect(200).await);
    assert_ne!(read.headers["etag"], other.headers["etag"]);
}

#[tokio::test]
async fn an_empty_piece_keeps_a_silent_reply_alive_and_changes_nothing_else() {
    let app = App::start().await;
    let (conversation, path) = begin(&app).await;
    let messages = format!("{conversation}/messages");
    app.patch(&path).json(&json!({"append": "Hm", "at": 0, "token_count": 1})).expect(200).await;
    app.put(&format!("{conversation}/summary")).json(&json!({"through": 2, "content": "x"})).expect(200).await;
    let beat = |at: usize| app.patch(&path).json(&json!({"append": "", "at": at}));
    let state = async || {
        let (read, history) = (app.get(&path).expect(200).await, app.get(&messages).expect(200).await);
        let conversation = app.get(&conversation).expect(200).await.json();
        (read.body, read.headers["etag"].clone(), history.body, history.headers["etag"].clone(), conversation)
    };
    let before = state().await;
    assert_eq!(beat(2).expect(200).await.json(), app.get(&path).expect(200).await.json());
    assert_eq!(state().await, before);
    app.get(&path).header("if-none-match", &*before.1).expect(304).await;

    // 59 s after the piece it says that it is there, and 2 s later it still is.
    let superuser = app.superuser().await;
    let age = async |seconds: u32| {
        let edit = format!(
            "update messages set updated_at = updated_at - interval '{seconds} seconds',
            alive_at = alive_at - interval '{seconds} seconds' where in_progress"
        );
        superuser.batch_execute(&edit).await.unwrap();
    };
    age(59).await;
    beat(2).expect(200).await;
    age(2).await;
    assert_eq!(app.get(&path).expect(200).await.json()["status"], "in_progress");
    let before = state().await;
    age(58).await;
    assert_eq!(app.get(&path).expect(200).await.json()["status"], "incomplete");
    // One that was lost is as it was before that. So is its ETag, because this is the same state.
    assert_eq!(beat(2).expect(200).await.json()["status"], "in_progress");
    age(0).await;
    assert_eq!((state().await.1, state().await.3), (before.1, before.3));

    // At another place it is refused, and it has its condition like each write.
    assert_eq!(beat(1).refused(409, "conflict", "at").await.json()["length"], 2);
    beat(2).header("if-match", "\"1\"").refused(412, "precondition_failed", "If-Match").await;
    // With something else, it changes that alone.
    let more = app.patch(&path).json(&json!({"append": "", "at": 2, "metadata": {"n": 1}})).expect(200).await.json();
    assert_eq!((&more["token_count"], &more["metadata"], &more["content"]), (&json!(1), &json!({"n": 1}), &json!("Hm")));
    let ended = app.patch(&path).json(&json!({"append": "", "at": 2, "status": "complete"})).expect(200).await.json();
    assert_eq!((&ended["token_count"], &ended["status"]), (&json!(1), &json!("complete")));
    // What has ended stays as it is.
    let before = state().await;
    assert_eq!(beat(2).expect(200).await.json(), ended);
    assert_eq!(state().await, before);

    // A reply of content parts or calls has no text, so its place is 0.
    for body in [json!({"content": [{"type": "text", "text": "x"}]}), json!({"tool_calls": [{"id": "a"}]})] {
        let mut begun = json!({"role": "assistant", "status": "in_progress"});
        begun.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let begun = app.post(&messages).json(&begun).expect(201).await.json();
        let path = format!("{messages}/{}", begun["id"].as_str().unwrap());
        abandon(&app).await;
        assert_eq!(app.get(&path).expect(200).await.json()["status"], "incomplete");
        let alive = app.patch(&path).json(&json!({"append": "", "at": 0})).expect(200).await.json();
        assert_eq!((&alive["status"], &alive["content"]), (&json!("in_progress"), &begun["content"]));
        app.patch(&path).json(&json!({"append": "", "at": 1})).refused(409, "conflict", "at").await;
    }
}

/// Waits until a function has looked at a message several times, and found nothing new.
pub async fn is_waiting(app: &App) {
    let superuser = app.superuser().await;
    let mut looks = std::collections::BTreeSet::new();
    while looks.len() < 3 {
        // Between two looks there is no transaction.
        let sessions = "select state, query_start::text from pg_stat_activity
            where datname = current_database() and query like '%get_message(%' and pid <> pg_backend_pid()";
        for session in superuser.query_typed(sessions, &[]).await.unwrap() {
            let (state, started): (String, String) = (session.get(0), session.get(1));
            assert!(!state.contains("in transaction"), "{state}");
            looks.insert(started);
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_reader_waits_for_a_change_or_an_end() {
    let app = App::start().await;
    let (_, path) = begin(&app).await;
    let etag = async || app.get(&path).expect(200).await.headers["etag"].clone();
    let waiting = |from: usize, etag: String| app.get(&format!("{path}?skip={from}&wait=20")).header("if-none-match", etag);

    let changes: [(Value, u16, Value); 3] = [
        (json!({"append": "It ", "at": 0}), 200, json!(["It ", "in_progress"])),
        (json!({"append": "rains", "at": 3}), 200, json!(["rains", "in_progress"])),
        (json!({"status": "cancelled"}), 200, json!(["", "cancelled"])),
    ];
    for (from, (change, status, expected)) in [0, 3, 8].into_iter().zip(changes) {
        let known = etag().await;
        let wait = waiting(from, known.clone()).send();
        let write = async {
            is_waiting(&app).await;
            // A sign of life wakes nobody.
            app.patch(&path).json(&json!({"append": "", "at": from})).expect(200).await;
            is_waiting(&app).await;
            app.patch(&path).json(&change).expect(200).await
        };
        let (read, written) = tokio::join!(wait, write);
        assert_eq!((read.status, &read.headers["etag"]), (status, &written.headers["etag"]));
        assert_eq!(json!([read.json()["content"], read.json()["status"]]), expected);
    }
    // There is nothing to wait for: it has ended, or the caller does not have it.
    waiting(0, etag().await).expect(304).await;
    app.get(&format!("{path}?wait=20")).expect(200).await;
    waiting(0, "\"1\"".to_owned()).expect(200).await;
    let log = app.function("get-message").log();
    for line in log.lines().rev().take(3) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["db"]["statements"], 1, "{line}");
    }
}

#[tokio::test]
async fn a_wait_ends_when_the_writer_is_lost_the_message_is_deleted_or_its_time_is_over() {
    let app = App::start().await;
    let (_, path) = begin(&app).await;
    let known = app.get(&path).expect(200).await.headers["etag"].clone();
    let wait = |seconds: u64| app.get(&format!("{path}?wait={seconds}")).header("if-none-match", &*known);
    let over = wait(1).expect(304).await;
    assert_eq!((over.body.as_str(), &over.headers["etag"]), ("", &known));
    let log = app.function("get-message").log();
    let line: Value = serde_json::from_str(log.lines().next_back().unwrap()).unwrap();
    // At 0, 50, 125, 238, 406, 659 and 1000 ms at most.
    assert!((3..=7).contains(&line["db"]["statements"].as_u64().unwrap()), "{line}");
    assert!(line["duration"]["ms"].as_f64().unwrap() >= 1000.0, "{line}");

    // The function's own time-out is shorter than the wait.
    let (function, event) = wait(20).event();
    let short = std::time::Duration::from_secs(3);
    let cut = app.function(function).invoke_within(short, event.to_string()).await.unwrap();
    assert_eq!(cut["statusCode"], 304);

    let (read, ()) = tokio::join!(wait(20).send(), async {
        is_waiting(&app).await;
        abandon(&app).await;
    });
    assert_eq!((read.status, read.json()["status"].as_str()), (200, Some("incomplete")));
    app.get(&format!("{path}?wait=20")).header("if-none-match", &*read.headers["etag"]).expect(304).await;

    app.patch(&path).json(&json!({"append": "", "at": 0})).expect(200).await;
    let (gone, _) = tokio::join!(wait(20).refused(404, "not_found", None), async {
        is_waiting(&app).await;
        app.delete(&path).expect(204).await
    });
    assert!(gone.body.contains("not_found"));
}

#[tokio::test]
async fn a_stream_of_500_pieces_is_exact_whatever_is_lost_repeated_or_out_of_order() {
    const PIECES: usize = 500;
    let app = App::start().await;
    let mut random = fastrand::Rng::with_seed(std::env::var("SEED").map_or(1, |seed| seed.parse().unwrap()));
    let (_, path) = begin(&app).await;
    let alphabet: Vec<char> = "aé🌧\n\"\\ ß".chars().collect();
    let pieces: Vec<String> =
        (0..PIECES).map(|_| (0..random.usize(1..9)).map(|_| random.choice(&alphabet).unwrap()).collect()).collect();
    let text: String = pieces.concat();
    let place = |piece: usize| pieces[..piece].concat().chars().count();
    let send = |piece: usize, status: Option<&str>| {
        let mut body = json!({"append": pieces[piece], "at": place(piece)});
        if let Some(status) = status {
            body["status"] = json!(status);
        }
        app.patch(&path).json(&body)
    };
    let (mut next, mut read, mut refused) = (0, String::new(), 0);
    while next < PIECES {
        let last = (next == PIECES - 1).then_some("complete");
        match random.u8(0..10) {
            // A piece from far behind comes again, even one that opens a reply.
            0 if next > 0 => assert_eq!(send(random.usize(0..next), Some("in_progress")).send().await.status, 200),
            // A piece overtakes the one before it. The writer learns where it has to go on.
            1 if next + 1 < PIECES => {
                let answer = send(next + 1, None).send().await;
                // A text may by chance hold the same characters at that place only if it is as long.
                assert_eq!((answer.status, answer.json()["length"].as_u64()), (409, u64::try_from(place(next)).ok()));
                refused += 1;
            }
            // The answer is lost, so the writer sends the piece again, and so does another writer.
            2 | 3 => {
                for _ in 0..random.usize(2..4) {
                    send(next, last).expect(200).await;
                }
                next += 1;
            }
            // A reader goes on from what it has.
            4 => {
                let answer = app.get(&format!("{path}?skip={}", read.chars().count())).expect(200).await.json();
                read.push_str(answer["content"].as_str().unwrap());
                assert!(text.starts_with(&read));
            }
            // The writer is killed before it sends the piece. Another one reads where the text ends, and goes on.
            5 => {
                abandon(&app).await;
                let answer = app.get(&path).expect(200).await.json();
                let length = answer["content"].as_str().unwrap().chars().count();
                assert_eq!((answer["status"].as_str(), length), (Some("incomplete"), place(next)));
            }
            _ => {
                send(next, last).expect(200).await;
                next += 1;
            }
        }
    }
    assert!(refused > 10, "{refused}");
    let end = app.get(&path).expect(200).await.json();
    assert_eq!((end["content"].as_str(), end["status"].as_str()), (Some(&*text), Some("complete")));
    send(0, Some("in_progress")).expect(200).await;
    assert_eq!(app.get(&path).expect(200).await.json(), end, "what comes after the end changes nothing");
}
