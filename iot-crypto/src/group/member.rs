mod saved;

use core::fmt;
use core::marker::PhantomData;

use iot_core::{DeviceId, Position, Topic};

use super::authenticated::{GroupAuthenticated, Unconfirmed};
use super::epoch::{GroupEpoch, MemberSetHash};
use super::message::{GroupFormError, GroupMessage};
use super::rekeying::{self, RekeyError};
use super::{Group, GroupId};
use crate::aead::{Aead, RustCrypto, TAG_LEN};
use crate::cose::EncStructure;
use crate::sealer::MAX_ENC_STRUCTURE_LEN;
use crate::stream::PROTECTED;
use crate::{Heading, ReplayError, ReplayGuard, Verified};

pub use saved::RestoreMemberError;

/// What a member of a group knows: the keys of the current epoch, and of up to `LATE` older ones for messages that come
/// late. The oldest is wiped when there is no room for one more. Nothing is allocated.
///
/// # Restarts
///
/// [Save](Self::save_into) it after each epoch that it [enters](Self::enter), before the manager's message is
/// acknowledged. Who has lost it asks the manager for the current epoch again; [`with_floor`](Self::with_floor) then
/// keeps out those that are known to be past.
pub struct GroupMember<A = RustCrypto, const LATE: usize = 2> {
    group: Group,
    floor: u64,
    current: Option<GroupEpoch>,
    /// Latest first.
    late: [Option<GroupEpoch>; LATE],
    aead: PhantomData<fn() -> A>,
}

