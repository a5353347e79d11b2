//! A shared queue that forwards over byte streams: by threads over TCP connections that are cut, and by a task without
//! a runtime.
#![cfg(feature = "std")]

use core::future::Future as _;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use std::thread;

use iot_core::{DeviceId, Instant};
use iot_queue::mirror::{Mirror, MirrorConfig, StreamServer};
use iot_queue::shared::{Clock, LinkError, MirrorLink, SharedQueue, SharedSettings, Wake, serve};
use iot_queue::sink::Intake;
use iot_queue::{Backoff, Durability, Entry, MaxLag, MemoryStorage, Message, Offset, Queue, QueueConfig, Seek};

const ORIGIN: DeviceId = DeviceId::from_bytes([9; 32]);
const MAX_PAYLOAD: u32 = 64;

fn shared(durability: Durability, random: u8) -> SharedQueue<MemoryStorage, impl Clock> {
    let config = QueueConfig::default().max_payload(MAX_PAYLOAD).and_then(|config| config.segment_len(64 << 10));
    let config = config.and_then(|config| config.segments(8)).expect("in range").durability(durability);
    let queue = Queue::open(MemoryStorage::new(), config, [random; 8]).expect("nothing is wrong with it");
    let start = std::time::Instant::now();
    let clock = move || Instant::from_micros(start.elapsed().as_micros() as u64);
    SharedQueue::new(queue, clock, SharedSettings::default())
}

fn link_of<C: Clock>(queue: &SharedQueue<MemoryStorage, C>) -> MirrorLink<MemoryStorage, C> {
    let backoff = Backoff::new(Duration::from_millis(2), Duration::from_millis(8));
    let mirror = queue.with(|queue, _| {
        let cursor = queue.open_cursor("mirror", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
        Mirror::new(MirrorConfig::default().backoff(backoff), queue, cursor, 1).expect("the cursor is there")
    });
    MirrorLink::new(queue.clone(), mirror, ORIGIN)
}

fn numbers(queue: &Queue<MemoryStorage>) -> Vec<u64> {
    let number = |entry| match entry {
        Ok(Entry::Message(message)) => u64::from_le_bytes(message.payload[..].try_into().expect("8 octets")),
        other => panic!("{other:?}"),
    };
    queue.entries_from(Offset::START).map(number).collect()
}

#[test]
fn a_connection_that_cannot_be_made_is_wanted_again_after_a_while() {
    let source = shared(Durability::Manual, 1);
    let link = link_of(&source);
    let started = std::time::Instant::now();
    for _ in 0..10 {
        assert_eq!(link.wait_wanted(), Wake::Due);
        link.lose();
        link.lose();
    }
    assert_eq!(link.with_mirror(|mirror| mirror.stats().failures), 10, "each counts once");
    // The waits are of 1 to 8 milliseconds, by chance.
    assert!(started.elapsed() > Duration::from_millis(9), "{:?}", started.elapsed());
    source.close();
    assert_eq!(link.wait_wanted(), Wake::Closed);
}

/// The story: after a read that failed once, no connection was wanted any more.
#[test]
fn a_log_that_cannot_be_read_is_tried_again() {
    let source = shared(Durability::EachMessage, 1);
    let link = link_of(&source);
    source.append(&Message::new(&[7; 8])).expect("there is room");
    let (target, mut intake) = (shared(Durability::Manual, 2), Intake::new(8));
    for _ in 0..3 {
        assert_eq!(link.wait_wanted(), Wake::Due);
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(hello)) = pin!(link.output()).poll(&mut context) else { panic!("it asks") };
        let mut server = StreamServer::new(MAX_PAYLOAD);
        target.with(|queue, _| server.handle_input(&hello, queue, &mut intake)).expect("it is understood");
        // Its cursor is gone.
        source.with(|queue, _| {
            let cursor = queue.cursors().next().map(|status| status.id);
            cursor.map(|cursor| queue.delete_cursor(cursor))
        });
        link.handle_input(&server.poll_output()).expect("it is understood");
        let outcome = pin!(link.output()).poll(&mut context);
        assert!(matches!(outcome, Poll::Ready(Err(LinkError::Source(_)))), "{outcome:?}");
    }
    assert_eq!(link.with_mirror(|mirror| mirror.stats().failures), 3);
}

