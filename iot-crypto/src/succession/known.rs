use iot_codec::cbor::{DecodeError, encoded_len, from_slice, to_slice};
use iot_codec::record;
use iot_core::DeviceId;

use super::{Succession, is_kept};
use crate::{BufferTooSmall, KeyBundle, KeyError, Thumbprint, VerifyingKey};

/// What a verifier remembers of a device, so that it notices who is not the device any more: the key in use, and to
/// which key it committed.
///
/// Small, and to be stored: [`encode`](Self::encode) and [`decode`](Self::decode). Whoever can change the stored octets
/// can change whom the verifier believes.
///
/// - [`meet`](Self::meet) with a first bundle, which is believed for what it commits to.
/// - [`follow`](Self::follow) the succession when the device has rotated. A fork is refused: a link after the current
///   key that names another key than the one that was committed to.
/// - [`accept`](Self::accept) each later bundle: an older one is refused, one that commits otherwise, and one that says
///   something else under the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownDevice {
    device: DeviceId,
    key: VerifyingKey,
    rotations: usize,
    commitment: Commitment,
    bundle_sequence: u64,
    /// What the bundle of that number says; nothing before there was one.
    bundle_digest: Option<[u8; 32]>,
}

/// What a verifier knows of the key that will come after the one in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commitment {
    /// Nothing: whoever holds the key in use can rotate to any key.
    Unknown,
    /// The key before the one in use named it. A bundle by the key in use confirms it or is refused.
    Announced(Thumbprint),
    /// The key in use committed to it. No later word changes that.
    Confirmed(Thumbprint),
}

/// Why a succession or a bundle is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// It belongs to another device.
    #[error("it belongs to {found}")]
    OtherDevice {
        /// To whom it belongs.
        found: DeviceId,
    },
    /// It ends before what is known: an old copy, from which nothing is learnt.
    #[error("it tells of {found} rotations where {known} are known")]
    Behind {
        /// Rotations of which it tells.
        found: usize,
        /// Rotations that are known.
        known: usize,
    },
    /// The bundle is signed by a later key than the known one: follow the succession first.
    #[error("it tells of {found} rotations, and {known} are known so far")]
    Ahead {
        /// Rotations of which it tells.
        found: usize,
        /// Rotations that are known.
        known: usize,
    },
    /// The key after so many rotations is another one than is known or was committed to. One of the two is a thief's
    /// work, so a person should look.
    #[error("after {rotations} rotations it leaves the known succession")]
    Fork {
        /// Where it leaves.
        rotations: usize,
    },
    /// It commits to another next key than the known one. One of the two is a thief's work, so a person should look.
    #[error("it commits to another next key than before")]
    OtherCommitment,
    /// A later bundle by the same key was accepted before.
    #[error("the bundle {found} is older than the bundle {known}")]
    OlderBundle {
        /// Its number.
        found: u64,
        /// The number that is known.
        known: u64,
    },
    /// Another bundle by the same key with the same number was accepted before: the key signed both. Either its holder
    /// lost count or it has two holders, so a person should look.
    #[error("another bundle with the number {sequence} was accepted before")]
    Equivocation {
        /// The number of both.
        sequence: u64,
    },
}

record! {
    struct State<'b> {
        1 => device: [u8; 32],
        2 => key: &'b [u8],
        3 => rotations: u8,
        4 => bundle_sequence: u64,
        5 => announced: Option<[u8; 32]>,
        6 => confirmed: Option<[u8; 32]>,
        7 => bundle_digest: Option<[u8; 32]>,
    }
}

