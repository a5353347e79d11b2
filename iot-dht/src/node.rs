use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;

use iot_core::{Instant, Timestamp};
use iot_crypto::Signer;
use rand_core::CryptoRng;

use crate::admission::Admission;
use crate::id::{Key, NodeId};
use crate::lookup::Lookup;
use crate::peer::Address;
use crate::record::{Record, UnverifiedRecord};
use crate::rejection::Rejection;
use crate::signatures::Validity;
use crate::store::{Shelf, Store, Stored, unshelve};
use crate::table::{Snapshot, Table};
use crate::wire::{Body, MAX_DATAGRAM_LEN, Message, Transaction, Word};

mod answer;
mod config;
mod drive;
mod event;
#[cfg(feature = "sim")]
mod glance;
mod identity;
mod limiter;
mod link;
mod operation;
mod reach;
mod region;
mod relay;
mod rendezvous;
mod replication;
mod request;
mod secrets;
mod serve;
mod sightings;
mod stats;
mod stocktaking;
mod upkeep;
mod verification;

pub use crate::node::config::{NodeConfig, Placement, Service};
pub use crate::node::event::{Busy, Event, FindDone, GetDone, GetMode, OperationId, PutDone, Rejected, Side, Transmit};
#[cfg(feature = "sim")]
pub(crate) use crate::node::glance::Glance;
pub use crate::node::link::{LinkError, LinkId, Linked, Opening, Parting, Path};
pub use crate::node::reach::Reachability;
pub use crate::node::relay::RelayConfig;
pub use crate::node::stats::Stats;
pub use crate::node::verification::{Job, Verdict, Verification};

use crate::node::identity::Identity;
use crate::node::limiter::Limiter;
use crate::node::link::Links;
use crate::node::operation::{Get, Kind, Operation, Origin, Phase, Put};
use crate::node::reach::Reach;
use crate::node::relay::Relay;
use crate::node::rendezvous::Rendezvous;
use crate::node::replication::Replication;
use crate::node::request::Requests;
use crate::node::secrets::Secrets;
use crate::node::sightings::Sightings;
use crate::node::upkeep::Upkeep;
use crate::node::verification::{Arrival, Jobs};

/// A node of the network: answers others, stores their records, and puts and gets records for its user.
///
/// It does no input or output and has no clock: hand it every datagram that arrives and call
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says. After each call, drain
/// [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event), and read the next time-out. A late,
/// repeated or early call does no harm.
///
/// `now` is the caller's monotonic clock and `wall` the time of day, against which records expire.
///
/// # Work and memory
///
/// A datagram costs at most one decoding, two verifications of signatures and one signature, and as many datagrams in answer as one
/// lookup has requests or a record has replicas. A comparison of records costs a walk over those that are
/// compared, and a put into a full store one for each record that must give way, of which there are at most ten. A
/// time-out handles at most 64 requests. Everything that grows has a bound in [`NodeConfig`] or
/// [`StoreConfig`](crate::StoreConfig).
///
/// # Whom it trusts
///
/// Nobody: a record counts only with its owner's signature, an answer only from the address that was asked and with the
/// eight random octets of the question, and a node enters the table only after it has proved, at its address, that it holds
/// the key that its identifier is the hash of. Whoever has not shown that it receives what is sent to its address gets at
/// most three times what it has sent. Those who place some tens of nodes around a key hide little, because nobody
/// asks there alone ([`Placement::Region`]).
pub struct Node {
    config: NodeConfig,
    admission: Admission,
    table: Table<32>,
    store: Store,
    identity: Identity,
    secrets: Secrets,
    limiter: Limiter,
    /// How many proofs may be signed for addresses that are not verified.
    proofs: Limiter,
    sightings: Sightings,
    jobs: Jobs,
    requests: Requests,
    /// Boxed, because they are taken out and put back with every answer.
    operations: BTreeMap<OperationId, Box<Operation>>,
    next_operation: u64,
    /// Results that wait to be fetched; they count against the bound of operations.
    results: usize,
    upkeep: Upkeep,
    reach: Reach,
    rendezvous: Rendezvous,
    relay: Relay,
    links: Links,
    replication: Replication,
    transmits: VecDeque<(SocketAddr, Vec<u8>)>,
    events: VecDeque<Event>,
    stats: Stats,
}

