//! Other implementations of HPKE open what is sealed here, and what they seal is opened here.

use iot_core::{Incarnation, Position, StreamId, Timestamp, Topic};
use iot_crypto::{
    AgreementSecret, Carries, Heading, KeyBundle, Opener, RoutingHeader, Sealer, SigningKey, Trackers, VerifyingKey,
};
#[cfg(feature = "x-wing")]
use iot_crypto::{BundleDraft, MultiSealer, XWingKey, XWingSecret};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use crate::child::{hex, octets, python};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
const EXPIRES: Timestamp = Timestamp::from_secs(1_800_000_000);

/// pyhpke opens each message, with the `info` and `aad` that `docs/formats/envelope.md` defines, and refuses it with
/// one bit flipped. It then seals anew what it found inside, which the opener verifies, and refuses with one bit
/// flipped.
#[test]
#[ignore = "needs the python packages pyhpke, cbor2 and cryptography"]
fn pyhpke_opens_and_seals_1000_messages() {
    exchange(1000, "hpke_messages.py", |rng, message| message.seal_with_hpke_4(rng));
}

/// pyca/cryptography does the same with X-Wing.
#[cfg(feature = "x-wing")]
#[test]
#[ignore = "needs the python packages cryptography and cbor2"]
fn pyca_cryptography_opens_and_seals_200_messages_of_x_wing() {
    exchange(200, "x_wing.py", |rng, message| message.seal_with_hpke_9(rng));
}

#[cfg(feature = "x-wing")]
#[test]
#[ignore = "needs the python packages cryptography and cbor2"]
fn pyca_cryptography_opens_and_seals_100_messages_of_x_wing_for_several() {
    exchange(100, "x_wing.py", |rng, message| message.seal_with_hpke_9_for_several(rng));
}

fn exchange(count: usize, script: &str, seal: impl Fn(&mut ChaCha20Rng, &mut Message)) {
    let mut rng = ChaCha20Rng::from_seed([14; 32]);
    let messages: Vec<_> = (0..count).map(|_| Message::random(&mut rng, &seal)).collect();
    let lines: String = messages.iter().map(Message::line).collect();
    let theirs = python(script, &lines);
    assert_eq!(theirs.lines().count(), messages.len());
    for (ours, theirs) in messages.iter().zip(theirs.lines()) {
        let theirs = [&ours.octets[..ours.routing_len], &octets(theirs)].concat();
        assert_ne!(theirs, ours.octets, "sealed anew");
        for reader in 0..ours.secrets.len() {
            assert_eq!(ours.open(reader, &ours.octets).as_ref(), Some(&ours.payload));
            assert_eq!(ours.open(reader, &theirs).as_ref(), Some(&ours.payload));
        }
        let bit = rng.next_u32() as usize % (theirs.len() * 8);
        let mut altered = theirs;
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(ours.open(0, &altered), None, "bit {bit}");
    }
}

/// A message, with what opens it.
struct Message {
    device: SigningKey,
    /// One for each reader.
    secrets: Vec<[u8; 32]>,
    position: Position,
    topic: String,
    payload: Vec<u8>,
    octets: Vec<u8>,
    routing_len: usize,
}

impl Message {
    fn random(rng: &mut ChaCha20Rng, seal: impl Fn(&mut ChaCha20Rng, &mut Self)) -> Self {
        let mut payload = vec![0; (rng.next_u32() % 400) as usize];
        rng.fill_bytes(&mut payload);
        let device = SigningKey::generate(rng);
        let position = Position {
            source: device.verifying_key().device_id(),
            stream: StreamId::new(rng.next_u32() >> (rng.next_u32() % 32)),
            incarnation: Incarnation::from_bytes(rng.next_u64().to_be_bytes()),
            sequence: rng.next_u64() >> (rng.next_u32() % 64),
        };
        let topic = format!("plant/{}", rng.next_u32() % 1000);
        let (secrets, octets, routing_len) = (Vec::new(), Vec::new(), 0);
        let mut message = Self { device, secrets, position, topic, payload, octets, routing_len };
        seal(rng, &mut message);
        (_, message.routing_len) = RoutingHeader::parse(&message.octets).unwrap();
        message
    }

