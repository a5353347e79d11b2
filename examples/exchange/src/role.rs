//! Which end.

use std::fmt;

/// Which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It sends readings, and obeys commands.
    #[default]
    Device,
    /// It takes readings, and sends commands.
    Receiver,
}

impl Role {
    /// What this end writes about.
    pub const fn topic(self) -> &'static str {
        match self {
            Self::Device => "readings",
            Self::Receiver => "commands",
        }
    }

    /// The other end.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Device => Self::Receiver,
            Self::Receiver => Self::Device,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Device { "device" } else { "receiver" })
    }
}