#[test]
fn a_connection_on_which_nobody_answers_is_lost() {
    let source = shared(Durability::Manual, 1);
    let mirror = source.with(|queue, _| {
        let cursor = queue.open_cursor("mirror", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
        let config = MirrorConfig::default().answer_within(Duration::from_millis(3));
        Mirror::new(config, queue, cursor, 1).expect("the cursor is there")
    });
    let link = MirrorLink::new(source, mirror, ORIGIN);
    assert_eq!(link.wait_wanted(), Wake::Due);
    let mut asked = Vec::new();
    assert!(matches!(link.send_to(&mut asked), Err(LinkError::Lost)));
    let len = u32::from_be_bytes(asked[..4].try_into().expect("4 octets"));
    assert_eq!(asked.len(), 4 + len as usize, "one hello and no more");
}

#[test]
fn a_log_that_was_set_back_ends_in_a_halt() {
    let (source, target) = (shared(Durability::EachMessage, 1), shared(Durability::EachMessage, 2));
    source.append_batch(&[Message::new(&[7; 8]); 5]).expect("there is room");
    let mut intake = Intake::new(8);
    // The same log before it was set back, and after.
    for (log, is_further) in [(&source, false), (&shared(Durability::EachMessage, 1), true)] {
        let (link, mut server) = (link_of(log), StreamServer::new(MAX_PAYLOAD));
        assert_eq!(link.wait_wanted(), Wake::Due);
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(outcome) = pin!(link.output()).poll(&mut context) {
            let octets = match outcome {
                Ok(octets) => octets,
                Err(error) => {
                    assert!(is_further && matches!(error, LinkError::Halted), "{error:?}");
                    log.close();
                    assert_eq!(link.wait_wanted(), Wake::Closed, "no connection is wanted");
                    return;
                }
            };
            target.with(|queue, _| server.handle_input(&octets, queue, &mut intake)).expect("it is understood");
            link.handle_input(&server.poll_output()).expect("it is understood");
        }
        assert!(!is_further);
    }
}

#[test]
fn threads_forward_over_connections_that_are_cut() {
    const COUNT: u64 = 600;
    let (source, target) = (shared(Durability::EachMessage, 1), shared(Durability::Manual, 2));
    let link = link_of(&source);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (intake, connections) = (Mutex::new(Intake::new(8)), AtomicUsize::new(0));
    let is_over = AtomicBool::new(false);
    // The connection in use, to be cut.
    let current: Mutex<Option<TcpStream>> = Mutex::new(None);
    thread::scope(|threads| {
        threads.spawn(|| source.run());
        threads.spawn(|| {
            for stream in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream.expect("it listens");
                *current.lock().expect("nobody panics") = stream.try_clone().ok();
                connections.fetch_add(1, Ordering::SeqCst);
                let _ = serve(&target, &intake, MAX_PAYLOAD, &mut stream);
            }
        });
        threads.spawn(|| {
            while link.wait_wanted() == Wake::Due {
                let Ok(stream) = TcpStream::connect(address) else {
                    link.lose();
                    continue;
                };
                thread::scope(|threads| {
                    threads.spawn(|| link.receive_from(&mut &stream));
                    let ended = link.send_to(&mut &stream);
                    assert!(!matches!(ended, Err(LinkError::Halted | LinkError::Source(_))), "{ended:?}");
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        for number in 0..COUNT {
            source.append(&Message::new(&number.to_le_bytes())).expect("there is room");
            if number % 100 == 99 {
                while link.with_mirror(|mirror| mirror.confirmed()) < Offset::new(number - 20) {
                    thread::yield_now();
                }
                if let Some(stream) = current.lock().expect("nobody panics").take() {
                    let _ = stream.shutdown(Shutdown::Both);
                }
            }
        }
        while link.with_mirror(|mirror| mirror.confirmed()) < Offset::new(COUNT) {
            thread::yield_now();
        }
        source.close();
        is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(address);
    });
    assert_eq!(target.with(|queue, _| numbers(queue)), (0..COUNT).collect::<Vec<_>>());
    assert!(connections.load(Ordering::SeqCst) > 3);
    // What it confirmed is the place of the cursor.
    source.with(|queue, _| assert!(queue.cursors().all(|status| status.position == Offset::new(COUNT))));
}

/// Counts how often a task is woken.
#[derive(Default)]
struct Alarm(AtomicUsize);

impl std::task::Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Alarm {
    fn woken(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

#[test]
fn a_task_is_woken_by_what_becomes_durable_and_by_what_is_heard_and_by_nothing_else() {
    let queue = shared(Durability::Manual, 1);
    let (mut target, mut intake) = (shared(Durability::Manual, 2), Intake::new(8));
    let link = link_of(&queue);
    let alarm = Arc::new(Alarm::default());
    let waker = Waker::from(Arc::clone(&alarm));
    let mut context = Context::from_waker(&waker);
    let mut server = StreamServer::new(MAX_PAYLOAD);
    let mut hear = |octets: &[u8], target: &mut SharedQueue<_, _>| {
        target.with(|queue, _| server.handle_input(octets, queue, &mut intake)).expect("it is taken");
        server.poll_output()
    };
    assert!(matches!(pin!(link.output()).poll(&mut context), Poll::Ready(Err(LinkError::Lost))), "no connection");
    assert_eq!(pin!(link.wanted()).poll(&mut context), Poll::Ready(Wake::Due));
    let Poll::Ready(Ok(hello)) = pin!(link.output()).poll(&mut context) else { panic!() };
    let mut output = pin!(link.output());
    assert!(output.as_mut().poll(&mut context).is_pending());
    let welcome = hear(&hello, &mut target);
    link.handle_input(&welcome).expect("it is understood");
    assert_eq!(alarm.woken(), 1, "the other side has said where to go on");
    assert!(output.as_mut().poll(&mut context).is_pending());
    let _ = queue.submit(&Message::new(&0_u64.to_le_bytes())).expect("there is room");
    assert_eq!(alarm.woken(), 0, "it is not durable");
    queue.commit().expect("the medium works");
    assert_eq!(alarm.woken(), 1);
    let Poll::Ready(Ok(octets)) = output.as_mut().poll(&mut context) else { panic!() };
    let acknowledged = hear(&octets, &mut target);
    link.handle_input(&acknowledged).expect("it is understood");
    let mut output = pin!(link.output());
    assert!(output.as_mut().poll(&mut context).is_pending());
    assert_eq!(link.with_mirror(|mirror| mirror.confirmed()), Offset::new(1));
    // A commit of nothing is no news, nor is one of the cursor's place.
    queue.commit().expect("the medium works");
    assert_eq!(alarm.woken(), 0);
    queue.close();
    assert_eq!(alarm.woken(), 1);
    assert!(matches!(output.as_mut().poll(&mut context), Poll::Ready(Err(LinkError::Closed))));
    link.lose();
    assert_eq!(link.wait_wanted(), Wake::Closed);
    assert_eq!(target.with(|queue, _| numbers(queue)), [0]);
}

#[test]
fn upkeep_tells_the_time_to_a_task_that_waits_to_come_again() {
    let queue = shared(Durability::Manual, 1);
    let link = link_of(&queue);
    thread::scope(|threads| {
        threads.spawn(|| queue.run());
        assert_eq!(link.wait_wanted(), Wake::Due);
        link.lose();
        let thread = Arc::new(Unpark(thread::current()));
        let waker = Waker::from(thread);
        let mut wanted = pin!(link.wanted());
        while wanted.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            thread::park();
        }
        queue.close();
    });
}

struct Unpark(thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
