//! The server's process: pulls what it missed from the hash table, verifies it, writes down what it accepted, and
//! seals a receipt for each device.
//!
//! It holds keys and addresses, and trusts nobody: not the nodes that it asks, nor the gateway that owns the feed.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};

use iot_codec::cbor::{self, List};
use iot_core::{
    DeviceId, Freshness, KeyId, ObserveError, Position, Ranges, SequenceError, StreamId, Timestamp, Topic, Tracker,
};
use iot_crypto::{
    BundleError, Directory, Heading, KeyBundle, OpenError, Opener, ReplayError, ReplayGuard, SealError, Sealer,
    SigningKey, VerifyingKey,
};
use iot_dht::feed::{Cursor, FetchId, Item, OwnerOnly, Reader, ReaderConfig};
use iot_dht::wire::Role;
use iot_dht::{Event, GetDone, GetMode, Key, Node, OperationId, Record, Rejection, Side};
use iot_driver::Driver;
use rand_chacha::ChaCha20Rng;

use crate::batch;
use crate::cast::Party;
use crate::gateway::FEED;
use crate::input::Reading;
use crate::link::{FrameReader, write_record};
use crate::network;
use crate::receipt::{self, Receipt};
use crate::words::{Order, Reason, Refused, ServerConfig, ServerStatus, ServerWord};

/// Runs the server out of `folder` until its standard input ends.
pub fn run(folder: &Path) -> Result<(), Box<dyn Error>> {
    let config: ServerConfig = cbor::from_slice(&std::fs::read(folder.join("server.cbor"))?)?;
    let Party { signing, agreement, incarnation, mut rng, .. } = Party::from(&config.secrets);
    let gateway = DeviceId::from_bytes(config.gateway);
    let keys = config.devices.0.iter().map(|key| VerifyingKey::from_bytes(key)).collect::<Result<Vec<_>, _>>()?;
    let secrets = [agreement];
    let senders = Senders(keys.iter().map(|key| (key.key_id(), *key)).collect());

    let key = SigningKey::generate(&mut rng);
    let node = Node::new(network::config().service(Role::Client), key, iot_core::Instant::START, &mut rng);
    let clock = config.clock;
    let driver = Driver::spawn(UdpSocket::bind("127.0.0.1:0")?, node, move || clock.now())?;
    let bootstrap: Vec<SocketAddr> = config.bootstrap.0.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    driver.call(move |node, now, _| node.bootstrap(now, &bootstrap));

    let reading = ReaderConfig::default()
        .poll_interval(Duration::from_millis(300))
        .retry_delay(Duration::from_millis(300))
        .grace(clock.stretched(Duration::from_secs(20)))
        .parallel(16)
        .attempts(5);
    let mut server = Server {
        reader: Reader::new(gateway, FEED, Cursor::default(), reading),
        opener: Opener::new(&secrets, senders, Trackers::default()),
        accepted: Accepted::create(folder)?,
        fetches: HashMap::new(),
        head_asked: None,
        refused: BTreeMap::new(),
        status: ServerStatus::default(),
        started: Instant::now(),
        keys,
        config,
        driver,
    };
    server.catch_up(&orders())?;
    server.send_receipts(&signing, incarnation, &mut rng)?;
    server.report(ServerWord::Done)?;
    // Whoever started this process reads the last word, and closes.
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn orders() -> Receiver<Order> {
    let (order, orders) = mpsc::channel();
    std::thread::spawn(move || {
        let mut input = FrameReader::new(io::stdin());
        if let Ok(Some(word)) = input.record() {
            let _ = order.send(word);
        }
    });
    orders
}

/// A fetch that is under way.
struct Fetching {
    id: FetchId,
    is_head: bool,
    since: Instant,
}

struct Server<'k> {
    config: ServerConfig,
    keys: Vec<VerifyingKey>,
    driver: Driver,
    reader: Reader,
    opener: Opener<'k, Senders, Trackers>,
    accepted: Accepted,
    fetches: HashMap<OperationId, Fetching>,
    /// When the newest head that has arrived was asked for.
    head_asked: Option<Instant>,
    refused: BTreeMap<Reason, u64>,
    status: ServerStatus,
    started: Instant,
}

