//! The gateway's process: takes what devices hand in, keeps it in a persistent queue, and publishes it as a feed.
//!
//! It cannot read what it forwards. Every step is stored before it has effects outside, so it can be killed anywhere:
//! a message is answered when the queue is durable; a segment is sealed once, its state is durable before it is put
//! into the network, and only then the messages that are in it are acknowledged to the queue.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use iot_codec::cbor::{self, List};
use iot_core::{DeviceId, Timestamp};
use iot_crypto::SigningKey;
use iot_dht::feed::{Publisher, PublisherConfig, PushError};
use iot_dht::wire::Role;
use iot_dht::{Event, Key, Node, OperationId, Record, Rejection, UnverifiedRecord};
use iot_driver::{Driver, Link};
use iot_queue::{Durability, FileStorage, LeaseId, Leased, Message, Offset, Queue, QueueConfig};
use rand_core::Rng as _;

use crate::cast::Party;
use crate::door::{Door, POISONED, Shared};
use crate::link::{FrameReader, write_record};
use crate::network;
use crate::words::{Empty, GatewayConfig, GatewayStatus, GatewayWord, LinkState, Order};

/// The name of the feed.
pub const FEED: &[u8] = b"readings";

/// On so many nodes a record must be stored before it counts as published: half of the replicas.
const QUORUM: usize = 4;

/// Records that may wait for their confirmation. What exceeds them waits in the queue.
const OUTBOX: usize = 12;

/// How long a segment that is not full waits for more.
const LINGER: Duration = Duration::from_millis(150);

/// How soon after one head of the feed the gateway promises the next.
const RENEWAL: Duration = Duration::from_secs(1);

/// How long after a put failed it is tried again.
const RETRY: Duration = Duration::from_millis(150);

/// A queue in files.
pub type Files = Queue<FileStorage>;

/// Runs the gateway out of `folder` until its standard input ends.
pub fn run(folder: &Path) -> Result<(), Box<dyn Error>> {
    let config: GatewayConfig = cbor::from_slice(&std::fs::read(folder.join("gateway.cbor"))?)?;
    let mut party = Party::from(&config.secrets);
    // Each start draws another chance, so nothing that was drawn before is drawn again.
    party.rng.set_stream(count_start(folder)?);
    let mut random = || {
        let mut octets = [0; 8];
        party.rng.fill_bytes(&mut octets);
        octets
    };
    let queue = open_queue(&folder.join("queue"), random())?;
    let journal = open_queue(&folder.join("journal"), random())?;
    let announcements = open_queue(&folder.join("announcements"), random())?;
    let recovered = queue.stats().depth;
    let shared =
        Shared { queue: Mutex::new(queue), announcements: Mutex::new(announcements), octets: AtomicU64::new(0) };
    let shared = Arc::new(shared);
    let listener = TcpListener::bind(("127.0.0.1", config.port))?;
    let devices = config.devices.0.iter().copied().map(DeviceId::from_bytes).collect();
    let door = Door { shared: shared.clone(), devices, clock: config.clock, inside: Arc::default() };
    std::thread::spawn(move || door.keep(&listener));

    let mut gateway = Gateway::new(config, party, shared, journal)?;
    gateway.status.recovered = recovered;
    say(&GatewayWord::Ready(Empty {}))?;
    gateway.run(orders())
}

/// Counts how often the gateway was started, durably and before anything else.
fn count_start(folder: &Path) -> io::Result<u64> {
    let (path, next) = (folder.join("starts"), folder.join("starts.next"));
    let before = std::fs::read(&path).ok().and_then(|octets| octets.try_into().ok()).map_or(0, u64::from_be_bytes);
    let mut file = std::fs::File::create(&next)?;
    file.write_all(&(before + 1).to_be_bytes())?;
    file.sync_all()?;
    std::fs::rename(&next, &path)?;
    std::fs::File::open(folder)?.sync_all()?;
    Ok(before + 1)
}

