//! Many threads, each of which waits until its own message is durable.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::stores::{Concurrent, Fjall, Okaywal, Redb, SharedOurs};
use super::{PAYLOADS, Place};
use crate::measure::{Effort, Ratio, Rounds, Side, alternating};
use crate::report::{Failure, Row};

const THREADS: u32 = 64;

/// How many times faster than `fjall` it has to be.
const OVER_FJALL: f64 = 50.0;

/// At most `okaywal`'s time for a message, and a fiftieth of `fjall`'s.
pub(super) fn row(effort: Effort) -> Result<Row, Failure> {
    let place = Place::new()?;
    let full = Rounds { least: 21, most: 61, budget: Duration::from_secs(60) };
    let rounds = effort.choose(full, Rounds { least: 1, most: 1, budget: Duration::ZERO });
    let sides =
        vec![side::<SharedOurs>(&place)?, side::<Okaywal>(&place)?, side::<Fjall>(&place)?, side::<Redb>(&place)?];
    let samples = alternating(rounds, 1, sides);
    let faster = 1.0 / Ratio::of(&samples[0], &samples[2]).high;
    let row = Row::ratio(&samples, 1.0).with_note(place.file_system());
    let note = format!("{faster:.0} times fjall's rate, {OVER_FJALL} are asked for");
    Ok(if faster < OVER_FJALL { row.refused(&note) } else { row.with_note(&note) })
}

/// The time of a message: of a sample's time, a part for each message of all threads.
fn side<S: Concurrent + 'static>(place: &Place) -> Result<Side<'static>, Failure> {
    let store = S::create(&place.fresh(S::NAME)?)?;
    Ok(Side::timed(S::NAME, move |calls| {
        let mut spent = Duration::ZERO;
        for _ in 0..calls {
            spent += sample(&store) / (THREADS * S::MESSAGES);
            store.make_room().expect("the disk works");
        }
        spent
    }))
}

/// From the moment when all threads are there until the last has ended.
fn sample<S: Concurrent>(store: &S) -> Duration {
    let ready = Barrier::new(THREADS as usize + 1);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    ready.wait();
                    for _ in 0..S::MESSAGES {
                        store.append_one(&PAYLOADS[0]).expect("the disk has room");
                    }
                })
            })
            .collect();
        ready.wait();
        let start = Instant::now();
        threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
        start.elapsed()
    })
}
