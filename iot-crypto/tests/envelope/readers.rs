//! One message for several readers.

use iot_core::Timestamp;
use iot_crypto::cose::{Algorithm, ContentKey, Encrypt};
use iot_crypto::{
    Audience, Carries, KeyBundle, MAX_READERS, MultiSealer, OpenError, Opener, RoutingHeader, SealError, Sealer,
    SignatureError,
};

use crate::support::{Locked, Party, Seen, heading, topic, vector};
use crate::{NOW, open, rng};

fn bundles(readers: &[&Party]) -> Vec<KeyBundle> {
    readers.iter().map(|reader| reader.bundle(NOW)).collect()
}

fn sealed(device: &Party, readers: &[&Party], carries: Carries, payload: &[u8]) -> Vec<u8> {
    let bundles = bundles(readers);
    let sealer = MultiSealer::new(device.id(), &device.signing, &bundles).unwrap().carrying(carries);
    sealer.seal(&heading(device, 70_001), payload, NOW, &mut rng()).unwrap()
}

/// Where the parts of a message lie: behind the tag of the envelope, its content, its recipients.
fn parts(message: &[u8]) -> (usize, std::ops::Range<usize>, std::ops::Range<usize>) {
    let (_, routing_len) = RoutingHeader::parse(message).unwrap();
    let envelope = Encrypt::parse(&message[routing_len..]).unwrap();
    let count = envelope.recipient_count();
    let recipients = message.len() - 128 * count;
    let content = recipients - 1 - envelope.ciphertext().len();
    (routing_len + 2, content..recipients - 1, recipients..message.len())
}

#[test]
fn each_reader_opens_the_same_message() {
    let (device, other) = (Party::new(1), Party::new(9));
    let readers = [&Party::new(2), &Party::new(3), &Party::new(4)];
    for carries in [Carries::Position, Carries::Source, Carries::SourceAndTopic] {
        let message = sealed(&device, &readers, carries, b"21.5 Cel");
        for reader in readers {
            let mut message = message.clone();
            let mut opener = reader.opener(&device);
            let said = (carries != Carries::SourceAndTopic).then(topic);
            let opened = opener.open(said, &mut message, &mut [0; 1024]).unwrap();
            assert_eq!(opened.payload(), b"21.5 Cel");
            assert_eq!(opened.heading(), &heading(&device, 70_001));
            assert_eq!(opened.audience(), Audience::Readers);
        }
        assert!(matches!(open(&other, &device, &message), Err(OpenError::OtherReader(_))));
    }
}

#[test]
fn a_reader_costs_128_octets() {
    let device = Party::new(1);
    let readers: Vec<Party> = (10..74).map(Party::new).collect();
    let readers: Vec<&Party> = readers.iter().collect();
    let len = |count: usize| sealed(&device, &readers[..count], Carries::Position, &[7; 20]).len() - 20;
    assert_eq!(len(1), 305);
    assert_eq!(len(2), len(1) + 128);
    assert_eq!(len(23), len(1) + 22 * 128);
    // The head of the array takes an octet more from 24 on.
    assert_eq!(len(64), len(1) + 63 * 128 + 1);
}

#[test]
fn the_order_of_readers_makes_no_difference() {
    let device = Party::new(1);
    let (a, b, c) = (Party::new(2), Party::new(3), Party::new(4));
    let one = sealed(&device, &[&a, &b, &c], Carries::Position, b"21.5");
    assert_eq!(sealed(&device, &[&c, &a, &b], Carries::Position, b"21.5"), one);
}

#[test]
fn there_are_as_many_readers_as_stated_and_each_once() {
    let device = Party::new(1);
    let reader = Party::new(2).bundle(NOW);
    let refused = |readers: &[KeyBundle]| MultiSealer::new(device.id(), &device.signing, readers).unwrap_err();
    assert_eq!(refused(&[]), SealError::Readers { count: 0 });
    assert_eq!(refused(&[reader; MAX_READERS + 1]), SealError::Readers { count: MAX_READERS + 1 });
    assert_eq!(refused(&[reader, reader]), SealError::RepeatedReader(reader.agreement_key().key_id()));
    let many: Vec<Party> = (10..10 + MAX_READERS as u8).map(Party::new).collect();
    let message = sealed(&device, &many.iter().collect::<Vec<_>>(), Carries::Position, b"21.5");
    let mut message = message.clone();
    let mut scratch = vec![0; iot_crypto::scratch_len(message.len(), 32)];
    let opened =
        many[63].opener(&device).open(Some(topic()), &mut message, &mut scratch).map(|it| it.payload().to_vec());
    assert_eq!(opened.unwrap(), b"21.5");
}

