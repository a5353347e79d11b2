use core::fmt;

use crate::cbor::DecodeError;

/// A list of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum List {
    /// The topics.
    Topics,
    /// The channels.
    Channels,
    /// The units.
    Units,
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Topics => "topic",
            Self::Channels => "channel",
            Self::Units => "unit",
        })
    }
}

/// What a message names, and this end does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The writer has a later registry, or one that never was.
    #[error("version {version} of the registry is unknown: the latest is {latest}")]
    UnknownVersion {
        /// The version that was asked for.
        version: u32,
        /// The latest that is known.
        latest: u32,
    },
    /// The version has no such number.
    #[error("{list} {number} is not in version {version} of the registry")]
    UnknownNumber {
        /// Where it was looked up.
        list: List,
        /// The number that was asked for.
        number: u32,
        /// The version in which it was looked up.
        version: u32,
    },
}

/// Why lists are no registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The file is not deterministic CBOR, or not of the form of a registry.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// Versions begin at 1.
    #[error("a registry has no version 0")]
    NoVersion,
    /// A number does not sort behind the one before it.
    #[error("{list} {number} does not ascend")]
    Unsorted {
        /// The list that holds it.
        list: List,
        /// The number.
        number: u32,
    },
    /// Two numbers have one name.
    #[error("{list} {number} has the name of another")]
    DuplicateName {
        /// The list that holds it.
        list: List,
        /// The later number of the two.
        number: u32,
    },
    /// An entry of version 0, or of a version later than the registry's.
    #[error("{list} {number} claims to be there since version {since}")]
    WrongSince {
        /// The list that holds it.
        list: List,
        /// The number.
        number: u32,
        /// The version that it claims.
        since: u32,
    },
    /// A unit of one's own below [`Registry::OWN_UNITS`](super::Registry::OWN_UNITS).
    #[error("unit {number} is below {least}, where the units of senml are")]
    ReservedUnit {
        /// The number.
        number: u32,
        /// The least that is free.
        least: u32,
    },
    /// A channel in a unit that its version does not have.
    #[error("channel {number} is in unit {unit}, which is unknown")]
    UnknownUnit {
        /// The number of the channel.
        number: u32,
        /// The number of the unit.
        unit: u32,
    },
}
