//! Finds what some tests need and not every machine has, so that they are listed as ignored where it is missing.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    // Recorded conversations, which are no part of the project.
    let transcripts = PathBuf::from(std::env::var_os("TRANSCRIPTS").unwrap_or_default());
    tell("has_transcripts", transcripts.is_file());
    println!("cargo::rustc-env=TRANSCRIPTS_FILE={}", transcripts.display());
    println!("cargo::rerun-if-env-changed=TRANSCRIPTS");
    if transcripts.is_file() {
        println!("cargo::rerun-if-changed={}", transcripts.display());
    }

    // The emulator of cargo-lambda.
    let cargo_lambda = std::env::var_os("CARGO_LAMBDA").unwrap_or_else(|| "cargo-lambda".into());
    let found = Command::new(&cargo_lambda).args(["lambda", "--version"]).output().is_ok_and(|output| output.status.success());
    tell("has_cargo_lambda", found);
    println!("cargo::rustc-env=CARGO_LAMBDA={}", cargo_lambda.display());
    println!("cargo::rerun-if-env-changed=CARGO_LAMBDA");
    println!("cargo::rerun-if-env-changed=PATH");

    // A network namespace, in which a test may drop packets, and a mount namespace, in which it may say what a name resolves to. Root can
    // make them, and on many systems everybody else, too.
    let inside = "PATH=$PATH:/usr/sbin:/sbin; ip link set lo up && nft add table inet probe && mount --bind /etc/hosts /etc/hosts";
    let makes_one = |options: &&&str| {
        let output = Command::new("unshare").args(options.split(' ')).args(["sh", "-c", inside]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let options = ["--net --mount", "--map-current-user --keep-caps --net --mount"].iter().find(makes_one);
    tell("has_namespaces", options.is_some());
    println!("cargo::rustc-env=UNSHARE_OPTIONS={}", options.unwrap_or(&""));
    println!("cargo::rerun-if-changed=/usr/sbin/nft");

    // What counts instructions.
    tell("has_valgrind", Command::new("valgrind").arg("--version").output().is_ok());
    println!("cargo::rerun-if-changed=/usr/bin/valgrind");
}

fn tell(name: &str, is_so: bool) {
    println!("cargo::rustc-check-cfg=cfg({name})");
    if is_so {
        println!("cargo::rustc-cfg={name}");
    }
}
