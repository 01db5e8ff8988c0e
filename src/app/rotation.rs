//! The names of backups with a time in them, and which of them are deleted.

use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::output::note;
use super::partial::sync_directory;
use crate::ledger::Timestamp;
use crate::store::backup::is_backup;

/// Of the time in a name, such as 20261128T230000Z.
const FORMAT: &str = "%Y%m%dT%H%M%SZ";
/// The same with a `d` for each digit.
const FORM: &str = "ddddddddTddddddZ";

/// The name of a file, taken apart.
pub(super) struct Name {
    directory: PathBuf,
    stem: String,
    /// With its point; empty without one.
    extension: String,
}

impl Name {
    /// # Errors
    /// [`Failure::Other`] where the path names no file, or not in Unicode.
    pub fn of(path: &Path) -> Result<Self, Failure> {
        let text = |part: &std::ffi::OsStr| part.to_str().map(str::to_owned);
        let stem = path.file_name().and(path.file_stem()).and_then(text);
        let extension = match path.extension() {
            None => Some(String::new()),
            Some(extension) => text(extension).map(|extension| format!(".{extension}")),
        };
        match (stem, extension) {
            (Some(stem), Some(extension)) => {
                let directory = path.parent().map(Path::to_owned).unwrap_or_default();
                Ok(Self { directory, stem, extension })
            }
            _ => Err(Failure::Other(format!("{} names no file", path.display()))),
        }
    }

    /// The name that the file has while it is made.
    pub fn partial(&self) -> PathBuf {
        self.directory.join(format!("{}{}.partial", self.stem, self.extension))
    }

    /// The name with a time in it.
    ///
    /// # Errors
    /// [`Failure::Other`] where the clock shows no year of four digits.
    pub fn at(&self, now: Timestamp) -> Result<PathBuf, Failure> {
        let time =
            jiff::Timestamp::from_microsecond(now.micros()).map(|time| time.strftime(FORMAT).to_string());
        match time {
            Ok(time) if has_form(&time) => {
                Ok(self.directory.join(format!("{}-{time}{}", self.stem, self.extension)))
            }
            _ => Err(Failure::Other("the clock shows no time that a name can have".to_owned())),
        }
    }

    /// True for a name that [`Name::at`] gives.
    fn has_time(&self, name: &str) -> bool {
        let rest = name.strip_prefix(&self.stem).and_then(|rest| rest.strip_prefix('-'));
        rest.and_then(|rest| rest.strip_suffix(&self.extension)).is_some_and(has_form)
    }

    /// Deletes the oldest backups with a time in their names, so that `keep` are left with the new one. The new one is
    /// never among them. Returns those that it deleted.
    ///
    /// # Errors
    /// [`Failure::Other`] where one cannot be deleted; the new one is there all the same.
    pub fn delete_old(&self, new: &Path, keep: std::num::NonZeroUsize) -> Result<Vec<PathBuf>, Failure> {
        let failed = |path: &Path, error: &std::io::Error| {
            let (new, path) = (new.display(), path.display());
            Failure::Other(format!("{new} was made, but {path} cannot be deleted: {error}"))
        };
        let directory = if self.directory.as_os_str().is_empty() { Path::new(".") } else { &self.directory };
        let entries = std::fs::read_dir(directory).map_err(|error| failed(directory, &error))?;
        let mut old = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| failed(directory, &error))?;
            let name = entry.file_name();
            let is_named = name.to_str().is_some_and(|name| self.has_time(name));
            if !is_named || Some(name.as_os_str()) == new.file_name() {
                continue;
            }
            let path = self.directory.join(&name);
            match entry.file_type().and_then(|kind| Ok(kind.is_file() && is_backup(&path)?)) {
                Ok(true) => old.push(path),
                Ok(false) => note(&format!(
                    "{} is left alone: it is no backup as this command makes them",
                    path.display()
                )),
                Err(error) => note(&format!("{} is left alone: {error}", path.display())),
            }
        }
        // One that was made while the clock was ahead is no newer one. It is left alone, and not counted.
        let is_ahead = |path: &PathBuf| path.file_name() > new.file_name();
        for path in old.extract_if(.., |path| is_ahead(path)) {
            note(&format!("{} is left alone: its name has a time to come", path.display()));
        }
        // The names are in the order of their times.
        old.sort_by(|one, other| other.cmp(one));
        let old = old.split_off(old.len().min(keep.get().saturating_sub(1)));
        for path in &old {
            std::fs::remove_file(path).map_err(|error| failed(path, &error))?;
        }
        if let Some(first) = old.first() {
            sync_directory(first).map_err(|error| failed(first, &error))?;
        }
        Ok(old)
    }
}

/// True for a text of the form of the time.
fn has_form(time: &str) -> bool {
    let is_like = |(byte, form): (u8, u8)| if form == b'd' { byte.is_ascii_digit() } else { byte == form };
    time.len() == FORM.len() && time.bytes().zip(FORM.bytes()).all(is_like)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_it_gives_are_its_own() {
        let name = Name::of(Path::new("/b/ledger.v2.db")).unwrap();
        let made = name.at(Timestamp::from_micros(1_795_909_200_123_456)).unwrap();
        assert_eq!(made, Path::new("/b/ledger.v2-20261128T234000Z.db"));
        assert_eq!(name.partial(), Path::new("/b/ledger.v2.db.partial"));
        assert!(name.has_time("ledger.v2-20261128T234000Z.db"));
        for other in [
            "ledger.v2.db",
            "ledger.v2-.db",
            "ledger.v2-20261128T234000Z",
            "ledger.v2-20261128T234000Z.db-wal",
            "ledger.v2-20261128T234000Z.db.partial",
            "ledger.v2-20261128t234000z.db",
            "ledger.v2-20261128T2340001.db",
            "ledger.v2-x20261128T234000Z.db",
            "my-ledger.v2-20261128T234000Z.db",
            "ledger-20261128T234000Z.db",
        ] {
            assert!(!name.has_time(other), "{other}");
        }
        let plain = Name::of(Path::new("ledger")).unwrap();
        assert_eq!(plain.at(Timestamp::from_micros(0)).unwrap(), Path::new("ledger-19700101T000000Z"));
        assert!(plain.at(Timestamp::from_micros(i64::MAX)).is_err());
        for no_file in ["", "/", "a/.."] {
            assert!(Name::of(Path::new(no_file)).is_err(), "{no_file:?}");
        }
    }
}
