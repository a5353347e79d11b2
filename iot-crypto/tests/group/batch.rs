//! Who wrote: forgeries among members.

use iot_codec::{cbor, record};
use iot_core::limits::LAST_SEQUENCE;
use iot_core::{Freshness, Position};
use iot_crypto::cose::{Sign1, SignError};
use iot_crypto::group::{
    Batch, BatchError, ConfirmError, GroupId, GroupLimits, GroupManager, GroupPublisher, PublishError, SignedBatch,
};
use iot_crypto::stream::{Reservation, SendError};
use iot_crypto::{Audience, Carries, Heading, Proof, ReplayError, ReplayGuard, SignatureError};

use crate::support::*;

fn verify<'b>(plant: &Plant, known: &Known<'_>, record: &'b [u8]) -> Result<SignedBatch<'b>, BatchError> {
    SignedBatch::verify(record, &plant.group(), known, &mut [0; SignedBatch::SCRATCH_LEN])
}

#[test]
fn a_batch_verifies_each_of_its_messages_in_any_order() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let mut plant = Plant::found(&[&alice, &bob]);
    let (writer, reader) = (plant.member(&alice), plant.member(&bob));
    let mut publisher = publisher(&writer, &alice);
    let mut batch: Batch = Batch::new(plant.group());
    let payloads: Vec<_> = (0..32_u8).map(|i| vec![i; usize::from(i)]).collect();
    let messages: Vec<_> = payloads.iter().map(|payload| publisher.publish(payload, &mut batch).unwrap()).collect();
    assert!(batch.is_full());
    assert_eq!(publisher.publish(b"one more", &mut batch), Err(PublishError::Batch));
    assert_eq!(publisher.next_sequence(), 32);
    let record = batch.sign(&alice.signing).unwrap();
    assert_eq!((batch.count(), batch.sign(&alice.signing).unwrap().len()), (0, 0));

    let known = known(&[&alice]);
    let signed = verify(&plant, &known, &record).unwrap();
    assert_eq!((signed.first(), signed.count(), signed.epoch()), (&alice.heading(0).position, 32, 0));
    let (mut seen, mut accepted) = (Seen::default(), Trusting::default());
    for index in (0..32).rev() {
        let mut message = messages[index].clone();
        let opened = reader.open(Some(topic()), Some(alice.id()), &mut message, &mut seen).unwrap();
        assert_eq!((opened.payload(), *opened.claimed()), (&*payloads[index], alice.heading(index as u64)));
        let verified = signed.confirm(opened).unwrap();
        assert_eq!((verified.proof(), verified.audience()), (Proof::Signature, Audience::Readers));
        assert_eq!(
            (verified.payload(), verified.position()),
            (&*payloads[index], &alice.heading(index as u64).position)
        );
        assert_eq!(verified.key(), alice.signing.verifying_key().key_id());

        // The same without trust in members: the position counts from the signature on, once.
        let mut copies = [messages[index].clone(), messages[index].clone()];
        let [first, second] = &mut copies;
        let first = reader.open_unconfirmed(Some(topic()), Some(alice.id()), first, &accepted).unwrap();
        let second = reader.open_unconfirmed(Some(topic()), Some(alice.id()), second, &accepted).unwrap();
        assert_eq!(signed.accept(first, &mut accepted).unwrap().payload(), payloads[index]);
        assert_eq!(signed.accept(second, &mut accepted).map(drop), Err(ReplayError::Repeated.into()));
    }
}

/// Remembers what it is told to, because somebody has asked it before.
#[derive(Default)]
struct Trusting(Seen);

impl ReplayGuard for Trusting {
    fn check(&self, position: &Position) -> Result<(), ReplayError> {
        self.0.check(position)
    }

    fn accept(&mut self, position: &Position) -> Result<Freshness, ReplayError> {
        self.0.0.insert(*position);
        Ok(Freshness::Unproven)
    }
}

