//! What a receiver accepts, and how often.

use iot_core::{Freshness, Ranges, Topic, Window};
use iot_crypto::stream::{
    ContextId, FormError, GENERATION_LEN, InsertError, Reservation, RestoreError, StreamError, StreamMessage,
    StreamReceiver, StreamSender, Streams,
};
use iot_crypto::{Policy, PolicyError, Proof, ReplayError};
use proptest::prelude::*;

use crate::support::*;

/// The messages with these numbers.
fn messages(numbers: impl IntoIterator<Item = u64>) -> Vec<Vec<u8>> {
    numbers.into_iter().map(message).collect()
}

fn message(number: u64) -> Vec<u8> {
    // The epoch begins at 0 for the receiver; a sender that is resumed there writes only that number.
    let mut saved = [0; 256];
    let mut sender = sender(0);
    let len = sender.save_into(&mut saved).unwrap();
    if number > 0 {
        let counter = iot_crypto::stream::Counter { incarnation: INCARNATION, unused_from: number };
        sender = StreamSender::resume(&saved[..len], Some(counter), Reservation::default()).unwrap();
    }
    let (sequence, message) = sender.send(PAYLOAD).unwrap();
    assert_eq!(sequence, number);
    message
}

fn open(receiver: &mut Receiver, message: &[u8]) -> Result<Freshness, StreamError> {
    receiver.open(topic(), &mut message.to_vec()).map(|opened| opened.freshness())
}

#[test]
fn opens_both_forms_once() {
    let compact = message(5);
    let mut expanded = vec![0; 128];
    let len = StreamMessage::parse(&compact).unwrap().write_cose(&mut expanded).unwrap();
    let mut receiver = receiver(0);
    assert_eq!(open(&mut receiver, &expanded[..len]), Ok(Freshness::Proven));
    assert_eq!(open(&mut receiver, &compact), Err(StreamError::Replay(ReplayError::Repeated)));
    assert!(accepts(&mut super::support::receiver(0), &compact));
}

#[test]
fn refuses_every_truncation_and_any_flipped_bit() {
    let compact = message(65_535);
    let mut expanded = vec![0; 128];
    let len = StreamMessage::parse(&compact).unwrap().write_cose(&mut expanded).unwrap();
    expanded.truncate(len);
    for original in [compact, expanded] {
        let mut receiver = receiver(0);
        for end in 0..original.len() {
            assert!(open(&mut receiver, &original[..end]).is_err(), "{end} octets");
        }
        for bit in 0..8 * original.len() {
            let mut altered = original.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&mut receiver, &altered).is_err(), "bit {bit}");
        }
        // What was refused left no trace.
        assert_eq!(receiver.seen(), &Ranges::new());
        assert!(accepts(&mut receiver, &original));
    }
}

#[test]
fn refuses_another_topic_and_leaves_the_message_as_it_was() {
    let mut receiver = receiver(0);
    let original = message(0);
    let mut message = original.clone();
    for other in ["plant/7/boiler/1", "plant/7/boiler/123", "plant/7/boiler/13"] {
        let refused = receiver.open(Topic::new(other).unwrap(), &mut message);
        assert_eq!(refused.map(drop), Err(StreamError::OtherTopic));
    }
    assert_eq!(message, original);
    assert_eq!(receiver.open_without_topic(&mut message).unwrap().heading().topic, topic());
}

/// Key-compromise impersonation: the keys of a stream are the reader's, too, so who has them can write it. Such a
/// message says so, and a policy that demands signatures refuses it.
#[test]
fn what_a_reader_could_have_written_itself_is_no_signed_message() {
    let mut receiver = receiver(0);
    let mut written_by_the_reader = message(0);
    let opened = receiver.open(topic(), &mut written_by_the_reader).unwrap();
    assert_eq!(opened.proof(), Proof::PairwiseKey);
    let refused = PolicyError::Proof { found: Proof::PairwiseKey };
    assert_eq!(Policy::new().proof(Proof::Signature).check(&opened), Err(refused));
}

