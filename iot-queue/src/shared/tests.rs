use alloc::boxed::Box;
use alloc::vec::Vec;
use core::pin::pin;
use core::task::{Context, Poll};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Wake, Waker};
use std::thread;

use super::*;
use crate::config::QueueConfig;
use crate::cursor::{MaxLag, Seek};
use crate::message::Entry;
use crate::storage::{Fault, MemoryStorage, Operation, SegmentExtent, SegmentNumber, StorageError, Syncer};

#[cfg(iot_loom)]
mod model;

/// A medium in memory that syncs without the queue's lock, when the gate is open.
#[derive(Clone, Default)]
struct Medium {
    memory: Arc<Mutex<MemoryStorage>>,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    is_closed: Mutex<bool>,
    opened: Condvar,
    syncs: AtomicU64,
    waiting: AtomicUsize,
    has_no_descriptor: AtomicBool,
}

impl Gate {
    fn close(&self) {
        *self.is_closed.lock().unwrap() = true;
    }

    fn open(&self) {
        *self.is_closed.lock().unwrap() = false;
        self.opened.notify_all();
    }

    fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        drop(self.opened.wait_while(self.is_closed.lock().unwrap(), |is_closed| *is_closed).unwrap());
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

struct GatedSyncer(Medium, SegmentNumber);

impl Syncer for GatedSyncer {
    fn sync(&self) -> Result<(), StorageError> {
        self.0.gate.pass();
        self.0.gate.syncs.fetch_add(1, Ordering::SeqCst);
        self.0.memory.lock().unwrap().sync(self.1)
    }
}

impl Storage for Medium {
    type Syncer = GatedSyncer;

    fn list(&self) -> Result<Vec<SegmentExtent>, StorageError> {
        self.memory.lock().unwrap().list()
    }

    fn allocate(&mut self, segment: SegmentNumber, len: u32) -> Result<(), StorageError> {
        self.memory.lock().unwrap().allocate(segment, len)
    }

    fn read_at(&self, segment: SegmentNumber, position: u32, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.memory.lock().unwrap().read_at(segment, position, buffer)
    }

    fn write_at(&mut self, segment: SegmentNumber, position: u32, bytes: &[u8]) -> Result<(), StorageError> {
        self.memory.lock().unwrap().write_at(segment, position, bytes)
    }

    fn sync(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        self.memory.lock().unwrap().sync(segment)
    }

    fn syncer(&mut self, segment: SegmentNumber) -> Result<Option<GatedSyncer>, StorageError> {
        if self.gate.has_no_descriptor.load(Ordering::SeqCst) {
            return Err(StorageError::Io { operation: Operation::Sync(segment), code: 24 });
        }
        Ok(Some(GatedSyncer(self.clone(), segment)))
    }

    fn remove(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        self.memory.lock().unwrap().remove(segment)
    }

    fn sync_directory(&mut self) -> Result<(), StorageError> {
        self.memory.lock().unwrap().sync_directory()
    }
}

type TestClock = Box<dyn Fn() -> Instant + Send + Sync>;
type Front = SharedQueue<Medium, TestClock>;

impl Medium {
    fn share(&self, durability: Durability, settings: SharedSettings) -> Front {
        let config =
            QueueConfig::default().max_payload(64).unwrap().segment_len(64 << 10).unwrap().segments(4).unwrap();
        let queue = Queue::open(self.clone(), config.durability(durability), [7; 8]).unwrap();
        let start = std::time::Instant::now();
        let clock = move || Instant::from_micros(u64::try_from(start.elapsed().as_micros()).unwrap());
        SharedQueue::new(queue, Box::new(clock), settings)
    }

    /// The payloads that a power cut now would leave.
    fn payloads_after_power_cut(&self) -> Vec<Vec<u8>> {
        let mut memory = self.memory.lock().unwrap().clone();
        memory.crash(|_| crate::storage::Fate::Lost);
        let queue = Queue::open(memory, QueueConfig::default(), [8; 8]).unwrap();
        let payload = |entry| match entry {
            Ok(Entry::Message(message)) => Some(message.payload),
            _ => None,
        };
        queue.entries_from(queue.oldest()).filter_map(payload).collect()
    }
}

fn eventually(holds: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "it never came to that");
        thread::sleep(Duration::from_millis(1));
    }
}

const LEASE: Duration = Duration::from_secs(3600);
const LONG: Duration = Duration::from_secs(60);

