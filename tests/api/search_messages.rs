//! `GET /users/{user_id}/search`

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::support::{App, Call};

fn search<'a>(app: &'a App, query: &str) -> Call<'a> {
    app.get(&format!("/users/ada/search?q={}", utf8_percent_encode(query, NON_ALPHANUMERIC)))
}

/// The contents that a query finds, in order.
async fn found(app: &App, query: &str) -> Vec<String> {
    let hits = search(app, query).expect(200).await.array();
    hits.iter().map(|hit| hit["message"]["content"].as_str().unwrap_or("parts").to_owned()).collect()
}

async fn app_with(contents: &[&str]) -> App {
    let app = App::start().await;
    for content in contents {
        // Conversations alternate, so that the order is that of the messages and not theirs.
        let conversation = app.conversation().await;
        app.post(&format!("/conversations/{conversation}/messages"))
            .json(&json!({"role": "user", "content": content}))
            .expect(201)
            .await;
    }
    app
}

#[tokio::test]
async fn words_phrases_negations_and_alternatives_find_the_newest_first() {
    let app =
        app_with(&["Rain in Oslo", "The train is late", "rain and snow", "Is Oslo in rain?", "sun; RAIN", "C++ (2.0) 50% a_b \\d"])
            .await;
    assert_eq!(found(&app, "rain").await, ["sun; RAIN", "Is Oslo in rain?", "rain and snow", "Rain in Oslo"]);
    assert_eq!(found(&app, "rain oslo").await, ["Is Oslo in rain?", "Rain in Oslo"]);
    assert_eq!(found(&app, "\"in Oslo\"").await, ["Rain in Oslo"]);
    assert_eq!(found(&app, "rain -oslo -snow").await, ["sun; RAIN"]);
    assert_eq!(found(&app, "snow or train").await, ["rain and snow", "The train is late"]);
    assert_eq!(found(&app, "oslo \"rain in\" or sun rain OR late -x").await, ["sun; RAIN", "The train is late", "Rain in Oslo"]);
    assert_eq!(found(&app, "-rain").await, ["C++ (2.0) 50% a_b \\d", "The train is late"]);
    assert_eq!(found(&app, "c++").await.len(), 1);
    assert_eq!(found(&app, "50%").await.len(), 1);
    assert_eq!(found(&app, "\\d").await.len(), 1);
    assert_eq!(found(&app, "2x0").await.len(), 0);
    search(&app, ".*").refused(400, "invalid_parameter", "q").await;
}

#[tokio::test]
async fn text_without_spaces_is_found_by_any_part() {
    let app = app_with(&["東京タワーに行きたい", "大阪に行く", "ฝนตกหนัก", "Zoë's ÄRGER"]).await;
    assert_eq!(found(&app, "東京").await.len(), 1);
    assert_eq!(found(&app, "タワー").await.len(), 1);
    assert_eq!(found(&app, "行").await.len(), 2);
    assert_eq!(found(&app, "ตก").await.len(), 1);
    assert_eq!(found(&app, "ärger").await.len(), 1);
    let hits = search(&app, "タワー").expect(200).await.array();
    assert_eq!(hits[0]["snippet"], "東京**タワー**に行きたい");
}