impl Server<'_> {
    /// Reads until everything is read that was published before the order to finish.
    fn catch_up(&mut self, orders: &Receiver<Order>) -> Result<(), Box<dyn Error>> {
        let mut finish_since = None;
        let mut reported = Instant::now();
        loop {
            match orders.try_recv() {
                Ok(Order::Finish) => finish_since = Some(Instant::now()),
                Ok(_) | Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) if finish_since.is_none() => return Err("nobody is there".into()),
                Err(TryRecvError::Disconnected) => {}
            }
            self.fetch()?;
            self.handle_events()?;
            while let Some(item) = self.reader.poll_item(&OwnerOnly) {
                match item {
                    Item::Message { octets, .. } => self.open(octets)?,
                    Item::Gap(gap) => self.status.gaps.0.push(format!("{gap:?}")),
                    Item::Fork(fork) => return Err(format!("the gateway signed two feeds: {fork:?}").into()),
                }
            }
            // A head that was asked for after the order shows all that there is.
            let shows_all = finish_since.is_some_and(|since| self.head_asked.is_some_and(|asked| asked > since));
            if shows_all && self.reader.caught_up() == Some(true) {
                return Ok(());
            }
            if reported.elapsed() > Duration::from_millis(100) {
                reported = Instant::now();
                self.report(ServerWord::Status)?;
            }
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    fn fetch(&mut self) -> Result<(), Box<dyn Error>> {
        let (now, wall) = (self.now(), self.config.clock.now());
        while let Some(fetch) = self.reader.poll_fetch(now, wall) {
            let (id, is_head, since) = (fetch.id, fetch.mode == GetMode::Newest, Instant::now());
            let operation = self.get(fetch.key, fetch.mode)?;
            self.fetches.insert(operation, Fetching { id, is_head, since });
        }
        Ok(())
    }

    fn get(&self, key: Key, mode: GetMode) -> Result<OperationId, Box<dyn Error>> {
        let operation = self.driver.call(move |node, now, wall| node.get(now, wall, key, mode));
        Ok(operation.ok_or("the node has stopped")??)
    }

    fn handle_events(&mut self) -> Result<(), Box<dyn Error>> {
        while let Ok(event) = self.driver.events().try_recv() {
            if let Some(done) = self.handle_event(event)? {
                let Some(fetching) = self.fetches.remove(&done.operation) else { continue };
                self.status.get_us.0.push(u64::try_from(fetching.since.elapsed().as_micros())?);
                if fetching.is_head && done.record.is_some() {
                    self.head_asked = self.head_asked.max(Some(fetching.since));
                }
                let (now, wall) = (self.now(), self.config.clock.now());
                self.reader.handle_fetched(now, wall, fetching.id, done.into());
            }
        }
        Ok(())
    }

    /// Counts what was refused, and gives back a result.
    fn handle_event(&mut self, event: Event) -> Result<Option<GetDone>, Box<dyn Error>> {
        match event {
            Event::Rejected(rejected) if rejected.side == Side::Reader => {
                self.refuse(match rejected.reason {
                    Rejection::Expired => Reason::RecordExpired,
                    Rejection::Superseded => Reason::RecordSuperseded,
                    Rejection::Signature => Reason::RecordSignature,
                    _ => Reason::RecordWrong,
                });
                Ok(None)
            }
            Event::GetDone(done) => Ok(Some(done)),
            // The node asks again by itself.
            Event::BootstrapFailed { asked } if self.started.elapsed() > PATIENCE => {
                Err(format!("none of {asked} nodes answers").into())
            }
            _ => Ok(None),
        }
    }

    fn open(&mut self, mut message: Vec<u8>) -> Result<(), Box<dyn Error>> {
        let mut scratch = vec![0; iot_crypto::scratch_len(message.len(), usize::from(u16::MAX))];
        match self.opener.open(None, &mut message, &mut scratch) {
            Ok(opened) => {
                let Ok(readings) = batch::decode(opened.payload()) else {
                    self.refuse(Reason::MessageMalformed);
                    return Ok(());
                };
                self.status.messages += 1;
                #[cfg(iot_fault)]
                let readings = spoil(readings, self.status.messages);
                self.status.readings += readings.len() as u64;
                self.status.unproven += u64::from(opened.freshness() == Freshness::Unproven);
                self.accepted.write(opened.position(), &readings)?;
            }
            // These are no attacks: the server itself has no room.
            Err(error @ (OpenError::Replay(ReplayError::Full) | OpenError::Buffer(_))) => return Err(error.into()),
            Err(OpenError::Decryption) => self.refuse(Reason::MessageAltered),
            Err(OpenError::Signature(_)) => self.refuse(Reason::MessageSignature),
            Err(OpenError::Replay(_)) => self.refuse(Reason::MessageRepeated),
            Err(_) => self.refuse(Reason::MessageMalformed),
        }
        Ok(())
    }

    fn refuse(&mut self, reason: Reason) {
        *self.refused.entry(reason).or_default() += 1;
    }

    /// Tells each device, sealed for it alone, how far the server has its messages.
    fn send_receipts(
        &mut self,
        signing: &SigningKey,
        incarnation: iot_core::Incarnation,
        rng: &mut ChaCha20Rng,
    ) -> Result<(), Box<dyn Error>> {
        let source = signing.verifying_key().device_id();
        for (index, key) in self.keys.clone().into_iter().enumerate() {
            let device = key.device_id();
            let Some(bundle) = self.bundle_of(&device)? else { continue };
            let messages = self.opener.replay().messages_of(&device);
            let stream = StreamId::new(u32::try_from(index)?);
            let heading = Heading {
                topic: Topic::new(receipt::TOPIC)?,
                position: Position { source, stream, incarnation, sequence: 0 },
            };
            let now = self.config.clock.now();
            let payload = cbor::to_vec(&Receipt { messages });
            let sealed = match Sealer::new(source, signing, bundle).seal(&heading, &payload, now, rng) {
                Ok(sealed) => sealed,
                Err(SealError::BundleExpired { .. }) => {
                    self.refuse(Reason::BundleExpired);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let expires = now.saturating_add(Duration::from_secs(28 * 86_400));
            let record = Record::sign(signing, &receipt::name(&device), 0, expires, &sealed)?;
            self.put(record)?;
            self.status.receipts += 1;
        }
        Ok(())
    }

    /// The newest bundle of a device that the hash table has and that has not expired.
    fn bundle_of(&mut self, device: &DeviceId) -> Result<Option<KeyBundle>, Box<dyn Error>> {
        let operation = self.get(Key::of_record(device, receipt::BUNDLE), GetMode::Newest)?;
        let done = loop {
            let event = self.driver.events().recv_timeout(Duration::from_secs(20))?;
            if let Some(done) = self.handle_event(event)?.filter(|done| done.operation == operation) {
                break done;
            }
        };
        let Some(record) = done.record else { return Ok(None) };
        match KeyBundle::verify(record.value(), device, self.config.clock.now()) {
            Ok(bundle) => Ok(Some(bundle)),
            Err(BundleError::Expired { .. }) => {
                self.refuse(Reason::BundleExpired);
                Ok(None)
            }
            Err(_) => {
                self.refuse(Reason::BundleWrong);
                Ok(None)
            }
        }
    }

    fn put(&mut self, record: Record) -> Result<(), Box<dyn Error>> {
        for _ in 0..5 {
            let record = record.clone();
            let operation = self.driver.call(move |node, now, wall| node.put(now, wall, record));
            let operation = operation.ok_or("the node has stopped")??;
            loop {
                match self.driver.events().recv_timeout(Duration::from_secs(20))? {
                    Event::PutDone(done) if done.operation == operation && done.stored > 0 => return Ok(()),
                    Event::PutDone(done) if done.operation == operation => break,
                    event => drop(self.handle_event(event)?),
                }
            }
        }
        Err("a receipt could not be stored".into())
    }

    fn report(&mut self, word: impl FnOnce(ServerStatus) -> ServerWord) -> Result<(), Box<dyn Error>> {
        let stats = self.driver.call(|node, _, _| node.stats()).ok_or("the node has stopped")?;
        self.accepted.file.flush()?;
        self.status.datagram_octets = stats.octets_in + stats.octets_out;
        self.status.segments = self.reader.cursor().segment;
        self.status.holes = self.opener.replay().holes();
        let refused = self.refused.iter().map(|(reason, count)| Refused { reason: *reason, count: *count });
        self.status.refused = List(refused.collect());
        let status = self.status.clone();
        self.status.get_us = List(Vec::new());
        write_record(&mut io::stdout().lock(), &word(status))?;
        Ok(())
    }

    fn now(&self) -> iot_core::Instant {
        iot_core::Instant::from_micros(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

/// Alters a reading after its verification, or drops a message, if a test says so.
#[cfg(iot_fault)]
fn spoil(mut readings: Vec<Reading>, message: u64) -> Vec<Reading> {
    match readings.first_mut() {
        Some(first) if message == 5 && crate::fault::is("alter-reading") => first.value += 0.1,
        Some(_) if message == 5 && crate::fault::is("drop-message") => readings.clear(),
        _ => {}
    }
    readings
}

/// The devices that the server listens to.
struct Senders(HashMap<KeyId, VerifyingKey>);

impl Directory for Senders {
    fn sender(&self, key: KeyId) -> Option<(DeviceId, VerifyingKey)> {
        self.0.get(&key).map(|key| (key.device_id(), *key))
    }
}

/// What was accepted of each stream.
#[derive(Default)]
struct Trackers(HashMap<(DeviceId, StreamId), Tracker>);

/// Streams of one device that the server keeps count of; a device that opens more is told that there is no room.
const MAX_STREAMS: usize = 4;

/// How long the network may take to answer at first.
const PATIENCE: Duration = Duration::from_secs(20);

impl ReplayGuard for Trackers {
    fn check(&self, position: &Position) -> Result<(), ReplayError> {
        let Some(tracker) = self.0.get(&(position.source, position.stream)) else { return Ok(()) };
        tracker.check(position.incarnation, position.sequence).map(drop).map_err(replay_error)
    }

    fn accept(&mut self, position: &Position) -> Result<Freshness, ReplayError> {
        let stream = (position.source, position.stream);
        if !self.0.contains_key(&stream) && self.0.keys().filter(|key| key.0 == position.source).count() >= MAX_STREAMS
        {
            return Err(ReplayError::Full);
        }
        let tracker = self.0.entry(stream).or_default();
        tracker.observe(position.incarnation, position.sequence).map_err(replay_error)
    }
}

fn replay_error(error: ObserveError) -> ReplayError {
    match error {
        ObserveError::Sequence(SequenceError::Repeated { .. }) => ReplayError::Repeated,
        ObserveError::Sequence(SequenceError::Full { .. }) | ObserveError::TooManyIncarnations { .. } => {
            ReplayError::Full
        }
        _ => ReplayError::TooOld,
    }
}

impl Trackers {
    /// How many messages of a device's stream for this server were accepted.
    fn messages_of(&self, device: &DeviceId) -> u64 {
        let Some(tracker) = self.0.get(&(*device, crate::device::FOR_SERVER)) else { return 0 };
        let above = |seen: &Ranges<16>| seen.seen().map(|range| range.end - range.start).sum::<u64>();
        tracker.open().map(|(_, seen, _)| seen.low_water() + above(seen)).sum()
    }

    /// Sequence numbers below the highest that are missing, over all streams.
    fn holes(&self) -> u64 {
        self.0.values().map(|tracker| tracker.stats().missing).sum()
    }
}

/// What the server writes down: a line a reading.
struct Accepted {
    file: BufWriter<File>,
}

impl Accepted {
    fn create(folder: &Path) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(folder.join("accepted.csv"))?);
        writeln!(file, "source,stream,sequence,time_us,value_bits")?;
        Ok(Self { file })
    }

    fn write(&mut self, position: &Position, readings: &[Reading]) -> io::Result<()> {
        let Position { source, stream, sequence, .. } = position;
        for reading in readings {
            let (time, bits) = (reading.time.as_micros(), reading.value.to_bits());
            writeln!(self.file, "{source},{stream},{sequence},{time},{bits:016x}")?;
        }
        Ok(())
    }
}

/// The readings that the server wrote down, by source, in the order in which it accepted them.
pub fn accepted(folder: &Path) -> Result<BTreeMap<DeviceId, Vec<Reading>>, Box<dyn Error>> {
    let mut accepted: BTreeMap<DeviceId, Vec<Reading>> = BTreeMap::new();
    let mut lines = csv::Reader::from_path(folder.join("accepted.csv"))?;
    for line in lines.records() {
        let line = line?;
        let time = Timestamp::from_micros(line[3].parse()?);
        let value = f64::from_bits(u64::from_str_radix(&line[4], 16)?);
        accepted.entry(line[0].parse()?).or_default().push(Reading { time, value });
    }
    Ok(accepted)
}
