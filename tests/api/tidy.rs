//! What says the same in several places says the same.

use std::collections::BTreeSet;

use crate::support::{ROUTES, project};

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
    for function in local::project::functions() {
        let alone = features(&["--package", function]);
        assert!(alone.len() > 50, "{alone:?}");
        let changed: Vec<&String> = alone.difference(&everything).collect();
        assert!(changed.is_empty(), "{function} alone has {changed:#?}");
    }
}

fn folders(path: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(project().join(path)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_function_has_a_folder_a_route_and_a_place_in_the_readme() {
    let functions = folders("functions");
    let routed = local::project::functions().into_iter().map(str::to_owned).collect();
    assert_eq!(functions, routed, "functions/ and the emulator's routes in Cargo.toml");
    let readme = std::fs::read_to_string(project().join("README.md")).unwrap();
    for (path, methods) in ROUTES.iter() {
        for (method, function) in methods {
            let row = readme.lines().find(|line| line.starts_with('|') && line.contains(&format!("`{method} {path}`")));
            assert!(
                row.is_some_and(|row| row.contains(&format!("`{function}`"))),
                "README.md has no row for {method} {path}, {function}"
            );
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
    for function in folders("functions") {
        let source = std::fs::read_to_string(project().join("functions").join(&function).join("src/main.rs")).unwrap();
        assert!(source.lines().count() <= 45, "{function} has outgrown a screen: what it does belongs in shared/");
        assert!(source.starts_with("//! "), "{function} does not say what it does");
    }
}
