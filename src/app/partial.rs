//! A file that is being made: under a name for the time being, and given its own at the end.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use tempfile::TempPath;

use super::failure::Failure;
use crate::store::backup;

/// A file under its name for the time being. It is locked, and removed when this is dropped.
pub(super) struct Partial {
    // Removed before it is unlocked.
    path: TempPath,
    lock: File,
}

impl Partial {
    /// Makes the file, or takes over what a process that was killed has left of it.
    ///
    /// # Errors
    /// [`Failure::Other`] where something lies in the way of `to`, somebody else is making it, or it cannot be made.
    pub fn begin(to: &Path, partial: &Path) -> Result<Self, Failure> {
        refuse_to_overwrite(to)?;
        let failed = |error| cannot_be_made(partial, &error);
        let (lock, is_new) = open(partial).map_err(failed)?;
        let in_use = || Failure::Other(format!("another command is making {}", partial.display()));
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use()),
            Err(TryLockError::Error(error)) => {
                if is_new {
                    // It is empty, and nobody else knows of it; the error is told.
                    let _ = std::fs::remove_file(partial);
                }
                return Err(failed(error));
            }
        }
        // Whoever had the lock before may have given the file its own name meanwhile. And the name may be a link.
        if !is_at(&lock, partial) {
            return Err(in_use());
        }
        let path = TempPath::try_from_path(partial).map_err(failed)?;
        lock.set_len(0).map_err(failed)?;
        Ok(Self { path, lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its own name, unless something has that by now, and makes the name durable. Whoever may read
    /// `like` may read it. Returns its size.
    ///
    /// # Errors
    /// [`Failure::Other`]; the file is removed, unless the error says that it was made.
    pub fn finish(self, like: &Path, to: &Path) -> Result<u64, Failure> {
        let failed = |error| cannot_be_made(to, &error);
        let permissions = std::fs::metadata(like).map_err(failed)?.permissions();
        self.lock.set_permissions(for_its_owner(&permissions)).map_err(failed)?;
        self.lock.sync_all().map_err(failed)?;
        let bytes = self.lock.metadata().map_err(failed)?.len();
        refuse_to_overwrite(to)?;
        self.path.persist_noclobber(to).map_err(|error| failed(error.error))?;
        match sync_directory(to) {
            Ok(()) => Ok(bytes),
            Err(error) => Err(Failure::Other(format!(
                "{} was made, but its name may not be on the disk yet: {error}",
                to.display()
            ))),
        }
    }
}

/// Opens the file, and says whether it is new.
fn open(partial: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    match options.clone().create_new(true).open(partial) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok((options.open(partial)?, false)),
        made => Ok((made?, true)),
    }
}

/// Refuses a name under which, or beside which, something lies.
fn refuse_to_overwrite(to: &Path) -> Result<(), Failure> {
    match backup::in_the_way(to) {
        None => Ok(()),
        Some(there) => {
            Err(Failure::Other(format!("{} is there already; nothing is overwritten", there.display())))
        }
    }
}

/// Makes what was done to names of a directory durable.
pub(super) fn sync_directory(of: &Path) -> io::Result<()> {
    let directory = of.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

fn cannot_be_made(path: &Path, error: &io::Error) -> Failure {
    Failure::Other(format!("{} cannot be made: {error}", path.display()))
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |facts: std::fs::Metadata| (facts.dev(), facts.ino());
    let of = |facts: io::Result<std::fs::Metadata>| facts.ok().map(identity);
    of(file.metadata()).is_some_and(|is| of(std::fs::symlink_metadata(path)) == Some(is))
}

#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

/// The owner may write in any case: a database must be written to.
#[cfg(unix)]
fn for_its_owner(permissions: &std::fs::Permissions) -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::Permissions::from_mode(permissions.mode() & 0o777 | 0o600)
}

#[cfg(not(unix))]
fn for_its_owner(permissions: &std::fs::Permissions) -> std::fs::Permissions {
    permissions.clone()
}
