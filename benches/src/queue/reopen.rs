//! Opening a store again after its process was killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::child::{Kind, Opening, fill_and_kill, open};
use super::place::{Place, copy_directory};
use crate::measure::{Effort, Samples};
use crate::report::{Failure, Row};

/// Stores as a killed process left them, each in its directory.
pub struct Unclean {
    place: Place,
    program: PathBuf,
    left: Vec<(Kind, PathBuf)>,
}

impl Unclean {
    /// Fills each store with `count` messages in a process of its own, and kills it. `program` is the scoreboard.
    ///
    /// # Errors
    /// When a process or a store fails.
    pub fn new(program: &Path, count: u64) -> Result<Self, Failure> {
        let place = Place::new()?;
        let mut left = Vec::new();
        for kind in Kind::ALL {
            let directory = place.fresh(kind.name())?;
            fill_and_kill(program, kind, &directory, count)?;
            left.push((kind, directory));
        }
        Ok(Self { place, program: program.to_path_buf(), left })
    }

    /// Opens a fresh copy of one of the stores, because opening repairs what was left.
    ///
    /// # Errors
    /// When a process or a store fails.
    pub fn open(&self, kind: Kind) -> Result<Opening, Failure> {
        let (_, left) = self.left.iter().find(|(of, _)| *of == kind).ok_or("it was not filled")?;
        let copy = self.place.fresh("copy")?;
        copy_directory(left, &copy)?;
        let opening = open(&self.program, kind, &copy)?;
        fs::remove_dir_all(&copy)?;
        Ok(opening)
    }
}

/// The openings of each store, in the order of [`Kind::ALL`], in rounds.
///
/// # Errors
/// When a process or a store fails.
pub fn reopened(effort: Effort) -> Result<Vec<Vec<Opening>>, Failure> {
    let stores = Unclean::new(&std::env::current_exe()?, effort.choose(1_000_000, 10_000))?;
    let mut openings = vec![Vec::new(); Kind::ALL.len()];
    for _ in 0..effort.choose(9, 1) {
        for (kind, openings) in Kind::ALL.into_iter().zip(&mut openings) {
            openings.push(stores.open(kind)?);
        }
    }
    Ok(openings)
}

/// At most 50 ms where `redb` takes 419 ms and `fjall` 790 ms.
pub(super) fn time(effort: Effort) -> Result<Row, Failure> {
    let seconds = |openings: &Vec<Opening>| openings.iter().map(|opening| opening.time.as_secs_f64()).collect();
    let samples = once(effort)?;
    let samples: Vec<Samples> =
        Kind::ALL.iter().zip(&samples).map(|(kind, openings)| Samples::new(kind.name(), seconds(openings))).collect();
    Ok(Row::scaled(&samples, 50e-3, &[419e-3, 790e-3]))
}

/// At most 32 MB resident, of which the program itself is a part.
pub(super) fn memory(effort: Effort) -> Result<Row, Failure> {
    let most = |openings: &Vec<Opening>| openings.iter().map(|opening| opening.peak_octets >> 10).max().unwrap_or(0);
    let openings = once(effort)?;
    let peers: Vec<_> =
        Kind::ALL.iter().zip(&openings).skip(1).map(|(kind, openings)| (kind.name(), most(openings))).collect();
    Ok(Row::count(most(&openings[0]), &peers, "KiB", 32 << 10))
}

/// At most one segment, which may be read in overlapping pieces, and of each of the others its header and footer: 4
/// octets a message and a page.
pub(super) fn read(effort: Effort) -> Result<Row, Failure> {
    const SEGMENTS: u64 = 96;
    let most = |openings: &Vec<Opening>| openings.iter().map(|opening| opening.read_octets >> 10).max().unwrap_or(0);
    let openings = once(effort)?;
    let peers: Vec<_> =
        Kind::ALL.iter().zip(&openings).skip(1).map(|(kind, openings)| (kind.name(), most(openings))).collect();
    let bound = (4 << 10) + 64 + SEGMENTS * 8 + effort.choose(1_000_000, 10_000) * 4 / 1024;
    Ok(Row::count(most(&openings[0]), &peers, "KiB", bound))
}

/// Three rows read the same openings, which take long to make.
fn once(effort: Effort) -> Result<Vec<Vec<Opening>>, Failure> {
    static OPENINGS: Mutex<Option<Vec<Vec<Opening>>>> = Mutex::new(None);
    let mut openings = OPENINGS.lock().map_err(|_| "another row failed")?;
    if let Some(openings) = &*openings {
        return Ok(openings.clone());
    }
    Ok(openings.insert(reopened(effort)?).clone())
}
