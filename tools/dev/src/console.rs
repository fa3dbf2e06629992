//! The console: the page at `/console`. It is built by npm when somebody first opens it, and kept in target/ for as long as its sources
//! stay the same. So it costs nobody anything who does not look at it.

use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use local::http::Reply;
use local::{progress, project};
use sha2::{Digest, Sha256};

/// Where it is served.
pub(crate) const PATH: &str = "/console";

/// What the build reads. Everything else in these directories is made by a tool.
const SOURCES: [&str; 5] = ["console/src", "console/public", "clients/typescript/src", "console", "."];
/// The files of `SOURCES` that are read from directories which hold other things, too.
const FILES: [&str; 5] = ["index.html", "package.json", "package-lock.json", "vite.config.ts", "tsconfig.json"];

/// Sent with each file: nothing runs, loads or is asked for but what is served here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page while it is being built. The browser asks again by itself.
const BEING_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><link rel=\"icon\" href=\"/console/icon.svg\">\
                           <title>Scrollback</title>\
                           <p>The console is being built. This page shows it when it is ready.</p></html>";

#[derive(Clone, Default)]
enum State {
    #[default]
    NotAsked,
    BeingBuilt,
    Built(Arc<Path>),
    Failed(Arc<str>),
}

/// The console, from the first request for it.
#[derive(Clone, Default)]
pub(crate) struct Console {
    state: Arc<Mutex<State>>,
}

