//! The gateway's end.

use std::error::Error as _;
use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use iot_core::DeviceId;
use iot_exchange::frames::{Frames, MAX_PACKET};
use iot_link::process::now;
use iot_link::{Failure, connect};
use iot_queue::mirror::{Mirror, MirrorConfig, MirrorEvent};
use iot_queue::shared::{Clock, LinkError, MirrorLink, SharedQueue, Wake};
use iot_queue::{Backoff, CursorError, MaxLag, Seek, Storage};

/// How long the receiver may take to answer a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// How soon [`fetch`] ends when it is told to.
const TICK: Duration = Duration::from_millis(200);

/// Between tries, the first and the longest.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(1));

/// The way of a queue to its receiver.
pub struct Uplink<S: Storage, C> {
    name: &'static str,
    receiver: String,
    link: MirrorLink<S, C>,
    is_connected: AtomicBool,
}

impl<S: Storage + Send, C: Clock + Sync> Uplink<S, C> {
    /// Forwards `queue` to `receiver`, HOST:PORT, through the cursor `cursor` and in the name of `origin`, who keeps it.
    /// What is wrong is said in the name of the program.
    ///
    /// # Errors
    ///
    /// When there can be no such cursor.
    pub fn new(
        name: &'static str,
        queue: &SharedQueue<S, C>,
        cursor: &str,
        origin: DeviceId,
        receiver: &str,
    ) -> Result<Self, CursorError> {
        let mirror = queue.with(|queue, _| {
            let cursor = queue.open_cursor(cursor, Seek::Oldest, MaxLag::UNLIMITED)?;
            let seed = u64::from_be_bytes(*queue.epoch().as_bytes());
            Mirror::new(MirrorConfig::default(), queue, cursor, seed)
        })?;
        let link = MirrorLink::new(queue.clone(), mirror, origin);
        Ok(Self { name, receiver: receiver.into(), link, is_connected: AtomicBool::new(false) })
    }

    /// Forwards until the queue is closed; and meanwhile hands what there is for devices at `back`, HOST:PORT, to `take`.
    /// Sets `stop` when it ends.
    ///
    /// # Errors
    ///
    /// When the queue cannot be read, or the receiver has what this queue never had.
    pub fn run(
        &self,
        stop: &AtomicBool,
        back: Option<&str>,
        take: impl Fn(DeviceId, &[u8]) + Send,
    ) -> Result<(), Failure> {
        std::thread::scope(|threads| {
            if let Some(back) = back {
                threads.spawn(|| fetch(back, stop, take));
            }
            let outcome = self.forward();
            stop.store(true, Ordering::Relaxed);
            outcome
        })
    }

    fn forward(&self) -> Result<(), Failure> {
        let Self { name, receiver, link, .. } = self;
        let mut complaint = String::new();
        while link.wait_wanted() == Wake::Due {
            let broken = match connect(receiver, PATIENCE) {
                Ok(stream) => {
                    complaint.clear();
                    self.converse(&stream)
                }
                Err(error) => {
                    link.lose();
                    LinkError::Stream(error)
                }
            };
            self.is_connected.store(false, Ordering::Relaxed);
            while let Some(event) = link.with_mirror(Mirror::poll_event) {
                if let MirrorEvent::Missed(gap) = event {
                    eprintln!("{name}: {} to {} were dropped before they were forwarded", gap.from, gap.until);
                }
            }
            match broken {
                LinkError::Closed => break,
                LinkError::Source(_) => return Err(broken.into()),
                LinkError::Halted => return Err(format!("{receiver} has packets that this queue never had").into()),
                _ => {
                    let cause = broken.source().map_or_else(|| broken.to_string(), ToString::to_string);
                    let words = format!("{name}: {receiver}: {cause}; trying again");
                    if words != complaint {
                        eprintln!("{words}");
                        complaint = words;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the receiver is reached.
    pub fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    /// Uses a connection until it is lost, and says why.
    fn converse(&self, stream: &TcpStream) -> LinkError {
        std::thread::scope(|threads| {
            // Whoever sends says why it ended.
            threads.spawn(|| self.link.receive_from(&mut Heard { stream, is_connected: &self.is_connected }));
            let broken = self.link.send_to(&mut &*stream).expect_err("it never ends otherwise");
            let _ = stream.shutdown(Shutdown::Both);
            broken
        })
    }
}

/// A stream that takes note whether the receiver says something.
struct Heard<'h> {
    stream: &'h TcpStream,
    is_connected: &'h AtomicBool,
}

impl Read for Heard<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.stream.read(buffer)?;
        self.is_connected.store(len > 0, Ordering::Relaxed);
        Ok(len)
    }
}

/// Hands what `receiver` has for devices to `take`, until `stop`.
pub fn fetch(receiver: &str, stop: &AtomicBool, take: impl Fn(DeviceId, &[u8])) {
    let mut attempts = 0;
    while !stop.load(Ordering::Relaxed) {
        let outcome = connect(receiver, PATIENCE).and_then(|stream| {
            stream.set_read_timeout(Some(TICK))?;
            let mut frames = Frames::new(stream, MAX_PACKET + DeviceId::LEN);
            while !stop.load(Ordering::Relaxed) {
                let packet = match frames.packet() {
                    Ok(packet) => packet.ok_or(ErrorKind::UnexpectedEof)?,
                    Err(error) if is_passing(&error) => continue,
                    Err(error) => return Err(error),
                };
                attempts = 0;
                let (device, packet) = packet.split_first_chunk().ok_or(ErrorKind::InvalidData)?;
                take(DeviceId::from_bytes(*device), packet);
            }
            Ok(())
        });
        if outcome.is_err() {
            attempts += 1;
            std::thread::sleep(BACKOFF.delay(attempts, now().as_micros()));
        }
    }
}

/// Nothing came in time.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
