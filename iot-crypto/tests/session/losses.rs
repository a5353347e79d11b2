//! Handshakes over a network that loses, repeats and reorders, in virtual time.

use std::time::Duration;

use iot_core::Instant;
use iot_crypto::session::{
    HandshakeError, Initiator, Link, Pattern, Progress, Responder, Session, SessionError, Settings,
};
use proptest::prelude::*;

use crate::support::{Device, PATTERNS, START, answer, begin, context, sessions};

enum Near {
    Begun(Box<Initiator>),
    Has(Box<Session>),
    Ended(HandshakeError),
}

enum Far {
    Idle,
    Answered(Box<Responder>),
    Has(Box<Session>),
    Ended(HandshakeError),
}

impl Near {
    fn handle_message(self, now: Instant, message: &[u8]) -> Self {
        match self {
            Self::Begun(initiator) => match initiator.handle_message(now, message) {
                Ok(Progress::Waiting { handshake, .. }) => Self::Begun(Box::new(handshake)),
                Ok(Progress::Established(session)) => Self::Has(session),
                Err(error) => Self::Ended(error),
            },
            Self::Has(mut session) => {
                assert!(!matches!(session.handle_message(message), Ok(Some(_))));
                Self::Has(session)
            }
            ended => ended,
        }
    }

    fn handle_timeout(mut self, now: Instant) -> Self {
        let outcome = match &mut self {
            Self::Begun(initiator) => initiator.handle_timeout(now),
            Self::Has(session) => session.handle_timeout(now),
            Self::Ended(_) => Ok(()),
        };
        match outcome {
            Ok(()) => self,
            Err(error) => Self::Ended(error),
        }
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Begun(initiator) => initiator.poll_transmit(),
            Self::Has(session) => session.poll_transmit(),
            Self::Ended(_) => None,
        }
    }
}

impl Far {
    fn handle_message(self, server: &Device, message: &[u8]) -> Self {
        match self {
            Self::Idle => match message[0] {
                0xe1 | 0xe3 => Self::Answered(Box::new(answer(message, server, &context()))),
                _ => Self::Idle,
            },
            Self::Answered(responder) => match responder.handle_message(message) {
                Ok(Progress::Waiting { handshake, .. }) => Self::Answered(Box::new(handshake)),
                Ok(Progress::Established(session)) => Self::Has(session),
                Err(error) => Self::Ended(error),
            },
            Self::Has(mut session) => {
                assert!(!matches!(session.handle_message(message), Ok(Some(_))));
                Self::Has(session)
            }
            ended @ Self::Ended(_) => ended,
        }
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Answered(responder) => responder.poll_transmit(),
            Self::Has(session) => session.poll_transmit(),
            Self::Idle | Self::Ended(_) => None,
        }
    }
}

/// What the network does with a message: the delays after which copies of it arrive, in milliseconds.
type Fate = Vec<u16>;

/// Runs a handshake; messages for which no fate is left arrive at once.
fn run(pattern: Pattern, mut fates: impl Iterator<Item = Fate>) -> (Near, Far) {
    let (device, server) = (Device::new(1), Device::new(2));
    let (mut near, mut far) = (Near::Begun(Box::new(begin(pattern, &device, &server, &context()))), Far::Idle);
    let mut flying: Vec<(u32, bool, Vec<u8>)> = Vec::new();
    for millis in (0..120_000_u32).step_by(10) {
        let now = START.saturating_add(Duration::from_millis(millis.into()));
        near = near.handle_timeout(now);
        if let Far::Answered(responder) = &mut far {
            if let Err(error) = responder.handle_timeout(now) {
                far = Far::Ended(error);
            }
        }
        let arrived = flying.extract_if(.., |message| message.0 <= millis).collect::<Vec<_>>();
        for (_, is_for_far, message) in arrived {
            if is_for_far {
                far = far.handle_message(&server, &message);
            } else {
                near = near.handle_message(now, &message);
            }
        }
        for is_for_far in [true, false] {
            while let Some(message) = if is_for_far { near.poll_transmit() } else { far.poll_transmit() } {
                for delay in fates.next().unwrap_or_else(|| vec![0]) {
                    flying.push((millis + u32::from(delay), is_for_far, message.clone()));
                }
            }
        }
        if let (Near::Has(session), Far::Has(_)) = (&near, &far) {
            if session.is_confirmed() && flying.is_empty() {
                break;
            }
        }
    }
    (near, far)
}