/// A queue of 4 MiB: more than a day of messages, and quickly allocated.
fn open_queue(path: &Path, random: [u8; 8]) -> Result<Files, Box<dyn Error>> {
    let config = QueueConfig::default().segment_len(512 << 10)?.segments(8)?.durability(Durability::Manual);
    Ok(Queue::open(FileStorage::create(path)?, config, random)?)
}

fn say(word: &GatewayWord) -> io::Result<()> {
    write_record(&mut io::stdout().lock(), word)
}

/// What the run asks for, from standard input; ends with it.
fn orders() -> Receiver<Order> {
    let (order, orders) = mpsc::channel();
    std::thread::spawn(move || {
        let mut input = FrameReader::new(io::stdin());
        while let Ok(Some(word)) = input.record() {
            if order.send(word).is_err() {
                return;
            }
        }
    });
    orders
}

struct Gateway {
    config: GatewayConfig,
    party: Party,
    shared: Arc<Shared>,
    journal: Files,
    driver: Driver,
    publisher: Publisher,
    /// Messages that were reserved and not yet sealed.
    open: Vec<Leased>,
    opened: Instant,
    renewed: Timestamp,
    /// Records of devices that are to be published, with what acknowledges them to their queue.
    announcements: Vec<(Record, LeaseId)>,
    /// What is being put, and since when.
    puts: BTreeMap<OperationId, Put>,
    retry: BTreeMap<Key, Instant>,
    status: GatewayStatus,
    started: Instant,
}

struct Put {
    key: Key,
    sequence: u64,
    since: Instant,
}

impl Gateway {
    fn new(
        config: GatewayConfig,
        mut party: Party,
        shared: Arc<Shared>,
        journal: Files,
    ) -> Result<Self, Box<dyn Error>> {
        let renewal = config.clock.stretched(RENEWAL);
        let publishing =
            PublisherConfig::default().outbox(OUTBOX).renewal(renewal).life(Duration::from_secs(28 * 86_400));
        let publisher = match journal.entries_from(journal.oldest()).last() {
            Some(Ok(iot_queue::Entry::Message(last))) => Publisher::restore(&last.payload, publishing)?,
            Some(Ok(iot_queue::Entry::Gap(_))) => return Err("the newest state in the journal is damaged".into()),
            Some(Err(error)) => return Err(error.into()),
            None => Publisher::new(FEED, publishing),
        };
        // What was sealed before the last stop is in the publisher's state, and needs no second place in the feed.
        let sealed = Offset::new(publisher.mark());
        {
            let mut queue = shared.queue.lock().map_err(|_| POISONED)?;
            queue.ack_before(sealed)?;
            queue.commit()?;
        }
        let key = SigningKey::generate(&mut party.rng);
        let node = Node::new(network::config().service(Role::Client), key, iot_core::Instant::START, &mut party.rng);
        let clock = config.clock;
        let driver = Driver::spawn(UdpSocket::bind("127.0.0.1:0")?, node, move || clock.now())?;
        driver.set_link(if config.link == LinkState::Up { Link::Up } else { Link::Down });
        let bootstrap: Vec<SocketAddr> =
            config.bootstrap.0.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        driver.call(move |node, now, _| node.bootstrap(now, &bootstrap));
        Ok(Self {
            renewed: config.clock.now(),
            config,
            party,
            shared,
            journal,
            driver,
            publisher,
            open: Vec::new(),
            opened: Instant::now(),
            announcements: Vec::new(),
            puts: BTreeMap::new(),
            retry: BTreeMap::new(),
            status: GatewayStatus::default(),
            started: Instant::now(),
        })
    }

