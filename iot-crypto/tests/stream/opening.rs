//! From the sealed opening to the first messages, and a reader who may be shown the past.

use core::time::Duration;

use iot_core::{DeviceId, Freshness, Incarnation, KeyId, Position, StreamId, Timestamp, Topic};
use iot_crypto::stream::{
    AcceptError, ContextId, Counter, Epoch, EpochSecret, InsertError, Invitation, Opening, Reservation, Skipped,
    StreamReceiver, StreamSender, Streams,
};
use iot_crypto::{
    AgreementSecret, Answer, Audience, BufferTooSmall, Challenge, Heading, KeyBundle, MultiSealer, Opener, Proof,
    Sealer, SignatureError, SigningKey, StatementError, Trackers,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::support::PAYLOAD;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

struct World {
    rng: ChaCha20Rng,
    device: SigningKey,
    server: SigningKey,
    secrets: [AgreementSecret; 1],
}

impl World {
    fn new() -> Self {
        let mut rng = ChaCha20Rng::from_seed([5; 32]);
        let (device, server) = (SigningKey::generate(&mut rng), SigningKey::generate(&mut rng));
        let secrets = [AgreementSecret::generate(&mut rng)];
        Self { rng, device, server, secrets }
    }

    fn source(&self) -> DeviceId {
        self.device.verifying_key().device_id()
    }

    fn reader(&self) -> DeviceId {
        self.server.verifying_key().device_id()
    }

    fn heading(&self) -> Heading<'static> {
        let incarnation = Incarnation::from_bytes(*b"a chance");
        let position = Position { source: self.source(), stream: StreamId::new(3), incarnation, sequence: 41 };
        Heading { topic: Topic::new("plant/7").unwrap(), position }
    }

    /// An opening as it arrives.
    fn sealed(&mut self, payload: &[u8]) -> Vec<u8> {
        let expires = Timestamp::from_secs(1_770_000_000);
        let bundle = KeyBundle::issue(&self.server, self.secrets[0].public(), 1, expires).unwrap();
        let bundle = KeyBundle::verify(&bundle, &self.reader(), NOW).unwrap();
        let heading = self.heading();
        Sealer::new(self.source(), &self.device, bundle).seal(&heading, payload, NOW, &mut self.rng).unwrap()
    }

    /// The device answers an invitation. Gives the opening as it arrives, and the sender.
    fn begin(&mut self, invitation: &Invitation) -> (Vec<u8>, StreamSender<Option<Counter>>) {
        let opening = Opening::draw(invitation, &mut self.rng).promising(Duration::from_millis(59_001));
        let mut payload = [0; Opening::MAX_LEN];
        let len = opening.write(&mut payload).unwrap();
        let epoch = Epoch::begin(&opening, &self.heading(), self.reader()).unwrap();
        let sender = StreamSender::begin(epoch, None, Reservation::default()).unwrap();
        (self.sealed(&payload[..len]), sender)
    }

    /// The server opens it, as the answer to that invitation, and adds the stream.
    fn accept(&self, streams: &mut Streams, sealed: &[u8], invitation: &Invitation) -> Result<(), AcceptError> {
        let mut sealed = sealed.to_vec();
        let mut opener = Opener::new(&self.secrets, self.device.verifying_key(), <Trackers>::new(1, 1).unwrap());
        let opened = opener.open(Some(self.heading().topic), &mut sealed, &mut [0; 1024]).unwrap();
        let epoch = Epoch::accept(&opened, self.reader(), invitation)?;
        assert_eq!(epoch.longest_silence(), Some(Duration::from_secs(60)));
        assert_eq!(epoch.first().position.sequence, 42);
        streams.insert(epoch).unwrap();
        Ok(())
    }
}

