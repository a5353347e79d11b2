//! Messages, and the structures in them.

use iot_core::{DeviceId, Incarnation, KeyId, Position, StreamId, Timestamp, Topic};
use iot_crypto::cose::{ContentKey, Encrypt, Encrypt0, Mac0, MacKey, Sign};
use iot_crypto::{AgreementSecret, Carries, Heading, KeyBundle, MultiSealer, Sealer, SigningKey};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

use crate::child::{hex, octets, python};

/// Each message is opened by python-cwt with HPKE-4, its signature verified by python-cwt, and every binding computed
/// anew by cbor2. A second time with one bit flipped, it must be refused. What was opened, and the bundle of its
/// reader's key, must follow the CDDL of `docs/formats/envelope.md`.
#[test]
#[ignore = "needs the python packages cwt, cbor2, cryptography, zcbor and pycddl"]
fn python_cwt_opens_1000_random_messages() {
    let mut rng = ChaCha20Rng::from_seed([11; 32]);
    let mut lines = String::new();
    for _ in 0..1000 {
        lines.push_str(&random_message(&mut rng));
    }
    let said = python("open.py", &lines);
    assert_eq!(said, "python-cwt opened 1000 messages and refused 1000 altered ones\n");
}

/// 1,000 structures of each kind go to python-cwt, which reads them and refuses altered ones; and as many come back
/// that it wrote of the same fields, which are read here, and refused when one bit is flipped. Messages to several
/// readers go one way, because python-cwt knows nothing of what binds them.
#[test]
#[ignore = "needs the python packages cwt, cbor2 and cryptography"]
fn python_cwt_reads_and_writes_1000_structures_of_each_kind() {
    let mut rng = ChaCha20Rng::from_seed([12; 32]);
    let mut structures = Vec::new();
    for kind in [Kind::Encrypt0, Kind::Mac0, Kind::Sign, Kind::Encrypt, Kind::Message] {
        structures.extend((0..1000).map(|_| Structure::random(kind, &mut rng)));
    }
    let lines: String = structures.iter().map(Structure::line).collect();
    let theirs = python("structures.py", &lines);
    let mut count = 0;
    for (ours, theirs) in structures.iter().filter(|ours| ours.kind != Kind::Message).zip(theirs.lines()) {
        let theirs = octets(theirs);
        assert!(ours.reads(&theirs), "{:?}", ours.kind);
        let bit = rng.next_u32() as usize % (theirs.len() * 8);
        let mut altered = theirs;
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(!ours.reads(&altered), "{:?}, bit {bit}", ours.kind);
        count += 1;
    }
    assert_eq!(count, 4000);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Encrypt0,
    Mac0,
    Sign,
    Encrypt,
    /// The envelope of a message to several readers.
    Message,
}

/// A structure of this crate, with what it is made of.
struct Structure {
    kind: Kind,
    first: [u8; 32],
    second: [u8; 32],
    external: Vec<u8>,
    content: Vec<u8>,
    octets: Vec<u8>,
}

impl Structure {
    fn random(kind: Kind, rng: &mut ChaCha20Rng) -> Self {
        let (mut first, mut second, mut iv) = ([0; 32], [0; 32], [0; 12]);
        rng.fill_bytes(&mut first);
        rng.fill_bytes(&mut second);
        rng.fill_bytes(&mut iv);
        let mut external = vec![0; (rng.next_u32() % 40) as usize];
        rng.fill_bytes(&mut external);
        // python-cwt takes no empty content.
        let mut content = vec![0; 1 + (rng.next_u32() % 400) as usize];
        rng.fill_bytes(&mut content);
        let name = KeyId::from_bytes(*b"a key id");
        let readers = [first, second].map(|secret| *AgreementSecret::from_bytes(&secret).public());
        let octets = match kind {
            Kind::Encrypt0 => Encrypt0::seal(&ContentKey::from_bytes(first), Some(&name), &iv, &content, &external),
            Kind::Mac0 => Mac0::authenticate(&MacKey::from_bytes(first), &name, &content, &external),
            Kind::Sign => {
                let (first, second) = (SigningKey::from_seed(&first), SigningKey::from_seed(&second));
                Sign::sign(&[&first, &second], &content, &external).unwrap()
            }
            Kind::Encrypt => Encrypt::seal(&readers, &content, &external, rng).unwrap(),
            Kind::Message => {
                let (routing, envelope, signed) = message_to_several(&first, &second, &content, rng);
                (external, content) = (routing, signed);
                envelope
            }
        };
        Self { kind, first, second, external, content, octets }
    }

    fn line(&self) -> String {
        let kind = format!("{:?}", self.kind).to_lowercase();
        let second = if matches!(self.kind, Kind::Encrypt0 | Kind::Mac0) { &[][..] } else { &self.second };
        let fields = [&self.first[..], second, &self.external, &self.content, &self.octets].map(hex);
        format!("{kind} {}\n", fields.join(" "))
    }

