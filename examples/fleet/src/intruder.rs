//! Those who stand at the gateway's door, where anybody can hand in a message: a forger, and a dishonest reader.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use hpke::aead::{AeadTag, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use iot_codec::cbor::Writer;
use iot_core::{Incarnation, Position, StreamId, Timestamp, Topic};
use iot_crypto::cose::Encrypt0;
use iot_crypto::{AgreementKey, Carries, Heading, KeyBundle, RoutingHeader, Sealer, VerifyingKey};
use rand_chacha::ChaCha20Rng;

use crate::attacker::Impostor;
use crate::batch;
use crate::cast::{Party, Role, party};
use crate::device::Field;
use crate::input::Reading;
use crate::link::{FrameReader, write_frame};

/// One message is forged, one altered and one repeated for so many that devices send.
const INTERVAL: usize = 16;

/// How many messages of each kind intruders handed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intrusions {
    /// Invented, and signed by the forger.
    pub forged: u64,
    /// Overheard, and altered.
    pub altered: u64,
    /// Overheard, and handed in again.
    pub repeated: u64,
    /// Signed for another reader, and sealed for the server.
    pub resealed: u64,
}

impl Intrusions {
    /// The sums of both.
    pub fn plus(self, other: Self) -> Self {
        Self {
            forged: self.forged + other.forged,
            altered: self.altered + other.altered,
            repeated: self.repeated + other.repeated,
            resealed: self.resealed + other.resealed,
        }
    }
}

/// Those who hand in what is not theirs.
pub struct Intruders {
    forger: Forger,
    snoop: Party,
    devices: Vec<(VerifyingKey, Incarnation)>,
    /// Overheard messages that were passed, and messages for the second reader that were passed on.
    used: (usize, usize),
    waiting: VecDeque<(Intrusions, Vec<u8>)>,
}

impl Intruders {
    /// Intruders who know the devices' public keys and the server's bundle.
    pub fn new(seed: u64, server: KeyBundle, snoop: Party, devices: &[Party]) -> Self {
        let devices = devices.iter().map(|device| (device.signing.verifying_key(), device.incarnation)).collect();
        let forger = Forger::new(party(seed, Role::Forger, 0), server);
        Self { forger, snoop, devices, used: (0, 0), waiting: VecDeque::new() }
    }

    /// The public keys of the devices.
    pub fn devices(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.devices.iter().map(|(key, _)| key)
    }

    /// How many messages wait to be handed in.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Makes something of what was overheard since the last call.
    pub fn listen(&mut self, field: &Field) {
        let overheard = {
            let all = field.overheard.lock().expect("nobody panics with the lock");
            let new: Vec<_> = (self.used.0..all.len()).step_by(INTERVAL).map(|index| all[index].clone()).collect();
            self.used.0 += new.len() * INTERVAL;
            new
        };
        for message in overheard {
            self.make_use_of(&message, field.clock.now());
        }
        let for_snoop = field.for_snoop.lock().expect("nobody panics with the lock")[self.used.1..].to_vec();
        self.used.1 += for_snoop.len();
        for message in for_snoop {
            let mut rng = self.snoop.rng.clone();
            let resealed = resealed(&message, &self.snoop, field.server.agreement_key(), &mut rng);
            self.snoop.rng = rng;
            let one = Intrusions { resealed: 1, ..Intrusions::default() };
            self.waiting.extend(resealed.map(|message| (one, message)));
        }
    }

    fn make_use_of(&mut self, message: &[u8], at: Timestamp) {
        let Ok((header, _)) = RoutingHeader::parse(message) else { return };
        let device = self.devices.iter().find(|(key, _)| Some(key.device_id()) == header.source);
        let (Some(&(key, incarnation)), Some(topic)) = (device, header.topic) else { return };
        let none = Intrusions::default();
        let forged = self.forger.forge(key, incarnation, topic, at);
        self.waiting.push_back((Intrusions { forged: 1, ..none }, forged));
        self.waiting.extend(altered(message).map(|altered| (Intrusions { altered: 1, ..none }, altered)));
        self.waiting.push_back((Intrusions { repeated: 1, ..none }, message.to_vec()));
    }

    /// Hands in what waits, as long as the gateway takes it, and says what it took.
    pub fn hand_in(&mut self, gateway: SocketAddr) -> Intrusions {
        let mut handed_in = Intrusions::default();
        while let Some((kind, message)) = self.waiting.front() {
            if hand_in(gateway, message).is_err() {
                break;
            }
            handed_in = handed_in.plus(*kind);
            self.waiting.pop_front();
        }
        handed_in
    }
}

