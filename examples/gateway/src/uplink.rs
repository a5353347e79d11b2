//! The way to the receiver: a mirror of the queue on one connection, and packets for devices on another.

use std::error::Error as _;
use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use iot_core::{DeviceId, Instant};
use iot_exchange::frames::{Frames, MAX_PACKET};
use iot_link::Failure;
use iot_link::process::now;
use iot_queue::mirror::{Mirror, MirrorConfig, MirrorEvent};
use iot_queue::shared::{LinkError, MirrorLink, Wake};
use iot_queue::{Backoff, FileStorage, MaxLag, Seek};

use crate::{CURSOR, Store};

type Link = MirrorLink<FileStorage, fn() -> Instant>;

/// How long the receiver may take to answer a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// Seconds between tries, the first and the longest.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));

/// Whether things are as they should be.
#[derive(Debug, Default)]
pub struct Health {
    /// Whether the mirror talks with the receiver.
    pub is_mirroring: AtomicBool,
    /// Whether the queue and its medium work.
    pub is_storing: AtomicBool,
}

/// Forwards the queue to `receiver` until the queue is closed.
///
/// # Errors
///
/// When the queue cannot be read, or the receiver has what this queue never had.
pub fn forward(store: &Store, receiver: &str, origin: DeviceId, health: &Health) -> Result<(), Failure> {
    let mirror = store.queue.with(|queue, _| {
        let cursor = queue.open_cursor(CURSOR, Seek::Oldest, MaxLag::UNLIMITED)?;
        let seed = u64::from_be_bytes(*queue.epoch().as_bytes());
        Mirror::new(MirrorConfig::default(), queue, cursor, seed)
    })?;
    let link = MirrorLink::new(store.queue.clone(), mirror, origin);
    let mut complaint = String::new();
    while link.wait_wanted() == Wake::Due {
        let broken = match connect(receiver) {
            Ok(stream) => {
                complaint.clear();
                converse(&link, &stream, store, health)
            }
            Err(error) => {
                link.lose();
                LinkError::Stream(error)
            }
        };
        health.is_mirroring.store(false, Ordering::Relaxed);
        while let Some(event) = link.with_mirror(Mirror::poll_event) {
            if let MirrorEvent::Missed(gap) = event {
                eprintln!("gateway: {} to {} were dropped before they were forwarded", gap.from, gap.until);
            }
        }
        match broken {
            LinkError::Closed => break,
            LinkError::Source(_) => return Err(broken.into()),
            LinkError::Halted => return Err(format!("{receiver} has packets that this queue never had").into()),
            _ => {
                let cause = broken.source().map_or_else(|| broken.to_string(), ToString::to_string);
                let words = format!("{receiver}: {cause}; trying again");
                if words != complaint {
                    eprintln!("gateway: {words}");
                    complaint = words;
                }
            }
        }
    }
    Ok(())
}

fn connect(receiver: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(receiver)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Uses a connection until it is lost, and says why.
fn converse(link: &Link, stream: &TcpStream, store: &Store, health: &Health) -> LinkError {
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut stream = Heard { stream, link, store, health };
            // Whoever sends says why it ended.
            let _ = link.receive_from(&mut stream);
        });
        let broken = link.send_to(&mut &*stream).expect_err("it never ends otherwise");
        let _ = stream.shutdown(Shutdown::Both);
        broken
    })
}

/// A stream that takes note of what the receiver has, whenever it says something.
struct Heard<'h> {
    stream: &'h TcpStream,
    link: &'h Link,
    store: &'h Store,
    health: &'h Health,
}

impl Read for Heard<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.store.note_forwarded(self.link.with_mirror(|mirror| mirror.confirmed()));
        let len = self.stream.read(buffer)?;
        self.health.is_mirroring.store(len > 0, Ordering::Relaxed);
        Ok(len)
    }
}

/// Passes on to devices what `receiver` has for them, until `stop`.
pub fn pass_back(store: &Arc<Store>, receiver: &str, stop: &AtomicBool) {
    let mut attempts = 0;
    while !stop.load(Ordering::Relaxed) {
        let outcome = TcpStream::connect(receiver).and_then(|stream| {
            stream.set_read_timeout(Some(Duration::from_millis(200)))?;
            let mut frames = Frames::new(stream, MAX_PACKET + DeviceId::LEN);
            while !stop.load(Ordering::Relaxed) {
                let packet = match frames.packet() {
                    Ok(packet) => packet.ok_or(ErrorKind::UnexpectedEof)?,
                    Err(error) if is_passing(&error) => continue,
                    Err(error) => return Err(error),
                };
                attempts = 0;
                let (device, packet) = packet.split_first_chunk().ok_or(ErrorKind::InvalidData)?;
                store.send_back(&DeviceId::from_bytes(*device), packet);
            }
            Ok(())
        });
        if outcome.is_err() {
            attempts += 1;
            std::thread::sleep(BACKOFF.delay(attempts, now().as_micros()).min(Duration::from_secs(1)));
        }
    }
}

/// Nothing came in time.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
