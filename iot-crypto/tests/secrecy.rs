//! No secret shows in what is printed: values in `Debug`, errors in `Debug` and `Display`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::error::Error;
use std::fmt::Debug;

use iot_core::{DeviceId, Freshness, Incarnation, KeyId, Position, Ranges, StreamId, Timestamp, Topic};
use iot_crypto::cose::{ContentKey, MacKey};
use iot_crypto::group::{Batch, Group, GroupId, GroupLimits, GroupManager, GroupMember, GroupPublisher};
use iot_crypto::stream::{
    Counter, Epoch, EpochSecret, Invitation, Opening, Reservation, RustCrypto, StreamReceiver, StreamSender, Streams,
};
use iot_crypto::{
    Agreed, AgreedSecret, AgreementSecret, CoseKey, Heading, KeyBundle, Opener, Sealer, SigningKey, Trackers, Verified,
};
use rand_core::{TryCryptoRng, TryRng};

/// A secret without a pattern, so that no run of it is in an output by chance.
fn secret() -> [u8; 32] {
    core::array::from_fn(|i| (i as u8).wrapping_mul(157).wrapping_add(0x6b))
}

/// Fails if three octets of the secret in a row are in `text`, in hexadecimal or as numbers.
fn check(secret: &[u8], text: &str) {
    let text = text.to_lowercase();
    for run in secret.windows(3) {
        let hexadecimal: String = run.iter().map(|octet| format!("{octet:02x}")).collect();
        let decimal = format!("{}, {}, {}", run[0], run[1], run[2]);
        assert!(!text.contains(&hexadecimal) && !text.contains(&decimal), "{text}");
    }
}

fn check_value(value: &impl Debug) {
    check_value_for(&secret(), value);
}

fn check_value_for(secret: &[u8], value: &impl Debug) {
    // A list of numbers with one in a line has them side by side again.
    let in_lines = format!("{value:#?}").replace(",\n", ",").split_whitespace().collect::<Vec<_>>().join(" ");
    check(secret, &format!("{value:?} {in_lines}"));
}

fn check_error(secret: &[u8], error: &dyn Error) {
    check(secret, &format!("{error:?} {error:#?} {error}"));
    if let Some(source) = error.source() {
        check_error(secret, source);
    }
}

/// Gives every error that `read` has for the octets with one bit flipped, and says how many there were.
fn check_errors_of<E: Error>(secret: &[u8], octets: &[u8], read: impl Fn(&[u8]) -> Result<(), E>) -> usize {
    let mut errors = 0;
    for bit in 0..octets.len() * 8 {
        let mut altered = octets.to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        if let Err(error) = read(&altered) {
            check_error(secret, &error);
            errors += 1;
        }
    }
    errors
}

#[test]
fn the_check_finds_what_it_looks_for() {
    assert!(std::panic::catch_unwind(|| check_value(&secret())).is_err());
    let hexadecimal: String = secret().iter().map(|octet| format!("{octet:02X}")).collect();
    assert!(std::panic::catch_unwind(|| check_value(&hexadecimal)).is_err());
}

#[test]
fn keys_show_no_secret() {
    check_value(&SigningKey::from_seed(&secret()));
    check_value(&AgreementSecret::from_bytes(&secret()));
    #[cfg(feature = "es256")]
    check_value(&iot_crypto::P256SigningKey::from_bytes(&secret()).unwrap());
}

#[test]
fn key_objects_and_their_errors_show_no_secret() {
    let mut octets = [0; CoseKey::MAX_LEN];
    let len = SigningKey::from_seed(&secret()).write_secret_cose_key(&mut octets).unwrap();
    check_value(&CoseKey::parse(&octets[..len]).unwrap());
    let errors = check_errors_of(&secret(), &octets[..len], |octets| CoseKey::parse(octets)?.signing_key().map(drop));
    assert!(errors > 100, "{errors} errors were looked at");
}

#[cfg(feature = "keyfile")]
#[test]
fn key_files_and_their_errors_show_no_secret() {
    use iot_crypto::{KeyFile, KeyFileCost};
    use rand_core::SeedableRng as _;
    let mut rng = rand_chacha::ChaCha20Rng::from_seed([1; 32]);
    let octets = KeyFile::lock(&secret(), &secret(), &secret(), KeyFileCost::LEAST, &mut rng).unwrap();
    assert!(!octets.windows(4).any(|window| window == &secret()[..4]));
    let file = KeyFile::parse(&octets).unwrap();
    check_value(&file);
    check_error(&secret(), &file.unlock(&secret()[1..], &secret(), &mut [0; 32]).unwrap_err());
    check_error(&secret(), &file.unlock(&secret(), &secret(), &mut [0; 31]).unwrap_err());
}

