//! What a receiver accepted, as lines of text.

use std::path::Path;

use iot_exchange::folder::{FolderError, read_ledger};

use crate::decode;

/// Prints what the end whose folder this is accepted, as lines `seconds,value`, and which messages it never got.
///
/// # Errors
///
/// When its ledger cannot be read, or another process has it.
pub fn list(folder: &Path) -> Result<(), FolderError> {
    let mut last = None;
    read_ledger(folder, |position, payload| {
        let next = last.filter(|(incarnation, _)| *incarnation == position.incarnation).map_or(0, |(_, next)| next);
        if next != position.sequence {
            println!("# messages {next}..{} are missing or come later", position.sequence);
        }
        last = Some((position.incarnation, position.sequence + 1));
        match decode(payload) {
            Some(readings) => readings.iter().for_each(|reading| println!("{},{}", reading.time, reading.value)),
            None => println!("# message {} holds no readings", position.sequence),
        }
    })
}
