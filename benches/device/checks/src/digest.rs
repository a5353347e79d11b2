use core::fmt;

use crate::Held;

/// FNV-1a of 32 bits, over numbers and text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest(pub(crate) u32);

impl Digest {
    pub(crate) const EMPTY: Self = Self(0x811c_9dc5);

    pub(crate) fn add(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = (self.0 ^ u32::from(*octet)).wrapping_mul(0x0100_0193);
        }
    }

    /// What held, of so many rows.
    pub(crate) fn held(self, rows: usize) -> Held {
        Held { rows, digest: self.0 }
    }
}

impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.add(text.as_bytes());
        Ok(())
    }
}
