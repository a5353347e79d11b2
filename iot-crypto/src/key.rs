mod agreement;
mod cose_key;
#[cfg(feature = "es256")]
mod es256;
mod signing;
mod thumbprint;
mod verifying;
#[cfg(test)]
mod wycheproof;
#[cfg(feature = "x-wing")]
mod x_wing;

pub use agreement::{Agreed, AgreedSecret, Agreement, AgreementError, AgreementKey, AgreementSecret};
pub(crate) use agreement::{ReceiveError, receive};
pub use cose_key::{CoseKey, CoseKeyError, CoseKeySet, KeyKind, Operation};
#[cfg(feature = "es256")]
pub use es256::P256SigningKey;
pub use signing::{Signer, SignerError, SigningKey};
pub use thumbprint::Thumbprint;
pub use verifying::{Signature, VerifyingKey};
#[cfg(feature = "x-wing")]
pub use x_wing::{XWingKey, XWingSecret};

/// Why octets are not a usable key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// They are more or fewer than any key has.
    #[error("no key has {len} octets")]
    Length {
        /// How many they are.
        len: usize,
    },
    /// They are a key of an algorithm that needs a feature of this crate that is off.
    #[error("keys of the algorithm {algorithm} are not supported")]
    Unsupported {
        /// The COSE number of the algorithm.
        algorithm: i64,
    },
    /// The octets are not the encoding of a point on the curve (RFC 8032 §5.1.3, SEC 1 §2.3.4).
    #[error("the octets do not encode a point of the curve")]
    NotAPoint,
    /// The point has a small order, so signatures under it, or secrets agreed with it, prove nothing.
    #[error("the key is a point of small order")]
    SmallOrder,
    /// The secret is zero or not below the order of the group (SEC 1 §3.2.1).
    #[error("the secret is no scalar of the group")]
    NotAScalar,
}