#[test]
fn an_append_returns_when_it_is_durable_and_others_go_on_meanwhile() {
    let medium = Medium::default();
    let queue = medium.share(Durability::EachMessage, SharedSettings::default());
    medium.gate.close();
    thread::scope(|threads| {
        let append = threads.spawn(|| queue.append(&Message::new(b"first")));
        eventually(|| medium.gate.waiting.load(Ordering::SeqCst) == 1);
        // The lock is free, although the sync has not ended.
        let ticket = queue.submit(&Message::new(b"second")).unwrap();
        assert_eq!(queue.reserve(LEASE, 2).unwrap().len(), 2);
        assert_eq!(queue.durable(), Offset::new(0));
        assert!(!append.is_finished());
        assert!(medium.payloads_after_power_cut().is_empty());
        medium.gate.open();
        assert_eq!(append.join().unwrap(), Ok(Offset::new(0)));
        assert_eq!(medium.payloads_after_power_cut()[0], b"first");
        queue.wait(ticket).unwrap();
        assert_eq!(medium.payloads_after_power_cut().len(), 2);
    });
}

/// The story: a queue was read-only for good after the process had no descriptor left for a moment.
#[test]
fn a_syncer_that_cannot_be_had_is_no_failed_sync() {
    let medium = Medium::default();
    let queue = medium.share(Durability::EachMessage, SharedSettings::default());
    medium.gate.has_no_descriptor.store(true, Ordering::SeqCst);
    let used = queue.stats().segments_used;
    for _ in 0..20 {
        queue.append(&Message::new(b"durable")).unwrap();
    }
    assert_eq!((medium.payloads_after_power_cut().len(), queue.stats().segments_used), (20, used));
    assert_eq!(medium.gate.syncs.load(Ordering::SeqCst), 0, "the storage itself synced");
}

/// The story: what was appended after hours without a call was taken for as old as the last call.
#[test]
fn delays_and_times_to_live_run_from_the_append_on() {
    let hours = Arc::new(AtomicU64::new(0));
    for way in 0..3 {
        let (clock, start) = (Arc::clone(&hours), hours.load(Ordering::SeqCst));
        let clock = move || Instant::from_micros(clock.load(Ordering::SeqCst) * 3_600_000_000);
        let config =
            QueueConfig::default().max_payload(64).unwrap().segment_len(64 << 10).unwrap().segments(4).unwrap();
        let durability = if way == 0 { Durability::Manual } else { Durability::EachMessage };
        let queue = Queue::open(Medium::default(), config.durability(durability), [7; 8]);
        let queue: Front = SharedQueue::new(queue.unwrap(), Box::new(clock), SharedSettings::default());
        assert!(queue.reserve(LEASE, 1).unwrap().is_empty());
        hours.store(start + 10, Ordering::SeqCst);
        let messages =
            [Message::new(b"short-lived").time_to_live(LEASE / 2), Message::new(b"delayed").delay(LEASE / 2)];
        if way == 1 {
            queue.with(|queue, _| queue.append_batch(&messages).map(drop)).unwrap();
        } else {
            queue.append_batch(&messages).unwrap();
        }
        for expected in [b"short-lived", &b"delayed"[..]] {
            let leased = queue.reserve(LEASE, 9).unwrap();
            assert_eq!(leased.iter().map(|leased| &leased.payload[..]).collect::<Vec<_>>(), [expected]);
            hours.store(start + 11, Ordering::SeqCst);
        }
    }
}

#[test]
fn many_threads_share_a_sync() {
    let medium = Medium::default();
    let queue = medium.share(Durability::EachMessage, SharedSettings::default());
    medium.gate.close();
    thread::scope(|threads| {
        for thread in 0..16_u8 {
            let (queue, medium) = (&queue, &medium);
            threads.spawn(move || {
                for count in 0..8_u8 {
                    queue.append(&Message::new(&[thread, count])).unwrap();
                    assert!(medium.payloads_after_power_cut().contains(&Vec::from([thread, count])));
                }
            });
        }
        // One syncs, and fifteen wait for the next.
        eventually(|| queue.stats().depth == 16 && medium.gate.waiting.load(Ordering::SeqCst) == 1);
        medium.gate.open();
    });
    assert_eq!(medium.payloads_after_power_cut().len(), 128);
    let syncs = medium.gate.syncs.load(Ordering::SeqCst);
    assert!(syncs <= 128 - 14, "{syncs} syncs for 128 messages");
}

