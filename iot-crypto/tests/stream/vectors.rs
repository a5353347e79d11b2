//! The vector of `docs/formats/stream.md`, which Python wrote from the text.

use std::time::Duration;

use iot_core::{DeviceId, Freshness, Incarnation, KeyId, Position, StreamId, Topic};
use iot_crypto::stream::{
    ContextId, Counter, Epoch, EpochSecret, Invitation, Opening, Reservation, Skipped, StreamMessage, StreamReceiver,
    StreamSender,
};
use iot_crypto::{Answer, Challenge, Heading, SigningKey};
use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest as _, Sha256};

use crate::support::Cipher;

const VECTOR: &str = include_str!("../vectors/stream.txt");

/// All values with that name, in order.
fn all(name: &str) -> Vec<Vec<u8>> {
    let lines = VECTOR.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    lines.map(|digits| digits.as_bytes().chunks(2).map(octet).collect()).collect()
}

fn one<const N: usize>(name: &str) -> [u8; N] {
    all(name).remove(0).try_into().unwrap()
}

fn epoch(topic: &str) -> Epoch<'_> {
    let position = Position {
        source: DeviceId::from_bytes(one("source")),
        stream: StreamId::new(u32::from_be_bytes(one("stream"))),
        incarnation: Incarnation::from_bytes(one("incarnation")),
        sequence: u64::from_be_bytes(one("first")),
    };
    let agreed = EpochSecret {
        secret: &one("secret"),
        transcript: &all("salt")[0],
        key: KeyId::from_bytes([0; 8]),
        freshness: Freshness::Unproven,
    };
    let heading = Heading { topic: Topic::new(topic).unwrap(), position };
    let context = ContextId::new(&all("context")[0]).unwrap();
    Epoch::from_agreed(context, &heading, DeviceId::from_bytes(one("reader")), &agreed)
}

#[test]
fn writes_the_octets_that_python_wrote() {
    let topic = String::from_utf8(all("topic").remove(0)).unwrap();
    let payload = all("payload").remove(0);
    let mut saved = [0; 256];
    let begun: StreamSender<Option<Counter>> =
        StreamSender::begin(epoch(&topic), None, Reservation::default()).unwrap();
    let len = begun.save_into(&mut saved).unwrap();
    let incarnation = begun.incarnation();
    let sequences = all("sequence");
    assert_eq!(sequences.len(), 7);
    for (index, sequence) in sequences.iter().enumerate() {
        let unused_from = u64::from_be_bytes(sequence.as_slice().try_into().unwrap());
        let store = Some(Counter { incarnation, unused_from });
        let mut sender: StreamSender<Option<Counter>> =
            StreamSender::resume(&saved[..len], store, Reservation::default()).unwrap();
        let (sent, message) = sender.send(&payload).unwrap();
        assert_eq!((sent, &message), (unused_from, &all("compact")[index]));
        let mut expanded = vec![0; 128];
        let len = StreamMessage::parse(&message).unwrap().write_cose(&mut expanded).unwrap();
        assert_eq!(expanded[..len], all("cose")[index]);
    }
}

#[test]
fn writes_the_records_that_python_wrote() {
    let mut buffer = [0; Skipped::BUFFER_LEN];
    let context = ContextId::new(&all("context")[0]).unwrap();
    let invitation = Invitation::draw(context, &mut Draws(one::<16>("invitation nonce")));
    let len = invitation.write(&mut buffer).unwrap();
    assert_eq!(buffer[..len], all("invitation")[0]);
    let opening = Opening::draw(&invitation, &mut Draws(one::<32>("secret"))).promising(Duration::from_secs(60));
    let len = opening.write(&mut buffer).unwrap();
    assert_eq!(buffer[..len], all("opening")[0]);

    let topic = String::from_utf8(all("topic").remove(0)).unwrap();
    let signer = SigningKey::from_seed(&one("signing seed"));
    let source = signer.verifying_key().device_id();
    let sender: StreamSender<Option<Counter>> =
        StreamSender::begin(epoch(&topic), None, Reservation::default()).unwrap();
    let len = Skipped::issue_into(source, &signer, &sender, &(1_000..1_042), &mut buffer).unwrap();
    assert_eq!(buffer[..len], all("skipped")[0]);
    let answer = Answer { source, stream: sender.stream(), incarnation: sender.incarnation(), next: 70_001 };
    let challenge = Challenge::from_bytes(one("challenge"));
    let len = answer.issue_into(&challenge, DeviceId::from_bytes(one("reader")), &signer, &mut buffer).unwrap();
    assert_eq!(buffer[..len], all("answer")[0]);
    assert_eq!(Sha256::digest(&all("binding")[0])[..], all("external")[0]);
}

/// A generator that draws these octets.
struct Draws<const N: usize>([u8; N]);

impl<const N: usize> TryRng for Draws<N> {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        unreachable!("only octets are drawn")
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        unreachable!("only octets are drawn")
    }

    fn try_fill_bytes(&mut self, octets: &mut [u8]) -> Result<(), Self::Error> {
        octets.copy_from_slice(&self.0);
        Ok(())
    }
}

impl<const N: usize> TryCryptoRng for Draws<N> {}

#[test]
fn opens_the_octets_that_python_wrote() {
    let topic = String::from_utf8(all("topic").remove(0)).unwrap();
    let payload = all("payload").remove(0);
    for form in ["compact", "cose"] {
        let mut receiver: StreamReceiver<_, iot_core::Ranges<8>, Cipher> =
            StreamReceiver::new(epoch(&topic), topic.clone()).unwrap();
        for mut message in all(form) {
            let opened = receiver.open(Topic::new(&topic).unwrap(), &mut message);
            assert_eq!(opened.unwrap().payload(), payload);
        }
    }
}
