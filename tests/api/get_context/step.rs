//! A start that stays: `step`.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::tokens::counted;
use super::{conversation_of, reference, say};
use crate::support::App;
use crate::transcripts::transcripts;

/// Its size on a ruler.
fn size(message: &Value, limit: &str) -> usize {
    match limit {
        "max_messages" => 1,
        "max_chars" => reference::characters(message),
        _ => usize::try_from(reference::tokens(message)).unwrap(),
    }
}

#[tokio::test]
async fn the_start_stays_until_a_whole_step_has_been_appended() {
    const INSTRUCTIONS: usize = 1;
    let app = App::start().await;
    for (limit, most, step) in [("max_messages", 12, 5), ("max_chars", 700, 200), ("max_tokens", 300, 90), ("max_tokens", 300, 250)]
    {
        let path = conversation_of(&app, &[say("system", "Be brief.")]).await;
        let messages = path.replace("/context", "/messages");
        let (mut all, mut last_start, mut moves): (Vec<Value>, _, Vec<usize>) =
            (app.get(&messages).expect(200).await.array(), 0, Vec::new());
        for n in 0..60_usize {
            let role = if n % 2 == 0 { "user" } else { "assistant" };
            all.push(app.post(&messages).json(&say(role, &"x".repeat(n * 37 % 90))).expect(201).await.json());
            let before = |at: usize| all[..at].iter().map(|message| size(message, limit)).sum::<usize>();
            let answer = app.get(&format!("{path}?{limit}={most}&step={step}")).expect(200).await.json();
            let sent = answer["messages"].as_array().unwrap();
            assert!(sent.iter().map(|message| size(message, limit)).sum::<usize>() <= most, "{limit}, after {n}");
            let start = usize::try_from(sent[INSTRUCTIONS]["position"].as_u64().unwrap()).unwrap() - 1;
            if start != last_start && last_start > 0 {
                moves.push(before(all.len()));
                let mark = before(start) / step * step;
                let earlier = (1..start).filter(|at| all[*at]["role"] == "user" && before(*at) >= mark);
                assert_eq!(earlier.count(), 0, "{limit}: {start} is the first start behind {mark}");
            }
            last_start = start;
        }
        let largest = all.iter().map(|message| size(message, limit)).max().unwrap();
        // From the whole conversation to the first mark it may be less.
        moves.remove(0);
        assert!(moves.len() >= 2, "{limit}: {moves:?}");
        let apart = |moves: &[usize]| moves[1] - moves[0];
        assert!(moves.windows(2).all(|moves| apart(moves) + largest > step), "{limit}: {moves:?} are a step of {step} apart");
        // With the same size each, it is exact.
        assert!(limit != "max_messages" || moves.windows(2).all(|moves| apart(moves) == step), "{moves:?}");
    }
}

#[tokio::test]
async fn edits_and_rewinds_never_lead_over_the_limit() {
    let app = App::start().await;
    let path = conversation_of(&app, &[say("system", "Be brief.")]).await;
    let messages = path.replace("/context", "/messages");
    for n in 0..60_usize {
        let role = if n % 2 == 0 { "user" } else { "assistant" };
        let stored = app.post(&messages).json(&say(role, &"x".repeat(n * 37 % 90))).expect(201).await.json();
        match n % 7 {
            2 => {
                let edit = json!({"content": "y".repeat(n * 53 % 200)});
                app.patch(&format!("{messages}/{}", stored["id"].as_str().unwrap())).json(&edit).expect(200).await;
            }
            5 => {
                app.delete(&format!("{messages}?from={}", stored["position"].as_u64().unwrap() - n as u64 % 3)).expect(200).await;
            }
            _ => {}
        }
        let question = app.get(&messages).expect(200).await.array().iter().any(|message| message["role"] == "user");
        for (limit, most, step) in [("max_messages", 9, 4), ("max_chars", 500, 150), ("max_tokens", 200, 70)] {
            let plain = app.get(&format!("{path}?{limit}={most}")).expect(200).await.json();
            let stepped = app.get(&format!("{path}?{limit}={most}&step={step}")).expect(200).await.json();
            let sent = stepped["messages"].as_array().unwrap();
            assert!(sent.iter().map(|message| size(message, limit)).sum::<usize>() <= most, "{limit}, after {n}");
            assert!(!question || sent.len() > 1, "{limit}, after {n}: the newest turn is there");
            assert!(stepped["first_position"].as_u64() >= plain["first_position"].as_u64(), "{limit}, after {n}");
            assert!(stepped["omitted"].as_u64() >= plain["omitted"].as_u64(), "{limit}, after {n}");
        }
    }
}

