//! `GET /users/{user_id}/export`

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::erase_user::fill;
use crate::support::{Answer, App, Call};

/// The lines of a page.
pub fn lines(page: &Answer) -> Vec<Value> {
    assert_eq!(page.headers["content-type"], "application/x-ndjson");
    assert!(page.body.is_empty() || page.body.ends_with('\n'));
    page.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// All pages of a user's export, as a back end reads them.
pub async fn export(app: &App, user: &str) -> Vec<Answer> {
    let mut pages = vec![app.get(&format!("/users/{user}/export")).by_service().expect(200).await];
    while let Some(next) = pages.last().unwrap().next().map(str::to_owned) {
        pages.push(app.get(&next).by_service().expect(200).await);
    }
    pages
}

/// A conversation of ada's with this id; its path.
async fn conversation(app: &App, id: &str, more: Value) -> String {
    let mut body = more;
    body["id"] = json!(id);
    app.post("/conversations").json(&body).expect(201).await;
    format!("/conversations/{id}")
}

fn id(first: u8) -> String {
    format!("{first:02x}000000-0000-4000-8000-000000000000")
}

fn put_summary<'a>(app: &'a App, path: &str, through: u64, content: &str) -> Call<'a> {
    app.put(&format!("{path}/summary")).json(&json!({"through": through, "content": content}))
}