/// Why a message of a group was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The octets are not a message of a group.
    #[error("the message is malformed")]
    Form(#[from] GroupFormError),
    /// It belongs to another group.
    #[error("the message belongs to group {found}")]
    OtherGroup {
        /// Which.
        found: GroupId,
    },
    /// It belongs to an epoch that this member has not entered: it missed a message of the manager, or was removed.
    #[error("the message is of epoch {epoch}, which was not entered")]
    NotEntered {
        /// The epoch.
        epoch: u64,
    },
    /// It belongs to an epoch whose key this member does not have, or no longer.
    #[error("the key of epoch {epoch} is not kept")]
    NotKept {
        /// The epoch.
        epoch: u64,
    },
    /// Neither the routing header nor the caller says who wrote it.
    #[error("the source is not known")]
    NoSource,
    /// The routing header says another source than the caller expects.
    #[error("the header names the source {found}")]
    OtherSource {
        /// Whom it names.
        found: DeviceId,
    },
    /// Neither the routing header nor the caller says what the topic is.
    #[error("the topic is not known")]
    NoTopic,
    /// The routing header says another topic than the caller expects.
    #[error("the header says another topic")]
    OtherTopic,
    /// The position is not accepted.
    #[error("the position is not accepted")]
    Replay(#[from] ReplayError),
    /// It cannot be decrypted: it was altered, or is of another source or topic.
    #[error("the message cannot be decrypted")]
    Decryption,
}

impl<A: Aead, const LATE: usize> GroupMember<A, LATE> {
    /// A member of `group`, in no epoch yet.
    pub const fn new(group: Group) -> Self {
        Self { group, floor: 0, current: None, late: [const { None }; LATE], aead: PhantomData }
    }

    /// The lowest epoch that is accepted next. Default: 0. It only rises.
    #[must_use]
    pub fn with_floor(mut self, epoch: u64) -> Self {
        self.floor = self.floor.max(epoch);
        self
    }

    /// Enters the epoch that a message of the manager begins, and returns its number. Numbers only rise; they may skip.
    ///
    /// # Errors
    ///
    /// [`RekeyError`]; nothing has changed then.
    pub fn enter(&mut self, opened: &Verified<'_>) -> Result<u64, RekeyError> {
        let epoch = rekeying::read_rekeying(opened, &self.group)?;
        let number = epoch.number;
        self.check_floor(number)?;
        // No number is above LAST_EPOCH.
        self.floor = self.floor.max(number + 1);
        if let Some(passed) = self.current.replace(epoch) {
            self.late.rotate_right(usize::from(LATE > 0));
            if let Some(latest) = self.late.first_mut() {
                *latest = Some(passed);
            }
        }
        Ok(number)
    }

    /// Takes the keys of older epochs that the manager chose to give, latest first while there is room for them, and
    /// returns how many were taken.
    ///
    /// # Errors
    ///
    /// [`RekeyError`]; nothing has changed then.
    pub fn take_history(&mut self, opened: &Verified<'_>) -> Result<usize, RekeyError> {
        let current = self.current.as_ref().ok_or(RekeyError::NoEpoch)?.number;
        let mut taken = 0;
        for epoch in rekeying::read_history(opened, &self.group)? {
            if epoch.number >= current || self.epoch(epoch.number).is_some() {
                continue;
            }
            let Some(free) = self.late.iter_mut().find(|slot| slot.is_none()) else { break };
            *free = Some(epoch);
            taken += 1;
        }
        self.late.sort_unstable_by_key(|slot| core::cmp::Reverse(slot.as_ref().map(|epoch| epoch.number)));
        Ok(taken)
    }

    /// Forgets all epochs but the current one, because nobody who left may write any longer, not even late messages.
    pub fn forget_late(&mut self) {
        self.late = [const { None }; LATE];
    }

    /// Opens a message in place: some member of its epoch wrote it, and a message at its position was not accepted
    /// before. `topic` and `source` are what the transport says; each may be `None` where the routing header has it,
    /// and must agree with it.
    ///
    /// A member can forge another here, and thereby take the position of a genuine message. Who wants only what the
    /// publisher signed takes [`open_unconfirmed`](Self::open_unconfirmed).
    ///
    /// # Errors
    ///
    /// [`GroupError`]. The message is as it was, but after [`GroupError::Decryption`], or when the guard refuses to
    /// remember, it may be overwritten.
    pub fn open<'m>(
        &self,
        topic: Option<Topic<'m>>,
        source: Option<DeviceId>,
        message: &'m mut [u8],
        replay: &mut impl ReplayGuard,
    ) -> Result<GroupAuthenticated<'m>, GroupError> {
        let opened = self.open_unconfirmed(topic, source, message, replay)?;
        let freshness = replay.accept(&opened.heading.position)?;
        Ok(GroupAuthenticated { opened, freshness })
    }

    /// Opens a message in place, whose payload the [signature of its publisher](super::SignedBatch::accept) will set
    /// free. `replay` remembers nothing yet.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_unconfirmed<'m>(
        &self,
        topic: Option<Topic<'m>>,
        source: Option<DeviceId>,
        message: &'m mut [u8],
        replay: &impl ReplayGuard,
    ) -> Result<Unconfirmed<'m>, GroupError> {
        let parsed = GroupMessage::parse(message)?;
        let epoch = self.epoch_of(&parsed)?;
        let (group, number) = (self.group, epoch.number);
        let (routing_len, ciphertext_len) = (parsed.routing_len(), parsed.ciphertext().len());
        let routing = *parsed.routing();
        if let (Some(found), Some(expected)) = (routing.source, source) {
            if found != expected {
                return Err(GroupError::OtherSource { found });
            }
        }
        let source = routing.source.or(source).ok_or(GroupError::NoSource)?;
        if matches!((routing.topic, topic), (Some(said), Some(expected)) if said != expected) {
            return Err(GroupError::OtherTopic);
        }
        let (stream, incarnation, sequence) = (routing.stream, routing.incarnation, routing.sequence);
        let position = Position { source, stream, incarnation, sequence };
        replay.check(&position)?;
        let keys = {
            let topic = routing.topic.or(topic).ok_or(GroupError::NoTopic)?;
            epoch.publisher_keys(&group, &Heading { topic, position })
        };
        let leaf = keys.leaf(message);
        let (head, ciphertext) = message.split_at_mut(message.len() - ciphertext_len);
        let head: &'m [u8] = head;
        let routing_octets = &head[..routing_len];
        let (text, tag) = ciphertext.split_last_chunk_mut::<TAG_LEN>().ok_or(GroupError::Decryption)?;
        let authenticated = authenticated(routing_octets, keys.binding.as_bytes()).ok_or(GroupError::Decryption)?;
        A::open(&keys.keys.key, &keys.keys.nonce(sequence), authenticated.as_bytes(), text, tag)
            .map_err(|_| GroupError::Decryption)?;
        // The topic in the header lives as long as the message, now that nothing writes to the header any more.
        let said = crate::RoutingHeader::parse(routing_octets).map_err(GroupFormError::Routing)?.0.topic;
        let topic = said.or(topic).ok_or(GroupError::NoTopic)?;
        Ok(Unconfirmed { payload: text, heading: Heading { topic, position }, group, epoch: number, leaf })
    }

    /// The group.
    pub const fn group(&self) -> &Group {
        &self.group
    }

    /// The number of the current epoch.
    pub fn current_epoch(&self) -> Option<u64> {
        self.current.as_ref().map(|epoch| epoch.number)
    }

    /// The hash of who is in the current epoch.
    pub fn members(&self) -> Option<MemberSetHash> {
        self.current.as_ref().map(|epoch| epoch.members)
    }

    /// The lowest epoch that is accepted next.
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    /// The numbers of the older epochs whose keys are kept, latest first.
    pub fn late_epochs(&self) -> impl Iterator<Item = u64> + '_ {
        self.late.iter().flatten().map(|epoch| epoch.number)
    }

    pub(super) fn current(&self) -> Option<&GroupEpoch> {
        self.current.as_ref()
    }

    fn check_floor(&self, epoch: u64) -> Result<(), RekeyError> {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Check::EpochFloor) {
            return Ok(());
        }
        let floor = self.floor;
        if epoch < floor { Err(RekeyError::OldEpoch { epoch, floor }) } else { Ok(()) }
    }

    fn epoch(&self, number: u64) -> Option<&GroupEpoch> {
        self.current.iter().chain(self.late.iter().flatten()).find(|epoch| epoch.number == number)
    }

    fn epoch_of(&self, parsed: &GroupMessage<'_>) -> Result<&GroupEpoch, GroupError> {
        if parsed.group() != self.group.id {
            return Err(GroupError::OtherGroup { found: parsed.group() });
        }
        let epoch = parsed.epoch();
        self.epoch(epoch).ok_or(if self.current_epoch().is_some_and(|current| epoch < current) {
            GroupError::NotKept { epoch }
        } else {
            GroupError::NotEntered { epoch }
        })
    }
}

/// The `Enc_structure` of a message (RFC 9052 §5.3), whose external data is the routing header and the binding's hash.
pub(super) fn authenticated(routing: &[u8], binding: &[u8]) -> Option<EncStructure<MAX_ENC_STRUCTURE_LEN>> {
    EncStructure::new("Encrypt0", &PROTECTED, &[routing, binding])
}

impl<A, const LATE: usize> fmt::Debug for GroupMember<A, LATE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupMember")
            .field("group", &self.group)
            .field("floor", &self.floor)
            .field("current", &self.current)
            .field("late", &self.late)
            .finish()
    }
}
