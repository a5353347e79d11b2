//! What files need of a Windows: a lock by a file that nobody else may open, and reads and writes at a position.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::FileSystemWarning;

/// Nobody else may open the file, in no way.
const SHARE_NOTHING: u32 = 0;
/// `ERROR_SHARING_VIOLATION`: somebody has opened the file, and shares nothing.
const SHARING_VIOLATION: i32 = 32;

/// A directory, locked for as long as this value lives.
#[derive(Debug)]
pub(super) struct Directory {
    /// The system closes it when the process ends, however it ends. The file itself stays.
    _lock: File,
}

impl Directory {
    /// Takes the lock of the directory at `path`; nothing while another has it.
    pub(super) fn lock(path: &Path) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).share_mode(SHARE_NOTHING);
        match options.open(path.join("queue.lock")) {
            Ok(lock) => Ok(Some(Self { _lock: lock })),
            Err(error) if error.raw_os_error() == Some(SHARING_VIOLATION) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Nothing is left to do: NTFS writes to its journal that a file exists before the flush of that file returns, and
    /// each is flushed when it is made.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "other systems have something to do")]
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// The standard library has no way to ask.
    #[expect(clippy::unused_self, reason = "other systems can tell")]
    pub(super) fn warning(&self) -> Option<FileSystemWarning> {
        None
    }
}

/// Makes a directory, with the rights of the one above it.
pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().create(path)
}

/// As [`Directory::sync`]. A directory that a power cut takes back was empty.
#[expect(clippy::unnecessary_wraps, reason = "other systems have something to do")]
pub(super) fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// How a file is made, with the rights of the directory.
pub(super) fn private_file() -> OpenOptions {
    OpenOptions::new()
}

pub(super) fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    file.seek_read(buffer, position)
}

pub(super) fn write_all_at(file: &File, mut bytes: &[u8], mut position: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.seek_write(bytes, position) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(octets) => {
                bytes = &bytes[octets..];
                position += octets as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Room is found as it is filled.
#[expect(clippy::unnecessary_wraps, reason = "where there is such a call, it can fail")]
pub(super) fn reserve(_: &File, _: u64, _: u64) -> io::Result<()> {
    Ok(())
}
