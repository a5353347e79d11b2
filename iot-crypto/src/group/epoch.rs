use core::fmt;

use hkdf::Hkdf;
use iot_codec::cbor::{Encode, EncodeError, Output, Writer};
use iot_core::DeviceId;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::Group;
use crate::Heading;
use crate::cose::Algorithm;
use crate::stream::{BindingHash, Keys, expand};

/// The hash of a member set: SHA-256 of the members' identities, one after another, ascending.
///
/// It enters every key of an epoch, so parties that were told of different members do not understand each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberSetHash([u8; 32]);

impl MemberSetHash {
    /// Octets of a hash.
    pub const LEN: usize = 32;

    /// The hash of a set whose members come in strictly ascending order; `None` in any other.
    pub fn of<'a>(members: impl IntoIterator<Item = &'a DeviceId>) -> Option<Self> {
        let mut hash = Sha256::new();
        let mut last = None;
        for member in members {
            if last.replace(member).is_some_and(|last| last >= member) {
                return None;
            }
            hash.update(member.as_bytes());
        }
        Some(Self(hash.finalize().into()))
    }

    /// Wraps the octets of a hash.
    pub const fn from_bytes(octets: [u8; Self::LEN]) -> Self {
        Self(octets)
    }

    /// The octets.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// The last number that an epoch may have.
pub const LAST_EPOCH: u64 = u64::MAX - 1;

/// What the members of an epoch share.
#[derive(Clone)]
pub(super) struct GroupEpoch {
    pub(super) number: u64,
    pub(super) members: MemberSetHash,
    pub(super) secret: Zeroizing<[u8; Self::SECRET_LEN]>,
}

impl GroupEpoch {
    pub(super) const SECRET_LEN: usize = 32;

    /// A new epoch, whose secret has nothing to do with any other.
    #[cfg(feature = "alloc")]
    pub(super) fn draw(number: u64, members: MemberSetHash, rng: &mut impl rand_core::CryptoRng) -> Self {
        let mut secret = Zeroizing::new([0; Self::SECRET_LEN]);
        rng.fill_bytes(&mut *secret);
        Self { number, members, secret }
    }

    /// The keys of one publisher for one topic, in one incarnation of one of its streams. The sequence number in the
    /// heading does not count.
    pub(super) fn publisher_keys(&self, group: &Group, heading: &Heading<'_>) -> PublisherKeys {
        let binding = BindingHash::of(&Binding { group, epoch: self.number, members: &self.members, heading });
        let hkdf = Hkdf::<Sha256>::from_prk(&*self.secret).expect("a secret is as long as the hash");
        let keys = Keys { key: expand(&hkdf, &binding, "key"), base_iv: expand(&hkdf, &binding, "iv") };
        PublisherKeys { leaf: expand(&hkdf, &binding, "leaf"), keys, binding }
    }
}

impl fmt::Debug for GroupEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupEpoch").field("number", &self.number).finish_non_exhaustive()
    }
}

/// The keys under which one publisher writes. No two publishers have the same, so none uses a nonce of another.
pub(super) struct PublisherKeys {
    pub(super) keys: Keys,
    pub(super) binding: BindingHash,
    leaf: Zeroizing<[u8; 32]>,
}

impl PublisherKeys {
    /// What a batch names a message by: a hash of its octets and of what commits to the epoch's secret, because the
    /// cipher does not: one ciphertext could open under two secrets to two payloads.
    pub(super) fn leaf(&self, message: &[u8]) -> Leaf {
        Sha256::new().chain_update(*self.leaf).chain_update(message).finalize().into()
    }
}

pub(super) type Leaf = [u8; LEAF_LEN];
pub(super) const LEAF_LEN: usize = 32;

/// What every message is bound to.
///
/// ```cddl
/// binding = [context: "iot group 1", algorithm: 24, manager: bstr .size 32, group: bstr .size 8, epoch: uint,
///            members: bstr .size 32, topic: tstr, source: bstr .size 32, stream: uint, incarnation: bstr .size 8]
/// ```
struct Binding<'a> {
    group: &'a Group,
    epoch: u64,
    members: &'a MemberSetHash,
    heading: &'a Heading<'a>,
}

impl Encode for Binding<'_> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        let position = &self.heading.position;
        writer.array(10)?;
        writer.text("iot group 1")?;
        writer.int(Algorithm::ChaCha20Poly1305.number())?;
        writer.bytes(self.group.manager.as_bytes())?;
        writer.bytes(self.group.id.as_bytes())?;
        writer.unsigned(self.epoch)?;
        writer.bytes(self.members.as_bytes())?;
        writer.text(self.heading.topic.as_str())?;
        writer.bytes(position.source.as_bytes())?;
        writer.unsigned(position.stream.number().into())?;
        writer.bytes(position.incarnation.as_bytes())
    }
}
