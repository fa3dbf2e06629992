//! Who runs the server: Postgres refuses root, so root hands over to another user, who owns the server's files from then on.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use nix::unistd::{Uid, User};

pub(crate) struct ServerUser {
    user: User,
    /// We are root, and they are not.
    other: bool,
}

impl ServerUser {
    pub(crate) fn choose() -> Result<Self> {
        let me = Uid::effective();
        if !me.is_root() {
            let user = User::from_uid(me)?.with_context(|| format!("the user {me} is not in the user database"))?;
            return Ok(Self { user, other: false });
        }
        for name in ["postgres", "nobody"] {
            if let Some(user) = User::from_name(name)? {
                return Ok(Self { user, other: true });
            }
        }
        anyhow::bail!("Postgres does not run as root, and there is neither a user postgres nor a user nobody to run it as");
    }

    pub(crate) fn name(&self) -> &str {
        &self.user.name
    }

    /// Makes the command run as this user.
    pub(crate) fn run(&self, command: &mut Command) {
        if self.other {
            command.uid(self.user.uid.as_raw()).gid(self.user.gid.as_raw());
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
            chown(path, Some(self.user.uid.as_raw()), Some(self.user.gid.as_raw()))
                .with_context(|| format!("cannot give {} to the user {}", path.display(), self.user.name))?;
        }
        Ok(())
    }
}
