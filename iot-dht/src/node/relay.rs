use alloc::collections::BTreeMap;
use core::net::SocketAddr;
use core::time::Duration;

use iot_core::Instant;

use crate::id::NodeId;
use crate::node::Node;
use crate::node::verification::Arrival;
use crate::peer::{Address, Peer};
use crate::setters::setters;
use crate::wire::{
    Body, Data, Decline, Declined, Empty, Endpoint, Introduce, Introduced, MAX_DATAGRAM_LEN, Meet, Message, Pass,
    Reply, Reserve, Reserved, Word,
};

/// What a server does for those whom nobody reaches: it introduces others to them, and passes on what two cannot send to
/// each other. It never learns more than who meets whom, and how much they say: what it carries is sealed by those who
/// meet.
///
/// Everything that is held for others is bounded here. At a bound the asker is told, and asks somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayConfig {
    leases: usize,
    subnet: usize,
    longest: Duration,
    meetings: usize,
    of_lease: usize,
    meeting: Duration,
    octets: u32,
    rate: u32,
}

impl RelayConfig {
    setters! {
        /// How many nodes have a lease at once; 64 by default, 0 for a node that is nobody's relay.
        leases: usize, |_| true, "any number";
        /// How many of them are of one subnet (/24, /64), at least 1; 8 by default.
        subnet: usize, |count| count > 0, "at least one lease of a subnet";
        /// For how long a lease is given at most, 30 seconds to an hour; 2 minutes by default. Its holder prolongs it.
        longest: Duration, |time| (30..=3600).contains(&time.as_secs()), "a lease of 30 seconds to an hour";
        /// How many meetings there are at once, at least 1; 128 by default.
        meetings: usize, |count| count > 0, "at least one meeting";
        /// How many of them are of one lease, and how many of one who asks, at least 1; 8 by default.
        of_lease: usize, |count| count > 0, "at least one meeting of a lease";
        /// For how long the two of a meeting are heard, 10 seconds to a day; 10 minutes by default.
        meeting: Duration, |time| (10..=86_400).contains(&time.as_secs()), "a meeting of 10 seconds to a day";
        /// How many octets are carried for a meeting in all, both ways; 256 KiB by default, 0 for a node that introduces
        /// and carries nothing.
        octets: u32, |_| true, "any number";
        /// How many octets a second are carried for a meeting, at least 1,200; 16 KiB by default. Twice as many may come at
        /// once after a pause; what exceeds that is dropped and counted.
        rate: u32, |octets| octets >= 1200, "at least 1,200 octets a second";
    }
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            leases: 64,
            subnet: 8,
            longest: Duration::from_secs(120),
            meetings: 128,
            of_lease: 8,
            meeting: Duration::from_secs(600),
            octets: 256 << 10,
            rate: 16 << 10,
        }
    }
}

/// What a server holds for others.
#[derive(Clone, Debug, Default)]
pub(super) struct Relay {
    leases: BTreeMap<NodeId, Lease>,
    meetings: BTreeMap<Pass, Meeting>,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    address: SocketAddr,
    rtt: u16,
    until: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Meeting {
    asker: Peer<32>,
    holder: Peer<32>,
    /// For how many milliseconds both waited.
    after: [u16; 2],
    until: Instant,
    octets_left: u32,
    /// When all that was carried would have been carried at the permitted rate.
    even_at: Instant,
}

impl Relay {
    fn forget(&mut self, now: Instant) {
        self.leases.retain(|_, lease| lease.until > now);
        self.meetings.retain(|_, meeting| meeting.until > now);
    }

    /// Whether one more lease may be given to somebody at this address.
    fn check_lease(&self, config: &RelayConfig, peer: &Peer<32>) -> Result<(), Decline> {
        let subnet = Address::from(peer.address).subnet();
        let others = || self.leases.iter().filter(|(id, _)| **id != peer.id);
        let of_subnet = others().filter(|(_, lease)| Address::from(lease.address).subnet() == subnet).count();
        if others().count() >= config.leases {
            Err(Decline::Full)
        } else if of_subnet >= config.subnet {
            Err(Decline::Quota)
        } else {
            Ok(())
        }
    }

