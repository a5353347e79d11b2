use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use iot_core::{Instant, Timestamp};

use crate::id::NodeId;
use crate::node::Node;
use crate::node::answer::Answer;
use crate::node::request::{Request, Standing};
use crate::peer::Peer;
use crate::record::UnverifiedRecord;
use crate::signatures::{Signatures, Validity};
use crate::wire::proof::{self, Signed};
use crate::wire::{Body, Challenge, Message, Proof};

#[cfg(test)]
mod tests;

/// How long a verdict is waited for.
const LONGEST: Duration = Duration::from_secs(10);

/// Who verifies signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// The node itself, before the call that took in the datagram returns.
    #[default]
    Inline,
    /// The caller, on a thread of its own or with what its hardware has for that: fetch each [`Job`] with
    /// [`Node::poll_job`], and hand its [`Verdict`] to [`Node::handle_verdict`], in any order. A verdict that does not
    /// come within ten seconds counts as no answer.
    HandedOut,
}

/// The signatures that must be verified before a node goes on with a datagram: one or two.
#[derive(Clone, Debug)]
pub struct Job {
    number: u64,
    signatures: Signatures,
    proof: Option<Claim>,
    record: Option<Vec<u8>>,
}

/// That somebody holds the key of an identifier.
#[derive(Clone, Debug)]
struct Claim {
    prover: NodeId,
    key: Vec<u8>,
    signature: [u8; 64],
    statement: Vec<u8>,
}

/// What came of a [`Job`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    number: u64,
    proof: Validity,
    pub(super) record: Validity,
}

impl Job {
    /// Verifies the signatures: all of the work that is worth handing out.
    pub fn verify(&self) -> Verdict {
        let validity = |valid| if valid { Validity::Valid } else { Validity::Invalid };
        let claim = self.proof.as_ref().map(|claim| claim.holds(self.signatures));
        let signed = self
            .record
            .as_ref()
            .map(|octets| UnverifiedRecord::parse(octets).is_ok_and(|record| record.is_signed(self.signatures)));
        let [proof, record] = [claim, signed].map(|valid| valid.map_or(Validity::Unknown, validity));
        Verdict { number: self.number, proof, record }
    }
}

impl Claim {
    fn holds(&self, signatures: Signatures) -> bool {
        match signatures {
            Signatures::Real => proof::is_valid(&self.prover, &self.key, &self.signature, &self.statement),
            #[cfg(feature = "sim")]
            Signatures::Simulated => {
                crate::sim::is_proof_simulated(&self.prover, &self.key, &self.signature, &self.statement)
            }
        }
    }
}

impl Verdict {
    /// Of a datagram without signatures.
    pub(super) const NONE: Self = Self { number: 0, proof: Validity::Unknown, record: Validity::Unknown };
}

/// Datagrams that wait for a verdict.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    next: u64,
    ready: VecDeque<Job>,
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    from: SocketAddr,
    datagram: Vec<u8>,
    /// What the datagram answers, if it is an answer to a question.
    request: Option<Request>,
    arrived: Instant,
}

impl Jobs {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        // They are numbered as they arrive.
        self.waiting.values().next().map(|waiting| waiting.arrived.saturating_add(LONGEST))
    }
}

impl Node {
    /// The next signatures to verify; nothing but under [`Verification::HandedOut`].
    pub fn poll_job(&mut self) -> Option<Job> {
        self.jobs.ready.pop_front()
    }

    /// Goes on with a datagram whose signatures were verified. One that came too late changes nothing.
    pub fn handle_verdict(&mut self, now: Instant, wall: Timestamp, verdict: Verdict) {
        let Some(waiting) = self.jobs.waiting.remove(&verdict.number) else { return };
        let Waiting { from, datagram, request, arrived } = waiting;
        if let Ok(message) = Message::decode(&datagram) {
            self.conclude(now, wall, Arrival { from, message, len: datagram.len(), at: arrived }, request, verdict);
        }
        self.start_upkeep(now, wall);
    }

    /// Verifies, or has verified, what a datagram claims, and goes on with it.
    pub(super) fn verify(&mut self, now: Instant, wall: Timestamp, arrival: Arrival<'_>, request: Option<Request>) {
        let Some(job) = self.job(&arrival, request.as_ref()) else {
            return self.conclude(now, wall, arrival, request, Verdict::NONE);
        };
        if self.config.verification == Verification::Inline {
            let verdict = job.verify();
            return self.conclude(now, wall, arrival, request, verdict);
        }
        if self.jobs.waiting.len() >= self.config.verifications {
            self.stats.verifications_dropped += 1;
            // It is sent again in its time.
            request.into_iter().for_each(|request| self.requests.push(request));
            return;
        }
        self.jobs.next += 1;
        let datagram = arrival.message.encode();
        let waiting = Waiting { from: arrival.from, datagram, request, arrived: now };
        self.jobs.waiting.insert(job.number, waiting);
        self.jobs.ready.push_back(job);
    }

