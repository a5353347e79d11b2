use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::mpsc;
use std::thread;

use super::*;
use crate::config::QueueConfig;
use crate::lease::DeathCause;
use crate::message::Message;
use crate::offset::Offset;
use crate::queue::Queue;
use crate::shared::SharedSettings;
use crate::storage::{MemoryStorage, Operation, SegmentExtent, SegmentNumber, Storage, StorageError};

const LEASE: Duration = Duration::from_millis(30);

/// A clock that the test moves.
#[derive(Clone, Default)]
struct Hand(Arc<AtomicU64>);

impl Clock for Hand {
    fn now(&self) -> Instant {
        Instant::from_micros(self.0.load(Ordering::SeqCst))
    }
}

impl Hand {
    fn pass(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

type Tried = Worker<MemoryStorage, Hand>;

/// A worker on a queue that holds these messages, each of which has two attempts.
fn worker_on(settings: WorkerSettings, messages: &[&str]) -> (Tried, Hand) {
    let config = QueueConfig::default().segment_len(256 << 10).unwrap().segments(4).unwrap().max_attempts(2).unwrap();
    let mut queue = Queue::open(MemoryStorage::new(), config, [7; 8]).unwrap();
    messages.iter().for_each(|message| _ = queue.append(&Message::new(message.as_bytes())).unwrap());
    let clock = Hand::default();
    let queue = SharedQueue::new(queue, clock.clone(), SharedSettings::default());
    (Worker::new(queue, settings.lease(LEASE).unwrap()), clock)
}

fn worker(messages: &[&str]) -> (Tried, Hand) {
    worker_on(WorkerSettings::default(), messages)
}

/// What a handler says whose message is what it says.
fn obey(job: &Job<'_>) -> Verdict {
    match &*job.message().payload {
        b"fail" => Verdict::Failed("no luck".into()),
        b"reject" => Verdict::Rejected("no sense".into()),
        b"release" => Verdict::Released(Release::After(Duration::from_secs(5))),
        _ => Verdict::Done,
    }
}

fn next(worker: &Tried) -> Handled {
    worker.handle_next(obey).unwrap().unwrap()
}

#[test]
fn a_message_is_settled_by_the_verdict() {
    let (worker, clock) = worker(&["done", "fail", "reject", "release"]);
    let said: Vec<_> = (0..4).map(|_| next(&worker).to_string()).collect();
    assert_eq!(
        said,
        [
            "0 done at attempt 1",
            "1 failed at attempt 1: no luck",
            "2 given up after attempt 1: no sense",
            "3 given back at attempt 1",
        ]
    );
    let stats = worker.queue.stats();
    assert_eq!((stats.depth, stats.dead, stats.delayed), (3, 1, 2));
    // What failed waits for its backoff, half a second to one; what was given back, as long as was said.
    clock.pass(Duration::from_secs(1));
    assert_eq!(next(&worker).to_string(), "1 given up after attempt 2: no luck");
    clock.pass(Duration::from_secs(4));
    let last = next(&worker);
    assert_eq!((last.message.offset, last.outcome), (Offset::new(3), Outcome::Released));
    let letters: Vec<_> = worker.queue.with(|queue, _| queue.dead_letters(Offset::START).collect());
    let told: Vec<_> = letters.iter().map(|it| (it.offset.number(), it.attempts, it.cause, &*it.reason)).collect();
    assert_eq!(told, [(1, 2, DeathCause::Nacked, "no luck"), (2, 1, DeathCause::Rejected, "no sense")]);
}

#[test]
fn a_result_is_a_verdict() {
    assert_eq!(Verdict::from("7".parse::<u8>()), Verdict::Done);
    assert_eq!(Verdict::from("x".parse::<u8>()), Verdict::Failed("invalid digit found in string".into()));
}

#[test]
fn a_lease_is_prolonged_while_its_handler_works() {
    let (worker, clock) = worker(&["slow"]);
    let slow = |job: &Job<'_>| {
        for _ in 0..20 {
            clock.pass(LEASE / 2);
            let due = worker.prolong(&mut worker.hands());
            assert_eq!(due, Some(clock.now().saturating_add(LEASE / 3)));
            assert!(worker.queue.reserve(LEASE, 1).unwrap().is_empty());
            assert!(job.is_ours());
        }
        Verdict::Done
    };
    assert_eq!(worker.handle_next(slow).unwrap().unwrap().outcome, Outcome::Done);
    assert_eq!(worker.queue.stats().depth, 0);
    assert_eq!(worker.prolong(&mut worker.hands()), None);
}

#[test]
fn what_nobody_prolongs_is_somebody_elses() {
    let (worker, clock) = worker(&["slow"]);
    let slow = |job: &Job<'_>| {
        clock.pass(LEASE);
        let other = worker.queue.reserve(LEASE, 1).unwrap().pop().unwrap();
        assert_eq!(other.attempts, 2);
        assert!(job.is_ours(), "nobody has looked yet");
        assert_eq!(worker.prolong(&mut worker.hands()), None);
        assert!(!job.is_ours());
        worker.queue.ack(other.lease).unwrap();
        Verdict::Failed("too late".into())
    };
    let handled = worker.handle_next(slow).unwrap().unwrap();
    assert_eq!(handled.to_string(), "0 lost at attempt 1: its lease had ended");
    assert_eq!((worker.queue.stats().depth, worker.queue.stats().dead), (0, 0));
}

