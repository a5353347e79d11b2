//! What a reader demands of genuine messages: policies, floors, padding; and messages that are signed alone.

use std::num::NonZeroU16;

use iot_core::{DeviceId, Freshness, KeyId, Position, TopicFilter};
use iot_crypto::{
    Audience, Carries, Directory, OpenError, Opener, Padding, Policy, PolicyError, Proof, Publisher, ReplayError,
    ReplayGuard, Sealer, SignatureError, Strength, Suite, VerifyingKey,
};

use crate::support::{Party, Seen, heading, topic, vector};
use crate::{NOW, rng, sealed};

fn published(device: &Party, carries: Carries, payload: &[u8]) -> Vec<u8> {
    Publisher::new(device.id(), &device.signing).carrying(carries).publish(&heading(device, 70_001), payload).unwrap()
}

fn open_under(policy: Policy<'_>, reader: &Party, from: &Party, message: &[u8]) -> Result<Vec<u8>, OpenError> {
    let mut opener = reader.opener(from).with_policy(policy);
    opener.open(Some(topic()), &mut message.to_vec(), &mut [0; 4096]).map(|opened| opened.payload().to_vec())
}

const OPEN: Policy<'_> = Policy::new().at_least(Strength::Signed);

#[test]
fn a_published_message_is_for_everybody_and_read_only_where_that_is_admitted() {
    let (device, reader) = (Party::new(1), Party::new(2));
    for carries in [Carries::Position, Carries::Source, Carries::SourceAndTopic] {
        let message = published(&device, carries, b"21.5 Cel");
        let refused = OpenError::Policy(PolicyError::Suite { found: Suite::Signed, floor: Strength::Sealed });
        assert_eq!(open_under(Policy::new(), &reader, &device, &message), Err(refused));
        let mut copy = message.clone();
        let mut opener = reader.opener(&device).with_policy(OPEN);
        let opened = opener.open(Some(topic()), &mut copy, &mut [0; 512]).unwrap();
        assert_eq!((opened.payload(), opened.audience()), (&b"21.5 Cel"[..], Audience::Everybody));
        assert_eq!(opened.heading(), &heading(&device, 70_001));
    }
    assert_eq!(published(&device, Carries::Position, &[7; 20]).len() - 20, 96);
}

#[test]
fn every_alteration_of_a_published_message_is_refused() {
    let (device, reader) = (Party::new(1), Party::new(2));
    let message = published(&device, Carries::SourceAndTopic, b"21.5");
    for bit in 0..message.len() * 8 {
        let mut altered = message.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(open_under(OPEN, &reader, &device, &altered).is_err(), "bit {bit}");
    }
    for end in 0..message.len() {
        assert!(open_under(OPEN, &reader, &device, &message[..end]).is_err(), "truncated to {end}");
    }
    assert!(open_under(OPEN, &reader, &device, &[&message[..], &[0]].concat()).is_err());
    // The header says nothing less either: without the source and the topic it is another header.
    let bare = published(&device, Carries::Position, b"21.5");
    let signed = &message[message.len() - 88..];
    let moved = [&bare[..bare.len() - 88], signed].concat();
    assert_eq!(signed[0], 0xd2);
    assert_eq!(open_under(OPEN, &reader, &device, &moved), Err(OpenError::Signature(SignatureError)));
}

/// The signature names for whom it was made, so neither form passes for the other.
#[test]
fn a_sealed_message_is_not_published_by_its_reader_nor_a_published_one_sealed() {
    let (device, reader) = (Party::new(1), Party::new(2));
    let message = sealed(&device, &reader, Carries::Position, b"21.5");
    let routing_len = 12;
    let envelope = iot_crypto::cose::Encrypt0::parse(&message[routing_len..]).unwrap();
    let mut buffer = [0; 512];
    let signed = envelope.open_sealed_into(&reader.agreement, &message[..routing_len], &mut buffer).unwrap();
    let stripped = [&message[..routing_len], &[0xd2], signed].concat();
    assert_eq!(open_under(OPEN, &reader, &device, &stripped), Err(OpenError::Signature(SignatureError)));

    let message = published(&device, Carries::Position, b"21.5");
    let signed = &message[routing_len + 1..];
    let mut buffer = [0; 512];
    let len = iot_crypto::cose::Encrypt0::seal_to_into(
        reader.agreement.public(),
        signed,
        &message[..routing_len],
        &mut rng(),
        &mut buffer,
    )
    .unwrap();
    let wrapped = [&message[..routing_len], &buffer[..len]].concat();
    assert_eq!(open_under(OPEN, &reader, &device, &wrapped), Err(OpenError::Signature(SignatureError)));
}

