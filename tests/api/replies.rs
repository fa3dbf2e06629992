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
    let edit = "update messages set updated_at = updated_at - interval '60 seconds' where in_progress";
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
    // No version has moved, but what a reader is told has changed.
    let read = app.get(&path).header("if-none-match", &*etag).expect(200).await;
    assert_eq!((read.json()["status"].as_str(), &read.headers["etag"]), (Some("incomplete"), &etag));
    assert_eq!(app.get(&messages).header("if-none-match", &*etag).expect(200).await.array()[1]["status"], "incomplete");
    // A writer that is back goes on.
    assert_eq!(app.patch(&path).json(&json!({"append": "x", "at": 0})).expect(200).await.json()["status"], "in_progress");
    let etag = app.get(&path).expect(200).await.headers["etag"].clone();
    app.get(&path).header("if-none-match", &*etag).expect(304).await;
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
                let answer = app.get(&format!("{path}?from={}", read.chars().count())).expect(200).await.json();
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