#[test]
fn refuses_an_epoch_with_any_other_binding() {
    let original = message(0);
    let heading = heading(0);
    let position = heading.position;
    let with = |position| iot_crypto::Heading { position, ..heading };
    let others = [
        epoch_of(context(), &heading, READER, 2),
        epoch_of(context(), &heading, SOURCE, 1),
        epoch_of(context(), &with(iot_core::Position { source: READER, ..position }), READER, 1),
        epoch_of(context(), &with(iot_core::Position { stream: iot_core::StreamId::new(8), ..position }), READER, 1),
        epoch_of(
            context(),
            &with(iot_core::Position { incarnation: iot_core::Incarnation::from_bytes([0; 8]), ..position }),
            READER,
            1,
        ),
    ];
    for epoch in others {
        let mut receiver: Receiver = StreamReceiver::new(epoch, TOPIC).unwrap();
        assert_eq!(open(&mut receiver, &original), Err(StreamError::Decryption));
    }
    let elsewhere = iot_crypto::Heading { topic: Topic::new("plant/8").unwrap(), position };
    let mut receiver: StreamReceiver<_, Ranges<8>, Cipher> =
        StreamReceiver::new(epoch_of(context(), &elsewhere, READER, 1), "plant/8").unwrap();
    let refused = receiver.open(elsewhere.topic, &mut original.clone()).map(drop);
    assert_eq!(refused, Err(StreamError::Decryption));
    let refused = StreamReceiver::<_, Ranges<8>, Cipher>::new(epoch(0), "plant/8").map(drop);
    assert_eq!(refused, Err(StreamError::OtherTopic));
}

#[test]
fn keys_change_between_65535_and_65536_and_late_messages_still_open() {
    let mut receiver = receiver(0);
    let mut sender = sender(0);
    let mut sent = Vec::new();
    while sender.next_sequence() < 2 * GENERATION_LEN + 2 {
        let (sequence, message) = sender.send(PAYLOAD).unwrap();
        if matches!(sequence % GENERATION_LEN, 0 | 1 | 65_534 | 65_535) {
            sent.push((sequence, message));
        }
    }
    assert_eq!(sent.len(), 10);
    // The last first: both generations before it are kept.
    for (sequence, message) in sent.iter().rev() {
        assert!(accepts(&mut receiver, message), "number {sequence}");
        assert!(!accepts(&mut receiver, message), "number {sequence} again");
    }
}

#[test]
fn keeps_two_generations_for_late_messages() {
    let mut receiver = receiver(0);
    let generation = |generation: u64| message(generation * GENERATION_LEN);
    assert!(accepts(&mut receiver, &generation(3)));
    assert_eq!(open(&mut receiver, &generation(0)), Err(StreamError::Replay(ReplayError::TooOld)));
    assert!(accepts(&mut receiver, &generation(1)));
    assert!(accepts(&mut receiver, &generation(2)));
    assert!(accepts(&mut receiver, &generation(4)));
    assert_eq!(open(&mut receiver, &message(GENERATION_LEN + 1)), Err(StreamError::Replay(ReplayError::TooOld)));
}

#[test]
fn a_claimed_number_cannot_turn_the_ratchet() {
    let mut receiver = receiver(0);
    let mut forged = message(5 * GENERATION_LEN);
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(open(&mut receiver, &forged), Err(StreamError::Decryption));
    assert!(accepts(&mut receiver, &message(0)), "the first key is still there");

    let far = message(17 * GENERATION_LEN);
    assert_eq!(open(&mut receiver, &far), Err(StreamError::TooFarAhead { generations: 17 }));
    let mut receiver = super::support::receiver(0).catching_up(17);
    assert!(accepts(&mut receiver, &far));
    let forged = [&[0b1001_1110, 0xab, 0xcd, 0xff][..], &[0xfe; 7], &[0; 36]].concat();
    assert!(matches!(open(&mut receiver, &forged), Err(StreamError::TooFarAhead { .. })));
}

