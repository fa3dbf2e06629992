//! `cargo dev`: the route table, the path decoding and the HTTP of the real emulator.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;
use xtask::tokens::Key;

use crate::support::{App, ROUTES, binary, project, without_cargos_variables};

/// One emulator at a time: each runs two dozen cargos.
static TURN: Mutex<()> = Mutex::const_new(());

/// `cargo dev` on a free port and the app's database.
struct Dev {
    process: Child,
    address: String,
    welcome: Vec<String>,
    client: Client,
}

impl Dev {
    fn start(app: &App, options: &[&str]) -> Self {
        let mut command = Command::new(binary("xtask"));
        without_cargos_variables(&mut command);
        command.args(["dev", "--port", "0"]).args(options).envs(app.environment().iter().map(|(name, value)| (name, value)));
        let log = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cargo-dev{}.log", options.concat()));
        let mut process = command.stdout(Stdio::piped()).stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let welcome: Vec<String> = lines.by_ref().take_while(|line| !line.starts_with("Ctrl-C")).collect();
        let address = welcome.iter().find_map(|line| line.split_whitespace().find(|word| word.starts_with("http://")));
        let address =
            address.unwrap_or_else(|| panic!("no address; the log is {}", log.display())).trim_end_matches(',').to_owned();
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        Self { process, address, welcome, client }
    }

    async fn send(&self, method: &str, target: &str, body: Option<&Value>) -> Response {
        let request = self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{}{target}", self.address));
        let request = if let Some(body) = body { request.json(body) } else { request };
        request.send().await.unwrap()
    }

    async fn json(&self, method: &str, target: &str, body: Option<&Value>, status: u16) -> Value {
        let response = self.send(method, target, body).await;
        let (actual, text) = (response.status().as_u16(), response.text().await.unwrap());
        assert_eq!(actual, status, "{method} {target}: {text}");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
    }

