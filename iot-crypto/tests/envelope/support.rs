//! Parties of a conversation, and the tools of those who interfere with it.

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use iot_codec::cbor::Writer;
use iot_core::{DeviceId, Freshness, Incarnation, Position, StreamId, Timestamp, Topic};
use iot_crypto::cose::Encrypt0;
use iot_crypto::{
    AgreementSecret, Heading, KeyBundle, Opener, ReplayError, ReplayGuard, RoutingHeader, Sealer, Signature, Signer,
    SignerError, SigningKey, VerifyingKey,
};
use rand_core::SeedableRng as _;

pub use crate::seen::Seen;

pub const TOPIC: &str = "plant/7/boiler/12";

pub fn topic() -> Topic<'static> {
    Topic::new(TOPIC).unwrap()
}

/// Somebody with keys that follow from a number.
pub struct Party {
    seed: u8,
    pub signing: SigningKey,
    pub agreement: AgreementSecret,
}

impl Party {
    pub fn new(seed: u8) -> Self {
        let agreement = AgreementSecret::from_bytes(&[seed | 0x80; 32]);
        Self { seed, signing: SigningKey::from_seed(&[seed; 32]), agreement }
    }

    pub fn signing_seed(&self) -> [u8; 32] {
        [self.seed; 32]
    }

    pub fn agreement_seed(&self) -> [u8; 32] {
        [self.seed | 0x80; 32]
    }

    pub fn id(&self) -> DeviceId {
        self.signing.verifying_key().device_id()
    }

    pub fn bundle(&self, now: Timestamp) -> KeyBundle {
        let expires = Timestamp::from_secs(now.as_secs() + 86_400);
        let octets = KeyBundle::issue(&self.signing, self.agreement.public(), 1, expires).unwrap();
        KeyBundle::verify(&octets, &self.id(), now).unwrap()
    }

    /// An opener that listens to one device alone and has seen nothing.
    pub fn opener<'k>(&'k self, from: &Party) -> Opener<'k, VerifyingKey, Seen> {
        Opener::new(std::slice::from_ref(&self.agreement), from.signing.verifying_key(), Seen::default())
    }
}

/// A memory without room.
pub struct Full;

impl ReplayGuard for Full {
    fn check(&self, _: &Position) -> Result<(), ReplayError> {
        Err(ReplayError::Full)
    }

    fn accept(&mut self, _: &Position) -> Result<Freshness, ReplayError> {
        Err(ReplayError::Full)
    }
}

/// A secure element that refuses.
pub struct Locked<'a>(pub &'a Party);

impl Signer for Locked<'_> {
    fn verifying_key(&self) -> VerifyingKey {
        self.0.signing.verifying_key()
    }

    fn sign(&self, _: &[u8]) -> Result<Signature, SignerError> {
        Err(SignerError)
    }
}

pub fn heading(device: &Party, sequence: u64) -> Heading<'static> {
    let incarnation = Incarnation::from_bytes([1, 2, 3, 4, 5, 6, 7, 8]);
    let position = Position { source: device.id(), stream: StreamId::new(0), incarnation, sequence };
    Heading { topic: topic(), position }
}

/// Opens the outer layer of a message with `from`'s secret and seals the signed structure, as it is, for `to`.
pub fn reseal(message: &[u8], from: &Party, to: &Party) -> Vec<u8> {
    let (routing, len) = RoutingHeader::parse(message).unwrap();
    reseal_under(message, len, &routing, from, to)
}

/// The same under another routing header.
pub fn reseal_under(message: &[u8], len: usize, routing: &RoutingHeader<'_>, from: &Party, to: &Party) -> Vec<u8> {
    let sealed = Encrypt0::parse(&message[len..]).unwrap();
    let aad = enc_structure(sealed.headers().protected, &message[..len]);
    let secret = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&from.agreement_seed()).unwrap();
    let ek = sealed.headers().encapsulated_key.unwrap();
    let ek = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(ek).unwrap();
    let mut receiver =
        hpke::setup_receiver::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(&OpModeR::Base, &secret, &ek, b"")
            .unwrap();
    let (body, tag) = sealed.ciphertext().split_at(sealed.ciphertext().len() - 16);
    let mut signed = body.to_vec();
    let tag = hpke::aead::AeadTag::from_bytes(tag).unwrap();
    receiver.open_inout_detached(signed.as_mut_slice().into(), &aad, &tag).unwrap();

    let mut head = [0; RoutingHeader::MAX_LEN];
    let head_len = routing.encode(&mut head).unwrap();
    let mut protected = Writer::new(Vec::new());
    protected.map(2).unwrap();
    protected.int(1).unwrap();
    protected.int(42).unwrap();
    protected.int(4).unwrap();
    protected.bytes(to.agreement.key_id().as_bytes()).unwrap();
    let protected = protected.into_output();
    let aad = enc_structure(&protected, &head[..head_len]);
    let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(to.agreement.public().as_bytes()).unwrap();
    let mut rng = rand_chacha::ChaCha20Rng::from_seed([9; 32]);
    let (ek, mut sender) = hpke::setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &public,
        b"",
        &mut rng,
    )
    .unwrap();
    let tag = sender.seal_inout_detached(signed.as_mut_slice().into(), &aad).unwrap();
    signed.extend_from_slice(&tag.to_bytes());
    let mut envelope = Writer::new(head[..head_len].to_vec());
    envelope.array(3).unwrap();
    envelope.bytes(&protected).unwrap();
    envelope.map(1).unwrap();
    envelope.int(-4).unwrap();
    envelope.bytes(&ek.to_bytes()).unwrap();
    envelope.bytes(&signed).unwrap();
    envelope.into_output()
}

/// A message that claims to be `device`'s and is signed by `thief`.
pub fn signed_by(thief: &Party, device: &Party, reader: &Party, payload: &[u8]) -> Vec<u8> {
    struct Impostor<'a>(&'a Party, &'a Party);
    impl Signer for Impostor<'_> {
        fn verifying_key(&self) -> VerifyingKey {
            self.1.signing.verifying_key()
        }
        fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
            Ok(self.0.signing.sign(message))
        }
    }
    let now = Timestamp::from_secs(1_767_225_600);
    let impostor = Impostor(thief, device);
    let mut rng = rand_chacha::ChaCha20Rng::from_seed([5; 32]);
    Sealer::new(device.id(), &impostor, reader.bundle(now))
        .seal(&heading(device, 70_001), payload, now, &mut rng)
        .unwrap()
}

/// The octets behind `name: ` in a file of vectors.
pub fn vector(text: &str, name: &str) -> Vec<u8> {
    let digits =
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).expect("a vector of this name");
    (0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn enc_structure(protected: &[u8], external: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer.array(3).unwrap();
    writer.text("Encrypt0").unwrap();
    writer.bytes(protected).unwrap();
    writer.bytes(external).unwrap();
    writer.into_output()
}
