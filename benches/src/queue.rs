//! Durable appends, and the time to open a queue again after its process was killed.

pub mod child;
mod place;
mod reopen;
mod stores;

use std::time::{Duration, Instant};

use crate::measure::{Effort, Rounds, Side, alternating};
use crate::report::{Failure, Row, RowSpec};
pub use place::Place;
pub use reopen::{Unclean, reopened};
use stores::{Fjall, Okaywal, Ours, Raw, Redb, Store};

/// Octets of a message.
const PAYLOAD: usize = 256;
/// As many messages as any batch has.
static PAYLOADS: [[u8; PAYLOAD]; 64] = [[0x5a; PAYLOAD]; 64];

/// The rows.
pub const ROWS: &[RowSpec] = &[
    RowSpec { name: "queue/append-1", measure: |effort| append(effort, 1, 1.05) },
    RowSpec { name: "queue/append-64", measure: |effort| append(effort, 64, 1.15) },
    RowSpec { name: "queue/reopen", measure: reopen::time },
    RowSpec { name: "queue/reopen-memory", measure: reopen::memory },
];

/// Durable appends of `batch` messages at a time: ours, raw writes with `fdatasync` on a file filled with zeros,
/// `okaywal`, `fjall`, `redb`.
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