#[tokio::test]
async fn messages_of_before_the_rulers_have_places_that_stay() {
    let app = App::start().await;
    let mut messages = vec![say("system", "Be brief.")];
    messages.extend((0..40).map(|n| say(if n % 2 == 0 { "user" } else { "assistant" }, &"x".repeat(50))));
    let path = conversation_of(&app, &messages).await;
    app.superuser()
        .await
        .batch_execute(
            "update messages set characters_before = null, tokens_before = null;
             update conversations set characters_appended = null, tokens_appended = null",
        )
        .await
        .unwrap();
    let mut starts = Vec::new();
    for n in 0..12 {
        let role = if n % 2 == 0 { "user" } else { "assistant" };
        app.post(&path.replace("/context", "/messages")).json(&say(role, &"x".repeat(50))).expect(201).await;
        let answer = app.get(&format!("{path}?max_chars=1009&step=300")).expect(200).await.json();
        starts.push(answer["first_position"].as_u64().unwrap());
    }
    // A mark every 300 characters, which are six messages; it is passed at the first, the seventh.
    let mut moved = starts.clone();
    moved.dedup();
    assert_eq!(moved.len(), 3, "{starts:?}");
    let lasts: Vec<usize> = moved.iter().map(|start| starts.iter().filter(|other| *other == start).count()).collect();
    assert_eq!(lasts[1], 6, "{starts:?}");
}

/// What a provider charges for all requests with the same limit and step.
#[derive(Default)]
struct Charged {
    requests: usize,
    moves: usize,
    sent: usize,
    cached: usize,
    last: Vec<String>,
}

impl Charged {
    /// Charges for messages, each with its tokens. The messages that are the same as at the beginning of the last request are cached.
    fn add(&mut self, messages: Vec<String>, tokens: &HashMap<String, usize>) {
        let kept = messages.iter().zip(&self.last).take_while(|(one, other)| one == other).count();
        self.requests += 1;
        self.moves += usize::from(kept < self.last.len());
        self.sent += messages.iter().map(|message| tokens[message]).sum::<usize>();
        self.cached += messages[..kept].iter().map(|message| tokens[message]).sum::<usize>();
        self.last = messages;
    }

    /// In tokens at the full price. A cached token costs a tenth.
    fn cost(&self) -> usize {
        self.sent - self.cached + self.cached / 10
    }
}

/// Prints the table in docs/context.md. The transcripts are too short for a window of 8,000 tokens, so ten of them make a conversation.
#[cfg_attr(not(has_transcripts), ignore = "there are no recorded conversations: name a file in TRANSCRIPTS")]
#[cfg_attr(has_transcripts, ignore = "minutes: cargo test -p tests prompt_cache -- --ignored --nocapture")]
#[tokio::test]
async fn what_a_providers_prompt_cache_would_have_charged() {
    const WINDOWS: [usize; 3] = [2000, 4000, 8000];
    const PARTS: [Option<usize>; 4] = [None, Some(8), Some(4), Some(2)];
    let app = App::start().await;
    let mut tokens: HashMap<String, usize> = HashMap::new();
    let mut charged: HashMap<(usize, Option<usize>), Charged> = HashMap::new();
    for transcripts in transcripts().chunks(10) {
        let path = conversation_of(&app, &[]).await;
        let mut messages: Vec<Value> = Vec::new();
        for transcript in transcripts {
            let all: Vec<Value> = serde_json::from_str(&serde_json::to_string(&transcript.messages).unwrap()).unwrap();
            let instructions = usize::from(!messages.is_empty());
            messages.extend(all.into_iter().skip(instructions));
        }
        for charged in charged.values_mut() {
            charged.last = Vec::new();
        }
        for message in messages {
            for window in WINDOWS.iter().filter(|_| message["role"] == "assistant") {
                for part in PARTS {
                    let step = part.map_or_else(String::new, |part| format!("&step={}", window / part));
                    let answer = app.get(&format!("{path}?format=openai&max_tokens={window}{step}")).expect(200).await.json();
                    let over = answer["tokens"].as_u64().unwrap() > *window as u64;
                    assert!(!over, "{window} {step}");
                    let sent = answer["messages"].as_array().unwrap().iter().map(|message| {
                        let key = message.to_string();
                        let count = || usize::try_from(counted(message)).unwrap();
                        tokens.entry(key.clone()).or_insert_with(count);
                        key
                    });
                    let sent = sent.collect();
                    charged.entry((*window, part)).or_default().add(sent, &tokens);
                }
            }
            app.post(&path.replace("/context", "/messages")).json(&message).expect(201).await;
        }
    }
    let documented = std::fs::read_to_string(crate::support::project().join("docs/context.md")).unwrap();
    let mut all_documented = true;
    for window in WINDOWS {
        for part in PARTS {
            let (charged, plain) = (&charged[&(window, part)], &charged[&(window, None)]);
            let percent = |of: usize, all: usize| 100 * of / all;
            let row = format!(
                "| {window} | {} | {} % | {} | {} % | {} | {} % |",
                part.map_or_else(|| "none".to_owned(), |part| (window / part).to_string()),
                percent(charged.moves, charged.requests),
                charged.sent / charged.requests,
                percent(charged.cached, charged.sent),
                charged.cost() / charged.requests,
                percent(charged.cost(), plain.cost()),
            );
            println!("{row}");
            all_documented &= documented.contains(&row);
        }
    }
    assert!(all_documented, "docs/context.md has other rows");
}