/// What two threads wait for becomes durable because a segment is full, before the one that was called could begin a
/// commit for both.
#[test]
fn who_is_called_and_has_nothing_to_do_calls_the_others() {
    let medium = Medium::default();
    let queue = medium.share(Durability::EachMessage, SharedSettings::default());
    medium.gate.close();
    let append = |payload: &'static [u8]| {
        let queue = queue.clone();
        thread::spawn(move || queue.append(&Message::new(payload)).unwrap())
    };
    let mut threads = Vec::from([append(b"leads")]);
    eventually(|| medium.gate.waiting.load(Ordering::SeqCst) == 1);
    threads.extend([append(b"one"), append(b"other")]);
    eventually(|| queue.stats().depth == 3);
    while queue.durable() < Offset::new(3) {
        let _ticket = queue.submit(&Message::new(&[0; 64])).unwrap();
    }
    medium.gate.open();
    eventually(|| threads.iter().all(thread::JoinHandle::is_finished));
}

#[test]
fn who_lingers_syncs_for_those_that_come() {
    let medium = Medium::default();
    let queue = medium.share(Durability::EachMessage, SharedSettings::default().linger(Duration::from_millis(300)));
    thread::scope(|threads| {
        for thread in 0..4_u8 {
            let queue = &queue;
            threads.spawn(move || queue.append(&Message::new(&[thread])).unwrap());
        }
    });
    assert!(medium.gate.syncs.load(Ordering::SeqCst) <= 2, "they did not wait for each other");
    assert_eq!(medium.payloads_after_power_cut().len(), 4);
}

