//! A sensor: batches its readings, signs and seals them, and hands them to the gateway until it has them.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use iot_core::{Position, StreamId, Timestamp, Topic};
use iot_crypto::{Carries, Heading, KeyBundle, Sealer};

use crate::batch;
use crate::cast::Party;
use crate::clock::Clock;
use crate::input::Reading;
use crate::link::{FrameReader, write_frame};

/// The stream that is meant for the server.
pub const FOR_SERVER: StreamId = StreamId::new(0);

/// The stream that is meant for the second reader.
pub const FOR_SNOOP: StreamId = StreamId::new(1);

/// How often the second reader gets a batch of its own: every so many.
const SNOOP_INTERVAL: usize = 6;

/// How long a device tries before the run is given up.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a device needs.
pub struct Device {
    /// Its keys.
    pub party: Party,
    /// What its messages are about.
    pub topic: String,
    /// What it will read.
    pub readings: Vec<Reading>,
    /// How many readings go into one message.
    pub batch: usize,
    /// Other octets that it hands to the gateway at its start: its signed key bundle, as a record.
    pub announcement: Vec<u8>,
}

/// What all devices share.
pub struct Field {
    /// Where the gateway is.
    pub gateway: SocketAddr,
    /// The clock of the story.
    pub clock: Clock,
    /// When the day begins, and how long it is.
    pub day: (Timestamp, Duration),
    /// The server's keys, verified.
    pub server: KeyBundle,
    /// The second reader's keys, verified.
    pub snoop: KeyBundle,
    /// Readings handed over.
    pub handed_over: AtomicU64,
    /// Octets of the readings' encoding, and of the messages that carry them.
    pub octets: (AtomicU64, AtomicU64),
    /// Messages handed over, as anybody on the way could have kept them.
    pub overheard: Mutex<Vec<Vec<u8>>>,
    /// What was sealed for the second reader.
    pub for_snoop: Mutex<Vec<Vec<u8>>>,
}

impl Field {
    /// When reading `index` of `count` is due.
    fn due(&self, index: usize, count: usize) -> Timestamp {
        let share = self.day.1.mul_f64((index + 1) as f64 / count.max(1) as f64);
        self.day.0.saturating_add(share)
    }
}

impl Device {
    /// Lives through the day. Returns how many messages it sent to the server.
    ///
    /// # Errors
    ///
    /// The last error of the link, when the gateway could not be reached for long.
    pub fn live(mut self, field: &Field) -> io::Result<u64> {
        let mut link = DeviceLink { gateway: field.gateway, connection: None };
        link.hand_over(&self.announcement)?;
        let mut sequences = [0, 0];
        let batches: VecDeque<_> = self.readings.chunks(self.batch).map(<[Reading]>::to_vec).collect();
        let count = self.readings.len();
        let mut read = 0;
        for (number, readings) in batches.iter().enumerate() {
            read += readings.len();
            std::thread::sleep(field.clock.until(field.due(read - 1, count)));
            let payload = batch::encode(readings);
            let message = self.seal(field, &field.server, FOR_SERVER, &mut sequences[0], &payload)?;
            field.octets.0.fetch_add(payload.len() as u64, Ordering::Relaxed);
            field.octets.1.fetch_add(message.len() as u64, Ordering::Relaxed);
            link.hand_over(&message)?;
            field.handed_over.fetch_add(readings.len() as u64, Ordering::Relaxed);
            field.overheard.lock().expect("nobody panics with the lock").push(message);
            if number % SNOOP_INTERVAL == SNOOP_INTERVAL - 1 {
                let message = self.seal(field, &field.snoop, FOR_SNOOP, &mut sequences[1], &payload)?;
                field.for_snoop.lock().expect("nobody panics with the lock").push(message);
            }
        }
        Ok(sequences[0])
    }

    fn seal(
        &mut self,
        field: &Field,
        reader: &KeyBundle,
        stream: StreamId,
        sequence: &mut u64,
        payload: &[u8],
    ) -> io::Result<Vec<u8>> {
        let source = self.party.id();
        let position = Position { source, stream, incarnation: self.party.incarnation, sequence: *sequence };
        let topic = Topic::new(&self.topic).map_err(io::Error::other)?;
        let sealer = Sealer::new(source, &self.party.signing, *reader).carrying(Carries::SourceAndTopic);
        let heading = Heading { topic, position };
        *sequence += 1;
        sealer.seal(&heading, payload, field.clock.now(), &mut self.party.rng).map_err(io::Error::other)
    }
}

/// The way to the gateway, which is made anew whenever it breaks.
struct DeviceLink {
    gateway: SocketAddr,
    connection: Option<(TcpStream, FrameReader<TcpStream>)>,
}

impl DeviceLink {
    /// Hands octets over until the gateway says that it has them. Handing over twice does no harm.
    fn hand_over(&mut self, octets: &[u8]) -> io::Result<()> {
        let started = Instant::now();
        loop {
            match self.try_hand_over(octets) {
                Ok(()) => return Ok(()),
                Err(error) if started.elapsed() > PATIENCE => return Err(error),
                Err(_) => {
                    self.connection = None;
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
    }

    fn try_hand_over(&mut self, octets: &[u8]) -> io::Result<()> {
        if self.connection.is_none() {
            let stream = TcpStream::connect_timeout(&self.gateway, Duration::from_secs(1))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            self.connection = Some((stream.try_clone()?, FrameReader::new(stream)));
        }
        let (stream, answers) = self.connection.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        write_frame(stream, octets)?;
        match answers.frame()? {
            Some(answer) if answer.is_empty() => Ok(()),
            Some(_) => Err(io::ErrorKind::InvalidData.into()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