#[tokio::test]
async fn parts_are_searched_by_their_text() {
    let app = App::start().await;
    let path = format!("/conversations/{}/messages", app.conversation().await);
    let parts = json!([{"type": "text", "text": "Zoë likes rain"}, {"type": "image_url", "image_url": {"url": "rainbow"}}]);
    app.post(&path).json(&json!({"role": "user", "content": parts})).expect(201).await;
    app.post(&path)
        .body(r#"{"role":"user","content":[{"type":"text","text":"\ud800"},{"type":"text","text":"snow"}]}"#)
        .expect(201)
        .await;
    app.post(&path).json(&json!({"role": "assistant", "tool_calls": [{"rain": 1}]})).expect(201).await;
    let hits = search(&app, "zoë").expect(200).await.array();
    assert_eq!((hits.len(), &hits[0]["snippet"], &hits[0]["message"]["content"]), (1, &json!("**Zoë** likes rain"), &parts));
    let body = search(&app, "snow").expect(200).await.body;
    assert!(body.contains(r#""snippet":"**snow**""#), "{body}");
    app.delete(&format!("{path}?from=2")).expect(200).await;
    assert_eq!(found(&app, "text").await.len(), 0);
    assert_eq!(found(&app, "-text").await.len(), 1, "what has no text is not found by what it does not say");
}

#[tokio::test]
async fn links_lead_through_everything_once() {
    let app = App::start().await;
    let path = format!("/conversations/{}/messages", app.conversation().await);
    let messages: Vec<_> = (1..=7).map(|n| json!({"role": "user", "content": format!("needle & {n}")})).collect();
    app.post(&path).json(&json!({"messages": messages})).expect(201).await;
    let mut target = "/users/ada/search?q=needle%20%22%26%22%20or%20needle&limit=3".to_owned();
    let mut seen = Vec::new();
    loop {
        let answer = app.get(&target).expect(200).await;
        seen.extend(answer.array().iter().map(|hit| hit["message"]["position"].as_u64().unwrap()));
        let Some(next) = answer.next() else { break };
        next.clone_into(&mut target);
    }
    assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn nobody_else_is_searched() {
    let app = app_with(&["secret"]).await;
    assert_eq!(app.get("/users/bob/search?q=secret").by("bob").expect(200).await.body, "[]");
    app.get("/users/ada/search?q=secret").by("bob").refused(403, "forbidden", None).await;
    app.get("/users/ada/search?q=secret").by_nobody().refused(401, "unauthenticated", None).await;
    assert_eq!(app.get("/users/ada/search?q=secret").by_service().expect(200).await.array().len(), 1);
}

#[tokio::test]
async fn adversarial_queries_are_answered_or_refused() {
    let app = app_with(&["The rain (in) [Oslo] {is} \\ ***:strong, (?i) a|b ^$ .* \"quoted\""]).await;
    let repeated = |text: &str, count: usize| text.repeat(count);
    for query in [
        "***:rain",
        "(?i)rain",
        "\\m",
        "\\",
        "\\\\\\",
        "[",
        "a{1000}",
        "a|b",
        "^",
        "$",
        "(",
        "a**",
        "\\1",
        "the",
        "or or or -",
        "a\tb\nc",
        "%",
        "_",
        "\u{ffff}",
        "\u{202e}rain",
        "--rain",
        "-\"-\"",
        "\"",
        "rain\"",
        "'; drop table messages; --",
    ] {
        let answer = search(&app, query).send().await;
        assert!([200, 400].contains(&answer.status), "{query}: {}", answer.body);
    }
    for query in
        [repeated("\"", 10_000), repeated("a", 10_000), repeated("-", 10_000), repeated("or ", 3_000), repeated("\\", 10_000)]
    {
        search(&app, &query).refused(400, "invalid_parameter", "q").await;
    }
    for query in [repeated("a* ", 16), repeated("\"x ", 16), repeated("(", 999) + "a", repeated("aaaaaaaaaaaaaaaaaaa-b", 45)] {
        search(&app, &query).expect(200).await;
    }
    app.get("/users/ada/search").refused(400, "missing_parameter", "q").await;
    app.get("/users/ada/search?q=").refused(400, "invalid_parameter", "q").await;
    app.get("/users/ada/search?q=%00").refused(400, "invalid_character", "q").await;
    app.get("/users/ada/search?q=a&limit=0").refused(400, "invalid_parameter", "limit").await;
    app.get("/users/ada/search?q=a&cursor=x").refused(400, "invalid_parameter", "cursor").await;
    app.get("/users/ada/search?q=a&q=b").refused(400, "ambiguous_parameter", "q").await;
    app.get("/users/a%00/search?q=a").by_service().refused(400, "invalid_character", "user_id").await;
}

#[tokio::test]
async fn the_longest_query_over_thousands_of_messages_is_answered() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    let fill = format!(
        "insert into messages (conversation_id, position, id, role, content, created_at, updated_at)
        select '{conversation}', n, gen_random_uuid(), 'user', repeat('nothing to see here ', 25), now(), now() from generate_series(1, 5000) n;
        update conversations set message_count = 5000, next_position = 5001"
    );
    app.superuser().await.batch_execute(&fill).await.unwrap();
    let query = (0..16).map(|n| format!("zebra{n}")).collect::<Vec<_>>().join(" or ");
    assert_eq!(search(&app, &query).expect(200).await.body, "[]");
}