#[test]
fn agreed_secrets_are_not_shown() {
    let key = *AgreementSecret::from_bytes(&[1; 32]).public();
    check_value(&AgreedSecret::from_bytes(secret()));
    check_value(&Agreed::new(key, [2; 32], AgreedSecret::from_bytes(secret())));
}

#[test]
fn contents_and_their_keys_show_no_secret() {
    check_value(&ContentKey::from_bytes(secret()));
    check_value(&MacKey::from_bytes(secret()));
}

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

fn heading(source: DeviceId) -> Heading<'static> {
    let incarnation = Incarnation::from_bytes(*b"a chance");
    let position = Position { source, stream: StreamId::new(0), incarnation, sequence: 0 };
    Heading { topic: Topic::new("plant/7").unwrap(), position }
}

fn bundle(signing: &SigningKey, agreement: &AgreementSecret) -> Vec<u8> {
    KeyBundle::issue(signing, agreement.public(), 1, Timestamp::from_secs(1_770_000_000)).unwrap()
}

#[test]
fn streams_and_their_errors_show_no_secret() {
    let mut streams: Streams = Streams::new(1, 2).unwrap();
    let invitation = Invitation::draw(streams.assign().unwrap(), &mut Draws);
    let opening = Opening::draw(&invitation, &mut Draws);
    let mut octets = [0; Opening::MAX_LEN];
    let len = opening.write(&mut octets).unwrap();
    assert!(octets[..len].windows(32).any(|window| window == secret()));
    check_value(&invitation);
    check_value(&opening);
    check_errors_of(&secret(), &octets[..len], |octets| Invitation::parse(octets).map(drop));

    let source = SigningKey::from_seed(&[1; 32]).verifying_key().device_id();
    let key = KeyId::from_bytes([9; 8]);
    let agreed = EpochSecret { secret: &secret(), transcript: b"", key, freshness: Freshness::Proven };
    let epoch = || Epoch::from_agreed(invitation.context(), &heading(source), source, &agreed);
    check_value(&agreed);
    check_value(&epoch());
    let sender: StreamSender<Option<Counter>> = StreamSender::begin(epoch(), None, Reservation::default()).unwrap();
    let receiver: StreamReceiver<_> = StreamReceiver::new(epoch(), "plant/7").unwrap();
    streams.insert(epoch()).unwrap();
    let mut saved = [0; 512];
    let len = sender.save_into(&mut saved).unwrap();
    // The chain from which the next keys follow stands at the end.
    let chain = saved[len - 32..len].to_vec();
    for secret in [&secret()[..], &chain] {
        check_value_for(secret, &sender);
        check_value_for(secret, &receiver);
        check_value_for(secret, &streams);
    }
    let resume =
        |octets: &[u8]| StreamSender::<Option<Counter>>::resume(octets, None, Reservation::default()).map(drop);
    assert!(check_errors_of(&chain, &saved[..len], resume) > 100);
    let len = receiver.save_into(&mut saved).unwrap();
    let restore = |octets: &[u8]| StreamReceiver::<_, Ranges<8>>::restore(octets, "plant/7").map(drop);
    assert!(check_errors_of(&chain, &saved[..len], restore) > 100);
}

