//! Who runs the server: Postgres refuses root, so root hands over to another user, who owns the server's files from then on.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

pub(crate) struct ServerUser {
    name: String,
    user_id: u32,
    group_id: u32,
    /// We are root, and this user is not.
    other: bool,
}

impl ServerUser {
    pub(crate) fn choose() -> Result<Self> {
        if !is_root() {
            let name = id(&["-un"]).context("id does not say which user this is")?;
            return Self::named(&name, false).with_context(|| format!("the user {name} is not in the user database"));
        }
        match ["postgres", "nobody"].into_iter().find_map(|name| Self::named(name, true)) {
            Some(user) => Ok(user),
            None => bail!("Postgres does not run as root, and there is neither a user postgres nor a user nobody to run it as"),
        }
    }

    fn named(name: &str, other: bool) -> Option<Self> {
        let number = |what| id(&[what, name])?.parse().ok();
        Some(Self { name: name.to_owned(), user_id: number("-u")?, group_id: number("-g")?, other })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Makes the command run as this user.
    pub(crate) fn run(&self, command: &mut Command) {
        if self.other {
            command.uid(self.user_id).gid(self.group_id);
        }
    }

    /// Makes a directory that only this user (and root) can look into, unless it is there.
    pub(crate) fn create_directory(&self, path: &Path) -> Result<()> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("cannot make the directory {}", parent.display()))?;
        }
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => made.with_context(|| format!("cannot make the directory {}", path.display())).and_then(|()| self.own(path)),
        }
    }

    /// Writes a file that only this user (and root) can read.
    pub(crate) fn write_private(&self, path: &Path, content: &str) -> Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options
            .open(path)
            .and_then(|mut file| file.write_all(content.as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        self.own(path)
    }

    fn own(&self, path: &Path) -> Result<()> {
        if self.other {
            chown(path, Some(self.user_id), Some(self.group_id))
                .with_context(|| format!("cannot give {} to the user {}", path.display(), self.name))?;
        }
        Ok(())
    }
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    id(&["-u"]).as_deref() == Some("0")
}

/// What `id` prints. It reads the same user database as the system, and every Unix has it.
pub(crate) fn id(arguments: &[&str]) -> Option<String> {
    let output = Command::new("id").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
