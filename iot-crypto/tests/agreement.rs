//! Readers whose agreement key somebody else holds.

#![cfg(feature = "alloc")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;

use iot_core::{Incarnation, Position, StreamId, Timestamp, Topic};
use iot_crypto::cose::Encrypt0;
use iot_crypto::*;
use rand_core::SeedableRng as _;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

/// Holds a key and lets it be used when it is unlocked.
struct SecureElement {
    secret: AgreementSecret,
    is_unlocked: Cell<bool>,
}

impl Agreement for SecureElement {
    fn agreement_key(&self) -> AgreementKey {
        *self.secret.public()
    }

    fn agree(&self, with: &[u8; 32]) -> Result<AgreedSecret, AgreementError> {
        if self.is_unlocked.get() { self.secret.agree(with) } else { Err(AgreementError) }
    }
}

fn topic() -> Topic<'static> {
    Topic::new("plant/7").unwrap()
}

fn sealed(device: &SigningKey, reader: &AgreementSecret) -> Vec<u8> {
    let server = SigningKey::from_seed(&[2; 32]);
    let bundle = KeyBundle::issue(&server, reader.public(), 1, Timestamp::from_secs(1_800_000_000)).unwrap();
    let bundle = KeyBundle::verify(&bundle, &server.verifying_key().device_id(), NOW).unwrap();
    let source = device.verifying_key().device_id();
    let incarnation = Incarnation::from_bytes([1; 8]);
    let position = Position { source, stream: StreamId::new(0), incarnation, sequence: 0 };
    let heading = Heading { topic: topic(), position };
    let mut rng = rand_chacha::ChaCha20Rng::from_seed([3; 32]);
    Sealer::new(source, device, bundle).seal(&heading, b"21.5 Cel", NOW, &mut rng).unwrap()
}

fn open(secrets: &[impl Agreement], device: &SigningKey, message: &[u8]) -> Result<Vec<u8>, OpenError> {
    let mut opener = Opener::new(secrets, device.verifying_key(), <Trackers>::new(1, 1).unwrap());
    let mut message = message.to_vec();
    opener.open(Some(topic()), &mut message, &mut [0; 512]).map(|opened| opened.payload().to_vec())
}

#[test]
fn a_secure_element_opens_when_it_agrees() {
    let device = SigningKey::from_seed(&[1; 32]);
    let secret = AgreementSecret::from_bytes(&[9; 32]);
    let message = sealed(&device, &secret);
    let element = [SecureElement { secret, is_unlocked: Cell::new(false) }];
    assert_eq!(open(&element, &device, &message), Err(OpenError::Agreement(AgreementError)));
    element[0].is_unlocked.set(true);
    assert_eq!(open(&element, &device, &message).unwrap(), b"21.5 Cel");
}

/// The element answers later: the encapsulated key goes out, what it agreed comes back.
#[test]
fn a_message_is_opened_with_an_answer_that_came_later() {
    let device = SigningKey::from_seed(&[1; 32]);
    let secret = AgreementSecret::from_bytes(&[9; 32]);
    let message = sealed(&device, &secret);
    let (_, routing_len) = RoutingHeader::parse(&message).unwrap();
    let envelope = Encrypt0::parse(&message[routing_len..]).unwrap();
    let asked: [u8; 32] = envelope.headers().encapsulated_key.unwrap().try_into().unwrap();
    let answer = Agreed::new(*secret.public(), asked, secret.agree(&asked).unwrap());
    assert_eq!(open(&[answer], &device, &message).unwrap(), b"21.5 Cel");
    let wrong = Agreed::new(*secret.public(), asked, AgreedSecret::from_bytes([1; 32]));
    assert_eq!(open(&[wrong], &device, &message), Err(OpenError::Decryption));
    let other = Agreed::new(*secret.public(), [9; 32], AgreedSecret::from_bytes([1; 32]));
    assert_eq!(open(&[other], &device, &message), Err(OpenError::Agreement(AgreementError)));
}