fn check(ends: (Near, Far)) {
    let (Near::Has(mut near), Far::Has(mut far)) = ends else { panic!("no session") };
    assert!(near.is_confirmed());
    let message = near.send(b"up").unwrap();
    assert_eq!(far.handle_message(&message), Ok(Some(b"up".to_vec())));
    let message = far.send(b"down").unwrap();
    assert_eq!(near.handle_message(&message), Ok(Some(b"down".to_vec())));
}

fn fate() -> impl Strategy<Value = Fate> {
    prop::collection::vec(0_u16..4000, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// The initiator sends a message six times, so four losses of either kind on end are survived.
    #[test]
    fn loss_repetition_and_reordering_do_no_harm(fates in prop::collection::vec(fate(), 0..5), xx in any::<bool>()) {
        check(run(PATTERNS[usize::from(xx)], fates.into_iter()));
    }
}

#[test]
fn each_message_may_be_lost_once() {
    for pattern in PATTERNS {
        for lost in 0..5 {
            let fates = (0..=lost).map(|index| if index == lost { vec![] } else { vec![0] });
            check(run(pattern, fates));
        }
    }
}

#[test]
fn a_dead_network_ends_the_handshake() {
    for pattern in PATTERNS {
        let (near, far) = run(pattern, std::iter::repeat_with(Vec::new));
        assert!(matches!(near, Near::Ended(HandshakeError::TimedOut)) && matches!(far, Far::Idle));
        // The answer gets lost for ever: the responder gives up, too.
        let (near, far) = run(pattern, [vec![0]].into_iter().chain(std::iter::repeat_with(Vec::new)));
        assert!(matches!(near, Near::Ended(HandshakeError::TimedOut)));
        assert!(matches!(far, Far::Ended(HandshakeError::TimedOut)));
    }
}

#[test]
fn the_initiator_sends_by_the_clock_and_early_calls_do_nothing() {
    let (device, server) = (Device::new(1), Device::new(2));
    let settings = Settings::default().with_attempts(3).unwrap();
    let mut initiator = begin(Pattern::Ik, &device, &server, &context().with_settings(settings));
    let first = initiator.poll_transmit().unwrap();
    let mut times = Vec::new();
    loop {
        let at = initiator.poll_timeout().unwrap();
        assert_eq!(initiator.handle_timeout(Instant::from_micros(at.as_micros() - 1)), Ok(()));
        assert_eq!(initiator.poll_transmit(), None);
        if let Err(error) = initiator.handle_timeout(at) {
            assert_eq!(error, HandshakeError::TimedOut);
            break;
        }
        assert_eq!(initiator.poll_transmit().as_ref(), Some(&first));
        times.push(at.saturating_since(START).as_millis());
    }
    assert_eq!(times, [1000, 3000]);
}

#[test]
fn nothing_is_sent_again_over_a_stream() {
    let (device, server) = (Device::new(1), Device::new(2));
    let settings = Settings::default().with_link(Link::Stream);
    let mut initiator = begin(Pattern::Ik, &device, &server, &context().with_settings(settings));
    assert!(initiator.poll_transmit().is_some());
    let at = initiator.poll_timeout().unwrap();
    assert_eq!(initiator.handle_timeout(at), Ok(()));
    assert_eq!(initiator.poll_transmit(), None);
}

#[test]
fn late_copies_of_a_handshake_leave_a_session_as_it_is() {
    for pattern in PATTERNS {
        let (mut ours, mut theirs, [first, second, third, done]) = sessions(pattern);
        assert_eq!((ours.handle_message(&second), ours.handle_message(&done)), (Ok(None), Ok(None)));
        assert_eq!(ours.poll_transmit(), None);
        assert_eq!((theirs.handle_message(&first), theirs.poll_transmit()), (Ok(None), None));
        // Its initiator may not have heard that the third message arrived.
        assert_eq!(theirs.handle_message(&third), Ok(None));
        assert_eq!(theirs.poll_transmit(), Some(done));
        let mut altered = third;
        *altered.last_mut().unwrap() ^= 1;
        let refused = (theirs.handle_message(&altered), theirs.poll_transmit());
        assert_eq!(refused, (Err(SessionError::NotAuthentic), None));
        let message = ours.send(b"still here").unwrap();
        assert_eq!(theirs.handle_message(&message), Ok(Some(b"still here".to_vec())));
    }
}
