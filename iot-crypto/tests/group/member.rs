//! What a member refuses, and what survives its restart.

use iot_codec::{cbor, record};
use iot_core::{DeviceId, Freshness, Topic};
use iot_crypto::group::{
    Batch, Group, GroupError, GroupFormError, GroupId, GroupMember, GroupMessage, LAST_EPOCH, RekeyError,
    RestoreMemberError,
};
use iot_crypto::stream::{ContextId, Counter, Epoch, EpochSecret, Reservation, StreamReceiver, StreamSender};
use iot_crypto::{Publisher as Signed, ReplayError, Sealer};

use crate::support::*;

fn published(plant: &Plant, member: &Member, party: &Party) -> Vec<u8> {
    publisher(member, party).publish(PAYLOAD, &mut Batch::<1>::new(plant.group())).unwrap()
}

fn open(member: &Member, party: &Party, message: &[u8], seen: &mut Seen) -> Result<Vec<u8>, GroupError> {
    let mut message = message.to_vec();
    member.open(Some(topic()), Some(party.id()), &mut message, seen).map(|opened| opened.payload().to_vec())
}

#[test]
fn accepts_a_message_once() {
    let alice = Party::new(1);
    let mut plant = Plant::found(&[&alice]);
    let member = plant.member(&alice);
    let message = published(&plant, &member, &alice);
    let mut seen = Seen::default();
    assert_eq!(open(&member, &alice, &message, &mut seen).unwrap(), PAYLOAD);
    assert_eq!(open(&member, &alice, &message, &mut seen), Err(ReplayError::Repeated.into()));
    let mut again = message.clone();
    let opened = member.open_unconfirmed(Some(topic()), Some(alice.id()), &mut again, &seen);
    assert_eq!(opened.map(drop), Err(ReplayError::Repeated.into()));
    assert_eq!(again, message, "nothing is decrypted for a position that is not accepted");
}

#[test]
fn refuses_every_truncation_and_flipped_bit() {
    let alice = Party::new(1);
    let mut plant = Plant::found(&[&alice]);
    let member = plant.member(&alice);
    let message = published(&plant, &member, &alice);
    for bit in 0..message.len() * 8 {
        let mut flipped = message.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut seen = Seen::default();
        assert!(open(&member, &alice, &flipped, &mut seen).is_err(), "bit {bit}");
        assert!(seen.0.is_empty(), "bit {bit} leaves a position behind");
    }
    for len in 0..message.len() {
        assert!(open(&member, &alice, &message[..len], &mut Seen::default()).is_err(), "{len} octets");
    }
    assert!(open(&member, &alice, &[&*message, &[0]].concat(), &mut Seen::default()).is_err());
}

#[test]
fn refuses_another_group_epoch_source_and_topic() {
    let alice = Party::new(1);
    let mut plant = Plant::found(&[&alice]);
    let mut member = plant.member(&alice);
    let message = published(&plant, &member, &alice);
    let parsed = GroupMessage::parse(&message).unwrap();
    assert_eq!((parsed.group(), parsed.epoch(), parsed.routing().sequence), (plant.group().id, 0, 0));

    let mut seen = Seen::default();
    let mut copy = message.clone();
    let refused = member.open(Some(topic()), Some(plant.manager.id()), &mut copy, &mut seen).map(drop);
    assert_eq!(refused, Err(GroupError::Decryption));
    let mut copy = message.clone();
    let refused = member.open(Some(keys_topic()), Some(alice.id()), &mut copy, &mut seen).map(drop);
    assert_eq!(refused, Err(GroupError::Decryption));
    let mut copy = message.clone();
    assert_eq!(member.open(None, Some(alice.id()), &mut copy, &mut seen).map(drop), Err(GroupError::NoTopic));
    assert_eq!(member.open(Some(topic()), None, &mut copy, &mut seen).map(drop), Err(GroupError::NoSource));
    let stranger = Member::new(plant.group());
    assert_eq!(open(&stranger, &alice, &message, &mut seen), Err(GroupError::NotEntered { epoch: 0 }));
    let elsewhere = Member::new(Group { id: GroupId::from_bytes([0; 8]), ..plant.group() });
    let other = GroupError::OtherGroup { found: plant.group().id };
    assert_eq!(open(&elsewhere, &alice, &message, &mut seen), Err(other));

    plant.manages.change(&[], &[], &mut plant.rng).unwrap();
    let messages = plant.messages();
    let behind = open(&member, &alice, &message, &mut seen);
    assert_eq!(behind.unwrap(), PAYLOAD);
    plant.enter(&alice, &mut member, &messages).unwrap();
    let ahead = published(&plant, &member, &alice);
    let mut seen = Seen::default();
    // A late message of an epoch that is kept, and after that no longer.
    assert_eq!(open(&member, &alice, &message, &mut seen).unwrap(), PAYLOAD);
    member.forget_late();
    assert_eq!(open(&member, &alice, &message, &mut seen), Err(GroupError::NotKept { epoch: 0 }));
    // The number of the epoch is no claim that anybody can change.
    let mut moved = message.clone();
    let at = ahead.iter().zip(&message).position(|(ahead, message)| ahead != message).unwrap();
    moved[at] = ahead[at];
    assert_eq!(GroupMessage::parse(&moved).unwrap().epoch(), 1);
    assert_eq!(open(&member, &alice, &moved, &mut Seen::default()), Err(GroupError::Decryption));
}

