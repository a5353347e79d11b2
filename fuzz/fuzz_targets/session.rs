//! Both roles of a session's handshake in each of their states, and a session, fed by whoever is on the way.
//!
//! The input is a pattern (bit 0 of the first octet) and steps: an octet that says to whom (low two bits: the server
//! for a first message, the initiator, the responder, a session, of which bit 4 says whose) and what (bits 2 and 3: the
//! true message changed, junk behind a header of this session, junk), a length, and as many octets. Who gets nothing is
//! not set up, and what the two ends come to when nobody interferes is found out once.
//!
//! - No session begins but by the true message, and after all that was refused it still begins, with the keys of a
//!   handshake with which nobody interfered.
//! - A responder that answers a changed first message comes to nothing, and its answer is at most three times as long.
//! - A session gives out nothing but what its peer wrote.

#![no_main]

use std::sync::LazyLock;

use iot_core::Instant;
use iot_crypto::session::{Context, HandshakeError, Identity, Initiator, Peer, Progress, Responder, Session, Settings};
use iot_fuzz::party::{Party, TODAY, rng};
use iot_fuzz::tamper::{Steps, tampered};
use libfuzzer_sys::fuzz_target;

const NOW: Instant = Instant::from_micros(0);
const PAYLOAD: &[u8] = b"21.5 Cel";

static ENDS: LazyLock<[Party; 2]> = LazyLock::new(|| [Party::new(1), Party::new(2)]);

/// The two ends by IK and by XX, with what they say when nobody interferes.
static TRUTHS: LazyLock<[Truth; 2]> = LazyLock::new(|| [Truth::new(Pattern::Ik), Truth::new(Pattern::Xx)]);

#[derive(Clone, Copy)]
enum Pattern {
    Ik,
    Xx,
}

struct Truth {
    pattern: Pattern,
    /// The three messages of the handshake, one behind it from the initiator and one from the responder.
    messages: [Vec<u8>; 5],
    /// Follows from the same secrets as the keys.
    hash: [u8; 32],
}

impl Truth {
    fn new(pattern: Pattern) -> Self {
        let mut truth = Self { pattern, messages: [const { Vec::new() }; 5], hash: [0; 32] };
        truth.messages[0] = truth.begin().poll_transmit().expect("it begins");
        let mut responder = truth.answer(&truth.messages[0]).expect("the first message is the true one");
        truth.messages[1] = responder.poll_transmit().expect("it answers");
        let mut ours = session(truth.begin().handle_message(NOW, &truth.messages[1]));
        truth.messages[2] = ours.poll_transmit().expect("it confirms");
        let mut theirs = session(responder.handle_message(&truth.messages[2]));
        truth.messages[3] = ours.send(PAYLOAD).expect("numbers are left");
        truth.messages[4] = theirs.send(PAYLOAD).expect("numbers are left");
        assert_eq!(ours.handshake_hash(), theirs.handshake_hash());
        truth.hash = *ours.handshake_hash();
        truth
    }

    fn begin(&self) -> Initiator {
        let [device, server] = &*ENDS;
        let peer = match self.pattern {
            Pattern::Ik => Peer::Bundle(&server.bundle),
            Pattern::Xx => Peer::Device(server.bundle.device()),
        };
        Initiator::begin(&identity(device), peer, &context(), NOW, &mut rng(1)).expect("all is in order")
    }

    fn answer(&self, first: &[u8]) -> Result<Responder, HandshakeError> {
        Responder::answer(first, &identity(&ENDS[1]), Peer::Anyone, &context(), NOW, &mut rng(2))
    }

    /// A responder that has sent its answer.
    fn responder(&self) -> Responder {
        let mut responder = self.answer(&self.messages[0]).expect("the first message is the true one");
        assert_eq!(responder.poll_transmit().as_deref(), Some(&*self.messages[1]));
        responder
    }

    /// The initiator's session, by the true answer.
    fn ours(&self, initiator: Initiator) -> Session {
        let ours = session(initiator.handle_message(NOW, &self.messages[1]));
        assert_eq!(*ours.handshake_hash(), self.hash);
        assert_eq!(ours.peer().device(), ENDS[1].id());
        ours
    }