/// The far side of what intruders invent: no device gets this far.
const INVENTED_SEQUENCE: u64 = 1_000_000;

/// Somebody who overhears the messages between devices and gateway, and hands in others.
struct Forger {
    party: Party,
    server: KeyBundle,
    forged: u64,
}

impl Forger {
    /// A forger with keys of its own, who knows what everybody knows: the server's bundle.
    fn new(party: Party, server: KeyBundle) -> Self {
        Self { party, server, forged: 0 }
    }

    /// A message sealed for the server and signed by the forger, which claims to be the device's.
    fn forge(&mut self, device: VerifyingKey, incarnation: Incarnation, topic: Topic<'_>, at: Timestamp) -> Vec<u8> {
        let impostor = Impostor { claimed: device, key: &self.party.signing };
        let source = device.device_id();
        let sequence = INVENTED_SEQUENCE + self.forged;
        self.forged += 1;
        let position = Position { source, stream: StreamId::new(0), incarnation, sequence };
        let sealer = Sealer::new(source, &impostor, self.server).carrying(Carries::SourceAndTopic);
        let payload = batch::encode(&[Reading { time: at, value: 99.9 }]);
        sealer.seal(&Heading { topic, position }, &payload, at, &mut self.party.rng).expect("a forger can seal, too")
    }
}

/// The message with another place in its header and one bit of its ciphertext changed. At its own place it would be
/// refused as a repetition before anybody looks at the rest.
fn altered(message: &[u8]) -> Option<Vec<u8>> {
    let (header, len) = RoutingHeader::parse(message).ok()?;
    let mut altered = vec![0; RoutingHeader::MAX_LEN];
    let moved = RoutingHeader { sequence: header.sequence + INVENTED_SEQUENCE / 2, ..header };
    let moved_len = moved.encode(&mut altered)?;
    altered.truncate(moved_len);
    altered.extend_from_slice(&message[len..]);
    let place = altered.len() - 40;
    altered[place] ^= 0x10;
    Some(altered)
}

/// Takes what a device signed and sealed for `from` and seals it for the owner of `to`, signature and all.
fn resealed(message: &[u8], from: &Party, to: &AgreementKey, rng: &mut ChaCha20Rng) -> Option<Vec<u8>> {
    let (_, routing_len) = RoutingHeader::parse(message).ok()?;
    let (routing, envelope) = message.split_at(routing_len);
    let sealed = Encrypt0::parse(envelope).ok()?;
    let secret = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&from.agreement_octets).ok()?;
    let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(sealed.headers().encapsulated_key?).ok()?;
    let (body, tag) = sealed.ciphertext().split_at(sealed.ciphertext().len().checked_sub(16)?);
    let mut signed = body.to_vec();
    hpke::single_shot_open_inout_detached::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &secret,
        &encapsulated,
        b"",
        signed.as_mut_slice().into(),
        &enc_structure(sealed.headers().protected, routing),
        &AeadTag::from_bytes(tag).ok()?,
    )
    .ok()?;

    let mut protected = Writer::new(Vec::new());
    protected.map(2).ok()?;
    protected.int(1).ok()?;
    protected.int(42).ok()?;
    protected.int(4).ok()?;
    protected.bytes(to.key_id().as_bytes()).ok()?;
    let protected = protected.into_output();
    let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(to.as_bytes()).ok()?;
    let aad = enc_structure(&protected, routing);
    let (encapsulated, tag) = hpke::single_shot_seal_inout_detached_with_rng::<
        ChaCha20Poly1305,
        HkdfSha256,
        X25519HkdfSha256,
    >(&OpModeS::Base, &public, b"", signed.as_mut_slice().into(), &aad, rng)
    .ok()?;
    signed.extend_from_slice(&tag.to_bytes());
    let mut envelope = Writer::new(routing.to_vec());
    envelope.array(3).ok()?;
    envelope.bytes(&protected).ok()?;
    envelope.map(1).ok()?;
    envelope.int(-4).ok()?;
    envelope.bytes(&encapsulated.to_bytes()).ok()?;
    envelope.bytes(&signed).ok()?;
    Some(envelope.into_output())
}

/// Hands a message in at the gateway as a device would, and waits until it has it.
fn hand_in(gateway: SocketAddr, message: &[u8]) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(gateway)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut answers = FrameReader::new(stream.try_clone()?);
    write_frame(&mut stream, message)?;
    answers.frame()?.map(drop).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}

fn enc_structure(protected: &[u8], external: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    let written = (|| {
        writer.array(3)?;
        writer.text("Encrypt0")?;
        writer.bytes(protected)?;
        writer.bytes(external)
    })();
    written.expect("a vector grows");
    writer.into_output()
}
