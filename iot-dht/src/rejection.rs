use iot_codec::record;

use crate::record::RecordError;

record! {
    /// Why a record, or a request to store one, was refused. The numbers are those of the wire.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    #[non_exhaustive]
    pub enum Rejection {
        /// The octets are not a record.
        0 => Malformed,
        /// It is larger than records may be.
        1 => TooLarge,
        /// It is a record of another owner or another name than the one that was asked for.
        2 => WrongKey,
        /// The signature is not its owner's.
        3 => Signature,
        /// Its expiry has passed.
        4 => Expired,
        /// Its expiry lies farther ahead than nodes keep records.
        5 => ExpiryTooFar,
        /// Its value is not the one that a signed index names.
        6 => WrongHash,
        /// A record with a higher sequence is known.
        7 => Superseded,
        /// A record with the same sequence and another value is known.
        8 => Conflict,
        /// The owner, or the subnet that it came from, has as many records or octets at this node as one may.
        9 => Quota,
        /// The store is full, and whoever brought the record has brought more than others, all of it closer to this node.
        10 => Full,
        /// The write token was not made by this node for this address, node and key within the last ten minutes.
        11 => Token,
        /// The record that it should replace is not the one that is stored.
        12 => Changed,
    }
}

impl Rejection {
    const COUNT: usize = 13;
}

impl From<&RecordError> for Rejection {
    fn from(error: &RecordError) -> Self {
        match error {
            RecordError::Structure(_) | RecordError::Body(_) | RecordError::Unsigned | RecordError::Key(_) => {
                Self::Malformed
            }
            RecordError::TooLarge { .. } => Self::TooLarge,
            RecordError::WrongKey => Self::WrongKey,
            RecordError::Signature => Self::Signature,
            RecordError::Expired { .. } => Self::Expired,
            RecordError::ExpiryTooFar { .. } => Self::ExpiryTooFar,
        }
    }
}

/// How often each [`Rejection`] happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejections([u64; Rejection::COUNT]);

impl Rejections {
    /// How often records were refused for this reason.
    pub fn count(&self, reason: Rejection) -> u64 {
        self.0[reason as usize]
    }

    /// How often records were refused.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn add(&mut self, reason: Rejection) {
        self.0[reason as usize] += 1;
    }
}