#[test]
fn headers_that_say_more_are_compared() {
    let alice = Party::new(1);
    let mut plant = Plant::found(&[&alice]);
    let member = plant.member(&alice);
    let mut publisher = publisher(&member, &alice).carrying(iot_crypto::Carries::SourceAndTopic).unwrap();
    let message = publisher.publish(PAYLOAD, &mut Batch::<1>::new(plant.group())).unwrap();
    let open = |topic: Option<Topic<'_>>, source: Option<DeviceId>| {
        member.open(topic, source, &mut message.clone(), &mut Seen::default()).map(drop)
    };
    assert_eq!(open(None, None), Ok(()));
    assert_eq!(open(Some(topic()), Some(alice.id())), Ok(()));
    assert_eq!(open(Some(keys_topic()), None), Err(GroupError::OtherTopic));
    assert_eq!(open(None, Some(plant.manager.id())), Err(GroupError::OtherSource { found: alice.id() }));
}

#[test]
fn refuses_other_headers_and_longer_numbers() {
    let routing = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    let message =
        |headers: &[u8]| [&routing[..], &[0x83, 0x44, 0xa1, 0x01, 0x18, 0x18], headers, &[0x50], &[0; 16]].concat();
    let sound = [&[0xa3, 0x04, 0x41, 0x05, 0x06, 0x41, 0x09, 0x0a, 0x48][..], b"plant  7"].concat();
    assert_eq!(GroupMessage::parse(&message(&sound)).unwrap().epoch(), 5);
    let with = |at: usize, octets: &[u8]| [&sound[..at], octets, &sound[at + 2..]].concat();
    let refused = |headers: &[u8]| GroupMessage::parse(&message(headers)).unwrap_err();
    assert_eq!(refused(&with(2, &[0x42, 0, 5])), GroupFormError::NotShortest { offset: 11 });
    assert_eq!(refused(&with(2, &[0x40])), GroupFormError::OtherHeaders { offset: 9 });
    assert_eq!(refused(&with(5, &[0x41, 8])), GroupFormError::OtherSequence { found: 8, sequence: 9 });
    assert_eq!(refused(&with(5, &[0x42, 0, 9])), GroupFormError::NotShortest { offset: 14 });
    let last = [[7, 1, 2, 3, 4, 5, 6, 7, 8].as_slice(), &[0xff; 8], &[0x83, 0x44, 0xa1, 0x01, 0x18, 0x18]].concat();
    let last = [&last, &sound[..5], &[0x48], &[0xff; 8], &sound[7..], &[0x50], &[0; 16]].concat();
    assert_eq!(GroupMessage::parse(&last), Err(GroupFormError::AboveLast));
    let mut hpke = message(&sound);
    hpke[15] = 0x2a;
    assert_eq!(GroupMessage::parse(&hpke), Err(GroupFormError::OtherHeaders { offset: 6 }));
    let cut = message(&sound);
    assert_eq!(GroupMessage::parse(&[&cut[..33], &[0x4f], &[0; 15]].concat()), Err(GroupFormError::Length { len: 15 }));
}

