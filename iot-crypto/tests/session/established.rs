//! What two ends do with a session that they have.

use iot_core::{Freshness, Incarnation, Position, StreamId, Topic};
use iot_crypto::Heading;
use iot_crypto::session::{Session, SessionError};
use iot_crypto::stream::{ContextId, Counter, Reservation, StreamSender, Streams};

use crate::support::{PATTERNS, sessions};

#[test]
fn both_ends_know_each_other_and_talk() {
    for pattern in PATTERNS {
        let (mut ours, mut theirs, _) = sessions(pattern);
        let (device, server) = (crate::support::Device::new(1), crate::support::Device::new(2));
        assert_eq!((ours.peer().device(), theirs.peer().device()), (server.id(), device.id()));
        assert_eq!(ours.handshake_hash(), theirs.handshake_hash());
        assert!(ours.is_confirmed() && theirs.is_confirmed());
        assert_eq!((ours.poll_timeout(), ours.poll_transmit(), theirs.poll_transmit()), (None, None, None));
        for turn in 0..10_u8 {
            let message = ours.send(&[turn; 20]).unwrap();
            assert_eq!(message.len(), 20 + Session::OVERHEAD);
            assert_eq!(theirs.handle_message(&message), Ok(Some(vec![turn; 20])));
            assert!(matches!(theirs.handle_message(&message), Err(SessionError::Number(_))));
            let message = theirs.send(&[turn; 5]).unwrap();
            assert_eq!(ours.handle_message(&message), Ok(Some(vec![turn; 5])));
            if turn % 3 == 0 {
                ours.rekey();
                theirs.rekey();
            }
        }
    }
}

#[test]
fn what_one_side_sent_is_not_taken_from_the_other() {
    for pattern in PATTERNS {
        let (mut ours, mut theirs, [first, second, third, done]) = sessions(pattern);
        let (up, down) = (ours.send(b"up").unwrap(), theirs.send(b"down").unwrap());
        assert_eq!(ours.handle_message(&up), Err(SessionError::NotAuthentic));
        assert_eq!(theirs.handle_message(&down), Err(SessionError::NotAuthentic));
        for reflected in [&first, &third] {
            assert_eq!(ours.handle_message(reflected), Err(SessionError::Form));
        }
        for reflected in [&second, &done] {
            assert_eq!(theirs.handle_message(reflected), Err(SessionError::Form));
        }
        assert_eq!(theirs.handle_message(&up), Ok(Some(b"up".to_vec())));
        assert_eq!(ours.handle_message(&down), Ok(Some(b"down".to_vec())));
    }
}

#[test]
fn payloads_of_every_length_to_the_longest_fit() {
    let (mut ours, mut theirs, _) = sessions(PATTERNS[0]);
    for len in [0, 1, Session::MAX_PAYLOAD_LEN] {
        let message = ours.send(&vec![9; len]).unwrap();
        assert_eq!(theirs.handle_message(&message), Ok(Some(vec![9; len])));
    }
    let len = Session::MAX_PAYLOAD_LEN + 1;
    assert_eq!(ours.send(&vec![9; len]), Err(SessionError::TooLong { len }));
}

#[test]
fn epochs_of_streams_come_from_a_session() {
    for pattern in PATTERNS {
        let (mut ours, mut theirs, _) = sessions(pattern);
        let source = theirs.peer().device();
        let position =
            Position { source, stream: StreamId::new(3), incarnation: Incarnation::from_bytes([1; 8]), sequence: 0 };
        let heading = Heading { topic: Topic::new("plant/7").unwrap(), position };
        let mut ciphertexts = Vec::new();
        for _ in 0..2 {
            let mut streams: Streams = Streams::new(4, 2).unwrap();
            let context = streams.assign().unwrap();
            let epoch = ours.begin_epoch(context, &heading).unwrap();
            let mut sender: StreamSender<Option<Counter>> =
                StreamSender::begin(epoch, None, Reservation::default()).unwrap();
            streams.insert(theirs.accept_epoch(context, &heading).unwrap()).unwrap();
            let (_, mut message) = sender.send(b"21.5 Cel").unwrap();
            ciphertexts.push(message[message.len() - 24..].to_vec());
            let opened = streams.open(heading.topic, &mut message).unwrap();
            assert_eq!((opened.payload(), opened.freshness()), (&b"21.5 Cel"[..], Freshness::Proven));
            assert_eq!(opened.key(), theirs.peer().agreement_key().key_id());
        }
        assert_ne!(ciphertexts[0], ciphertexts[1], "two epochs of one heading have the same key");
        let refused = SessionError::OtherSource { found: source };
        let context = ContextId::new(b"ab").unwrap();
        assert_eq!(ours.accept_epoch(context, &heading).unwrap_err(), refused);
        assert_eq!(theirs.begin_epoch(context, &heading).unwrap_err(), refused);
    }
}