#[test]
fn every_flipped_bit_is_refused_by_every_reader() {
    let device = Party::new(1);
    let readers = [&Party::new(2), &Party::new(3)];
    let message = sealed(&device, &readers, Carries::SourceAndTopic, b"sixteen octets!!");
    for bit in 0..message.len() * 8 {
        for reader in readers {
            let mut altered = message.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let refused = reader.opener(&device).open(Some(topic()), &mut altered, &mut [0; 1024]);
            assert!(refused.is_err(), "bit {bit}");
            assert!(!altered.windows(16).any(|window| window == b"sixteen octets!!"), "bit {bit}");
        }
    }
}

#[test]
fn every_truncation_and_trailing_octet_is_refused() {
    let device = Party::new(1);
    let readers = [&Party::new(2), &Party::new(3)];
    let message = sealed(&device, &readers, Carries::Position, b"21.5");
    for end in 0..message.len() {
        assert!(open(readers[0], &device, &message[..end]).is_err(), "truncated to {end}");
    }
    for octet in 0..=255 {
        assert!(open(readers[0], &device, &[&message[..], &[octet]].concat()).is_err(), "followed by {octet}");
    }
}

/// Taking a reader off, or putting them in another order, changes what the content is bound to.
#[test]
fn recipients_are_neither_removed_nor_moved() {
    let device = Party::new(1);
    let (a, b) = (Party::new(2), Party::new(3));
    let message = sealed(&device, &[&a, &b], Carries::Position, b"21.5");
    let (_, _, recipients) = parts(&message);
    let (first, second) = (recipients.start..recipients.start + 128, recipients.start + 128..recipients.end);
    for (reader, kept) in [(&a, &first), (&a, &second), (&b, &first), (&b, &second)] {
        let mut fewer = [&message[..recipients.start], &message[kept.clone()]].concat();
        fewer[recipients.start - 1] = 0x81;
        let refused = open(reader, &device, &fewer).unwrap_err();
        assert!(matches!(refused, OpenError::Decryption | OpenError::OtherReader(_)), "{refused:?}");
    }
    let swapped = [&message[..recipients.start], &message[second.clone()], &message[first.clone()]].concat();
    assert_eq!(open(&a, &device, &swapped), Err(OpenError::ReaderOrder));
    let twice = [&message[..recipients.start], &message[first.clone()], &message[first]].concat();
    assert_eq!(open(&a, &device, &twice), Err(OpenError::ReaderOrder));
}

/// A reader knows the content key, and can make a new envelope of what is signed. It does not change for whom that was.
#[test]
fn a_reader_cannot_pass_a_message_on_as_if_meant_for_others() {
    let device = Party::new(1);
    let (a, b, c) = (Party::new(2), Party::new(3), Party::new(4));
    let message = sealed(&device, &[&a, &b], Carries::Position, b"21.5");
    let signed = signed_inside(&message, &a);
    // To the same readers nothing is lost; to fewer, to others, to one alone by the other suite, it is refused.
    let resealed = envelope_of(&message, &signed, &[&a, &b]);
    assert_eq!(open(&b, &device, &resealed).unwrap(), b"21.5");
    for others in [&[&a, &c][..], &[&b], &[&a, &b, &c]] {
        let resealed = envelope_of(&message, &signed, others);
        let reader = others[others.len() - 1];
        assert_eq!(open(reader, &device, &resealed), Err(OpenError::Signature(SignatureError)));
    }
    // What was sealed to one alone is not passed on to several either.
    let alone = Sealer::new(device.id(), &device.signing, a.bundle(NOW));
    let alone = alone.seal(&heading(&device, 70_001), b"21.5", NOW, &mut rng()).unwrap();
    let (_, routing_len) = RoutingHeader::parse(&alone).unwrap();
    let sealed = iot_crypto::cose::Encrypt0::parse(&alone[routing_len..]).unwrap();
    let mut buffer = [0; 1024];
    let signed = sealed.open_sealed_into(&a.agreement, &alone[..routing_len], &mut buffer).unwrap();
    let resealed = envelope_of(&message, signed, &[&a]);
    assert_eq!(open(&a, &device, &resealed), Err(OpenError::Signature(SignatureError)));
}