#[test]
fn an_invited_stream_is_fresh_from_its_first_message() {
    let mut world = World::new();
    let mut streams: Streams = Streams::new(4, 2).unwrap();
    let invitation = Invitation::draw(streams.assign().unwrap(), &mut world.rng);
    let mut buffer = [0; Invitation::MAX_LEN];
    let len = invitation.write(&mut buffer).unwrap();
    for end in 0..len {
        assert!(Invitation::parse(&buffer[..end]).is_err(), "{end} octets");
    }
    assert_eq!(invitation.write(&mut [0; 4]), Err(BufferTooSmall { needed: len, available: 4 }));
    let (sealed, mut sender) = world.begin(&Invitation::parse(&buffer[..len]).unwrap());
    world.accept(&mut streams, &sealed, &invitation).unwrap();

    let (sequence, mut message) = sender.send(PAYLOAD).unwrap();
    assert_eq!((sequence, message.len()), (42, 20 + 20));
    let opened = streams.open(world.heading().topic, &mut message).unwrap();
    assert_eq!((opened.payload(), opened.proof()), (&PAYLOAD[..], Proof::PairwiseKey));
    assert_eq!(opened.freshness(), Freshness::Proven);
    assert_eq!(*opened.position(), Position { sequence: 42, ..world.heading().position });
    assert_eq!(opened.key(), world.device.verifying_key().key_id());
}

#[test]
fn a_provisioned_stream_is_unproven_until_a_challenge_is_answered() {
    let mut world = World::new();
    let mut streams: Streams = Streams::new(4, 1).unwrap();
    let context = streams.assign().unwrap();
    let invitation = Invitation::provisioned(context);
    let (sealed, mut sender) = world.begin(&invitation);
    world.accept(&mut streams, &sealed, &invitation).unwrap();
    let topic = world.heading().topic;
    let (_, mut message) = sender.send(PAYLOAD).unwrap();
    assert_eq!(streams.open(topic, &mut message).unwrap().freshness(), Freshness::Unproven);

    let challenge = Challenge::draw(&mut world.rng);
    let (source, stream, incarnation) = (world.source(), sender.stream(), sender.incarnation());
    let answer = Answer { source, stream, incarnation, next: sender.next_sequence() };
    let mut buffer = [0; Answer::BUFFER_LEN];
    let len = answer.issue_into(&challenge, world.reader(), &world.device, &mut buffer).unwrap();
    let octets = &buffer[..len];
    let directory = world.device.verifying_key();
    let mut later = [0; Answer::BUFFER_LEN];
    let unsigned = answer.begin(&challenge, world.reader(), &directory, &mut later).unwrap();
    let signature = world.device.sign(unsigned.to_be_signed());
    assert_eq!(unsigned.finish(signature).map(|len| &later[..len]), Ok(octets));
    assert_eq!(Answer::verify(octets, &challenge, world.reader(), &directory), Ok(answer));
    let elsewhere = Answer { incarnation: Incarnation::from_bytes([0; 8]), ..answer };
    assert_eq!(streams.stream_mut(context).unwrap().prove(&elsewhere), Freshness::Unproven);
    assert_eq!(streams.stream(context).unwrap().proven_from(), None);
    assert_eq!(streams.stream_mut(context).unwrap().prove(&answer), Freshness::Proven);
    let (_, mut message) = sender.send(PAYLOAD).unwrap();
    assert_eq!(streams.open(topic, &mut message).unwrap().freshness(), Freshness::Proven);
    // A later answer takes no proof away.
    let later = Answer { next: answer.next + 10, ..answer };
    assert_eq!(streams.stream_mut(context).unwrap().prove(&later), Freshness::Proven);
    assert_eq!(streams.stream(context).unwrap().proven_from(), Some(answer.next));

    // An answer to an older challenge, or to another reader's, proves nothing.
    let other = Challenge::draw(&mut world.rng);
    let refused = Answer::verify(octets, &other, world.reader(), &directory);
    assert_eq!(refused, Err(StatementError::OtherChallenge));
    let refused = Answer::verify(octets, &challenge, world.source(), &directory);
    assert_eq!(refused, Err(StatementError::Signature(SignatureError)));
    let stranger = world.server.verifying_key();
    let refused = Answer::verify(octets, &challenge, world.reader(), &stranger);
    assert_eq!(refused, Err(StatementError::UnknownSender(world.device.verifying_key().key_id())));
}