#[test]
fn refuses_what_lies_before_the_epoch() {
    let mut receiver = receiver(100);
    let mut sender = sender(100);
    assert!(accepts(&mut receiver, &sender.send(PAYLOAD).unwrap().1));
    assert_eq!(receiver.missing().next(), None);
    for number in [0, 99] {
        let refused = open(&mut receiver, &message(number));
        assert!(matches!(refused, Err(StreamError::Replay(_))), "{number}: {refused:?}");
        // A window does not know where it began.
        let mut windowed: Receiver<Window<2>> = StreamReceiver::new(epoch(100), TOPIC).unwrap();
        let refused = windowed.open(topic(), &mut message(number)).map(drop);
        assert_eq!(refused, Err(StreamError::Replay(ReplayError::TooOld)), "{number}");
    }
}

#[test]
fn the_last_number_is_sent_and_none_after_it() {
    let last = iot_core::limits::LAST_SEQUENCE;
    let mut sender = sender(last);
    let (sequence, message) = sender.send(PAYLOAD).unwrap();
    assert_eq!(sequence, last);
    let mut receiver = receiver(last);
    assert!(accepts(&mut receiver, &message));
    assert!(!accepts(&mut receiver, &message));
    assert_eq!(sender.send(PAYLOAD), Err(iot_crypto::stream::SendError::Exhausted));
}

#[test]
fn a_full_memory_refuses_and_can_be_asked_again() {
    let mut receiver = receiver(0);
    for number in 1..=8 {
        assert!(accepts(&mut receiver, &message(2 * number)));
    }
    let waiting = message(100);
    assert_eq!(open(&mut receiver, &waiting), Err(StreamError::Replay(ReplayError::Full)));
    assert_eq!(receiver.give_up(), Some(0..2));
    assert!(accepts(&mut receiver, &waiting));
    assert!(!accepts(&mut receiver, &message(1)), "what was given up is refused");
}

#[test]
fn a_part_of_a_late_generation_is_not_restored() {
    let receiver = receiver(0);
    let mut saved = vec![0; receiver.saved_len()];
    let len = receiver.save_into(&mut saved).unwrap();
    // No late generation, and nothing accepted from 0 on.
    let (rest, end) = saved[..len].split_at(len - 3);
    assert_eq!(end, [0x40, 0x81, 0]);
    let altered = [rest, &[0x41, 0xaa, 0x81, 0]].concat();
    let refused = StreamReceiver::<_, Ranges<8>, Cipher>::restore(&altered, TOPIC).map(drop);
    assert_eq!(refused, Err(RestoreError::Length { len: 1 }));
}

#[test]
fn two_streams_do_not_open_each_others_messages() {
    let (one, other) = (ContextId::new(&[0]).unwrap(), ContextId::new(&[1]).unwrap());
    let mut streams: Streams<Window<2>, Cipher> = Streams::new(2, 1).unwrap();
    let elsewhere = iot_crypto::Heading { topic: Topic::new("plant/8").unwrap(), ..heading(0) };
    streams.insert(epoch_of(one, &heading(0), READER, 1)).unwrap();
    let position = iot_core::Position { stream: iot_core::StreamId::new(8), ..heading(0).position };
    let another = iot_crypto::Heading { position, ..heading(0) };
    let refused = streams.insert(epoch_of(one, &another, READER, 1)).map(drop);
    assert_eq!(refused, Err(InsertError::Taken(one)));
    let refused = streams.insert(epoch_of(other, &elsewhere, READER, 2));
    assert!(refused.is_ok());
    let mut sender: Sender =
        StreamSender::begin(epoch_of(one, &heading(0), READER, 1), None, Reservation::default()).unwrap();
    let (_, message) = sender.send(PAYLOAD).unwrap();
    let mut moved = message.clone();
    moved[1] = 1;
    assert_eq!(streams.open(topic(), &mut moved.clone()).map(drop), Err(StreamError::OtherTopic));
    assert_eq!(streams.open(elsewhere.topic, &mut moved).map(drop), Err(StreamError::Decryption));
    let mut nowhere = message.clone();
    nowhere[1] = 2;
    let unknown = StreamError::UnknownContext(ContextId::new(&[2]).unwrap());
    assert_eq!(streams.open(topic(), &mut nowhere).map(drop), Err(unknown));
    assert!(streams.open(topic(), &mut message.clone()).is_ok());
    assert!(streams.open_without_topic(&mut message.clone()).is_err());
}

