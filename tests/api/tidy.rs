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

/// The major versions of PostgreSQL that `.ci/run` names, in their order, and the one that it fetches.
#[test]
fn the_documents_name_the_versions_of_postgresql_that_ci_runs() {
    let read = |file: &str| std::fs::read_to_string(project().join(file)).unwrap();
    let number = |text: &str| text.split(|character: char| !character.is_ascii_digit()).next().unwrap().parse::<u32>().ok();
    let ci = read(".ci/run");
    let named: Vec<u32> = ci.split("bash .ci/postgres ").skip(1).filter_map(number).collect();
    assert!(ci.contains("\nexport PG_BIN=fetch\n"), ".ci/run no longer runs the tests on the version that is fetched");
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