#[test]
fn epochs_only_rise_and_the_floor_survives() {
    let alice = Party::new(1);
    let mut plant = Plant::found(&[&alice]);
    let first = plant.messages();
    plant.manages.change(&[], &[], &mut plant.rng).unwrap();
    let second = plant.messages();
    let mut member = Member::new(plant.group());
    assert_eq!(plant.enter(&alice, &mut member, &second), Ok(1));
    for (messages, epoch) in [(&first, 0), (&second, 1)] {
        let old = RekeyError::OldEpoch { epoch, floor: 2 };
        assert_eq!(plant.enter(&alice, &mut member, messages), Err(Refused::Rekey(old)));
    }
    assert_eq!((member.current_epoch(), member.members()), (Some(1), Some(plant.manages.member_set_hash())));

    let mut saved = [0; Member::MAX_SAVED_LEN];
    let len = member.save_into(&mut saved).unwrap();
    let mut restored = Member::restore(plant.group(), &saved[..len]).unwrap();
    let old = RekeyError::OldEpoch { epoch: 1, floor: 2 };
    assert_eq!(plant.enter(&alice, &mut restored, &second), Err(Refused::Rekey(old)));
    let message = published(&plant, &member, &alice);
    assert_eq!(open(&restored, &alice, &message, &mut Seen::default()).unwrap(), PAYLOAD);

    // One who has lost all but the number.
    let mut anew = Member::new(plant.group()).with_floor(1);
    let old = RekeyError::OldEpoch { epoch: 0, floor: 1 };
    assert_eq!(plant.enter(&alice, &mut anew, &first), Err(Refused::Rekey(old)));
    assert_eq!(plant.enter(&alice, &mut anew, &second), Ok(1));
}

#[test]
fn keeps_as_many_older_epochs_as_it_was_told() {
    let alice = Party::new(1);
    let mut plant = Plant::found(&[&alice]);
    let mut member = plant.member(&alice);
    let mut few = GroupMember::<iot_crypto::stream::RustCrypto, 2>::new(plant.group());
    for expected in 1..6 {
        assert_eq!(plant.manages.change(&[], &[], &mut plant.rng), Ok(expected));
        let messages = plant.messages();
        plant.enter(&alice, &mut member, &messages).unwrap();
        alice.opened(&plant.manager, &messages[0], |opened| few.enter(opened)).unwrap().unwrap();
    }
    assert!(member.late_epochs().eq([4, 3, 2, 1, 0]));
    assert!(few.late_epochs().eq([4, 3]));
    let mut saved = [0; Member::MAX_SAVED_LEN];
    let len = member.save_into(&mut saved).unwrap();
    let restored = GroupMember::<iot_crypto::stream::RustCrypto, 2>::restore(plant.group(), &saved[..len]).unwrap();
    assert!(restored.late_epochs().eq([4, 3]));
    assert!(Member::restore(plant.group(), &saved[..len]).unwrap().late_epochs().eq([4, 3, 2, 1, 0]));

    let other = Group { id: GroupId::from_bytes([0; 8]), ..plant.group() };
    let refused = Member::restore(other, &saved[..len]).map(drop);
    assert_eq!(refused, Err(RestoreMemberError::OtherGroup { found: plant.group().id }));
    for cut in 0..len {
        assert!(Member::restore(plant.group(), &saved[..cut]).is_err(), "{cut} octets");
    }
}

/// A member in no epoch was read from an array of any claimed length below two.
#[test]
fn a_saved_member_has_one_encoding() {
    let group = Plant::found(&[&Party::new(1)]).group();
    let mut saved = [0; Member::MAX_SAVED_LEN];
    let len = Member::new(group).save_into(&mut saved).unwrap();
    assert_eq!(saved[0], 0x81);
    assert!(Member::restore(group, &saved[..len]).is_ok());
    saved[0] = 0x80;
    assert!(matches!(Member::restore(group, &saved[..len]), Err(RestoreMemberError::Malformed(_))));
}

