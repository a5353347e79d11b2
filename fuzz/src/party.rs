//! Parties whose keys follow from a number, and what they have said: the same in each run, made once in each.

use std::convert::Infallible;

use iot_core::{DeviceId, Incarnation, Position, StreamId, Timestamp, Topic};
use iot_crypto::stream::{Counter, CounterStore};
use iot_crypto::{AgreementSecret, Heading, KeyBundle, SigningKey, VerifyingKey};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// The day on which everything happens.
pub const TODAY: Timestamp = Timestamp::from_secs(1_767_225_600);

/// What messages say. No input of a fuzzer is likely to say it by itself.
pub const PAYLOAD: &[u8] = b"a payload that nobody in between may read";

/// Whether the payload stands somewhere in there.
pub fn holds_payload(octets: &[u8]) -> bool {
    octets.windows(PAYLOAD.len()).any(|window| window == PAYLOAD)
}

/// What messages are about.
pub fn topic() -> Topic<'static> {
    Topic::new("plant/7/boiler/12").expect("a topic")
}

/// A generator that gives the same numbers each time.
pub fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

/// Somebody with keys and a bundle.
pub struct Party {
    pub signing: SigningKey,
    pub secrets: [AgreementSecret; 1],
    /// The octets of the bundle.
    pub issued: Vec<u8>,
    pub bundle: KeyBundle,
}

impl Party {
    pub fn new(seed: u8) -> Self {
        let (signing, secret) = (SigningKey::from_seed(&[seed; 32]), AgreementSecret::from_bytes(&[seed; 32]));
        let expires = Timestamp::from_secs(2_000_000_000);
        let issued = KeyBundle::issue(&signing, secret.public(), 1, expires).expect("the key is at hand");
        let bundle = KeyBundle::verify(&issued, &signing.verifying_key().device_id(), TODAY).expect("it is its own");
        Self { signing, secrets: [secret], issued, bundle }
    }

    pub fn id(&self) -> DeviceId {
        self.bundle.device()
    }

    pub fn key(&self) -> VerifyingKey {
        *self.bundle.verifying_key()
    }

    /// Where its message of this number stands.
    pub fn heading(&self, sequence: u64) -> Heading<'static> {
        let incarnation = Incarnation::from_bytes([7; 8]);
        let position = Position { source: self.id(), stream: StreamId::new(1), incarnation, sequence };
        Heading { topic: topic(), position }
    }
}

/// Storage that is never cut off.
#[derive(Default)]
pub struct Ram(pub Option<Counter>);

impl CounterStore for Ram {
    type Error = Infallible;

    fn load(&mut self) -> Result<Option<Counter>, Infallible> {
        Ok(self.0)
    }

    fn store(&mut self, counter: Counter) -> Result<(), Infallible> {
        self.0 = Some(counter);
        Ok(())
    }
}
