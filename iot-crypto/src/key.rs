mod agreement;
mod signing;
mod thumbprint;

pub use agreement::{AgreementKey, AgreementSecret};
pub use signing::{Signature, Signer, SignerError, SigningKey, VerifyingKey};
pub use thumbprint::Thumbprint;

/// Why octets are not a usable key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The octets are not the encoding of a point on the curve (RFC 8032 §5.1.3).
    #[error("the octets do not encode a point of the curve")]
    NotAPoint,
    /// The point has a small order, so signatures under it, or secrets agreed with it, prove nothing.
    #[error("the key is a point of small order")]
    SmallOrder,
}