#[test]
fn groups_and_their_errors_show_no_secret() {
    let [manager, writer] = [7, 1].map(|seed| SigningKey::from_seed(&[seed; 32]));
    let agreement = AgreementSecret::from_bytes(&[1; 32]);
    let group = Group { manager: manager.verifying_key().device_id(), id: GroupId::from_bytes(*b"plant  7") };
    let id = writer.verifying_key().device_id();
    let bundle = KeyBundle::verify(&bundle(&writer, &agreement), &id, NOW).unwrap();
    let manages = GroupManager::found(group, GroupLimits::default(), 0, &[bundle], &mut Draws).unwrap();
    check_value(&manages);

    let at = heading(group.manager);
    // What the manager seals is the secret, with what it is for.
    let open = |message: &[u8], then: &mut dyn FnMut(&Verified<'_>)| {
        let seen: Trackers = Trackers::new(1, 1).unwrap();
        let mut opener = Opener::new(std::slice::from_ref(&agreement), manager.verifying_key(), seen);
        then(&opener.open(Some(at.topic), &mut message.to_vec(), &mut [0; 1024]).unwrap());
    };
    let mut member: GroupMember = GroupMember::new(group);
    let mut payload = Vec::new();
    open(&manages.seal_epoch(&manager, &at, NOW, &mut Draws).unwrap()[0], &mut |opened| {
        check_value(opened);
        payload = opened.payload().to_vec();
        member.enter(opened).unwrap();
    });
    assert!(payload.windows(32).any(|window| window == secret()));
    let sealer = Sealer::new(group.manager, &manager, bundle);
    let enter = |payload: &[u8]| {
        let mut entered = Ok(());
        open(&sealer.seal(&at, payload, NOW, &mut Draws).unwrap(), &mut |opened| {
            entered = GroupMember::<RustCrypto>::new(group).enter(opened).map(drop);
        });
        entered
    };
    assert!(check_errors_of(&secret(), &payload, enter) > 100);
    let mut saved = [0; GroupMember::<RustCrypto>::MAX_SAVED_LEN];
    let len = member.save_into(&mut saved).unwrap();
    assert!(saved[..len].windows(32).any(|window| window == secret()));
    let restore = |octets: &[u8]| GroupMember::<RustCrypto>::restore(group, octets).map(drop);
    assert!(check_errors_of(&secret(), &saved[..len], restore) > 100);

    let mut batch: Batch = Batch::new(group);
    let mut publisher: GroupPublisher<'_, Option<Counter>> =
        GroupPublisher::begin(&member, &heading(id), None, Reservation::default()).unwrap();
    let mut message = publisher.publish(&secret(), &mut batch).unwrap();
    check_value(&member);
    check_value(&publisher);
    check_value(&batch);
    let mut seen: Trackers = Trackers::new(1, 1).unwrap();
    check_value(&member.open(Some(at.topic), Some(id), &mut message, &mut seen).unwrap());
}

#[cfg(feature = "session")]
#[test]
fn sessions_and_their_errors_show_no_secret() {
    use iot_core::Instant;
    use iot_crypto::session::{Context, Identity, Initiator, Peer, Progress, Responder};

    let context = Context::new(b"plant 7", NOW);
    let start = Instant::from_micros(0);
    let [device, server] = [1, 2].map(|seed| SigningKey::from_seed(&[seed; 32]));
    let agreement = AgreementSecret::from_bytes(&secret());
    let [ours, theirs] = [&device, &server].map(|signing| bundle(signing, &agreement));
    let known = KeyBundle::verify(&theirs, &server.verifying_key().device_id(), NOW).unwrap();
    let [device, server] = [&ours, &theirs].map(|bundle| Identity::new(&agreement, bundle));
    check_value(&device);
    for peer in [Peer::Bundle(&known), Peer::Anyone] {
        // Draws what is the static secret of both, so that no secret of the handshake may show.
        let begin = || Initiator::begin(&device, peer, &context, start, &mut Draws).unwrap();
        let answer = |first: &[u8]| Responder::answer(first, &server, Peer::Anyone, &context, start, &mut Draws);
        let mut initiator = begin();
        check_value(&initiator);
        let first = initiator.poll_transmit().unwrap();
        let mut responder = answer(&first).unwrap();
        check_value(&responder);
        check_errors_of(&secret(), &first[..64], |first| answer(first).map(drop));
        let second = responder.poll_transmit().unwrap();
        check_errors_of(&secret(), &second[..64], |second| match begin().handle_message(start, second)? {
            Progress::Waiting { refused, .. } => refused.map_or(Ok(()), Err),
            Progress::Established(_) => Ok(()),
        });
        let established = initiator.handle_message(start, &second).unwrap();
        check_value(&established);
        let Progress::Established(mut session) = established else { panic!("no session") };
        check_value(&session);
        let message = session.send(b"21.5 Cel").unwrap();
        check_error(&secret(), &session.handle_message(&message).unwrap_err());
    }
}

/// A generator that draws nothing but the secret, and zeros for what has 8 octets: the identifier of a session is none.
struct Draws;

impl TryRng for Draws {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(u32::from_le_bytes(*secret().first_chunk().unwrap()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(u64::from_le_bytes(*secret().first_chunk().unwrap()))
    }

    fn try_fill_bytes(&mut self, octets: &mut [u8]) -> Result<(), Self::Error> {
        if octets.len() != 8 {
            octets.chunks_mut(32).for_each(|chunk| chunk.copy_from_slice(&secret()[..chunk.len()]));
        }
        Ok(())
    }
}

impl TryCryptoRng for Draws {}