    fn check_meeting(&self, config: &RelayConfig, asker: &Peer<32>, holder: &NodeId) -> Result<(), Decline> {
        let count = |is_of: &dyn Fn(&Meeting) -> bool| self.meetings.values().filter(|meeting| is_of(meeting)).count();
        if self.meetings.len() >= config.meetings {
            Err(Decline::Full)
        } else if count(&|meeting| meeting.holder.id == *holder) >= config.of_lease
            || count(&|meeting| meeting.asker.address.ip() == asker.address.ip()) >= config.of_lease
        {
            Err(Decline::Quota)
        } else {
            Ok(())
        }
    }
}

impl Node {
    /// How many nodes have a lease here, and how many pairs meet here; those included whose time is over until somebody asks
    /// for the next.
    pub fn relayed(&self) -> (usize, usize) {
        (self.relay.leases.len(), self.relay.meetings.len())
    }

    /// Whether this address has a lease under this identifier, so that it need not prove it again.
    pub(super) fn has_lease(&self, now: Instant, from: SocketAddr, id: &NodeId) -> bool {
        self.relay.leases.get(id).is_some_and(|lease| lease.address == from && lease.until > now)
    }

    /// Gives a lease to a node that receives what is sent to its address, and has proved who it is.
    pub(super) fn serve_reserve(&mut self, now: Instant, peer: Peer<32>, reserve: &Reserve) -> Reply {
        let config = self.config.relay;
        self.relay.forget(now);
        let seen = Endpoint(peer.address);
        if reserve.seconds == 0 {
            self.relay.leases.remove(&peer.id);
            return Reply::Reserved(Reserved { seconds: 0, seen });
        }
        if let Err(reason) = self.relay.check_lease(&config, &peer) {
            return Reply::Declined(Declined { reason });
        }
        let seconds = reserve.seconds.min(u32::try_from(config.longest.as_secs()).unwrap_or(u32::MAX));
        let until = now.saturating_add(Duration::from_secs(seconds.into()));
        let lease = Lease { address: peer.address, rtt: reserve.rtt.unwrap_or(0), until };
        self.relay.leases.insert(peer.id, lease);
        Reply::Reserved(Reserved { seconds, seen })
    }

    /// Introduces a node that receives what is sent to its address to the holder of a lease, or to this node itself.
    pub(super) fn serve_introduce(&mut self, now: Instant, asker: Peer<32>, introduce: &Introduce) -> Reply {
        let config = self.config.relay;
        self.relay.forget(now);
        let declined = |reason| Reply::Declined(Declined { reason });
        if introduce.to == *self.id() {
            return match self.expect_visitor(now, asker) {
                Some(pass) => Reply::Introduced(Introduced { address: Endpoint(asker.address), pass, after: 0 }),
                None => declined(Decline::Full),
            };
        }
        let Some(lease) = self.relay.leases.get(&introduce.to).copied() else { return declined(Decline::Nobody) };
        let known = self.relay.meetings.iter().find(|(_, meeting)| {
            let ends = (meeting.asker, meeting.holder.id, meeting.holder.address);
            // One that is half over is of an earlier question.
            ends == (asker, introduce.to, lease.address) && meeting.until.saturating_since(now) > config.meeting / 2
        });
        let (pass, meeting) = match known.map(|(pass, meeting)| (*pass, *meeting)) {
            // Nothing more is carried for these two before their time is half over; another relay may do it.
            Some((_, spent)) if spent.octets_left < config.octets.min(MAX_DATAGRAM_LEN as u32) => {
                return declined(Decline::Quota);
            }
            Some(known) => known,
            None => {
                if let Err(reason) = self.relay.check_meeting(&config, &asker, &introduce.to) {
                    return declined(reason);
                }
                // Each hears of the other half a round trip later, and both are to send at one moment.
                let rtt = introduce.rtt.unwrap_or(lease.rtt).min(2000);
                let lease_rtt = lease.rtt.min(2000);
                let after = [lease_rtt.saturating_sub(rtt) / 2, rtt.saturating_sub(lease_rtt) / 2];
                let meeting = Meeting {
                    asker,
                    holder: Peer { id: introduce.to, address: lease.address },
                    after,
                    until: now.saturating_add(config.meeting),
                    octets_left: config.octets,
                    even_at: now,
                };
                let pass = self.secrets.transaction();
                self.relay.meetings.insert(pass, meeting);
                (pass, meeting)
            }
        };
        let [after, after_holder] = meeting.after;
        let meet = Meet { peer: asker.id, address: Endpoint(asker.address), after: after_holder };
        let meet = self.message(pass, Body::Word(Word::Meet(meet))).encode();
        self.transmit(lease.address, meet);
        self.stats.introduced += 1;
        Reply::Introduced(Introduced { address: Endpoint(lease.address), pass, after })
    }

