//! `GET /users/{user_id}/search`

use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

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

/// Messages as people and models write them. The first four are from reports of searches that found nothing.
const SAID: [&str; 34] = [
    "Is it raining in Oslo today?",
    "Don’t panic: it’s only rain. See “Oslo weather”.",
    "déjà vu à la crème",
    "Zimowa łąka, café",
    // The same, decomposed.
    "de\u{301}ja\u{300} vu a\u{300} la cre\u{300}me",
    "Zimowa ła\u{328}ka, cafe\u{301}",
    "Uçuş İstanbul'a",
    "ISPARTA ve kız",
    "Die STRAẞE ist gesperrt",
    "water at 300 \u{212a}, 5 \u{212b}, 7 \u{2126}",
    "Ο Σίσυφος",
    "C++ or C#, and foo(bar, baz); not foo(bar)",
    "call foo(bar).",
    "(Oslo)",
    "mail ada@example.com, or see https://example.com/a?b=c2#d2.",
    "ssh root@192.168.0.1:22 and /etc/hosts",
    "let x = a[0]; std::vec::Vec<u8>, user_id, .env, $HOME",
    "The **capital** of Norway, `Oslo`",
    "Bergen\u{a0}is\u{202f}wet",
    "東京、大阪。「京都」",
    "か\u{3099}っこう と かき",
    "한국어 \u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}",
    "हिन्दी में लिखो, क\u{93c}लम",
    "Tiếng Việt",
    "Tie\u{302}\u{301}ng Vie\u{323}\u{302}t",
    "Tiê\u{301}ng Viê\u{323}t",
    "น้ำหนัก",
    "עברית שָׁלוֹם",
    "كِتَاب",
    "Ph.D. at M.I.T., 50% of $5.00!",
    "rock'n'roll – the ’90s",
    "It is 5:30, in Łódź",
    "\u{1f600} smile",
    "Привет, Йод и\u{306}од",
];

/// Queries, and the numbers of the messages that they find.
const ASKED: [(&str, &[usize]); 84] = [
    ("Oslo?", &[0, 1, 13, 17]),
    ("Oslo,", &[0, 1, 13, 17]),
    ("(Oslo)", &[0, 1, 13, 17]),
    ("raining in Oslo?", &[0]),
    ("\"raining in Oslo?\"", &[0]),
    ("don't", &[1]),
    ("don’t", &[1]),
    ("DON'T panic!", &[1]),
    ("“Oslo weather”", &[1]),
    ("„Oslo weather“", &[1]),
    ("«oslo weather»", &[1]),
    ("\"weather oslo\"", &[]),
    ("\"panic it's only\"", &[1]),
    ("\"only rain see\"", &[1]),
    ("-“Oslo weather” oslo", &[0, 13, 17]),
    ("it's -don't", &[]),
    ("...raining… today?!", &[0]),
    ("déjà", &[2, 4]),
    ("de\u{301}ja\u{300}", &[2, 4]),
    ("DÉJÀ VU", &[2, 4]),
    ("deja", &[]),
    ("crème", &[2, 4]),
    ("ja", &[]),
    ("café", &[3, 5]),
    ("cafe\u{301}", &[3, 5]),
    ("cafe", &[]),
    ("łąka", &[3, 5]),
    ("ŁĄKA,", &[3, 5]),
    ("\"łąka café\"", &[3, 5]),
    ("İstanbul'a", &[6]),
    ("istanbul’a", &[6]),
    ("I\u{307}STANBUL'A", &[6]),
    ("ısparta", &[7]),
    ("isparta", &[7]),
    ("KIZ", &[7]),
    ("STRAẞE", &[8]),
    ("straße", &[8]),
    ("\"300 K\"", &[9]),
    ("\"300 \u{212a}\"", &[9]),
    ("\"5 Å\"", &[9]),
    ("\"7 ω\"", &[9]),
    ("ΣΊΣΥΦΟΣ", &[10]),
    ("σίσυφος", &[10]),
    ("C++", &[11]),
    ("c++?", &[11]),
    ("C#,", &[11]),
    ("foo(bar)", &[11, 12]),
    ("foo(bar).", &[11, 12]),
    ("foo(bar, -call", &[11]),
    ("\"foo(bar, baz)\"", &[11]),
    ("(foo(bar))", &[11, 12]),
    ("bar)foo", &[]),
    ("ada@example.com", &[14]),
    ("ada@example.com,", &[14]),
    ("https://example.com/a?b=c2#d2", &[14]),
    ("<https://example.com/a?b=c2#d2>", &[]),
    ("example.com", &[14]),
    ("root@192.168.0.1:22", &[15]),
    ("192x168", &[]),
    ("/etc/hosts", &[15]),
    ("a[0];", &[16]),
    ("std::vec::Vec<u8>", &[16]),
    ("user_id", &[16]),
    ("user", &[]),
    (".env", &[16]),
    ("$HOME", &[16]),
    ("\"capital of norway\"", &[17]),
    ("\"norway oslo\"", &[17]),
    ("\"bergen is wet\"", &[18]),
    ("「大阪」", &[19]),
    ("京都。", &[19]),
    ("がっこう", &[20]),
    ("か", &[20]),
    ("한글", &[21]),
    ("하", &[]),
    ("हिन्दी", &[22]),
    ("हिन्द", &[]),
    ("\u{958}लम", &[22]),
    ("tiếng việt", &[23, 24, 25]),
    ("TIÊ\u{301}NG vie\u{302}\u{323}t", &[23, 24, 25]),
    ("น", &[26]),
    ("\"Ph.D. at M.I.T.\" 50% $5.00", &[29]),
    ("'90s rock’n’roll", &[30]),
    ("йод \"5:30\" or Łódź! or И\u{306}ОД", &[31, 33]),
];

