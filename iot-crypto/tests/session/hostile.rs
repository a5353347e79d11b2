//! Whatever comes before authentication: nothing panics, nothing is believed, and the true message still works.

use iot_crypto::session::{
    Context, HandshakeError, Identity, Initiator, Link, Pattern, Peer, Progress, Responder, Session, SessionError,
    SessionId, Settings, is_first,
};
use proptest::prelude::*;

use crate::support::{Device, PATTERNS, START, answer, begin, context, established, rng, sessions};

fn waiting<H>(progress: Result<Progress<H>, HandshakeError>) -> H {
    match progress {
        Ok(Progress::Waiting { handshake, refused: Some(_) }) => handshake,
        Ok(Progress::Waiting { refused: None, .. }) => panic!("the message was taken"),
        Ok(Progress::Established(_)) => panic!("a session began"),
        Err(error) => panic!("the handshake ended: {error}"),
    }
}

/// Every truncation, some longer ones, and every flipped bit.
fn alterations(message: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let cut = (0..message.len()).map(|len| message[..len].to_vec());
    let longer = [1, 16, 2000].into_iter().map(move |more| [message, &vec![0; more]].concat());
    let flipped = (0..message.len() * 8).map(|bit| {
        let mut altered = message.to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        altered
    });
    cut.chain(longer).chain(flipped)
}

/// How many messages a patient handshake refuses before it ends.
const PATIENCE: usize = 1000;

fn patient() -> Context<'static> {
    context().with_settings(Settings::default().with_max_refused(PATIENCE as u32).unwrap())
}

#[test]
fn an_altered_first_message_is_refused_or_comes_to_nothing() {
    let (device, server) = (Device::new(1), Device::new(2));
    for pattern in PATTERNS {
        let mut initiator = begin(pattern, &device, &server, &context());
        let first = initiator.poll_transmit().unwrap();
        assert!(is_first(&first));
        for altered in alterations(&first) {
            let answered =
                Responder::answer(&altered, &server.identity(), Peer::Anyone, &context(), START, &mut rng(2));
            match answered {
                Err(_) => {}
                // In XX nothing of the first message is authentic until the answer comes back.
                Ok(mut responder) => {
                    assert_eq!(pattern, Pattern::Xx);
                    let initiator = begin(pattern, &device, &server, &context());
                    waiting(initiator.handle_message(START, &responder.poll_transmit().unwrap()));
                }
            }
        }
    }
}

#[test]
fn a_first_message_with_another_payload_than_one_is_refused() {
    let (device, server) = (Device::new(1), Device::new(2));
    let first = begin(Pattern::Xx, &device, &server, &context()).poll_transmit().unwrap();
    // Behind the identifier and the ephemeral key, in clear.
    let altered = [&first[..41], &[0xff; 350]].concat();
    let refused = Responder::answer(&altered, &server.identity(), Peer::Anyone, &context(), START, &mut rng(2));
    assert!(matches!(refused.err(), Some(HandshakeError::Payload(_))));
}

/// With such a key every agreement gives the same, whoever takes part.
#[test]
fn ephemeral_keys_of_small_order_are_refused() {
    let (device, server) = (Device::new(1), Device::new(2));
    for pattern in PATTERNS {
        let mut first = begin(pattern, &device, &server, &context()).poll_transmit().unwrap();
        first[9..41].fill(0);
        let refused = Responder::answer(&first, &server.identity(), Peer::Anyone, &context(), START, &mut rng(2));
        assert_eq!(refused.err(), Some(HandshakeError::Noise));
    }
}

#[test]
fn an_altered_second_message_is_passed_over() {
    let (device, server) = (Device::new(1), Device::new(2));
    for pattern in PATTERNS {
        let first = begin(pattern, &device, &server, &context()).poll_transmit().unwrap();
        let second = answer(&first, &server, &context()).poll_transmit().unwrap();
        for altered in alterations(&second).collect::<Vec<_>>().chunks(PATIENCE) {
            let mut initiator = begin(pattern, &device, &server, &patient());
            for second in altered {
                initiator = waiting(initiator.handle_message(START, second));
            }
            established(initiator.handle_message(START, &second).unwrap());
        }
    }
}