    /// Passes octets on to the other end of a meeting, as long as it is within its limits.
    pub(super) fn handle_carry(&mut self, now: Instant, arrival: &Arrival<'_>, data: &Data<'_>) {
        let (message, from) = (&arrival.message, arrival.from);
        let rate = u64::from(self.config.relay.rate);
        let here = Peer { id: message.sender, address: from };
        let meeting = self.relay.meetings.get_mut(&message.transaction);
        let meeting =
            meeting.filter(|meeting| meeting.until > now && (meeting.asker == here || meeting.holder == here));
        let cost = u32::try_from(arrival.len).unwrap_or(u32::MAX);
        let Some(meeting) = meeting.filter(|meeting| meeting.octets_left >= cost) else {
            return self.close(from, message);
        };
        let even_at =
            meeting.even_at.max(now).saturating_add(Duration::from_micros(u64::from(cost) * 1_000_000 / rate));
        if even_at.saturating_since(now) > Duration::from_secs(2) {
            self.stats.rate_limited += 1;
            return;
        }
        meeting.even_at = even_at;
        meeting.octets_left -= cost;
        let other = if meeting.asker == here { meeting.holder.address } else { meeting.asker.address };
        let word = Word::Carried(Data { payload: data.payload });
        let carried = self.message(message.transaction, Body::Word(word)).encode();
        self.stats.carried += 1;
        self.stats.octets_carried += carried.len() as u64;
        self.transmit(other, carried);
    }

    fn close(&mut self, from: SocketAddr, message: &Message<'_>) {
        let closed = self.message(message.transaction, Body::Word(Word::Closed(Empty {}))).encode();
        self.transmit(from, closed);
    }
}

#[cfg(test)]
mod tests {
    use iot_core::Timestamp;
    use iot_crypto::SigningKey;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::node::NodeConfig;
    use crate::wire::{MAX_DATAGRAM_LEN, Role};

    const NOW: Instant = Instant::START;

    fn relay(config: RelayConfig) -> Node {
        let config = NodeConfig::default().service(Role::Server).relay(config);
        Node::new(config, SigningKey::from_seed(&[1; 32]), NOW, &mut ChaCha20Rng::seed_from_u64(1))
    }

    fn peer(n: u8) -> Peer<32> {
        Peer { id: NodeId::from_bytes([n; 32]), address: SocketAddr::from(([20, 0, n, 1], 4000)) }
    }

    fn reserve(relay: &mut Node, now: Instant, peer: Peer<32>) -> Result<u32, Decline> {
        match relay.serve_reserve(now, peer, &Reserve { seconds: 1_000_000, rtt: Some(80) }) {
            Reply::Reserved(reserved) => Ok(reserved.seconds),
            Reply::Declined(declined) => Err(declined.reason),
            other => panic!("{other:?}"),
        }
    }

