use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use iot_core::Instant;

use crate::id::NodeId;
use crate::node::Node;
use crate::node::answer::Answer;
use crate::node::config::NodeConfig;
use crate::node::event::Event;
use crate::node::request::{Purpose, Request, Standing};
use crate::peer::{Address, Peer, Scope};
use crate::wire::{Ask, Body, Challenge, Cookie, Message, Reply, Reserve};

/// How long a lease is asked for.
const LEASE_SECONDS: u32 = 120;
/// How often a lease is prolonged: NATs forget a mapping after 30 s of silence at the earliest that was ever measured
/// widely.
const RENEWAL: Duration = Duration::from_secs(25);
/// How long a node waits when it knows nobody to ask.
const PAUSE: Duration = Duration::from_secs(5);
/// The most nodes that are remembered because they gave no lease.
const MAX_REFUSALS: usize = 32;

/// The leases of a node that others do not reach.
#[derive(Clone, Debug, Default)]
pub(super) struct Rendezvous {
    held: Vec<Held>,
    /// Who is being asked for a first lease.
    asked: Vec<Peer<32>>,
    /// Who gave none, the last first.
    refusals: VecDeque<NodeId>,
    /// When to look for one more.
    search_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    relay: Peer<32>,
    until: Instant,
    renew_at: Instant,
    /// A renewal is under way.
    asked: bool,
}

impl Rendezvous {
    pub(super) fn new(config: &NodeConfig, now: Instant) -> Self {
        Self { search_at: (config.relays > 0).then_some(now), ..Self::default() }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let renewals = self.held.iter().map(|held| if held.asked { held.until } else { held.renew_at });
        renewals.chain(self.search_at).min()
    }

    /// Whether this node has a lease at an address.
    pub(super) fn holds(&self, now: Instant, relay: SocketAddr) -> bool {
        self.held.iter().any(|held| held.relay.address == relay && held.until > now)
    }
}