#[test]
fn a_restored_table_accepts_nothing_twice() {
    let mut streams: Streams<Ranges<8>, Cipher> = Streams::new(2, 2).unwrap();
    let context = streams.assign().unwrap();
    streams.insert(epoch_of(context, &heading(0), READER, 1)).unwrap();
    let epoch = epoch_of(context, &heading(0), READER, 1);
    let mut sender: Sender = StreamSender::begin(epoch, None, Reservation::default()).unwrap();
    let (_, message) = sender.send(PAYLOAD).unwrap();
    streams.open(topic(), &mut message.clone()).unwrap();
    let stream = streams.stream(context).unwrap();
    let mut saved = vec![0; stream.saved_len()];
    stream.save_into(&mut saved).unwrap();

    let mut restored: Streams<Ranges<8>, Cipher> = Streams::new(2, 2).unwrap();
    assert!(restored.restore(&saved).unwrap().is_none());
    let repeated = restored.open(topic(), &mut message.clone()).map(drop);
    assert_eq!(repeated, Err(StreamError::Replay(ReplayError::Repeated)));
    restored.stream_mut(context).unwrap().doubt();
    let (_, mut message) = sender.send(PAYLOAD).unwrap();
    assert_eq!(restored.open(topic(), &mut message).unwrap().freshness(), Freshness::Unproven);
}

#[test]
fn refuses_every_truncation_of_a_saved_receiver_and_another_topic() {
    let mut receiver = receiver(0);
    for number in [0, 3, GENERATION_LEN] {
        assert!(accepts(&mut receiver, &message(number)));
    }
    let mut saved = vec![0; receiver.saved_len()];
    receiver.save_into(&mut saved).unwrap();
    let restore = |octets: &[u8], topic| StreamReceiver::<_, Ranges<8>, Cipher>::restore(octets, topic).map(drop);
    assert_eq!(restore(&saved, TOPIC), Ok(()));
    assert_eq!(restore(&saved, "plant/8"), Err(RestoreError::OtherTopic));
    for end in 0..saved.len() {
        assert!(restore(&saved[..end], TOPIC).is_err(), "{end} octets");
    }
    saved.push(0);
    assert!(matches!(restore(&saved, TOPIC), Err(RestoreError::Malformed(_))));
}

#[test]
fn malformed_messages_are_told_from_forged_ones() {
    let mut receiver = receiver(0);
    assert_eq!(open(&mut receiver, &[]), Err(StreamError::Form(FormError::Truncated { offset: 0 })));
    assert_eq!(open(&mut receiver, &[0x02; 40]), Err(StreamError::Form(FormError::Flags { flags: 0x02 })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A backlog around a change of keys, in any order, with repetitions, and a receiver that restarts in between from
    /// what it saved before it acknowledged.
    #[test]
    fn a_backlog_is_accepted_once_in_any_order(
        order in proptest::collection::vec(0_usize..16, 1..60),
        restarts in proptest::collection::vec(any::<bool>(), 60),
    ) {
        let backlog = messages((0..16).map(|index| GENERATION_LEN - 8 + index));
        let mut receiver = receiver(0);
        let mut accepted = [false; 16];
        for (index, restarts) in order.into_iter().zip(restarts) {
            prop_assert_eq!(accepts(&mut receiver, &backlog[index]), !accepted[index]);
            accepted[index] = true;
            if restarts {
                let mut saved = vec![0; receiver.saved_len()];
                receiver.save_into(&mut saved).unwrap();
                receiver = StreamReceiver::restore(&saved, TOPIC).unwrap();
            }
        }
    }

    #[test]
    fn a_restored_window_refuses_what_the_window_refused(numbers in proptest::collection::vec(0_u64..300, 1..40)) {
        let mut receiver: Receiver<Window<3>> = StreamReceiver::new(epoch(0), TOPIC).unwrap();
        for number in numbers {
            let message = message(number);
            let mut saved = vec![0; receiver.saved_len()];
            receiver.save_into(&mut saved).unwrap();
            let mut restored: Receiver<Window<3>> = StreamReceiver::restore(&saved, TOPIC).unwrap();
            let verdict = receiver.open(topic(), &mut message.clone()).map(drop);
            prop_assert_eq!(restored.open(topic(), &mut message.clone()).map(drop), verdict);
        }
    }
}