impl Console {
    /// The answer to a request, if it is one for the console.
    pub(crate) fn answer(&self, method: &Method, path: &str) -> Option<Reply> {
        let rest = path.strip_prefix(PATH)?;
        if !(rest.is_empty() || rest.starts_with('/')) {
            return None;
        }
        if method != Method::GET && method != Method::HEAD {
            return Some(reply(StatusCode::METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", "GET only\n".into()));
        }
        Some(match self.state() {
            State::Built(directory) => file(&directory, rest.trim_start_matches('/')),
            State::Failed(error) => reply(
                StatusCode::SERVICE_UNAVAILABLE,
                "text/plain; charset=utf-8",
                format!("There is no console: {error}\n").into(),
            ),
            State::NotAsked | State::BeingBuilt => {
                let mut reply = reply(StatusCode::ACCEPTED, "text/html; charset=utf-8", BEING_BUILT.into());
                reply.headers_mut().insert(HeaderName::from_static("refresh"), HeaderValue::from_static("1"));
                reply
            }
        })
    }

    /// The state. The first call begins the build.
    fn state(&self) -> State {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::NotAsked = *state {
            *state = State::BeingBuilt;
            let shared = Arc::clone(&self.state);
            tokio::task::spawn_blocking(move || {
                let outcome = match build() {
                    Ok(directory) => State::Built(directory.into()),
                    Err(error) => {
                        eprintln!("error: the console: {error:#}");
                        State::Failed(format!("{error:#}").into())
                    }
                };
                *shared.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
            });
        }
        state.clone()
    }
}

/// What builds the console. The packages of npm promise the same.
pub(crate) const NODE: &str = "Node 22.13 or later with npm (https://nodejs.org)";

/// Whether the Node that is here can build it.
pub(crate) fn has_node() -> bool {
    let output = |program: &str| Command::new(program).arg("--version").stdin(Stdio::null()).output().ok();
    let Some(version) = output("node").filter(|output| output.status.success()) else { return false };
    let version = String::from_utf8_lossy(&version.stdout).trim().trim_start_matches('v').to_owned();
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    let version = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    version >= (22, 13) && output("npm").is_some()
}

/// The directory of the built console. It is built if its sources have not been built before.
fn build() -> Result<PathBuf> {
    let project = project::project();
    let builds = project::target_directory().join("console");
    std::fs::create_dir_all(&builds).with_context(|| format!("cannot make the directory {}", builds.display()))?;
    // Another `cargo dev` may build the same.
    let lock = File::create(builds.join("lock")).context("cannot make the lock file of the console")?;
    lock.lock().context("cannot lock the console's directory")?;
    let built = builds.join(key(project)?);
    if built.join("index.html").is_file() {
        return Ok(built);
    }
    ensure!(has_node(), "it needs {NODE}");
    let _step = progress::step("Building the console");
    let (packages, installed) = (project.join("package-lock.json"), project.join("node_modules/.installed"));
    if std::fs::read(&installed).ok() != Some(std::fs::read(&packages).context("there is no package-lock.json")?) {
        npm(&["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"])?;
        // Last, so that an interrupted installation is not mistaken for one.
        std::fs::copy(&packages, &installed).context("cannot write to node_modules")?;
    }
    // Under another name until it is whole.
    let unfinished = builds.join("unfinished");
    let directory = unfinished.to_string_lossy();
    npm(&[
        "run",
        "--silent",
        "build",
        "--workspace",
        "console",
        "--",
        "--logLevel",
        "warn",
        "--emptyOutDir",
        "--outDir",
        &directory,
    ])?;
    std::fs::rename(&unfinished, &built).context("cannot rename the built console")?;
    Ok(built)
}

fn npm(arguments: &[&str]) -> Result<()> {
    let output = Command::new("npm").args(arguments).current_dir(project::project()).stdin(Stdio::null()).output();
    let output = output.context("npm does not run")?;
    if !output.status.success() {
        bail!("npm {} failed:\n{}", arguments[0], String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(())
}

/// A digest of all that the build reads.
fn key(project: &Path) -> Result<String> {
    let mut digest = Sha256::new();
    for directory in SOURCES {
        let all = directory.contains('/');
        let path = project.join(directory);
        let entries = std::fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut files: Vec<PathBuf> =
            entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_file()).collect();
        files.retain(|path| all || path.file_name().is_some_and(|name| FILES.iter().any(|file| name == *file)));
        files.sort();
        for file in files {
            let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            // The lengths keep the end of one file from being the beginning of the next.
            digest.update(format!("{} {}\n", file.strip_prefix(project).unwrap_or(&file).display(), bytes.len()));
            digest.update(bytes);
        }
    }
    let digest = digest.finalize();
    let (first, _) = digest.split_first_chunk::<8>().context("a digest has 32 bytes")?;
    Ok(format!("{:016x}", u64::from_be_bytes(*first)))
}

/// A file of the built console, or else its page: the page's own script reads the rest of the URL.
fn file(directory: &Path, name: &str) -> Reply {
    let name = if name.is_empty() { "index.html" } else { name };
    let is_inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    let path = directory.join(name);
    let media_type = match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    match is_inside.then(|| std::fs::read(path)) {
        Some(Ok(bytes)) => {
            let mut reply = reply(StatusCode::OK, media_type, bytes.into());
            // A name in here has a digest of the content in it.
            let kept = if name.starts_with("assets/") { "max-age=31536000, immutable" } else { "no-cache" };
            reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
            reply
        }
        _ => reply(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "Not Found\n".into()),
    }
}

fn reply(status: StatusCode, media_type: &'static str, body: Bytes) -> Reply {
    let mut reply = Reply::new(Full::new(body));
    *reply.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_outside_of_the_build_is_not_served() {
        let directory = project::project().join("tools/dev");
        assert_eq!(file(&directory, "Cargo.toml").status(), StatusCode::OK);
        let outside = project::project().join("Cargo.toml");
        for name in ["../../Cargo.toml", "src/../../../Cargo.toml", &outside.to_string_lossy(), "src", "nothing"] {
            assert_eq!(file(&directory, name).status(), StatusCode::NOT_FOUND, "{name}");
        }
    }

    #[test]
    fn the_page_asks_again_while_it_is_built_and_then_says_what_was_missing() {
        let get = |state| {
            let console = Console { state: Arc::new(Mutex::new(state)) };
            console.answer(&Method::GET, "/console").unwrap()
        };
        let reply = get(State::BeingBuilt);
        assert_eq!((reply.status(), &reply.headers()["refresh"]), (StatusCode::ACCEPTED, &HeaderValue::from_static("1")));
        // Without it, a browser asks for /favicon.ico.
        assert!(BEING_BUILT.contains("<link rel=\"icon\" href=\"/console/icon.svg\">"));
        assert_eq!(get(State::Failed("no Node".into())).status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn the_key_is_of_the_sources_that_are_there() {
        let key = key(project::project()).unwrap();
        assert_eq!((key.len(), &key), (16, &super::key(project::project()).unwrap()));
        assert!(super::key(Path::new("/nothing")).is_err());
    }
}
