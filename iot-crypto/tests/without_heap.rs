//! What a device does with messages, streams and groups, it does in memory that it was given: all of this needs no
//! feature, so not `alloc` either. `.ci/run devices` runs it so.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use iot_core::{DeviceId, Freshness, Incarnation, Position, StreamId, Timestamp, Topic};
use iot_crypto::group::{Batch, Group, GroupId, GroupMember, GroupPublisher, SignedBatch};
use iot_crypto::stream::{ContextId, Counter, Epoch, Invitation, Opening, Reservation, StreamReceiver, StreamSender};
use iot_crypto::{
    AgreementSecret, BundleDraft, Heading, KeyBundle, Opener, Proof, ReplayError, ReplayGuard, Sealer, SigningKey,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
const PAYLOAD: &[u8] = b"21.5 Cel";

/// Accepts numbers that rise.
struct Rising(Option<u64>);

impl ReplayGuard for Rising {
    fn check(&self, position: &Position) -> Result<(), ReplayError> {
        if self.0 < Some(position.sequence) { Ok(()) } else { Err(ReplayError::Repeated) }
    }

    fn accept(&mut self, position: &Position) -> Result<Freshness, ReplayError> {
        self.check(position)?;
        self.0 = Some(position.sequence);
        Ok(Freshness::Unproven)
    }
}

struct Party {
    signing: SigningKey,
    agreement: [AgreementSecret; 1],
}

impl Party {
    fn new(seed: u8) -> Self {
        let agreement = [AgreementSecret::from_bytes(&[seed | 0x80; 32])];
        Self { signing: SigningKey::from_seed(&[seed; 32]), agreement }
    }

    fn id(&self) -> DeviceId {
        self.signing.verifying_key().device_id()
    }

    fn bundle(&self) -> KeyBundle {
        let mut octets = [0; KeyBundle::BUFFER_LEN];
        let expires = Timestamp::from_secs(1_770_000_000);
        let draft = BundleDraft::new(self.agreement[0].public(), 1, expires);
        let len = draft.issue_into(&self.signing, &mut octets).unwrap();
        KeyBundle::verify(&octets[..len], &self.id(), NOW).unwrap()
    }

    fn opener(&self, from: &Party) -> Opener<'_, iot_crypto::VerifyingKey, Rising> {
        Opener::new(&self.agreement, from.signing.verifying_key(), Rising(None))
    }

    fn heading(&self, sequence: u64) -> Heading<'static> {
        let incarnation = Incarnation::from_bytes(*b"a chance");
        let position = Position { source: self.id(), stream: StreamId::new(0), incarnation, sequence };
        Heading { topic: topic(), position }
    }

    /// Seals a payload for a reader; returns the octets and how many they are.
    fn seal(&self, reader: &Party, payload: &[u8]) -> ([u8; 1024], usize) {
        let mut buffer = [0; 1024];
        let sealer = Sealer::new(self.id(), &self.signing, reader.bundle());
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let len = sealer.seal_into(&self.heading(0), payload, NOW, &mut rng, &mut buffer).unwrap();
        (buffer, len)
    }
}

fn topic() -> Topic<'static> {
    Topic::new("plant/7/boiler/12").unwrap()
}

#[test]
fn messages() {
    let (device, server) = (Party::new(1), Party::new(2));
    let (mut sealed, len) = device.seal(&server, PAYLOAD);
    let mut opener = server.opener(&device);
    assert_eq!(opener.open(Some(topic()), &mut sealed[..len], &mut [0; 512]).unwrap().payload(), PAYLOAD);
}

#[test]
fn streams() {
    let (device, server) = (Party::new(1), Party::new(2));
    let invitation = Invitation::provisioned(ContextId::new(&[7]).unwrap());
    let opening = Opening::draw(&invitation, &mut ChaCha20Rng::from_seed([3; 32]));
    let mut payload = [0; Opening::MAX_LEN];
    let len = opening.write(&mut payload).unwrap();
    let (mut sealed, len) = device.seal(&server, &payload[..len]);
    let epoch = Epoch::begin(&opening, &device.heading(0), server.id()).unwrap();
    let mut sender: StreamSender<Option<Counter>> = StreamSender::begin(epoch, None, Reservation::default()).unwrap();

    let mut opener = server.opener(&device);
    let opened = opener.open(Some(topic()), &mut sealed[..len], &mut [0; 512]).unwrap();
    let epoch = Epoch::accept(&opened, server.id(), &invitation).unwrap();
    let mut receiver: StreamReceiver<_> = StreamReceiver::new(epoch, topic().as_str()).unwrap();
    let mut message = [0; 64];
    let sent = sender.send_into(PAYLOAD, &mut message).unwrap();
    let opened = receiver.open(topic(), &mut message[..sent.len]).unwrap();
    assert_eq!((opened.payload(), opened.proof()), (PAYLOAD, Proof::PairwiseKey));
}

#[test]
fn groups() {
    let (manager, alice, bob) = (Party::new(0x7f), Party::new(1), Party::new(2));
    let group = Group { manager: manager.id(), id: GroupId::from_bytes(*b"plant  7") };
    // The manager is no device; this is its record in the vector of `docs/formats/group.md`.
    let text = include_str!("vectors/group.txt");
    let digits = text.lines().find_map(|line| line.strip_prefix("rekeying: ")).unwrap().as_bytes();
    let mut record = [0; 256];
    let record_len = digits.len() / 2;
    for (octet, pair) in record.iter_mut().zip(digits.chunks(2)) {
        *octet = u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
    }
    let member = |party: &Party| {
        let (mut sealed, len) = manager.seal(party, &record[..record_len]);
        let mut opener = party.opener(&manager);
        let mut member: GroupMember = GroupMember::new(group);
        member.enter(&opener.open(Some(topic()), &mut sealed[..len], &mut [0; 512]).unwrap()).unwrap();
        member
    };
    let (writer, reader) = (member(&alice), member(&bob));

    let mut batch: Batch<4> = Batch::new(group);
    let mut publisher: GroupPublisher<'_, Option<Counter>> =
        GroupPublisher::begin(&writer, &alice.heading(0), None, Reservation::default()).unwrap();
    let mut message = [0; 128];
    let sent = publisher.publish_into(PAYLOAD, &mut batch, &mut message).unwrap();
    let mut record = [0; Batch::<4>::MAX_BUFFER_LEN];
    let len = batch.sign_into(&alice.signing, &mut record).unwrap();

    let mut scratch = [0; SignedBatch::SCRATCH_LEN];
    let signed = SignedBatch::verify(&record[..len], &group, &alice.signing.verifying_key(), &mut scratch).unwrap();
    let mut seen = Rising(None);
    let opened = reader.open_unconfirmed(Some(topic()), Some(alice.id()), &mut message[..sent.len], &seen).unwrap();
    let opened = signed.accept(opened, &mut seen).unwrap();
    assert_eq!((opened.payload(), opened.proof()), (PAYLOAD, Proof::Signature));

    let mut saved = [0; GroupMember::<iot_crypto::stream::RustCrypto>::MAX_SAVED_LEN];
    let len = reader.save_into(&mut saved).unwrap();
    let restored: GroupMember = GroupMember::restore(group, &saved[..len]).unwrap();
    assert_eq!(restored.current_epoch(), reader.current_epoch());
}
