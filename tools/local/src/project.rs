//! The workspace, as its manifest has it: where it is, how its functions are built, and which function serves what.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde::Deserialize;

/// Path → method → function.
pub type Routes = BTreeMap<String, BTreeMap<String, String>>;

/// The route table, `[workspace.metadata.lambda.watch.router]`, which tests hold against `template.yaml` and `openapi.yaml`.
pub static ROUTES: LazyLock<Routes> = LazyLock::new(|| {
    let router = &METADATA.metadata.lambda.watch.router;
    let methods = |routes: &Vec<Route>| routes.iter().map(|route| (route.method.clone(), route.function.clone())).collect();
    router.iter().map(|(path, routes)| (path.clone(), methods(routes))).collect()
});

/// What cargo says of the manifest.
///
/// # Panics
/// There is no cargo, or the manifest, which was there when this was built, has no route table.
static METADATA: LazyLock<Metadata> = LazyLock::new(|| {
    let output = cargo().args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).output().expect("cargo runs");
    assert!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("Cargo.toml has [workspace.metadata.lambda.watch.router]")
});

#[derive(Deserialize)]
struct Metadata {
    target_directory: PathBuf,
    metadata: WorkspaceMetadata,
}

#[derive(Deserialize)]
struct WorkspaceMetadata {
    lambda: Lambda,
}

#[derive(Deserialize)]
struct Lambda {
    watch: Watch,
}

#[derive(Deserialize)]
struct Watch {
    router: BTreeMap<String, Vec<Route>>,
}

#[derive(Deserialize)]
struct Route {
    method: String,
    function: String,
}

/// The functions that a schedule runs. No route leads to them.
pub const SCHEDULED: [&str; 1] = ["purge-expired"];

/// The names of all functions that have a route, which are the names of their folders and binaries.
#[must_use]
pub fn functions() -> BTreeSet<&'static str> {
    ROUTES.values().flat_map(|methods| methods.values().map(String::as_str)).collect()
}

/// The project's root.
#[must_use]
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("/"))
}

/// The directory of the binaries that cargo builds, without a profile.
#[must_use]
pub fn target_directory() -> &'static Path {
    &METADATA.target_directory
}

/// Cargo in the project's root: the one that runs us, if one does. It is not told of the package that runs it, because that makes some
/// build scripts run again.
#[must_use]
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command.current_dir(project());
    command
}

/// The command that builds all functions, as `cargo dev` does: together with the local server, whose dependencies they share. Cargo unites
/// the features of the packages that it builds at once, so that another choice of packages would compile the dependencies anew.
#[must_use]
pub fn build() -> Command {
    let mut command = cargo();
    command.args(["build", "--package", "dev", "--bin", "dev"]);
    command.args(["--package", "functions"]);
    command.args(functions().into_iter().chain(SCHEDULED).flat_map(|function| ["--bin", function]));
    command
}
