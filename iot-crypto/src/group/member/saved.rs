use core::marker::PhantomData;

use iot_codec::cbor::{self, Buffer, Cursor, Writer};
use iot_codec::record;
use iot_core::DeviceId;
use zeroize::Zeroizing;

use super::super::epoch::{GroupEpoch, MemberSetHash};
use super::super::{Group, GroupId};
use super::GroupMember;
use crate::BufferTooSmall;
use crate::stream::Aead;

/// Why octets are not a saved member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreMemberError {
    /// They are not the record of one.
    #[error("the saved member is malformed")]
    Malformed(#[from] cbor::DecodeError),
    /// It was saved for another group.
    #[error("the saved member is one of group {found}")]
    OtherGroup {
        /// Which.
        found: GroupId,
    },
    /// The epochs do not descend, or are not below the floor.
    #[error("epoch {epoch} is not below the one before it")]
    Order {
        /// The epoch.
        epoch: u64,
    },
}

record! {
    struct SavedEpoch<'b> {
        1 => number: u64,
        2 => members: &'b [u8; MemberSetHash::LEN],
        3 => secret: &'b [u8; GroupEpoch::SECRET_LEN],
    }
}

record! {
    struct Head<'b> {
        1 => manager: &'b [u8; DeviceId::LEN],
        2 => group: &'b [u8; GroupId::LEN],
        3 => floor: u64,
    }
}

impl<A: Aead, const LATE: usize> GroupMember<A, LATE> {
    /// Octets that [`save_into`](Self::save_into) needs at most.
    pub const MAX_SAVED_LEN: usize = 5 + (1 + 35 + 10 + 10) + (1 + LATE) * (1 + 10 + 35 + 35);

    /// Writes all that must survive a restart to the front of `buffer`, of which [`MAX_SAVED_LEN`](Self::MAX_SAVED_LEN)
    /// octets suffice, and returns how many they are. They are as secret as a key.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn save_into(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let buffer = BufferTooSmall::check(buffer, Self::MAX_SAVED_LEN)?;
        let mut writer = Writer::new(Buffer::new(buffer));
        let epochs = || self.current.iter().chain(self.late.iter().flatten());
        let head = Head { manager: self.group.manager.as_bytes(), group: self.group.id.as_bytes(), floor: self.floor };
        let written = (|| {
            writer.array(1 + epochs().count() as u64)?;
            cbor::Encode::encode(&head, &mut writer)?;
            epochs().try_for_each(|epoch| {
                let (number, members) = (epoch.number, epoch.members.as_bytes());
                cbor::Encode::encode(&SavedEpoch { number, members, secret: &epoch.secret }, &mut writer)
            })
        })();
        written.expect("the buffer has the length of the longest record");
        Ok(writer.into_output().len())
    }

    /// Puts back what was saved. Where fewer epochs are kept than were saved, the oldest go.
    ///
    /// # Errors
    ///
    /// [`RestoreMemberError`].
    pub fn restore(group: Group, saved: &[u8]) -> Result<Self, RestoreMemberError> {
        let mut cursor = Cursor::new(saved);
        let count = cursor.array()?;
        if count == 0 {
            return Err(cursor.error(cbor::DecodeErrorKind::InvalidValue).into());
        }
        let head: Head<'_> = cbor::Decode::decode(&mut cursor)?;
        let found = Group { manager: DeviceId::from_bytes(*head.manager), id: GroupId::from_bytes(*head.group) };
        if found != group {
            return Err(RestoreMemberError::OtherGroup { found: found.id });
        }
        let mut member =
            Self { group, floor: head.floor, current: None, late: [const { None }; LATE], aead: PhantomData };
        let mut below = head.floor;
        for index in 1..count {
            let saved: SavedEpoch<'_> = cbor::Decode::decode(&mut cursor)?;
            let epoch = saved.number;
            if epoch >= below {
                return Err(RestoreMemberError::Order { epoch });
            }
            below = epoch;
            let restored = GroupEpoch {
                number: epoch,
                members: MemberSetHash::from_bytes(*saved.members),
                secret: Zeroizing::new(*saved.secret),
            };
            match index.checked_sub(2) {
                None => member.current = Some(restored),
                Some(late) => {
                    if let Some(slot) = member.late.get_mut(late) {
                        *slot = Some(restored);
                    }
                }
            }
        }
        cursor.finish()?;
        Ok(member)
    }
}
