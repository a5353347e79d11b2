//! What `open` accepted before, in a file: `[* bstr]`, each the memory of a stream as the library saves it.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write as _};

use iot_codec::cbor::Cursor;
use iot_crypto::Trackers;

use super::{encode, failed, refused};
use crate::{Failure, source};

/// The most streams that are remembered. One more is refused, and nothing is forgotten.
const CAPACITY: usize = 65_536;

/// A file of what was accepted, which other runs of the tool wait for as long as this lives.
pub struct State<'n> {
    name: &'n OsStr,
    _lock: File,
}

/// A memory of nothing.
pub fn nothing() -> Trackers {
    Trackers::new(CAPACITY, CAPACITY).expect("both bounds are the same")
}

impl<'n> State<'n> {
    /// Takes the file `name`, which need not exist, and reads it.
    pub fn open(name: &'n OsStr) -> Result<(Self, Trackers), Failure> {
        let lock = lock(name).map_err(|error| failed(name, &error))?;
        let mut trackers = nothing();
        if fs::exists(name).map_err(|error| failed(name, &error))? {
            restore(&source::read(name)?, &mut trackers).map_err(|error| refused(name, &*error))?;
        }
        Ok((Self { name, _lock: lock }, trackers))
    }

    /// Replaces the file as a whole: after a power cut the old one is there, or the new one.
    pub fn save(&self, trackers: &Trackers) -> Result<(), Failure> {
        let octets = encode(|writer| {
            writer.array(trackers.streams().len() as u64)?;
            trackers.streams().try_for_each(|(source, stream)| {
                let mut saved = vec![0; trackers.saved_len(source, stream)];
                trackers.save_into(source, stream, &mut saved).expect("the vector has the length that was asked for");
                writer.bytes(&saved)
            })
        });
        self.replace(&octets).map_err(|error| failed(self.name, &error))
    }

    fn replace(&self, octets: &[u8]) -> io::Result<()> {
        let next = beside(self.name, ".new");
        let mut file = File::create(&next)?;
        file.write_all(octets)?;
        file.sync_all()?;
        fs::rename(&next, self.name)?;
        // Until the folder is synced, a power cut can bring the old file back.
        #[cfg(unix)]
        {
            let folder = std::path::Path::new(self.name).parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(".".as_ref()))?.sync_all()?;
        }
        Ok(())
    }
}

/// The file itself is replaced, so another one beside it is locked, and stays.
fn lock(name: &OsStr) -> io::Result<File> {
    let file = File::create(beside(name, ".lock"))?;
    file.lock()?;
    Ok(file)
}

fn beside(name: &OsStr, end: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(end);
    name
}

fn restore(octets: &[u8], trackers: &mut Trackers) -> Result<(), Box<dyn Error>> {
    let mut cursor = Cursor::new(octets);
    for _ in 0..cursor.array()? {
        trackers.restore(cursor.bytes()?)?;
    }
    Ok(cursor.finish()?)
}
