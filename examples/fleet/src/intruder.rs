//! Those who stand at the gateway's door, where anybody can hand in a message: a forger, and a dishonest reader.

use std::net::{SocketAddr, TcpStream};

use hpke::aead::{AeadTag, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use iot_codec::cbor::Writer;
use iot_core::{DeviceId, Incarnation, Position, StreamId, Timestamp, Topic};
use iot_crypto::cose::Encrypt0;
use iot_crypto::{AgreementKey, Carries, Heading, KeyBundle, RoutingHeader, Sealer, VerifyingKey};
use rand_chacha::ChaCha20Rng;

use crate::attacker::Impostor;
use crate::batch;
use crate::cast::Party;
use crate::input::Reading;
use crate::link::{FrameReader, write_frame};

/// The far side of what intruders invent: no device gets this far.
const INVENTED_SEQUENCE: u64 = 1_000_000;

/// Somebody who overhears the messages between devices and gateway, and hands in others.
pub struct Forger {
    party: Party,
    server: KeyBundle,
    forged: u64,
}

impl Forger {
    /// A forger with keys of its own, who knows what everybody knows: the server's bundle.
    pub fn new(party: Party, server: KeyBundle) -> Self {
        Self { party, server, forged: 0 }
    }

    /// A message sealed for the server and signed by the forger, which claims to be the device's.
    pub fn forge(
        &mut self,
        device: VerifyingKey,
        incarnation: Incarnation,
        topic: Topic<'_>,
        at: Timestamp,
    ) -> Vec<u8> {
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

/// The message with one bit of its ciphertext changed.
pub fn altered(message: &[u8]) -> Vec<u8> {
    let mut altered = message.to_vec();
    let place = altered.len() - 40;
    altered[place] ^= 0x10;
    altered
}

/// Takes what a device signed and sealed for `from` and seals it for the owner of `to`, signature and all.
pub fn resealed(message: &[u8], from: &Party, to: &AgreementKey, rng: &mut ChaCha20Rng) -> Option<Vec<u8>> {
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

/// Hands messages in at the gateway as a device would, and waits until it has them.
pub fn hand_in(gateway: SocketAddr, messages: &[Vec<u8>]) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(gateway)?;
    let mut answers = FrameReader::new(stream.try_clone()?);
    for message in messages {
        write_frame(&mut stream, message)?;
        answers.frame()?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    }
    Ok(())
}

/// The source that a message names in clear.
pub fn source_of(message: &[u8]) -> Option<DeviceId> {
    RoutingHeader::parse(message).ok()?.0.source
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