#[test]
fn an_altered_third_message_is_passed_over() {
    let server = Device::new(2);
    for pattern in PATTERNS {
        let (ours, _, [first, _, third, _]) = sessions(pattern);
        for altered in alterations(&third).collect::<Vec<_>>().chunks(PATIENCE) {
            let mut responder = answer(&first, &server, &patient());
            for third in altered {
                responder = waiting(responder.handle_message(third));
            }
            let theirs = established(responder.handle_message(&third).unwrap());
            assert_eq!(theirs.handshake_hash(), ours.handshake_hash());
        }
    }
}

#[test]
fn an_altered_message_of_a_session_is_refused() {
    for pattern in PATTERNS {
        let (mut ours, mut theirs, _) = sessions(pattern);
        let message = ours.send(b"21.5 Cel").unwrap();
        for altered in alterations(&message) {
            assert!(!matches!(theirs.handle_message(&altered), Ok(Some(_))));
        }
        assert_eq!(theirs.handle_message(&message), Ok(Some(b"21.5 Cel".to_vec())));
    }
}

#[test]
fn an_altered_last_word_does_not_end_the_handshake() {
    let (device, server) = (Device::new(1), Device::new(2));
    for pattern in PATTERNS {
        let mut initiator = begin(pattern, &device, &server, &context());
        let mut responder = answer(&initiator.poll_transmit().unwrap(), &server, &context());
        let mut ours = established(initiator.handle_message(START, &responder.poll_transmit().unwrap()).unwrap());
        let mut theirs = established(responder.handle_message(&ours.poll_transmit().unwrap()).unwrap());
        let done = theirs.poll_transmit().unwrap();
        for altered in alterations(&done) {
            assert!(!matches!(ours.handle_message(&altered), Ok(Some(_))));
            assert!(!ours.is_confirmed());
        }
        assert_eq!((ours.handle_message(&done), ours.is_confirmed()), (Ok(None), true));
    }
}

/// The third message of IK and the word *done* are encrypted as messages are, with the number 0. Framed as a message,
/// they were once taken for an empty one.
#[test]
fn a_word_of_the_handshake_is_no_message() {
    for pattern in PATTERNS {
        let (mut ours, mut theirs, [_, _, third, done]) = sessions(pattern);
        let framed = |word: &[u8]| [&[0xeb], &word[1..9], &[0; 8], &word[9..]].concat();
        assert_eq!(theirs.handle_message(&framed(&third)), Err(SessionError::Form));
        assert_eq!(ours.handle_message(&framed(&done)), Err(SessionError::Form));
    }
}

#[test]
fn a_message_longer_than_any_of_a_handshake_is_refused_unread() {
    let (device, server) = (Device::new(1), Device::new(2));
    let long = |message: &[u8]| [message, &vec![0; 1233 - message.len()]].concat();
    let mut initiator = begin(Pattern::Xx, &device, &server, &context());
    let first = initiator.poll_transmit().unwrap();
    let refused = Responder::answer(&long(&first), &server.identity(), Peer::Anyone, &context(), START, &mut rng(2));
    assert_eq!(refused.err(), Some(HandshakeError::Length { len: 1233 }));
    let second = answer(&first, &server, &context()).poll_transmit().unwrap();
    let Ok(Progress::Waiting { refused, .. }) = initiator.handle_message(START, &long(&second)) else {
        panic!("it ended")
    };
    assert_eq!(refused, Some(HandshakeError::Length { len: 1233 }));
}

/// A forger that sees the identifier cannot make a handshake work for ever.
#[test]
fn a_handshake_refuses_a_bounded_number_of_messages() {
    let (device, server) = (Device::new(1), Device::new(2));
    let settings = Settings::default().with_max_refused(2).unwrap();
    let context = context().with_settings(settings);
    let mut initiator = begin(Pattern::Ik, &device, &server, &context);
    let junk = [&[0xe5][..], initiator.id().as_bytes(), &[0; 100]].concat();
    initiator = waiting(initiator.handle_message(START, &junk));
    initiator = waiting(initiator.handle_message(START, &junk));
    let ended = initiator.handle_message(START, &junk);
    assert_eq!(ended.err(), Some(HandshakeError::TooManyRefused { max: 2 }));
}

