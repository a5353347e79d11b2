//! A sealed message from a device to a reader, and everything that may not happen to it on the way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod policy;
mod readers;
mod replay;
mod seen;
mod support;

use iot_core::{Freshness, Position, Topic};
use iot_crypto::{BundleError, Carries, KeyBundle, OpenError, ReplayError, RoutingHeader, SealError, Sealer};
use rand_core::SeedableRng as _;
use support::{Party, TOPIC, heading, topic};

type Rng = rand_chacha::ChaCha20Rng;

const NOW: iot_core::Timestamp = iot_core::Timestamp::from_secs(1_767_225_600);

fn rng() -> Rng {
    Rng::from_seed([3; 32])
}

fn sealed(device: &Party, reader: &Party, carries: Carries, payload: &[u8]) -> Vec<u8> {
    let sealer = Sealer::new(device.id(), &device.signing, reader.bundle(NOW)).carrying(carries);
    sealer.seal(&heading(device, 70_001), payload, NOW, &mut rng()).unwrap()
}

fn open(reader: &Party, from: &Party, message: &[u8]) -> Result<Vec<u8>, OpenError> {
    reader
        .opener(from)
        .open(Some(topic()), &mut message.to_vec(), &mut [0; 4096])
        .map(|opened| opened.payload().to_vec())
}

#[test]
fn a_message_arrives_with_its_proof() {
    let (device, reader) = (Party::new(1), Party::new(2));
    for carries in [Carries::Position, Carries::Source, Carries::SourceAndTopic] {
        let mut message = sealed(&device, &reader, carries, b"21.5 Cel");
        let said = (carries != Carries::SourceAndTopic).then(topic);
        let mut opener = reader.opener(&device);
        let opened = opener.open(said, &mut message, &mut [0; 512]).unwrap();
        assert_eq!(opened.payload(), b"21.5 Cel");
        assert_eq!(opened.heading(), &heading(&device, 70_001));
        assert_eq!(opened.key(), device.signing.verifying_key().key_id());
        assert_eq!(opened.freshness(), Freshness::Unproven);
    }
}

#[test]
fn overhead_of_a_20_octet_payload_is_165() {
    let message = sealed(&Party::new(1), &Party::new(2), Carries::Position, &[7; 20]);
    assert_eq!(message.len() - 20, 165);
}

#[test]
fn payloads_of_every_length_around_the_heads_arrive() {
    let (device, reader) = (Party::new(1), Party::new(2));
    for len in (0..70).chain(120..160).chain(230..280).chain([65_000, iot_crypto::MAX_PAYLOAD_LEN]) {
        let payload = vec![0x5a; len];
        let message = sealed(&device, &reader, Carries::Position, &payload);
        let mut opened = message.clone();
        let mut scratch = vec![0; iot_crypto::scratch_len(message.len(), TOPIC.len())];
        let mut opener = reader.opener(&device);
        assert_eq!(opener.open(Some(topic()), &mut opened, &mut scratch).unwrap().payload(), payload);
    }
}

#[test]
fn every_flipped_bit_is_refused_and_nothing_decrypted_is_left() {
    let (device, reader) = (Party::new(1), Party::new(2));
    let message = sealed(&device, &reader, Carries::SourceAndTopic, b"sixteen octets!!");
    for bit in 0..message.len() * 8 {
        let mut altered = message.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let refused = reader.opener(&device).open(Some(topic()), &mut altered, &mut [0; 512]);
        assert!(refused.is_err(), "bit {bit}");
        assert!(!altered.windows(16).any(|window| window == b"sixteen octets!!"), "bit {bit}");
    }
}

#[test]
fn every_truncation_and_every_trailing_octet_is_refused() {
    let (device, reader) = (Party::new(1), Party::new(2));
    let message = sealed(&device, &reader, Carries::Position, b"21.5");
    for end in 0..message.len() {
        assert!(open(&reader, &device, &message[..end]).is_err(), "truncated to {end}");
    }
    for octet in 0..=255 {
        let longer = [&message[..], &[octet]].concat();
        assert!(open(&reader, &device, &longer).is_err(), "followed by {octet}");
    }
}

#[test]
fn a_message_is_accepted_once() {
    let (device, reader) = (Party::new(1), Party::new(2));
    let message = sealed(&device, &reader, Carries::Position, b"21.5");
    let mut opener = reader.opener(&device);
    let mut scratch = [0; 512];
    assert!(opener.open(Some(topic()), &mut message.clone(), &mut scratch).is_ok());
    let repeated = opener.open(Some(topic()), &mut message.clone(), &mut scratch).unwrap_err();
    assert_eq!(repeated, OpenError::Replay(ReplayError::Repeated));
}