#[test]
fn when_syncs_fail_nobody_is_told_that_a_message_is_durable_and_nobody_hangs() {
    let medium = Medium::default();
    let queue = medium.share(Durability::EachMessage, SharedSettings::default());
    queue.append(&Message::new(b"before")).unwrap();
    medium.memory.lock().unwrap().inject(Fault::Sync, 0);
    let results: Vec<_> = thread::scope(|threads| {
        let append = |thread: u8| queue.append(&Message::new(&[thread]));
        let threads: Vec<_> = (0..8).map(|thread| threads.spawn(move || append(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let refused = |result: &Result<_, _>| matches!(result, Err(AppendError::Storage(_) | AppendError::ReadOnly(_)));
    assert!(results.iter().all(refused), "{results:?}");
    assert_eq!(medium.payloads_after_power_cut(), [b"before"]);
}

#[test]
fn one_failed_sync_goes_unnoticed_but_for_its_copy() {
    let medium = Medium::default();
    let queue = medium.share(Durability::EachMessage, SharedSettings::default());
    medium.memory.lock().unwrap().inject(Fault::OneSync, 0);
    queue.append(&Message::new(b"kept")).unwrap();
    assert_eq!(medium.payloads_after_power_cut(), [b"kept"]);
}

#[test]
fn who_waits_for_messages_gets_them_when_they_come() {
    let queue = Medium::default().share(Durability::Manual, SharedSettings::default());
    thread::scope(|threads| {
        let waits = threads.spawn(|| queue.reserve_wait(LEASE, 4, LONG).unwrap());
        eventually(|| queue.shared.lock().waiting == 1);
        queue.append(&Message::new(b"here")).unwrap();
        let leased = waits.join().unwrap();
        assert_eq!(leased[0].payload, b"here");

        // What is given back is handed out at once, and what is held until its lease has run out.
        let waits = threads.spawn(|| queue.reserve_wait(Duration::from_millis(20), 4, LONG).unwrap());
        eventually(|| queue.shared.lock().waiting == 1);
        queue.release(leased[0].lease, Release::InPlace).unwrap();
        assert_eq!(waits.join().unwrap()[0].attempts, 2);
        let again = queue.reserve_wait(LEASE, 4, LONG).unwrap();
        assert_eq!(again[0].attempts, 3);
        queue.ack(again[0].lease).unwrap();
    });
    assert_eq!(queue.reserve_wait(LEASE, 4, Duration::from_millis(5)).unwrap(), []);
}

#[test]
fn closing_ends_every_wait_and_commits() {
    let medium = Medium::default();
    let queue = medium.share(Durability::Manual, SharedSettings::default().flush_after(None));
    thread::scope(|threads| {
        let runs = threads.spawn(|| queue.run());
        let waits = threads.spawn(|| queue.reserve_wait(LEASE, 4, LONG).unwrap());
        eventually(|| queue.shared.lock().waiting == 1);
        queue.with(|queue, now| {
            queue.append(&Message::new(b"last")).unwrap();
            assert_eq!(queue.reserve(now, LEASE, 1).unwrap().len(), 1);
        });
        queue.close();
        assert_eq!(waits.join().unwrap(), []);
        runs.join().unwrap().unwrap();
    });
    assert_eq!(medium.payloads_after_power_cut(), [b"last"]);
}

#[test]
fn acknowledgements_of_a_queue_that_rests_are_committed_after_a_while_and_once() {
    let medium = Medium::default();
    let settings = SharedSettings::default().flush_after(Some(Duration::from_millis(10)));
    let queue = medium.share(Durability::EachMessage, settings);
    queue.append(&Message::new(b"done")).unwrap();
    let before = medium.gate.syncs.load(Ordering::SeqCst);
    thread::scope(|threads| {
        threads.spawn(|| queue.run().unwrap());
        queue.ack(queue.reserve(LEASE, 1).unwrap()[0].lease).unwrap();
        eventually(|| medium.gate.syncs.load(Ordering::SeqCst) > before);
        let memory = medium.memory.lock().unwrap().clone();
        assert_eq!(Queue::open(memory, QueueConfig::default(), [9; 8]).unwrap().stats().depth, 0);
        let after = medium.gate.syncs.load(Ordering::SeqCst);
        thread::sleep(Duration::from_millis(60));
        assert_eq!(medium.gate.syncs.load(Ordering::SeqCst), after, "nothing happened, and yet it synced");
        queue.close();
    });
}

/// A shared queue that is full, and how many messages it holds.
fn full(medium: &Medium) -> (Front, usize) {
    let config = QueueConfig::default().max_payload(1000).and_then(|config| config.segment_len(4096));
    let config = config.and_then(|config| config.segments(3)).unwrap();
    let queue = Queue::open(medium.clone(), config.durability(Durability::EachMessage), [1; 8]).unwrap();
    let start = std::time::Instant::now();
    let clock: TestClock = Box::new(move || Instant::from_micros(start.elapsed().as_micros() as u64));
    let queue = SharedQueue::new(queue, clock, SharedSettings::default());
    let held = (0..99).take_while(|_| queue.append(&Message::new(&[7; 900])).is_ok()).count();
    (queue, held)
}

#[test]
fn who_waits_for_room_appends_when_a_message_is_acknowledged_and_gives_up_in_time() {
    let (queue, held) = full(&Medium::default());
    let message = Message::new(&[8; 900]);
    let refused = queue.append_wait(&message, Duration::from_millis(5));
    assert!(matches!(refused, Err(AppendError::Full { .. })), "{refused:?}");
    thread::scope(|threads| {
        let appends = threads.spawn(|| queue.append_wait(&message, LONG).unwrap());
        eventually(|| queue.shared.lock().waiting_for_room == 1);
        for leased in queue.reserve(LEASE, held).unwrap() {
            queue.ack(leased.lease).unwrap();
        }
        assert_eq!(appends.join().unwrap(), Offset::new(held as u64));
        assert_eq!(queue.shared.lock().waiting_for_room, 0);
    });
    queue.close();
    while queue.append(&message).is_ok() {}
    let refused = queue.append_wait(&message, LONG);
    assert!(matches!(refused, Err(AppendError::Full { .. })), "nobody waits on a queue that is closed: {refused:?}");
}

#[test]
fn a_task_waits_for_room_and_leaves_nothing_when_it_is_dropped() {
    let (queue, held) = full(&Medium::default());
    let messages = [Message::new(&[8; 900])];
    let mut dropped = Box::pin(queue.submitting(&messages));
    assert!(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(queue.shared.lock().submitting.len(), 1);
    drop(dropped);
    assert!(queue.shared.lock().submitting.is_empty());
    thread::scope(|threads| {
        let submits = threads.spawn(|| block_on(queue.submitting(&messages)).unwrap());
        eventually(|| queue.shared.lock().submitting.len() == 1);
        for leased in queue.reserve(LEASE, held).unwrap() {
            queue.ack(leased.lease).unwrap();
        }
        let ticket = submits.join().unwrap();
        assert_eq!(ticket.offset(), Offset::new(held as u64), "what was dropped appended nothing");
        queue.wait(ticket).unwrap();
    });
}

#[test]
fn a_cursor_waits_for_what_is_appended_on_a_thread_and_in_a_task() {
    let queue = Medium::default().share(Durability::Manual, SharedSettings::default());
    let open = |queue: &mut Queue<Medium>, _| queue.open_cursor("reader", Seek::Oldest, MaxLag::UNLIMITED);
    let cursor = queue.with(open).unwrap();
    assert_eq!(queue.read_wait(cursor, 4, Duration::from_millis(5)), Ok(Vec::new()));
    let payload = |entry: &Entry| match entry {
        Entry::Message(stored) => stored.payload.clone(),
        Entry::Gap(gap) => panic!("{gap:?}"),
    };
    thread::scope(|threads| {
        let reads = threads.spawn(|| queue.read_wait(cursor, 4, LONG).unwrap());
        eventually(|| queue.shared.lock().waiting == 1);
        queue.append(&Message::new(b"here")).unwrap();
        assert_eq!(payload(&reads.join().unwrap()[0]), b"here");
        let reads = threads.spawn(|| block_on(queue.reading(cursor, 4)).unwrap());
        eventually(|| queue.shared.lock().reserving.len() == 1);
        queue.append(&Message::new(b"there")).unwrap();
        assert_eq!(payload(&reads.join().unwrap()[0]), b"there");
        let reads = threads.spawn(|| block_on(queue.reading(cursor, 4)).unwrap());
        eventually(|| queue.shared.lock().reserving.len() == 1);
        queue.close();
        assert_eq!(reads.join().unwrap(), []);
    });
}

/// Runs one future on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

#[test]
fn tasks_wait_for_commits_and_messages() {
    let medium = Medium::default();
    let queue = medium.share(Durability::EachMessage, SharedSettings::default());
    thread::scope(|threads| {
        threads.spawn(|| queue.run());
        let reads = threads.spawn(|| block_on(queue.reserving(LEASE, 4)).unwrap());
        eventually(|| !queue.shared.lock().reserving.is_empty());
        let ticket = queue.submit(&Message::new(b"for a task")).unwrap();
        assert_eq!(reads.join().unwrap()[0].payload, b"for a task");
        block_on(queue.committed(ticket)).unwrap();
        assert_eq!(medium.payloads_after_power_cut(), [b"for a task"]);

        medium.memory.lock().unwrap().inject(Fault::Sync, 0);
        let ticket = queue.submit(&Message::new(b"in vain")).unwrap();
        assert!(matches!(block_on(queue.committed(ticket)), Err(CommitError::Storage(_) | CommitError::ReadOnly(_))));
        queue.close();
    });
}

#[test]
fn a_task_that_is_dropped_leaves_the_messages_and_nothing_of_itself() {
    let queue = Medium::default().share(Durability::Manual, SharedSettings::default());
    let waker = Waker::noop();
    let mut reserving = Box::pin(queue.reserving(LEASE, 4));
    assert!(reserving.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
    let ticket = queue.submit(&Message::new(b"stays")).unwrap();
    let mut committed = Box::pin(queue.committed(ticket));
    assert!(committed.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
    drop((reserving, committed));
    let state = queue.shared.lock();
    assert!(state.reserving.is_empty() && state.committing.is_empty());
    drop(state);
    assert_eq!(queue.reserve(LEASE, 4).unwrap().len(), 1);
}

/// The waker of a task may be the last that holds it: waking drops the task, and the future in it.
#[test]
fn a_task_may_end_while_it_is_woken() {
    struct Task(Mutex<Option<Reserving<Medium, TestClock>>>);
    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
    let queue = Medium::default().share(Durability::Manual, SharedSettings::default());
    let task = Arc::new(Task(Mutex::new(None)));
    let waker = Waker::from(Arc::clone(&task));
    let mut reserving = queue.reserving(LEASE, 1);
    assert!(pin!(&mut reserving).poll(&mut Context::from_waker(&waker)).is_pending());
    *task.0.lock().unwrap() = Some(reserving);
    drop((task, waker));
    // Would wait for itself if the task were dropped under the lock.
    queue.append(&Message::new(b"wakes")).unwrap();
    assert_eq!(queue.stats().depth, 1);
}
