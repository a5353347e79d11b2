use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use iot_codec::cbor;
use iot_core::Timestamp;
use iot_crypto::VerifyingKey;
use sha2::Sha256;

use crate::wire::{self, MAX_CAPABILITY_LEN, Proof};

/// Who belongs to an overlay.
#[derive(Debug, Default)]
#[non_exhaustive]
pub enum Admission {
    /// Everybody.
    #[default]
    Open,
    /// Whoever has the key. To all others a node is as good as not there: it neither answers them nor believes them.
    Key(AdmissionKey),
    /// Each by a capability of its own: who shows none that counts is in no table and has no lease, and no answer of it is
    /// believed. It may still ask, get, and put what it has signed, as every client may.
    Capability(Box<dyn Gatekeeper>),
}

/// Decides who may be a node of an overlay, by what each shows beside the proof of its identifier: a token of whoever runs
/// the overlay that names the node's key, such as a CWT (RFC 8392) with a confirmation claim (RFC 8747).
///
/// It is asked once for each node and address, after the node has proved that it holds the key. So a capability that ends
/// keeps nobody out who was let in before: until the node falls silent or moves, it stays. A node in a table is believed by
/// those alone who have let it in themselves.
///
/// A capability is shown to whoever asks, so it must be worth nothing without the key that it names.
pub trait Gatekeeper: fmt::Debug + Send {
    /// What this node shows of itself: at most [`MAX_CAPABILITY_LEN`] octets, or none. It is sent with every proof, so
    /// that long ones leave room for fewer names in the first answer to a stranger.
    fn own(&self) -> &[u8];

    /// Whether whoever holds this key may be a node, by what it shows. It is called while a datagram is taken in, and costs
    /// the node what it takes.
    fn admits(&self, wall: Timestamp, key: &VerifyingKey, capability: &[u8]) -> bool;
}

/// A secret that all nodes of a private overlay share.
///
/// Every datagram shows that its sender has it: the number of the overlay makes room for the first eight octets of a keyed
/// hash of the datagram. That hides nothing. Who sees the datagrams of others can read them, and whoever sends one of
/// them again from elsewhere is answered, with what was for all to read. It tells no member from another: one that
/// leaves takes the key with it, and the others need a new one.
pub struct AdmissionKey(Hmac<Sha256>);

impl AdmissionKey {
    /// The key with these octets, which should be drawn at random.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(key).expect("any length is a key"))
    }

    /// What stands in a datagram of this overlay in place of its number, which has the place `number`.
    fn tag(&self, overlay: u64, datagram: &[u8], number: &core::ops::Range<usize>) -> u64 {
        let hash = self.0.clone().chain_update(b"iot-dht admission 1\0").chain_update(overlay.to_be_bytes());
        let hash = hash.chain_update(&datagram[..number.start]).chain_update(&datagram[number.end..]);
        let octets = hash.finalize().into_bytes();
        octets.iter().take(8).fold(0, |tag, octet| tag << 8 | u64::from(*octet))
    }
}

impl fmt::Debug for AdmissionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdmissionKey(..)")
    }
}

impl Admission {
    /// What a message has as its overlay until it is sealed: no seal is longer.
    pub(crate) fn placeholder(&self, overlay: u64) -> u64 {
        match self {
            Self::Open | Self::Capability(_) => overlay,
            Self::Key(_) => u64::MAX,
        }
    }

    /// Makes a datagram that is about to be sent one of this overlay, whatever number it names. A node does so by itself;
    /// this is for tools that write their own.
    pub fn seal(&self, overlay: u64, datagram: &mut Vec<u8>) {
        let Self::Key(key) = self else { return };
        if let Some(number) = wire::place_of_overlay(datagram) {
            let tag = cbor::to_vec(&key.tag(overlay, datagram, &number));
            datagram.splice(number, tag);
        }
    }

    /// Whether a datagram with this number is of this overlay.
    pub(crate) fn admits(&self, overlay: u64, datagram: &[u8], number: u64) -> bool {
        match self {
            Self::Open | Self::Capability(_) => number == overlay,
            Self::Key(key) => wire::place_of_overlay(datagram)
                // One comparison of the whole difference tells an attacker nothing by its time.
                .is_some_and(|place| core::hint::black_box(key.tag(overlay, datagram, &place) ^ number) == 0),
        }
    }

