//! Segments as files.

mod file_system;
#[cfg(unix)]
#[path = "file/unix.rs"]
mod system;
#[cfg(windows)]
#[path = "file/windows.rs"]
mod system;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::file_system::FileSystemWarning;
use self::system::Directory;
use super::{Operation, SegmentExtent, SegmentNumber, Storage, StorageError, Syncer};

/// Zeros are written in pieces of so many octets.
const ZEROS: usize = 64 * 1024;

/// Segments as files in a directory, `00000000.segment` and so on.
///
/// The directory is locked for as long as this value lives, so that a second process, or a second handle in this one, is
/// refused. The system drops the lock when the process ends, however it ends.
///
/// Files are filled with zeros when they are allocated, not only reserved: later writes then change no metadata, and
/// `fdatasync` has only data to wait for. That holds on file systems that overwrite in place (ext4, xfs), and not on those
/// that copy (btrfs, zfs), where it costs time and room but no safety; [`warning`](Self::warning) says so.
///
/// | | Linux | other Unixes | Windows |
/// | --- | --- | --- | --- |
/// | lock | `flock` on the directory | the same | the file `queue.lock`, which nobody else may open |
/// | room | reserved by `fallocate`, then filled | filled | filled |
/// | a file exists durably | sync of the directory | the same | sync of the file, as NTFS does it |
/// | readable by | its owner | its owner | whom the directory above says |
/// | `warning` | yes | no | no |
#[derive(Debug)]
pub struct FileStorage {
    path: PathBuf,
    directory: Directory,
    files: BTreeMap<SegmentNumber, File>,
    /// The last that was asked for.
    syncer: Option<FileSyncer>,
}

/// Syncs one file of a [`FileStorage`], from whichever thread.
///
/// It has opened the file for itself: the system tells each opening of a file once when a write to it failed, and so
/// neither this nor the storage takes the news from the other.
#[derive(Clone, Debug)]
pub struct FileSyncer {
    segment: SegmentNumber,
    file: Arc<File>,
}

impl FileStorage {
    /// Takes the directory at `path`, which must exist.
    ///
    /// # Errors
    /// [`StorageError::MissingDirectory`], [`StorageError::NotADirectory`], [`StorageError::Locked`] or
    /// [`StorageError::Denied`], which say what stands in the way; otherwise when the file system fails.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        let path = path.as_ref().to_path_buf();
        let fail = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => StorageError::MissingDirectory,
            io::ErrorKind::NotADirectory => StorageError::NotADirectory,
            _ => translate(Operation::Lock, &error),
        };
        if !std::fs::metadata(&path).map_err(fail)?.is_dir() {
            return Err(StorageError::NotADirectory);
        }
        let directory = Directory::lock(&path).map_err(fail)?.ok_or(StorageError::Locked)?;
        let mut storage = Self { path, directory, files: BTreeMap::new(), syncer: None };
        storage.open_files()?;
        Ok(storage)
    }

    /// Like [`open`](Self::open), but first makes the directory, readable by its owner only, if it does not exist. The
    /// directory above it must exist.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn create(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        let path = path.as_ref();
        match system::create_directory(path) {
            Ok(()) => {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
                system::sync_directory(parent).map_err(|error| translate(Operation::SyncDirectory, &error))?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StorageError::MissingDirectory),
            Err(error) => return Err(translate(Operation::Lock, &error)),
        }
        Self::open(path)
    }

    /// What the owner may want to know of the file system that the directory is on; nothing where overwriting in place and
    /// syncing do what they say, or where the system does not tell.
    pub fn warning(&self) -> Option<FileSystemWarning> {
        self.directory.warning()
    }

    /// The directory that holds the files.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open_files(&mut self) -> Result<(), StorageError> {
        let fail = |error: io::Error| translate(Operation::List, &error);
        for entry in std::fs::read_dir(&self.path).map_err(fail)? {
            if let Some(segment) = entry.map_err(fail)?.file_name().to_str().and_then(segment_of) {
                let file = self.open_file(segment).map_err(|error| translate(Operation::Open(segment), &error))?;
                self.files.insert(segment, file);
            }
        }
        Ok(())
    }

    fn open_file(&self, segment: SegmentNumber) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.path.join(file_name(segment)))
    }

    fn file(&self, segment: SegmentNumber) -> Result<&File, StorageError> {
        self.files.get(&segment).ok_or(StorageError::MissingSegment { segment })
    }
}