    /// Ends it as a process manager would, and says how it ended.
    fn stop(mut self) -> Option<i32> {
        Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        self.process.wait().unwrap().code()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // What it has started ends with it, however it ends.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The processes that know this database from their environment.
#[cfg(target_os = "linux")]
fn processes_of(database: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let knows = |path: &std::path::Path| {
        std::fs::read(path.join("environ")).is_ok_and(|environment| String::from_utf8_lossy(&environment).contains(database))
    };
    let name = |path: std::path::PathBuf| std::fs::read_to_string(path.join("comm")).unwrap_or_default();
    entries.map(|entry| entry.path()).filter(|path| knows(path)).map(name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn cargo_dev_serves_the_whole_api_and_leaves_nothing_behind() {
    let _turn = TURN.lock().await;
    let app = App::start().await;
    let dev = tokio::task::block_in_place(|| Dev::start(&app, &[]));

    the_curls_that_it_prints_work(&dev).await;
    the_readme_is_true(&dev).await;
    every_route_reaches_its_function(&dev).await;
    user_ids_are_decoded_once(&dev).await;
    pages_are_led_through_by_links(&dev).await;

    #[cfg(target_os = "linux")]
    assert!(processes_of(&app.database).len() > ROUTES.len());
    assert_eq!(tokio::task::block_in_place(|| dev.stop()), Some(0));
    #[cfg(target_os = "linux")]
    assert_eq!(processes_of(&app.database), Vec::<String>::new());
}

#[tokio::test]
async fn cargo_dev_refuses_a_database_elsewhere_unless_it_checks_tokens() {
    let app = App::start().await;
    let mut command = Command::new(binary("xtask"));
    command.args(["dev", "--port", "0"]).envs(app.environment().iter().map(|(name, value)| (name, value)));
    let output = command.env("DATABASE_URL", "postgresql://ada:secret@db.example.com/scrollback").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{said}");
    assert!(said.contains("DATABASE_URL names db.example.com") && said.contains("--jwt") && !said.contains("secret"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cargo_dev_with_tokens_serves_each_user_their_own() {
    let _turn = TURN.lock().await;
    let app = App::start().await;
    let dev = tokio::task::block_in_place(|| Dev::start(&app, &["--jwt"]));
    the_curls_that_it_prints_work(&dev).await;

    let key = Key::of_this_machine().unwrap();
    let send = async |method: &str, target: &str, token: Option<&str>, body: Option<&Value>| {
        let request = dev.client.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{}{target}", dev.address));
        let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
        let response = if let Some(body) = body { request.json(body) } else { request }.send().await.unwrap();
        let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
        (status, serde_json::from_str::<Value>(&text).unwrap_or_default())
    };
    let sub = "auth0|ada 50%/ü";
    let [ada, grace, service] = [(sub, false), ("grace", false), ("back-end", true)].map(|(sub, service)| key.sign(sub, service));
    let (status, conversation) = send("POST", "/conversations", Some(&ada), None).await;
    assert_eq!((status, &conversation["user_id"]), (201, &json!(sub)), "{conversation}");
    let path = format!("/conversations/{}", conversation["id"].as_str().unwrap());
    for (token, expected) in [(Some(&*ada), 200), (Some(&*grace), 404), (Some(&*service), 200), (Some("forged"), 401), (None, 401)]
    {
        assert_eq!(send("GET", &path, token, None).await.0, expected, "{token:?}");
    }
    assert_eq!(send("GET", "/users/auth0%7Cada%2050%25%2F%C3%BC/conversations", Some(&ada), None).await.1[0], conversation);
    assert_eq!(send("GET", "/users/grace/conversations", Some(&ada), None).await.0, 403);
    assert_eq!(send("GET", "/nothing/here", Some(&ada), None).await, (404, json!({"message": "Not Found"})));
    let message = json!({"role": "user", "content": "ü".repeat(100_000)});
    assert_eq!(send("POST", &format!("{path}/messages"), Some(&ada), Some(&message)).await.0, 201);
    assert_eq!(send("GET", &format!("{path}/messages"), Some(&ada), None).await.1[0]["content"], message["content"]);
    let bytes = dev.client.post(format!("{}{path}/messages", dev.address)).bearer_auth(&ada);
    let refused = bytes.header("content-type", "application/json").body(vec![b'"', 0xff, b'"']).send().await.unwrap();
    let refused = (refused.status().as_u16(), refused.text().await.unwrap());
    assert!(refused.0 == 400 && refused.1.contains("invalid_body"), "{refused:?}");
    assert_eq!(tokio::task::block_in_place(|| dev.stop()), Some(0));
}

/// In one shell, as they are pasted.
async fn the_curls_that_it_prints_work(dev: &Dev) {
    let script = dev.welcome.iter().filter(|line| line.starts_with("  ")).cloned().collect::<Vec<_>>().join("\n");
    let mut shell = Command::new("sh");
    without_cargos_variables(&mut shell);
    shell.current_dir(project()).args(["-c", &script]);
    let output = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(printed.len(), 3, "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((&printed[0]["user_id"], &printed[1]["content"], &printed[2][0]), (&json!("grace"), &json!("Hello!"), &printed[1]));
}

/// Every command of the README's `console` blocks, in one shell, prints what the README says, times and request ids aside.
async fn the_readme_is_true(dev: &Dev) {
    let readme = std::fs::read_to_string(project().join("README.md")).unwrap();
    let blocks = readme.split("```console\n").skip(1).map(|block| block.split("```").next().unwrap());
    let (mut commands, mut expected) = (Vec::new(), Vec::<String>::new());
    for line in blocks.flat_map(str::lines) {
        match line.strip_prefix("$ ") {
            Some(command) => {
                commands.push(command);
                expected.push(String::new());
            }
            None => *expected.last_mut().unwrap() += line,
        }
    }
    let script = commands.join("\necho\n").replace("http://127.0.0.1:9000", &dev.address);
    let output = tokio::task::spawn_blocking(|| Command::new("sh").args(["-c", &{ script }]).output().unwrap()).await.unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<&str> = printed.lines().filter(|line| !line.is_empty()).collect();
    let expected: Vec<&String> = expected.iter().filter(|lines| !lines.is_empty()).collect();
    assert_eq!(printed.len(), expected.len(), "{printed:#?}");
    for (printed, expected) in printed.iter().zip(expected) {
        let [printed, expected] =
            [printed, expected.as_str()].map(|text| serde_json::from_str::<Value>(text).unwrap()).map(without_chance);
        assert_eq!(printed, expected);
    }
}

/// Times and request ids are others every time.
fn without_chance(mut value: Value) -> Value {
    match &mut value {
        Value::Array(elements) => elements.iter_mut().for_each(|element| *element = without_chance(element.take())),
        Value::Object(members) => {
            for name in ["created_at", "updated_at", "request_id"] {
                members.remove(name);
            }
            members.values_mut().for_each(|member| *member = without_chance(member.take()));
        }
        _ => {}
    }
    value
}

async fn every_route_reaches_its_function(dev: &Dev) {
    for (path, methods) in ROUTES.iter() {
        let nobody = Uuid::now_v7().to_string();
        let target =
            path.split('/').map(|segment| if segment.starts_with('{') { &nobody } else { segment }).collect::<Vec<_>>().join("/");
        for method in methods.keys() {
            let response = dev.send(method, &target, None).await;
            let status = response.status().as_u16();
            let body = response.text().await.unwrap();
            assert!([200, 201, 400, 404].contains(&status), "{method} {path}: {status} {body}");
            assert!(status < 400 || body.contains("\"request_id\""), "{method} {path} was answered by the function: {body}");
        }
    }
}

async fn user_ids_are_decoded_once(dev: &Dev) {
    for (user_id, encoded) in [
        ("auth0|6f", "auth0%7C6f"),
        ("a b", "a%20b"),
        ("100%", "100%25"),
        ("a%2Fb", "a%252Fb"),
        ("a/b", "a%2Fb"),
        ("Zoë 山", "Zo%C3%AB%20%E5%B1%B1"),
    ] {
        dev.json("POST", "/conversations", Some(&json!({"user_id": user_id})), 201).await;
        let listed = dev.json("GET", &format!("/users/{encoded}/conversations"), None, 200).await;
        assert_eq!(listed[0]["user_id"], user_id);
        let erased = dev.json("DELETE", &format!("/users/{encoded}"), None, 200).await;
        assert_eq!(erased["conversations"], 1, "{user_id}");
    }
}

async fn pages_are_led_through_by_links(dev: &Dev) {
    let made = dev.json("POST", "/conversations?user_id=judy", None, 201).await;
    let mut target = format!("/conversations/{}/messages", made["id"].as_str().unwrap());
    let messages: Vec<Value> = (1..=5).map(|n| json!({"role": "user", "content": n.to_string()})).collect();
    dev.json("POST", &target, Some(&json!({"messages": messages})), 201).await;
    target += "?limit=2";
    let mut seen = Vec::new();
    loop {
        let response = dev.send("GET", &target, None).await;
        assert!(response.headers().contains_key("etag"));
        let link = response.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        seen.extend(
            response.json::<Vec<Value>>().await.unwrap().iter().map(|message| message["content"].as_str().unwrap().to_owned()),
        );
        let Some(link) = link else { break };
        link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().clone_into(&mut target);
    }
    assert_eq!(seen, ["1", "2", "3", "4", "5"]);
}