    /// The responder's session, by the true confirmation.
    fn theirs(&self, responder: Responder) -> Session {
        let theirs = session(responder.handle_message(&self.messages[2]));
        assert_eq!(*theirs.handshake_hash(), self.hash);
        assert_eq!(theirs.peer().device(), ENDS[0].id());
        theirs
    }
}

fn identity(party: &Party) -> Identity<'_> {
    Identity::new(&party.secrets[0], &party.issued)
}

fn context() -> Context<'static> {
    let settings = Settings::default().with_max_refused(1000).expect("within limits");
    Context::new(b"fuzz", TODAY).with_settings(settings)
}

fuzz_target!(|input: &[u8]| {
    let Some((pattern, steps)) = input.split_first() else { return };
    let truth = &TRUTHS[usize::from(pattern & 1)];
    let (mut initiator, mut responder, mut sessions) = (None, None, [None, None]);
    for (step, octets) in Steps(steps).take(8) {
        let to = Receiver::of(step);
        let original = &truth.messages[to as usize];
        let message = match step >> 2 & 3 {
            0 | 1 => tampered(original, octets),
            2 => [&original[..9], octets].concat(),
            _ => octets.to_vec(),
        };
        if message == *original {
            continue;
        }
        match to {
            Receiver::Server => {
                if let Ok(mut fooled) = truth.answer(&message) {
                    let answer = fooled.poll_transmit().expect("it answers");
                    assert!(answer.len() <= 3 * message.len());
                    assert!(!matches!(truth.begin().handle_message(NOW, &answer), Ok(Progress::Established(_))));
                }
            }
            Receiver::Initiator => {
                let waits = initiator.take().unwrap_or_else(|| truth.begin());
                initiator = Some(waiting(waits.handle_message(NOW, &message)));
            }
            Receiver::Responder => {
                let waits = responder.take().unwrap_or_else(|| truth.responder());
                responder = Some(waiting(waits.handle_message(&message)));
            }
            Receiver::Theirs | Receiver::Ours => {
                let session = &mut sessions[to as usize - 3];
                let session = session.get_or_insert_with(|| match to {
                    Receiver::Ours => truth.ours(truth.begin()),
                    _ => truth.theirs(truth.responder()),
                });
                assert!(!matches!(session.handle_message(&message), Ok(Some(_))), "a forged message was opened");
            }
        }
    }

    if let Some(waits) = initiator {
        truth.ours(waits);
    }
    if let Some(waits) = responder {
        truth.theirs(waits);
    }
    for (session, message) in sessions.iter_mut().zip(&truth.messages[3..]) {
        if let Some(session) = session {
            assert_eq!(session.handle_message(message), Ok(Some(PAYLOAD.to_vec())));
        }
    }
});

/// Who gets a message.
#[derive(Clone, Copy)]
enum Receiver {
    Server,
    Initiator,
    Responder,
    Theirs,
    Ours,
}

impl Receiver {
    fn of(step: u8) -> Self {
        match (step & 3, step >> 4 & 1) {
            (0, _) => Self::Server,
            (1, _) => Self::Initiator,
            (2, _) => Self::Responder,
            (_, 0) => Self::Theirs,
            _ => Self::Ours,
        }
    }
}

fn session<H>(progress: Result<Progress<H>, HandshakeError>) -> Session {
    match progress {
        Ok(Progress::Established(session)) => *session,
        Ok(Progress::Waiting { refused, .. }) => panic!("the true message was refused: {refused:?}"),
        Err(error) => panic!("the handshake ended: {error}"),
    }
}

fn waiting<H>(progress: Result<Progress<H>, HandshakeError>) -> H {
    match progress {
        Ok(Progress::Waiting { handshake, .. }) => handshake,
        Ok(Progress::Established(_)) => panic!("a session began with a forged message"),
        Err(error) => panic!("the handshake ended: {error}"),
    }
}
