//! Another implementation of HPKE opens what the sealer seals, and the opener what that one seals.

use iot_core::{Incarnation, Position, StreamId, Timestamp, Topic};
use iot_crypto::{
    AgreementSecret, Carries, Heading, KeyBundle, Opener, RoutingHeader, Sealer, SigningKey, Trackers, VerifyingKey,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use crate::child::{hex, octets, python};

/// pyhpke opens each message, with the `info` and `aad` that `docs/formats/envelope.md` defines, and refuses it with
/// one bit flipped. It then seals anew what it found inside, which the opener verifies, and refuses with one bit
/// flipped.
#[test]
#[ignore = "needs the python packages pyhpke, cbor2 and cryptography"]
fn pyhpke_opens_and_seals_1000_messages() {
    let mut rng = ChaCha20Rng::from_seed([14; 32]);
    let messages: Vec<_> = (0..1000).map(|_| Message::random(&mut rng)).collect();
    let lines: String = messages.iter().map(Message::line).collect();
    let theirs = python("hpke_messages.py", &lines);
    assert_eq!(theirs.lines().count(), messages.len());
    for (ours, theirs) in messages.iter().zip(theirs.lines()) {
        let theirs = [&ours.octets[..ours.routing_len], &octets(theirs)].concat();
        assert_ne!(theirs, ours.octets, "sealed anew");
        assert_eq!(ours.open(&ours.octets).as_ref(), Some(&ours.payload));
        assert_eq!(ours.open(&theirs).as_ref(), Some(&ours.payload));
        let bit = rng.next_u32() as usize % (theirs.len() * 8);
        let mut altered = theirs;
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(ours.open(&altered), None, "bit {bit}");
    }
}

/// A sealed message, with what opens it.
struct Message {
    device: VerifyingKey,
    secret: [u8; 32],
    topic: String,
    payload: Vec<u8>,
    octets: Vec<u8>,
    routing_len: usize,
}

impl Message {
    fn random(rng: &mut ChaCha20Rng) -> Self {
        let (mut secret, mut incarnation) = ([0; 32], [0; 8]);
        rng.fill_bytes(&mut secret);
        rng.fill_bytes(&mut incarnation);
        let mut payload = vec![0; (rng.next_u32() % 400) as usize];
        rng.fill_bytes(&mut payload);
        let (device, server) = (SigningKey::generate(rng), SigningKey::generate(rng));
        let source = device.verifying_key().device_id();
        let stream = StreamId::new(rng.next_u32() >> (rng.next_u32() % 32));
        let sequence = rng.next_u64() >> (rng.next_u32() % 64);
        let position = Position { source, stream, incarnation: Incarnation::from_bytes(incarnation), sequence };
        let topic = format!("plant/{}", rng.next_u32() % 1000);

        let now = Timestamp::from_secs(1_767_225_600);
        let reader = AgreementSecret::from_bytes(&secret);
        let issued = KeyBundle::issue(&server, reader.public(), 1, Timestamp::from_secs(1_800_000_000)).unwrap();
        let bundle = KeyBundle::verify(&issued, &server.verifying_key().device_id(), now).unwrap();
        let carries = [Carries::Position, Carries::Source, Carries::SourceAndTopic][(rng.next_u32() % 3) as usize];
        let heading = Heading { topic: Topic::new(&topic).unwrap(), position };
        let octets = Sealer::new(source, &device, bundle).carrying(carries).seal(&heading, &payload, now, rng).unwrap();
        let (_, routing_len) = RoutingHeader::parse(&octets).unwrap();
        Self { device: device.verifying_key(), secret, topic, payload, octets, routing_len }
    }

    /// One line of hexadecimal fields, as `hpke_messages.py` reads them.
    fn line(&self) -> String {
        let (routing, envelope) = self.octets.split_at(self.routing_len);
        let fields = [&self.secret[..], routing, envelope, &self.payload].map(hex);
        format!("{}\n", fields.join(" "))
    }

    fn open(&self, octets: &[u8]) -> Option<Vec<u8>> {
        let secrets = [AgreementSecret::from_bytes(&self.secret)];
        let mut opener = Opener::new(&secrets, self.device, <Trackers>::new(1, 1).unwrap());
        let topic = Topic::new(&self.topic).unwrap();
        let (mut octets, mut scratch) = (octets.to_vec(), vec![0; 1024]);
        opener.open(Some(topic), &mut octets, &mut scratch).ok().map(|opened| opened.payload().to_vec())
    }
}