/// Why octets are not the stored state of a [`KnownDevice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreKnownDeviceError {
    /// They are malformed.
    #[error("the state is malformed")]
    Malformed(#[from] DecodeError),
    /// The key is not usable.
    #[error("the key of the state is not usable")]
    Key(#[from] KeyError),
    /// Its parts do not fit each other.
    #[error("the state contradicts itself")]
    Contradiction,
}

impl KnownDevice {
    /// Octets of the longest state.
    pub const MAX_LEN: usize =
        1 + (3 + DeviceId::LEN) + (3 + VerifyingKey::MAX_LEN) + 2 + 10 + (3 + Thumbprint::LEN) + (3 + 32);

    /// Begins with a bundle, verified: believes the key and what it commits to.
    ///
    /// After rotations, give the succession with which the bundle was verified to [`follow`](Self::follow) later, not
    /// here: the bundle has all of it that counts.
    pub fn meet(bundle: &KeyBundle) -> Self {
        Self {
            device: bundle.device(),
            key: *bundle.verifying_key(),
            rotations: bundle.rotations(),
            commitment: bundle.commitment().map_or(Commitment::Unknown, Commitment::Confirmed),
            bundle_sequence: bundle.sequence(),
            bundle_digest: Some(*bundle.digest()),
        }
    }

    /// Follows a succession to its current key. One that leads just to the known key changes nothing but an
    /// unconfirmed commitment.
    ///
    /// # Errors
    ///
    /// [`FollowError`]; the state is then as it was.
    pub fn follow(&mut self, succession: &Succession<'_>) -> Result<(), FollowError> {
        let (found, known) = (succession.rotations(), self.rotations);
        self.check_device(succession.device())?;
        if found < known {
            return Err(FollowError::Behind { found, known });
        }
        if succession.key_after(known) != Some(self.key) {
            return Err(FollowError::Fork { rotations: known });
        }
        if found == known {
            return self.note_announcement(succession.announced());
        }
        let next = succession.key_after(known + 1).map(|key| key.thumbprint());
        let is_expected = match self.commitment {
            Commitment::Confirmed(committed) => next.is_some_and(|next| is_kept(&committed, &next)),
            Commitment::Announced(_) | Commitment::Unknown => true,
        };
        if !is_expected {
            return Err(FollowError::Fork { rotations: known + 1 });
        }
        self.key = *succession.current_key();
        self.rotations = found;
        self.commitment = Commitment::Announced(succession.announced());
        // Each key numbers its own bundles, so that a thief of an old one cannot use up the numbers of the new.
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Check::BundleNumbers) {
            return Ok(());
        }
        self.bundle_sequence = 0;
        self.bundle_digest = None;
        Ok(())
    }

    /// Checks a bundle, verified, against what is known, and remembers its number and to what it commits.
    ///
    /// # Errors
    ///
    /// [`FollowError`]; the state is then as it was.
    pub fn accept(&mut self, bundle: &KeyBundle) -> Result<(), FollowError> {
        let (found, known) = (bundle.rotations(), self.rotations);
        self.check_device(bundle.device())?;
        if found < known {
            return Err(FollowError::Behind { found, known });
        }
        if found > known {
            return Err(FollowError::Ahead { found, known });
        }
        if *bundle.verifying_key() != self.key {
            return Err(FollowError::Fork { rotations: known });
        }
        if bundle.sequence() < self.bundle_sequence {
            return Err(FollowError::OlderBundle { found: bundle.sequence(), known: self.bundle_sequence });
        }
        let same_number = self.bundle_digest.filter(|_| bundle.sequence() == self.bundle_sequence);
        let is_another = same_number.is_some_and(|digest| digest != *bundle.digest());
        #[cfg(iot_fault)]
        let is_another = is_another && !crate::fault::is_off(crate::fault::Check::BundleDigest);
        if is_another {
            return Err(FollowError::Equivocation { sequence: bundle.sequence() });
        }
        if let Some(commitment) = bundle.commitment() {
            match self.commitment {
                Commitment::Announced(known) | Commitment::Confirmed(known) if known != commitment => {
                    return Err(FollowError::OtherCommitment);
                }
                _ => self.commitment = Commitment::Confirmed(commitment),
            }
        }
        self.bundle_sequence = bundle.sequence();
        self.bundle_digest = Some(*bundle.digest());
        Ok(())
    }

    /// Writes the state to the front of `buffer` and returns the number of its octets, at most
    /// [`MAX_LEN`](Self::MAX_LEN).
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let (announced, confirmed) = match self.commitment {
            Commitment::Unknown => (None, None),
            Commitment::Announced(thumbprint) => (Some(*thumbprint.as_bytes()), None),
            Commitment::Confirmed(thumbprint) => (None, Some(*thumbprint.as_bytes())),
        };
        let state = State {
            device: *self.device.as_bytes(),
            key: self.key.as_bytes(),
            rotations: self.rotations as u8,
            bundle_sequence: self.bundle_sequence,
            announced,
            confirmed,
            bundle_digest: self.bundle_digest,
        };
        let needed = encoded_len(&state);
        let buffer = BufferTooSmall::check(buffer, needed)?;
        to_slice(&state, buffer).expect("the buffer has the length of the state");
        Ok(needed)
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    ///
    /// [`RestoreKnownDeviceError`].
    pub fn decode(octets: &[u8]) -> Result<Self, RestoreKnownDeviceError> {
        let state: State<'_> = from_slice(octets)?;
        let device = DeviceId::from_bytes(state.device);
        let key = VerifyingKey::from_bytes(state.key)?;
        let rotations = usize::from(state.rotations);
        let commitment = match (state.announced, state.confirmed) {
            (None, None) => Commitment::Unknown,
            (Some(announced), None) => Commitment::Announced(Thumbprint::from_bytes(announced)),
            (None, Some(confirmed)) => Commitment::Confirmed(Thumbprint::from_bytes(confirmed)),
            (Some(_), Some(_)) => return Err(RestoreKnownDeviceError::Contradiction),
        };
        if rotations > Succession::MAX_ROTATIONS || (rotations == 0) != (key.device_id() == device) {
            return Err(RestoreKnownDeviceError::Contradiction);
        }
        let State { bundle_sequence, bundle_digest, .. } = state;
        Ok(Self { device, key, rotations, commitment, bundle_sequence, bundle_digest })
    }

    /// Which device it is.
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// The key with which it signs now.
    pub const fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// How often it has rotated.
    pub const fn rotations(&self) -> usize {
        self.rotations
    }

    /// What is known of the key that comes next.
    pub const fn commitment(&self) -> Commitment {
        self.commitment
    }

    fn check_device(&self, found: DeviceId) -> Result<(), FollowError> {
        if found == self.device { Ok(()) } else { Err(FollowError::OtherDevice { found }) }
    }

    fn note_announcement(&mut self, announced: Thumbprint) -> Result<(), FollowError> {
        match self.commitment {
            Commitment::Confirmed(known) if known != announced => Err(FollowError::OtherCommitment),
            Commitment::Confirmed(_) => Ok(()),
            Commitment::Announced(_) | Commitment::Unknown => {
                self.commitment = Commitment::Announced(announced);
                Ok(())
            }
        }
    }
}
