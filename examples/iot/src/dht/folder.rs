//! Where `iot dht node` keeps its records: a directory with a file for each.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::mem;
use std::path::{Path, PathBuf};

use iot_dht::{Key, Shelf};

use crate::Failure;
use crate::envelope::failed;

/// What a file is called until it is whole.
const UNFINISHED: &str = "new";

/// The file of the nodes that were in the table.
const TABLE: &str = "table";

/// What is to be written, by key; `None` for what is to be removed. A node writes to it without waiting for a disk.
#[derive(Debug, Default)]
pub struct Changes(BTreeMap<Key, Option<Vec<u8>>>);

impl Shelf for Changes {
    type Error = Infallible;

    fn keep(&mut self, key: &Key, octets: &[u8]) -> Result<(), Infallible> {
        self.0.insert(*key, Some(octets.to_vec()));
        Ok(())
    }

    fn remove(&mut self, key: &Key) -> Result<(), Infallible> {
        self.0.insert(*key, None);
        Ok(())
    }
}

/// The directory, which no other process uses meanwhile.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Opens it, or makes it.
    pub fn open(path: &OsStr) -> Result<Self, Failure> {
        let wrong = |error: io::Error| failed(path, &error);
        fs::create_dir_all(path).map_err(wrong)?;
        let path = PathBuf::from(path);
        let lock = File::create(path.join("lock")).map_err(wrong)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                Failure::Input(format!("{}: another node keeps its records there", path.display()))
            }
            TryLockError::Error(error) => wrong(error),
        })?;
        Ok(Self { path, _lock: lock })
    }

    /// What is kept, with the files that hold it.
    pub fn records(&self) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.extension() == Some(OsStr::new(UNFINISHED)) {
                fs::remove_file(&path)?;
            } else if path.file_name().is_some_and(|name| name.len() == 2 * Key::LEN) {
                records.push((path.clone(), fs::read(&path)?));
            }
        }
        Ok(records)
    }

    /// The octets of the nodes that were in the table, if there are any.
    pub fn table(&self) -> Option<Vec<u8>> {
        fs::read(self.path.join(TABLE)).ok()
    }

    pub fn write_table(&self, octets: &[u8]) -> io::Result<()> {
        self.replace(&self.path.join(TABLE), octets)
    }

    /// Writes what changed: each record is there before or after a power cut, and never half of it. What could not be
    /// written remains among the changes, and the first reason is given.
    pub fn write(&self, changes: &mut Changes) -> io::Result<()> {
        let mut outcome = Ok(());
        let is_changed = !changes.0.is_empty();
        changes.0.retain(|key, octets| {
            let path = self.path.join(key.to_string());
            let done = octets.as_ref().map_or_else(|| remove(&path), |octets| self.replace(&path, octets));
            let failed = done.is_err();
            outcome = mem::replace(&mut outcome, Ok(())).and(done);
            failed
        });
        if is_changed { outcome.and(File::open(&self.path)?.sync_all()) } else { outcome }
    }

    fn replace(&self, path: &Path, octets: &[u8]) -> io::Result<()> {
        let unfinished = path.with_extension(UNFINISHED);
        let mut file = File::create(&unfinished)?;
        file.write_all(octets)?;
        file.sync_data()?;
        fs::rename(&unfinished, path)
    }
}

/// Removes a file that may be gone already.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(of: &[(u8, Option<&[u8]>)]) -> Changes {
        let key = |first| Key::from_bytes([first; 32]);
        Changes(of.iter().map(|(first, octets)| (key(*first), octets.map(<[u8]>::to_vec))).collect())
    }

    #[test]
    fn what_was_written_is_there_and_what_was_removed_or_is_half_written_is_not() {
        let place = tempfile::tempdir().expect("a directory");
        let folder = Folder::open(place.path().as_os_str()).expect("an empty directory");
        let mut first = changes(&[(1, Some(b"one")), (2, Some(b"two"))]);
        folder.write(&mut first).expect("room for two files");
        assert!(first.0.is_empty());
        folder.write(&mut changes(&[(1, None), (2, Some(b"more")), (3, None)])).expect("room for one file");
        folder.write_table(b"table").expect("room for one file");
        fs::write(place.path().join(format!("{}.new", "03".repeat(32))), b"hal").expect("room for one file");
        let another = Folder::open(place.path().as_os_str()).err();
        assert!(matches!(another, Some(Failure::Input(words)) if words.contains("another node keeps its records")));
        drop(folder);
        let folder = Folder::open(place.path().as_os_str()).expect("nobody uses it");
        let records = folder.records().expect("what was written");
        assert_eq!(records, [(place.path().join("02".repeat(32)), b"more".to_vec())]);
        assert_eq!(folder.table().as_deref(), Some(&b"table"[..]));
        assert!(fs::read_dir(place.path()).expect("a directory").count() == 3, "a record, the table and the lock");
    }

    #[test]
    fn what_cannot_be_written_remains_to_be_written() {
        let place = tempfile::tempdir().expect("a directory");
        let folder = Folder::open(place.path().as_os_str()).expect("an empty directory");
        // A directory stands where the file is to be.
        fs::create_dir(place.path().join("01".repeat(32))).expect("room");
        let mut waiting = changes(&[(1, Some(b"one")), (2, Some(b"two"))]);
        folder.write(&mut waiting).expect_err("the place is taken");
        assert_eq!(waiting.0.len(), 1, "the other has its place");
        fs::remove_dir(place.path().join("01".repeat(32))).expect("an empty directory");
        folder.write(&mut waiting).expect("the place is free");
        assert_eq!(folder.records().expect("what was written").len(), 2);
    }
}
