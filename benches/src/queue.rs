//! Appends, durable or not, by one thread or many; what they write; and the time to open a queue again after its process
//! was killed.

pub mod child;
mod counted;
mod device;
mod drain;
mod place;
mod reopen;
mod stores;
mod threads;

use std::time::{Duration, Instant};

use crate::measure::{Effort, Rounds, Side, alternating};
use crate::report::{Failure, Row, RowSpec};
pub use place::Place;
pub use reopen::{Unclean, reopened};
use stores::{
    Fjall, Okaywal, Ours, QueueFile, Raw, RawRecords, RawWrites, Redb, Sqlite, Store, Unsynced, UnsyncedOurs, Yaque,
};

/// Octets of a message.
const PAYLOAD: usize = 256;
/// As many messages as any batch has.
static PAYLOADS: [[u8; PAYLOAD]; 64] = [[0x5a; PAYLOAD]; 64];

/// The rows.
pub const ROWS: &[RowSpec] = &[
    RowSpec { name: "queue/append-1", measure: |effort| append(effort, 1, 1.05) },
    RowSpec { name: "queue/append-64", measure: |effort| append(effort, 64, 1.15) },
    RowSpec { name: "queue/threads-64", measure: threads::row },
    RowSpec { name: "queue/lease-syncs", measure: counted::lease_syncs },
    RowSpec { name: "queue/unsynced-1", measure: |effort| unsynced(effort, 1) },
    RowSpec { name: "queue/unsynced-64", measure: |effort| unsynced(effort, 64) },
    RowSpec { name: "queue/device-1", measure: |effort| device::octets(effort, 1, 4352) },
    RowSpec { name: "queue/device-64", measure: |effort| device::octets(effort, 64, 330) },
    RowSpec { name: "queue/drain-nats", measure: drain::row },
    RowSpec { name: "queue/reopen", measure: reopen::time },
    RowSpec { name: "queue/reopen-memory", measure: reopen::memory },
    RowSpec { name: "queue/reopen-read", measure: reopen::read },
];

/// Durable appends of `batch` messages at a time: ours, raw writes with `fdatasync` on a file filled with zeros,
/// `okaywal`, `fjall`, `redb`, `SQLite`, `queue-file`.
///
/// # Errors
/// When a file system or a store fails.
pub fn append_sides(place: &Place, batch: usize) -> Result<Vec<Side<'static>>, Failure> {
    Ok(vec![
        side::<Ours>(place, batch)?,
        side::<Raw>(place, batch)?,
        side::<Okaywal>(place, batch)?,
        side::<Fjall>(place, batch)?,
        side::<Redb>(place, batch)?,
        side::<Sqlite>(place, batch)?,
        side::<QueueFile>(place, batch)?,
    ])
}

fn side<S: Store + 'static>(place: &Place, batch: usize) -> Result<Side<'static>, Failure> {
    let mut store = S::create(&place.fresh(S::NAME)?)?;
    let messages: Vec<&[u8]> = PAYLOADS[..batch].iter().map(<[u8; PAYLOAD]>::as_slice).collect();
    Ok(Side::timed(S::NAME, move |calls| {
        let mut spent = Duration::ZERO;
        for _ in 0..calls {
            let start = Instant::now();
            store.append_durably(&messages).expect("the disk has room");
            spent += start.elapsed();
            store.make_room().expect("the disk works");
        }
        spent
    }))
}

fn append(effort: Effort, batch: usize, bound: f64) -> Result<Row, Failure> {
    let place = Place::new()?;
    let sides = append_sides(&place, batch)?;
    let full = Rounds { least: 101, most: 601, budget: Duration::from_secs(30) };
    let rounds = effort.choose(full, Rounds { least: 3, most: 3, budget: Duration::ZERO });
    Ok(Row::ratio_to(&alternating(rounds, effort.choose(4, 1), sides), bound).with_note(place.file_system()))
}

/// At least 0.9 of the rate of raw writes, one write a call, for appends that outlive the process and not the machine.
fn unsynced(effort: Effort, batch: usize) -> Result<Row, Failure> {
    let place = Place::new()?;
    let sides = vec![
        unsynced_side::<UnsyncedOurs>(&place, batch)?,
        unsynced_side::<RawWrites>(&place, batch)?,
        unsynced_side::<RawRecords>(&place, batch)?,
        unsynced_side::<Yaque>(&place, batch)?,
    ];
    let full = Rounds { least: 101, most: 601, budget: Duration::from_secs(20) };
    let rounds = effort.choose(full, Rounds { least: 3, most: 3, budget: Duration::ZERO });
    // More than a segment holds: what is done when one is full is in every sample.
    let messages = effort.choose(16 << 10, 1 << 10);
    let samples = alternating(rounds, messages / batch as u64, sides);
    Ok(Row::ratio_to(&samples, 1.0 / 0.9).with_note(place.file_system()))
}

fn unsynced_side<S: Unsynced + 'static>(place: &Place, batch: usize) -> Result<Side<'static>, Failure> {
    let mut store = S::create(&place.fresh(S::NAME)?)?;
    let messages: Vec<&[u8]> = PAYLOADS[..batch].iter().map(<[u8; PAYLOAD]>::as_slice).collect();
    Ok(Side::timed(S::NAME, move |calls| {
        let start = Instant::now();
        for _ in 0..calls {
            store.append(&messages).expect("the disk has room");
        }
        let spent = start.elapsed();
        store.make_room().expect("the disk works");
        spent
    }))
}