#[test]
fn a_message_of_another_topic_is_refused() {
    let (device, reader) = (Party::new(1), Party::new(2));
    let other = Topic::new("plant/8").unwrap();
    let mut message = sealed(&device, &reader, Carries::Position, b"21.5");
    let refused = reader.opener(&device).open(Some(other), &mut message, &mut [0; 512]).unwrap_err();
    assert_eq!(refused, OpenError::Signature(iot_crypto::SignatureError));
    let mut message = sealed(&device, &reader, Carries::SourceAndTopic, b"21.5");
    assert_eq!(
        reader.opener(&device).open(Some(other), &mut message, &mut [0; 512]).unwrap_err(),
        OpenError::OtherTopic
    );
    let mut message = sealed(&device, &reader, Carries::Position, b"21.5");
    assert_eq!(reader.opener(&device).open(None, &mut message, &mut [0; 512]).unwrap_err(), OpenError::NoTopic);
}

/// Takes a message apart with one reader's secret and seals what was signed for another reader, byte for byte.
#[test]
fn a_signed_message_cannot_be_forwarded_as_if_meant_for_another() {
    let (device, dishonest, reader) = (Party::new(1), Party::new(2), Party::new(3));
    let message = sealed(&device, &dishonest, Carries::Position, b"21.5");
    let forwarded = support::reseal(&message, &dishonest, &reader);
    assert_eq!(open(&reader, &device, &forwarded), Err(OpenError::Signature(iot_crypto::SignatureError)));
    let unchanged = support::reseal(&message, &dishonest, &dishonest);
    assert_eq!(open(&dishonest, &device, &unchanged).unwrap(), b"21.5", "resealing itself loses nothing");
}

#[test]
fn a_message_moved_to_another_position_is_refused() {
    let (device, reader) = (Party::new(1), Party::new(2));
    let message = sealed(&device, &reader, Carries::Position, b"21.5");
    let (routing, len) = RoutingHeader::parse(&message).unwrap();
    let moved = support::reseal_under(&message, len, &RoutingHeader { sequence: 70_002, ..routing }, &reader, &reader);
    assert_eq!(open(&reader, &device, &moved), Err(OpenError::Signature(iot_crypto::SignatureError)));
}

#[test]
fn the_signature_of_another_is_refused() {
    let (device, thief, reader) = (Party::new(1), Party::new(2), Party::new(3));
    let message = sealed(&thief, &reader, Carries::Position, b"21.5");
    let key = thief.signing.verifying_key().key_id();
    assert_eq!(open(&reader, &device, &message), Err(OpenError::UnknownSender(key)));
    let message = support::signed_by(&thief, &device, &reader, b"21.5");
    assert_eq!(open(&reader, &device, &message), Err(OpenError::Signature(iot_crypto::SignatureError)));
}

/// Key-compromise impersonation: the thief has the keys of the reader, not of the device.
#[test]
fn who_has_the_keys_of_a_reader_cannot_write_to_it_as_a_device() {
    let (device, reader) = (Party::new(1), Party::new(2));
    let message = support::signed_by(&reader, &device, &reader, b"21.5");
    assert_eq!(open(&reader, &device, &message), Err(OpenError::Signature(iot_crypto::SignatureError)));
}

#[test]
fn a_reader_without_the_secret_says_so() {
    let (device, reader, other) = (Party::new(1), Party::new(2), Party::new(3));
    let message = sealed(&device, &reader, Carries::Position, b"21.5");
    let key = reader.agreement.key_id();
    assert_eq!(open(&other, &device, &message), Err(OpenError::OtherReader(key)));
}

#[test]
fn nothing_is_sealed_to_an_expired_bundle() {
    let (device, reader) = (Party::new(1), Party::new(2));
    let sealer = Sealer::new(device.id(), &device.signing, reader.bundle(NOW));
    let expires = sealer.reader().expires();
    let refused = sealer.seal(&heading(&device, 0), b"", expires, &mut rng());
    assert_eq!(refused, Err(SealError::BundleExpired { expires }));
    let octets = KeyBundle::issue(&reader.signing, reader.agreement.public(), 1, expires).unwrap();
    assert_eq!(KeyBundle::verify(&octets, &reader.id(), expires), Err(BundleError::Expired { expires }));
}