    /// Whether each of the keys gives the content.
    fn reads(&self, octets: &[u8]) -> bool {
        let (external, mut buffer) = (&self.external[..], vec![0; octets.len() + 1024]);
        let content = match self.kind {
            Kind::Encrypt0 => Encrypt0::parse(octets).ok().and_then(|sealed| {
                let content = sealed.open_into(&ContentKey::from_bytes(self.first), external, &mut buffer).ok()?;
                Some(content.to_vec())
            }),
            Kind::Mac0 => Mac0::parse(octets)
                .ok()
                .and_then(|it| it.verify(&MacKey::from_bytes(self.first), external).ok().map(<[u8]>::to_vec)),
            Kind::Sign => Sign::parse(octets).ok().and_then(|signed| {
                let keys = [self.first, self.second].map(|seed| SigningKey::from_seed(&seed).verifying_key());
                signed.verify(&keys[0], external, &mut buffer).ok()?;
                signed.verify(&keys[1], external, &mut buffer).ok().map(<[u8]>::to_vec)
            }),
            Kind::Encrypt | Kind::Message => Encrypt::parse(octets).ok().and_then(|sealed| {
                let mut content = None;
                for secret in [self.first, self.second].map(|secret| AgreementSecret::from_bytes(&secret)) {
                    let recipient = sealed.recipient(secret.thumbprint().as_bytes())?;
                    let key = recipient.unwrap_key(&secret, sealed.headers().algorithm).ok()?;
                    content = Some(sealed.open_into(&key, external, &mut buffer).ok()?.to_vec());
                }
                content
            }),
        };
        content.as_ref() == Some(&self.content)
    }
}

/// The routing header and the envelope of a message to two readers, and what is signed inside.
fn message_to_several(
    first: &[u8; 32],
    second: &[u8; 32],
    payload: &[u8],
    rng: &mut ChaCha20Rng,
) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let now = Timestamp::from_secs(1_767_225_600);
    let device = SigningKey::generate(rng);
    let bundles = [first, second].map(|secret| {
        let server = SigningKey::generate(rng);
        let secret = AgreementSecret::from_bytes(secret);
        let issued = KeyBundle::issue(&server, secret.public(), 1, Timestamp::from_secs(1_800_000_000)).unwrap();
        KeyBundle::verify(&issued, &server.verifying_key().device_id(), now).unwrap()
    });
    let source = device.verifying_key().device_id();
    let incarnation = Incarnation::from_bytes(*b"a chance");
    let position = Position { source, stream: StreamId::new(0), incarnation, sequence: rng.next_u64() };
    let heading = Heading { topic: Topic::new("plant/7").unwrap(), position };
    let sealer = MultiSealer::new(source, &device, &bundles).unwrap();
    let message = sealer.seal(&heading, payload, now, rng).unwrap();
    let (_, routing_len) = iot_crypto::RoutingHeader::parse(&message).unwrap();
    let (routing, envelope) = message.split_at(routing_len);
    let sealed = Encrypt::parse(envelope).unwrap();
    let secret = AgreementSecret::from_bytes(first);
    let recipient = sealed.recipient(secret.thumbprint().as_bytes()).unwrap();
    let key = recipient.unwrap_key(&secret, sealed.headers().algorithm).unwrap();
    let recipients = &envelope[envelope.len() - 2 * 128..];
    let external = [routing, &Sha256::digest(recipients)[..]].concat();
    let mut buffer = vec![0; sealed.open_len(external.len())];
    let signed = sealed.open_into(&key, &external, &mut buffer).unwrap().to_vec();
    (routing.to_vec(), envelope.to_vec(), signed)
}

/// One line of hexadecimal fields, as `open.py` reads them.
fn random_message(rng: &mut ChaCha20Rng) -> String {
    let (mut signing_seed, mut agreement_seed, mut incarnation) = ([0; 32], [0; 32], [0; 8]);
    rng.fill_bytes(&mut signing_seed);
    rng.fill_bytes(&mut agreement_seed);
    rng.fill_bytes(&mut incarnation);
    let device = SigningKey::from_seed(&signing_seed);
    let secret = AgreementSecret::from_bytes(&agreement_seed);
    let source: DeviceId = device.verifying_key().device_id();
    let stream = StreamId::new(rng.next_u32() >> (rng.next_u32() % 32));
    let sequence = rng.next_u64() >> (rng.next_u32() % 64);
    let position = Position { source, stream, incarnation: Incarnation::from_bytes(incarnation), sequence };
    let topic = format!("plant/{}", rng.next_u32() % 1000);
    let mut payload = vec![0; (rng.next_u32() % 400) as usize];
    rng.fill_bytes(&mut payload);

    let now = Timestamp::from_secs(1_767_225_600);
    let server = SigningKey::generate(rng);
    let issued = KeyBundle::issue(&server, secret.public(), 1, Timestamp::from_secs(1_800_000_000)).unwrap();
    let bundle = KeyBundle::verify(&issued, &server.verifying_key().device_id(), now).unwrap();
    let carries = [Carries::Position, Carries::Source, Carries::SourceAndTopic][(rng.next_u32() % 3) as usize];
    let sealer = Sealer::new(source, &device, bundle).carrying(carries);
    let heading = Heading { topic: Topic::new(&topic).unwrap(), position };
    let message = sealer.seal(&heading, &payload, now, rng).unwrap();
    let (_, routing_len) = iot_crypto::RoutingHeader::parse(&message).unwrap();
    let (routing, envelope) = message.split_at(routing_len);
    format!(
        "{} {} {} {} {} {} {} {} {} {}\n",
        hex(&signing_seed),
        hex(&agreement_seed),
        hex(topic.as_bytes()),
        stream.number(),
        hex(&incarnation),
        sequence,
        hex(routing),
        hex(envelope),
        hex(&payload),
        hex(&issued),
    )
}