    fn introduce(relay: &mut Node, now: Instant, asker: Peer<32>, to: u8) -> Result<Introduced, Decline> {
        let introduce = Introduce { to: NodeId::from_bytes([to; 32]), rtt: Some(20) };
        match relay.serve_introduce(now, asker, &introduce) {
            Reply::Introduced(introduced) => Ok(introduced),
            Reply::Declined(declined) => Err(declined.reason),
            other => panic!("{other:?}"),
        }
    }

    /// What a relay sends after octets for the other end of a meeting.
    fn carry(relay: &mut Node, now: Instant, from: Peer<32>, pass: Pass, payload: &[u8]) -> Option<SocketAddr> {
        let word = Body::Word(Word::Carry(Data { payload }));
        let datagram = Message::new(0, pass, from.id, Role::Client, word).encode();
        relay.handle_datagram(now, Timestamp::EPOCH, from.address, &datagram);
        let mut buffer = [0; MAX_DATAGRAM_LEN];
        let transmit = relay.poll_transmit(&mut buffer)?;
        let sent = Message::decode(&buffer[..transmit.len]).unwrap();
        assert!(transmit.len <= datagram.len(), "no more than came");
        match sent.body {
            Body::Word(Word::Carried(data)) => assert_eq!(data.payload, payload),
            Body::Word(Word::Closed(_)) => return None,
            other => panic!("{other:?}"),
        }
        Some(transmit.to)
    }

    #[test]
    fn leases_are_bounded_in_all_and_by_subnet_and_end() {
        let mut relay = relay(RelayConfig::default().leases(5).subnet(2));
        let near = |n: u8| Peer { address: SocketAddr::from(([20, 0, 1, n], 4000)), ..peer(n) };
        assert_eq!(reserve(&mut relay, NOW, near(1)), Ok(120), "no longer than configured");
        assert_eq!(reserve(&mut relay, NOW, near(2)), Ok(120));
        assert_eq!(reserve(&mut relay, NOW, near(3)), Err(Decline::Quota));
        assert!((10..13).all(|n| reserve(&mut relay, NOW, peer(n)) == Ok(120)));
        assert_eq!(reserve(&mut relay, NOW, peer(13)), Err(Decline::Full));
        assert_eq!(reserve(&mut relay, NOW, near(1)), Ok(120), "who has one prolongs it");
        assert_eq!(relay.relayed(), (5, 0));
        let later = NOW.saturating_add(Duration::from_secs(121));
        assert_eq!(reserve(&mut relay, later, peer(13)), Ok(120));
        assert_eq!(relay.relayed(), (1, 0), "all others are over");
        relay.serve_reserve(later, peer(13), &Reserve { seconds: 0, rtt: None });
        assert_eq!(relay.relayed(), (0, 0), "and this one was given up");
    }

    #[test]
    fn meetings_are_bounded_and_both_are_to_send_at_one_moment() {
        let mut relay = relay(RelayConfig::default().meetings(3).of_lease(2));
        (1..4).for_each(|n| assert!(reserve(&mut relay, NOW, peer(n)).is_ok()));
        let first = introduce(&mut relay, NOW, peer(10), 1).unwrap();
        assert_eq!((first.address.0, first.after), (peer(1).address, 30), "half of 80 ms less 20 ms");
        assert_eq!(introduce(&mut relay, NOW, peer(10), 1), Ok(first), "a repeated question is the same meeting");
        assert!(introduce(&mut relay, NOW, peer(11), 1).is_ok());
        assert_eq!(introduce(&mut relay, NOW, peer(12), 1), Err(Decline::Quota), "of one lease");
        assert_eq!(introduce(&mut relay, NOW, peer(12), 9), Err(Decline::Nobody));
        assert!(introduce(&mut relay, NOW, peer(10), 2).is_ok());
        assert_eq!(introduce(&mut relay, NOW, peer(12), 3), Err(Decline::Full));
        assert_eq!(relay.relayed(), (3, 3));
    }

