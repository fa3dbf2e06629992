//! No module needs itself by way of others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::support::project;

/// Each module, with the modules that it names.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// A way from a module back to itself, if there is one.
fn cycle(uses: &Uses) -> Option<Vec<&str>> {
    fn back<'a>(uses: &'a Uses, way: &mut Vec<&'a str>, seen: &mut BTreeSet<&'a str>) -> bool {
        let at = *way.last().unwrap();
        uses.get(at).into_iter().flatten().any(|next| {
            way.push(next);
            let found = next == way[0] || (seen.insert(next) && back(uses, way, seen));
            if !found {
                way.pop();
            }
            found
        })
    }
    uses.keys().find_map(|module| {
        let mut way = vec![module.as_str()];
        back(uses, &mut way, &mut BTreeSet::new()).then_some(way)
    })
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The code of a file in Rust, without its comments and its own tests.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The first names of the paths that begin with `root::`. A group such as `crate::{a, b::c}` has several.
fn first_names(code: &str, root: &str) -> Vec<String> {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    let mut names = Vec::new();
    for (at, path) in code.match_indices(&format!("{root}::")) {
        if !code[..at].ends_with(|before| is_name(before) || before == ':') {
            let rest = &code[at + path.len()..];
            let end = |character| if rest.starts_with('{') { character == ';' } else { !is_name(character) };
            names.extend(rest.split(end).next().unwrap_or_default().split(|character| !is_name(character)).map(str::to_owned));
        }
    }
    names
}

/// The modules at the top of a package. One with a folder is all that is in there.
fn uses_of_package(source: &Path) -> Uses {
    let mut uses = Uses::new();
    for file in files(source) {
        let inner = file.strip_prefix(source).unwrap().with_extension("");
        let module = inner.iter().next().unwrap().to_str().unwrap().to_owned();
        if file.extension().is_none_or(|extension| extension != "rs") || ["lib", "main", "bin"].contains(&module.as_str()) {
            continue;
        }
        let code = code(&file);
        let roots: &[&str] = if inner.iter().count() == 1 { &["crate", "super"] } else { &["crate"] };
        let names = roots.iter().flat_map(|root| first_names(&code, root)).filter(|name| *name != module).collect::<Vec<_>>();
        uses.entry(module).or_default().extend(names);
    }
    let modules: BTreeSet<String> = uses.keys().cloned().collect();
    for names in uses.values_mut() {
        names.retain(|name| modules.contains(name));
    }
    uses
}

#[test]
fn no_module_of_rust_needs_itself_by_way_of_others() {
    let mut count = 0;
    for package in ["context", "shared", "tools/bench", "tools/dev", "tools/local", "tools/migrate"] {
        let uses = uses_of_package(&project().join(package).join("src"));
        assert_eq!(cycle(&uses), None, "{package}");
        count += uses.values().map(BTreeSet::len).sum::<usize>();
    }
    assert!(count > 50, "{count} uses were found");
}

#[test]
fn no_file_of_typescript_needs_itself_by_way_of_others() {
    for package in ["clients/typescript", "clients/ai-sdk", "clients/assistant-ui", "console"] {
        let mut uses = Uses::new();
        for file in files(&project().join(package).join("src")) {
            let text = std::fs::read_to_string(&file).unwrap();
            let names = text.split("\"./").skip(1).filter_map(|rest| rest.split_once(".js\"")).map(|(name, _)| name.to_owned());
            uses.insert(file.file_stem().unwrap().to_str().unwrap().to_owned(), names.collect());
        }
        assert!(uses.values().any(|names| names.iter().any(|name| uses.contains_key(name))), "{package}: {uses:?}");
        assert_eq!(cycle(&uses), None, "{package}");
    }
}
