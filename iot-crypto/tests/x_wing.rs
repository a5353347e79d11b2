//! Messages sealed with X-Wing, beside those of HPKE-4: neither passes for the other.

#![cfg(feature = "x-wing")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use iot_core::{DeviceId, Incarnation, Position, StreamId, Timestamp, Topic};
use iot_crypto::cose::{CoseError, DecryptError, Encrypt0};
use iot_crypto::{
    AgreementSecret, Audience, BundleDraft, Heading, KeyBundle, MultiSealer, OpenError, Opener, Padding, Policy,
    PolicyError, RoutingHeader, SealError, Sealer, SigningKey, SignsElsewhere, Stability, Strength, Suite, Trackers,
    VerifyingKey, XWingKey, XWingSecret,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
const PAYLOAD: &[u8] = b"21.5 Cel";

struct Parties {
    device: SigningKey,
    server: SigningKey,
    x25519: [AgreementSecret; 1],
    x_wing: [XWingSecret; 1],
}

impl Parties {
    fn new() -> Self {
        Self {
            device: SigningKey::from_seed(&[1; 32]),
            server: SigningKey::from_seed(&[2; 32]),
            x25519: [AgreementSecret::from_bytes(&[0x82; 32])],
            x_wing: [XWingSecret::from_bytes(&[0x42; 32])],
        }
    }

    fn source(&self) -> DeviceId {
        self.device.verifying_key().device_id()
    }

    fn heading(&self) -> Heading<'static> {
        let incarnation = Incarnation::from_bytes([1, 2, 3, 4, 5, 6, 7, 8]);
        let position = Position { source: self.source(), stream: StreamId::new(0), incarnation, sequence: 70_001 };
        Heading { topic: topic(), position }
    }

    /// A bundle that names both keys.
    fn bundle(&self) -> KeyBundle {
        bundle(&self.server, &self.x25519[0], self.x_wing[0].public())
    }

    fn sealer(&self) -> Sealer<'_, SigningKey> {
        Sealer::new(self.source(), &self.device, self.bundle())
    }

    fn sealed(&self) -> Vec<u8> {
        let sealer = self.sealer().to_x_wing(self.x_wing[0].public()).unwrap();
        sealer.seal(&self.heading(), PAYLOAD, NOW, &mut rng()).unwrap()
    }

    fn opener(&self) -> Opener<'_, VerifyingKey, Trackers> {
        let replay = Trackers::new(10, 10).unwrap();
        Opener::new(&self.x25519, self.device.verifying_key(), replay).with_x_wing(&self.x_wing)
    }

    fn open(&self, message: &[u8]) -> Result<Vec<u8>, OpenError> {
        let mut message = message.to_vec();
        let opened = self.opener().open(Some(topic()), &mut message, &mut [0; 8192])?.payload().to_vec();
        Ok(opened)
    }
}

fn bundle(owner: &SigningKey, x25519: &AgreementSecret, x_wing: &XWingKey) -> KeyBundle {
    let draft = BundleDraft::new(x25519.public(), 1, Timestamp::from_secs(1_800_000_000));
    let octets = draft.with_x_wing(x_wing).issue(owner).unwrap();
    KeyBundle::verify(&octets, &owner.verifying_key().device_id(), NOW).unwrap()
}

fn topic() -> Topic<'static> {
    Topic::new("plant/7/boiler/12").unwrap()
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([3; 32])
}

#[test]
fn a_message_arrives_once_for_its_reader() {
    let parties = Parties::new();
    let message = parties.sealed();
    let mut opener = parties.opener().with_policy(Policy::new().at_least(Strength::PostQuantum));
    let (mut first, mut again) = (message.clone(), message);
    let opened = opener.open(Some(topic()), &mut first, &mut [0; 4096]).unwrap();
    assert_eq!((opened.payload(), opened.audience()), (PAYLOAD, Audience::Reader));
    assert_eq!(opened.heading(), &parties.heading());
    let repeated = opener.open(Some(topic()), &mut again, &mut [0; 4096]);
    assert!(matches!(repeated, Err(OpenError::Replay(_))), "{repeated:?}");
}

#[test]
fn costs_1089_octets_more_than_hpke_4() {
    let parties = Parties::new();
    let short = parties.sealer().seal(&parties.heading(), PAYLOAD, NOW, &mut rng()).unwrap();
    assert_eq!(parties.sealed().len() - short.len(), 1_089);
}

/// Sealed by another program with another library; the vector says by which.
#[test]
fn opens_the_published_vector() {
    assert_eq!(Parties::new().open(&vector("message")).unwrap(), PAYLOAD);
}