impl Node {
    /// Where others ask for this node: those of whom it has a lease. [`Event::Relays`] tells when that changes.
    pub fn relays(&self) -> impl Iterator<Item = Peer<32>> + '_ {
        self.rendezvous.held.iter().map(|held| held.relay)
    }

    /// Takes out, prolongs and gives up leases.
    pub(super) fn handle_rendezvous_timeout(&mut self, now: Instant) {
        let before = self.rendezvous.held.len();
        self.rendezvous.held.retain(|held| held.until > now);
        let wanted = if self.reach.lacks_reach(self.config.service) { self.config.relays } else { 0 };
        if wanted == 0 {
            self.give_up_leases(now);
        }
        let due: Vec<_> = self.rendezvous.held.iter_mut().filter(|held| held.renew_at <= now && !held.asked).collect();
        let due: Vec<_> = due
            .into_iter()
            .map(|held| {
                held.asked = true;
                held.relay
            })
            .collect();
        due.into_iter().for_each(|relay| self.reserve(now, relay, LEASE_SECONDS));
        if self.rendezvous.held.len() != before {
            self.tell_relays();
        }
        self.search_relays(now, wanted);
    }

    /// Whoever was asked for a lease has answered, or has not.
    pub(super) fn settle_lease(&mut self, now: Instant, request: &Request, answer: Answer) {
        let relay = |peer: &Peer<32>| peer.address == request.to && Some(peer.id) == request.id;
        let asked = self.rendezvous.asked.iter().position(relay).map(|place| self.rendezvous.asked.remove(place));
        let seconds = match answer {
            Answer::Reply(Reply::Reserved(reserved)) => {
                self.note_sighting(now, request.to, reserved.seen.0);
                reserved.seconds
            }
            _ => 0,
        };
        let (until, renew_at) =
            (now.saturating_add(Duration::from_secs(seconds.into())), now.saturating_add(self.secrets.about(RENEWAL)));
        if let Some(held) = self.rendezvous.held.iter_mut().find(|held| relay(&held.relay)) {
            (held.asked, held.renew_at) = (false, renew_at);
            if seconds > 0 {
                held.until = until;
                return;
            }
            self.refuse_relay(request.id);
            self.rendezvous.held.retain(|held| !relay(&held.relay));
            self.tell_relays();
        } else if let Some(relay) = asked {
            if seconds > 0 && self.rendezvous.held.len() < self.config.relays {
                self.rendezvous.held.push(Held { relay, until, renew_at, asked: false });
                self.tell_relays();
            } else {
                self.refuse_relay(request.id);
            }
        }
        self.rendezvous.search_at = Some(now);
    }

    /// The lease is given to whoever proves who it is: does so under the nonce of the relay, and shows its cookie.
    pub(super) fn prove_reservation(
        &mut self,
        now: Instant,
        mut request: Request,
        answer: &Message<'_>,
        cookie: Cookie,
    ) {
        let from = request.to;
        let signed = answer.challenge.and_then(|challenge| self.prove(answer, &challenge, from));
        let (Some(signed), Some(Challenge { nonce, .. }), Ok(asked)) =
            (signed, answer.challenge, Message::decode(&request.datagram))
        else {
            return self.settle_lease(now, &request, Answer::None);
        };
        let proof = Some(signed.proof());
        let message = Message { transaction: nonce, cookie: Some(cookie), challenge: None, proof, ..asked };
        request.datagram = message.encode();
        request.transaction = nonce;
        request.retries += 1;
        request.attempt = request.attempt.max(2);
        request.standing = Standing::Proven;
        request.deadline = now.saturating_add(request.timeout);
        self.stats.retries += 1;
        self.transmit(from, request.datagram.clone());
        self.requests.push(request);
    }

    fn search_relays(&mut self, now: Instant, wanted: usize) {
        let under_way = self.rendezvous.held.len() + self.rendezvous.asked.len();
        if under_way >= wanted || self.rendezvous.search_at.is_some_and(|at| at > now) {
            let idle = (wanted > under_way).then_some(()).and(self.rendezvous.search_at);
            self.rendezvous.search_at = idle;
            return;
        }
        self.rendezvous.search_at = Some(now.saturating_add(PAUSE));
        let limits = self.config.table.limits_subnets();
        let Rendezvous { held, asked, refusals, .. } = self.rendezvous.clone();
        let taken: Vec<_> = held.iter().map(|held| held.relay).chain(asked).collect();
        let same_subnet =
            |a: SocketAddr, b: SocketAddr| limits && Address::from(a).subnet() == Address::from(b).subnet();
        for _ in under_way..wanted {
            let found = self.any_entry(|entry| {
                let is_taken = |peer: &Peer<32>| peer.id == *entry.id() || same_subnet(peer.address, entry.address());
                // A relay of the own network is none to the others, unless all are there.
                let is_public = Scope::of(&entry.address().ip()) == Scope::Global || !limits;
                is_public && !taken.iter().any(is_taken) && !refusals.contains(entry.id())
            });
            let Some(relay) = found.filter(|found| !self.rendezvous.asked.contains(found)) else { break };
            self.rendezvous.asked.push(relay);
            self.reserve(now, relay, LEASE_SECONDS);
        }
        // Those who refused may have room again.
        if self.rendezvous.asked.is_empty() {
            self.rendezvous.refusals.pop_back();
        }
    }

    fn reserve(&mut self, now: Instant, relay: Peer<32>, seconds: u32) {
        let recipient = self.recipient(now, &relay, &[]);
        let rtt = self.rtt_to(&relay.id);
        self.request(now, recipient, Purpose::Lease, Body::Ask(Ask::Reserve(Reserve { seconds, rtt })));
    }

    /// The smoothed round-trip time to a node of the table, in milliseconds.
    pub(super) fn rtt_to(&self, id: &NodeId) -> Option<u16> {
        let rtt = self.table.entry(id)?.rtt()?;
        Some(u16::try_from(rtt.as_millis()).unwrap_or(u16::MAX))
    }

    fn give_up_leases(&mut self, now: Instant) {
        self.rendezvous.asked.clear();
        let held = core::mem::take(&mut self.rendezvous.held);
        for Held { relay, .. } in &held {
            self.reserve(now, *relay, 0);
        }
    }

    fn refuse_relay(&mut self, id: Option<NodeId>) {
        self.rendezvous.refusals.truncate(MAX_REFUSALS - 1);
        id.into_iter().for_each(|id| self.rendezvous.refusals.push_front(id));
    }

    fn tell_relays(&mut self) {
        let count = self.rendezvous.held.len();
        self.notify(Event::Relays { count });
    }
}
