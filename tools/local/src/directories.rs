//! Where the tool keeps things on this machine. For root that is outside root's home, because Postgres runs as another user, who cannot look
//! in there.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::user::is_root;

/// The directory for what can be fetched or made again. It is made if need be.
///
/// # Errors
/// A user without a home, or a directory that cannot be made.
pub fn cache() -> Result<PathBuf> {
    let root = is_root();
    let path = if root {
        "/var/cache/scrollback".into()
    } else {
        dirs::cache_dir().context("there is no cache directory: set HOME")?.join("scrollback")
    };
    let unusable = || format!("cannot make the directory {}", path.display());
    std::fs::create_dir_all(&path).with_context(unusable)?;
    // The user who runs Postgres for root has to reach the binaries in here, even if root's umask says otherwise.
    if root && path.metadata().with_context(unusable)?.permissions().mode() & 0o005 != 0o005 {
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).with_context(unusable)?;
    }
    Ok(path)
}

/// The directory of the data of `cargo dev`.
///
/// # Errors
/// A user without a home.
pub fn data() -> Result<PathBuf> {
    if is_root() {
        return Ok("/var/lib/scrollback-dev".into());
    }
    Ok(dirs::data_local_dir().context("there is no data directory: set HOME")?.join("scrollback-dev"))
}