/// The octets of a line of the vectors.
fn vector(name: &str) -> Vec<u8> {
    let text = include_str!("vectors/x_wing.txt");
    let digits = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap();
    (0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// Each bit of the header, the heads and the ciphertext, and one of each octet of the long encapsulated key.
#[test]
fn refuses_a_message_with_a_bit_flipped() {
    let parties = Parties::new();
    let message = parties.sealed();
    let (_, routing_len) = RoutingHeader::parse(&message).unwrap();
    let sealed = Encrypt0::parse(&message[routing_len..]).unwrap();
    let encapsulated = sealed.headers().encapsulated_key.unwrap().as_ptr() as usize - message.as_ptr() as usize;
    let long = encapsulated + 1..encapsulated + 1_120;
    for octet in 0..message.len() {
        let bits = if long.contains(&octet) { octet % 8..octet % 8 + 1 } else { 0..8 };
        for bit in bits {
            let mut altered = message.clone();
            altered[octet] ^= 1 << bit;
            assert!(parties.open(&altered).is_err(), "bit {bit} of octet {octet}");
        }
    }
}

#[test]
fn refuses_every_truncation_and_an_octet_more() {
    let parties = Parties::new();
    let mut message = parties.sealed();
    for end in (0..message.len()).step_by(7) {
        assert!(parties.open(&message[..end]).is_err(), "{end} octets");
    }
    message.push(0);
    assert!(parties.open(&message).is_err());
}

/// The number of one suite in the protected header of the other.
#[test]
fn neither_suite_passes_for_the_other() {
    let parties = Parties::new();
    let renumbered = |mut message: Vec<u8>, from: u8, to: u8| {
        let at = message.windows(3).position(|window| window == [0x01, 0x18, from]).unwrap();
        message[at + 2] = to;
        message
    };
    let refused = parties.open(&renumbered(parties.sealed(), 56, 42));
    assert!(matches!(refused, Err(OpenError::OtherReader(_))), "{refused:?}");
    let short = parties.sealer().seal(&parties.heading(), PAYLOAD, NOW, &mut rng()).unwrap();
    let refused = parties.open(&renumbered(short, 42, 56));
    assert!(matches!(refused, Err(OpenError::OtherReader(_))), "{refused:?}");

    // Even where the key's name is the one that is looked for.
    let key = parties.x_wing[0].public();
    let (x25519, x_wing) = (&parties.x25519[0], &parties.x_wing[0]);
    let plain = Encrypt0::seal_to_x_wing(key, PAYLOAD, b"", &mut rng()).unwrap();
    let plain = Encrypt0::parse(&plain).unwrap();
    assert_eq!(plain.open_sealed_into(x25519, b"", &mut [0; 256]), Err(DecryptError::Algorithm(56)));
    assert_eq!(*plain.open_x_wing(x_wing, b"").unwrap(), PAYLOAD);
    assert_eq!(plain.open_x_wing(x_wing, b"other").err(), Some(DecryptError::Decryption));
    let mut buffer = [0; 256];
    let len = Encrypt0::seal_to_into(x25519.public(), PAYLOAD, b"", &mut rng(), &mut buffer).unwrap();
    let short = Encrypt0::parse(&buffer[..len]).unwrap();
    assert_eq!(short.open_x_wing(x_wing, b"").err(), Some(DecryptError::Algorithm(42)));
}

/// A reader passes a message on that was sealed with one suite, sealed anew with the other: the signature names the
/// suite.
#[test]
fn a_signature_holds_within_its_suite_alone() {
    let parties = Parties::new();
    let message = parties.sealed();
    let (_, routing_len) = RoutingHeader::parse(&message).unwrap();
    let (routing, envelope) = message.split_at(routing_len);
    let inner = Encrypt0::parse(envelope).unwrap().open_x_wing(&parties.x_wing[0], routing).unwrap();
    let mut buffer = [0; 512];
    let len = Encrypt0::seal_to_into(parties.x25519[0].public(), &inner, routing, &mut rng(), &mut buffer).unwrap();
    let passed_on = [routing, &buffer[..len]].concat();
    assert!(matches!(parties.open(&passed_on), Err(OpenError::Signature(_))));
    let sealed = Encrypt0::seal_to_x_wing(parties.x_wing[0].public(), &inner, routing, &mut rng()).unwrap();
    assert_eq!(parties.open(&[routing, &sealed].concat()).unwrap(), PAYLOAD);
}

#[test]
fn a_floor_refuses_what_a_quantum_computer_could_read() {
    let parties = Parties::new();
    let mut short = parties.sealer().seal(&parties.heading(), PAYLOAD, NOW, &mut rng()).unwrap();
    let mut opener = parties.opener().with_policy(Policy::new().at_least(Strength::PostQuantum));
    let refused = opener.open(Some(topic()), &mut short, &mut [0; 4096]).map(drop);
    let expected = PolicyError::Suite { found: Suite::Hpke4, floor: Strength::PostQuantum };
    assert_eq!(refused, Err(OpenError::Policy(expected)));
    assert!(Strength::PostQuantum > Strength::Sealed);
    assert_eq!(Suite::Hpke9.row().stability, Stability::Experimental);
}

#[test]
fn a_reader_without_the_key_says_so() {
    let parties = Parties::new();
    let mut opener = Opener::new(&parties.x25519, parties.device.verifying_key(), <Trackers>::new(1, 1).unwrap());
    let refused = opener.open(Some(topic()), &mut parties.sealed(), &mut [0; 4096]).map(drop);
    assert_eq!(refused, Err(OpenError::OtherReader(parties.x_wing[0].public().key_id())));
}

#[test]
fn seals_to_no_key_that_the_bundle_does_not_name() {
    let parties = Parties::new();
    let other = XWingSecret::from_bytes(&[9; 32]);
    let refused = parties.sealer().to_x_wing(other.public()).err();
    assert_eq!(refused, Some(SealError::OtherKey(other.public().key_id())));
    let octets = KeyBundle::issue(&parties.server, parties.x25519[0].public(), 1, Timestamp::from_secs(1_800_000_000));
    let device = parties.server.verifying_key().device_id();
    let without = KeyBundle::verify(&octets.unwrap(), &device, NOW).unwrap();
    assert_eq!(without.x_wing(), None);
    assert!(Sealer::new(parties.source(), &parties.device, without).to_x_wing(other.public()).is_err());
}

/// Both keys in the longest bundle that there is: it still fits where short ones do.
#[test]
fn a_bundle_names_the_key_within_the_same_limit() {
    let parties = Parties::new();
    let draft = BundleDraft::new(parties.x25519[0].public(), u64::MAX, Timestamp::from_micros(u64::MAX));
    let draft = draft.committing_to(&parties.device.verifying_key().thumbprint());
    let octets = draft.with_x_wing(parties.x_wing[0].public()).issue(&parties.server).unwrap();
    assert!(octets.len() < KeyBundle::MAX_LEN, "{} octets, and one more with a key on P-256", octets.len());
    let bundle = KeyBundle::verify(&octets, &parties.server.verifying_key().device_id(), NOW).unwrap();
    assert_eq!(bundle.x_wing(), Some(parties.x_wing[0].public().thumbprint()));
}

#[test]
fn pads_and_signs_in_two_steps_as_other_messages() {
    let parties = Parties::new();
    let elsewhere = SignsElsewhere(parties.device.verifying_key());
    let sealer = Sealer::new(parties.source(), &elsewhere, parties.bundle());
    let sealer = sealer.to_x_wing(parties.x_wing[0].public()).unwrap();
    let sealer = sealer.padded(Padding::Multiple(128.try_into().unwrap()));
    let mut buffer = vec![0; sealer.buffer_len(&parties.heading(), PAYLOAD.len()).unwrap()];
    let unsigned = sealer.begin(&parties.heading(), PAYLOAD, NOW, &mut buffer).unwrap();
    let signature = parties.device.sign(unsigned.to_be_signed());
    let len = unsigned.finish(signature, &mut rng()).unwrap();
    assert_eq!(parties.open(&buffer[..len]).unwrap(), PAYLOAD);
    let ciphertext = Encrypt0::parse(&buffer[12..len]).unwrap().ciphertext();
    assert_eq!(ciphertext.len(), 128 + 16);
}

#[test]
fn an_encapsulated_key_of_another_length_is_refused() {
    let parties = Parties::new();
    let mut buffer = [0; 512];
    let len = Encrypt0::seal_to_into(parties.x25519[0].public(), PAYLOAD, b"", &mut rng(), &mut buffer).unwrap();
    let mut structure = buffer[..len].to_vec();
    structure[5] = 56;
    let message = parties.sealed();
    let (_, routing_len) = RoutingHeader::parse(&message).unwrap();
    structure[8..16].copy_from_slice(parties.x_wing[0].public().key_id().as_bytes());
    assert_eq!(Encrypt0::parse(&structure).unwrap().headers().algorithm.number(), 56);
    let refused = parties.open(&[&message[..routing_len], &structure].concat());
    assert_eq!(refused, Err(OpenError::NoEncapsulatedKey));
}

/// Readers with a bundle and an X-Wing key each, of whom the first is the server of `Parties`.
fn readers() -> (Vec<KeyBundle>, Vec<XWingKey>) {
    let parties = Parties::new();
    let others = [(3, 4, 5), (6, 7, 8)].map(|(owner, x25519, x_wing)| {
        let x_wing = XWingSecret::from_bytes(&[x_wing; 32]).public().clone();
        let x25519 = AgreementSecret::from_bytes(&[x25519; 32]);
        (bundle(&SigningKey::from_seed(&[owner; 32]), &x25519, &x_wing), x_wing)
    });
    [(parties.bundle(), parties.x_wing[0].public().clone())].into_iter().chain(others).unzip()
}

fn sealed_to(count: usize) -> Vec<u8> {
    let (parties, (bundles, keys)) = (Parties::new(), readers());
    let sealer = MultiSealer::new(parties.source(), &parties.device, &bundles[..count]).unwrap();
    let sealer = sealer.to_x_wing(&keys[..count]).unwrap();
    sealer.seal(&parties.heading(), PAYLOAD, NOW, &mut rng()).unwrap()
}

#[test]
fn a_message_for_several_arrives_at_each_of_them() {
    let (parties, message) = (Parties::new(), sealed_to(3));
    for seed in [0x42, 5, 8] {
        let secrets = [XWingSecret::from_bytes(&[seed; 32])];
        let opener = parties.opener().with_x_wing(&secrets);
        let mut opener = opener.with_policy(Policy::new().at_least(Strength::PostQuantum));
        let mut message = message.clone();
        let opened = opener.open(Some(topic()), &mut message, &mut [0; 8192]).unwrap();
        assert_eq!((opened.payload(), opened.audience()), (PAYLOAD, Audience::Readers));
    }
    let secrets = [XWingSecret::from_bytes(&[9; 32])];
    let mut stranger = parties.opener().with_x_wing(&secrets);
    let refused = stranger.open(Some(topic()), &mut message.clone(), &mut [0; 8192]).map(drop);
    assert!(matches!(refused, Err(OpenError::OtherReader(_))), "{refused:?}");
    assert_eq!(sealed_to(2).len() - sealed_to(1).len(), 128 + 1_089);
}

/// One bit of each octet, and all of those that are not in an encapsulated key.
#[test]
fn refuses_a_message_for_several_with_a_bit_flipped() {
    let parties = Parties::new();
    let message = sealed_to(2);
    let recipients = message.len() - 2 * (128 + 1_089);
    for octet in 0..message.len() {
        let bits = if octet < recipients + 45 { 0..8 } else { octet % 8..octet % 8 + 1 };
        for bit in bits {
            let mut altered = message.clone();
            altered[octet] ^= 1 << bit;
            assert!(parties.open(&altered).is_err(), "bit {bit} of octet {octet}");
        }
    }
}

/// Whoever reads what is encrypted to one reader reads what all of them got.
#[test]
fn no_reader_of_a_post_quantum_message_has_another_kind_of_key() {
    let parties = Parties::new();
    let message = sealed_to(2);
    let numbers: Vec<_> = (2..message.len()).filter(|end| message[end - 2..=*end] == [0x01, 0x18, 57]).collect();
    assert_eq!(numbers.len(), 2);
    for (number, other) in [(numbers[0], 57), (numbers[1], 50)] {
        let mut altered = message.clone();
        altered[number] = 50;
        assert_eq!(parties.open(&altered), Err(OpenError::Cose(CoseError::Algorithm(other))));
    }
    let mut short = message;
    short[numbers[0]] = 50;
    let mut opener = parties.opener().with_policy(Policy::new().at_least(Strength::PostQuantum));
    let refused = opener.open(Some(topic()), &mut short, &mut [0; 8192]).map(drop);
    let expected = PolicyError::Suite { found: Suite::Hpke4KeyEncryption, floor: Strength::PostQuantum };
    assert_eq!(refused, Err(OpenError::Policy(expected)));
}

#[test]
fn seals_for_several_only_to_the_keys_that_their_bundles_name() {
    let (parties, (bundles, mut keys)) = (Parties::new(), readers());
    let sealer = || MultiSealer::new(parties.source(), &parties.device, &bundles).unwrap();
    assert_eq!(sealer().to_x_wing(&keys[..2]).err(), Some(SealError::Readers { count: 2 }));
    keys.swap(0, 1);
    assert_eq!(sealer().to_x_wing(&keys).err(), Some(SealError::OtherKey(keys[0].key_id())));
}

/// Sealed by another program with another library; the vector says by which.
#[test]
fn opens_the_published_vector_for_several() {
    assert_eq!(Parties::new().open(&vector("several")).unwrap(), PAYLOAD);
}
