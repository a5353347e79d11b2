//! Who publishes and who subscribes: made once, at provisioning, and read at each start.

use iot_codec::cbor::{self, List};
use iot_codec::record;
use iot_core::{DeviceId, KeyId, Timestamp};
use iot_crypto::{AgreementSecret, Directory, KeyBundle, SigningKey, VerifyingKey};
use rand_core::CryptoRng;

use crate::KeysError;
use crate::keys::Drawn;

record! {
    /// What a publisher may know of a subscriber.
    struct Card {
        1 => name: String,
        2 => key: [u8; 32],
        3 => bundle: Vec<u8>,
    }
}

record! {
    /// What a publisher alone knows, and the cards of all subscribers.
    struct File {
        1 => signing: [u8; 32],
        2 => agreement: [u8; 32],
        3 => subscribers: List<Card>,
    }
}

/// The keys of a publisher, and of its subscribers what it may know.
pub struct PublisherKeys {
    /// With which it signs.
    pub signing: SigningKey,
    /// To which its subscribers seal.
    pub agreement: [AgreementSecret; 1],
    /// The name of each subscriber, and with which key it signs.
    pub subscribers: Vec<(String, VerifyingKey)>,
    /// To which the publisher seals, in the same order.
    pub bundles: Vec<KeyBundle>,
}

impl PublisherKeys {
    /// Who the publisher is.
    pub fn device_id(&self) -> DeviceId {
        self.signing.verifying_key().device_id()
    }

    /// Draws the keys of a publisher, as [`parse`](Self::parse) reads them, and of subscribers of these names, as
    /// [`Keys::parse`](crate::Keys::parse) does. They are good for a year from `wall`.
    pub fn draw(names: &[String], wall: Timestamp, rng: &mut impl CryptoRng) -> (Vec<u8>, Vec<Vec<u8>>) {
        let publisher = Drawn::draw(wall, rng);
        let drawn: Vec<_> = names.iter().map(|_| Drawn::draw(wall, rng)).collect();
        let card = |(name, it): (&String, &Drawn)| Card { name: name.clone(), key: it.key, bundle: it.bundle.clone() };
        let subscribers = List(names.iter().zip(&drawn).map(card).collect());
        let file = File { signing: publisher.signing, agreement: publisher.agreement, subscribers };
        (cbor::to_vec(&file), drawn.iter().map(|subscriber| subscriber.file(&publisher)).collect())
    }

    /// Reads the keys of a publisher.
    ///
    /// # Errors
    ///
    /// [`KeysError`].
    pub fn parse(octets: &[u8], wall: Timestamp) -> Result<Self, KeysError> {
        let file: File = cbor::from_slice(octets)?;
        let (mut subscribers, mut bundles) = (Vec::new(), Vec::new());
        for Card { name, key, bundle } in file.subscribers.0 {
            let key = VerifyingKey::from_bytes(&key)?;
            bundles.push(KeyBundle::verify(&bundle, &key.device_id(), wall)?);
            subscribers.push((name, key));
        }
        let agreement = [AgreementSecret::from_bytes(&file.agreement)];
        Ok(Self { signing: SigningKey::from_seed(&file.signing), agreement, subscribers, bundles })
    }
}

impl Directory for &PublisherKeys {
    fn sender(&self, key: KeyId) -> Option<(DeviceId, VerifyingKey)> {
        let found = self.subscribers.iter().find(|(_, subscriber)| subscriber.key_id() == key);
        found.map(|(_, subscriber)| (subscriber.device_id(), *subscriber))
    }
}
