use alloc::vec::Vec;

use argon2::Params;
use iot_codec::cbor::{Cursor, EncodeError, Writer};

use super::KeyFileError;

/// What it costs to try a password: the parameters of Argon2id (RFC 9106 §3.1).
///
/// Default: 64 MiB, 3 passes and 4 lanes, the second choice of RFC 9106 §4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFileCost {
    kibibytes: u32,
    passes: u32,
    lanes: u32,
}

/// Why a cost is not used. A number out of bounds is named with its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CostError {
    /// It would be too easy to try passwords.
    #[error("the cost of {kibibytes} KiB and {passes} passes is below {least_kibibytes} KiB and {least_passes}")]
    TooLittle {
        /// Memory.
        kibibytes: u32,
        /// Passes over it.
        passes: u32,
        /// The least memory.
        least_kibibytes: u32,
        /// The fewest passes.
        least_passes: u32,
    },
    /// Whoever wrote the file may want to exhaust this machine.
    #[error("the cost of {kibibytes} KiB, {passes} passes and {lanes} lanes is more than is allowed")]
    TooMuch {
        /// Memory.
        kibibytes: u32,
        /// Passes over it.
        passes: u32,
        /// Parts that can be computed side by side.
        lanes: u32,
    },
    /// There are no lanes, or less memory than 8 KiB for each (RFC 9106 §3.1).
    #[error("{lanes} lanes do not fit into {kibibytes} KiB")]
    Lanes {
        /// Memory.
        kibibytes: u32,
        /// Parts that can be computed side by side.
        lanes: u32,
    },
}

impl KeyFileCost {
    /// The least that is written or read: 19 MiB, 2 passes, 1 lane.
    pub const LEAST: Self = Self { kibibytes: 19 * 1024, passes: 2, lanes: 1 };

    /// The most that is read unless the caller allows less: 1 GiB, 16 passes, 16 lanes.
    pub const MOST: Self = Self { kibibytes: 1024 * 1024, passes: 16, lanes: 16 };

    /// So much memory in KiB, so many passes over it, and so many lanes, which are computed one after the other here.
    ///
    /// # Errors
    ///
    /// [`CostError`] below [`LEAST`](Self::LEAST) and above [`MOST`](Self::MOST).
    pub const fn new(kibibytes: u32, passes: u32, lanes: u32) -> Result<Self, CostError> {
        Self { kibibytes, passes, lanes }.within(&Self::LEAST, &Self::MOST)
    }

    pub(super) fn read(cursor: &mut Cursor<'_>, least: &Self, most: &Self) -> Result<Self, KeyFileError> {
        let mut number = || Ok::<_, KeyFileError>(u32::try_from(cursor.unsigned()?).unwrap_or(u32::MAX));
        let cost = Self { kibibytes: number()?, passes: number()?, lanes: number()? };
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Check::KeyFileCost) {
            return Ok(cost);
        }
        Ok(cost.within(least, most)?)
    }

    const fn within(self, least: &Self, most: &Self) -> Result<Self, CostError> {
        let Self { kibibytes, passes, lanes } = self;
        if kibibytes > most.kibibytes || passes > most.passes || lanes > most.lanes {
            return Err(CostError::TooMuch { kibibytes, passes, lanes });
        }
        if kibibytes < least.kibibytes || passes < least.passes {
            let (least_kibibytes, least_passes) = (least.kibibytes, least.passes);
            return Err(CostError::TooLittle { kibibytes, passes, least_kibibytes, least_passes });
        }
        if lanes == 0 || kibibytes / lanes < 8 {
            return Err(CostError::Lanes { kibibytes, lanes });
        }
        Ok(self)
    }

    pub(super) fn write(&self, writer: &mut Writer<Vec<u8>>) -> Result<(), EncodeError> {
        writer.unsigned(self.kibibytes.into())?;
        writer.unsigned(self.passes.into())?;
        writer.unsigned(self.lanes.into())
    }

    pub(super) fn params(&self) -> Params {
        Params::new(self.kibibytes, self.passes, self.lanes, Some(32)).expect("the bounds lie within Argon2's")
    }

    /// Memory, in KiB.
    pub const fn kibibytes(&self) -> u32 {
        self.kibibytes
    }

    /// Passes over the memory.
    pub const fn passes(&self) -> u32 {
        self.passes
    }

    /// Parts of the memory that could be computed side by side.
    pub const fn lanes(&self) -> u32 {
        self.lanes
    }

    /// A cost for tests that try many files.
    #[cfg(test)]
    pub(super) const fn trifle() -> Self {
        Self { kibibytes: 8, passes: 1, lanes: 1 }
    }
}

impl Default for KeyFileCost {
    fn default() -> Self {
        Self { kibibytes: 64 * 1024, passes: 3, lanes: 4 }
    }
}
