//! The thread that takes readings and makes means.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use iot_core::{DeviceId, Position};
use iot_exchange::folder::{self, FolderError};
use iot_exchange::{Endpoint, Event, ExchangeError, Feedback, Keys, Role};
use iot_link::process::{now, rng, wall};
use iot_link::{Failure, invalid};
use iot_queue::mirror::{Mirror, MirrorConfig, MirrorError};
use iot_queue::stage::{Stage, StageError, Windows};
use iot_queue::{
    AppendError, Consumers, Durability, FileStorage, MaxLag, Message, Queue, QueueConfig, Seek, Storage, Stored,
};
use iot_readings::{MAX_BATCH, decode};
use iot_status::Figure;
use rand_core::Rng as _;

use crate::means::{Means, encode};
use crate::reports::Reports;

/// What the help of a program says that has options for this.
pub const OPTIONS: &[(&str, &str)] = &[
    (
        "minutes",
        "FOLDER     read the messages of a thermometer, and forward means of a minute; FOLDER holds its keys and the\n\
         \u{20}                      gateway's, as `udp keys FOLDER` draws them; may be said again",
    ),
    ("reports", "FOLDER     keys of the same kind, by which the receiver gets those means"),
];

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

/// Packets that wait for the thread. More are lost, and sent again.
const MAX_WAITING: usize = 256;

/// A packet of a thermometer, or for the end that reports.
type Ending = (DeviceId, Vec<u8>);

/// What makes means: the keys of everybody whom this concerns, and their packets.
pub struct Minutes {
    folder: PathBuf,
    /// The folders of this gateway's end of each exchange with a thermometer.
    thermometers: BTreeMap<DeviceId, (PathBuf, Keys)>,
    /// The folder of its end of the exchange with the receiver, if there is anything to report.
    reports: Option<(PathBuf, Keys)>,
    give: SyncSender<Ending>,
    given: Mutex<Receiver<Ending>>,
    taken: AtomicU64,
    late: AtomicU64,
}

impl Minutes {
    /// Reads the keys of thermometers and of the gateway's end with its receiver, as `udp keys` draws them: a program has
    /// their folders from its [`OPTIONS`]. Readings wait in `folder`. Without any, all packets go on.
    ///
    /// # Errors
    ///
    /// When there are thermometers and no end that reports, or the other way round, or their keys are not usable.
    pub fn open(folder: &Path, thermometers: &[PathBuf], reports: Option<&str>) -> Result<Self, Failure> {
        if thermometers.is_empty() != reports.is_none() {
            return Err(invalid("--minutes and --reports go together").into());
        }
        let load = |folder: PathBuf| folder::load_keys(&folder, wall()).map(|keys| (folder, keys));
        // The gateway is the receiver of what thermometers send, and the device that sends means.
        let ends = thermometers.iter().map(|folder| {
            let (folder, keys) = load(folder.join("receiver"))?;
            Ok((keys.peer.device_id(), (folder, keys)))
        });
        let (give, given) = sync_channel(MAX_WAITING);
        Ok(Self {
            folder: folder.into(),
            thermometers: ends.collect::<Result<_, FolderError>>()?,
            reports: reports.map(|reports| load(Path::new(reports).join("device"))).transpose()?,
            give,
            given: Mutex::new(given),
            taken: AtomicU64::new(0),
            late: AtomicU64::new(0),
        })
    }

    /// Takes a packet of a source, or for a device, if it ends here; `false` if it is to go on.
    pub fn take(&self, device: &DeviceId, packet: &[u8]) -> bool {
        let is_thermometer = self.thermometers.contains_key(device);
        let ends_here = is_thermometer || self.reports.as_ref().is_some_and(|(_, keys)| keys.device_id() == *device);
        if ends_here {
            // What finds no room comes again.
            let _ = self.give.try_send((*device, packet.to_vec()));
        }
        self.taken.fetch_add(u64::from(is_thermometer), Ordering::Relaxed);
        ends_here
    }