    fn run(&mut self, orders: Receiver<Order>) -> Result<(), Box<dyn Error>> {
        let mut reported = Instant::now();
        let mut finishing = false;
        loop {
            loop {
                match orders.try_recv() {
                    Ok(Order::LinkDown) => self.driver.set_link(Link::Down),
                    Ok(Order::LinkUp) => self.driver.set_link(Link::Up),
                    Ok(Order::Finish) => finishing = true,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
            self.take_announcements()?;
            self.handle_events()?;
            self.fill_segments()?;
            self.put_records();
            if reported.elapsed() > Duration::from_millis(100) {
                reported = Instant::now();
                self.report(finishing)?;
            }
            std::thread::sleep(Duration::from_millis(4));
        }
    }

    fn take_announcements(&mut self) -> Result<(), Box<dyn Error>> {
        let room = MAX_ANNOUNCEMENTS.saturating_sub(self.announcements.len());
        let now = self.now();
        let reserved = self.shared.announcements.lock().map_err(|_| POISONED)?.reserve(now, LEASE, room)?;
        for leased in reserved {
            let verified = UnverifiedRecord::parse(&leased.payload)?.verify(self.config.clock.now());
            match verified {
                Ok(record) => self.announcements.push((record, leased.lease)),
                // It was valid when it was taken in, and has expired since.
                Err(_) => self.settle_announcement(leased.lease)?,
            }
        }
        Ok(())
    }

    fn settle_announcement(&self, lease: LeaseId) -> Result<(), Box<dyn Error>> {
        let mut announcements = self.shared.announcements.lock().map_err(|_| POISONED)?;
        announcements.ack(lease)?;
        announcements.commit()?;
        Ok(())
    }

    fn handle_events(&mut self) -> Result<(), Box<dyn Error>> {
        while let Ok(event) = self.driver.events().try_recv() {
            let Event::PutDone(done) = event else { continue };
            let Some(put) = self.puts.remove(&done.operation) else { continue };
            // Nobody takes a record that has expired or been replaced.
            let is_over = matches!(done.reason, Some(Rejection::Expired | Rejection::Superseded));
            if done.stored < QUORUM && !is_over {
                self.retry.insert(put.key, Instant::now() + RETRY);
                continue;
            }
            self.status.put_us.0.push(u64::try_from(put.since.elapsed().as_micros())?);
            if let Some(place) = self.announcements.iter().position(|(record, _)| record.key() == &put.key) {
                let (_, lease) = self.announcements.swap_remove(place);
                self.settle_announcement(lease)?;
            }
            let segments = self.publisher.outbox().filter(|record| is_segment(record)).count();
            self.publisher.confirm(&put.key, put.sequence);
            let left = self.publisher.outbox().filter(|record| is_segment(record)).count();
            self.status.segments += (segments - left) as u64;
        }
        Ok(())
    }

    /// Moves messages from the queue into segments, as long as there is room for more.
    fn fill_segments(&mut self) -> Result<(), Box<dyn Error>> {
        // What was sealed before is published first, its head included: so readers see the feed move on.
        if self.publisher.outbox().count() > 0 {
            return Ok(());
        }
        let now = self.config.clock.now();
        let mut sealed = 0;
        while self.has_room() {
            if self.open.is_empty() {
                self.opened = Instant::now();
            }
            let reserved = self.shared.queue.lock().map_err(|_| POISONED)?.reserve(self.now(), LEASE, 1)?;
            let Some(message) = reserved.into_iter().next() else { break };
            match self.publisher.push(&message.payload) {
                Ok(_) => {}
                Err(PushError::SegmentFull) => {
                    sealed += self.seal(now)?;
                    self.publisher.push(&message.payload)?;
                }
                Err(error) => return Err(error.into()),
            }
            self.open.push(message);
        }
        if self.has_room() && !self.open.is_empty() && (self.opened.elapsed() > LINGER || sealed > 0) {
            sealed += self.seal(now)?;
        }
        let is_overdue = now.saturating_since(self.renewed) > self.config.clock.stretched(RENEWAL) / 2;
        if sealed == 0 && is_overdue && self.publisher.next_segment() > 0 {
            self.publisher.renew(&self.party.signing, now)?;
            self.renewed = now;
            self.store_state()?;
        }
        Ok(())
    }

    /// Sealing adds a segment, sometimes a page, and a head.
    fn has_room(&self) -> bool {
        self.publisher.outbox().count() + 3 <= OUTBOX
    }

    /// Seals the open segment, stores that, and only then acknowledges its messages to the queue.
    fn seal(&mut self, now: Timestamp) -> Result<usize, Box<dyn Error>> {
        let Some(last) = self.open.iter().map(|message| message.offset).max() else { return Ok(0) };
        self.publisher.seal(&self.party.signing, now, last.next().number())?;
        self.renewed = now;
        self.store_state()?;
        let octets: usize = self
            .publisher
            .outbox()
            .filter(|record| is_segment(record))
            .last()
            .map_or(0, |record| record.as_bytes().len());
        self.status.record_octets += octets as u64;
        let mut queue = self.shared.queue.lock().map_err(|_| POISONED)?;
        for message in self.open.drain(..) {
            queue.ack(message.lease)?;
            self.status.messages += 1;
        }
        queue.commit()?;
        Ok(1)
    }

    fn store_state(&mut self) -> Result<(), Box<dyn Error>> {
        let place = self.journal.append(&Message::new(&self.publisher.state()))?;
        self.journal.commit()?;
        self.journal.ack_before(place)?;
        Ok(())
    }

    /// Puts what is not yet confirmed: segments and pages first, and the head that names them when they are stored.
    fn put_records(&mut self) {
        let bodies = self.publisher.outbox().filter(|record| record.sequence() == 0);
        let announcements = self.announcements.iter().map(|(record, _)| record);
        let mut due: Vec<Record> = bodies.chain(announcements).cloned().collect();
        if self.publisher.outbox().all(|record| record.sequence() > 0) {
            due.extend(self.publisher.outbox().cloned());
        }
        for record in due {
            let (key, sequence) = (*record.key(), record.sequence());
            let is_under_way = self.puts.values().any(|put| put.key == key && put.sequence == sequence);
            let waits = self.retry.get(&key).is_some_and(|until| Instant::now() < *until);
            if is_under_way || waits {
                continue;
            }
            let operation = self.driver.call(move |node, now, wall| node.put(now, wall, record));
            if let Some(Ok(operation)) = operation {
                self.puts.insert(operation, Put { key, sequence, since: Instant::now() });
            }
        }
    }

    fn report(&mut self, finishing: bool) -> Result<(), Box<dyn Error>> {
        let depth = self.shared.queue.lock().map_err(|_| POISONED)?.stats().depth;
        let announcements = self.shared.announcements.lock().map_err(|_| POISONED)?.stats().depth;
        let stats = self.driver.call(|node, _, _| node.stats()).ok_or("the node has stopped")?;
        self.status.at_us = self.config.clock.now().as_micros();
        self.status.depth = depth;
        self.status.message_octets = self.shared.octets.load(Ordering::Relaxed);
        self.status.datagram_octets = stats.octets_in + stats.octets_out;
        let status = self.status.clone();
        self.status.put_us = List(Vec::new());
        let is_done = finishing && depth == 0 && announcements == 0 && self.publisher.outbox().count() == 0;
        say(&if is_done { GatewayWord::Done(status) } else { GatewayWord::Status(status) })?;
        io::stdout().flush()?;
        Ok(())
    }

    fn now(&self) -> iot_core::Instant {
        iot_core::Instant::from_micros(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

/// How long the gateway holds what it took from its queues: until it is done, or killed.
const LEASE: Duration = Duration::from_secs(86_400);

/// Records of devices that are being published at once.
const MAX_ANNOUNCEMENTS: usize = 16;

/// Heads count up from 1; what never changes stays at 0. Pages have names of their own.
fn is_segment(record: &Record) -> bool {
    record.sequence() == 0 && record.name().starts_with(&[FEED, b"/s/"].concat())
}
