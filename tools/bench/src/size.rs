//! What is uploaded: each binary in a zip of its own, packed as cargo-lambda does it.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::figures::Figure;
use super::{Bench, functions};
use local::project::project;

/// MB, zipped.
const GOAL: f64 = 3.5;

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    for function in functions() {
        add(bench, &format!("{function}, {}", std::env::consts::ARCH), &bench.subjects.binary(function))?;
        // `cargo lambda build --release --arm64` makes it.
        let arm = project().join("target/lambda").join(function).join("bootstrap");
        if std::env::consts::ARCH != "aarch64" && is_arm(&arm) {
            add(bench, &format!("{function}, aarch64"), &arm)?;
        }
    }
    Ok(())
}

fn add(bench: &mut Bench, name: &str, binary: &Path) -> Result<()> {
    let binary = std::fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
    let mut zip = DeflateEncoder::new(Vec::new(), Compression::default());
    zip.write_all(&binary)?;
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let size = zip.finish()?.len() as f64 / 1e6;
    bench.figures.add(Figure::new("bootstrap, zipped", name, size, "MB").at_most(GOAL, format!("≤ {GOAL} MB")));
    Ok(())
}

/// Whether the file is an ELF for arm64.
fn is_arm(path: &PathBuf) -> bool {
    std::fs::read(path).is_ok_and(|file| file.starts_with(b"\x7fELF") && file.get(18..20) == Some(&[0xb7, 0]))
}
