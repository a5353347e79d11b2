use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use iot_codec::cbor;
use iot_core::limits::{LAST_SEQUENCE, OutOfRange};
use iot_core::{DeviceId, Position, Timestamp};
use rand_core::CryptoRng;
use zeroize::Zeroize as _;

use super::Group;
use super::epoch::{GroupEpoch, LAST_EPOCH, MemberSetHash};
use super::rekeying::{HISTORY, HISTORY_ENTRY_LEN, History, REKEYING, Rekeying};
#[cfg(iot_fault)]
use crate::fault::{Check, is_off};
use crate::{Heading, KeyBundle, MAX_READERS, MultiSealer, SealError, Sealer, Signer};

/// The authority of a group, its Group Manager: who is in, and the key of the epoch.
///
/// Whoever joins and whoever leaves begins a new epoch, with a secret that was drawn and follows from no other; so a
/// joiner reads nothing of before, unless it is [given](Self::seal_history), and a leaver nothing from then on. Members
/// trust it for both: it can admit whom it likes, and reads everything.
///
/// # Restarts
///
/// It saves nothing itself. The host stores, **before it sends the messages of an epoch, the number behind it**, and
/// [founds](Self::found) the group again from there with the bundles of its members. An epoch's number that is given to
/// two secrets would split the group.
#[derive(Debug)]
pub struct GroupManager {
    group: Group,
    limits: GroupLimits,
    epoch: GroupEpoch,
    /// By ascending identities.
    members: Vec<KeyBundle>,
    /// Latest first.
    history: VecDeque<GroupEpoch>,
}

/// How much a [`GroupManager`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupLimits {
    members: usize,
    history: usize,
}

impl GroupLimits {
    /// The most members that a group can be allowed.
    pub const MAX_MEMBERS: usize = 65_536;

    /// The most older epochs that can be kept.
    pub const MAX_HISTORY: usize = 256;

    /// How many members a group may have; one more is refused. Default: 1,024. Range: 1 to
    /// [`MAX_MEMBERS`](Self::MAX_MEMBERS).
    ///
    /// # Errors
    ///
    /// [`OutOfRange`].
    pub const fn members(mut self, count: usize) -> Result<Self, OutOfRange> {
        if count == 0 || count > Self::MAX_MEMBERS {
            return Err(OutOfRange { setting: "members", value: count as u64, min: 1, max: Self::MAX_MEMBERS as u64 });
        }
        self.members = count;
        Ok(self)
    }

    /// How many older epochs are kept to be given to joiners; the oldest is wiped. Default: 0. Range: up to
    /// [`MAX_HISTORY`](Self::MAX_HISTORY).
    ///
    /// # Errors
    ///
    /// [`OutOfRange`].
    pub const fn history(mut self, epochs: usize) -> Result<Self, OutOfRange> {
        if epochs > Self::MAX_HISTORY {
            let max = Self::MAX_HISTORY as u64;
            return Err(OutOfRange { setting: "history", value: epochs as u64, min: 0, max });
        }
        self.history = epochs;
        Ok(self)
    }
}

impl Default for GroupLimits {
    fn default() -> Self {
        Self { members: 1_024, history: 0 }
    }
}

/// Why the members of a group do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// There would be more members than the limit.
    #[error("{count} members are more than {max}")]
    TooMany {
        /// How many there would be.
        count: usize,
        /// How many may be.
        max: usize,
    },
    /// Who is to join is in, or is to join twice.
    #[error("{0} is a member already")]
    Member(DeviceId),
    /// Who is to leave is not in, or is to leave twice.
    #[error("{0} is not a member")]
    NoMember(DeviceId),
    /// There is no number for another epoch. Found another group.
    #[error("no number is left for another epoch")]
    Exhausted,
}

/// Why the manager seals nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RekeyingError {
    /// The heading is not the manager's.
    #[error("the heading names the source {found}")]
    OtherSource {
        /// Whom it names.
        found: DeviceId,
    },
    /// There are not enough sequence numbers for all messages.
    #[error("the sequence numbers do not suffice")]
    Exhausted,
    /// The reader is not a member.
    #[error("{0} is not a member")]
    NoMember(DeviceId),
    /// The older epochs are not all kept, or there are none in the range.
    #[error("the epochs {start}..{end} are not kept")]
    NotKept {
        /// The first epoch.
        start: u64,
        /// One past the last.
        end: u64,
    },
    /// A message could not be sealed; one expired bundle suffices. Renew the member's bundle, or let the member go.
    #[error("a message of the manager cannot be sealed")]
    Seal(#[from] SealError),
}