#[test]
fn only_the_managers_sealed_records_count() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let mut plant = Plant::found(&[&alice, &bob]);
    let mut member = plant.member(&alice);
    plant.manages.change(&[], &[], &mut plant.rng).unwrap();
    let messages = plant.messages();
    let payload = bob.opened(&plant.manager, &messages[0], |opened| opened.payload().to_vec()).unwrap();

    // A member seals the manager's record anew, in its own name.
    let sealer = Sealer::new(bob.id(), &bob.signing, alice.bundle());
    let sealed = sealer.seal(&bob.keys_heading(0), &payload, NOW, &mut plant.rng).unwrap();
    let refused = alice.opened(&bob, &sealed, |opened| member.enter(opened)).unwrap();
    assert_eq!(refused, Err(RekeyError::OtherManager { found: bob.id() }));

    // It comes in a stream of the manager, in whose name the member that reads it could have written it.
    let (heading, key) = (plant.manager.keys_heading(0), plant.manager.signing.verifying_key().key_id());
    let agreed = EpochSecret { secret: &[1; 32], transcript: b"", key, freshness: Freshness::Proven };
    let epoch = || Epoch::from_agreed(ContextId::new(&[1]).unwrap(), &heading, alice.id(), &agreed);
    let mut sender: StreamSender<Option<Counter>> = StreamSender::begin(epoch(), None, Reservation::default()).unwrap();
    let mut receiver: StreamReceiver<_> = StreamReceiver::new(epoch(), keys_topic().as_str()).unwrap();
    let mut streamed = sender.send(&payload).unwrap().1;
    let opened = receiver.open(keys_topic(), &mut streamed).unwrap();
    assert_eq!(member.enter(&opened), Err(RekeyError::NotSigned));

    // The manager publishes it by mistake.
    let publisher = Signed::new(plant.manager.id(), &plant.manager.signing);
    let mut public = publisher.publish(&plant.manager.keys_heading(70), &payload).unwrap();
    let known = known(&[&plant.manager]);
    let mut opener = iot_crypto::Opener::new(std::slice::from_ref(&alice.agreement), known, Seen::default())
        .with_policy(iot_crypto::Policy::new().at_least(iot_crypto::Strength::Signed));
    let opened = opener.open(Some(keys_topic()), &mut public, &mut [0; 2_048]).unwrap();
    assert_eq!(member.enter(&opened), Err(RekeyError::NotSecret));

    // Another record of the manager, and one for another group.
    let manager = Party::new(0x7f);
    let mut from_manager = |payload: &[u8], member: &mut Member| {
        let sealer = Sealer::new(manager.id(), &manager.signing, alice.bundle());
        let sealed = sealer.seal(&manager.keys_heading(71), payload, NOW, &mut plant.rng).unwrap();
        alice.opened(&manager, &sealed, |opened| member.enter(opened)).unwrap()
    };
    assert!(matches!(from_manager(b"21.5 Cel", &mut member), Err(RekeyError::Malformed(_))));
    let mut other = payload.clone();
    let at = other.windows(8).position(|octets| octets == b"plant  7").unwrap();
    other[at] = b'P';
    let found = GroupId::from_bytes(*b"Plant  7");
    assert_eq!(from_manager(&other, &mut member), Err(RekeyError::OtherGroup { found }));
    let mut other = payload.clone();
    let at = other.windows(5).position(|octets| octets == b"epoch").unwrap();
    other[at] = b'E';
    assert_eq!(from_manager(&other, &mut member), Err(RekeyError::OtherKind));
    assert_eq!(from_manager(&payload, &mut member), Ok(1));
}