/// ChaCha20-Poly1305 does not commit to its key, so whoever makes an envelope commits to it beside the ciphertext.
#[test]
fn an_envelope_without_the_commitment_to_its_key_is_refused() {
    let device = Party::new(1);
    let (a, b) = (Party::new(2), Party::new(3));
    let message = sealed(&device, &[&a, &b], Carries::Position, b"21.5");
    let (envelope, ..) = parts(&message);
    // Array, string of 43 octets, map of 2: {1: 24, -65538: 32 octets}.
    assert_eq!(message[envelope..envelope + 4], [0x84, 0x58, 0x2b, 0xa2]);
    let mut other = message.clone();
    other[envelope + 14] ^= 1;
    assert_eq!(open(&a, &device, &other), Err(OpenError::Commitment));
    let plain = {
        let readers = [*a.agreement.public(), *b.agreement.public()];
        let (_, routing_len) = RoutingHeader::parse(&message).unwrap();
        let mut readers = readers.to_vec();
        readers.sort_by_key(|reader| *reader.thumbprint().as_bytes());
        let sealed = Encrypt::seal(&readers, b"anything", &message[..routing_len], &mut rng()).unwrap();
        [&message[..routing_len], &[0xd8, 0x60], &sealed[..]].concat()
    };
    assert_eq!(open(&a, &device, &plain), Err(OpenError::Commitment));
}

/// Nothing else is wrong with it: who knows the content key authenticates whatever commitment they write.
#[test]
fn an_envelope_that_commits_to_another_key_is_refused() {
    let device = Party::new(1);
    let (a, b) = (Party::new(2), Party::new(3));
    let message = sealed(&device, &[&a, &b], Carries::Position, b"21.5");
    let signed = signed_inside(&message, &a);
    let own = envelope_committing(&content_key_octets(), &message, &signed, &[&a, &b]);
    assert_eq!(open(&b, &device, &own).unwrap(), b"21.5");
    let other = envelope_committing(&[7; 32], &message, &signed, &[&a, &b]);
    assert_eq!(open(&b, &device, &other), Err(OpenError::Commitment));
}

#[test]
fn one_expired_bundle_or_a_signer_that_refuses_stops_the_message() {
    let device = Party::new(1);
    let (a, b) = (Party::new(2), Party::new(3));
    let readers = [a.bundle(NOW), b.bundle(Timestamp::from_secs(NOW.as_secs() - 86_400))];
    let sealer = MultiSealer::new(device.id(), &device.signing, &readers).unwrap();
    let refused = sealer.seal(&heading(&device, 0), b"21.5", NOW, &mut rng());
    assert_eq!(refused, Err(SealError::BundleExpired { expires: readers[1].expires() }));
    let readers = [a.bundle(NOW)];
    let locked = Locked(&device);
    let sealer = MultiSealer::new(device.id(), &locked, &readers).unwrap();
    let secret = b"sixteen octets!!";
    let needed = sealer.buffer_len(&heading(&device, 0), 16).unwrap();
    let mut buffer = vec![0; needed];
    assert!(matches!(
        sealer.seal_into(&heading(&device, 0), secret, NOW, &mut rng(), &mut buffer),
        Err(SealError::Signer(_))
    ));
    assert!(!buffer.windows(16).any(|window| window == secret));
    let sealer = MultiSealer::new(device.id(), &device.signing, &readers).unwrap();
    sealer.seal_into(&heading(&device, 0), secret, NOW, &mut rng(), &mut buffer).unwrap();
    assert!(!buffer.windows(16).any(|window| window == secret));
    for available in 0..needed {
        let short = sealer.seal_into(&heading(&device, 0), secret, NOW, &mut rng(), &mut vec![0; available]);
        assert!(matches!(short, Err(SealError::Buffer(short)) if short.needed == needed), "{available}");
    }
}

#[test]
fn a_reader_opens_with_the_key_of_an_earlier_bundle() {
    let device = Party::new(1);
    let (old, new) = (Party::new(2), Party::new(3));
    let message = sealed(&device, &[&old, &Party::new(4)], Carries::Position, b"21.5");
    let secrets = [
        iot_crypto::AgreementSecret::from_bytes(&new.agreement_seed()),
        iot_crypto::AgreementSecret::from_bytes(&old.agreement_seed()),
    ];
    let mut opener = Opener::new(&secrets, device.signing.verifying_key(), Seen::default());
    let mut message = message.clone();
    assert_eq!(opener.open(Some(topic()), &mut message, &mut [0; 1024]).unwrap().payload(), b"21.5");
}

