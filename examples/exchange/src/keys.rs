//! Who the two ends are: made once, at provisioning, and read at each start.

use std::time::Duration;

use iot_codec::{cbor, record};
use iot_core::{DeviceId, Timestamp};
use iot_crypto::{AgreementSecret, KeyBundle, SigningKey, VerifyingKey};
use rand_core::CryptoRng;

/// How long the key bundles of the two ends are good for.
const LIFE: Duration = Duration::from_secs(365 * 86_400);

record! {
    /// What one end alone knows, and what it knows of its peer.
    struct File {
        1 => signing: [u8; 32],
        2 => agreement: [u8; 32],
        3 => peer: [u8; 32],
        4 => peer_bundle: Vec<u8>,
    }
}

/// The keys of one end, and of the other end what it may know.
pub struct Keys {
    /// With which it signs.
    pub signing: SigningKey,
    /// To which its peer seals.
    pub agreement: [AgreementSecret; 1],
    /// With which its peer signs.
    pub peer: VerifyingKey,
    /// To which it seals.
    pub peer_bundle: KeyBundle,
}

/// Why the keys of an end are not usable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// They are something else.
    #[error("the keys are malformed")]
    Malformed(#[from] cbor::DecodeError),
    /// The peer's signing key is none.
    #[error("the peer's key is not usable")]
    Peer(#[from] iot_crypto::KeyError),
    /// The peer's bundle is not its own, or has expired.
    #[error("the peer's key bundle is not usable")]
    Bundle(#[from] iot_crypto::BundleError),
}

impl Keys {
    /// Who this end is.
    pub fn device_id(&self) -> DeviceId {
        self.signing.verifying_key().device_id()
    }

    /// Draws the keys of the device and of the receiver, as [`parse`](Self::parse) reads them: each holds its end's
    /// secrets. They are good for a year from `wall`.
    pub fn draw(wall: Timestamp, rng: &mut impl CryptoRng) -> [Vec<u8>; 2] {
        let (device, receiver) = (Drawn::draw(wall, rng), Drawn::draw(wall, rng));
        [device.file(&receiver), receiver.file(&device)]
    }

    /// Reads the keys of an end.
    ///
    /// # Errors
    ///
    /// [`KeysError`].
    pub fn parse(octets: &[u8], wall: Timestamp) -> Result<Self, KeysError> {
        let file: File = cbor::from_slice(octets)?;
        let peer = VerifyingKey::from_bytes(&file.peer)?;
        let peer_bundle = KeyBundle::verify(&file.peer_bundle, &peer.device_id(), wall)?;
        let agreement = [AgreementSecret::from_bytes(&file.agreement)];
        Ok(Self { signing: SigningKey::from_seed(&file.signing), agreement, peer, peer_bundle })
    }
}

/// What is drawn for one end: its secrets, and what others may know of it.
pub(crate) struct Drawn {
    pub signing: [u8; 32],
    pub agreement: [u8; 32],
    pub key: [u8; 32],
    pub bundle: Vec<u8>,
}

impl Drawn {
    pub fn draw(wall: Timestamp, rng: &mut impl CryptoRng) -> Self {
        let (mut signing, mut agreement) = ([0; 32], [0; 32]);
        rng.fill_bytes(&mut signing);
        rng.fill_bytes(&mut agreement);
        let key = SigningKey::from_seed(&signing);
        let public = *AgreementSecret::from_bytes(&agreement).public();
        let bundle = KeyBundle::issue(&key, &public, 1, wall.saturating_add(LIFE)).expect("a key in memory signs");
        let key = key.verifying_key().as_bytes().try_into().expect("it is one of Ed25519");
        Self { signing, agreement, key, bundle }
    }

    /// The keys of this end, which has that peer, as [`Keys::parse`] reads them.
    pub fn file(&self, peer: &Self) -> Vec<u8> {
        let Self { signing, agreement, .. } = *self;
        cbor::to_vec(&File { signing, agreement, peer: peer.key, peer_bundle: peer.bundle.clone() })
    }
}
