//! What becomes of stolen keys and borrowed bundles in a handshake. The library writes neither, so the first message of
//! IK is written here by hand, with the agreements that the attacker can compute.

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
use hkdf::Hkdf;
use iot_codec::cbor;
use iot_core::DeviceId;
use iot_crypto::session::{HandshakeError, Peer, Progress, Responder};
use sha2::{Digest as _, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::support::{Device, Payload, START, answer, context, prologue, rng};

const ID: [u8; 8] = *b"a chance";

/// Noise's symmetric state (§5.2), as an initiator of IK drives it.
struct Noise {
    chaining: [u8; 32],
    hash: [u8; 32],
    key: [u8; 32],
}

impl Noise {
    fn begin(responder: &PublicKey) -> Self {
        let name = *b"Noise_IK_25519_ChaChaPoly_SHA256";
        let mut noise = Self { chaining: name, hash: name, key: [0; 32] };
        noise.mix_hash(&cbor::to_vec(&prologue(&ID)));
        noise.mix_hash(responder.as_bytes());
        noise
    }

    fn mix_hash(&mut self, octets: &[u8]) {
        self.hash = Sha256::new().chain_update(self.hash).chain_update(octets).finalize().into();
    }

    fn mix_key(&mut self, agreed: &[u8]) {
        (self.chaining, self.key) = self.expanded(agreed);
    }

    fn expanded(&self, agreed: &[u8]) -> ([u8; 32], [u8; 32]) {
        let mut octets = [0; 64];
        Hkdf::<Sha256>::new(Some(&self.chaining), agreed).expand(&[], &mut octets).unwrap();
        let (first, second) = octets.split_at(32);
        (first.try_into().unwrap(), second.try_into().unwrap())
    }

    /// Each key encrypts one text here, so the nonce is always 0.
    fn encrypt(&mut self, text: &[u8]) -> Vec<u8> {
        let sealed = seal(&self.key, &self.hash, text);
        self.mix_hash(&sealed);
        sealed
    }
}

fn seal(key: &[u8; 32], associated: &[u8], text: &[u8]) -> Vec<u8> {
    let mut sealed = text.to_vec();
    let cipher = ChaCha20Poly1305::new(key.into());
    let tag = cipher.encrypt_inout_detached(&[0; 12].into(), associated, (&mut sealed[..]).into()).unwrap();
    sealed.extend_from_slice(&tag);
    sealed
}

fn agree(secret: [u8; 32], public: &PublicKey) -> [u8; 32] {
    StaticSecret::from(secret).diffie_hellman(public).to_bytes()
}

fn public(secret: [u8; 32]) -> PublicKey {
    PublicKey::from(&StaticSecret::from(secret))
}

/// The agreement secret of [`Device::new`].
fn secret_of(seed: u8) -> [u8; 32] {
    [seed; 32]
}

const EPHEMERAL: [u8; 32] = [0x77; 32];

/// The first message of IK in the name of whoever has the static key `named` and the bundle, where `ss` is the
/// agreement of that key with the responder's.
fn first(server: &Device, named: &PublicKey, ss: &[u8; 32], bundle: &[u8]) -> (Vec<u8>, Noise) {
    let responder = PublicKey::from(*server.secret.public().as_bytes());
    let mut noise = Noise::begin(&responder);
    let ephemeral = public(EPHEMERAL);
    noise.mix_hash(ephemeral.as_bytes());
    noise.mix_key(&agree(EPHEMERAL, &responder));
    let named = noise.encrypt(named.as_bytes());
    noise.mix_key(ss);
    let payload = noise.encrypt(&cbor::to_vec(&Payload { bundle: Some(bundle), padding: Some(&[0; 200]) }));
    ([&[0xe1][..], &ID, ephemeral.as_bytes(), &named, &payload].concat(), noise)
}

/// The third message, to an initiator for whom `se` is the agreement of its static key with the responder's ephemeral
/// one.
fn third(mut noise: Noise, second: &[u8], se: &[u8; 32], payload: &[u8]) -> Vec<u8> {
    let theirs = PublicKey::from(<[u8; 32]>::try_from(&second[9..41]).unwrap());
    noise.mix_hash(theirs.as_bytes());
    noise.mix_key(&agree(EPHEMERAL, &theirs));
    noise.mix_key(se);
    noise.mix_hash(&second[41..]);
    let (initiators, _) = noise.expanded(&[]);
    [&[0xe7][..], &ID, &seal(&initiators, &[], payload)].concat()
}

/// Who the responder takes the other side for after the third message that `se` makes of an answered first one.
fn believed(
    server: &Device,
    named: &PublicKey,
    ss: &[u8; 32],
    bundle: &[u8],
    se: Se,
) -> Result<DeviceId, HandshakeError> {
    let (first, noise) = first(server, named, ss, bundle);
    let answered = Responder::answer(&first, &server.identity(), Peer::Anyone, &context(), START, &mut rng(2));
    let mut responder = answered?;
    let second = responder.poll_transmit().unwrap();
    let theirs = PublicKey::from(<[u8; 32]>::try_from(&second[9..41]).unwrap());
    match responder.handle_message(&third(noise, &second, &se(&theirs), b""))? {
        Progress::Established(session) => Ok(session.peer().device()),
        Progress::Waiting { refused, .. } => Err(refused.unwrap()),
    }
}

/// How the agreement `se` comes of the responder's ephemeral key.
type Se<'a> = &'a dyn Fn(&PublicKey) -> [u8; 32];

/// Key-compromise impersonation. With the responder's static key, `ss` can be computed in anybody's name, and Noise
/// (§7.7) promises no more of the first message of IK. The third needs `se`.
#[test]
fn who_has_the_responders_key_cannot_have_a_session_in_the_name_of_another() {
    let (device, server) = (Device::new(1), Device::new(2));
    let (victim, stolen) = (public(secret_of(1)), secret_of(2));
    let ss = agree(stolen, &victim);
    let responder = public(stolen);
    let guesses: [Se<'_>; 6] = [
        &|theirs| agree(EPHEMERAL, theirs),
        &|theirs| agree(stolen, theirs),
        &|_| agree(EPHEMERAL, &responder),
        &|_| agree(EPHEMERAL, &victim),
        &|_| ss,
        &|_| [0; 32],
    ];
    for (index, se) in guesses.into_iter().enumerate() {
        let believed = believed(&server, &victim, &ss, &device.bundle, se);
        assert_eq!(believed, Err(HandshakeError::Noise), "guess {index}");
    }
    // The device itself gets in with the same octets, so it is nothing else that keeps the thief out.
    let believed = believed(&server, &victim, &ss, &device.bundle, &|theirs| agree(secret_of(1), theirs));
    assert_eq!(believed, Ok(device.id()));
}

#[test]
fn the_third_message_of_ik_says_nothing() {
    let (device, server) = (Device::new(1), Device::new(2));
    let (own, named) = (secret_of(1), public(secret_of(1)));
    let (first, noise) = first(&server, &named, &agree(own, &public(secret_of(2))), &device.bundle);
    let mut responder = answer(&first, &server, &context());
    let second = responder.poll_transmit().unwrap();
    let theirs = PublicKey::from(<[u8; 32]>::try_from(&second[9..41]).unwrap());
    let said = third(noise, &second, &agree(own, &theirs), b"21.5 Cel");
    let Ok(Progress::Waiting { refused, .. }) = responder.handle_message(&said) else { panic!("a session began") };
    assert_eq!(refused, Some(HandshakeError::Noise));
}

#[test]
fn who_shows_the_bundle_of_another_is_refused() {
    let (device, server) = (Device::new(1), Device::new(2));
    let own = secret_of(3);
    let ss = agree(own, &public(secret_of(2)));
    let believed = |bundle: &[u8]| believed(&server, &public(own), &ss, bundle, &|theirs| agree(own, theirs));
    assert_eq!(believed(&device.bundle), Err(HandshakeError::OtherKey));
    let honest = Device::new(3);
    assert_eq!(believed(&honest.bundle), Ok(honest.id()));
}