#[test]
fn a_handshake_over_a_stream_ends_with_what_it_refuses() {
    let (device, server) = (Device::new(1), Device::new(2));
    let context = context().with_settings(Settings::default().with_link(Link::Stream));
    let initiator = begin(Pattern::Xx, &device, &server, &context);
    assert_eq!(initiator.handle_message(START, b"x").err(), Some(HandshakeError::Unexpected));
}

/// An answer goes to an address that nobody has verified.
#[test]
fn no_answer_is_more_than_three_times_as_long_as_its_question() {
    let (device, server) = (Device::new(1), Device::new(2));
    let settings = Settings::default().with_first_len(64).unwrap();
    let mut short = begin(Pattern::Xx, &device, &server, &context().with_settings(settings));
    let first = short.poll_transmit().unwrap();
    let refused = Responder::answer(&first, &server.identity(), Peer::Anyone, &context(), START, &mut rng(2));
    assert!(matches!(refused.err(), Some(HandshakeError::Amplification { .. })));
    let long = Identity::new(&server.secret, &[0; 1300]);
    let refused = Responder::answer(&first, &long, Peer::Anyone, &context(), START, &mut rng(2));
    assert!(matches!(refused.err(), Some(HandshakeError::TooLong { .. })));
    for pattern in PATTERNS {
        let (_, _, [first, second, third, done]) = sessions(pattern);
        assert!(second.len() <= 3 * first.len() && done.len() <= 3 * third.len());
        assert!(first.len() >= 384);
    }
}

#[test]
fn debug_shows_the_identifier_and_no_more() {
    let (device, server) = (Device::new(1), Device::new(2));
    let mut initiator = begin(Pattern::Xx, &device, &server, &context());
    let responder = answer(&initiator.poll_transmit().unwrap(), &server, &context());
    let (ours, _, _) = sessions(Pattern::Xx);
    let id = format!("{:?}", own_id());
    assert_eq!(format!("{initiator:?}"), format!("Initiator {{ id: {id}, .. }}"));
    assert_eq!(format!("{responder:?}"), format!("Responder {{ id: {id}, .. }}"));
    assert_eq!(format!("{ours:?}"), format!("Session {{ id: {id}, .. }}"));
}

fn junk() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![4 => prop::sample::select(&[0xe1, 0xe3, 0xe5, 0xe7, 0xe9, 0xeb][..]), 1 => any::<u8>()];
    (kind, any::<bool>(), prop::collection::vec(any::<u8>(), 0..500)).prop_map(|(kind, is_own, mut octets)| {
        octets.insert(0, kind);
        if is_own && octets.len() >= 9 {
            octets[1..9].copy_from_slice(own_id().as_bytes());
        }
        octets
    })
}

/// What the initiator of `begin` draws.
fn own_id() -> SessionId {
    static ID: std::sync::LazyLock<SessionId> =
        std::sync::LazyLock::new(|| begin(Pattern::Xx, &Device::new(1), &Device::new(2), &context()).id());
    *ID
}

/// Both roles in each of their states.
fn give_to_all(octets: &[u8], ends: &mut [(Session, Session)]) {
    let (device, server) = (Device::new(1), Device::new(2));
    for pattern in PATTERNS {
        let initiator: Initiator = begin(pattern, &device, &server, &context());
        assert_eq!(initiator.id(), own_id());
        waiting(initiator.handle_message(START, octets));
        let first = begin(pattern, &device, &server, &context()).poll_transmit().unwrap();
        waiting(answer(&first, &server, &context()).handle_message(octets));
        let answered = Responder::answer(octets, &server.identity(), Peer::Anyone, &context(), START, &mut rng(2));
        assert!(answered.is_err() || octets[0] == 0xe3);
    }
    for (ours, theirs) in ends {
        assert!(!matches!(ours.handle_message(octets), Ok(Some(_))));
        assert!(!matches!(theirs.handle_message(octets), Ok(Some(_))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn junk_does_nothing_to_either_role_in_any_state(messages in prop::collection::vec(junk(), 1..4)) {
        let mut ends = PATTERNS.map(|pattern| { let (ours, theirs, _) = sessions(pattern); (ours, theirs) });
        for octets in &messages {
            give_to_all(octets, &mut ends);
        }
        for (ours, theirs) in &mut ends {
            let message = ours.send(b"still here").unwrap();
            prop_assert_eq!(theirs.handle_message(&message), Ok(Some(b"still here".to_vec())));
        }
    }
}
