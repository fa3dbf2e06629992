//! Where the tool keeps things on this machine. For root that is outside its home: Postgres runs as another user, who cannot look in there.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::postgres::user::is_root;

/// What can be fetched again.
///
/// # Errors
/// A user without a home.
pub fn cache() -> Result<PathBuf> {
    if is_root() {
        return Ok("/var/cache/scrollback".into());
    }
    Ok(dirs::cache_dir().context("there is no cache directory: set HOME")?.join("scrollback"))
}

/// The data of `cargo dev`.
///
/// # Errors
/// A user without a home.
pub fn data() -> Result<PathBuf> {
    if is_root() {
        return Ok("/var/lib/scrollback-dev".into());
    }
    Ok(dirs::data_local_dir().context("there is no data directory: set HOME")?.join("scrollback-dev"))
}