#[test]
fn nothing_lowers_the_floor_of_a_peer() {
    struct Strict<'a>(&'a Party);
    impl Directory for Strict<'_> {
        fn sender(&self, key: KeyId) -> Option<(DeviceId, VerifyingKey)> {
            self.0.signing.verifying_key().sender(key)
        }
        fn floor(&self, device: &DeviceId) -> Strength {
            if *device == self.0.id() { Strength::Sealed } else { Strength::Signed }
        }
    }
    let (device, reader) = (Party::new(1), Party::new(2));
    let open = |message: &[u8]| {
        let secrets = std::slice::from_ref(&reader.agreement);
        let mut opener = Opener::new(secrets, Strict(&device), Seen::default()).with_policy(OPEN);
        opener.open(Some(topic()), &mut message.to_vec(), &mut [0; 512]).map(|opened| opened.payload().to_vec())
    };
    let refused = OpenError::Policy(PolicyError::Suite { found: Suite::Signed, floor: Strength::Sealed });
    assert_eq!(open(&published(&device, Carries::Position, b"21.5")), Err(refused));
    assert_eq!(open(&sealed(&device, &reader, Carries::Position, b"21.5")).unwrap(), b"21.5");
}

#[test]
fn senders_and_topics_that_are_not_expected_are_refused() {
    let (device, reader, other) = (Party::new(1), Party::new(2), Party::new(3));
    for carries in [Carries::Position, Carries::Source] {
        let message = sealed(&device, &reader, carries, b"21.5");
        let expected = [other.id(), device.id()];
        assert!(open_under(Policy::new().senders(&expected), &reader, &device, &message).is_ok());
        let refused = open_under(Policy::new().senders(&expected[..1]), &reader, &device, &message);
        assert_eq!(refused, Err(OpenError::Policy(PolicyError::Sender { found: device.id() })));
        let topics = TopicFilter::new("plant/+/boiler/#").unwrap();
        assert!(open_under(Policy::new().topics(topics), &reader, &device, &message).is_ok());
        let topics = TopicFilter::new("plant/8/#").unwrap();
        let refused = open_under(Policy::new().topics(topics), &reader, &device, &message);
        assert_eq!(refused, Err(OpenError::Policy(PolicyError::Topic)));
    }
}

#[test]
fn an_unfresh_message_is_refused_and_not_remembered() {
    /// Everything from 100 on is proven.
    #[derive(Default)]
    struct Proven(Seen);
    impl ReplayGuard for Proven {
        fn check(&self, position: &Position) -> Result<(), ReplayError> {
            self.0.check(position)
        }
        fn freshness(&self, position: &Position) -> Freshness {
            if position.sequence >= 100 { Freshness::Proven } else { Freshness::Unproven }
        }
        fn accept(&mut self, position: &Position) -> Result<Freshness, ReplayError> {
            let freshness = self.freshness(position);
            self.0.accept(position).map(|_| freshness)
        }
    }
    let (device, reader) = (Party::new(1), Party::new(2));
    let sealer = Sealer::new(device.id(), &device.signing, reader.bundle(NOW));
    let seal = |sequence| sealer.seal(&heading(&device, sequence), b"21.5", NOW, &mut rng()).unwrap();
    let secrets = std::slice::from_ref(&reader.agreement);
    let policy = Policy::new().fresh(Freshness::Proven);
    let mut opener = Opener::new(secrets, device.signing.verifying_key(), Proven::default()).with_policy(policy);
    let refused = opener.open(Some(topic()), &mut seal(99), &mut [0; 512]).map(drop);
    assert_eq!(refused, Err(OpenError::Policy(PolicyError::Freshness)));
    assert_eq!(opener.replay().check(&heading(&device, 99).position), Ok(()));
    assert!(opener.open(Some(topic()), &mut seal(100), &mut [0; 512]).is_ok());
    // A guard that knows nothing of freshness admits nothing.
    let mut opener = Opener::new(secrets, device.signing.verifying_key(), Seen::default()).with_policy(policy);
    let refused = opener.open(Some(topic()), &mut seal(100), &mut [0; 512]).map(drop);
    assert_eq!(refused, Err(OpenError::Policy(PolicyError::Freshness)));
}