#[test]
fn refuses_any_flipped_bit_of_a_statement() {
    let mut world = World::new();
    let (_, sender) = world.begin(&Invitation::provisioned(ContextId::new(&[1]).unwrap()));
    let challenge = Challenge::draw(&mut world.rng);
    let answer =
        Answer { source: world.source(), stream: sender.stream(), incarnation: sender.incarnation(), next: 42 };
    let directory = world.device.verifying_key();
    let mut buffer = [0; Answer::BUFFER_LEN];
    let len = answer.issue_into(&challenge, world.reader(), &world.device, &mut buffer).unwrap();
    for bit in 0..8 * len {
        let mut octets = buffer[..len].to_vec();
        octets[bit / 8] ^= 1 << (bit % 8);
        assert!(Answer::verify(&octets, &challenge, world.reader(), &directory).is_err(), "bit {bit}");
    }
    // Nor does one kind of statement pass for another.
    assert!(Skipped::verify(&buffer[..len], &directory).is_err());
}

#[test]
fn an_opening_answers_its_own_invitation_alone() {
    let mut world = World::new();
    let mut streams: Streams = Streams::new(4, 2).unwrap();
    let context = streams.assign().unwrap();
    let (old, new) = (Invitation::draw(context, &mut world.rng), Invitation::draw(context, &mut world.rng));
    let (recorded, _) = world.begin(&old);
    assert_eq!(world.accept(&mut streams, &recorded, &new), Err(AcceptError::OtherInvitation));
    let provisioned = Invitation::provisioned(context);
    assert_eq!(world.accept(&mut streams, &recorded, &provisioned), Err(AcceptError::OtherInvitation));
    let (unasked, _) = world.begin(&provisioned);
    assert_eq!(world.accept(&mut streams, &unasked, &new), Err(AcceptError::OtherInvitation));
    let elsewhere = Invitation::provisioned(streams.assign().unwrap());
    assert_eq!(world.accept(&mut streams, &unasked, &elsewhere), Err(AcceptError::OtherInvitation));
}

/// Who reads a stream could have written it, so an opening in it says nothing of the source.
#[test]
fn an_opening_that_comes_in_a_stream_is_refused() {
    let mut world = World::new();
    let mut streams: Streams = Streams::new(4, 2).unwrap();
    let first = Invitation::draw(streams.assign().unwrap(), &mut world.rng);
    let (sealed, mut sender) = world.begin(&first);
    world.accept(&mut streams, &sealed, &first).unwrap();
    let next = Invitation::draw(streams.assign().unwrap(), &mut world.rng);
    let mut payload = [0; Opening::MAX_LEN];
    let len = Opening::draw(&next, &mut world.rng).write(&mut payload).unwrap();
    let (_, mut message) = sender.send(&payload[..len]).unwrap();
    let opened = streams.open(world.heading().topic, &mut message).unwrap();
    assert_eq!(Epoch::accept(&opened, world.reader(), &next).map(drop), Err(AcceptError::NotSigned));
}

/// Others know the secret of such an opening, and could write in the source's name.
#[test]
fn an_opening_for_several_readers_is_refused() {
    let mut world = World::new();
    let invitation = Invitation::draw(ContextId::new(&[1]).unwrap(), &mut world.rng);
    let mut payload = [0; Opening::MAX_LEN];
    let len = Opening::draw(&invitation, &mut world.rng).write(&mut payload).unwrap();
    let expires = Timestamp::from_secs(1_770_000_000);
    let (other, key) = (SigningKey::generate(&mut world.rng), AgreementSecret::generate(&mut world.rng));
    let readers = [(&world.server, world.secrets[0].public()), (&other, key.public())].map(|(signer, key)| {
        let octets = KeyBundle::issue(signer, key, 1, expires).unwrap();
        KeyBundle::verify(&octets, &signer.verifying_key().device_id(), NOW).unwrap()
    });
    let (source, heading) = (world.source(), world.heading());
    let sealer = MultiSealer::new(source, &world.device, &readers).unwrap();
    let mut sealed = sealer.seal(&heading, &payload[..len], NOW, &mut world.rng).unwrap();
    let mut opener = Opener::new(&world.secrets, world.device.verifying_key(), <Trackers>::new(1, 1).unwrap());
    let opened = opener.open(Some(heading.topic), &mut sealed, &mut [0; 2048]).unwrap();
    let refused = Epoch::accept(&opened, world.reader(), &invitation).map(drop);
    assert_eq!(refused, Err(AcceptError::NotPrivate(Audience::Readers)));
}

