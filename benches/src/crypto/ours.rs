//! `iot-crypto`, as a device and its server use it.

use iot_core::{DeviceId, Freshness, Incarnation, KeyId, Position, Ranges, StreamId, Timestamp, Topic, Tracker};
use iot_crypto::{
    AgreementSecret, Directory, Heading, KeyBundle, Opener, ReplayError, ReplayGuard, Sealer, SigningKey, VerifyingKey,
};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng as _;

use super::{DEVICE_SEED, READER_SECRET, TOPIC};

/// Within the life of the reader's bundle.
const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
const EXPIRES: Timestamp = Timestamp::from_secs(1_770_000_000);
/// The positions have sequence numbers of two octets, as the size row wants them: not the cheapest, not the dearest.
const FIRST_SEQUENCE: u64 = 1_000;
const LAST_SEQUENCE: u64 = 65_535;
/// Room for a message and for the octets that are signed.
const SPACE: usize = 512;

fn topic() -> Topic<'static> {
    Topic::new(TOPIC).expect("it is a topic")
}

/// A device. It uses its positions again when they run out, which only a bench may do.
pub struct Sender {
    sealer: Sealer<'static, SigningKey>,
    position: Position,
    rng: ChaCha8Rng,
    space: [u8; SPACE],
}

impl Sender {
    pub fn new() -> Self {
        let device: &'static SigningKey = Box::leak(Box::new(SigningKey::from_seed(&DEVICE_SEED)));
        let source = device.verifying_key().device_id();
        let server = SigningKey::from_seed(&[3; 32]);
        let secret = AgreementSecret::from_bytes(&READER_SECRET);
        let bundle = KeyBundle::issue(&server, secret.public(), 1, EXPIRES).expect("the key is in memory");
        let reader =
            KeyBundle::verify(&bundle, &server.verifying_key().device_id(), NOW).expect("it was issued just now");
        let incarnation = Incarnation::from_bytes(*b"drawn it");
        Self {
            sealer: Sealer::new(source, device, reader),
            position: Position { source, stream: StreamId::new(0), incarnation, sequence: FIRST_SEQUENCE },
            rng: ChaCha8Rng::seed_from_u64(4),
            space: [0; SPACE],
        }
    }

    pub fn seal(&mut self, payload: &[u8]) -> &[u8] {
        let heading = Heading { topic: topic(), position: self.position };
        let sequence = self.position.sequence + 1;
        self.position.sequence = if sequence > LAST_SEQUENCE { FIRST_SEQUENCE } else { sequence };
        let len = self
            .sealer
            .seal_into(&heading, payload, NOW, &mut self.rng, &mut self.space)
            .expect("the bundle is valid and the space suffices");
        &self.space[..len]
    }
}

/// A server that listens to that device.
pub struct Receiver {
    opener: Opener<'static, Device, Memory>,
    secrets: &'static [AgreementSecret],
    device: Device,
    scratch: [u8; SPACE],
}

impl Receiver {
    pub fn new() -> Self {
        let key = SigningKey::from_seed(&DEVICE_SEED).verifying_key();
        let device = Device { id: key.device_id(), key_id: key.key_id(), key };
        let secrets: &'static [AgreementSecret] = Box::leak(Box::new([AgreementSecret::from_bytes(&READER_SECRET)]));
        let opener = Opener::new(secrets, device, Memory(Tracker::new()));
        Self { opener, secrets, device, scratch: [0; SPACE] }
    }

    /// Forgets all positions, so that the same messages can be opened again.
    pub fn forget(&mut self) {
        self.opener = Opener::new(self.secrets, self.device, Memory(Tracker::new()));
    }

    pub fn opens(&mut self, message: &mut [u8], payload: &[u8]) -> bool {
        let opened = self.opener.open(Some(topic()), message, &mut self.scratch);
        opened.is_ok_and(|verified| verified.payload() == payload)
    }
}

#[derive(Clone, Copy)]
struct Device {
    id: DeviceId,
    key_id: KeyId,
    key: VerifyingKey,
}

impl Directory for Device {
    fn sender(&self, key: KeyId) -> Option<(DeviceId, VerifyingKey)> {
        (key == self.key_id).then_some((self.id, self.key))
    }
}

/// One tracker: the device has one stream.
struct Memory(Tracker<Ranges<16>>);

impl ReplayGuard for Memory {
    fn check(&self, position: &Position) -> Result<(), ReplayError> {
        self.0.check(position.incarnation, position.sequence).map(drop).map_err(|_| ReplayError::Repeated)
    }

    fn accept(&mut self, position: &Position) -> Result<Freshness, ReplayError> {
        self.0.observe(position.incarnation, position.sequence).map_err(|_| ReplayError::Repeated)
    }
}