#[test]
fn a_handler_that_never_returns_keeps_its_message_for_the_longest_time_only() {
    let (worker, clock) = worker_on(WorkerSettings::default().longest(LEASE), &["hangs"]);
    let hangs = |job: &Job<'_>| {
        for _ in 0..2 {
            clock.pass(LEASE / 3);
            assert!(worker.prolong(&mut worker.hands()).is_some());
        }
        assert!(job.is_ours());
        clock.pass(LEASE / 3);
        // The last lease goes on for two thirds, in which a handler that looks can still say why.
        assert_eq!(worker.prolong(&mut worker.hands()), None);
        assert!(!job.is_ours());
        assert!(worker.queue.reserve(LEASE, 1).unwrap().is_empty());
        clock.pass(LEASE);
        assert_eq!(worker.queue.reserve(LEASE, 1).unwrap().len(), 1);
        Verdict::Done
    };
    assert_eq!(worker.handle_next(hangs).unwrap().unwrap().outcome, Outcome::Lost);
}

#[test]
fn the_panic_of_a_handler_is_a_failure_and_goes_on_to_the_caller() {
    let (worker, clock) = worker(&["panics"]);
    for _ in 0..2 {
        let panicking = |_: &Job<'_>| -> Verdict { panic!("out of luck") };
        let panic = catch_unwind(AssertUnwindSafe(|| worker.handle_next(panicking))).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"out of luck"));
        clock.pass(Duration::from_secs(600));
    }
    let letter = worker.queue.with(|queue, _| queue.dead_letters(Offset::START).next()).unwrap();
    assert_eq!((letter.attempts, &*letter.reason), (2, "its handler panicked"));
    // Nothing is left of it in the worker.
    worker.stop();
    worker.keep();
}

#[test]
fn what_is_being_done_is_finished_and_kept_when_the_worker_stops() {
    let (worker, clock) = worker(&["first", "second"]);
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    thread::scope(|threads| {
        let keeper = threads.spawn(|| worker.keep());
        let worker = &worker;
        let working = threads.spawn(move || {
            let first = worker.handle_next(|job| {
                assert!(!job.is_stopping());
                begun.send(()).unwrap();
                may_go_on.recv().unwrap();
                assert!(job.is_stopping() && job.is_ours());
                Verdict::Done
            });
            (first, worker.handle_next(obey))
        });
        has_begun.recv().unwrap();
        worker.stop();
        // Longer than the lease by far, and the keeper is still at it.
        let late = std::time::Instant::now() + Duration::from_secs(60);
        for _ in 0..9 {
            clock.pass(LEASE / 2);
            while worker.hands().kept.values().all(|kept| kept.due <= clock.now()) {
                assert!(std::time::Instant::now() < late, "nobody prolongs the lease");
                thread::yield_now();
            }
        }
        go_on.send(()).unwrap();
        let (first, second) = working.join().unwrap();
        assert_eq!(first.unwrap().unwrap().to_string(), "0 done at attempt 1");
        assert_eq!(second, Ok(None));
        keeper.join().unwrap();
    });
    // Nobody has tried the second one.
    let second = worker.queue.reserve(LEASE, 2).unwrap();
    assert_eq!((second.len(), second[0].attempts), (1, 1));
}

#[test]
fn who_waits_for_a_message_goes_without_when_the_worker_stops() {
    let (worker, _) = worker(&[]);
    thread::scope(|threads| {
        let waiting: Vec<_> = (0..2).map(|_| threads.spawn(|| worker.handle_next(obey))).collect();
        while worker.hands().busy < 2 {
            thread::yield_now();
        }
        worker.stop();
        waiting.into_iter().for_each(|waiting| assert_eq!(waiting.join().unwrap(), Ok(None)));
    });
}

#[test]
fn who_waits_and_who_keeps_end_when_the_queue_is_closed() {
    let (worker, _) = worker(&["left"]);
    thread::scope(|threads| {
        let keeper = threads.spawn(|| worker.keep());
        // What can be had is still done, and kept meanwhile.
        worker.queue.close();
        assert!(!worker.is_over());
        assert_eq!(next(&worker).to_string(), "0 done at attempt 1");
        assert_eq!(worker.handle_next(obey), Ok(None));
        keeper.join().unwrap();
    });
}

