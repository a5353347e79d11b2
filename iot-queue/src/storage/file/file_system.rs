//! What is known of the file system below a directory, as far as it matters to a log.

use core::fmt;
#[cfg(unix)]
use std::fs::File;

/// A property of the file system that a queue's directory is on, and that its owner may want to know of.
///
/// None of them makes the queue refuse to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileSystemWarning {
    /// It writes octets to another place instead of over the old ones (btrfs, zfs, bcachefs, nilfs2). What is allocated
    /// does not hold the room then: the medium can be full in the middle of the queue's budget, and each sync writes
    /// more than the data.
    CopiesOnWrite,
    /// It holds files in memory (tmpfs, ramfs): nothing survives the end of the machine, whatever was synced.
    InMemory,
    /// Another machine holds the files (nfs, smb, 9p, ceph): what a sync and a lock mean is up to that machine.
    OverNetwork,
    /// A program (fuse) or another file system (overlay, ecryptfs) holds the files: what a sync means is up to that.
    Layered,
}

impl fmt::Display for FileSystemWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CopiesOnWrite => "the file system does not overwrite in place",
            Self::InMemory => "the file system holds its files in memory",
            Self::OverNetwork => "another machine holds the files",
            Self::Layered => "another program or file system holds the files",
        })
    }
}

/// What is to be said of the file system that `directory` is on. Only Linux tells.
#[cfg(target_os = "linux")]
pub(super) fn warning(directory: &File) -> Option<FileSystemWarning> {
    // The type is signed on some machines and narrower on others: 32 bits of it are the number.
    rustix::fs::fstatfs(directory).ok().and_then(|found| warning_of(found.f_type as u32))
}

/// What is to be said of the file system that `directory` is on. Only Linux tells.
#[cfg(all(unix, not(target_os = "linux")))]
pub(super) fn warning(_: &File) -> Option<FileSystemWarning> {
    None
}

/// By the numbers of `linux/magic.h`, and those that file systems outside of it give.
#[cfg(any(target_os = "linux", test))]
fn warning_of(magic: u32) -> Option<FileSystemWarning> {
    match magic {
        // btrfs, zfs, bcachefs, nilfs2.
        0x9123_683e | 0x2fc1_2fc1 | 0x2fc5_2fc2 | 0xca45_1a4e | 0x3434 => Some(FileSystemWarning::CopiesOnWrite),
        // tmpfs, ramfs.
        0x0102_1994 | 0x8584_58f6 => Some(FileSystemWarning::InMemory),
        // nfs, smb, cifs, smb2, 9p, ceph, afs.
        0x6969 | 0x517b | 0xff53_4d42 | 0xfe53_4d42 | 0x0102_1997 | 0x00c3_6400 | 0x5346_414f => {
            Some(FileSystemWarning::OverNetwork)
        }
        // fuse, overlay, ecryptfs.
        0x6573_5546 | 0x794c_7630 | 0xf15f => Some(FileSystemWarning::Layered),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_file_systems_by_their_numbers() {
        // As `stat --file-system --format %t` prints them.
        let known = [
            (0xef53, None),
            (0x5846_5342, None),
            (0x9123_683e, Some(FileSystemWarning::CopiesOnWrite)),
            (0x0102_1994, Some(FileSystemWarning::InMemory)),
            (0x6969, Some(FileSystemWarning::OverNetwork)),
            (0x794c_7630, Some(FileSystemWarning::Layered)),
        ];
        for (magic, warning) in known {
            assert_eq!(warning_of(magic), warning, "{magic:x}");
        }
    }
}
