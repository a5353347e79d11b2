//! Devices with keys and bundles, and the two ends of a handshake.

use iot_codec::record;
use iot_core::{DeviceId, Instant, Timestamp};
use iot_crypto::session::{Context, Identity, Initiator, Pattern, Peer, Progress, Responder, Session};
use iot_crypto::{AgreementSecret, KeyBundle, SigningKey};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

record! {
    pub struct Prologue<'b> {
        1 => protocol: &'b str,
        2 => overlay: &'b [u8],
        3 => id: &'b [u8; 8],
    }
}

record! {
    pub struct Payload<'b> {
        1 => pub bundle: Option<&'b [u8]>,
        3 => pub padding: Option<&'b [u8]>,
    }
}

/// The prologue of a session with this identifier in the overlay of [`context`].
pub fn prologue(id: &[u8; 8]) -> Prologue<'_> {
    Prologue { protocol: "iot session 1", overlay: b"plant 7", id }
}

pub const TODAY: Timestamp = Timestamp::from_secs(1_767_225_600);
pub const EXPIRES: Timestamp = Timestamp::from_secs(1_770_000_000);
pub const START: Instant = Instant::from_micros(1_000_000);
pub const PATTERNS: [Pattern; 2] = [Pattern::Ik, Pattern::Xx];

pub struct Device {
    pub signing: SigningKey,
    pub secret: AgreementSecret,
    pub bundle: Vec<u8>,
}

impl Device {
    pub fn new(seed: u8) -> Self {
        let (signing, secret) = (SigningKey::from_seed(&[seed; 32]), AgreementSecret::from_bytes(&[seed; 32]));
        let bundle = KeyBundle::issue(&signing, secret.public(), 1, EXPIRES).unwrap();
        Self { signing, secret, bundle }
    }

    pub fn id(&self) -> DeviceId {
        self.signing.verifying_key().device_id()
    }

    pub fn identity(&self) -> Identity<'_> {
        Identity::new(&self.secret, &self.bundle)
    }

    pub fn known(&self) -> KeyBundle {
        KeyBundle::verify(&self.bundle, &self.id(), TODAY).unwrap()
    }
}

pub fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

pub fn context() -> Context<'static> {
    Context::new(b"plant 7", TODAY)
}

pub fn begin(pattern: Pattern, device: &Device, server: &Device, context: &Context<'_>) -> Initiator {
    let known = server.known();
    let peer = if pattern == Pattern::Ik { Peer::Bundle(&known) } else { Peer::Device(server.id()) };
    let initiator = Initiator::begin(&device.identity(), peer, context, START, &mut rng(1)).unwrap();
    assert_eq!(initiator.pattern(), pattern);
    initiator
}

pub fn answer(first: &[u8], server: &Device, context: &Context<'_>) -> Responder {
    Responder::answer(first, &server.identity(), Peer::Anyone, context, START, &mut rng(2)).unwrap()
}

pub fn established<H>(progress: Progress<H>) -> Session {
    match progress {
        Progress::Established(session) => *session,
        Progress::Waiting { refused, .. } => panic!("waits: {refused:?}"),
    }
}

/// Both ends after a handshake without faults, the last word of the responder included, and the messages that made
/// them.
pub fn sessions(pattern: Pattern) -> (Session, Session, [Vec<u8>; 4]) {
    let (device, server) = (Device::new(1), Device::new(2));
    let mut initiator = begin(pattern, &device, &server, &context());
    let first = initiator.poll_transmit().unwrap();
    let mut responder = answer(&first, &server, &context());
    let second = responder.poll_transmit().unwrap();
    let mut ours = established(initiator.handle_message(START, &second).unwrap());
    let third = ours.poll_transmit().unwrap();
    let mut theirs = established(responder.handle_message(&third).unwrap());
    let done = theirs.poll_transmit().unwrap();
    assert_eq!(ours.handle_message(&done), Ok(None));
    (ours, theirs, [first, second, third, done])
}
