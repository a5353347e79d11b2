use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use iot_core::{Instant, Timestamp};

use crate::id::Key;
use crate::node::Node;
use crate::node::request::Purpose;
use crate::peer::Peer;
use crate::record::Record;
use crate::rejection::Rejection;
use crate::store::{Inventory, Part};
use crate::wire::{self, Body, Compare, Digest, Held, Holdings, MAX_DIGESTS, MAX_HELD, Nonce};

/// How often the next requests of a comparison are sent, and how many at once at most: well within the rate that a node
/// grants one address.
const STEP: Duration = Duration::from_millis(250);
const PER_STEP: usize = 16;
/// How many parts one node is asked about at most, whatever it answers.
const MAX_COMPARED: usize = 1024;
/// How many records a node may fail to show, or show in vain because there is no room for them, before it is left alone.
const MAX_FAILED: usize = 4;

/// A comparison of the records that this node holds with those of another. It begins with one digest of a whole part, and
/// goes on with the smaller parts that differ, until what differs is listed.
#[derive(Clone, Debug)]
pub(super) struct Stocktaking {
    with: Peer<32>,
    goal: Goal,
    nonce: Nonce,
    /// What is to be compared.
    parts: Vec<Part>,
    /// What is to be fetched.
    wanted: BTreeSet<Key>,
    /// Requests without an answer.
    waiting: usize,
    compared: usize,
    failed: usize,
    step_at: Instant,
}

/// What a comparison is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// To fetch what this node should hold and the other has.
    Receive,
    /// To learn what this node holds and the other should have.
    Give,
}

impl Stocktaking {
    pub(super) fn step_at(&self) -> Instant {
        self.step_at
    }
}

impl Node {
    /// Begins to compare with a node what both have of a part.
    pub(super) fn take_stock(&mut self, now: Instant, wall: Timestamp, with: Peer<32>, goal: Goal, part: Part) {
        self.replication.stocktaking = Some(Stocktaking {
            with,
            goal,
            nonce: self.secrets.transaction(),
            parts: Vec::from([part]),
            wanted: BTreeSet::new(),
            waiting: 0,
            compared: 0,
            failed: 0,
            step_at: now,
        });
        self.handle_step(now, wall);
    }

    /// Sends the next requests of the comparison, if they are due, or ends it.
    pub(super) fn handle_step(&mut self, now: Instant, wall: Timestamp) {
        let Some(mut taking) = self.replication.stocktaking.take() else { return };
        if taking.compared >= MAX_COMPARED {
            taking.parts.clear();
        }
        if taking.step_at <= now {
            taking.step_at = now.saturating_add(STEP);
            while taking.waiting < PER_STEP && self.requests.len() < self.config.requests / 2 {
                let (purpose, body) = if let Some(key) = taking.wanted.pop_first() {
                    (Purpose::Fetch(key), Body::Get(wire::Get { key, near: None }))
                } else if let Some(part) = taking.parts.pop() {
                    taking.compared += 1;
                    let (nonce, digest) = (taking.nonce, self.store.digest(wall, &part, &taking.nonce));
                    let compare = Compare { point: part.point, bits: part.bits, nonce, digest };
                    (Purpose::Compare(part), Body::Compare(compare))
                } else {
                    break;
                };
                taking.waiting += 1;
                let recipient = self.recipient(now, &taking.with, &[]);
                self.request(now, recipient, purpose, body);
            }
        }
        let is_over = taking.parts.is_empty() && taking.wanted.is_empty() && taking.waiting == 0;
        if is_over || taking.failed >= MAX_FAILED {
            self.requests.abandon(|purpose| matches!(purpose, Purpose::Compare(_) | Purpose::Fetch(_)));
        } else {
            self.replication.stocktaking = Some(taking);
        }
    }

    /// The other node said what it has of a part, or nothing.
    pub(super) fn handle_inventory(&mut self, now: Instant, wall: Timestamp, part: Part, found: Option<Inventory>) {
        let Some(mut taking) = self.replication.stocktaking.take() else { return };
        taking.waiting = taking.waiting.saturating_sub(1);
        match found {
            // Whoever does not answer one question is asked no other.
            None => taking.failed = MAX_FAILED,
            Some(Inventory::Same) => {}
            Some(Inventory::Digests(digests)) => self.divide(wall, &mut taking, part, &digests),
            Some(Inventory::Records(held)) => {
                let there: BTreeMap<Key, u64> =
                    held.iter().filter(|held| part.holds(&held.key)).map(|held| (held.key, held.sequence)).collect();
                match taking.goal {
                    Goal::Receive => taking.wanted.extend(there.iter().filter_map(|(key, sequence)| {
                        let own = self.store.get(wall, key).map(Record::sequence);
                        (own < Some(*sequence) && self.is_responsible(key)).then_some(*key)
                    })),
                    Goal::Give => self.replication.lacking.extend(
                        self.store
                            .records_of(wall, &part)
                            .filter(|record| there.get(record.key()).copied() < Some(record.sequence()))
                            .map(|record| *record.key()),
                    ),
                }
            }
        }
        self.replication.stocktaking = Some(taking);
        self.handle_step(now, wall);
    }

    /// The other node showed a record that it has, or did not.
    pub(super) fn handle_fetched(
        &mut self,
        now: Instant,
        wall: Timestamp,
        from: SocketAddr,
        record: Option<Result<Record, Rejection>>,
    ) {
        let stored = match record {
            Some(Ok(record)) => self.store.put_by(wall, record, self.source_of(from), None).map(drop),
            Some(Err(reason)) => Err(reason),
            None => Err(Rejection::WrongKey),
        };
        self.stats.fetched += u64::from(stored.is_ok());
        if let Some(taking) = &mut self.replication.stocktaking {
            taking.waiting = taking.waiting.saturating_sub(1);
            // What somebody else has put meanwhile was worth the question.
            taking.failed += usize::from(stored.is_err_and(|reason| reason != Rejection::Superseded));
        }
        self.handle_step(now, wall);
    }

    /// Goes on with those of the equal parts of a part in which both have something else.
    fn divide(&self, wall: Timestamp, taking: &mut Stocktaking, part: Part, digests: &[u8]) {
        let digests: Vec<_> = digests.chunks_exact(size_of::<Digest>()).collect();
        let more = digests.len().ilog2() as u8;
        let nothing = self.store.digest_of_nothing(&taking.nonce);
        for (place, there) in digests.into_iter().enumerate() {
            let part = part.part(more, place);
            let here = self.store.digest(wall, &part, &taking.nonce);
            // What is to be received is not looked for where there is nothing, nor is what is to be given.
            let of_whom = match taking.goal {
                Goal::Receive => there,
                Goal::Give => &here,
            };
            if *there != here && *of_whom != nothing && taking.parts.len() < MAX_COMPARED {
                taking.parts.push(part);
            }
        }
    }
}

impl Inventory {
    /// What a node says it has; nothing that can be relied on, if that cannot be.
    pub(super) fn of(holdings: Holdings<'_>) -> Self {
        let parts = |octets: &[u8]| octets.len() / size_of::<Digest>();
        match holdings {
            Holdings { records: Some(records), .. } => {
                Self::Records(records.0.into_iter().take(MAX_HELD).collect::<Vec<Held>>())
            }
            Holdings { digests: Some(octets), .. }
                if octets.len() % size_of::<Digest>() == 0
                    && parts(octets).is_power_of_two()
                    && (2..=MAX_DIGESTS).contains(&parts(octets)) =>
            {
                Self::Digests(octets.to_vec())
            }
            Holdings { .. } => Self::Same,
        }
    }
}
