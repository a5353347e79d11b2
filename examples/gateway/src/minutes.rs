//! Means of a minute in place of the readings of thermometers that this gateway may read.
//!
//! Such a device seals its readings for the gateway, whose end of the [exchange](iot_exchange) with it is here: it
//! acknowledges them, and the device lets go of them. They go one by one into a log of their own, and a
//! [`Stage`] makes of that a mean for each minute and device, with gaps of the cause `filtered` in between. Those
//! are the messages of a new source, the gateway: an exchange with the receiver signs and seals them, and sends each
//! until the receiver has it. All of it is durable before anybody hears of it, so that kills change no mean.

mod means;
mod report;
mod reports;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use iot_core::{DeviceId, Position};
use iot_exchange::folder::{self, FolderError};
use iot_exchange::{Endpoint, Event, ExchangeError, Feedback, Keys, Role};
use iot_link::Failure;
use iot_link::process::{now, rng, wall};
use iot_queue::mirror::{Mirror, MirrorConfig, MirrorError};
use iot_queue::stage::{Stage, StageError, Windows};
use iot_queue::{AppendError, Consumers, Durability, FileStorage, MaxLag, Message, Queue, QueueConfig, Seek, Stored};
use iot_readings::{MAX_BATCH, decode};
use rand_core::Rng as _;

use self::means::{Means, encode};
use self::reports::Reports;
use crate::{Ending, Options, Store};

pub use self::report::{Account, Mean, Report};

/// What a mean is of.
const MINUTE: Duration = Duration::from_secs(60);

/// When a mean is sent again that the receiver has not acknowledged. It may be away for weeks, and what waits in the
/// gateway's queue is not taken twice.
const FEEDBACK: Feedback = Feedback::Acknowledged { within: Duration::from_secs(10) };

/// How long the thread waits for packets before it looks at everything else, and how many it takes at once.
const TICK: Duration = Duration::from_millis(20);
const AT_ONCE: usize = 64;

/// Readings after which a minute is split whose clock stands still, and after which a silent thermometer's last minute
/// is over. So the log of readings holds fewer than 70,000, which fit.
const AT_MOST: u64 = 1 << 15;
const IDLE_AFTER: u64 = 1 << 12;

/// Thermometers whose readings are known when they come again, each in one run of its counter.
const MAX_FEEDS: u32 = 256;

type Files = Queue<FileStorage>;

/// Packets that wait for the thread. More are sent again.
const MAX_WAITING: usize = 256;

/// What makes means: the keys of everybody whom this concerns, and where their packets come from.
pub struct Minutes {
    folder: PathBuf,
    /// The folders of this gateway's end of each exchange with a thermometer.
    thermometers: Vec<(PathBuf, Keys)>,
    /// The folder of its end of the exchange with the receiver.
    reports: (PathBuf, Keys),
    packets: Receiver<Ending>,
}

/// Has the packets of thermometers end here, if there are any.
///
/// # Errors
///
/// When the keys in their folders are not usable.
pub fn open(options: &Options, store: Store) -> Result<(Store, Option<Minutes>), FolderError> {
    let Some(reports) = &options.reports else { return Ok((store, None)) };
    let load = |folder: PathBuf| folder::load_keys(&folder, wall()).map(|keys| (folder, keys));
    // The gateway is the receiver of what thermometers send, and the device that sends means.
    let thermometers = options.minutes.iter().map(|folder| load(folder.join("receiver"))).collect::<Result<_, _>>()?;
    let (taker, packets) = sync_channel(MAX_WAITING);
    let minutes = Minutes {
        folder: options.folder.join("readings"),
        thermometers,
        reports: load(reports.join("device"))?,
        packets,
    };
    Ok((store.ending(minutes.sources(), &taker), Some(minutes)))
}

impl Minutes {
    /// The sources whose packets end here.
    fn sources(&self) -> impl Iterator<Item = DeviceId> {
        let devices = self.thermometers.iter().map(|(_, keys)| keys.peer.device_id());
        devices.chain([self.reports.1.device_id()])
    }