    /// What happened so far.
    pub fn figures(&self) -> [Figure; 2] {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (taken, late) = (count(&self.taken), count(&self.late));
        [
            Figure::counter("packets_ended_total", "Packets of thermometers that are read here.", taken),
            Figure::counter("readings_late_total", "Readings that came too late for their minute.", late),
        ]
    }

    /// Makes means until `stop`, which it sets when it fails: nobody is to take readings any more then. `send` sends a
    /// packet to a thermometer, and `report` one to the receiver; what they lose is sent again.
    ///
    /// # Errors
    ///
    /// When a queue fails.
    pub fn run(
        &self,
        stop: &AtomicBool,
        send: impl Fn(&DeviceId, &[u8]),
        report: impl Fn(&[u8]),
    ) -> Result<(), Failure> {
        let outcome = self.make(stop, send, report);
        if outcome.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        outcome
    }

    fn make(&self, stop: &AtomicBool, send: impl Fn(&DeviceId, &[u8]), report: impl Fn(&[u8])) -> Result<(), Failure> {
        let Some((place, keys)) = &self.reports else { return Ok(()) };
        let mut ends = BTreeMap::new();
        for (device, (folder, keys)) in &self.thermometers {
            ends.insert(*device, folder::open(folder, keys, Role::Receiver, FEEDBACK, rng()?)?);
        }
        let reports = folder::open(place, keys, Role::Device, FEEDBACK, rng()?)?.naming_its_source();
        let windows = Windows::new(Means, MINUTE)?.at_most(AT_MOST).idle_after(IDLE_AFTER);
        let mut reports = Reports::new(reports);
        let mut stage = Stage::new("minutes", windows, &mut reports);
        let mut readings = open_readings(FileStorage::create(&self.folder)?)?;
        let cursor = readings.open_cursor("minutes", Seek::Oldest, MaxLag::UNLIMITED)?;
        let mut mirror = Mirror::new(MirrorConfig::default(), &readings, cursor, rng()?.next_u64())?;
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_full = false;
        while !stop.load(Ordering::Relaxed) {
            let first = given.recv_timeout(TICK).ok();
            for (source, mut packet) in first.into_iter().chain(given.try_iter().take(AT_ONCE)) {
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
                    send(device, &packet);
                }
            }
            match mirror.drive(now(), &mut readings, &mut stage) {
                // The receiver has not taken means for very long; the mirror comes back to it.
                Err(MirrorError::Sink(StageError::Sink(ExchangeError::Append(AppendError::Full { .. })))) => {}
                outcome => outcome?,
            }
            readings.commit()?;
            self.late.store(stage.transform().misfits(), Ordering::Relaxed);
            let end = &mut stage.sink_mut().end;
            while let Some(packet) = end.poll_transmit(now(), wall())? {
                report(&packet);
            }
        }
        readings.close()?;
        let all = ends.into_values().chain([reports.end]);
        all.flat_map(Endpoint::into_queues).try_for_each(|queue| queue.close().map(drop))?;
        Ok(())
    }
}

/// Each thermometer takes 224 octets at the beginning of a segment, and each reading some 150.
fn open_readings<S: Storage>(storage: S) -> Result<Queue<S>, Failure> {
    let config = QueueConfig::default().segment_len(1 << 20)?.segments(16)?.deduplicate_positions(MAX_FEEDS)?;
    let config = config.consumers(Consumers::CursorsOnly).durability(Durability::Manual);
    Ok(Queue::open(storage, config, rng()?.next_u64().to_be_bytes())?)
}