impl Node {
    /// A node with the identifier [`Id::of_node`](crate::Id::of_node) of the key that `signer` holds, with which it proves
    /// who it is. Draws its secrets from `rng`, and nothing later.
    pub fn new(
        config: NodeConfig,
        signer: impl Signer + Send + 'static,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Self {
        Self::with_identity(config, Identity::Held(Box::new(signer)), now, rng)
    }

    /// An attacker's node, who is taken to have found the key of this identifier.
    #[cfg(feature = "sim")]
    pub(crate) fn found(config: NodeConfig, id: NodeId, now: Instant, rng: &mut impl CryptoRng) -> Self {
        Self::with_identity(config, Identity::Found(id), now, rng)
    }

    fn with_identity(config: NodeConfig, identity: Identity, now: Instant, rng: &mut impl CryptoRng) -> Self {
        let id = identity.id();
        let slots = match config.service {
            Service::Always | Service::WhenReachable => config.rate_slots,
            Service::Never => 1,
        };
        Self {
            table: Table::new(id, config.table),
            store: Store::new(id, config.store),
            identity,
            secrets: Secrets::new(rng),
            limiter: Limiter::new(config.rate, config.burst, slots),
            proofs: Limiter::new(config.proofs, config.proofs, 1),
            sightings: Sightings::default(),
            jobs: Jobs::default(),
            requests: Requests::default(),
            operations: BTreeMap::new(),
            next_operation: 0,
            results: 0,
            upkeep: Upkeep::new(&config, now),
            reach: Reach::new(&config, now),
            rendezvous: Rendezvous::new(&config, now),
            relay: Relay::default(),
            links: Links::new(),
            replication: Replication::new(&config, now),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            stats: Stats::default(),
            admission: Admission::Open,
            config,
        }
    }

    /// The same node, in an overlay to which not everybody belongs.
    pub fn with_admission(self, admission: Admission) -> Self {
        Self { admission, ..self }
    }

    /// Joins the network through nodes at these addresses, of which the first 32 are kept. [`Event::Bootstrapped`]
    /// follows, or [`Event::BootstrapFailed`] until one answers.
    pub fn bootstrap(&mut self, now: Instant, addresses: &[SocketAddr]) {
        self.upkeep.set_addresses(addresses);
        self.ask_bootstrap(now);
    }

    /// Puts a record to the nodes closest to its key. [`Event::PutDone`] follows.
    ///
    /// # Errors
    ///
    /// [`Busy`].
    pub fn put(&mut self, now: Instant, wall: Timestamp, record: Record) -> Result<OperationId, Busy> {
        self.check_operations()?;
        let key = *record.key();
        Ok(self.start(now, wall, key, Kind::Put(Put::new(record, Origin::Command))))
    }

    /// Puts a record where the record with this sequence stands, or none. Each node compares by itself: those that have
    /// another refuse it ([`Rejection::Changed`]), and [`PutDone::newer`] or [`PutDone::fork`] shows what they have.
    ///
    /// # Errors
    ///
    /// [`Busy`].
    pub fn put_replacing(
        &mut self,
        now: Instant,
        wall: Timestamp,
        record: Record,
        replaces: u64,
    ) -> Result<OperationId, Busy> {
        self.check_operations()?;
        let (key, put) = (*record.key(), Put::new(record, Origin::Command));
        Ok(self.start(now, wall, key, Kind::Put(Put { replaces: Some(replaces), ..put })))
    }

    /// Asks the network for the record at a key. [`Event::GetDone`] follows. What this node stores itself counts too.
    ///
    /// # Errors
    ///
    /// [`Busy`].
    pub fn get(&mut self, now: Instant, wall: Timestamp, key: Key, mode: GetMode) -> Result<OperationId, Busy> {
        self.check_operations()?;
        let mut get = Get::new(key, mode);
        let held = self.store.get(wall, &key).filter(|record| match mode {
            GetMode::Newest => true,
            GetMode::Matching(hash) => record.value_hash() == hash,
        });
        get.best = held.cloned();
        Ok(self.start(now, wall, key, Kind::Get(get)))
    }

