use core::fmt;

/// Who a device, gateway or server is: the SHA-256 thumbprint (RFC 9679) of the first signing key that it ever had.
///
/// Rotating the key keeps the identifier. This crate does no hashing; `iot-crypto` computes thumbprints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId([u8; 32]);

impl DeviceId {
    /// Octets of an identifier.
    pub const LEN: usize = 32;

    /// Wraps the 32 octets of a thumbprint.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 octets of the thumbprint.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Which key is meant, on the wire: the first 8 octets of that key's own thumbprint (RFC 9679).
///
/// Two keys may share a `KeyId` by accident or by an attacker's work, so it selects a key and never proves one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// Octets of an identifier.
    pub const LEN: usize = 8;

    /// Wraps the first 8 octets of a key's thumbprint.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The 8 octets.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

/// One ordered feed of a source for one audience, so that another audience's messages never look like gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u32);

impl StreamId {
    /// Names the stream with this number; the source chooses it.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number of the stream.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// One unbroken run of a stream's counter: 8 random octets, drawn at provisioning and whenever the counter is in doubt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation([u8; 8]);

impl Incarnation {
    /// Octets of an incarnation.
    pub const LEN: usize = 8;

    /// Wraps 8 octets that the caller drew at random.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The 8 octets.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

macro_rules! hexadecimal {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            /// Lower-case hexadecimal, two digits an octet.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    )*};
}

hexadecimal!(DeviceId, KeyId, Incarnation);