#[test]
fn a_member_who_forges_another_is_detected_at_the_batch() {
    let (alice, mallory, bob) = (Party::new(1), Party::new(2), Party::new(3));
    let mut plant = Plant::found(&[&alice, &mallory, &bob]);
    let (writer, forger, reader) = (plant.member(&alice), plant.member(&mallory), plant.member(&bob));
    let mut batch: Batch = Batch::new(plant.group());
    let mut genuine = publisher(&writer, &alice).publish(PAYLOAD, &mut batch).unwrap();
    let record = batch.sign(&alice.signing).unwrap();

    // Mallory has the group's key, so she can write under Alice's name and position, but not sign for her.
    let mut batch: Batch = Batch::new(plant.group());
    let mut forged = publisher(&forger, &alice).publish(b"open the valve", &mut batch).unwrap();
    let in_her_name = batch.sign(&mallory.signing).unwrap();
    let mut batch: Batch = Batch::new(plant.group());
    publisher(&forger, &mallory).publish(b"open the valve", &mut batch).unwrap();
    let of_her_own = batch.sign(&mallory.signing).unwrap();

    let mut seen = Seen::default();
    let known = known(&[&alice, &mallory]);
    assert_eq!(verify(&plant, &known, &in_her_name).map(drop), Err(SignatureError.into()));
    let signed = verify(&plant, &known, &record).unwrap();
    let by_mallory = verify(&plant, &known, &of_her_own).unwrap();
    let mut copy = forged.clone();
    let opened = reader.open(Some(topic()), Some(alice.id()), &mut copy, &mut Seen::default());
    assert!(opened.is_ok(), "the group's key alone does not tell");
    let mut copy = forged.clone();
    let opened = reader.open_unconfirmed(Some(topic()), Some(alice.id()), &mut copy, &seen).unwrap();
    assert_eq!(signed.accept(opened, &mut seen).map(drop), Err(ConfirmError::Forged));
    let opened = reader.open_unconfirmed(Some(topic()), Some(alice.id()), &mut forged, &seen).unwrap();
    assert_eq!(by_mallory.accept(opened, &mut seen).map(drop), Err(ConfirmError::NotCovered));

    // The forgery did not keep the genuine message out.
    let opened = reader.open_unconfirmed(Some(topic()), Some(alice.id()), &mut genuine, &seen).unwrap();
    assert_eq!(signed.accept(opened, &mut seen).unwrap().payload(), PAYLOAD);
}

