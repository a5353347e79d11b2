//! A publisher that runs, over links in memory that break.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use iot_core::Timestamp;
use iot_exchange::fanout::{Publisher, PublisherKeys, SubscriberId, outbox_config};
use iot_exchange::{Endpoint, Event, Feedback, Keys, Role, Turn, queue_config};
use iot_fanout::Fanout;
use iot_link::process::{now, wall};
use iot_link::{Dialer, Link};
use iot_queue::{MaxLag, MemoryStorage, Queue};
use iot_readings::{Feed, FeedOptions};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

const MESSAGES: u64 = 200;
const NAMES: [&str; 2] = ["archive", "alarm"];

/// One end of a link, which breaks after so many packets.
struct Wire {
    going: Sender<Vec<u8>>,
    coming: Receiver<Vec<u8>>,
    left: usize,
}

impl Link for Wire {
    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        self.left = self.left.checked_sub(1).ok_or(ErrorKind::BrokenPipe)?;
        self.going.send(packet.to_vec()).map_err(|_| ErrorKind::BrokenPipe.into())
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        match self.coming.recv_timeout(patience) {
            Ok(packet) => Ok(Some(packet)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// A subscriber's end of a link.
type End = (Sender<Vec<u8>>, Receiver<Vec<u8>>);

/// What dials a subscriber: nobody is there at first, then links break, each later than the one before.
fn dialer(door: Sender<End>, dialled: Arc<AtomicUsize>) -> Dialer {
    Box::new(move || {
        let number = dialled.fetch_add(1, Ordering::SeqCst);
        if number == 0 {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        let ((going, theirs), (them, coming)) = (mpsc::channel(), mpsc::channel());
        door.send((them, theirs)).map_err(|_| ErrorKind::ConnectionRefused)?;
        Ok(Box::new(Wire { going, coming, left: 40 * number }))
    })
}

/// An end that receives until it has everything, over one link after the other. Gives the numbers of what it accepted.
fn subscribe(keys: &Keys, door: &Receiver<End>) -> Vec<u64> {
    let queues = [4, 5].map(|seed| Queue::open(MemoryStorage::new(), queue_config(), [seed; 8]).unwrap());
    let feedback = Feedback::Acknowledged { within: Duration::from_secs(1) };
    let mut end = Endpoint::new(keys, Role::Receiver, feedback, queues, ChaCha20Rng::seed_from_u64(6)).unwrap();
    let mut accepted = Vec::new();
    while let Ok((going, coming)) = door.recv() {
        end.handle_connected(now()).unwrap();
        loop {
            match coming.recv_timeout(Duration::from_millis(5)) {
                Ok(mut packet) => end.handle_packet(now(), &mut packet).unwrap(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while let Some(packet) = end.poll_transmit(now(), wall()).unwrap() {
                // Who has hung up gets it over the next link.
                let _ = going.send(packet);
            }
            let sequence =
                |event| if let Event::Accepted { sequence, .. } = event { sequence } else { panic!("{event}") };
            accepted.extend(std::iter::from_fn(|| end.poll_event()).map(sequence));
        }
    }
    accepted
}

fn drawn() -> (PublisherKeys, Vec<Keys>) {
    let wall: Timestamp = wall();
    let (publisher, subscribers) =
        PublisherKeys::draw(&NAMES.map(str::to_owned), wall, &mut ChaCha20Rng::seed_from_u64(1));
    let subscribers = subscribers.iter().map(|file| Keys::parse(file, wall).unwrap()).collect();
    (PublisherKeys::parse(&publisher, wall).unwrap(), subscribers)
}

fn fanout(keys: &PublisherKeys) -> (Fanout<'_, MemoryStorage>, [SubscriberId; 2]) {
    let outbox = Queue::open(MemoryStorage::new(), outbox_config(), [2; 8]).unwrap();
    let (within, rng) = (Duration::from_secs(5), ChaCha20Rng::seed_from_u64(3));
    let publisher = Publisher::new(keys, outbox, within, MaxLag::UNLIMITED, rng).unwrap();
    let ids = NAMES.map(|name| publisher.subscriber(name).unwrap());
    (Fanout::new("test", publisher, Arc::new(AtomicBool::new(false))), ids)
}

fn feed() -> Feed {
    Feed::open(&FeedOptions { count: 4 * MESSAGES, batch: 4, rate: 0, ..FeedOptions::default() }).unwrap()
}

#[test]
fn each_subscriber_has_everything_in_order_over_links_that_break() {
    let (keys, subscribers) = drawn();
    let (fanout, ids) = fanout(&keys);
    let dialled = [Arc::<AtomicUsize>::default(), Arc::default()];
    let accepted = std::thread::scope(|threads| {
        let ends: Vec<_> = (ids.iter().zip(&dialled).zip(&subscribers))
            .map(|((&id, dialled), keys)| {
                let (fanout, (door, opened)) = (&fanout, mpsc::channel());
                let dialled = dialled.clone();
                threads.spawn(move || fanout.run(|| fanout.push(id, dialer(door, dialled))));
                threads.spawn(move || subscribe(keys, &opened))
            })
            .collect();
        fanout.run(|| fanout.read(feed()));
        fanout.stop();
        ends.into_iter().map(|end| end.join().unwrap()).collect::<Vec<_>>()
    });
    for (accepted, dialled) in accepted.iter().zip(&dialled) {
        assert_eq!(*accepted, (0..MESSAGES).collect::<Vec<_>>());
        assert!(dialled.load(Ordering::SeqCst) >= 3, "{dialled:?}");
    }
    assert!(fanout.standings().iter().all(|standing| standing.waiting == 0 && standing.failures == 0));
    assert_eq!(fanout.into_publisher().unwrap().written(), MESSAGES);
}

#[test]
fn who_comes_by_itself_fetches_what_there_is_and_strangers_get_nothing() {
    let (keys, subscribers) = drawn();
    let (fanout, _) = fanout(&keys);
    fanout.run(|| {
        // Nobody acknowledges what is read, so it stops when that is enough.
        std::thread::scope(|threads| {
            threads.spawn(|| {
                while fanout.standings()[0].waiting < MESSAGES {
                    std::thread::yield_now();
                }
                fanout.stop();
            });
            fanout.read(feed())
        })
    });
    assert!(fanout.fetch(vec![b"no envelope".to_vec()], Duration::MAX).unwrap().is_empty());
    let queues = [4, 5].map(|seed| Queue::open(MemoryStorage::new(), queue_config(), [seed; 8]).unwrap());
    let (feedback, rng) = (Feedback::Acknowledged { within: Duration::from_secs(1) }, ChaCha20Rng::seed_from_u64(6));
    let mut end = Endpoint::new(&subscribers[1], Role::Receiver, feedback, queues, rng).unwrap();
    end.handle_connected(now()).unwrap();
    let mut accepted = 0;
    while accepted < MESSAGES {
        end.handle_turn(Turn::Ask);
        let asked: Vec<_> = std::iter::from_fn(|| end.poll_transmit(now(), wall()).unwrap()).collect();
        assert!(!asked.is_empty(), "after {accepted}");
        for mut packet in fanout.fetch(asked, Duration::from_secs(60)).unwrap() {
            end.handle_packet(now(), &mut packet).unwrap();
        }
        accepted += std::iter::from_fn(|| end.poll_event()).count() as u64;
    }
    let standings = fanout.standings();
    assert_eq!(standings[0].acknowledged, 0);
    assert!(standings[1].acknowledged > 0, "{}", standings[1]);
}

#[test]
fn a_failure_of_the_publisher_ends_everything_and_is_told() {
    let (keys, _) = drawn();
    let (fanout, _) = fanout(&keys);
    fanout.run(|| Ok(()));
    assert!(!fanout.is_over());
    fanout.run(|| Err("the disk is gone".into()));
    fanout.run(|| Err("and so is the other".into()));
    assert!(fanout.is_over());
    assert_eq!(fanout.into_publisher().err().unwrap().to_string(), "the disk is gone");
}