    /// Makes means until `stop`.
    ///
    /// # Errors
    ///
    /// When a queue fails.
    pub fn run(&self, store: &Store, stop: &AtomicBool) -> Result<(), Failure> {
        let mut ends = BTreeMap::new();
        for (folder, keys) in &self.thermometers {
            let end = folder::open(folder, keys, Role::Receiver, FEEDBACK, rng()?)?;
            ends.insert(keys.peer.device_id(), end);
        }
        let (place, keys) = &self.reports;
        let reports = folder::open(place, keys, Role::Device, FEEDBACK, rng()?)?.naming_its_source();
        let windows = Windows::new(Means, MINUTE)?.at_most(AT_MOST).idle_after(IDLE_AFTER);
        let mut reports = Reports::new(reports);
        let mut stage = Stage::new("minutes", windows, &mut reports);
        let mut readings = open_readings(&self.folder)?;
        let cursor = readings.open_cursor("minutes", Seek::Oldest, MaxLag::UNLIMITED)?;
        let mut mirror = Mirror::new(MirrorConfig::default(), &readings, cursor, rng()?.next_u64())?;
        let mut is_full = false;
        while !stop.load(Ordering::Relaxed) {
            let first = self.packets.recv_timeout(TICK).ok();
            for (source, mut packet) in first.into_iter().chain(self.packets.try_iter().take(AT_ONCE)) {
                match ends.get_mut(&source) {
                    // Nobody acknowledges it then, and the thermometer sends it again.
                    Some(_) if is_full => {}
                    Some(end) => end.handle_packet(now(), &mut packet)?,
                    None => stage.sink_mut().end.handle_packet(now(), &mut packet)?,
                }
            }
            is_full = false;
            for (device, end) in &mut ends {
                tell(device, end);
                is_full |= !take_readings(end, &mut readings)?;
                while let Some(packet) = end.poll_transmit(now(), wall())? {
                    store.send_to(device, &packet);
                }
            }
            match mirror.drive(now(), &mut readings, &mut stage) {
                // The receiver has not taken means for very long; the mirror comes back to it.
                Err(MirrorError::Sink(StageError::Sink(ExchangeError::Append(AppendError::Full { .. })))) => {}
                outcome => outcome?,
            }
            readings.commit()?;
            store.counts.late.store(stage.transform().misfits(), Ordering::Relaxed);
            let end = &mut stage.sink_mut().end;
            while let Some(packet) = end.poll_transmit(now(), wall())? {
                store.forward(&packet);
            }
        }
        readings.close()?;
        let all = ends.into_values().chain([reports.end]);
        all.flat_map(Endpoint::into_queues).try_for_each(|queue| queue.close().map(drop))?;
        Ok(())
    }
}

/// Each thermometer takes 224 octets at the beginning of a segment, and each reading some 150.
fn open_readings(path: &Path) -> Result<Files, Failure> {
    let config = QueueConfig::default().segment_len(1 << 20)?.segments(16)?.deduplicate_positions(MAX_FEEDS)?;
    let config = config.consumers(Consumers::CursorsOnly).durability(Durability::Manual);
    Ok(Queue::open(FileStorage::create(path)?, config, rng()?.next_u64().to_be_bytes())?)
}

/// Moves what a thermometer's end has accepted into the log of readings, one by one; `false` if there is no room.
fn take_readings(end: &mut Endpoint<'_, FileStorage>, readings: &mut Files) -> Result<bool, Failure> {
    let accepted = end.accepted(now())?;
    for message in &accepted {
        let Stored { position: Some(Position { source, stream, incarnation, sequence }), payload, .. } = message else {
            continue;
        };
        // What is no batch of readings is left out of the log, and so of the count.
        let each: Vec<_> = decode(payload).unwrap_or_default().iter().map(encode).collect();
        let entries = each.iter().zip(0_u64..).map(|(reading, index)| {
            let sequence = sequence * MAX_BATCH as u64 + index;
            Message::new(reading).at(Position { source: *source, stream: *stream, incarnation: *incarnation, sequence })
        });
        // The last message of the time before a kill comes again.
        match readings.append_unseen(&entries.collect::<Vec<_>>()) {
            Err(AppendError::Full { .. }) => return Ok(false),
            outcome => drop(outcome?),
        }
    }
    if !accepted.is_empty() {
        readings.commit()?;
        end.let_go(&accepted)?;
    }
    Ok(true)
}

/// What a thermometer lost before it came here is in no mean.
fn tell(device: &DeviceId, end: &mut Endpoint<'_, FileStorage>) {
    while let Some(event) = end.poll_event() {
        match event {
            Event::Accepted { .. } => {}
            other => println!("gateway: {other} of {device}"),
        }
    }
}
