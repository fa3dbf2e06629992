//! The workspace, as its manifest has it: where it is, and which function serves what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

/// Path → method → function.
pub type Routes = BTreeMap<String, BTreeMap<String, String>>;

/// The emulator's route table, `[workspace.metadata.lambda.watch.router]`, which tests hold against `template.yaml` and `openapi.yaml`.
///
/// # Panics
/// The manifest, which was there when this was built, has no such table.
pub static ROUTES: LazyLock<Routes> = LazyLock::new(|| {
    let manifest: toml::Table = std::fs::read_to_string(project().join("Cargo.toml"))
        .expect("the workspace's manifest")
        .parse()
        .expect("the workspace's manifest is TOML");
    let text = |value: &toml::Value| value.as_str().expect("a route's members are strings").to_owned();
    let entries = |value: &toml::Value| {
        let entries = value.as_array().expect("a path's routes are an array").iter();
        entries.map(|entry| (text(&entry["method"]), text(&entry["function"]))).collect()
    };
    let router = manifest["workspace"]["metadata"]["lambda"]["watch"]["router"].as_table().expect("the router is a table");
    router.iter().map(|(path, functions)| (path.clone(), entries(functions))).collect()
});

/// The names of all functions, which are the names of their folders and binaries.
#[must_use]
pub fn functions() -> BTreeSet<&'static str> {
    ROUTES.values().flat_map(|methods| methods.values().map(String::as_str)).collect()
}

/// The project's root.
#[must_use]
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}