#[tokio::test]
async fn everything_of_a_user_is_exported_by_conversation_and_position() {
    let app = App::start().await;
    app.post("/conversations").by("bob").expect(201).await;
    let second = conversation(&app, &id(2), json!({"title": "Rain", "metadata": {"a": [1.50]}, "expires_in": 3600})).await;
    let first = conversation(&app, &id(1), json!({})).await;
    let expired = conversation(&app, &id(3), json!({})).await;
    let messages = format!("{second}/messages");
    let rich = r#"{"messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text",
            "text": "hi"}], "name": "Zoë", "metadata": {"b":1, "a":[2]}, "token_count": 7},
        {"role": "assistant", "tool_calls": [{"id":"c", "n": 1.50E+2}]},
        {"role": "tool", "content": "line\nline", "tool_call_id": "c"},
        {"role": "user", "content": "gone"},
        {"role": "assistant", "content": "half", "status": "in_progress"},
        {"role": "user", "content": "last"}]}"#;
    let stored = app.post(&messages).body(rich).expect(201).await.array();
    for gone in [4, 6] {
        app.delete(&format!("{messages}/{}", stored[gone]["id"].as_str().unwrap())).expect(204).await;
    }
    put_summary(&app, &second, 2, "short").expect(200).await;
    app.put(&format!("{second}/summary")).json(&json!({"through": 4, "content": "longer", "token_count": 3})).expect(200).await;
    app.patch(&second).json(&json!({"archived": true, "pinned": true})).expect(200).await;
    let fork = app.post(&format!("{second}/fork")).json(&json!({"id": id(4), "through": 2})).expect(201).await.json();
    app.post(&format!("{expired}/messages?role=user&content=x")).expect(201).await;
    let end = format!("update conversations set expires_at = now() where id = '{}'", id(3));
    app.superuser().await.batch_execute(&end).await.unwrap();

    let page = app.get("/users/ada/export").expect(200).await;
    assert_eq!(page.next(), None);
    let mut expected = Vec::new();
    let summary = |conversation: &Value, through: u64, content: &str, token_count: Option<u64>, messages: u64| {
        let newest = conversation["summary"]["through"] == through;
        let created_at = if newest { conversation["summary"]["created_at"].clone() } else { Value::Null };
        json!({"through": through, "content": content, "token_count": token_count, "messages": messages, "created_at": created_at})
    };
    for (path, next_position) in [(&first, 1), (&second, 8), (&format!("/conversations/{}", id(4)), 3)] {
        let conversation = app.get(path).expect(200).await.json();
        let summaries = match next_position {
            8 => json!([summary(&conversation, 2, "short", None, 2), summary(&conversation, 4, "longer", Some(3), 4)]),
            3 => json!([summary(&conversation, 2, "short", None, 2)]),
            _ => json!([]),
        };
        expected.push(json!({"conversation": conversation, "summaries": summaries, "next_position": next_position}));
        let messages = app.get(&format!("{path}/messages")).expect(200).await.array();
        expected.extend(messages.into_iter().map(|message| json!({"message": message})));
    }
    let mut found = lines(&page);
    assert!(found[1]["summaries"][0]["created_at"].is_string());
    found[1]["summaries"][0]["created_at"] = Value::Null;
    assert_eq!(found, expected);
    assert_eq!(fork["message_count"], 2);
    // A line break between tokens of JSON would end the line.
    assert!(page.body.contains(r#"[{"type": "text",             "text": "hi"}]"#), "{}", page.body);
    assert!(page.body.contains(r#""metadata":{"b":1, "a":[2]}"#) && page.body.contains(r#"[{"id":"c", "n": 1.50E+2}]"#));
    assert_eq!(app.get("/users/ada/export").by_service().expect(200).await.body, page.body);
}

#[tokio::test]
async fn a_user_exports_what_is_theirs_and_nothing_else() {
    let app = App::start().await;
    app.conversation().await;
    let nothing = app.get("/users/bob/export").by("bob").expect(200).await;
    assert_eq!((lines(&nothing).len(), nothing.next()), (0, None));
    app.get("/users/ada/export").by("bob").refused(403, "forbidden", None).await;
    app.get("/users/ada/export").by_nobody().refused(401, "unauthenticated", None).await;
    app.get("/users/a%0Ab/export").by_service().refused(400, "invalid_character", "user_id").await;
    app.get("/users/ada/export?cursor=x").refused(400, "invalid_parameter", "cursor").await;
    app.get("/users/ada/export").json(&json!({"limit": 1})).refused(400, "unknown_parameter", "limit").await;
    assert_eq!(lines(&app.get("/users/ada/export").by_service().expect(200).await).len(), 1);
    // The cursor of another user's export shows nothing of it.
    fill(&app, "ada", 2, 9_000).await;
    let page = app.get("/users/ada/export").expect(200).await;
    let of_bob = page.next().unwrap().replace("/ada/", "/bob/");
    assert_eq!(app.get(&of_bob).by("bob").expect(200).await.body, "");
}

#[tokio::test]
async fn pages_can_be_sent_back_and_lose_nothing_while_everything_changes() {
    let app = App::start().await;
    fill(&app, "ada", 5, 9_000).await;
    let all = "select c.id::text, m.position from conversations c left join messages m on m.conversation_id = c.id order by 1, 2";
    let superuser = app.superuser().await;
    let stored = async || -> BTreeSet<(String, Option<i64>)> {
        superuser.query_typed(all, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    let before = stored().await;
    let ids: Vec<String> = before.iter().map(|(id, _)| id.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    let (mut pages, mut target) = (Vec::new(), "/users/ada/export".to_owned());
    loop {
        let page = app.get(&target).expect(200).await;
        let next = page.next().map(str::to_owned);
        pages.push(page);
        // Each becomes the most recently updated one in turn.
        let path = format!("/conversations/{}", ids[(7 * pages.len()) % 5]);
        app.post(&format!("{path}/messages?role=user&content=x")).expect(201).await;
        if pages.len() == 2 {
            app.patch(&format!("/conversations/{}", ids[0])).json(&json!({"title": "new"})).expect(200).await;
            conversation(&app, "ffffffff-0000-4000-8000-000000000000", json!({})).await;
        }
        let Some(next) = next else { break };
        target = next;
    }
    assert!(pages.len() > 4, "{}", pages.len());
    let mut found = BTreeSet::new();
    for page in &pages {
        assert!(page.body.len() <= 4 << 20 && page.body.len() > 1000, "{}", page.body.len());
        for line in lines(page) {
            let (conversation, message) = (&line["conversation"]["id"], &line["message"]);
            let key = match conversation.as_str() {
                Some(id) => (id.to_owned(), None),
                None => (message["conversation_id"].as_str().unwrap().to_owned(), message["position"].as_i64()),
            };
            assert!(found.insert(key), "twice: {line}");
        }
    }
    let kept: BTreeSet<_> = before.iter().cloned().collect();
    assert!(kept.is_subset(&found), "{:?}", kept.difference(&found).next());
    assert!(found.contains(&("ffffffff-0000-4000-8000-000000000000".to_owned(), None)), "what was made meanwhile");
    assert_eq!(found.iter().filter(|(_, position)| position.is_none()).count(), 6);
}

#[tokio::test]
async fn a_page_fits_in_a_response_whatever_it_holds() {
    let app = App::start().await;
    let messages = format!("{}/messages", conversation(&app, &id(1), json!({})).await);
    for content in ["\"".repeat(600 << 10), "\\\n".repeat(1 << 19), "é".repeat(1 << 19), "x".repeat(1 << 20)] {
        for _ in 0..3 {
            app.post(&messages).json(&json!({"role": "user", "content": content})).expect(201).await;
        }
    }
    let (mut target, mut contents, mut encoded) = ("/users/ada/export".to_owned(), Vec::new(), 0);
    loop {
        let (_, event) = app.get(&target).event();
        let response = app.function("export-user").invoke(event.to_string()).await.unwrap();
        assert!(response.to_string().len() < 6_000_000);
        encoded += usize::from(response["isBase64Encoded"] == true);
        let page = Answer::read(&response);
        contents.extend(lines(&page).iter().filter_map(|line| line["message"]["content"].as_str().map(str::to_owned)));
        let Some(next) = page.next() else { break };
        target = next.to_owned();
    }
    assert_eq!(contents.len(), 12);
    assert_eq!(contents.iter().map(|content| &content[..2]).collect::<Vec<_>>()[..4], ["\"\"", "\"\"", "\"\"", "\\\n"]);
    assert!(encoded > 0, "none was sent as base64");
}

#[tokio::test]
async fn summaries_that_do_not_fit_in_a_line_go_on_in_another_one() {
    let app = App::start().await;
    let path = conversation(&app, &id(1), json!({})).await;
    let say = vec![json!({"role": "user", "content": "x"}); 20];
    app.post(&format!("{path}/messages")).json(&json!({"messages": say})).expect(201).await;
    for through in 1..=9 {
        put_summary(&app, &path, through, &through.to_string().repeat(1 << 20)).expect(200).await;
    }
    let pages = export(&app, "ada").await;
    assert!(pages.iter().all(|page| page.body.len() <= 4 << 20));
    let all: Vec<Value> = pages.iter().flat_map(lines).collect();
    let conversations: Vec<&Value> = all.iter().filter(|line| !line["conversation"].is_null()).collect();
    assert!(conversations.len() > 2 && conversations.iter().all(|line| line["conversation"] == all[0]["conversation"]));
    let throughs = conversations.iter().flat_map(|line| line["summaries"].as_array().unwrap()).map(|summary| &summary["through"]);
    assert_eq!(throughs.collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
    let positions: Vec<u64> = all.iter().filter_map(|line| line["message"]["position"].as_u64()).collect();
    assert_eq!(positions, (1..=20).collect::<Vec<_>>());
    assert_eq!(conversations.len() + positions.len(), all.len());
    assert_eq!(Uuid::parse_str(all[0]["conversation"]["id"].as_str().unwrap()).unwrap().to_string(), id(1));
}

#[tokio::test]
#[ignore = "measures: 300,000 messages"]
async fn what_an_export_takes() {
    let app = App::start().await;
    fill(&app, "ada", 3_000, 100).await;
    let started = std::time::Instant::now();
    let pages = export(&app, "ada").await;
    let bytes: usize = pages.iter().map(|page| page.body.len()).sum();
    println!("300,000 messages: {:?}, {} pages, {bytes} bytes", started.elapsed(), pages.len());
}
