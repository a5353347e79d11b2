use alloc::vec::Vec;
use core::time::Duration;

use iot_codec::cbor::{self, DecodeError, List};
use iot_codec::record;
use iot_core::{DeviceId, Timestamp};
use iot_crypto::Signer;

use crate::id::{Key, NodeId};
use crate::peer::Peer;
use crate::record::{Record, SignRecordError};

/// Where a device can be reached just now, by its own word: a record that it signs anew when it moves, and that is
/// forgotten soon after it falls silent.
///
/// An address in it is a claim. Whoever sends there first proves the address, and the node behind it, as with every
/// other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    device: DeviceId,
    peers: Vec<Peer<32>>,
    relayed: Option<Relayed>,
    expires: Timestamp,
}

record! {
    struct Body {
        0 => peers: List<Peer<32>>,
        1 => relayed: Option<Relayed>,
    }
}

record! {
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Relayed {
        /// The device's node.
        0 => node: NodeId,
        /// Who introduces others to it.
        1 => relays: List<Peer<32>>,
    }
}

impl Contact {
    /// What a device calls this record.
    pub const NAME: &[u8] = b"contact";

    /// The most addresses of one device.
    pub const MAX_PEERS: usize = 8;

    /// The most relays of one device.
    pub const MAX_RELAYS: usize = 4;

    /// The longest time for which a device may say where it is: a day.
    pub const MAX_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

    /// Where the contact of a device is stored.
    pub fn key(device: &DeviceId) -> Key {
        Key::of_record(device, Self::NAME)
    }

    /// Signs where the device of `signer` is reached: its nodes, the best first. Of two contacts the one with the higher
    /// `sequence` is in force.
    ///
    /// # Errors
    ///
    /// [`ContactError::Count`], [`ContactError::Address`], [`ContactError::Life`], [`ContactError::Sign`].
    pub fn sign(
        signer: &impl Signer,
        sequence: u64,
        now: Timestamp,
        life: Duration,
        peers: &[Peer<32>],
    ) -> Result<Record, ContactError> {
        Self::sign_body(signer, sequence, now, life, Body { peers: List(peers.to_vec()), relayed: None })
    }

    /// Signs where a device is met whose node is behind a NAT: those that have given `node` a lease
    /// ([`Node::relays`](crate::Node::relays)) introduce others to it. `peers` are nodes of the device that are reached
    /// directly; there may be none.
    ///
    /// # Errors
    ///
    /// Those of [`sign`](Self::sign), and [`ContactError::Relays`].
    pub fn sign_relayed(
        signer: &impl Signer,
        sequence: u64,
        now: Timestamp,
        life: Duration,
        peers: &[Peer<32>],
        node: &NodeId,
        relays: &[Peer<32>],
    ) -> Result<Record, ContactError> {
        let relayed = Some(Relayed { node: *node, relays: List(relays.to_vec()) });
        Self::sign_body(signer, sequence, now, life, Body { peers: List(peers.to_vec()), relayed })
    }

    fn sign_body(
        signer: &impl Signer,
        sequence: u64,
        now: Timestamp,
        life: Duration,
        body: Body,
    ) -> Result<Record, ContactError> {
        check(&body)?;
        if life > Self::MAX_LIFE {
            return Err(ContactError::Life { seconds: life.as_secs() });
        }
        let value = cbor::to_vec(&body);
        Ok(Record::sign(signer, Self::NAME, sequence, now.saturating_add(life), &value)?)
    }

    /// Reads the contact that a verified record is.
    ///
    /// # Errors
    ///
    /// [`ContactError`], among them [`ContactError::Expired`] and [`ContactError::Life`], judged at `now`.
    pub fn read(record: &Record, now: Timestamp) -> Result<Self, ContactError> {
        if record.name() != Self::NAME {
            return Err(ContactError::Name);
        }
        let life = record.expires().saturating_since(now);
        if life.is_zero() {
            return Err(ContactError::Expired { expires: record.expires() });
        }
        if life > Self::MAX_LIFE {
            return Err(ContactError::Life { seconds: life.as_secs() });
        }
        let body: Body = cbor::from_slice(record.value())?;
        check(&body)?;
        let Body { peers: List(peers), relayed } = body;
        Ok(Self { device: *record.owner(), peers, relayed, expires: record.expires() })
    }

    /// Whose it is.
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Where to send, the best first: at most [`MAX_PEERS`](Self::MAX_PEERS), and at least one unless there are relays.
    pub fn peers(&self) -> &[Peer<32>] {
        &self.peers
    }

    /// The device's node behind a NAT, and who introduces others to it: at least one, at most
    /// [`MAX_RELAYS`](Self::MAX_RELAYS). [`Node::meet`](crate::Node::meet) asks them.
    pub fn relayed(&self) -> Option<(&NodeId, &[Peer<32>])> {
        self.relayed.as_ref().map(|relayed| (&relayed.node, &relayed.relays.0[..]))
    }

    /// When it ceases to be in force.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }
}