#[tokio::test]
async fn a_query_finds_what_its_writer_means() {
    everything_asked_is_found(&app_with(&SAID).await).await;
}

#[tokio::test]
async fn a_query_finds_the_same_with_every_collation_that_a_database_may_have() {
    let app = app_with(&SAID).await;
    let superuser = app.superuser().await;
    let known = "select collname::text from pg_collation where collname in ('pg_c_utf8', 'und-x-icu', 'C.utf8') and collnamespace = 'pg_catalog'::regnamespace";
    let mut tried = 0;
    for row in superuser.query_typed(known, &[]).await.unwrap() {
        let name = row.get::<_, &str>(0);
        let taken = format!("drop collation public.search_text; create collation public.search_text from pg_catalog.\"{name}\"");
        superuser.batch_execute(&taken).await.unwrap();
        // A session would keep its plans.
        let end =
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
        superuser.batch_execute(end).await.unwrap();
        everything_asked_is_found(&app).await;
        tried += 1;
    }
    assert!(tried > 0);
}

async fn everything_asked_is_found(app: &App) {
    let mut faults = Vec::new();
    for (query, numbers) in ASKED {
        let mut answer = search(app, query).expect(200).await.array();
        answer.reverse();
        let number = |hit: &Value| SAID.iter().position(|content| hit["message"]["content"] == *content).unwrap();
        let hits: Vec<usize> = answer.iter().map(number).collect();
        if hits != numbers {
            faults.push(format!("{query}: finds {hits:?}, not {numbers:?}"));
        }
        for hit in answer.iter().filter(|_| !query.contains('-')) {
            let highlights = hit["highlights"].as_array().unwrap();
            let characters: Vec<char> = hit["snippet"].as_str().unwrap().chars().collect();
            let marked = |at: usize| characters[at..at + 2] == ['*', '*'];
            let is_right = |pair: &Value| {
                let [start, end] = [0, 1].map(|at| usize::try_from(pair[at].as_u64().unwrap()).unwrap());
                start < end && marked(start - 2) && marked(end)
            };
            if highlights.is_empty() || !highlights.iter().all(is_right) {
                faults.push(format!("{query}: {} is not where {highlights:?} says", hit["snippet"]));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Stores a history by SQL: messages of so many conversations by turns, a second between two. Each `needles`th one has the word needle.
async fn fill(app: &App, user: &str, conversations: u32, messages: u32, needles: u32) {
    let fill = format!(
        "insert into conversations (id, user_id, message_count, next_position)
        select gen_random_uuid(), '{user}', 0, {messages} + 1 from generate_series(1, {conversations});
        insert into messages (conversation_id, position, id, role, content, created_at, updated_at)
        select c.ids[1 + n % {conversations}], n, gen_random_uuid(), 'user',
            repeat('nothing to see here ', 10) || case when n % {needles} = 0 then ' needle ' || n else '' end, at, at
        from generate_series(1, {messages}) n,
            (select array_agg(id order by id) as ids from conversations where user_id = '{user}') c,
            lateral (select timestamptz '2026-01-01' + n * interval '1 second' as at) sent"
    );
    app.superuser().await.batch_execute(&fill).await.unwrap();
}

/// Follows the links to the end: for each response how many hits it has and how long it took, and all hits' positions.
async fn follow(app: &App, target: &str) -> (Vec<(usize, Duration)>, Vec<u64>) {
    let (mut responses, mut positions) = (Vec::new(), Vec::new());
    let mut target = Some(target.to_owned());
    while let Some(path) = target {
        let started = Instant::now();
        let answer = app.get(&path).expect(200).await;
        let hits = answer.array();
        responses.push((hits.len(), started.elapsed()));
        positions.extend(hits.iter().map(|hit| hit["message"]["position"].as_u64().unwrap()));
        target = answer.next().map(str::to_owned);
    }
    (responses, positions)
}

#[tokio::test]
async fn a_request_reads_a_bounded_number_of_messages_and_the_links_find_everything() {
    let app = App::start().await;
    fill(&app, "ada", 7, 25_000, 6_000).await;
    fill(&app, "bob", 1, 100, 1).await;
    let (responses, positions) = follow(&app, "/users/ada/search?q=needle").await;
    assert_eq!(positions, [24_000, 18_000, 12_000, 6_000]);
    assert_eq!(responses.iter().map(|(hits, _)| *hits).collect::<Vec<_>>(), [2, 2, 0], "10,000 messages each, and the last 5,000");
    let (responses, positions) = follow(&app, "/users/ada/search?q=zebra").await;
    assert_eq!((responses.len(), positions.len()), (3, 0), "an empty page can have a next link");
    // With more words than a message is worth, a request reads fewer messages.
    let (responses, _) =
        follow(&app, "/users/ada/search?q=a%20or%20b%20or%20c%20or%20d%20or%20e%20or%20f%20or%20g%20or%20h%20or%20i%20or%20j")
            .await;
    assert_eq!(responses.len(), 5, "6,000 messages each");
    let (responses, positions) = follow(&app, "/users/ada/search?q=needle&limit=1").await;
    assert_eq!(positions, [24_000, 18_000, 12_000, 6_000]);
    assert!(responses.iter().all(|(hits, _)| *hits <= 1));
    assert_eq!(follow(&app, "/users/ada/search?q=nothing&limit=1000").await.1.len(), 25_000);
}

#[tokio::test]
async fn a_request_reads_a_bounded_number_of_bytes() {
    let app = App::start().await;
    let path = format!("/conversations/{}/messages", app.conversation().await);
    for n in 0..70 {
        let content = format!("{} {n}", "no needle ".repeat(100_000));
        app.post(&path).json(&json!({"role": "user", "content": content})).expect(201).await;
    }
    let (responses, positions) = follow(&app, "/users/ada/search?q=%22no%20needle%200%22%20or%20zebra").await;
    assert_eq!(positions, [1]);
    assert_eq!(responses.len(), 5, "16 MB each, for each of two terms");
}

#[tokio::test]
async fn forks_of_one_batch_do_not_make_a_request_read_more() {
    let app = App::start().await;
    let path = format!("/conversations/{}", app.conversation().await);
    let batch: Vec<_> = (0..500).map(|n| json!({"role": "user", "content": format!("nothing to see here {n}")})).collect();
    app.post(&format!("{path}/messages")).json(&json!({"messages": batch})).expect(201).await;
    for _ in 0..40 {
        app.post(&format!("{path}/fork")).expect(201).await;
    }
    // 20,500 messages of one time. With eight words, a request reads 7,500.
    let words = "alpha%20or%20beta%20or%20gamma%20or%20delta%20or%20epsilon%20or%20zeta%20or%20eta";
    let (responses, positions) = follow(&app, &format!("/users/ada/search?q={words}%20or%20%22here%207%22")).await;
    assert_eq!(positions, vec![8; 41]);
    let hits: Vec<_> = responses.iter().map(|(hits, _)| *hits).collect();
    assert_eq!((hits.len(), &hits[..2]), (3, &[15, 15][..]), "7,500 messages of 15 conversations, twice, and the rest: {hits:?}");
}

#[tokio::test]
async fn a_long_time_is_read_in_parts() {
    let app = App::start().await;
    fill(&app, "ada", 3, 25_000, 5_000).await;
    // As an import may date them.
    app.superuser().await.batch_execute("update messages set created_at = '2026-01-01' where position > 2000").await.unwrap();
    let (responses, mut positions) = follow(&app, "/users/ada/search?q=needle").await;
    positions.sort_unstable();
    assert_eq!((responses.len(), &positions[..]), (3, &[5_000, 10_000, 15_000, 20_000, 25_000][..]));
}

#[tokio::test]
#[ignore = "measures, with --release: a user of 300,000 messages"]
async fn no_search_of_a_long_history_takes_a_second() {
    let app = App::start().await;
    fill(&app, "ada", 3_000, 300_000, 100_000).await;
    fill(&app, "bob", 1, 300_000, 100_000).await;
    app.superuser().await.batch_execute("vacuum analyze").await.unwrap();
    let words = (0..16).map(|n| format!("zebra{n}")).collect::<Vec<_>>().join("%20or%20");
    for user in ["ada", "bob"] {
        for query in ["needle", "nothing", "nothing&limit=20", "-nothing", &words] {
            let mut target = Some(format!("/users/{user}/search?q={query}"));
            let mut times = Vec::new();
            while let Some(path) = target {
                let started = Instant::now();
                let answer = app.get(&path).by_service().expect(200).await;
                times.push(started.elapsed());
                target = answer.next().filter(|_| times.len() < 100).map(str::to_owned);
            }
            let slowest = times.iter().max().unwrap();
            println!("{user}, {}…: {} requests, the slowest {slowest:?}", &query[..6], times.len());
            assert!(*slowest < Duration::from_secs(1));
        }
    }
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