impl GroupManager {
    /// Founds a group with these members, in an epoch of this number, which is 0 or behind all that were ever used.
    ///
    /// # Errors
    ///
    /// [`MembershipError`].
    pub fn found(
        group: Group,
        limits: GroupLimits,
        epoch: u64,
        members: &[KeyBundle],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, MembershipError> {
        let members = changed(&[], members, &[], limits)?;
        if epoch > LAST_EPOCH {
            return Err(MembershipError::Exhausted);
        }
        let epoch = GroupEpoch::draw(epoch, hash(&members), rng);
        Ok(Self { group, limits, epoch, members, history: VecDeque::new() })
    }

    /// Lets members leave and others join, and begins a new epoch, whose number is returned. Who both leaves and joins
    /// stays, with the new bundle. With neither, the epoch alone is new.
    ///
    /// The new epoch holds when its [messages](Self::seal_epoch) have arrived: a publisher that has not yet entered it
    /// still writes for those who left.
    ///
    /// # Errors
    ///
    /// [`MembershipError`]; nothing has changed then.
    pub fn change(
        &mut self,
        joining: &[KeyBundle],
        leaving: &[DeviceId],
        rng: &mut impl CryptoRng,
    ) -> Result<u64, MembershipError> {
        let members = changed(&self.members, joining, leaving, self.limits)?;
        if self.epoch.number >= LAST_EPOCH {
            return Err(MembershipError::Exhausted);
        }
        let next = GroupEpoch::draw(self.epoch.number + 1, hash(&members), rng);
        #[cfg(iot_fault)]
        let next =
            if is_off(Check::EpochSecret) { GroupEpoch { secret: self.epoch.secret.clone(), ..next } } else { next };
        let passed = core::mem::replace(&mut self.epoch, next);
        self.history.push_front(passed);
        self.history.truncate(self.limits.history);
        self.members = members;
        Ok(self.epoch.number)
    }

    /// How many messages [`seal_epoch`](Self::seal_epoch) gives, and so how many sequence numbers it takes: one for
    /// each [`MAX_READERS`] members.
    pub fn message_count(&self) -> usize {
        self.members.len().div_ceil(MAX_READERS)
    }

    /// Seals the current epoch for all members, in as many messages as it takes. The first has the position of
    /// `heading`, each other the next one. Each member opens the one that is sealed to its key.
    ///
    /// # Errors
    ///
    /// [`RekeyingError`].
    pub fn seal_epoch(
        &self,
        signer: &impl Signer,
        heading: &Heading<'_>,
        at: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Vec<u8>>, RekeyingError> {
        self.check(heading, self.message_count())?;
        let payload = self.rekeying();
        let sealed = (heading.position.sequence..).zip(self.members.chunks(MAX_READERS)).map(|(sequence, readers)| {
            let heading = Heading { position: Position { sequence, ..heading.position }, ..*heading };
            MultiSealer::new(self.group.manager, signer, readers)?.seal(&heading, &payload.0, at, rng)
        });
        Ok(sealed.collect::<Result<_, SealError>>()?)
    }

    /// Seals the current epoch again for one member, who missed it or has lost it.
    ///
    /// # Errors
    ///
    /// [`RekeyingError`].
    pub fn seal_epoch_to(
        &self,
        member: &DeviceId,
        signer: &impl Signer,
        heading: &Heading<'_>,
        at: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, RekeyingError> {
        self.seal_to(member, &self.rekeying().0, signer, heading, at, rng)
    }

    /// Gives a member the keys of older epochs, of those that are [kept](GroupLimits::history), so that it can read
    /// what was written before it joined. This happens only here.
    ///
    /// # Errors
    ///
    /// [`RekeyingError`].
    pub fn seal_history(
        &self,
        member: &DeviceId,
        epochs: Range<u64>,
        signer: &impl Signer,
        heading: &Heading<'_>,
        at: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, RekeyingError> {
        let Range { start, end } = epochs;
        let mut entries = Wiped(Vec::with_capacity(self.history.len() * HISTORY_ENTRY_LEN));
        // The epochs that are kept have consecutive numbers, so as many as were asked for are those that were.
        let mut next = start;
        for epoch in self.history.iter().rev().filter(|epoch| (start..end).contains(&epoch.number)) {
            next += 1;
            entries.0.extend_from_slice(epoch.members.as_bytes());
            entries.0.extend_from_slice(&*epoch.secret);
        }
        if start >= end || next != end {
            return Err(RekeyingError::NotKept { start, end });
        }
        let record = History { kind: HISTORY, group: self.group.id.as_bytes(), first: start, epochs: &entries.0 };
        self.seal_to(member, &encoded(&record).0, signer, heading, at, rng)
    }

    /// The group.
    pub const fn group(&self) -> &Group {
        &self.group
    }

    /// The number of the current epoch.
    pub const fn epoch(&self) -> u64 {
        self.epoch.number
    }

    /// Who is in, by ascending identities.
    pub fn members(&self) -> &[KeyBundle] {
        &self.members
    }

    /// The hash of who is in.
    pub const fn member_set_hash(&self) -> MemberSetHash {
        self.epoch.members
    }

    /// The numbers of the older epochs that are kept, latest first.
    pub fn history(&self) -> impl Iterator<Item = u64> + '_ {
        self.history.iter().map(|epoch| epoch.number)
    }

    fn rekeying(&self) -> Wiped {
        encoded(&Rekeying {
            kind: REKEYING,
            group: self.group.id.as_bytes(),
            epoch: self.epoch.number,
            members: self.epoch.members.as_bytes(),
            secret: &self.epoch.secret,
        })
    }

    fn seal_to(
        &self,
        member: &DeviceId,
        payload: &[u8],
        signer: &impl Signer,
        heading: &Heading<'_>,
        at: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, RekeyingError> {
        self.check(heading, 1)?;
        let index = self.members.binary_search_by_key(member, KeyBundle::device);
        let reader = self.members[index.map_err(|_| RekeyingError::NoMember(*member))?];
        Ok(Sealer::new(self.group.manager, signer, reader).seal(heading, payload, at, rng)?)
    }

    fn check(&self, heading: &Heading<'_>, count: usize) -> Result<(), RekeyingError> {
        let Position { source: found, sequence, .. } = heading.position;
        if found != self.group.manager {
            return Err(RekeyingError::OtherSource { found });
        }
        let last = sequence.checked_add((count as u64).saturating_sub(1));
        if last.is_some_and(|last| last <= LAST_SEQUENCE) { Ok(()) } else { Err(RekeyingError::Exhausted) }
    }
}

/// Octets that hold secrets, wiped when they are dropped. They must not grow: what they leave behind is not wiped.
struct Wiped(Vec<u8>);

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

fn encoded(record: &impl cbor::Encode) -> Wiped {
    let mut octets = Wiped(vec![0; cbor::encoded_len(record)]);
    cbor::to_slice(record, &mut octets.0).expect("the buffer has the length of the record");
    octets
}

/// The members after a change, by ascending identities.
fn changed(
    members: &[KeyBundle],
    joining: &[KeyBundle],
    leaving: &[DeviceId],
    limits: GroupLimits,
) -> Result<Vec<KeyBundle>, MembershipError> {
    #[cfg(iot_fault)]
    let leaving = if is_off(Check::Removal) { &[] } else { leaving };
    let mut changed = members.to_vec();
    for leaver in leaving {
        let index = changed.binary_search_by_key(leaver, KeyBundle::device);
        changed.remove(index.map_err(|_| MembershipError::NoMember(*leaver))?);
    }
    let count = changed.len() + joining.len();
    if count > limits.members {
        return Err(MembershipError::TooMany { count, max: limits.members });
    }
    changed.extend_from_slice(joining);
    changed.sort_by_key(KeyBundle::device);
    let twice = changed.windows(2).find(|pair| pair[0].device() == pair[1].device());
    twice.map_or(Ok(()), |pair| Err(MembershipError::Member(pair[0].device())))?;
    Ok(changed)
}

fn hash(members: &[KeyBundle]) -> MemberSetHash {
    let members: Vec<_> = members.iter().map(KeyBundle::device).collect();
    MemberSetHash::of(&members).expect("the members are sorted and each is there once")
}