    fn heading(&self) -> Heading<'_> {
        Heading { topic: Topic::new(&self.topic).unwrap(), position: self.position }
    }

    fn draw_secret(&mut self, rng: &mut ChaCha20Rng) -> [u8; 32] {
        let mut secret = [0; 32];
        rng.fill_bytes(&mut secret);
        self.secrets.push(secret);
        secret
    }

    fn seal_with_hpke_4(&mut self, rng: &mut ChaCha20Rng) {
        let reader = AgreementSecret::from_bytes(&self.draw_secret(rng));
        let owner = SigningKey::generate(rng);
        let issued = KeyBundle::issue(&owner, reader.public(), 1, EXPIRES).unwrap();
        let bundle = KeyBundle::verify(&issued, &owner.verifying_key().device_id(), NOW).unwrap();
        let carries = [Carries::Position, Carries::Source, Carries::SourceAndTopic][(rng.next_u32() % 3) as usize];
        let sealer = Sealer::new(self.position.source, &self.device, bundle).carrying(carries);
        self.octets = sealer.seal(&self.heading(), &self.payload, NOW, rng).unwrap();
    }

    #[cfg(feature = "x-wing")]
    fn seal_with_hpke_9(&mut self, rng: &mut ChaCha20Rng) {
        let (bundle, key) = self.x_wing_reader(rng);
        let sealer = Sealer::new(self.position.source, &self.device, bundle).to_x_wing(&key).unwrap();
        self.octets = sealer.seal(&self.heading(), &self.payload, NOW, rng).unwrap();
    }

    #[cfg(feature = "x-wing")]
    fn seal_with_hpke_9_for_several(&mut self, rng: &mut ChaCha20Rng) {
        let count = 1 + rng.next_u32() % 4;
        let (bundles, keys): (Vec<_>, Vec<_>) = (0..count).map(|_| self.x_wing_reader(rng)).unzip();
        let sealer = MultiSealer::new(self.position.source, &self.device, &bundles).unwrap();
        let sealer = sealer.to_x_wing(&keys).unwrap();
        self.octets = sealer.seal(&self.heading(), &self.payload, NOW, rng).unwrap();
    }

    #[cfg(feature = "x-wing")]
    fn x_wing_reader(&mut self, rng: &mut ChaCha20Rng) -> (KeyBundle, XWingKey) {
        let key = XWingSecret::from_bytes(&self.draw_secret(rng)).public().clone();
        let (owner, x25519) = (SigningKey::generate(rng), AgreementSecret::generate(rng));
        let issued = BundleDraft::new(x25519.public(), 1, EXPIRES).with_x_wing(&key).issue(&owner).unwrap();
        (KeyBundle::verify(&issued, &owner.verifying_key().device_id(), NOW).unwrap(), key)
    }

    /// One line of hexadecimal fields, as the scripts read them.
    fn line(&self) -> String {
        let (routing, envelope) = self.octets.split_at(self.routing_len);
        let fields = [&self.secrets.concat(), routing, envelope, &self.payload].map(hex);
        format!("{}\n", fields.join(" "))
    }

    /// Opened with the secret of one reader, as a key of each kind.
    fn open(&self, reader: usize, octets: &[u8]) -> Option<Vec<u8>> {
        let secret = self.secrets[reader];
        let secrets = [AgreementSecret::from_bytes(&secret)];
        let device: VerifyingKey = self.device.verifying_key();
        let opener = Opener::new(&secrets, device, <Trackers>::new(1, 1).unwrap());
        #[cfg(feature = "x-wing")]
        let secrets = [XWingSecret::from_bytes(&secret)];
        #[cfg(feature = "x-wing")]
        let opener = opener.with_x_wing(&secrets);
        let (mut opener, mut octets, mut scratch) = (opener, octets.to_vec(), vec![0; 8192]);
        let opened = opener.open(Some(self.heading().topic), &mut octets, &mut scratch).ok()?;
        Some(opened.payload().to_vec())
    }
}
