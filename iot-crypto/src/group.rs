//! Groups: one member writes, all others read, under a key that all of them have.
//!
//! A Group Manager (RFC 9594, draft-ietf-core-oscore-groupcomm) decides who is in. Each change begins a new epoch
//! (RFC 9420), whose secret it draws and seals to all members, 128 octets each ([`GroupManager`]). A member
//! ([`GroupMember`]) derives from it a key for each publisher, so no two use a nonce of each other; a publisher
//! ([`GroupPublisher`]) reserves its sequence numbers as the [streams](crate::stream) do.
//!
//! The key proves that *a member* wrote, not which: opening gives [`GroupAuthenticated`], which is not
//! [`Verified`](crate::Verified). So publishers sign each [`Batch`] of messages, and a [`SignedBatch`] makes the ones
//! `Verified` that its signer wrote.
//!
//! # What it does not give
//!
//! - **No forward secrecy within an epoch.** Whoever gets its secret, by breaking into one member, reads the whole
//!   epoch. It ends with the next change; one without joiners and leavers will do.
//! - **The manager is trusted** for who is in, and reads everything. A member learns the hash of the member set, not
//!   who the members are; within one message of up to [`MAX_READERS`](crate::MAX_READERS), it sees their keys'
//!   thumbprints.
//! - **A leaver is out only where the new epoch has arrived.** A publisher that missed it writes on under the old key.
//!   Readers that keep older epochs for late messages accept there what a leaver forges, until they
//!   [forget](GroupMember::forget_late) them; the signature of the batch tells.
//! - **A member can disturb**: before the batch is there, readers cannot tell its forgeries from genuine messages. Who
//!   uses [`GroupMember::open`] lets it take positions; [`open_unconfirmed`](GroupMember::open_unconfirmed) does not.
//! - It does not hide who writes how much, to which group, in which epoch.
//!
//! # Example
//!
//! ```
//! use iot_core::{Incarnation, Position, StreamId, Timestamp, Topic};
//! use iot_crypto::group::*;
//! use iot_crypto::stream::{Counter, Reservation};
//! use iot_crypto::*;
//! use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//! # let mut rng = ChaCha20Rng::from_seed([1; 32]);
//! # let now = Timestamp::from_secs(1_767_225_600);
//! # let keys: [SigningKey; 3] = core::array::from_fn(|_| SigningKey::generate(&mut rng));
//! # let secrets: [AgreementSecret; 3] = core::array::from_fn(|_| AgreementSecret::generate(&mut rng));
//! # let [manager, device, _] = &keys;
//! # let bundle = |i: usize| {
//! #     let issued = KeyBundle::issue(&keys[i], secrets[i].public(), 1, Timestamp::from_secs(1_770_000_000)).unwrap();
//! #     KeyBundle::verify(&issued, &keys[i].verifying_key().device_id(), now).unwrap()
//! # };
//! # let bundles = [bundle(1), bundle(2)];
//! # let incarnation = Incarnation::from_bytes(*b"a chance");
//! # let heading = |key: &SigningKey, topic| {
//! #     let source = key.verifying_key().device_id();
//! #     Heading { topic, position: Position { source, stream: StreamId::new(0), incarnation, sequence: 0 } }
//! # };
//! # let (keys_topic, topic) = (Topic::new("plant/7/keys")?, Topic::new("plant/7/boiler/12")?);
//! // The manager founds the group, and seals the first epoch for its members.
//! let group = Group { manager: manager.verifying_key().device_id(), id: GroupId::from_bytes(*b"plant  7") };
//! let manages = GroupManager::found(group, GroupLimits::default(), 0, &bundles, &mut rng)?;
//! let messages = manages.seal_epoch(manager, &heading(manager, keys_topic), now, &mut rng)?;
//!
//! // Each member opens it as any message, and enters the epoch.
//! let enter = |secret: &AgreementSecret| -> Result<GroupMember, Box<dyn std::error::Error>> {
//!     let seen: Trackers = Trackers::new(1_000, 4)?;
//!     let mut opener = Opener::new(core::slice::from_ref(secret), manager.verifying_key(), seen);
//!     let mut message = messages[0].clone();
//!     let mut member = GroupMember::new(group);
//!     member.enter(&opener.open(Some(keys_topic), &mut message, &mut [0; 1024])?)?;
//!     Ok(member)
//! };
//! let (writer, reader) = (enter(&secrets[1])?, enter(&secrets[2])?);
//!
//! // One publishes, and signs what it has published.
//! let first = heading(device, topic);
//! # let flash: Option<Counter> = None;
//! let mut publisher: GroupPublisher<_> = GroupPublisher::begin(&writer, &first, flash, Reservation::default())?;
//! let mut batch: Batch = Batch::new(group);
//! let mut message = publisher.publish(b"21.5 Cel", &mut batch)?;
//! let record = batch.sign(device)?;
//!
//! // The other knows that a member wrote it; and when it has the batch, which.
//! let mut seen: Trackers = Trackers::new(1_000, 4)?;
//! let opened = reader.open(Some(topic), Some(first.position.source), &mut message, &mut seen)?;
//! assert_eq!((opened.payload(), opened.epoch()), (&b"21.5 Cel"[..], 0));
//! let mut scratch = [0; SignedBatch::SCRATCH_LEN];
//! let signed = SignedBatch::verify(&record, &group, &device.verifying_key(), &mut scratch)?;
//! assert_eq!(signed.confirm(opened)?.proof(), Proof::Signature);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Formats
//!
//! `docs/formats/group.md` draws the octets, and says how keys are derived.

mod authenticated;
mod batch;
mod epoch;
#[cfg(feature = "alloc")]
mod manager;
mod member;
mod message;
mod publisher;
mod rekeying;

use core::fmt;

use iot_core::DeviceId;

pub use authenticated::{GroupAuthenticated, Unconfirmed};
pub use batch::{Batch, BatchError, ConfirmError, SignedBatch};
pub use epoch::{LAST_EPOCH, MemberSetHash};
#[cfg(feature = "alloc")]
pub use manager::{GroupLimits, GroupManager, MembershipError, RekeyingError};
pub use member::{GroupError, GroupMember, RestoreMemberError};
pub use message::{GroupFormError, GroupMessage};
pub use publisher::{FollowMemberError, GroupPublisher, PublishError, PublisherError};
pub use rekeying::RekeyError;

/// A group: who manages it, and which of the manager's groups it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// The Group Manager.
    pub manager: DeviceId,
    /// The group's identifier.
    pub id: GroupId,
}

/// Which group of a manager: 8 octets that the manager chooses, and gives to no two groups.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId([u8; 8]);

impl GroupId {
    /// Octets of an identifier.
    pub const LEN: usize = 8;

    /// Wraps 8 octets.
    pub const fn from_bytes(octets: [u8; Self::LEN]) -> Self {
        Self(octets)
    }

    /// The octets.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Display for GroupId {
    /// Lower-case hexadecimal, two digits an octet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupId({self})")
    }
}
