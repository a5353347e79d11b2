//! What files need of a Unix: a lock by `flock`, syncs of directories, and reads and writes at a position.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::FlockOperation;

use super::file_system::{self, FileSystemWarning};

/// A directory, locked for as long as this value lives.
#[derive(Debug)]
pub(super) struct Directory(File);

impl Directory {
    /// Takes the lock of the directory at `path`; nothing while another has it.
    pub(super) fn lock(path: &Path) -> io::Result<Option<Self>> {
        let directory = File::open(path)?;
        match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(directory))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes what files it holds durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    pub(super) fn warning(&self) -> Option<FileSystemWarning> {
        file_system::warning(&self.0)
    }
}

impl Drop for Directory {
    /// Gives the lock back by name: a child that another thread is starting may hold a copy of the descriptor for a
    /// moment, and closing ours alone would leave the lock with it.
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// Makes a directory that its owner alone can read.
pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Makes durable what the directory at `path` holds.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path).and_then(|directory| directory.sync_all())
}

/// How a file is made that its owner alone can read.
pub(super) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

pub(super) fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    file.read_at(buffer, position)
}

pub(super) fn write_all_at(file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
    file.write_all_at(bytes, position)
}

/// Asks for `len` octets after `position` in one piece, without lengthening the file, which finds a full disk before time
/// is spent. File systems that cannot do it do without. A signal may end it early, which says nothing about the disk.
#[cfg(target_os = "linux")]
pub(super) fn reserve(file: &File, position: u64, len: u64) -> io::Result<()> {
    let allocate = || rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, position, len);
    match rustix::io::retry_on_intr(allocate) {
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Room is found as it is filled.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "where there is such a call, it can fail")]
pub(super) fn reserve(_: &File, _: u64, _: u64) -> io::Result<()> {
    Ok(())
}
