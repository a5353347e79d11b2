mod extend;
mod known;

use iot_codec::cbor::{Buffer, Cursor, DecodeError, Writer, from_slice};
use iot_codec::record;
use iot_core::DeviceId;

use crate::cose::{CoseError, Sign1, VerifyError};
use crate::{KeyError, SignatureError, Thumbprint, VerifyingKey};

pub use extend::{ExtendError, UnsignedLink};
pub use known::{Commitment, FollowError, KnownDevice, RestoreKnownDeviceError};

/// How a device came from the key that is its identity to the key with which it signs now: a chain of links, each
/// signed by a key over its successor, every one of them verified.
///
/// A link names the next key and the thumbprint of the one after it. Only the holder of a key that was committed to can
/// continue the chain, so who steals the key in use cannot rotate to one of their own; `docs/formats/keys.md` says what
/// that defends and what not. The chain borrows its octets and stands beside what the current key has signed.
///
/// ```cddl
/// succession = [first: bstr, 1*4 link]
/// link = COSE_Sign1   ; by the key before, over {1: bstr, 2: bstr .size 32}: a key, and the thumbprint of the next
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Succession<'b> {
    chain: UnverifiedSuccession<'b>,
}

/// A chain whose keys are the ones that were committed to, but whose signatures nobody has verified yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnverifiedSuccession<'b> {
    octets: &'b [u8],
    rotations: usize,
    device: DeviceId,
    current: VerifyingKey,
    announced: Thumbprint,
}

/// Why octets are not the succession of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SuccessionError {
    /// They are longer than any succession.
    #[error("the succession has {len} octets, more than {max}", max = Succession::MAX_LEN)]
    TooLong {
        /// How many they are.
        len: usize,
    },
    /// They, or what a link says, are malformed.
    #[error("the succession is malformed")]
    Malformed(#[from] DecodeError),
    /// There is no link, or there are more than [`Succession::MAX_ROTATIONS`].
    #[error("the succession has {count} links")]
    Links {
        /// How many there are.
        count: usize,
    },
    /// A link is not a `COSE_Sign1`.
    #[error("a link of the succession is not a signed structure")]
    Cose(#[from] CoseError),
    /// A link has a tag or headers that its signature does not cover.
    #[error("a link of the succession has unsigned headers")]
    Unsigned,
    /// A key in it is not usable.
    #[error("a key of the succession is not usable")]
    Key(#[from] KeyError),
    /// A link names another key than the link before committed to.
    #[error("the link {index} names a key that was not committed to")]
    NotCommitted {
        /// Which link; the first is 1.
        index: usize,
    },
    /// A link names a key that was in use before, and may be a thief's by now.
    #[error("the link {index} names a key that is retired")]
    Retired {
        /// Which link; the first is 1.
        index: usize,
    },
    /// A link is not signed by the key before it.
    #[error("the link {index} is not signed by the key before it")]
    Signature {
        /// Which link; the first is 1.
        index: usize,
        /// What is wrong with it.
        source: SignatureError,
    },
    /// It belongs to another device than the one that was asked for.
    #[error("the succession belongs to {found}")]
    OtherDevice {
        /// To whom it belongs.
        found: DeviceId,
    },
}

record! {
    struct Body<'b> {
        1 => key: &'b [u8],
        2 => commitment: [u8; 32],
    }
}

impl<'b> UnverifiedSuccession<'b> {
    /// Reads a chain that fills `octets`, and checks that each key is the one that was committed to.
    ///
    /// # Errors
    ///
    /// [`SuccessionError`], but not [`SuccessionError::Signature`].
    pub fn parse(octets: &'b [u8]) -> Result<Self, SuccessionError> {
        let mut links = Links::open(octets)?;
        let rotations = links.remaining;
        let device = links.signer.device_id();
        let mut seen = [links.signer.thumbprint(); 1 + Succession::MAX_ROTATIONS];
        let mut announced = None;
        while let Some(link) = links.next()? {
            let thumbprint = link.key.thumbprint();
            if announced.is_some_and(|committed| !is_kept(&committed, &thumbprint)) {
                return Err(SuccessionError::NotCommitted { index: link.index });
            }
            if seen[..link.index].contains(&thumbprint) {
                return Err(SuccessionError::Retired { index: link.index });
            }
            seen[link.index] = thumbprint;
            announced = Some(link.commitment);
        }
        let announced = announced.ok_or(SuccessionError::Links { count: 0 })?;
        Ok(Self { octets, rotations, device, current: links.signer, announced })
    }

    /// Verifies the signature of every link: at most [`Succession::MAX_ROTATIONS`].
    ///
    /// # Errors
    ///
    /// [`SuccessionError::Signature`].
    pub fn verify(self) -> Result<Succession<'b>, SuccessionError> {
        let mut links = Links::open(self.octets)?;
        let mut signer = links.signer;
        while let Some(link) = links.next()? {
            let external = External::new(&self.device, link.index);
            let mut scratch = [0; TO_BE_SIGNED_LEN];
            link.signed.verify(&signer, external.as_bytes(), &mut scratch).map_err(|refused| match refused {
                VerifyError::Signature(source) => SuccessionError::Signature { index: link.index, source },
                VerifyError::Buffer(_) => SuccessionError::TooLong { len: self.octets.len() },
            })?;
            signer = link.key;
        }
        Ok(Succession { chain: self })
    }

    /// Whose succession it claims to be.
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// The last key that it names.
    pub const fn current_key(&self) -> &VerifyingKey {
        &self.current
    }
}