#[test]
fn an_opening_that_is_no_record_is_refused() {
    let mut world = World::new();
    let mut streams: Streams = Streams::new(4, 2).unwrap();
    let invitation = Invitation::draw(streams.assign().unwrap(), &mut world.rng);
    let sealed = world.sealed(b"21.5 Cel");
    let refused = world.accept(&mut streams, &sealed, &invitation);
    assert!(matches!(refused, Err(AcceptError::Malformed(_))), "{refused:?}");
}

#[test]
fn numbers_that_were_never_used_are_no_gap() {
    let mut world = World::new();
    let mut streams: Streams = Streams::new(4, 2).unwrap();
    let context = streams.assign().unwrap();
    let invitation = Invitation::draw(context, &mut world.rng);
    let (sealed, mut sender) = world.begin(&invitation);
    world.accept(&mut streams, &sealed, &invitation).unwrap();
    let topic = world.heading().topic;
    let (_, mut message) = sender.send(PAYLOAD).unwrap();
    streams.open(topic, &mut message).unwrap();

    // The power is cut; the queue holds number 42 as the last.
    let mut saved = [0; 256];
    let len = sender.save_into(&mut saved).unwrap();
    let store = Some(Counter { incarnation: sender.incarnation(), unused_from: 1_042 });
    let mut sender: StreamSender<Option<Counter>> =
        StreamSender::resume(&saved[..len], store, Reservation::default()).unwrap();
    let (_, mut message) = sender.send(PAYLOAD).unwrap();
    streams.open(topic, &mut message).unwrap();
    let missing = |streams: &Streams| streams.stream(context).unwrap().missing().collect::<Vec<_>>();
    assert_eq!(missing(&streams), std::slice::from_ref(&(43..1_042)));

    let unused = sender.skipped(43).unwrap();
    let mut buffer = [0; Skipped::BUFFER_LEN];
    // What the source says of another stream, or of another incarnation, is not about this one.
    let here = world.heading();
    for position in [
        Position { stream: StreamId::new(4), ..here.position },
        Position { incarnation: Incarnation::from_bytes([0; 8]), ..here.position },
    ] {
        let key = KeyId::from_bytes([0; 8]);
        let agreed = EpochSecret { secret: &[1; 32], transcript: b"", key, freshness: Freshness::Proven };
        let epoch = Epoch::from_agreed(context, &Heading { position, ..here }, world.reader(), &agreed);
        let other: StreamSender<Option<Counter>> = StreamSender::begin(epoch, None, Reservation::default()).unwrap();
        let len = Skipped::issue_into(world.source(), &world.device, &other, &unused, &mut buffer).unwrap();
        let skipped = Skipped::verify(&buffer[..len], &world.device.verifying_key()).unwrap();
        assert_eq!(streams.stream_mut(context).unwrap().skip(&skipped), Ok(0));
        assert_eq!(missing(&streams), std::slice::from_ref(&(43..1_042)));
    }
    let len = Skipped::issue_into(world.source(), &world.device, &sender, &unused, &mut buffer).unwrap();
    let (key, mut later) = (world.device.verifying_key(), [0; Skipped::BUFFER_LEN]);
    let unsigned = Skipped::begin(world.source(), &key, &sender, &unused, &mut later).unwrap();
    let signature = world.device.sign(unsigned.to_be_signed());
    assert_eq!(unsigned.finish(signature).map(|len| &later[..len]), Ok(&buffer[..len]));
    let skipped = Skipped::verify(&buffer[..len], &world.device.verifying_key()).unwrap();
    assert_eq!((skipped.source(), skipped.stream(), skipped.numbers()), (world.source(), sender.stream(), 43..1_042));
    assert_eq!(streams.stream_mut(context).unwrap().skip(&skipped), Ok(999));
    assert_eq!(missing(&streams), []);
    assert_eq!(streams.stream_mut(context).unwrap().skip(&skipped), Ok(0));
    for (start, end) in [(1_050, 1_050), (1_051, 1_050)] {
        let numbers = start..end;
        let len = Skipped::issue_into(world.source(), &world.device, &sender, &numbers, &mut buffer).unwrap();
        let refused = Skipped::verify(&buffer[..len], &world.device.verifying_key());
        assert_eq!(refused, Err(StatementError::EmptyRange { start, end }));
    }
}

