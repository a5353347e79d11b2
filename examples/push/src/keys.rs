//! Who publishes and who subscribes: drawn once, and read at each start.

use std::fs;
use std::path::Path;
use std::time::Duration;

use iot_codec::cbor::{self, List};
use iot_codec::record;
use iot_core::{DeviceId, KeyId, Timestamp};
use iot_crypto::{AgreementSecret, Directory, KeyBundle, SigningKey, VerifyingKey};
use iot_exchange::folder::write_secret;
use iot_link::Failure;
use iot_link::process::rng;
use rand_core::Rng as _;

/// How long key bundles are good for.
const LIFE: Duration = Duration::from_secs(365 * 86_400);

record! {
    /// What everybody may know of a party.
    #[derive(Clone)]
    struct Card {
        1 => name: String,
        2 => key: [u8; 32],
        3 => bundle: Vec<u8>,
    }
}

record! {
    /// What a party alone knows, and the cards of those that it deals with.
    struct File {
        1 => signing: [u8; 32],
        2 => agreement: [u8; 32],
        3 => others: List<Card>,
    }
}

/// The keys of one party.
pub struct Keys {
    /// With which it signs.
    pub signing: SigningKey,
    /// To which others seal.
    pub agreement: [AgreementSecret; 1],
    /// The publisher, or all subscribers.
    pub others: Vec<Other>,
}

/// What a party knows of another.
pub struct Other {
    /// Its name.
    pub name: String,
    /// With which it signs.
    pub key: VerifyingKey,
    /// To which one seals.
    pub bundle: KeyBundle,
}

impl Directory for &Other {
    fn sender(&self, key: KeyId) -> Option<(DeviceId, VerifyingKey)> {
        (self.key.key_id() == key).then(|| (self.key.device_id(), self.key))
    }
}

/// Draws keys for the publisher and these subscribers, and writes `NAME/keys` of each below `folder`.
///
/// # Errors
///
/// When a file is there already, or cannot be written.
pub fn provision(folder: &Path, subscribers: &[String], now: Timestamp) -> Result<(), Failure> {
    let mut rng = rng()?;
    let mut draw = |name: &str| -> Result<(File, Card), Failure> {
        let (mut signing, mut agreement) = ([0; 32], [0; 32]);
        rng.fill_bytes(&mut signing);
        rng.fill_bytes(&mut agreement);
        let key = SigningKey::from_seed(&signing);
        let public = *AgreementSecret::from_bytes(&agreement).public();
        let bundle = KeyBundle::issue(&key, &public, 1, now.saturating_add(LIFE))?;
        let card = Card { name: name.into(), key: key.verifying_key().as_bytes().try_into()?, bundle };
        Ok((File { signing, agreement, others: List(Vec::new()) }, card))
    };
    let (mut publisher, card) = draw("publisher")?;
    for name in subscribers {
        let (mut file, own) = draw(name)?;
        file.others = List(vec![card.clone()]);
        publisher.others.0.push(own);
        write_secret(&folder.join(name).join("keys"), &cbor::to_vec(&file))?;
    }
    Ok(write_secret(&folder.join("publisher/keys"), &cbor::to_vec(&publisher))?)
}

impl Keys {
    /// Reads the keys of the party whose folder this is.
    ///
    /// # Errors
    ///
    /// When there are none, or a bundle in them has expired.
    pub fn load(folder: &Path, now: Timestamp) -> Result<Self, Failure> {
        let path = folder.join("keys");
        let octets = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let file: File = cbor::from_slice(&octets)?;
        let others = file.others.0.into_iter().map(|card| {
            let key = VerifyingKey::from_bytes(&card.key)?;
            let bundle = KeyBundle::verify(&card.bundle, &key.device_id(), now)?;
            Ok(Other { name: card.name, key, bundle })
        });
        Ok(Self {
            signing: SigningKey::from_seed(&file.signing),
            agreement: [AgreementSecret::from_bytes(&file.agreement)],
            others: others.collect::<Result<_, Failure>>()?,
        })
    }
}
