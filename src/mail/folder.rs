//! Mails as files, for development: `LATCHET_MAIL=log`.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use latchet_guard::clock::{Clock, Time};

/// Most files that are kept; the oldest ones are deleted.
const MOST_FILES: usize = 1_000;

/// A folder with a file for each mail, which only the user of the server can read.
#[derive(Clone, Debug)]
pub(super) struct MailFolder {
    path: PathBuf,
    clock: Clock,
}

impl MailFolder {
    pub(super) fn new(path: PathBuf, clock: Clock) -> Self {
        Self { path, clock }
    }

    /// Writes a message. The file gets its name when it is complete; names sort by time.
    pub(super) fn write(&self, id: &str, message: &[u8]) -> io::Result<PathBuf> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)?;
        let name = file_name(self.clock.now(), id);
        let (partial, complete) = (self.path.join(format!("{name}.part")), self.path.join(name));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)?;
        file.write_all(message)?;
        drop(file);
        fs::rename(&partial, &complete)?;
        remove_oldest(&self.path)?;
        Ok(complete)
    }
}

fn file_name(now: Time, id: &str) -> String {
    // A colon is not allowed in the names of some file systems.
    let time = now.to_string().replace(':', "");
    let millis = now.millis().rem_euclid(1000);
    let time = time.get(..17).unwrap_or(&time);
    format!("{time}.{millis:03}-{id}.eml")
}

fn remove_oldest(folder: &Path) -> io::Result<()> {
    let mut mails = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "eml") {
            mails.push(path);
        }
    }
    mails.sort();
    let surplus = mails.len().saturating_sub(MOST_FILES);
    for path in &mails[..surplus] {
        match fs::remove_file(path) {
            // Another mail is written at the same time.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn mails_are_files_that_only_the_server_can_read() {
        let folder = TempDir::new().unwrap();
        let mails = MailFolder::new(folder.path().join("data/mails"), Clock::system());

        let path = mails.write("id-1", b"Hello").unwrap();

        assert_eq!(fs::read(&path).unwrap(), b"Hello");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn names_sort_by_time_and_the_oldest_files_are_deleted() {
        let folder = TempDir::new().unwrap();
        let mails = MailFolder::new(folder.path().to_owned(), Clock::system());
        for number in 0..MOST_FILES {
            let name = format!("2020-01-01T000000.{number:04}.eml");
            fs::write(folder.path().join(name), "old").unwrap();
        }

        let path = mails.write("id", b"new").unwrap();

        assert!(path.exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), MOST_FILES);
        assert!(!folder.path().join("2020-01-01T000000.0000.eml").exists());
        assert!(folder.path().join("2020-01-01T000000.0001.eml").exists());
        let name = |millis: i64| file_name(Time::from_millis(1_700_000_000_000 + millis), "a");
        let (first, second, third) = (name(0), name(7), name(1_000));
        assert!(first < second && second < third, "{first} {second} {third}");
    }
}