#[test]
fn a_context_stays_with_its_source() {
    let mut world = World::new();
    let mut streams: Streams = Streams::new(1, 2).unwrap();
    let context = streams.assign().unwrap();
    assert_eq!(streams.assign(), None);
    let invitation = Invitation::draw(context, &mut world.rng);
    let (sealed, _) = world.begin(&invitation);
    world.accept(&mut streams, &sealed, &invitation).unwrap();

    let taken = crate::support::epoch_of(context, &crate::support::heading(0), world.reader(), 1);
    assert_eq!(streams.insert(taken).map(drop), Err(InsertError::Taken(context)));
    for other in [ContextId::new(&[0]).unwrap(), ContextId::new(&[0, 1]).unwrap(), ContextId::new(&[0xff; 8]).unwrap()]
    {
        let epoch = crate::support::epoch_of(other, &crate::support::heading(0), world.reader(), 1);
        assert_eq!(streams.insert(epoch).map(drop), Err(InsertError::OtherContext(other)));
    }
    assert_eq!((streams.stats().open, streams.stats().assigned), (1, 0));
    assert!(streams.remove(context).is_some());
    assert!(streams.remove(context).is_none());
    assert_eq!(streams.assign(), Some(context));
    assert_eq!((streams.stats().open, streams.stats().assigned), (0, 1));
}

#[test]
fn a_table_is_bounded_by_what_its_identifiers_can_name() {
    assert!(Streams::<iot_core::Ranges<8>>::new(256, 1).is_ok());
    for (capacity, context_len) in [(257, 1), (1, 0), (1, 9), (usize::MAX, 8)] {
        assert!(Streams::<iot_core::Ranges<8>>::new(capacity, context_len).is_err(), "{capacity}, {context_len}");
    }
}

/// The secrets follow from octets that are looked for, in hexadecimal and as numbers.
#[test]
fn nothing_shows_a_secret() {
    let secret: [u8; 32] = core::array::from_fn(|index| (index as u8).wrapping_mul(157).wrapping_add(0x6b));
    let agreed =
        EpochSecret { secret: &secret, transcript: b"", key: KeyId::from_bytes([0; 8]), freshness: Freshness::Proven };
    let context = ContextId::new(&[1]).unwrap();
    let epoch = || Epoch::from_agreed(context, &crate::support::heading(0), crate::support::READER, &agreed);
    let sender: StreamSender<Option<Counter>> = StreamSender::begin(epoch(), None, Reservation::default()).unwrap();
    let receiver: crate::support::Receiver = StreamReceiver::new(epoch(), crate::support::TOPIC).unwrap();
    let mut saved = [0; 256];
    let len = sender.save_into(&mut saved).unwrap();
    let opening = Opening::draw(&Invitation::provisioned(context), &mut ChaCha20Rng::from_seed([1; 32]));
    let mut written = [0; Opening::MAX_LEN];
    let written_len = opening.write(&mut written).unwrap();
    let shown = format!("{agreed:?} {:?} {sender:?} {receiver:?} {opening:?} {:#?}", epoch(), receiver);
    for octets in [&secret[..], &saved[60..len], &written[8..written_len]] {
        for run in octets.windows(4) {
            let hexadecimal: String = run.iter().map(|octet| format!("{octet:02x}")).collect();
            let decimal = format!("{}, {}, {}, {}", run[0], run[1], run[2], run[3]);
            assert!(!shown.contains(&hexadecimal) && !shown.contains(&decimal), "{shown}");
        }
    }
}