/// The vector that `docs/formats/envelope.md` names: whoever changes a format octet changes this.
#[test]
fn the_documented_vector_is_what_is_sealed() {
    let message = sealed(&Party::new(1), &[&Party::new(2), &Party::new(3)], Carries::Position, b"21.5 Cel");
    let text = include_str!("../vectors/envelope.txt");
    assert_eq!(vector(text, "message to two readers"), message);
    assert_eq!(vector(text, "second reader agreement secret"), Party::new(3).agreement_seed());
}

/// What is signed inside, as a reader sees it.
fn signed_inside(message: &[u8], reader: &Party) -> Vec<u8> {
    let (_, routing_len) = RoutingHeader::parse(message).unwrap();
    let envelope = Encrypt::parse(&message[routing_len..]).unwrap();
    let recipient = envelope.recipient(reader.agreement.thumbprint().as_bytes()).unwrap();
    let key = recipient.unwrap_key(&reader.agreement, Algorithm::ChaCha20Poly1305).unwrap();
    let (_, _, recipients) = parts(message);
    let hash = sha256(&message[recipients]);
    let mut buffer = vec![0; envelope.open_len(routing_len + 32)];
    envelope.open_into(&key, &[&message[..routing_len], &hash].concat(), &mut buffer).unwrap().to_vec()
}

/// An envelope that a reader makes of something signed: everything that needs no signing key is right.
fn envelope_of(message: &[u8], signed: &[u8], readers: &[&Party]) -> Vec<u8> {
    envelope_committing(&content_key_octets(), message, signed, readers)
}

/// The same, with a commitment to any key.
fn envelope_committing(committed: &[u8; 32], message: &[u8], signed: &[u8], readers: &[&Party]) -> Vec<u8> {
    let (_, routing_len) = RoutingHeader::parse(message).unwrap();
    let routing = &message[..routing_len];
    let mut keys: Vec<_> = readers.iter().map(|reader| *reader.agreement.public()).collect();
    keys.sort_by_key(|key| *key.thumbprint().as_bytes());
    // The same generator draws the same content key first, whatever is sealed.
    let draft = Encrypt::seal(&keys, signed, b"", &mut rng()).unwrap();
    let content_key = ContentKey::generate(&mut rng());
    let recipients = &draft[draft.len() - 128 * keys.len()..];
    let commitment = hmac_sha256(committed, b"iot content key 1");
    let mut protected = vec![0xa2, 0x01, 0x18, 0x18, 0x3a, 0x00, 0x01, 0x00, 0x01, 0x58, 0x20];
    protected.extend_from_slice(&commitment);
    let external = [routing, &sha256(recipients)].concat();
    let ciphertext = encrypted(&content_key_octets(), &protected, &external, signed);
    drop(content_key);
    let mut writer = iot_codec::cbor::Writer::new([routing, &[0xd8, 0x60]].concat());
    writer.array(4).unwrap();
    writer.bytes(&protected).unwrap();
    writer.map(1).unwrap();
    writer.int(5).unwrap();
    writer.bytes(&[0; 12]).unwrap();
    writer.bytes(&ciphertext).unwrap();
    writer.array(keys.len() as u64).unwrap();
    writer.put(recipients).unwrap();
    writer.into_output()
}

fn content_key_octets() -> [u8; 32] {
    use rand_core::Rng as _;
    let mut octets = [0; 32];
    rng().fill_bytes(&mut octets);
    octets
}

fn encrypted(key: &[u8; 32], protected: &[u8], external: &[u8], plaintext: &[u8]) -> Vec<u8> {
    use chacha20poly1305::aead::AeadInOut as _;
    use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
    let mut aad = iot_codec::cbor::Writer::new(Vec::new());
    aad.array(3).unwrap();
    aad.text("Encrypt").unwrap();
    aad.bytes(protected).unwrap();
    aad.bytes(external).unwrap();
    let mut content = plaintext.to_vec();
    let cipher = ChaCha20Poly1305::new(key.into());
    let tag =
        cipher.encrypt_inout_detached(&[0; 12].into(), &aad.into_output(), content.as_mut_slice().into()).unwrap();
    content.extend_from_slice(&tag);
    content
}

fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    use hmac::{KeyInit as _, Mac as _};
    hmac::Hmac::<sha2::Sha256>::new_from_slice(key).unwrap().chain_update(message).finalize().into_bytes().into()
}

fn sha256(octets: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(octets).into()
}