#[test]
fn who_keeps_for_nobody_ends_when_the_queue_is_closed() {
    let (worker, _) = worker(&[]);
    thread::scope(|threads| {
        let keeper = threads.spawn(|| worker.keep());
        worker.queue.close();
        keeper.join().unwrap();
    });
    assert_eq!(worker.handle_next(obey), Ok(None));
}

/// A storage whose reads fail as long as the test says.
struct Loose(MemoryStorage, Arc<AtomicBool>);

impl Storage for Loose {
    type Syncer = <MemoryStorage as Storage>::Syncer;

    fn list(&self) -> Result<Vec<SegmentExtent>, StorageError> {
        self.0.list()
    }

    fn allocate(&mut self, segment: SegmentNumber, len: u32) -> Result<(), StorageError> {
        self.0.allocate(segment, len)
    }

    fn read_at(&self, segment: SegmentNumber, position: u32, buffer: &mut [u8]) -> Result<(), StorageError> {
        if self.1.load(Ordering::SeqCst) {
            return Err(StorageError::Io { operation: Operation::Read(segment), code: 5 });
        }
        self.0.read_at(segment, position, buffer)
    }

    fn write_at(&mut self, segment: SegmentNumber, position: u32, bytes: &[u8]) -> Result<(), StorageError> {
        self.0.write_at(segment, position, bytes)
    }

    fn sync(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        self.0.sync(segment)
    }

    fn remove(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        self.0.remove(segment)
    }

    fn sync_directory(&mut self) -> Result<(), StorageError> {
        self.0.sync_directory()
    }
}

#[test]
fn who_waits_goes_on_when_a_message_cannot_be_read() {
    let (fails, clock) = (Arc::new(AtomicBool::new(false)), Hand::default());
    let config = QueueConfig::default().segment_len(256 << 10).unwrap().segments(4).unwrap();
    let queue = Queue::open(Loose(MemoryStorage::new(), Arc::clone(&fails)), config, [7; 8]).unwrap();
    let queue = SharedQueue::new(queue, clock.clone(), SharedSettings::default());
    let worker = Worker::new(queue, WorkerSettings::default());
    worker.queue.append(&Message::new(b"done")).unwrap();
    fails.store(true, Ordering::SeqCst);
    thread::scope(|threads| {
        let waiting = threads.spawn(|| worker.handle_next(obey));
        while worker.queue.stats().unread == 0 {
            thread::yield_now();
        }
        fails.store(false, Ordering::SeqCst);
        // It is tried again after a pause.
        clock.pass(Duration::from_secs(60));
        worker.queue.with(|_, _| ());
        assert_eq!(waiting.join().unwrap().unwrap().unwrap().to_string(), "0 done at attempt 1");
    });
}

#[test]
fn a_lease_is_prolonged_in_time_by_a_thread_that_slept_since_it_began() {
    let (worker, clock) = worker(&["late"]);
    let message = worker.queue.reserve(LEASE, 1).unwrap().pop().unwrap();
    clock.pass(LEASE * 9 / 10);
    let busy = Busy::enter(&worker);
    busy.keep(&message, &Arc::default());
    let due = worker.hands().kept[&message.lease].due;
    assert!(due < message.deadline, "{due:?}");
    worker.prolong(&mut worker.hands());
    clock.pass(LEASE / 2);
    assert!(worker.queue.reserve(LEASE, 1).unwrap().is_empty());
}

#[test]
fn many_threads_do_each_message_once_in_the_end() {
    let messages: Vec<_> = (0..200).map(|number| alloc::format!("{number}")).collect();
    let (worker, clock) = worker(&messages.iter().map(|message| &**message).collect::<Vec<_>>());
    let (done, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|threads| {
        threads.spawn(|| worker.keep());
        for _ in 0..4 {
            threads.spawn(|| {
                let once = |job: &Job<'_>| if job.message().attempts == 1 { Err("at first") } else { Ok(()) };
                while let Some(handled) = worker.handle_next(once).unwrap() {
                    match handled.outcome {
                        Outcome::Failed { .. } => _ = failed.fetch_add(1, Ordering::SeqCst),
                        Outcome::Done => _ = done.fetch_add(1, Ordering::SeqCst),
                        outcome => panic!("{outcome:?}"),
                    }
                }
            });
        }
        while failed.load(Ordering::SeqCst) < 200 {
            thread::yield_now();
        }
        // Nobody waits by the clock of the test.
        clock.pass(Duration::from_secs(1));
        worker.queue.with(|_, _| ());
        while done.load(Ordering::SeqCst) < 200 {
            thread::yield_now();
        }
        worker.stop();
    });
    let stats = worker.queue.stats();
    assert_eq!((stats.depth, failed.into_inner(), done.into_inner()), (0, 200, 200));
}

#[test]
fn refuses_leases_that_nobody_could_prolong() {
    let refused = WorkerSettings::default().lease(Duration::from_millis(9)).unwrap_err();
    assert_eq!(refused.to_string(), "lease of 9 is not between 10 and 18446744073709551615");
}