#[test]
fn what_cannot_be_sealed_is_refused_before_anything_is_written() {
    let (device, reader) = (Party::new(1), Party::new(2));
    let sealer = Sealer::new(device.id(), &device.signing, reader.bundle(NOW)).carrying(Carries::SourceAndTopic);
    let too_long = vec![0; 65_536];
    let refused = sealer.seal(&heading(&device, 0), &too_long, NOW, &mut rng());
    assert_eq!(refused, Err(SealError::PayloadTooLong { len: 65_536 }));
    let text = "t".repeat(256);
    let mut long = heading(&device, 0);
    long.topic = Topic::new(&text).unwrap();
    assert_eq!(sealer.seal(&long, b"", NOW, &mut rng()), Err(SealError::TopicTooLong { len: 256 }));
    let mut foreign = heading(&device, 0);
    foreign.position = Position { source: reader.id(), ..foreign.position };
    assert_eq!(sealer.seal(&foreign, b"", NOW, &mut rng()), Err(SealError::OtherSource { found: reader.id() }));
    let needed = sealer.buffer_len(&heading(&device, 0), 4).unwrap();
    for available in 0..needed {
        let short = sealer.seal_into(&heading(&device, 0), b"21.5", NOW, &mut rng(), &mut vec![0; available]);
        assert!(matches!(short, Err(SealError::Buffer(short)) if short.needed == needed), "{available}");
    }
}

#[test]
fn short_scratch_is_refused_and_loses_nothing() {
    let (device, reader) = (Party::new(1), Party::new(2));
    let mut message = sealed(&device, &reader, Carries::Position, b"21.5");
    let needed = iot_crypto::scratch_len(message.len(), TOPIC.len());
    let mut opener = reader.opener(&device);
    for available in 0..needed {
        let refused = opener.open(Some(topic()), &mut message, &mut vec![0; available]).unwrap_err();
        assert!(matches!(refused, OpenError::Buffer(short) if short.needed == needed), "{refused}");
    }
    assert!(opener.open(Some(topic()), &mut message, &mut vec![0; needed]).is_ok());
}

#[test]
fn a_full_memory_refuses_before_it_decrypts_where_the_source_is_known() {
    let (device, reader) = (Party::new(1), Party::new(2));
    let mut message = sealed(&device, &reader, Carries::Source, b"21.5");
    let mut full =
        iot_crypto::Opener::new(std::slice::from_ref(&reader.agreement), device.signing.verifying_key(), support::Full);
    let refused = full.open(Some(topic()), &mut message, &mut [0; 512]).unwrap_err();
    assert_eq!(refused, OpenError::Replay(ReplayError::Full));
    assert!(reader.opener(&device).open(Some(topic()), &mut message, &mut [0; 512]).is_ok());
}

#[test]
fn no_plaintext_is_left_in_buffers() {
    let (device, reader) = (Party::new(1), Party::new(2));
    let secret = b"sixteen octets!!";
    let holds = |octets: &[u8]| octets.windows(16).any(|window| window == secret);
    let sealer = Sealer::new(device.id(), &device.signing, reader.bundle(NOW));
    let mut buffer = vec![0; sealer.buffer_len(&heading(&device, 0), secret.len()).unwrap()];
    sealer.seal_into(&heading(&device, 0), secret, NOW, &mut rng(), &mut buffer).unwrap();
    assert!(!holds(&buffer));
    let locked = support::Locked(&device);
    let refusing = Sealer::new(device.id(), &locked, reader.bundle(NOW));
    let refused = refusing.seal_into(&heading(&device, 0), secret, NOW, &mut rng(), &mut buffer);
    assert!(matches!(refused, Err(SealError::Signer(_))));
    assert!(!holds(&buffer));

    let mut message = sealed(&device, &reader, Carries::Position, secret);
    let mut scratch = [0; 512];
    assert!(reader.opener(&device).open(Some(topic()), &mut message, &mut scratch).is_ok());
    assert!(!holds(&scratch));
    let mut forged = support::signed_by(&reader, &device, &reader, secret);
    assert!(reader.opener(&device).open(Some(topic()), &mut forged, &mut scratch).is_err());
    assert!(!holds(&scratch) && !holds(&forged));
}

/// The vector that `docs/formats/envelope.md` prints: whoever changes a format octet changes this.
#[test]
fn the_documented_vector_is_what_is_sealed() {
    let message = sealed(&Party::new(1), &Party::new(2), Carries::SourceAndTopic, b"21.5 Cel");
    let text = include_str!("../vectors/envelope.txt");
    let digits = |name: &str| support::vector(text, name);
    assert_eq!(digits("device seed"), Party::new(1).signing_seed());
    assert_eq!(digits("reader agreement secret"), Party::new(2).agreement_seed());
    assert_eq!(digits("message"), message);
}