fn check(body: &Body) -> Result<(), ContactError> {
    let peers = &body.peers.0;
    let relays = body.relayed.as_ref().map(|relayed| &relayed.relays.0[..]);
    if relays.is_some_and(|relays| relays.is_empty() || relays.len() > Contact::MAX_RELAYS) {
        return Err(ContactError::Relays { count: relays.map_or(0, <[_]>::len) });
    }
    if (peers.is_empty() && relays.is_none()) || peers.len() > Contact::MAX_PEERS {
        return Err(ContactError::Count { count: peers.len() });
    }
    match peers.iter().chain(relays.unwrap_or(&[])).position(|peer| peer.usable().is_none()) {
        Some(index) => Err(ContactError::Address { index }),
        None => Ok(()),
    }
}

/// Why there is no contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContactError {
    /// The record is another.
    #[error("the record is not called contact")]
    Name,
    /// Its value is malformed.
    #[error("the contact is malformed")]
    Malformed(#[from] DecodeError),
    /// It has no address, or more than [`Contact::MAX_PEERS`].
    #[error("{count} addresses where 1 to {} may stand", Contact::MAX_PEERS)]
    Count {
        /// How many.
        count: usize,
    },
    /// It names a node behind a NAT without a relay, or with more than [`Contact::MAX_RELAYS`].
    #[error("{count} relays where 1 to {} may stand", Contact::MAX_RELAYS)]
    Relays {
        /// How many.
        count: usize,
    },
    /// Nothing can be sent to one of its addresses; those of relays are counted after the others.
    #[error("address {index} cannot be sent to")]
    Address {
        /// Which, counted from 0.
        index: usize,
    },
    /// It has expired.
    #[error("the contact expired at {} s", expires.as_secs())]
    Expired {
        /// When.
        expires: Timestamp,
    },
    /// It lives longer than [`Contact::MAX_LIFE`].
    #[error("a life of {seconds} s is too long for a contact")]
    Life {
        /// How long it would live.
        seconds: u64,
    },
    /// The record was not signed.
    #[error(transparent)]
    Sign(#[from] SignRecordError),
}

#[cfg(test)]
mod tests {
    use std::vec;

    use iot_crypto::SigningKey;

    use super::*;
    use crate::id::Id;

    const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
    const HOUR: Duration = Duration::from_secs(3600);

    fn device() -> SigningKey {
        SigningKey::from_seed(&[3; 32])
    }

    fn peer(address: &str) -> Peer<32> {
        Peer { id: Id::from_bytes([1; 32]), address: address.parse().unwrap() }
    }

    #[test]
    fn what_a_device_signs_is_what_others_read() {
        let peers = [peer("10.0.0.1:4000"), peer("[2001:db8::1]:4001")];
        let record = Contact::sign(&device(), 3, NOW, HOUR, &peers).unwrap();
        let id = device().verifying_key().device_id();
        assert_eq!(*record.key(), Contact::key(&id));
        let contact = Contact::read(&record, NOW).unwrap();
        assert_eq!((contact.device(), contact.peers()), (&id, &peers[..]));
        assert_eq!(contact.expires(), NOW.saturating_add(HOUR));
    }

    #[test]
    fn a_contact_is_short_lived() {
        let peers = [peer("10.0.0.1:4000")];
        let long = Contact::MAX_LIFE + Duration::from_secs(1);
        assert_eq!(Contact::sign(&device(), 0, NOW, long, &peers), Err(ContactError::Life { seconds: 86_401 }));
        let record = Contact::sign(&device(), 0, NOW, Contact::MAX_LIFE, &peers).unwrap();
        assert!(Contact::read(&record, NOW).is_ok());
        let before = NOW.saturating_sub(Duration::from_secs(1));
        assert_eq!(Contact::read(&record, before), Err(ContactError::Life { seconds: 86_401 }));
        let expires = record.expires();
        assert_eq!(Contact::read(&record, expires), Err(ContactError::Expired { expires }));
    }

    #[test]
    fn addresses_that_are_none_or_too_many_are_refused() {
        let sign = |peers: &[Peer<32>]| Contact::sign(&device(), 0, NOW, HOUR, peers);
        assert_eq!(sign(&[]), Err(ContactError::Count { count: 0 }));
        assert_eq!(sign(&vec![peer("10.0.0.1:4000"); 9]), Err(ContactError::Count { count: 9 }));
        for bad in ["0.0.0.0:4000", "10.0.0.1:0", "[ff02::1]:4000", "255.255.255.255:1"] {
            let peers = [peer("10.0.0.1:4000"), peer(bad)];
            assert_eq!(sign(&peers), Err(ContactError::Address { index: 1 }), "{bad}");
            let value = cbor::to_vec(&Body { peers: List(peers.to_vec()), relayed: None });
            let record = Record::sign(&device(), Contact::NAME, 0, NOW.saturating_add(HOUR), &value).unwrap();
            assert_eq!(Contact::read(&record, NOW), Err(ContactError::Address { index: 1 }), "{bad}");
        }
    }

    #[test]
    fn another_record_is_no_contact_and_a_broken_one_neither() {
        let sign =
            |name: &[u8], value: &[u8]| Record::sign(&device(), name, 0, NOW.saturating_add(HOUR), value).unwrap();
        let value = cbor::to_vec(&Body { peers: List(vec![peer("10.0.0.1:4000")]), relayed: None });
        assert_eq!(Contact::read(&sign(b"status", &value), NOW), Err(ContactError::Name));
        for len in 0..value.len() {
            let broken = Contact::read(&sign(Contact::NAME, &value[..len]), NOW);
            assert!(matches!(broken, Err(ContactError::Malformed(_))), "{len}");
        }
    }
}
