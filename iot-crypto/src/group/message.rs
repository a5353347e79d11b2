use iot_codec::cbor::{Buffer, Cursor, DecodeError, Writer};
use iot_core::limits::LAST_SEQUENCE;

use super::GroupId;
use crate::aead::TAG_LEN;
use crate::stream::{MAX_CIPHERTEXT_LEN, PROTECTED, sequence_len_of, shortest};
use crate::{RoutingError, RoutingHeader, cose};

/// A message of a group, read but not opened: a routing header, and behind it an untagged `COSE_Encrypt0` whose headers
/// name the group and the epoch. `docs/formats/group.md` draws the octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupMessage<'b> {
    routing: RoutingHeader<'b>,
    group: GroupId,
    epoch: u64,
    routing_octets: &'b [u8],
    ciphertext: &'b [u8],
}

/// Why octets are not a message of a group. Each offset counts from the first octet behind the routing header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupFormError {
    /// The octets do not begin with a routing header.
    #[error("the routing header is malformed")]
    Routing(#[from] RoutingError),
    /// What follows is not deterministic CBOR.
    #[error("the structure is malformed")]
    Malformed(#[from] DecodeError),
    /// It has other headers than those of a message of a group.
    #[error("the structure has other headers at offset {offset}")]
    OtherHeaders {
        /// Where the header ends that is another.
        offset: usize,
    },
    /// A number is longer than it must be, so the same message could be written in two ways.
    #[error("the number before offset {offset} is longer than it must be")]
    NotShortest {
        /// Where it ends.
        offset: usize,
    },
    /// The partial IV is another number than the routing header's.
    #[error("the partial IV is {found}, not {sequence}")]
    OtherSequence {
        /// The partial IV.
        found: u64,
        /// What the routing header says.
        sequence: u64,
    },
    /// The sequence number is above [`LAST_SEQUENCE`], which no source uses.
    #[error("the sequence number is above the last one")]
    AboveLast,
    /// The ciphertext is shorter than a tag, or longer than any.
    #[error("the ciphertext has {len} octets, not {min} to {max}", min = TAG_LEN, max = MAX_CIPHERTEXT_LEN)]
    Length {
        /// Octets of the ciphertext.
        len: usize,
    },
}

impl<'b> GroupMessage<'b> {
    /// Reads a message that fills `octets`.
    ///
    /// # Errors
    ///
    /// [`GroupFormError`].
    pub fn parse(octets: &'b [u8]) -> Result<Self, GroupFormError> {
        let (routing, routing_len) = RoutingHeader::parse(octets)?;
        let (routing_octets, structure) = octets.split_at(routing_len);
        let mut cursor = Cursor::new(structure);
        let other_headers = |cursor: &Cursor<'_>| GroupFormError::OtherHeaders { offset: cursor.position() };
        if cursor.array()? != 3 || cursor.bytes()? != PROTECTED {
            return Err(other_headers(&cursor));
        }
        if cursor.map()? != 3 || cursor.unsigned()? != KID {
            return Err(other_headers(&cursor));
        }
        let epoch = number(&mut cursor)?;
        if cursor.unsigned()? != PARTIAL_IV {
            return Err(other_headers(&cursor));
        }
        let found = number(&mut cursor)?;
        if cursor.unsigned()? != KID_CONTEXT {
            return Err(other_headers(&cursor));
        }
        let group = cursor.bytes()?.try_into().map_err(|_| other_headers(&cursor))?;
        let ciphertext = cursor.bytes()?;
        cursor.finish()?;
        let sequence = routing.sequence;
        if found != sequence {
            return Err(GroupFormError::OtherSequence { found, sequence });
        }
        if sequence > LAST_SEQUENCE {
            return Err(GroupFormError::AboveLast);
        }
        if !(TAG_LEN..=MAX_CIPHERTEXT_LEN).contains(&ciphertext.len()) {
            return Err(GroupFormError::Length { len: ciphertext.len() });
        }
        Ok(Self { routing, group: GroupId::from_bytes(group), epoch, routing_octets, ciphertext })
    }

    /// What stands in clear before the ciphertext. It may lack the source and the topic.
    pub const fn routing(&self) -> &RoutingHeader<'b> {
        &self.routing
    }

    /// Which group it says it belongs to.
    pub const fn group(&self) -> GroupId {
        self.group
    }

    /// Which epoch it says it belongs to.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The ciphertext with the tag at its end.
    pub const fn ciphertext(&self) -> &'b [u8] {
        self.ciphertext
    }

    pub(super) const fn routing_len(&self) -> usize {
        self.routing_octets.len()
    }
}

fn number(cursor: &mut Cursor<'_>) -> Result<u64, GroupFormError> {
    let octets = cursor.bytes()?;
    let offset = cursor.position();
    if !matches!(octets.len(), 1..=8) {
        return Err(GroupFormError::OtherHeaders { offset });
    }
    shortest(octets).ok_or(GroupFormError::NotShortest { offset })
}

/// Octets of the structure in front of the ciphertext.
pub(super) const fn head_len(epoch: u64, sequence: u64, payload_len: usize) -> usize {
    let headers = 1 + (2 + sequence_len_of(epoch)) + (2 + sequence_len_of(sequence)) + (2 + GroupId::LEN);
    1 + (1 + PROTECTED.len()) + headers + cose::head_len(payload_len + TAG_LEN)
}

/// Writes what [`head_len`] counts to `head`, which has just that length.
pub(super) fn write_head(group: GroupId, epoch: u64, sequence: u64, payload_len: usize, head: &mut [u8]) {
    let mut writer = Writer::new(Buffer::new(head));
    let written = (|| {
        writer.array(3)?;
        writer.bytes(&PROTECTED)?;
        writer.map(3)?;
        writer.unsigned(KID)?;
        writer.bytes(&epoch.to_be_bytes()[8 - sequence_len_of(epoch)..])?;
        writer.unsigned(PARTIAL_IV)?;
        writer.bytes(&sequence.to_be_bytes()[8 - sequence_len_of(sequence)..])?;
        writer.unsigned(KID_CONTEXT)?;
        writer.bytes(group.as_bytes())?;
        writer.bytes_header((payload_len + TAG_LEN) as u64)
    })();
    written.expect("the head was measured");
}

/// Labels (RFC 9052 §3.1; RFC 8613 §5.1).
const KID: u64 = 4;
const PARTIAL_IV: u64 = 6;
const KID_CONTEXT: u64 = 10;
