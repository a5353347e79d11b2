//! Another implementation of HPKE-9 opens what the sealer seals, and the opener what that one seals.

use iot_core::{Incarnation, Position, StreamId, Timestamp, Topic};
use iot_crypto::{
    AgreementSecret, BundleDraft, Heading, KeyBundle, Opener, RoutingHeader, Sealer, SigningKey, Trackers, XWingSecret,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use crate::child::{hex, octets, python};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

/// pyca/cryptography opens each message, with the `aad` that `docs/formats/envelope.md` defines, and refuses it with
/// one bit flipped. It then seals anew what it found inside, which the opener verifies, and refuses with one bit
/// flipped.
#[test]
#[ignore = "needs the python packages cryptography and cbor2"]
fn pyca_cryptography_opens_and_seals_200_messages() {
    let mut rng = ChaCha20Rng::from_seed([15; 32]);
    let messages: Vec<_> = (0..200).map(|_| Message::random(&mut rng)).collect();
    let lines: String = messages.iter().map(Message::line).collect();
    let theirs = python("x_wing.py", &lines);
    assert_eq!(theirs.lines().count(), messages.len());
    for (ours, theirs) in messages.iter().zip(theirs.lines()) {
        let theirs = [&ours.octets[..ours.routing_len], &octets(theirs)].concat();
        assert_ne!(theirs, ours.octets, "sealed anew");
        assert_eq!(ours.open(&theirs).as_ref(), Some(&ours.payload));
        let bit = rng.next_u32() as usize % (theirs.len() * 8);
        let mut altered = theirs;
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(ours.open(&altered), None, "bit {bit}");
    }
}

/// A sealed message, with what opens it.
struct Message {
    device: SigningKey,
    seed: [u8; 32],
    payload: Vec<u8>,
    octets: Vec<u8>,
    routing_len: usize,
}

impl Message {
    fn random(rng: &mut ChaCha20Rng) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let mut payload = vec![0; (rng.next_u32() % 400) as usize];
        rng.fill_bytes(&mut payload);
        let (device, server) = (SigningKey::generate(rng), SigningKey::generate(rng));
        let source = device.verifying_key().device_id();
        let incarnation = Incarnation::from_bytes(rng.next_u64().to_be_bytes());
        let sequence = rng.next_u64() >> (rng.next_u32() % 64);
        let position = Position { source, stream: StreamId::new(rng.next_u32()), incarnation, sequence };

        let (x25519, reader) = (AgreementSecret::generate(rng), XWingSecret::from_bytes(&seed));
        let draft = BundleDraft::new(x25519.public(), 1, Timestamp::from_secs(1_800_000_000));
        let issued = draft.with_x_wing(reader.public()).issue(&server).unwrap();
        let bundle = KeyBundle::verify(&issued, &server.verifying_key().device_id(), NOW).unwrap();
        let sealer = Sealer::new(source, &device, bundle).to_x_wing(reader.public()).unwrap();
        let octets = sealer.seal(&Heading { topic: topic(), position }, &payload, NOW, rng).unwrap();
        let (_, routing_len) = RoutingHeader::parse(&octets).unwrap();
        Self { device, seed, payload, octets, routing_len }
    }

    /// One line of hexadecimal fields, as `x_wing.py` reads them.
    fn line(&self) -> String {
        let (routing, envelope) = self.octets.split_at(self.routing_len);
        let fields = [&self.seed[..], routing, envelope, &self.payload].map(hex);
        format!("{}\n", fields.join(" "))
    }

    fn open(&self, octets: &[u8]) -> Option<Vec<u8>> {
        let secrets = [XWingSecret::from_bytes(&self.seed)];
        let none: &[AgreementSecret] = &[];
        let mut opener = Opener::new(none, self.device.verifying_key(), <Trackers>::new(1, 1).unwrap());
        opener = opener.with_x_wing(&secrets);
        let (mut octets, mut scratch) = (octets.to_vec(), vec![0; 4096]);
        opener.open(Some(topic()), &mut octets, &mut scratch).ok().map(|opened| opened.payload().to_vec())
    }
}

fn topic() -> Topic<'static> {
    Topic::new("plant/7").unwrap()
}
