//! The same by hand: `coset` builds and reads the structures, `ed25519-dalek` and `hpke` are called directly.
//!
//! `coset` refuses algorithm numbers that it does not know, HPKE-4's among them, so a private one stands for it. What
//! the signature binds is as long as ours, and is encoded beforehand, to this side's advantage. It has no routing
//! header, and checks no position, no expiry and no topic.

use coset::cbor::Value;
use coset::iana::Algorithm;
use coset::{
    CborSerializable as _, CoseEncrypt0, CoseEncrypt0Builder, CoseSign1, CoseSign1Builder, Header, HeaderBuilder,
    Label, RegisteredLabelWithPrivate,
};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng as _;

use super::{DEVICE_SEED, READER_SECRET};

type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type EncappedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

/// As long as our binding: context, algorithm, reader, topic and position.
const SIGNED_ALONG: [u8; 126] = [5; 126];
/// As long as our routing header.
const SEALED_ALONG: [u8; 11] = [6; 11];
const DEVICE_KEY_ID: [u8; 8] = [7; 8];
const READER_KEY_ID: [u8; 8] = [8; 8];
/// Stands for HPKE-4, 42.
const SEALING: RegisteredLabelWithPrivate<Algorithm> = RegisteredLabelWithPrivate::PrivateUse(-70_042);
const ENCAPSULATED_KEY: Label = Label::Int(-4);

fn reader() -> PrivateKey {
    PrivateKey::from_bytes(&READER_SECRET).expect("any 32 octets are a secret")
}

/// A device.
pub struct Sender {
    device: SigningKey,
    reader: PublicKey,
    rng: ChaCha8Rng,
}

impl Sender {
    pub fn new() -> Self {
        let reader = X25519HkdfSha256::sk_to_pk(&reader());
        Self { device: SigningKey::from_bytes(&DEVICE_SEED), reader, rng: ChaCha8Rng::seed_from_u64(4) }
    }

    pub fn seal(&mut self, payload: &[u8]) -> Vec<u8> {
        let signed = sign(&self.device, payload);
        let protected = HeaderBuilder::new().algorithm_label(SEALING).key_id(READER_KEY_ID.to_vec()).build();
        let mut encapsulated = Vec::new();
        let builder = CoseEncrypt0Builder::new().protected(protected).create_ciphertext(
            &signed,
            &SEALED_ALONG,
            |plaintext, authenticated| {
                let (key, ciphertext) =
                    hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
                        &OpModeS::Base,
                        &self.reader,
                        &[],
                        plaintext,
                        authenticated,
                        &mut self.rng,
                    )
                    .expect("the reader's key is valid");
                encapsulated = key.to_bytes().to_vec();
                ciphertext
            },
        );
        let unprotected = Header { rest: vec![(ENCAPSULATED_KEY, Value::Bytes(encapsulated))], ..Header::default() };
        builder.unprotected(unprotected).build().to_vec().expect("it is made of CBOR")
    }
}

/// The signed structure alone.
pub fn signed(payload: &[u8]) -> Vec<u8> {
    sign(&SigningKey::from_bytes(&DEVICE_SEED), payload)
}

fn sign(device: &SigningKey, payload: &[u8]) -> Vec<u8> {
    let protected = HeaderBuilder::new().algorithm(Algorithm::EdDSA).key_id(DEVICE_KEY_ID.to_vec()).build();
    let builder = CoseSign1Builder::new().protected(protected).payload(payload.to_vec());
    let signed = builder.create_signature(&SIGNED_ALONG, |to_sign| device.sign(to_sign).to_bytes().to_vec()).build();
    signed.to_vec().expect("it is made of CBOR")
}

/// Reads the signed structure.
pub fn parses(octets: &[u8]) -> bool {
    std::hint::black_box(CoseSign1::from_slice(octets)).is_ok()
}

/// A server that listens to that device.
pub struct Receiver {
    secret: PrivateKey,
    device: VerifyingKey,
}

impl Receiver {
    pub fn new() -> Self {
        Self { secret: reader(), device: SigningKey::from_bytes(&DEVICE_SEED).verifying_key() }
    }

    pub fn opens(&self, message: &[u8], payload: &[u8]) -> bool {
        self.open(message).is_some_and(|opened| opened == payload)
    }

    fn open(&self, message: &[u8]) -> Option<Vec<u8>> {
        let sealed = CoseEncrypt0::from_slice(message).ok()?;
        let header = &sealed.protected.header;
        if header.alg != Some(SEALING) || header.key_id != READER_KEY_ID {
            return None;
        }
        let (_, encapsulated) = sealed.unprotected.rest.iter().find(|(label, _)| *label == ENCAPSULATED_KEY)?;
        let encapsulated = EncappedKey::from_bytes(encapsulated.as_bytes()?).ok()?;
        let opened = sealed.decrypt_ciphertext(
            &SEALED_ALONG,
            || None,
            |ciphertext, authenticated| {
                hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
                    &OpModeR::Base,
                    &self.secret,
                    &encapsulated,
                    &[],
                    ciphertext,
                    authenticated,
                )
                .map_err(Some)
            },
        );
        let signed = CoseSign1::from_slice(&opened.ok()?).ok()?;
        let header = &signed.protected.header;
        if header.alg != Some(RegisteredLabelWithPrivate::Assigned(Algorithm::EdDSA)) || header.key_id != DEVICE_KEY_ID
        {
            return None;
        }
        signed
            .verify_signature(&SIGNED_ALONG, |signature, to_verify| {
                let signature = Signature::from_slice(signature)?;
                self.device.verify_strict(to_verify, &signature)
            })
            .ok()?;
        signed.payload
    }
}
