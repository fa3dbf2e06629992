//! `GET /users/{user_id}/conversations`

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::App;

const NONE: [Uuid; 0] = [];

fn ids(conversations: &[Value]) -> Vec<Uuid> {
    conversations.iter().map(|conversation| conversation["id"].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn an_unknown_user_has_none() {
    let app = App::start().await;
    let answer = app.get("/users/ada/conversations").expect(200).await;
    assert_eq!((answer.body.as_str(), answer.next()), ("[]", None));
}

#[tokio::test]
async fn the_most_recently_updated_come_first() {
    let app = App::start().await;
    let made = [app.conversation().await, app.conversation().await, app.conversation().await];
    app.post("/conversations").by("bob").expect(201).await;
    app.post(&format!("/conversations/{}/messages?role=user&content=x", made[0])).expect(201).await;
    let answer = app.get("/users/ada/conversations").expect(200).await;
    assert_eq!(ids(&answer.array()), [made[0], made[2], made[1]]);
    assert_eq!(answer.array()[0]["message_count"], 1);
}

#[tokio::test]
async fn links_lead_through_everything_once() {
    let app = App::start().await;
    let mut made = Vec::new();
    for _ in 0..7 {
        made.insert(0, app.conversation().await);
    }
    // All at one instant: the id decides.
    app.superuser().await.batch_execute("update conversations set updated_at = '2026-01-01'").await.unwrap();
    made.sort_unstable_by(|a, b| b.cmp(a));
    for limit in [1, 3, 7] {
        let mut target = format!("/users/ada/conversations?limit={limit}");
        let mut seen = Vec::new();
        loop {
            let answer = app.get(&target).expect(200).await;
            let page = ids(&answer.array());
            assert!(page.len() <= limit);
            seen.extend(page);
            let Some(next) = answer.next() else { break };
            next.clone_into(&mut target);
        }
        assert_eq!(seen, made, "limit={limit}");
    }
}

#[tokio::test]
async fn what_does_not_fit_in_a_response_is_behind_its_link() {
    let app = App::start().await;
    let fill = "insert into conversations (id, user_id, metadata)
        select gen_random_uuid(), 'ada', json_build_object('x', repeat('\"', 8000)) from generate_series(1, 400)";
    app.superuser().await.batch_execute(fill).await.unwrap();
    let mut target = "/users/ada/conversations".to_owned();
    let (mut seen, mut pages) = (Vec::new(), 0);
    loop {
        let answer = app.get(&target).expect(200).await;
        seen.extend(ids(&answer.array()));
        pages += 1;
        let Some(next) = answer.next() else { break };
        next.clone_into(&mut target);
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 400);
    assert!(pages > 1);
}

#[tokio::test]
async fn user_ids_of_every_kind_are_decoded_once() {
    let app = App::start().await;
    for (user_id, encoded) in [
        ("auth0|6f", "auth0%7C6f"),
        ("a b", "a%20b"),
        ("a+b", "a+b"),
        ("100%", "100%25"),
        ("a%2Fb", "a%252Fb"),
        ("a/b", "a%2Fb"),
        ("Zoë 山", "Zo%C3%AB%20%E5%B1%B1"),
        ("{user_id}", "%7Buser_id%7D"),
        ("..", "%2E%2E"),
        ("a'\"\\b", "a%27%22%5Cb"),
    ] {
        for _ in 0..2 {
            app.post("/conversations").json(&json!({"user_id": user_id, "new": true})).by(user_id).expect(201).await;
        }
        let first = app.get(&format!("/users/{encoded}/conversations?limit=1")).by(user_id).expect(200).await;
        assert_eq!(first.array()[0]["user_id"], user_id);
        let next = first.next().unwrap();
        let second = app.get(next).by(user_id).expect(200).await;
        assert_ne!(ids(&second.array()), ids(&first.array()));
        assert_eq!((second.array()[0]["user_id"].as_str(), second.next()), (Some(user_id), None));
    }
}

#[tokio::test]
async fn bad_input_is_refused_by_name() {
    let app = App::start().await;
    for (target, code, param) in [
        ("/users/ada/conversations?limit=0", "invalid_parameter", "limit"),
        ("/users/ada/conversations?limit=1001", "invalid_parameter", "limit"),
        ("/users/ada/conversations?cursor=x", "invalid_parameter", "cursor"),
        ("/users/ada/conversations?cursor=", "invalid_parameter", "cursor"),
        ("/users/ada/conversations?limit=1&limit=1", "ambiguous_parameter", "limit"),
        ("/users/a%0Ab/conversations", "invalid_character", "user_id"),
        ("/users/a%00b/conversations", "invalid_character", "user_id"),
    ] {
        app.get(target).by_service().refused(400, code, param).await;
    }
    app.get(&format!("/users/{}/conversations", "x".repeat(256))).by_service().refused(400, "invalid_parameter", "user_id").await;
}

#[tokio::test]
async fn nobody_and_other_users_are_turned_away() {
    let app = App::start().await;
    app.conversation().await;
    app.get("/users/ada/conversations").by_nobody().refused(401, "unauthenticated", None).await;
    app.get("/users/ada/conversations").by("bob").refused(403, "forbidden", None).await;
    assert_eq!(app.get("/users/ada/conversations").by_service().expect(200).await.array().len(), 1);
}

#[tokio::test]
async fn tens_of_thousands_are_all_reached() {
    let app = App::start().await;
    let fill = "insert into conversations (id, user_id) select gen_random_uuid(), 'ada' from generate_series(1, 25000)";
    app.superuser().await.batch_execute(fill).await.unwrap();
    let first = app.get("/users/ada/conversations").expect(200).await;
    let second = app.get(first.next().expect("a link to the rest")).expect(200).await;
    assert_eq!((first.array().len() + second.array().len(), second.next()), (25_000, None));
}

/// A new conversation of ada's.
async fn made(app: &App, fields: Value) -> Uuid {
    let mut body = json!({"new": true});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    app.post("/conversations").json(&body).expect(201).await.json()["id"].as_str().unwrap().parse().unwrap()
}

/// The ids of ada's conversations that a query lists, page by page.
async fn listed(app: &App, query: &str) -> Vec<Uuid> {
    let mut target = format!("/users/ada/conversations?{query}");
    let mut seen = Vec::new();
    loop {
        let answer = app.get(&target).expect(200).await;
        seen.extend(ids(&answer.array()));
        let Some(next) = answer.next() else { return seen };
        next.clone_into(&mut target);
    }
}

#[tokio::test]
async fn by_activity_only_new_messages_move_a_conversation() {
    let app = App::start().await;
    let [a, b, c] = [app.conversation().await, app.conversation().await, app.conversation().await];
    let append = async |id: Uuid| {
        let path = format!("/conversations/{id}/messages");
        app.post(&format!("{path}?role=user&content=x")).expect(201).await.json()["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(listed(&app, "order=activity").await, [c, b, a], "without messages by when they were made");
    let message = append(a).await;
    append(b).await;
    assert_eq!(listed(&app, "order=activity").await, [b, a, c]);
    // An edit, a new title and a rewind are changes, but no activity.
    app.patch(&format!("/conversations/{a}/messages/{message}")).json(&json!({"content": "y"})).expect(200).await;
    app.patch(&format!("/conversations/{c}")).json(&json!({"title": "c"})).expect(200).await;
    app.delete(&format!("/conversations/{a}/messages")).expect(200).await;
    assert_eq!(listed(&app, "order=activity").await, [b, a, c]);
    assert_eq!(listed(&app, "order=updated").await, [a, c, b]);
    assert_eq!(listed(&app, "").await, [a, c, b], "the order without a word about it");
    append(c).await;
    for query in
        ["order=activity", "order=activity&limit=1", "order=activity&limit=2&archived=false", "order=activity&limit=1&pinned=false"]
    {
        assert_eq!(listed(&app, query).await, [c, b, a], "{query}");
    }
}

#[tokio::test]
async fn a_cursor_belongs_to_the_order_that_it_comes_from() {
    let app = App::start().await;
    for _ in 0..2 {
        app.conversation().await;
    }
    for (order, other) in [("updated", "activity"), ("activity", "updated")] {
        let answer = app.get(&format!("/users/ada/conversations?limit=1&order={order}")).expect(200).await;
        let (_, cursor) = answer.next().unwrap().split_once("cursor=").unwrap();
        app.get(&format!("/users/ada/conversations?order={order}&cursor={cursor}")).expect(200).await;
        let wrong = format!("/users/ada/conversations?order={other}&cursor={cursor}");
        app.get(&wrong).refused(400, "invalid_parameter", "cursor").await;
    }
}

#[tokio::test]
async fn a_title_is_found_by_any_part_of_it_in_capitals_or_not() {
    let app = App::start().await;
    app.conversation().await;
    for (title, parts) in [
        ("Rain in OSLO", vec!["oslo", "OSLO", "n%20in", "Rain%20in%20Oslo", "R", "+"]),
        ("Ärger mit 山田さん", vec!["%C3%A4RGER", "%C3%84rger", "%E7%94%B0"]),
        ("ΟΔΟΣ", vec!["%CE%BF%CE%B4%CE%BF%CF%82", "%CF%83"]),
        ("Déjà vu", vec!["d%C3%A9j%C3%A0", "DE%CC%81JA%CC%80%20V", "%C3%80"]),
        ("De\u{301}ja\u{300} vu", vec!["d%C3%A9j%C3%A0", "DE%CC%81JA%CC%80%20V", "%C3%80"]),
        ("İstanbul, Don’t", vec!["istanbul", "%C4%B0STANBUL", "I%CC%87stan", "don't"]),
        (r"100% _\ [a-z]* 'x'", vec!["100%25", "_%5C", "%5Ba-z%5D*", "%27X%27", "%25%20_"]),
    ] {
        let id = made(&app, json!({"title": title})).await;
        for part in parts {
            assert!(listed(&app, &format!("title={part}")).await.contains(&id), "{title}: {part}");
        }
    }
    // These are no patterns.
    for part in ["deja", "%25oslo", "o_lo", "r.in", "%5Ba-z%5D%5B", "rain%20%20in", "%5C%5C", "oslo%25"] {
        assert_eq!(listed(&app, &format!("title={part}")).await, NONE, "{part}");
    }
    assert_eq!(listed(&app, "title=").await.len(), 8, "an empty search box lists all, those without a title, too");
}

#[tokio::test]
async fn metadata_is_filtered_by_the_text_of_its_members() {
    let app = App::start().await;
    app.conversation().await;
    let metadata = r#"{"project": "Oslo", "n": 1.50, "on": true, "none": null, "tags": ["a","b"], "": "empty", "a.b": "dot", "ü &=+/%": "é=&+%/", "twice": 1, "twice": 2}"#;
    let body = format!(r#"{{"new": true, "metadata": {metadata}}}"#);
    let id: Uuid = app.post("/conversations").body(body).expect(201).await.json()["id"].as_str().unwrap().parse().unwrap();
    for query in [
        "metadata.project=Oslo",
        "metadata.n=1.50",
        "metadata.on=true",
        "metadata.tags=%5B%22a%22%2C%22b%22%5D",
        "metadata.=empty",
        "metadata.a.b=dot",
        "metadata.%C3%BC%20%26%3D%2B%2F%25=%C3%A9%3D%26%2B%25%2F",
        "metadata.twice=2",
        "metadata.project=Oslo&metadata.n=1.50&metadata.on=true",
        "limit=1&metadata.%C3%BC%20%26%3D%2B%2F%25=%C3%A9%3D%26%2B%25%2F&metadata.=empty",
    ] {
        assert_eq!(listed(&app, query).await, [id], "{query}");
    }
    for query in [
        "metadata.project=oslo",
        "metadata.project=",
        "metadata.n=1.5",
        "metadata.none=null",
        "metadata.none=",
        "metadata.project=Oslo&metadata.n=2",
        "metadata.PROJECT=Oslo",
        "metadata.twice=1",
    ] {
        assert_eq!(listed(&app, query).await, NONE, "{query}");
    }
    let in_body =
        app.get("/users/ada/conversations").json(&json!({"metadata.project": "Oslo", "metadata.x": null})).expect(200).await;
    assert_eq!(ids(&in_body.array()), [id]);
}

#[tokio::test]
async fn filters_combine_and_links_keep_them_all() {
    let app = App::start().await;
    let mut wanted = Vec::new();
    let mut all = Vec::new();
    for n in 0..48 {
        let title = if n & 1 == 0 { "Rain in Oslo" } else { "Snow" };
        let id = made(&app, json!({"title": title, "metadata": {"a&b": if n & 2 == 0 { "x+y" } else { "z" }}})).await;
        let change = json!({"archived": n & 4 == 0, "pinned": n & 8 == 0});
        app.patch(&format!("/conversations/{id}")).json(&change).expect(200).await;
        all.push(id.to_string());
        if n % 16 == 0 {
            wanted.insert(0, id);
        }
    }
    app.post("/conversations").json(&json!({"new": true, "title": "Rain in Oslo"})).by("bob").expect(201).await;
    let ids_of = all.join(",");
    for order in ["updated", "activity"] {
        for more in [String::new(), format!("&ids={ids_of}")] {
            for limit in [1, 2, 50] {
                let query = format!(
                    "order={order}&limit={limit}&title=oslo&metadata.a%26b=x%2By&archived=true&pinned=true&include=last_message{more}"
                );
                assert_eq!(listed(&app, &query).await, wanted, "{query}");
            }
        }
    }
    for (query, count) in [("archived=true", 24), ("archived=false", 24), ("pinned=true&archived=false", 12), ("pinned=false", 24)]
    {
        assert_eq!(listed(&app, query).await.len(), count, "{query}");
    }
    let query = "order=activity&title=oslo&metadata.a%26b=x%2By&archived=true&pinned=true&include=last_message&limit=1";
    let answer = app.get(&format!("/users/ada/conversations?{query}")).expect(200).await;
    let next = answer.next().unwrap();
    for pair in query.split('&') {
        assert!(next.contains(pair), "{pair}: {next}");
    }
}

#[tokio::test]
async fn ids_name_conversations_of_the_user_alone() {
    let app = App::start().await;
    let (first, second, third) = (app.conversation().await, app.conversation().await, app.conversation().await);
    let bobs = app.post("/conversations").by("bob").expect(201).await.json()["id"].as_str().unwrap().to_owned();
    let missing = Uuid::now_v7();
    let upper = first.to_string().to_uppercase();
    assert_eq!(listed(&app, &format!("ids={upper},{bobs},{missing},{third},{third}")).await, [third, first]);
    assert_eq!(listed(&app, &format!("ids={second}%2C{third}&limit=1")).await, [third, second]);
    assert_eq!(listed(&app, &format!("ids={bobs}")).await, NONE);
    let hundred = vec![first.to_string(); 100].join(",");
    assert_eq!(listed(&app, &format!("ids={hundred}")).await, [first]);
    app.get(&format!("/users/ada/conversations?ids={hundred},{first}")).refused(400, "invalid_parameter", "ids").await;
    for wrong in ["", "x", ",", &format!("{first},"), &first.simple().to_string(), &format!("{first}, {second}")] {
        let target = format!("/users/ada/conversations?ids={}", wrong.replace(' ', "%20"));
        app.get(&target).refused(400, "invalid_uuid", "ids").await;
    }
}

#[tokio::test]
async fn a_list_includes_the_last_messages_where_it_is_asked_to() {
    let app = App::start().await;
    let (empty, full) = (app.conversation().await, app.conversation().await);
    let path = format!("/conversations/{full}/messages");
    app.post(&format!("{path}?role=user&content=first")).expect(201).await;
    let body = r#"{"role": "assistant", "content": [{"type": "text", "text": "é\"\\\n"}], "tool_calls": [{"b": 1.50, "a": null}], "metadata": {"z": 1, "y": [2.0]}}"#;
    let newest = app.post(&path).body(body).expect(201).await;
    for query in ["include=last_message", "include=last_message&order=activity", "include=last_message&archived=false"] {
        let answer = app.get(&format!("/users/ada/conversations?{query}")).expect(200).await;
        let list = answer.array();
        assert_eq!(ids(&list), [full, empty], "{query}");
        assert_eq!((&list[0]["last_message"], &list[1]["last_message"]), (&newest.json(), &Value::Null), "{query}");
        assert!(list[1].as_object().unwrap().contains_key("last_message"));
        assert!(answer.body.contains(&newest.body), "byte for byte: {}", answer.body);
    }
    for query in ["", "archived=false"] {
        let list = app.get(&format!("/users/ada/conversations?{query}")).expect(200).await.array();
        assert!(list.iter().all(|conversation| conversation.get("last_message").is_none()), "{query}");
        let read = app.get(&format!("/conversations/{full}")).expect(200).await.json();
        assert_eq!(list[0], read, "otherwise a conversation as it is read alone");
    }
    app.delete(&path).expect(200).await;
    let list = app.get(&format!("/users/ada/conversations?include=last_message&ids={full}")).expect(200).await.array();
    assert_eq!(list[0]["last_message"], Value::Null);
}

#[tokio::test]
async fn last_messages_that_do_not_fit_in_a_response_are_behind_its_link() {
    let app = App::start().await;
    let mut expected = Vec::new();
    for _ in 0..9 {
        let id = app.conversation().await;
        let message = json!({"role": "user", "content": "x".repeat(1_000_000)});
        app.post(&format!("/conversations/{id}/messages")).json(&message).expect(201).await;
        expected.insert(0, id);
    }
    for query in ["include=last_message", "include=last_message&order=activity", "include=last_message&archived=false"] {
        let first = app.get(&format!("/users/ada/conversations?{query}")).expect(200).await;
        assert!((2..9).contains(&first.array().len()), "{}", first.array().len());
        assert_eq!(listed(&app, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn a_request_reads_a_bounded_number_of_conversations_and_links_to_the_rest() {
    let app = App::start().await;
    let fill = "
        insert into conversations (id, user_id, title, metadata, created_at, updated_at)
        select gen_random_uuid(), 'ada', case when n % 9000 = 0 then 'needle' else 'hay' end,
            case when n % 9000 = 0 then '{\"a\": \"needle\"}' else '{}' end::json, at, at
        from generate_series(1, 25000) n, lateral (select now() - n * interval '1 second' as at) made";
    app.superuser().await.batch_execute(fill).await.unwrap();
    for (query, pages, first) in [
        ("title=needle", 3, 1),
        ("title=needle&order=activity", 3, 1),
        ("metadata.a=needle", 7, 0),
        ("metadata.a=needle&order=activity", 7, 0),
        ("metadata.a=needle&metadata.b=x", 13, 0),
        ("archived=true", 3, 0),
        ("pinned=true", 3, 0),
        ("title=needle&limit=1", 3, 1),
    ] {
        let (mut target, mut answers) = (format!("/users/ada/conversations?{query}"), Vec::new());
        loop {
            let answer = app.get(&target).expect(200).await;
            let next = answer.next().map(str::to_owned);
            answers.push(answer.array().len());
            let Some(next) = next else { break };
            target = next;
        }
        assert_eq!((answers.len(), answers[0]), (pages, first), "{query}: {answers:?}");
        let needles = if query.contains("needle") && !query.contains("metadata.b") { 2 } else { 0 };
        assert_eq!(answers.iter().sum::<usize>(), needles, "{query}: {answers:?}");
    }
    assert_eq!(listed(&app, "archived=false").await.len(), 25_000);
}

#[tokio::test]
async fn filters_that_are_wrong_are_refused_by_name() {
    let app = App::start().await;
    let long = "x".repeat(513);
    let many = (0..17).map(|n| format!("metadata.k{n}=x")).collect::<Vec<_>>().join("&");
    for (query, code, param) in [
        ("order=newest", "invalid_parameter", Some("order")),
        ("include=messages", "invalid_parameter", Some("include")),
        ("archived=yes", "invalid_parameter", Some("archived")),
        ("pinned=1", "invalid_parameter", Some("pinned")),
        (&*format!("title={long}"), "invalid_parameter", Some("title")),
        ("title=%00", "invalid_character", Some("title")),
        ("metadata.a=%00", "invalid_character", Some("metadata.a")),
        ("metadata.%00=a", "invalid_character", Some("metadata.")),
        ("metadata.a=1&metadata.a=2", "ambiguous_parameter", Some("metadata.a")),
        (&many, "invalid_parameter", Some("metadata.")),
        (&format!("metadata.a={}", "x".repeat(2048)), "invalid_parameter", Some("metadata.")),
    ] {
        app.get(&format!("/users/ada/conversations?{query}")).refused(400, code, param).await;
    }
    let wrong = app.get("/users/ada/conversations").json(&json!({"metadata.a": 1}));
    wrong.refused(400, "invalid_parameter", "metadata.a").await;
    let unknown = app.get("/users/ada/conversations").json(&json!({"metadata": {"a": "x"}}));
    unknown.refused(400, "invalid_parameter", "metadata").await;
}