#[test]
fn saved_epochs_descend_from_below_the_floor() {
    let alice = Party::new(1);
    let mut plant = Plant::found(&[&alice]);
    let mut member = plant.member(&alice);
    plant.manages.change(&[], &[], &mut plant.rng).unwrap();
    let messages = plant.messages();
    plant.enter(&alice, &mut member, &messages).unwrap();
    let mut saved = [0; Member::MAX_SAVED_LEN];
    let len = member.save_into(&mut saved).unwrap();
    let restore = |saved: &[u8]| Member::restore(plant.group(), saved).map(drop);
    assert_eq!(restore(&saved[..len]), Ok(()));
    // A map of three, whose first number is the epoch's.
    let epoch_at = |epoch| saved[..len].windows(5).position(|octets| octets == [0xa3, 1, epoch, 2, 0x58]).unwrap() + 2;
    for (at, epoch) in [(epoch_at(1), 2), (epoch_at(0), 1)] {
        let mut altered = saved;
        altered[at] = epoch;
        assert_eq!(restore(&altered[..len]), Err(RestoreMemberError::Order { epoch: epoch.into() }));
    }
}

record! {
    struct Rekeying<'b> {
        1 => kind: &'b str,
        2 => group: &'b [u8; 8],
        3 => epoch: u64,
        4 => members: &'b [u8; 32],
        5 => secret: &'b [u8; 32],
    }
}

record! {
    struct History<'b> {
        1 => kind: &'b str,
        2 => group: &'b [u8; 8],
        3 => first: u64,
        4 => epochs: &'b [u8],
    }
}

#[test]
fn epochs_above_the_last_and_halves_of_epochs_are_refused() {
    let alice = Party::new(1);
    let mut plant = Plant::found(&[&alice]);
    let mut member = plant.member(&alice);
    let group = plant.group().id;
    let sealer = Sealer::new(plant.manager.id(), &plant.manager.signing, alice.bundle());
    let heading = plant.manager.keys_heading(70);
    let mut seal = |payload: &[u8]| sealer.seal(&heading, payload, NOW, &mut plant.rng).unwrap();

    let epoch = LAST_EPOCH + 1;
    let kind = "iot group epoch 1";
    let record = Rekeying { kind, group: group.as_bytes(), epoch, members: &[0; 32], secret: &[0; 32] };
    let sealed = seal(&cbor::to_vec(&record));
    let entered = alice.opened(&plant.manager, &sealed, |opened| member.enter(opened)).unwrap();
    assert_eq!(entered, Err(RekeyError::AboveLast { epoch }));
    let kind = "iot group history 1";
    for (first, len, refused) in [
        (LAST_EPOCH, 2 * 64, RekeyError::AboveLast { epoch: LAST_EPOCH }),
        (u64::MAX, 2 * 64, RekeyError::AboveLast { epoch: u64::MAX }),
        (0, 0, RekeyError::Length { len: 0 }),
        (0, 65, RekeyError::Length { len: 65 }),
    ] {
        let sealed = seal(&cbor::to_vec(&History { kind, group: group.as_bytes(), first, epochs: &vec![0; len] }));
        let taken = alice.opened(&plant.manager, &sealed, |opened| member.take_history(opened)).unwrap();
        assert_eq!(taken, Err(refused));
    }
    assert_eq!((member.current_epoch(), member.late_epochs().count()), (Some(0), 0));
}

#[test]
fn no_secret_is_shown() {
    let alice = Party::new(1);
    let mut plant = Plant::found(&[&alice]);
    let member = plant.member(&alice);
    let mut batch: Batch = Batch::new(plant.group());
    let mut publisher = publisher(&member, &alice);
    let mut message = publisher.publish(PAYLOAD, &mut batch).unwrap();
    let announced = plant.messages();
    let secret = alice.opened(&plant.manager, &announced[0], |opened| opened.payload().to_vec()).unwrap();
    let secret = &secret[secret.len() - 32..];
    let shown = |text: &str| {
        secret.windows(3).any(|run| {
            let hexadecimal: String = run.iter().map(|octet| format!("{octet:02x}")).collect();
            text.contains(&hexadecimal) || text.contains(&format!("{}, {}, {}", run[0], run[1], run[2]))
        })
    };
    assert!(shown(&format!("{secret:?}")));
    let text = format!("{member:?} {publisher:?} {batch:?} {:?}", plant.manages);
    assert!(!shown(&text), "{text}");
    // What waits for a signature does not show its payload.
    let opened = member.open_unconfirmed(Some(topic()), Some(alice.id()), &mut message, &Seen::default()).unwrap();
    assert!(!format!("{opened:?}").contains("payload"));
}
