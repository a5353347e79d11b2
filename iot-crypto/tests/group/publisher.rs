//! Numbers and keys of publishers.

use std::collections::HashSet;

use iot_core::Incarnation;
use iot_crypto::group::{Batch, FollowMemberError, GroupMessage, GroupPublisher, PublishError, PublisherError};
use iot_crypto::stream::{Counter, Reservation, ResumeError, SendError};
use iot_crypto::{Heading, MAX_PAYLOAD_LEN};
use proptest::prelude::*;

use crate::support::*;

#[test]
fn a_message_has_the_octets_that_the_front_page_says() {
    let alice = Party::new(1);
    let mut plant = Plant::found(&[&alice]);
    let member = plant.member(&alice);
    let first = alice.heading(70_001);
    let mut publisher: Publisher =
        GroupPublisher::begin(&member, &first, Ram::default(), Reservation::default()).unwrap();
    let message = publisher.publish(PAYLOAD, &mut Batch::<1>::new(plant.group())).unwrap();
    assert_eq!(message.len(), PAYLOAD.len() + 55);
    let mut batch = Batch::<1>::new(plant.group());
    let long = publisher.publish(&vec![0; MAX_PAYLOAD_LEN], &mut batch).unwrap();
    assert_eq!(
        member.open(Some(topic()), Some(alice.id()), &mut long.clone(), &mut Seen::default()).unwrap().payload().len(),
        MAX_PAYLOAD_LEN
    );
    let len = MAX_PAYLOAD_LEN + 1;
    let refused = publisher.publish(&vec![0; len], &mut Batch::<1>::new(plant.group()));
    assert_eq!(refused, Err(PublishError::Send(SendError::PayloadTooLong { len })));
}

#[test]
fn no_two_publishers_share_a_key() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let mut plant = Plant::found(&[&alice, &bob]);
    let member = plant.member(&alice);
    // Zeros show the key stream. Equal numbers, other everything.
    let first = alice.heading(0);
    let other_stream = iot_core::Position { stream: iot_core::StreamId::new(1), ..first.position };
    let other_run = iot_core::Position { incarnation: Incarnation::from_bytes([0; 8]), ..first.position };
    let headings = [
        first,
        bob.heading(0),
        alice.keys_heading(0),
        Heading { position: other_stream, ..first },
        Heading { position: other_run, ..first },
    ];
    let mut streams = HashSet::new();
    let mut publish = |member: &Member| {
        for heading in &headings {
            let mut publisher: Publisher =
                GroupPublisher::begin(member, heading, Ram::default(), Reservation::default()).unwrap();
            let message = publisher.publish(&[0; 32], &mut Batch::<1>::new(*member.group())).unwrap();
            let ciphertext = GroupMessage::parse(&message).unwrap().ciphertext()[..32].to_vec();
            assert!(streams.insert(ciphertext), "{heading:?}");
        }
    };
    publish(&member);
    plant.manages.change(&[], &[], &mut plant.rng).unwrap();
    publish(&plant.member(&alice));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_number_is_used_twice_in_any_lives(
        lives in proptest::collection::vec((0_usize..12, 1_u32..6, any::<bool>(), any::<bool>()), 1..8),
    ) {
        let alice = Party::new(1);
        let mut plant = Plant::found(&[&alice]);
        let mut member = plant.member(&alice);
        let store = Ram::default();
        let mut used = HashSet::new();
        for (life, (count, reservation, clean, rekeys)) in lives.into_iter().enumerate() {
            let reservation = Reservation::new(reservation).unwrap();
            let heading = alice.heading(0);
            let mut publisher: Publisher = if life == 0 {
                GroupPublisher::begin(&member, &heading, store.clone(), reservation).unwrap()
            } else {
                GroupPublisher::resume(&member, &heading, store.clone(), reservation).unwrap()
            };
            for _ in 0..count {
                let mut batch = Batch::<1>::new(plant.group());
                let message = publisher.publish(PAYLOAD, &mut batch).unwrap();
                let sequence = GroupMessage::parse(&message).unwrap().routing().sequence;
                prop_assert!(used.insert(sequence), "number {} is used twice", sequence);
            }
            if rekeys {
                plant.manages.change(&[], &[], &mut plant.rng).unwrap();
                let messages = plant.messages();
                plant.enter(&alice, &mut member, &messages).unwrap();
                prop_assert_eq!(publisher.follow(&member), Ok(plant.manages.epoch()));
            }
            if clean {
                publisher.shut_down().unwrap();
            }
        }
    }
}

#[test]
fn a_publisher_begins_resumes_and_follows_only_where_it_may() {
    let alice = Party::new(1);
    let mut plant = Plant::found(&[&alice]);
    let mut member = plant.member(&alice);
    let (heading, reservation) = (alice.heading(0), Reservation::default());
    let begin = |member: &Member, store: &Ram| -> Result<Publisher, _> {
        GroupPublisher::begin(member, &heading, store.clone(), reservation)
    };
    let resume = |member: &Member, store: &Ram| -> Result<Publisher, _> {
        GroupPublisher::resume(member, &heading, store.clone(), reservation)
    };
    let store = Ram::default();
    assert_eq!(begin(&Member::new(plant.group()), &store).map(drop), Err(PublisherError::NoEpoch));
    let lost = ResumeError::CounterLost { incarnation: INCARNATION };
    assert_eq!(resume(&member, &store).map(drop), Err(PublisherError::Counter(lost)));
    let mut publisher = begin(&member, &store).unwrap();
    let in_use = ResumeError::InUse { incarnation: INCARNATION, unused_from: 1_000 };
    assert_eq!(begin(&member, &store).map(drop), Err(PublisherError::Counter(in_use)));
    assert_eq!(store.0.get(), Some(Counter { incarnation: INCARNATION, unused_from: 1_000 }));

    // What was begun in one epoch is signed before the next.
    let mut batch: Batch = Batch::new(plant.group());
    publisher.publish(PAYLOAD, &mut batch).unwrap();
    let before = plant.member(&alice);
    plant.manages.change(&[], &[], &mut plant.rng).unwrap();
    let messages = plant.messages();
    plant.enter(&alice, &mut member, &messages).unwrap();
    assert_eq!(publisher.follow(&member), Ok(1));
    assert_eq!(publisher.publish(PAYLOAD, &mut batch), Err(PublishError::Batch));
    batch.sign(&alice.signing).unwrap();
    publisher.publish(PAYLOAD, &mut batch).unwrap();
    assert_eq!(publisher.next_sequence(), 2);
    assert_eq!(publisher.follow(&before), Err(FollowMemberError::Behind { epoch: 1 }));
    let other = iot_crypto::group::Group { manager: alice.id(), ..plant.group() };
    assert_eq!(publisher.follow(&Member::new(other)), Err(FollowMemberError::OtherGroup));
    assert_eq!(publisher.publish(PAYLOAD, &mut Batch::<1>::new(other)), Err(PublishError::Batch));
}