    /// Searches for the nodes closest to a point. [`Event::FindDone`] follows.
    ///
    /// # Errors
    ///
    /// [`Busy`].
    pub fn find(&mut self, now: Instant, wall: Timestamp, target: Key) -> Result<OperationId, Busy> {
        self.check_operations()?;
        Ok(self.start(now, wall, target, Kind::Find))
    }

    /// Joins through the nodes of an earlier [`Table::snapshot`], beside the addresses of
    /// [`bootstrap`](Self::bootstrap) if there are any: asks them one by one, a few at a time, whether they still live.
    /// [`Event::Bootstrapped`] follows if one does.
    pub fn restore(&mut self, now: Instant, wall: Timestamp, snapshot: Snapshot<32>) {
        self.table.restore(snapshot);
        self.upkeep.expect_hearsay();
        self.start_upkeep(now, wall);
    }

    /// Holds a record of this node's own user, and sees to it that the network has it until it expires: now and then those
    /// to whom it belongs are asked whether they have it, all records of one region with a few requests, and it is put
    /// where it is not. Anyone may keep anyone's record. It takes part in the quotas of the store.
    ///
    /// # Errors
    ///
    /// Those of [`Store::put`].
    pub fn keep(&mut self, wall: Timestamp, record: Record) -> Result<Stored, Rejection> {
        self.store.put(wall, record)
    }

    /// Writes to the shelf which records came and went since the last time ([`Store::write_to`]).
    ///
    /// # Errors
    ///
    /// Those of the shelf.
    pub fn write_to<S: Shelf>(&mut self, shelf: &mut S) -> Result<usize, S::Error> {
        self.store.write_to(shelf)
    }

    /// Takes back what a [`Shelf`] has kept: verifies the record as any other, and holds it again for whoever brought it.
    ///
    /// # Errors
    ///
    /// [`Rejection::Malformed`] for octets that no shelf was given, and those of [`Store::put_from`] and of
    /// [`UnverifiedRecord::verify`](crate::UnverifiedRecord::verify). What is refused may be removed from the shelf.
    pub fn restore_record(&mut self, wall: Timestamp, octets: &[u8]) -> Result<Stored, Rejection> {
        let (octets, source) = unshelve(octets).ok_or(Rejection::Malformed)?;
        let record = UnverifiedRecord::parse(&octets).map_err(|error| Rejection::from(&error))?;
        let validity = if record.is_signed(self.config.signatures) { Validity::Valid } else { Validity::Invalid };
        let record = record.verify_given(validity, wall).map_err(|error| Rejection::from(&error))?;
        let key = *record.key();
        let stored = self.store.put_by(wall, record, source, None)?;
        self.store.note_shelved(key);
        Ok(stored)
    }

    /// Takes in a datagram. An IPv4-mapped IPv6 address counts as the IPv4 address that it means, and that is where
    /// answers go.
    pub fn handle_datagram(&mut self, now: Instant, wall: Timestamp, from: SocketAddr, datagram: &[u8]) {
        let from = Address::from(from).into();
        self.stats.datagrams_in += 1;
        self.stats.octets_in += datagram.len() as u64;
        let Ok(mut message) = Message::decode(datagram) else {
            self.stats.malformed += 1;
            return;
        };
        let is_admitted = self.admission.admits(self.config.overlay, datagram, message.overlay);
        // What is signed names the overlay, and not what stands for it in one datagram.
        message.overlay = self.config.overlay;
        let arrival = Arrival { from, len: datagram.len(), message, at: now };
        if !is_admitted {
            self.stats.other_overlay += 1;
        } else if arrival.message.body.is_answer() {
            self.handle_answer(now, wall, arrival);
        } else if let Body::Word(word) = arrival.message.body {
            self.handle_word(now, wall, &arrival, &word);
        } else {
            self.handle_request(now, wall, arrival);
        }
        self.start_upkeep(now, wall);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, wall: Timestamp) {
        self.handle_overdue_verdicts(now, wall);
        self.handle_overdue_requests(now, wall);
        self.drive_all(now, wall);
        self.handle_upkeep(now, wall);
        self.handle_reach_timeout(now, wall);
        self.handle_rendezvous_timeout(now);
        self.handle_link_timeout(now);
    }

