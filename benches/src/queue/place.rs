//! Where the files of a measurement lie.

use std::fs;
use std::path::{Path, PathBuf};

use crate::report::Failure;

/// A directory on a disk, removed in the end: below `TMPDIR` if that is set, else beside this program, which cargo puts
/// below its target directory. Both are refused when they lie in memory, where a sync waits for nothing.
#[derive(Debug)]
pub struct Place {
    directory: tempfile::TempDir,
    file_system: String,
}

impl Place {
    /// Makes the directory.
    ///
    /// # Errors
    /// When it cannot be made, or lies in memory.
    pub fn new() -> Result<Self, Failure> {
        let above = match std::env::var_os("TMPDIR") {
            Some(path) => PathBuf::from(path),
            None => std::env::current_exe()?.parent().ok_or("the program lies nowhere")?.to_path_buf(),
        };
        let directory = tempfile::Builder::new().prefix("scoreboard-").tempdir_in(above)?;
        let file_system = file_system(directory.path())?;
        if ["tmpfs", "ramfs"].contains(&file_system.as_str()) {
            return Err(format!("{} is a {file_system}: set TMPDIR to a disk", directory.path().display()).into());
        }
        Ok(Self { directory, file_system })
    }

    /// The name of the file system, as the kernel says it.
    pub fn file_system(&self) -> &str {
        &self.file_system
    }

    /// A path below it that nothing has.
    pub(super) fn fresh(&self, name: &str) -> Result<PathBuf, Failure> {
        Ok(tempfile::Builder::new().prefix(name).tempdir_in(self.directory.path())?.keep())
    }
}

/// The file system of a path, by the longest mount point above it (`proc_pid_mountinfo(5)`).
fn file_system(path: &Path) -> Result<String, Failure> {
    let path = path.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let of_line = |line: &str| {
        let (mount, file_system) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?.to_owned();
        Some((point, file_system.split(' ').next()?.to_owned()))
    };
    let above = mounts.lines().filter_map(of_line).filter(|(point, _)| path.starts_with(point));
    let nearest = above.max_by_key(|(point, _)| point.len()).ok_or("no mount point lies above the directory")?;
    Ok(nearest.1)
}

/// Copies a directory and waits until the copy is on the disk, so that it is not written while something is timed.
pub(super) fn copy_directory(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            fs::File::open(&target)?.sync_all()?;
        }
    }
    Ok(())
}