    /// What this node shows beside its proofs; nothing, if it has none or one that is too long.
    pub(crate) fn capability(&self) -> Vec<u8> {
        match self {
            Self::Capability(gatekeeper) => match gatekeeper.own() {
                own if own.len() <= MAX_CAPABILITY_LEN => own.to_vec(),
                _ => Vec::new(),
            },
            Self::Open | Self::Key(_) => Vec::new(),
        }
    }

    /// Whether somebody whose proof holds may be a node.
    pub(crate) fn lets_in(&self, wall: Timestamp, proof: &Proof<'_>) -> bool {
        let Self::Capability(gatekeeper) = self else { return true };
        let capability = proof.capability.unwrap_or_default();
        capability.len() <= MAX_CAPABILITY_LEN
            && VerifyingKey::from_bytes(proof.key).is_ok_and(|key| gatekeeper.admits(wall, &key, capability))
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec};

    use iot_crypto::SigningKey;

    use super::*;
    use crate::id::Id;
    use crate::wire::{Body, Empty, Endpoint, Message, Role};

    fn ping(admission: &Admission, overlay: u64) -> Vec<u8> {
        let number = admission.placeholder(overlay);
        let ping = Message::new(number, [7; 8], Id::from_bytes([1; 32]), Role::Server, Body::Ping(Empty {}));
        let mut datagram = ping.encode();
        let before = datagram.len();
        admission.seal(overlay, &mut datagram);
        assert!(datagram.len() <= before);
        datagram
    }

    fn admits(admission: &Admission, overlay: u64, datagram: &[u8]) -> bool {
        Message::decode(datagram).is_ok_and(|message| admission.admits(overlay, datagram, message.overlay))
    }

    #[test]
    fn a_datagram_belongs_to_one_overlay_and_one_key_and_to_no_other() {
        let [one, two] = [1, 2].map(|octet| Admission::Key(AdmissionKey::new(&[octet; 32])));
        let (sealed, open) = (ping(&one, 5), ping(&Admission::Open, 5));
        assert!(admits(&one, 5, &sealed) && admits(&Admission::Open, 5, &open));
        assert!(!admits(&two, 5, &sealed) && !admits(&one, 6, &sealed) && !admits(&Admission::Open, 5, &sealed));
        assert!(!admits(&one, 5, &open) && !admits(&one, 5, &ping(&Admission::Open, u64::MAX)));
        assert_eq!(format!("{one:?}"), "Key(AdmissionKey(..))");
    }

    #[test]
    fn no_bit_of_it_can_be_changed() {
        let key = Admission::Key(AdmissionKey::new(&[1; 32]));
        let sealed = ping(&key, 5);
        for bit in 0..8 * sealed.len() {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!admits(&key, 5, &changed), "bit {bit}");
        }
        assert!((0..sealed.len()).all(|len| !admits(&key, 5, &sealed[..len])));
    }

    /// Lets everybody in whose capability is as long as the longest.
    #[derive(Debug)]
    struct Longest(Vec<u8>);

    impl Gatekeeper for Longest {
        fn own(&self) -> &[u8] {
            &self.0
        }

        fn admits(&self, _: Timestamp, _: &VerifyingKey, capability: &[u8]) -> bool {
            capability.len() >= MAX_CAPABILITY_LEN
        }
    }

    #[test]
    fn a_capability_that_is_too_long_is_neither_shown_nor_looked_at() {
        let key = SigningKey::from_seed(&[1; 32]).verifying_key();
        let wall = Timestamp::from_secs(1);
        for (len, counts) in [(MAX_CAPABILITY_LEN, true), (MAX_CAPABILITY_LEN + 1, false)] {
            let admission = Admission::Capability(Box::new(Longest(vec![7; len])));
            assert_eq!(admission.capability().len(), if counts { len } else { 0 });
            let proof = Proof {
                key: key.as_bytes(),
                signature: [0; 64],
                seen: Endpoint(([10, 0, 0, 1], 4000).into()),
                capability: Some(&[7; MAX_CAPABILITY_LEN + 1][..len]),
            };
            assert_eq!(admission.lets_in(wall, &proof), counts);
            assert!(!admission.lets_in(wall, &Proof { capability: None, ..proof }));
            assert!(!admission.lets_in(wall, &Proof { key: b"no key", ..proof }));
            assert!(Admission::Open.lets_in(wall, &proof) && Admission::Open.capability().is_empty());
        }
    }
}