impl<'b> Succession<'b> {
    /// The most links of a chain: how often a device can rotate before it needs a new identity.
    pub const MAX_ROTATIONS: usize = 4;

    /// Octets of the longest chain.
    pub const MAX_LEN: usize = 1 + (2 + VerifyingKey::MAX_LEN) + Self::MAX_ROTATIONS * MAX_LINK_LEN;

    /// Reads and verifies the chain of `device` that fills `octets`.
    ///
    /// # Errors
    ///
    /// [`SuccessionError`].
    pub fn verify(octets: &'b [u8], device: &DeviceId) -> Result<Self, SuccessionError> {
        let chain = UnverifiedSuccession::parse(octets)?;
        if chain.device() != *device {
            return Err(SuccessionError::OtherDevice { found: chain.device() });
        }
        chain.verify()
    }

    /// Whose succession it is: the thumbprint of the first key.
    pub const fn device(&self) -> DeviceId {
        self.chain.device
    }

    /// The key with which the device signs.
    pub const fn current_key(&self) -> &VerifyingKey {
        &self.chain.current
    }

    /// How many links there are.
    pub const fn rotations(&self) -> usize {
        self.chain.rotations
    }

    /// The thumbprint of the key that comes after the current one, as the key before the current one says.
    ///
    /// It is worth the more when the current key says so, too: in a [`KeyBundle`](crate::KeyBundle).
    pub const fn announced(&self) -> Thumbprint {
        self.chain.announced
    }

    /// The octets of the chain.
    pub const fn as_bytes(&self) -> &'b [u8] {
        self.chain.octets
    }

    /// The key after `rotations` links: the first key after none.
    fn key_after(&self, rotations: usize) -> Option<VerifyingKey> {
        let mut links = Links::open(self.chain.octets).ok()?;
        for _ in 0..rotations {
            links.next().ok()??;
        }
        Some(links.signer)
    }
}

/// Whether `found` is what was committed to.
fn is_kept(committed: &Thumbprint, found: &Thumbprint) -> bool {
    #[cfg(iot_fault)]
    if crate::fault::is_off(crate::fault::Check::Commitment) {
        return true;
    }
    committed == found
}

/// The links of a chain, one after the other.
struct Links<'b> {
    cursor: Cursor<'b>,
    remaining: usize,
    index: usize,
    /// The key that the link before named, or the first key.
    signer: VerifyingKey,
}

struct Link<'b> {
    index: usize,
    signed: Sign1<'b>,
    key: VerifyingKey,
    commitment: Thumbprint,
}

impl<'b> Links<'b> {
    fn open(octets: &'b [u8]) -> Result<Self, SuccessionError> {
        if octets.len() > Succession::MAX_LEN {
            return Err(SuccessionError::TooLong { len: octets.len() });
        }
        let mut cursor = Cursor::new(octets);
        let count = cursor.array()?.saturating_sub(1);
        if !(1..=Succession::MAX_ROTATIONS).contains(&count) {
            return Err(SuccessionError::Links { count });
        }
        let signer = VerifyingKey::from_bytes(cursor.bytes()?)?;
        Ok(Self { cursor, remaining: count, index: 0, signer })
    }

    fn next(&mut self) -> Result<Option<Link<'b>>, SuccessionError> {
        if self.remaining == 0 {
            return self.cursor.clone().finish().map(|()| None).map_err(SuccessionError::from);
        }
        let item = self.cursor.raw_item()?;
        check_bare(item.cursor())?;
        let signed = Sign1::parse(item.as_bytes())?;
        let body: Body<'_> = from_slice(signed.unverified_payload())?;
        let key = VerifyingKey::from_bytes(body.key)?;
        self.remaining -= 1;
        self.index += 1;
        self.signer = key;
        Ok(Some(Link { index: self.index, signed, key, commitment: Thumbprint::from_bytes(body.commitment) }))
    }
}

/// Refuses what a signature does not cover, so that a link has one form.
fn check_bare(mut link: Cursor<'_>) -> Result<(), SuccessionError> {
    link.array().map_err(|_| SuccessionError::Unsigned)?;
    link.bytes()?;
    if link.map()? == 0 { Ok(()) } else { Err(SuccessionError::Unsigned) }
}

/// The external data of a link's signature: `["iot succession 1", device, index]`.
struct External {
    octets: [u8; Self::MAX_LEN],
    len: usize,
}

impl External {
    const MAX_LEN: usize = 1 + (1 + CONTEXT.len()) + (2 + DeviceId::LEN) + 9;

    fn new(device: &DeviceId, index: usize) -> Self {
        let mut octets = [0; Self::MAX_LEN];
        let mut writer = Writer::new(Buffer::new(&mut octets));
        let written = (|| {
            writer.array(3)?;
            writer.text(CONTEXT)?;
            writer.bytes(device.as_bytes())?;
            writer.unsigned(index as u64)
        })();
        written.expect("the array has room for the longest index");
        let len = writer.into_output().len();
        Self { octets, len }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

const CONTEXT: &str = "iot succession 1";

/// Octets of a link's body: a map of the longest key and a thumbprint.
const MAX_BODY_LEN: usize = 1 + (1 + 2 + VerifyingKey::MAX_LEN) + (1 + 2 + Thumbprint::LEN);

/// Octets of the longest link.
const MAX_LINK_LEN: usize = crate::cose::sign1_len(MAX_BODY_LEN);

/// Octets of what a link's signature covers.
const TO_BE_SIGNED_LEN: usize = Sign1::buffer_len(MAX_BODY_LEN, External::MAX_LEN) - MAX_LINK_LEN;

#[cfg(test)]
mod tests;