    /// The next datagram to send, written to the front of `buffer`.
    pub fn poll_transmit(&mut self, buffer: &mut [u8; MAX_DATAGRAM_LEN]) -> Option<Transmit> {
        let (to, mut datagram) = self.transmits.pop_front()?;
        release(&mut self.transmits);
        self.admission.seal(self.config.overlay, &mut datagram);
        buffer[..datagram.len()].copy_from_slice(&datagram);
        self.stats.datagrams_out += 1;
        self.stats.octets_out += datagram.len() as u64;
        Some(Transmit { to, len: datagram.len() })
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if matches!(event, Event::PutDone(_) | Event::GetDone(_) | Event::FindDone(_)) {
            self.results -= 1;
        }
        release(&mut self.events);
        Some(event)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next, if nothing else happens before: at once, if that was
    /// before `now`.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let searching = self.operations.values().filter(|operation| operation.phase == Phase::Searching);
        let slow = searching.flat_map(|operation| &operation.lookups).filter_map(Lookup::poll_timeout).min();
        let reach = [self.reach.next_deadline(), self.rendezvous.next_deadline(), self.links.next_deadline()];
        let next = [self.requests.next_deadline(), slow, self.next_upkeep(), self.jobs.next_deadline()]
            .into_iter()
            .chain(reach)
            .flatten()
            .min();
        next.map(|at| at.max(now))
    }

    /// Its identifier.
    pub fn id(&self) -> &NodeId {
        self.table.own()
    }

    /// The nodes that it knows.
    pub fn table(&self) -> &Table<32> {
        &self.table
    }

    /// The records that it keeps for others.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What it has counted.
    pub fn stats(&self) -> Stats {
        Stats { records: self.store.len(), record_octets: self.store.octets(), nodes: self.table.len(), ..self.stats }
    }

    /// Takes in what is neither asked nor answered.
    fn handle_word(&mut self, now: Instant, wall: Timestamp, arrival: &Arrival<'_>, word: &Word<'_>) {
        match word {
            Word::Try(order) => self.handle_try(now, arrival, order),
            Word::Tried(tried) => self.handle_tried(now, wall, arrival, tried),
            Word::Meet(meet) => self.handle_meet(now, arrival, meet),
            Word::Carry(data) => self.handle_carry(now, arrival, data),
            Word::Punch(_) | Word::Punched(_) | Word::Data(_) | Word::Carried(_) | Word::Closed(_) => {
                self.handle_link_word(now, arrival, word);
            }
        }
    }

    fn message<'b>(&self, transaction: Transaction, body: Body<'b>) -> Message<'b> {
        let overlay = self.admission.placeholder(self.config.overlay);
        Message::new(overlay, transaction, *self.id(), self.role(), body)
    }

    fn transmit(&mut self, to: SocketAddr, datagram: Vec<u8>) {
        if self.transmits.len() < self.config.transmits {
            self.note_contact(to);
            self.transmits.push_back((to, datagram));
        } else {
            self.stats.transmits_dropped += 1;
        }
    }

    fn reject(&mut self, from: SocketAddr, key: Option<Key>, side: Side, reason: Rejection) {
        match side {
            Side::Reader => self.stats.rejected_as_reader.add(reason),
            Side::Store => self.stats.rejected_as_store.add(reason),
        }
        self.notify(Event::Rejected(Rejected { from, key, side, reason }));
    }

    /// Tells what is no result: results are bounded by the operations, so only the rest can pile up.
    fn notify(&mut self, event: Event) {
        if self.events.len() < self.config.events + self.results {
            self.events.push_back(event);
        } else {
            self.stats.events_dropped += 1;
        }
    }
}

/// Gives the room of a queue back once it is empty: most nodes are idle most of the time.
fn release<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > 4 {
        *queue = VecDeque::new();
    }
}