    /// Gives up verdicts that did not come.
    pub(super) fn handle_overdue_verdicts(&mut self, now: Instant, wall: Timestamp) {
        while self.jobs.next_deadline().is_some_and(|at| at <= now) {
            let Some((number, waiting)) = self.jobs.waiting.pop_first() else { return };
            self.jobs.ready.retain(|job| job.number != number);
            self.stats.verifications_dropped += 1;
            if let Some(request) = waiting.request {
                self.settle(now, wall, &request, Answer::None);
            }
        }
    }

    /// What must be verified of a datagram. What is refused for another reason costs no verification.
    fn job(&self, arrival: &Arrival<'_>, request: Option<&Request>) -> Option<Job> {
        let message = &arrival.message;
        let is_unproven = request.is_none_or(|request| request.standing == Standing::Stranger);
        let proof = message.proof.filter(|_| is_unproven && !matches!(message.body, Body::Put(_)));
        let proof = proof.map(|proof| self.claim(arrival, &proof));
        let octets = match &message.body {
            Body::Value(value) => Some(value.record),
            Body::Put(put) => Some(put.record),
            Body::Refused(refused) => refused.record,
            _ => None,
        };
        let wanted = |octets: &&[u8]| {
            let parsed = UnverifiedRecord::parse(octets).ok();
            parsed.is_some_and(|record| match request {
                Some(request) => self.key_asked_for(request) == Some(*record.key()),
                None => true,
            })
        };
        let record = octets.filter(wanted).map(<[u8]>::to_vec);
        let (number, signatures) = (self.jobs.next, self.config.signatures);
        (proof.is_some() || record.is_some()).then_some(Job { number, signatures, proof, record })
    }

    fn claim(&self, arrival: &Arrival<'_>, proof: &Proof<'_>) -> Claim {
        let prover = Peer { id: arrival.message.sender, address: arrival.from };
        let challenger = Peer { id: *self.id(), address: proof.seen.0 };
        let nonce = &arrival.message.transaction;
        let statement = proof::statement(self.config.overlay, nonce, &challenger, &prover);
        Claim { prover: prover.id, key: proof.key.to_vec(), signature: proof.signature, statement }
    }

    fn conclude(
        &mut self,
        now: Instant,
        wall: Timestamp,
        arrival: Arrival<'_>,
        request: Option<Request>,
        verdict: Verdict,
    ) {
        match request {
            Some(request) if request.standing == Standing::Stranger && !self.is_proven(wall, &arrival, verdict) => {
                self.stats.unproven += 1;
                self.settle(now, wall, &request, Answer::None);
            }
            Some(request) => self.take_answer(now, wall, arrival, request, verdict),
            None if matches!(arrival.message.body, Body::Ask(_)) && !self.is_proven(wall, &arrival, verdict) => {
                self.stats.unproven += 1;
            }
            None if !arrival.message.body.is_answer() => self.serve(now, wall, arrival, verdict),
            None if self.is_proven(wall, &arrival, verdict) => {
                let peer = Peer { id: arrival.message.sender, address: arrival.from };
                self.learn(now, peer, arrival.message.cookie);
            }
            None => self.stats.unproven += 1,
        }
    }

    /// Whether it proves who it is, and that it may be a node. What strangers say of this node's address counts only of
    /// those who may be nodes.
    fn is_proven(&mut self, wall: Timestamp, arrival: &Arrival<'_>, verdict: Verdict) -> bool {
        let proof = arrival.message.proof.filter(|_| verdict.proof == Validity::Valid);
        let Some(proof) = proof else { return false };
        if !self.admission.lets_in(wall, &proof) {
            self.stats.not_admitted += 1;
            return false;
        }
        let seen = proof.seen.0;
        self.note_sighting(arrival.at, arrival.from, seen);
        self.sightings.agree(arrival.from, seen)
    }

    /// The answer to a challenge, with what this node shows besides; nothing, if whatever holds the key does not sign just
    /// now.
    pub(super) fn prove(&self, message: &Message<'_>, challenge: &Challenge, from: SocketAddr) -> Option<Signed> {
        let signed = self.identity.prove(message, challenge, from)?;
        Some(Signed { capability: self.admission.capability(), ..signed })
    }
}

/// A datagram that came in.
pub(super) struct Arrival<'b> {
    pub(super) from: SocketAddr,
    pub(super) message: Message<'b>,
    pub(super) len: usize,
    pub(super) at: Instant,
}