#[test]
fn a_policy_judges_what_is_verified_already() {
    let (device, reader) = (Party::new(1), Party::new(2));
    let mut message = sealed(&device, &reader, Carries::Position, b"21.5");
    let mut opener = reader.opener(&device);
    let opened = opener.open(Some(topic()), &mut message, &mut [0; 512]).unwrap();
    assert_eq!(Policy::new().proof(Proof::Signature).check(&opened), Ok(()));
    assert_eq!(Policy::new().fresh(Freshness::Proven).check(&opened), Err(PolicyError::Freshness));
    let topics = TopicFilter::new("other").unwrap();
    assert_eq!(Policy::new().topics(topics).check(&opened), Err(PolicyError::Topic));
    assert_eq!(Policy::new().senders(&[]).check(&opened), Err(PolicyError::Sender { found: device.id() }));
    assert!(Proof::PairwiseKey < Proof::Signature);
}

#[test]
fn padded_messages_of_a_bucket_are_of_one_length() {
    let (device, reader) = (Party::new(1), Party::new(2));
    let padding = Padding::Multiple(NonZeroU16::new(128).unwrap());
    let sealer = Sealer::new(device.id(), &device.signing, reader.bundle(NOW)).padded(padding);
    let bundles = [reader.bundle(NOW)];
    let several = iot_crypto::MultiSealer::new(device.id(), &device.signing, &bundles).unwrap().padded(padding);
    let mut lengths = std::collections::BTreeSet::new();
    for len in 0..300 {
        let payload = vec![0x5a; len];
        for message in [
            sealer.seal(&heading(&device, 70_001), &payload, NOW, &mut rng()).unwrap(),
            several.seal(&heading(&device, 70_001), &payload, NOW, &mut rng()).unwrap(),
        ] {
            assert_eq!(open_under(Policy::new(), &reader, &device, &message).unwrap(), payload);
            lengths.insert(message.len());
        }
    }
    // 83 to 385 octets are sealed: in 128, 256, 384 or 512 of them, by either sealer.
    assert_eq!(lengths.len(), 8);
}

#[test]
fn padding_that_says_something_is_refused() {
    let (device, reader) = (Party::new(1), Party::new(2));
    let padding = Padding::Multiple(NonZeroU16::new(128).unwrap());
    let sealer = Sealer::new(device.id(), &device.signing, reader.bundle(NOW)).padded(padding);
    let message = sealer.seal(&heading(&device, 70_001), b"21.5", NOW, &mut rng()).unwrap();
    let routing = &message[..12];
    let envelope = iot_crypto::cose::Encrypt0::parse(&message[12..]).unwrap();
    let mut buffer = [0; 512];
    let signed = envelope.open_sealed_into(&reader.agreement, routing, &mut buffer).unwrap().to_vec();
    assert_eq!(signed.len(), 128);
    let label = signed.windows(5).position(|window| window == [0x3a, 0x00, 0x01, 0x00, 0x00]).unwrap();
    for (value, expected) in [(0, Ok(b"21.5".to_vec())), (1, Err(OpenError::Padding))] {
        let mut signed = signed.clone();
        signed[label + 8] = value;
        let mut buffer = [0; 512];
        let key = reader.agreement.public();
        let len = iot_crypto::cose::Encrypt0::seal_to_into(key, &signed, routing, &mut rng(), &mut buffer).unwrap();
        let resealed = [routing, &buffer[..len]].concat();
        assert_eq!(open_under(Policy::new(), &reader, &device, &resealed), expected);
    }
}

/// The vector that `docs/formats/envelope.md` names: whoever changes a format octet changes this.
#[test]
fn the_documented_vectors_are_what_is_written() {
    let (device, reader) = (Party::new(1), Party::new(2));
    let text = include_str!("../vectors/envelope.txt");
    assert_eq!(vector(text, "published message"), published(&device, Carries::Position, b"21.5 Cel"));
    let padding = Padding::Multiple(NonZeroU16::new(128).unwrap());
    let sealer = Sealer::new(device.id(), &device.signing, reader.bundle(NOW)).padded(padding);
    let padded = sealer.seal(&heading(&device, 70_001), b"21.5 Cel", NOW, &mut rng()).unwrap();
    assert_eq!(vector(text, "padded message"), padded);
}
