//! Who the two ends are: made once, at provisioning, and read at each start.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use iot_codec::{cbor, record};
use iot_core::Timestamp;
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

/// Why an end has no keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The file cannot be read or written.
    #[error("{}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("the key file is malformed")]
    Malformed(#[from] cbor::DecodeError),
    /// The peer's signing key is none.
    #[error("the peer's key is not usable")]
    Peer(#[from] iot_crypto::KeyError),
    /// The peer's bundle is not its own, or has expired.
    #[error("the peer's key bundle is not usable")]
    Bundle(#[from] iot_crypto::BundleError),
}

/// Draws keys for both ends, and writes `device/keys` and `receiver/keys` below `folder`.
///
/// A product locks them with a password or keeps them in a secure element (`KeyFile` and `Signer` of `iot-crypto`); here
/// only their owner may read the files.
///
/// # Errors
///
/// [`KeysError::File`], above all if there are keys already: nothing is overwritten.
pub fn provision(folder: &Path, now: Timestamp, rng: &mut impl CryptoRng) -> Result<(), KeysError> {
    let mut draw = || {
        let (mut signing, mut agreement) = ([0; 32], [0; 32]);
        rng.fill_bytes(&mut signing);
        rng.fill_bytes(&mut agreement);
        let key = SigningKey::from_seed(&signing);
        let public = *AgreementSecret::from_bytes(&agreement).public();
        let bundle = KeyBundle::issue(&key, &public, 1, now.saturating_add(LIFE)).expect("a key in memory signs");
        (signing, agreement, key.verifying_key().as_bytes().try_into().expect("it is one of Ed25519"), bundle)
    };
    let (device, receiver) = (draw(), draw());
    for (name, own, peer) in [("device", &device, &receiver), ("receiver", &receiver, &device)] {
        let file = File { signing: own.0, agreement: own.1, peer: peer.2, peer_bundle: peer.3.clone() };
        let path = folder.join(name).join("keys");
        write_secret(&path, &cbor::to_vec(&file)).map_err(|source| KeysError::File { path, source })?;
    }
    Ok(())
}

fn write_secret(path: &Path, octets: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(octets)?;
    file.sync_all()
}

impl Keys {
    /// Reads the keys of the end whose folder this is.
    ///
    /// # Errors
    ///
    /// [`KeysError`].
    pub fn load(folder: &Path, now: Timestamp) -> Result<Self, KeysError> {
        let path = folder.join("keys");
        let octets = fs::read(&path).map_err(|source| KeysError::File { path, source })?;
        let file: File = cbor::from_slice(&octets)?;
        let peer = VerifyingKey::from_bytes(&file.peer)?;
        let peer_bundle = KeyBundle::verify(&file.peer_bundle, &peer.device_id(), now)?;
        let agreement = [AgreementSecret::from_bytes(&file.agreement)];
        Ok(Self { signing: SigningKey::from_seed(&file.signing), agreement, peer, peer_bundle })
    }
}
