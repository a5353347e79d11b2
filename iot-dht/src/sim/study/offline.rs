use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use iot_core::Instant;
use iot_crypto::Signer;

use crate::feed::{
    Cursor, FetchId, Fetched, Item, OwnerOnly, Publisher, PublisherConfig, PushError, Reader, ReaderConfig,
};
use crate::node::{Event, OperationId};
use crate::record::Record;
use crate::sim::{Action, ActionId, Host, Shard, Signing, Sim, SimulatedSigner, What};

/// A message an hour for a week.
const MESSAGES: u32 = 168;

/// Octets of a message.
const MESSAGE_LEN: usize = 240;

const FEED: &[u8] = b"readings";

/// How long its records live: a day longer than the reader is away.
const LIFE: Duration = Duration::from_secs(8 * 86_400);

/// How far the network runs before what has happened is looked at.
const SLICE: Duration = Duration::from_millis(20);

/// After so long, nothing more will come.
const LONGEST: Duration = Duration::from_secs(600);

/// What it cost a reader to catch up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaughtUp {
    /// Messages that it read.
    pub messages: usize,
    /// Gaps and forks that it was told of.
    pub gaps: usize,
    /// Records that the publisher put.
    pub records: usize,
    /// Records that the reader asked for.
    pub fetches: u64,
    /// Requests that its node made meanwhile, those of its upkeep included.
    pub requests: u64,
    /// How long it took in the network.
    pub took: Duration,
}

/// Has one host publish a week's messages, one an hour and 240 octets each, flushed at once so that each could be read
/// within the hour, and then another host, which never read one, read all of them. The hours between the messages are left
/// out: a reader who was away asks for the same records however long they have been there.
///
/// # Panics
///
/// When nobody is there.
pub fn catch_up(sim: &mut Sim, run: &mut impl FnMut(&mut [Shard], Instant)) -> CaughtUp {
    let hosts = sim.hosts();
    let (device, server) = (hosts[hosts.len() / 3], hosts[hosts.len() / 3 * 2]);
    let key = sim.key(u64::MAX);
    let records = match sim.signing {
        Signing::Real => publish(sim, device, &key, run),
        Signing::Simulated => publish(sim, device, &SimulatedSigner::new(&key), run),
    };

    let (began, before) = (sim.now(), requests_of(sim, server));
    let mut reader = Reader::new(key.verifying_key().device_id(), FEED, Cursor::default(), ReaderConfig::default());
    let mut fetches = Fetches::default();
    let (mut messages, mut gaps) = (0, 0);
    while reader.caught_up() != Some(true) && sim.now().saturating_since(began) < LONGEST {
        while let Some(fetch) = reader.poll_fetch(sim.now(), sim.wall()) {
            let action = sim.plan(sim.now(), server, Action::Get(fetch.key, fetch.mode));
            fetches.planned.insert(action, fetch.id);
        }
        for (id, fetched) in fetches.run(sim, run) {
            reader.handle_fetched(sim.now(), sim.wall(), id, fetched);
        }
        while let Some(item) = reader.poll_item(&OwnerOnly) {
            match item {
                Item::Message { .. } => messages += 1,
                Item::Gap(_) | Item::Fork(_) => gaps += 1,
            }
        }
    }
    CaughtUp {
        messages,
        gaps,
        records,
        fetches: reader.stats().fetches,
        requests: requests_of(sim, server) - before,
        took: sim.now().saturating_since(began),
    }
}

/// Publishes a week's messages, and returns how many records that took.
fn publish(sim: &mut Sim, device: Host, signer: &impl Signer, run: &mut impl FnMut(&mut [Shard], Instant)) -> usize {
    let mut publisher = Publisher::new(FEED, PublisherConfig::default().life(LIFE));
    let mut records = 0;
    for number in 0..MESSAGES {
        let mut message = vec![0; MESSAGE_LEN];
        message[..4].copy_from_slice(&number.to_be_bytes());
        if publisher.push(&message) == Err(PushError::SegmentFull) {
            publisher.seal(signer, sim.wall(), 0).expect("the outbox is empty");
            publisher.push(&message).expect("a message fits a segment");
        }
        publisher.flush(signer, sim.wall(), 0).expect("the outbox has room for three records more");
        let waiting: Vec<Record> = publisher.outbox().cloned().collect();
        records += waiting.len();
        put(sim, device, waiting, &mut publisher, run);
    }
    records
}

fn requests_of(sim: &Sim, host: Host) -> u64 {
    sim.node(host).map_or(0, |node| node.stats().requests)
}

/// Puts records and waits for the ends; what enough nodes store is confirmed.
fn put(
    sim: &mut Sim,
    device: Host,
    records: Vec<Record>,
    publisher: &mut Publisher,
    run: &mut impl FnMut(&mut [Shard], Instant),
) {
    let mut under_way: BTreeMap<_, _> =
        records.into_iter().map(|record| ((*record.key(), record.sequence()), record)).collect();
    for record in under_way.values() {
        sim.plan(sim.now(), device, Action::Put(record.clone()));
    }
    let began = sim.now();
    while !under_way.is_empty() && sim.now().saturating_since(began) < LONGEST {
        sim.run_until(sim.now().saturating_add(SLICE), run);
        while let Some(happening) = sim.poll_happening() {
            if let What::Told(Event::PutDone(done)) = happening.what {
                let ended: Vec<_> = under_way.keys().filter(|(key, _)| *key == done.key).copied().collect();
                for (key, sequence) in ended {
                    under_way.remove(&(key, sequence));
                    publisher.confirm(&key, sequence);
                }
            }
        }
    }
}

/// What the reader asked for.
#[derive(Default)]
struct Fetches {
    planned: BTreeMap<ActionId, FetchId>,
    started: BTreeMap<OperationId, FetchId>,
}

impl Fetches {
    /// Lets the network run a little, and gives back what has come.
    fn run(&mut self, sim: &mut Sim, run: &mut impl FnMut(&mut [Shard], Instant)) -> Vec<(FetchId, Fetched)> {
        sim.run_until(sim.now().saturating_add(SLICE), run);
        let mut come = Vec::new();
        while let Some(happening) = sim.poll_happening() {
            match happening.what {
                What::Started(action, operation) => {
                    if let Some(id) = self.planned.remove(&action) {
                        self.started.insert(operation, id);
                    }
                }
                What::Told(Event::GetDone(done)) => {
                    if let Some(id) = self.started.remove(&done.operation) {
                        come.push((id, Fetched::from(done)));
                    }
                }
                _ => {}
            }
        }
        come
    }
}