/// Moves what a thermometer's end has accepted into the log of readings, one by one; `false` if there is no room.
fn take_readings<S: Storage>(end: &mut Endpoint<'_, S>, readings: &mut Queue<S>) -> Result<bool, Failure> {
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

#[cfg(test)]
mod tests {
    use iot_core::Instant;
    use iot_exchange::queue_config;
    use iot_queue::{Entry, Fate, MemoryStorage, Offset};
    use iot_readings::Readings;

    use super::*;

    type End<'k> = Endpoint<'k, MemoryStorage>;

    /// Keys of a thermometer and of the gateway's end.
    fn keys() -> [Keys; 2] {
        Keys::draw(wall(), &mut rng().unwrap()).map(|file| Keys::parse(&file, wall()).unwrap())
    }

    fn open(keys: &Keys, role: Role, disks: [MemoryStorage; 2]) -> End<'_> {
        let queues = disks.map(|disk| Queue::open(disk, queue_config(), [2; 8]).unwrap());
        Endpoint::new(keys, role, FEEDBACK, queues, rng().unwrap()).unwrap()
    }

    /// A thermometer that has sent so many messages of `batch` readings, and the gateway's end with them.
    fn exchange([near, far]: &[Keys; 2], messages: u64, batch: usize) -> [End<'_>; 2] {
        let new_disks = || [MemoryStorage::new(), MemoryStorage::new()];
        let (mut near, mut far) = (open(near, Role::Device, new_disks()), open(far, Role::Receiver, new_disks()));
        let source = Readings::Thermometer(messages * batch as u64);
        for number in 0..messages {
            near.append(wall(), &source.payload(number * batch as u64, batch).unwrap()).unwrap();
        }
        while let Some(mut packet) = near.poll_transmit(Instant::START, wall()).unwrap() {
            far.handle_packet(Instant::START, &mut packet).unwrap();
        }
        [near, far]
    }

    /// What is on a disk when the power is cut.
    fn cut_power(queue: Queue<MemoryStorage>) -> MemoryStorage {
        let mut disk = queue.into_storage();
        disk.crash(|_| Fate::Lost);
        disk
    }

    #[test]
    fn readings_that_a_thermometer_let_go_of_are_in_the_log_each_once_through_a_power_cut() {
        let keys = keys();
        let [mut thermometer, mut end] = exchange(&keys, 5, 6);
        let mut readings = open_readings(MemoryStorage::new()).unwrap();
        assert!(take_readings(&mut end, &mut readings).unwrap());
        let later = Instant::START.saturating_add(Duration::from_secs(1));
        let mut acknowledgement = end.poll_transmit(later, wall()).unwrap().unwrap();
        thermometer.handle_packet(later, &mut acknowledgement).unwrap();
        assert_eq!(thermometer.waiting(), 0);

        let mut end = open(&keys[1], Role::Receiver, end.into_queues().map(cut_power));
        let mut readings = open_readings(cut_power(readings)).unwrap();
        assert!(take_readings(&mut end, &mut readings).unwrap());
        let times = readings.entries_from(Offset::START).map(|entry| match entry.unwrap() {
            Entry::Message(message) => i64::from_be_bytes(*message.payload.first_chunk().unwrap()),
            Entry::Gap(gap) => panic!("{gap:?}"),
        });
        assert!(times.eq((0..30).map(|number| 1_767_225_600 + 60 * number)));
    }

    #[test]
    fn readings_for_which_the_log_has_no_room_stay_where_they_are() {
        let keys = keys();
        let [_, mut end] = exchange(&keys, 12, MAX_BATCH);
        let config = QueueConfig::default().segment_len(1 << 17).and_then(|config| config.segments(2));
        let config = config.and_then(|config| config.deduplicate_positions(1)).unwrap();
        let config = config.consumers(Consumers::CursorsOnly).durability(Durability::Manual);
        let mut readings = Queue::open(MemoryStorage::new(), config, [3; 8]).unwrap();
        readings.open_cursor("minutes", Seek::Oldest, MaxLag::UNLIMITED).unwrap();
        assert!(!take_readings(&mut end, &mut readings).unwrap());
        assert_eq!(end.accepted(now()).unwrap().len(), 12);
    }
}
