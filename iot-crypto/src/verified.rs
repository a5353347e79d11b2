use core::fmt;

use iot_core::{Freshness, KeyId, Position};

use crate::Heading;

/// A message that was opened, with its proof. Only [`Opener::open`](crate::Opener::open), the openers of
/// [streams](crate::stream) and the [signed batches](crate::group::SignedBatch) of groups make one.
///
/// It says that the source wrote this payload, for this reader, under this topic and at this position, and that it was
/// not accepted before. [`proof`](Self::proof) says how that is known.
#[derive(Clone, Copy)]
pub struct Verified<'m> {
    pub(crate) payload: &'m [u8],
    pub(crate) heading: Heading<'m>,
    pub(crate) key: KeyId,
    pub(crate) proof: Proof,
    pub(crate) freshness: Freshness,
    pub(crate) audience: Audience,
}

/// For whom the source wrote a message. All of it was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Audience {
    /// For this reader alone.
    Reader,
    /// For several readers, of whom this one is one.
    Readers,
    /// For everybody: it was signed and not sealed, so others can read it and pass it on.
    Everybody,
}

/// What proves who wrote a message.
///
/// Ordered by strength, so that a policy reads `proof >= Proof::Signature`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Proof {
    /// A key that only the source and this reader have, so that the reader knows who wrote it and cannot show it to
    /// others.
    PairwiseKey,
    /// A signature by the source's key, which the reader can show to others.
    Signature,
}

impl<'m> Verified<'m> {
    /// What the source wrote.
    pub const fn payload(&self) -> &'m [u8] {
        self.payload
    }

    /// The topic and the position.
    pub const fn heading(&self) -> &Heading<'m> {
        &self.heading
    }

    /// Where the message stands.
    pub const fn position(&self) -> &Position {
        &self.heading.position
    }

    /// The key that signed it, or the opening of its stream.
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// What proves who wrote it.
    pub const fn proof(&self) -> Proof {
        self.proof
    }

    /// For whom the source wrote it.
    pub const fn audience(&self) -> Audience {
        self.audience
    }

    /// Whether the source has proved that its positions are current.
    pub const fn freshness(&self) -> Freshness {
        self.freshness
    }
}

impl fmt::Debug for Verified<'_> {
    /// Without the payload, which may be the secret of a stream or of a group.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("heading", &self.heading)
            .field("key", &self.key)
            .field("proof", &self.proof)
            .field("freshness", &self.freshness)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}