#[test]
fn a_batch_is_about_one_group_epoch_source_stream_incarnation_and_topic() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let mut plant = Plant::found(&[&alice, &bob]);
    let (mut writer, mut reader) = (plant.member(&alice), plant.member(&bob));
    let mut batch: Batch = Batch::new(plant.group());
    publisher(&writer, &alice).publish(PAYLOAD, &mut batch).unwrap();
    let record = batch.sign(&alice.signing).unwrap();
    let known = known(&[&alice]);
    let signed = verify(&plant, &known, &record).unwrap();

    let other_topic = iot_core::Topic::new("plant/7/boiler/13").unwrap();
    let first = alice.heading(0);
    let elsewhere = [
        (Heading { topic: other_topic, ..first }, ConfirmError::Forged),
        (alice.heading(1), ConfirmError::NotCovered),
        (bob.heading(0), ConfirmError::NotCovered),
        (
            Heading { position: Position { stream: iot_core::StreamId::new(1), ..first.position }, ..first },
            ConfirmError::NotCovered,
        ),
        (
            Heading {
                position: Position { incarnation: iot_core::Incarnation::from_bytes([0; 8]), ..first.position },
                ..first
            },
            ConfirmError::NotCovered,
        ),
    ];
    for (heading, expected) in elsewhere {
        let mut publisher: Publisher =
            GroupPublisher::begin(&writer, &heading, Ram::default(), Reservation::default()).unwrap();
        let mut message = publisher.publish(PAYLOAD, &mut Batch::<1>::new(plant.group())).unwrap();
        let source = heading.position.source;
        let opened = reader.open(Some(heading.topic), Some(source), &mut message, &mut Seen::default()).unwrap();
        assert_eq!(signed.confirm(opened).map(drop), Err(expected), "{heading:?}");
    }

    plant.manages.change(&[], &[], &mut plant.rng).unwrap();
    let messages = plant.messages();
    plant.enter(&alice, &mut writer, &messages).unwrap();
    plant.enter(&bob, &mut reader, &messages).unwrap();
    let mut message = publisher(&writer, &alice).publish(PAYLOAD, &mut Batch::<1>::new(plant.group())).unwrap();
    let opened = reader.open(Some(topic()), Some(alice.id()), &mut message, &mut Seen::default()).unwrap();
    assert_eq!(signed.confirm(opened).map(drop), Err(ConfirmError::NotCovered));
    assert!(signed.covers(0, &first.position) && !signed.covers(1, &first.position));

    let other = iot_crypto::group::Group { id: GroupId::from_bytes([0; 8]), ..plant.group() };
    let refused = SignedBatch::verify(&record, &other, &known, &mut [0; SignedBatch::SCRATCH_LEN]);
    assert_eq!(refused.map(drop), Err(SignatureError.into()));
    // Not a forgery: what the same manager's other group says at that position.
    let bundles = [alice.bundle()];
    let manages = GroupManager::found(other, GroupLimits::default(), 0, &bundles, &mut plant.rng).unwrap();
    let signer = &plant.manager.signing;
    let announced = manages.seal_epoch(signer, &plant.manager.keys_heading(90), NOW, &mut plant.rng).unwrap();
    let mut elsewhere = Member::new(other);
    alice.opened(&plant.manager, &announced[0], |opened| elsewhere.enter(opened)).unwrap().unwrap();
    let mut message = publisher(&elsewhere, &alice).publish(PAYLOAD, &mut Batch::<1>::new(other)).unwrap();
    let opened = elsewhere.open(Some(topic()), Some(alice.id()), &mut message, &mut Seen::default()).unwrap();
    assert_eq!(signed.confirm(opened).map(drop), Err(ConfirmError::NotCovered));

    let stranger = crate::support::known(&[&bob]);
    let refused = verify(&plant, &stranger, &record).map(drop);
    assert_eq!(refused, Err(BatchError::UnknownPublisher(alice.signing.verifying_key().key_id())));
}

record! {
    struct Body<'b> {
        1 => epoch: u64,
        2 => stream: u32,
        3 => incarnation: &'b [u8; 8],
        4 => first: u64,
        5 => leaves: &'b [u8],
    }
}

/// What its publisher signs, but would not write.
#[test]
fn refuses_a_batch_beyond_the_last_number_or_of_no_whole_number_of_messages() {
    let alice = Party::new(1);
    let plant = Plant::found(&[&alice]);
    let (group, known) = (plant.group(), known(&[&alice]));
    let mut external = cbor::Writer::new(Vec::new());
    external.array(4).unwrap();
    external.text("iot group batch 1").unwrap();
    external.bytes(group.manager.as_bytes()).unwrap();
    external.bytes(group.id.as_bytes()).unwrap();
    external.bytes(alice.id().as_bytes()).unwrap();
    let external = external.into_output();
    let signed = |first: u64, len: usize| {
        let body = Body { epoch: 0, stream: 0, incarnation: b"a chance", first, leaves: &vec![0; len] };
        Sign1::sign(&alice.signing, &cbor::to_vec(&body), &external).unwrap()
    };
    let refused = |first, len| verify(&plant, &known, &signed(first, len)).map(drop);
    assert_eq!(refused(LAST_SEQUENCE, 32), Ok(()));
    for first in [LAST_SEQUENCE, u64::MAX] {
        assert_eq!(refused(first, 64), Err(BatchError::AboveLast { first, count: 2 }));
    }
    for len in [0, 31, 33] {
        assert_eq!(refused(0, len), Err(BatchError::Leaves { len }));
    }
    // No batch of more messages has a length that would be read.
    assert!(matches!(refused(0, 65 * 32), Err(BatchError::TooLong { .. } | BatchError::Leaves { .. })));
}