    /// Those behind one NAT share an address, and one of them has asked for all that it may.
    #[test]
    fn one_address_gets_so_many_meetings_whomever_it_wants_to_meet() {
        let mut relay = relay(RelayConfig::default().of_lease(2));
        (1..6).for_each(|n| assert!(reserve(&mut relay, NOW, peer(n)).is_ok()));
        let beside = |port: u16| Peer { address: SocketAddr::new(peer(10).address.ip(), port), ..peer(10) };
        assert!(introduce(&mut relay, NOW, beside(1), 1).is_ok() && introduce(&mut relay, NOW, beside(2), 2).is_ok());
        assert_eq!(introduce(&mut relay, NOW, beside(3), 3), Err(Decline::Quota));
        assert!(introduce(&mut relay, NOW, peer(11), 3).is_ok());
    }

    /// A meeting ends for both at the same time, whoever asks again: who asks for it in its second half gets a new one, which
    /// lasts as long as the first was to last.
    #[test]
    fn who_asks_again_is_introduced_anew_once_half_of_the_time_is_over() {
        let mut relay = relay(RelayConfig::default().meeting(Duration::from_secs(100)));
        let at = |secs: u64| NOW.saturating_add(Duration::from_secs(secs));
        assert!(reserve(&mut relay, NOW, peer(1)).is_ok());
        let first = introduce(&mut relay, NOW, peer(10), 1).unwrap();
        assert_eq!(introduce(&mut relay, at(49), peer(10), 1), Ok(first));
        let second = introduce(&mut relay, at(50), peer(10), 1).unwrap();
        assert_ne!(second.pass, first.pass);
        let mut buffer = [0; MAX_DATAGRAM_LEN];
        while relay.poll_transmit(&mut buffer).is_some() {}
        assert_eq!(carry(&mut relay, at(120), peer(10), second.pass, b"said"), Some(peer(1).address));
        assert_eq!(carry(&mut relay, at(120), peer(10), first.pass, b"said"), None);
    }

    #[test]
    fn a_relay_carries_for_the_two_of_a_meeting_within_rate_octets_and_time() {
        let mut relay = relay(RelayConfig::default().octets(30_000).rate(1200));
        assert!(reserve(&mut relay, NOW, peer(1)).is_ok());
        let pass = introduce(&mut relay, NOW, peer(2), 1).unwrap().pass;
        let mut buffer = [0; MAX_DATAGRAM_LEN];
        while relay.poll_transmit(&mut buffer).is_some() {}
        assert_eq!(carry(&mut relay, NOW, peer(2), pass, b"to the holder"), Some(peer(1).address));
        assert_eq!(carry(&mut relay, NOW, peer(1), pass, b"to the asker"), Some(peer(2).address));
        assert_eq!(carry(&mut relay, NOW, peer(3), pass, b"of a third"), None);
        assert_eq!(carry(&mut relay, NOW, peer(2), [0; 8], b"of no meeting"), None);
        let at = |secs: u64| NOW.saturating_add(Duration::from_secs(secs));
        let carried =
            |relay: &mut Node, now| (0..10).filter(|_| carry(relay, now, peer(2), pass, &[7; 1000]).is_some()).count();
        assert_eq!(carried(&mut relay, at(100)), 2, "two seconds' worth after a pause");
        assert_eq!(relay.stats().rate_limited, 8);
        let a_second = (101..110).map(|now| carried(&mut relay, at(now))).sum::<usize>();
        assert!((9..=10).contains(&a_second), "{a_second}: and then one a second");
        assert_eq!(introduce(&mut relay, at(110), peer(2), 1).map(|introduced| introduced.pass), Ok(pass));
        while relay.poll_transmit(&mut buffer).is_some() {}
        let rest = (110..250).map(|now| carried(&mut relay, at(now))).sum::<usize>();
        assert!((15..19).contains(&rest), "{rest}: the octets are over");
        assert!(reserve(&mut relay, at(250), peer(1)).is_ok());
        assert_eq!(introduce(&mut relay, at(250), peer(2), 1), Err(Decline::Quota), "so that they ask another relay");
        assert!(carry(&mut relay, at(601), peer(2), pass, b"late").is_none());
    }
}
