//! The way to the receiver: a mirror of the queue on one connection, and packets for devices on another.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use iot_core::DeviceId;
use iot_queue::mirror::{Mirror, MirrorConfig, MirrorEvent, StreamSink};
use iot_queue::{Backoff, MaxLag, Seek};

use crate::frames::{Frames, MAX_PACKET};
use crate::store::{Store, now};

/// How long a connection may be without a word before it is looked after.
const TICK: Duration = Duration::from_millis(20);

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

/// Forwards the queue to `receiver` until `stop`.
///
/// # Errors
///
/// When the queue cannot be read, or the receiver has what this queue never had.
pub fn forward(
    store: &Store,
    receiver: &str,
    origin: DeviceId,
    health: &Health,
    stop: &AtomicBool,
) -> Result<(), String> {
    let mirror = store.queue.with(|queue, _| {
        let cursor = queue.open_cursor("receiver", Seek::Oldest, MaxLag::UNLIMITED)?;
        let seed = u64::from_be_bytes(*queue.epoch().as_bytes());
        Mirror::new(MirrorConfig::default(), queue, cursor, seed)
    });
    let mut mirror = mirror.map_err(|error| error.to_string())?;
    let mut complaint = String::new();
    while !stop.load(Ordering::Relaxed) {
        let due = mirror.poll_timeout().map_or(Duration::ZERO, |due| due.saturating_since(now()));
        std::thread::sleep(due.min(TICK));
        if due > TICK {
            continue;
        }
        let outcome = TcpStream::connect(receiver).and_then(|stream| {
            complaint.clear();
            converse(store, &mut mirror, origin, &stream, health, stop)
        });
        health.is_mirroring.store(false, Ordering::Relaxed);
        while let Some(event) = mirror.poll_event() {
            match event {
                MirrorEvent::Missed(gap) => eprintln!("gateway: {} to {} were dropped", gap.from, gap.until),
                MirrorEvent::Ahead(_) | MirrorEvent::Fenced(_) => {
                    return Err(format!("{receiver} has messages that this queue never had: {event:?}"));
                }
                _ => {}
            }
        }
        if let Err(error) = outcome {
            let words = format!("{receiver}: {error}; trying again");
            if words != complaint {
                eprintln!("gateway: {words}");
                complaint = words;
            }
            mirror.handle_failure(now());
        }
    }
    Ok(())
}

fn converse(
    store: &Store,
    mirror: &mut Mirror,
    origin: DeviceId,
    mut stream: &TcpStream,
    health: &Health,
    stop: &AtomicBool,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TICK))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (mut sink, mut buffer, mut let_go) = (StreamSink::new(origin), [0; 4096], mirror.confirmed());
    let asked = mirror.stats().asked;
    while !stop.load(Ordering::Relaxed) {
        let outcome = store.queue.with(|queue, now| {
            mirror.drive(now, queue, &mut sink).map_err(io::Error::other)?;
            if mirror.confirmed() > let_go {
                let_go = mirror.confirmed();
                queue.ack_before(let_go).map_err(io::Error::other)?;
                store.note_forwarded(let_go);
            }
            Ok::<_, io::Error>(())
        });
        outcome?;
        if mirror.is_halted() {
            return Ok(());
        }
        if mirror.stats().asked > asked + 1 {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.write_all(&sink.poll_output())?;
        match stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(len) => {
                health.is_mirroring.store(true, Ordering::Relaxed);
                sink.handle_input(&buffer[..len]).map_err(io::Error::other)?;
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