#[test]
fn refuses_every_truncation_and_flipped_bit_of_a_batch() {
    let alice = Party::new(1);
    let mut plant = Plant::found(&[&alice]);
    let member = plant.member(&alice);
    let mut publisher = publisher(&member, &alice);
    let mut batch: Batch = Batch::new(plant.group());
    for _ in 0..2 {
        publisher.publish(PAYLOAD, &mut batch).unwrap();
    }
    let record = batch.sign(&alice.signing).unwrap();
    assert_eq!(record.len(), 104 + 2 * 32);
    let known = known(&[&alice]);
    assert!(verify(&plant, &known, &record).is_ok());
    for bit in 0..record.len() * 8 {
        let mut flipped = record.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&plant, &known, &flipped).is_err(), "bit {bit}");
    }
    for len in 0..record.len() {
        assert!(verify(&plant, &known, &record[..len]).is_err(), "{len} octets");
    }
    let trailing = [&*record, &[0]].concat();
    assert!(verify(&plant, &known, &trailing).is_err());
    let long = vec![0; SignedBatch::MAX_LEN + 1];
    assert_eq!(verify(&plant, &known, &long).map(drop), Err(BatchError::TooLong { len: long.len() }));
    let short = SignedBatch::verify(&record, &plant.group(), &known, &mut [0; 16]);
    assert!(matches!(short, Err(BatchError::Buffer(_))));
}

#[test]
fn a_batch_is_as_long_as_its_bounds_say_and_keeps_its_messages_when_it_is_not_signed() {
    let alice = Party::new(1);
    let mut plant = Plant::found(&[&alice]);
    let member = plant.member(&alice);
    let mut publisher = publisher(&member, &alice).carrying(Carries::SourceAndTopic).unwrap();
    let mut batch: Batch<64> = Batch::new(plant.group());
    let messages: Vec<_> = (0..64).map(|_| publisher.publish(PAYLOAD, &mut batch).unwrap()).collect();
    assert!(matches!(batch.sign_into(&alice.signing, &mut [0; 100]), Err(SignError::Buffer(_))));
    assert_eq!(batch.count(), 64);
    let record = batch.sign(&alice.signing).unwrap();
    let known = known(&[&alice]);
    assert_eq!(verify(&plant, &known, &record).unwrap().count(), 64);
    // The header says the rest.
    let mut last = messages[63].clone();
    let opened = member.open(None, None, &mut last, &mut Seen::default()).unwrap();
    assert_eq!(*opened.claimed(), alice.heading(63));
    let short = publisher.publish_into(PAYLOAD, &mut batch, &mut [0; 8]);
    assert!(matches!(short, Err(PublishError::Send(SendError::Buffer(_)))));
    assert_eq!((batch.count(), publisher.next_sequence()), (0, 64));
}

/// The holder of the key answers while the next messages are written.
#[test]
fn a_batch_whose_signature_comes_later_covers_what_was_in_it() {
    let alice = Party::new(1);
    let mut plant = Plant::found(&[&alice]);
    let (member, known) = (plant.member(&alice), known(&[&alice]));
    let mut publisher = publisher(&member, &alice);
    let mut batch: Batch<4> = Batch::new(plant.group());
    let (key, mut buffer) = (alice.signing.verifying_key(), [0; Batch::<4>::MAX_BUFFER_LEN]);
    assert!(batch.begin(&key, &mut buffer).unwrap().is_none());
    publisher.publish(PAYLOAD, &mut batch).unwrap();
    publisher.publish(PAYLOAD, &mut batch).unwrap();
    assert!(batch.begin(&key, &mut [0; 100]).is_err());
    assert_eq!(batch.count(), 2);
    let unsigned = batch.begin(&key, &mut buffer).unwrap().unwrap();
    publisher.publish(PAYLOAD, &mut batch).unwrap();
    assert_eq!(batch.count(), 1);
    let signature = alice.signing.sign(unsigned.to_be_signed());
    let len = unsigned.finish(signature).unwrap();
    assert_eq!(verify(&plant, &known, &buffer[..len]).unwrap().count(), 2);
    let next = batch.sign(&alice.signing).unwrap();
    assert_eq!(verify(&plant, &known, &next).unwrap().count(), 1);
}
