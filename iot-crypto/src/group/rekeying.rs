use iot_codec::{cbor, record};
use iot_core::DeviceId;
use zeroize::Zeroizing;

use super::epoch::{GroupEpoch, LAST_EPOCH, MemberSetHash};
use super::{Group, GroupId};
use crate::{Audience, Proof, Verified};

/// Why a message of the group manager does not change what a member knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RekeyError {
    /// It is not signed.
    #[error("the message is not signed by its source")]
    NotSigned,
    /// Everybody can read it, so its secret is none.
    #[error("the message was written for everybody")]
    NotSecret,
    /// It is not the group manager's.
    #[error("the message is one of {found}, not of the group manager")]
    OtherManager {
        /// Whose it is.
        found: DeviceId,
    },
    /// It is about another group.
    #[error("the message is about group {found}")]
    OtherGroup {
        /// Which.
        found: GroupId,
    },
    /// It is not the record that was expected.
    #[error("the message is malformed")]
    Malformed(#[from] cbor::DecodeError),
    /// It is another kind of record than the one that was expected.
    #[error("the message is another kind of record")]
    OtherKind,
    /// The epoch is one that the member has, or an older one.
    #[error("epoch {epoch} is below {floor}")]
    OldEpoch {
        /// The epoch.
        epoch: u64,
        /// The lowest that would be accepted.
        floor: u64,
    },
    /// The number of the epoch is above [`LAST_EPOCH`].
    #[error("epoch {epoch} is above the last one")]
    AboveLast {
        /// The epoch.
        epoch: u64,
    },
    /// The older epochs have another length than whole ones, or there are none.
    #[error("the older epochs take {len} octets")]
    Length {
        /// How many they take.
        len: usize,
    },
    /// The member is in no epoch yet, so there are none before it.
    #[error("the member is in no epoch")]
    NoEpoch,
}

record! {
    pub(super) struct Rekeying<'b> {
        1 => pub(super) kind: &'b str,
        2 => pub(super) group: &'b [u8; GroupId::LEN],
        3 => pub(super) epoch: u64,
        4 => pub(super) members: &'b [u8; MemberSetHash::LEN],
        5 => pub(super) secret: &'b [u8; GroupEpoch::SECRET_LEN],
    }
}

record! {
    pub(super) struct History<'b> {
        1 => pub(super) kind: &'b str,
        2 => pub(super) group: &'b [u8; GroupId::LEN],
        3 => pub(super) first: u64,
        4 => pub(super) epochs: &'b [u8],
    }
}

pub(super) const REKEYING: &str = "iot group epoch 1";
pub(super) const HISTORY: &str = "iot group history 1";

/// Octets of an older epoch: the hash of its member set and its secret.
pub(super) const HISTORY_ENTRY_LEN: usize = MemberSetHash::LEN + GroupEpoch::SECRET_LEN;

/// The epoch that a message of the manager begins.
pub(super) fn read_rekeying(opened: &Verified<'_>, group: &Group) -> Result<GroupEpoch, RekeyError> {
    check_manager(opened, group)?;
    let body: Rekeying<'_> = cbor::from_slice(opened.payload())?;
    check_kind(body.kind, REKEYING, body.group, group)?;
    if body.epoch > LAST_EPOCH {
        return Err(RekeyError::AboveLast { epoch: body.epoch });
    }
    let members = MemberSetHash::from_bytes(*body.members);
    Ok(GroupEpoch { number: body.epoch, members, secret: Zeroizing::new(*body.secret) })
}

/// The older epochs that a message of the manager gives, latest first.
pub(super) fn read_history<'m>(
    opened: &Verified<'m>,
    group: &Group,
) -> Result<impl Iterator<Item = GroupEpoch> + use<'m>, RekeyError> {
    check_manager(opened, group)?;
    let body: History<'m> = cbor::from_slice(opened.payload())?;
    check_kind(body.kind, HISTORY, body.group, group)?;
    let len = body.epochs.len();
    if len == 0 || !len.is_multiple_of(HISTORY_ENTRY_LEN) {
        return Err(RekeyError::Length { len });
    }
    let first = body.first;
    let last = first.checked_add((len / HISTORY_ENTRY_LEN) as u64 - 1).filter(|last| *last <= LAST_EPOCH);
    let last = last.ok_or(RekeyError::AboveLast { epoch: first })?;
    Ok((first..=last).rev().zip(body.epochs.rchunks_exact(HISTORY_ENTRY_LEN)).map(|(number, entry)| {
        let mut members = [0; MemberSetHash::LEN];
        let mut secret = Zeroizing::new([0; GroupEpoch::SECRET_LEN]);
        let (of_members, of_secret) = entry.split_at(MemberSetHash::LEN);
        members.copy_from_slice(of_members);
        secret.copy_from_slice(of_secret);
        GroupEpoch { number, members: MemberSetHash::from_bytes(members), secret }
    }))
}

fn check_manager(opened: &Verified<'_>, group: &Group) -> Result<(), RekeyError> {
    if opened.proof() != Proof::Signature {
        return Err(RekeyError::NotSigned);
    }
    if opened.audience() == Audience::Everybody {
        return Err(RekeyError::NotSecret);
    }
    let found = opened.position().source;
    if found == group.manager { Ok(()) } else { Err(RekeyError::OtherManager { found }) }
}

fn check_kind(kind: &str, expected: &str, found: &[u8; GroupId::LEN], group: &Group) -> Result<(), RekeyError> {
    if kind != expected {
        return Err(RekeyError::OtherKind);
    }
    let found = GroupId::from_bytes(*found);
    if found == group.id { Ok(()) } else { Err(RekeyError::OtherGroup { found }) }
}
