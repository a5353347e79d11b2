//! Octets that reach the device, by its own statistics: a file system in a file, behind a loop device.
//!
//! It takes what only root may do. Elsewhere the row says so, and is not judged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::stores::{Fjall, Okaywal, Ours, QueueFile, Redb, Sqlite, Store};
use super::{PAYLOAD, PAYLOADS, Place};
use crate::measure::Effort;
use crate::report::{Failure, Row};

/// At most `bound` octets for a durable message of 256, `batch` of them at a time, once segments are recycled.
pub(super) fn octets(effort: Effort, batch: usize, bound: u64) -> Result<Row, Failure> {
    let place = Place::new()?;
    let device = match LoopDevice::new(&place) {
        Ok(device) => device,
        Err(error) => return Ok(Row::skipped(&format!("{error}"))),
    };
    let messages = effort.choose(8_192, 256);
    // More than the default's budget, so that every segment has had a life before.
    let before = effort.choose(4 << 16, 0);
    let ours = device.octets::<Ours>(batch, messages, before)?;
    let peers = [
        ("okaywal", device.octets::<Okaywal>(batch, messages, 0)?),
        ("fjall", device.octets::<Fjall>(batch, messages, 0)?),
        ("redb", device.octets::<Redb>(batch, messages, 0)?),
        ("SQLite", device.octets::<Sqlite>(batch, messages, 0)?),
        ("queue-file", device.octets::<QueueFile>(batch, messages, 0)?),
    ];
    Ok(Row::count(ours, &peers, "B", bound).with_note("ext4 on a loop device"))
}

/// A loop device with an ext4 of its own, mounted below the place; both end with it.
struct LoopDevice {
    device: PathBuf,
    mounted: PathBuf,
}

impl LoopDevice {
    const OCTETS: u64 = 1 << 30;

    fn new(place: &Place) -> Result<Self, Failure> {
        let image = place.fresh("image")?.join("disk");
        fs::File::create_new(&image)?.set_len(Self::OCTETS)?;
        let device = PathBuf::from(run("losetup", &["--find".as_ref(), "--show".as_ref(), &image])?.trim());
        let mounted = place.fresh("mounted")?;
        // Or the kernel fills the table of inodes (16 MiB) while something is measured, whenever it finds the time.
        let at_once = "lazy_itable_init=0,lazy_journal_init=0";
        let made = run("mkfs.ext4", &["-q".as_ref(), "-E".as_ref(), at_once.as_ref(), &device])
            .and_then(|_| run("mount", &[&device, &mounted]));
        if let Err(error) = made {
            let _ = run("losetup", &["--detach".as_ref(), &device]);
            return Err(error);
        }
        Ok(Self { device, mounted })
    }

    /// Octets written for a message, after `before` others.
    fn octets<S: Store>(&self, batch: usize, messages: usize, before: usize) -> Result<u64, Failure> {
        let directory = tempfile::Builder::new().prefix(S::NAME).tempdir_in(&self.mounted)?;
        let mut store = S::create(directory.path())?;
        let payloads: Vec<&[u8]> = PAYLOADS.iter().map(<[u8; PAYLOAD]>::as_slice).collect();
        for _ in 0..before / 64 {
            store.append_durably(&payloads)?;
            store.make_room()?;
        }
        run("sync", &["--file-system".as_ref(), &self.mounted])?;
        let written = self.written()?;
        for _ in 0..messages / batch {
            store.append_durably(&payloads[..batch])?;
        }
        let written = self.written()? - written;
        drop(store);
        Ok(written / messages as u64)
    }

    /// `/sys/block/<dev>/stat` (Documentation/block/stat.rst): the seventh number is sectors of 512 octets written.
    fn written(&self) -> Result<u64, Failure> {
        let name = self.device.file_name().ok_or("the device has no name")?;
        let statistics = fs::read_to_string(Path::new("/sys/block").join(name).join("stat"))?;
        let sectors = statistics.split_whitespace().nth(6).ok_or("the kernel counts no sectors")?;
        Ok(sectors.parse::<u64>()? * 512)
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = run("umount", &[&self.mounted]);
        let _ = run("losetup", &["--detach".as_ref(), &self.device]);
    }
}

fn run(program: &str, arguments: &[&Path]) -> Result<String, Failure> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