impl Syncer for FileSyncer {
    fn sync(&self) -> Result<(), StorageError> {
        sync_data(self.segment, &self.file)
    }
}

impl Storage for FileStorage {
    type Syncer = FileSyncer;

    fn list(&self) -> Result<Vec<SegmentExtent>, StorageError> {
        let extent = |(&segment, file): (&SegmentNumber, &File)| {
            let metadata = file.metadata().map_err(|error| translate(Operation::List, &error))?;
            Ok(SegmentExtent { segment, len: metadata.len() })
        };
        self.files.iter().map(extent).collect()
    }

    fn allocate(&mut self, segment: SegmentNumber, len: u32) -> Result<(), StorageError> {
        let fail = |error: io::Error| translate(Operation::Allocate(segment), &error);
        let path = self.path.join(file_name(segment));
        let options = &mut system::private_file();
        let file = options.read(true).write(true).create(true).truncate(false).open(path).map_err(fail)?;
        fill_with_zeros(&file, u64::from(len)).map_err(fail)?;
        self.files.insert(segment, file);
        Ok(())
    }

    fn read_at(&self, segment: SegmentNumber, position: u32, mut buffer: &mut [u8]) -> Result<(), StorageError> {
        let file = self.file(segment)?;
        let mut position = u64::from(position);
        while !buffer.is_empty() {
            match system::read_at(file, buffer, position) {
                Ok(0) => {
                    buffer.fill(0);
                    return Ok(());
                }
                Ok(octets) => {
                    buffer = &mut buffer[octets..];
                    position += octets as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(translate(Operation::Read(segment), &error)),
            }
        }
        Ok(())
    }

    fn write_at(&mut self, segment: SegmentNumber, position: u32, bytes: &[u8]) -> Result<(), StorageError> {
        let written = system::write_all_at(self.file(segment)?, bytes, u64::from(position));
        written.map_err(|error| translate(Operation::Write(segment), &error))
    }

    fn sync(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        sync_data(segment, self.file(segment)?)
    }

    fn syncer(&mut self, segment: SegmentNumber) -> Result<Option<FileSyncer>, StorageError> {
        self.file(segment)?;
        if self.syncer.as_ref().is_none_or(|syncer| syncer.segment != segment) {
            let file = self.open_file(segment).map_err(|error| translate(Operation::Sync(segment), &error))?;
            self.syncer = Some(FileSyncer { segment, file: Arc::new(file) });
        }
        Ok(self.syncer.clone())
    }

    fn remove(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        self.files.remove(&segment).ok_or(StorageError::MissingSegment { segment })?;
        self.syncer = self.syncer.take().filter(|syncer| syncer.segment != segment);
        let removed = std::fs::remove_file(self.path.join(file_name(segment)));
        removed.map_err(|error| translate(Operation::Remove(segment), &error))
    }

    fn sync_directory(&mut self) -> Result<(), StorageError> {
        self.directory.sync().map_err(|error| translate(Operation::SyncDirectory, &error))
    }
}

/// Lengthens `file` to `len` octets of zeros that stand on the disk. The length grows with what is written, so that a
/// later call sees where an interrupted one stopped.
fn fill_with_zeros(file: &File, len: u64) -> io::Result<()> {
    let mut filled = file.metadata()?.len();
    if filled >= len {
        return Ok(());
    }
    system::reserve(file, filled, len - filled)?;
    let zeros = [0; ZEROS];
    while filled < len {
        let piece = usize::try_from(len - filled).map_or(ZEROS, |rest| rest.min(ZEROS));
        system::write_all_at(file, &zeros[..piece], filled)?;
        filled += piece as u64;
    }
    file.sync_all()
}

fn sync_data(segment: SegmentNumber, file: &File) -> Result<(), StorageError> {
    file.sync_data().map_err(|error| translate(Operation::Sync(segment), &error))
}

fn file_name(segment: SegmentNumber) -> String {
    format!("{:08}.segment", segment.number())
}

fn segment_of(file_name: &str) -> Option<SegmentNumber> {
    let digits = file_name.strip_suffix(".segment")?;
    let canonical = digits.len() == 8 && digits.bytes().all(|octet| octet.is_ascii_digit());
    canonical.then(|| digits.parse().ok().map(SegmentNumber::new)).flatten()
}

fn translate(operation: Operation, error: &io::Error) -> StorageError {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => StorageError::Denied { operation },
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageError::NoSpace { operation },
        _ => StorageError::Io { operation, code: error.raw_os_error().unwrap_or(0) },
    }
}
