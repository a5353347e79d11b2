//! Keys in secure elements that answer in their own time, driven as futures: nothing of the crate waits for them.

#![cfg(feature = "alloc")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use iot_core::{Incarnation, Position, StreamId, Timestamp, Topic};
use iot_crypto::cose::Encrypt0;
use iot_crypto::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
const LATER: Timestamp = Timestamp::from_secs(1_800_000_000);
const PAYLOAD: &[u8] = b"sixteen octets!!";

/// A secure element behind a slow bus: each question is answered after the task was polled a few times more.
struct Element {
    signing: SigningKey,
    agreement: AgreementSecret,
    polls: Cell<usize>,
    /// Whether it answers the next questions.
    answers: Cell<VecDeque<bool>>,
}

impl Element {
    fn new() -> Self {
        let (signing, agreement) = (SigningKey::from_seed(&[1; 32]), AgreementSecret::from_bytes(&[2; 32]));
        Self { signing, agreement, polls: Cell::new(0), answers: Cell::default() }
    }

    async fn wait(&self) -> bool {
        let until = self.polls.get() + 3;
        poll_fn(|_| {
            self.polls.set(self.polls.get() + 1);
            if self.polls.get() < until { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        let mut answers = self.answers.take();
        let answer = answers.pop_front().unwrap_or(true);
        self.answers.set(answers);
        answer
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        let message = message.to_vec();
        if self.wait().await { Ok(self.signing.sign(&message)) } else { Err(SignerError) }
    }

    async fn agree(&self, with: [u8; AgreementKey::LEN]) -> Result<Agreed, AgreementError> {
        if !self.wait().await {
            return Err(AgreementError);
        }
        Ok(Agreed::new(*self.agreement.public(), with, self.agreement.agree(&with)?))
    }

    fn key(&self) -> SignsElsewhere {
        SignsElsewhere(self.signing.verifying_key())
    }

    fn source(&self) -> iot_core::DeviceId {
        self.signing.verifying_key().device_id()
    }
}

/// Polls until it is done, and says how often.
fn drive<F: Future>(future: F) -> (F::Output, usize) {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for polls in 1..1000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return (output, polls);
        }
    }
    panic!("it never ends");
}

fn reader(seed: u8) -> (KeyBundle, AgreementSecret) {
    let (server, agreement) = (SigningKey::from_seed(&[seed; 32]), AgreementSecret::from_bytes(&[seed ^ 0x80; 32]));
    let octets = KeyBundle::issue(&server, agreement.public(), 1, LATER).unwrap();
    (KeyBundle::verify(&octets, &server.verifying_key().device_id(), NOW).unwrap(), agreement)
}

fn heading(element: &Element) -> Heading<'static> {
    let incarnation = Incarnation::from_bytes([4; 8]);
    let position = Position { source: element.source(), stream: StreamId::new(0), incarnation, sequence: 5 };
    Heading { topic: Topic::new("plant/7").unwrap(), position }
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([6; 32])
}

fn holds_payload(octets: &[u8]) -> bool {
    octets.windows(PAYLOAD.len()).any(|window| window == PAYLOAD)
}

#[test]
fn a_message_to_one_reader_is_the_one_that_is_signed_at_once() {
    let element = Element::new();
    let at_once = Sealer::new(element.source(), &element.signing, reader(9).0);
    let at_once = at_once.seal(&heading(&element), PAYLOAD, NOW, &mut rng()).unwrap();
    let key = element.key();
    let sealer = Sealer::new(element.source(), &key, reader(9).0);
    let mut buffer = vec![0; sealer.buffer_len(&heading(&element), PAYLOAD.len()).unwrap()];
    let (len, polls) = drive(async {
        let unsigned = sealer.begin(&heading(&element), PAYLOAD, NOW, &mut buffer).unwrap();
        let signature = element.sign(unsigned.to_be_signed()).await.unwrap();
        unsigned.finish(signature, &mut rng()).unwrap()
    });
    assert_eq!((&buffer[..len], polls), (&at_once[..], 3));
}

#[test]
fn a_message_to_several_readers_is_the_one_that_is_signed_at_once() {
    let element = Element::new();
    let readers = [reader(9).0, reader(10).0, reader(11).0];
    let at_once = MultiSealer::new(element.source(), &element.signing, &readers).unwrap();
    let at_once = at_once.seal(&heading(&element), PAYLOAD, NOW, &mut rng()).unwrap();
    let key = element.key();
    let sealer = MultiSealer::new(element.source(), &key, &readers).unwrap();
    let mut buffer = vec![0; sealer.buffer_len(&heading(&element), PAYLOAD.len()).unwrap()];
    let refused = sealer.seal_into(&heading(&element), PAYLOAD, NOW, &mut rng(), &mut buffer);
    assert_eq!(refused, Err(SealError::Signer(SignerError)));
    assert!(!holds_payload(&buffer), "what was not signed is wiped");
    let (len, _) = drive(async {
        let unsigned = sealer.begin(&heading(&element), PAYLOAD, NOW, &mut buffer).unwrap();
        let signature = element.sign(unsigned.to_be_signed()).await.unwrap();
        unsigned.finish(signature, &mut rng()).unwrap()
    });
    assert_eq!(buffer[..len], at_once);
    assert!(!holds_payload(&buffer), "what was signed is wiped");
    let (_, agreement) = reader(10);
    let secrets = [agreement];
    let mut opener = Opener::new(&secrets, element.signing.verifying_key(), <Trackers>::new(1, 1).unwrap());
    let opened = opener.open(Some(heading(&element).topic), &mut buffer[..len], &mut [0; 2048]).unwrap();
    assert_eq!(opened.payload(), PAYLOAD);
}

#[test]
fn a_published_message_and_a_bundle_are_those_that_are_signed_at_once() {
    let element = Element::new();
    let at_once = Publisher::new(element.source(), &element.signing).publish(&heading(&element), PAYLOAD).unwrap();
    let key = element.key();
    let publisher = Publisher::new(element.source(), &key);
    let mut buffer = vec![0; publisher.buffer_len(&heading(&element), PAYLOAD.len()).unwrap()];
    let (len, _) = drive(async {
        let unsigned = publisher.begin(&heading(&element), PAYLOAD, &mut buffer).unwrap();
        let signature = element.sign(unsigned.to_be_signed()).await.unwrap();
        unsigned.finish(signature).unwrap()
    });
    assert_eq!(buffer[..len], at_once);

    let draft = BundleDraft::new(element.agreement.public(), 1, LATER);
    let at_once = draft.issue(&element.signing).unwrap();
    let mut buffer = [0; KeyBundle::BUFFER_LEN];
    let (len, _) = drive(async {
        let unsigned = draft.begin(&element.signing.verifying_key(), &mut buffer).unwrap();
        let signature = element.sign(unsigned.to_be_signed()).await.unwrap();
        unsigned.finish(signature).unwrap()
    });
    assert_eq!(buffer[..len], at_once);
}

/// The element refuses once; the same message is asked for again.
#[test]
fn an_element_that_refuses_leaves_nothing_and_is_asked_again() {
    let element = Element::new();
    element.answers.set(VecDeque::from([false]));
    let readers = [reader(9).0];
    let key = element.key();
    let sealer = MultiSealer::new(element.source(), &key, &readers).unwrap();
    let mut buffer = vec![0; sealer.buffer_len(&heading(&element), PAYLOAD.len()).unwrap()];
    let (refused, _) = drive(async {
        let unsigned = sealer.begin(&heading(&element), PAYLOAD, NOW, &mut buffer).unwrap();
        element.sign(unsigned.to_be_signed()).await
    });
    assert_eq!(refused, Err(SignerError));
    assert!(!holds_payload(&buffer));
    let (sealed, _) = drive(async {
        let unsigned = sealer.begin(&heading(&element), PAYLOAD, NOW, &mut buffer).unwrap();
        let signature = element.sign(unsigned.to_be_signed()).await.unwrap();
        unsigned.finish(signature, &mut rng())
    });
    assert!(sealed.is_ok());
}

#[test]
fn a_faulty_answer_never_leaves_the_device() {
    let element = Element::new();
    let (key, readers) = (element.key(), [reader(9).0]);
    let mut buffer = vec![0; 2048];
    let sealer = MultiSealer::new(element.source(), &key, &readers).unwrap();
    let unsigned = sealer.begin(&heading(&element), PAYLOAD, NOW, &mut buffer).unwrap();
    let faulty = element.signing.sign(b"something else");
    assert_eq!(unsigned.finish(faulty, &mut rng()), Err(SealError::Signature(SignatureError)));
    assert!(!holds_payload(&buffer));
    let publisher = Publisher::new(element.source(), &key);
    let unsigned = publisher.begin(&heading(&element), PAYLOAD, &mut buffer).unwrap();
    assert_eq!(unsigned.finish(faulty), Err(SealError::Signature(SignatureError)));
}

/// The element also agrees in its own time: who opens asks it first, for the encapsulated key of the message.
#[test]
fn a_message_is_opened_with_an_agreement_that_came_later() {
    let element = Element::new();
    let octets = KeyBundle::issue(&element.signing, element.agreement.public(), 1, LATER).unwrap();
    let bundle = KeyBundle::verify(&octets, &element.source(), NOW).unwrap();
    let device = SigningKey::from_seed(&[7; 32]);
    let source = device.verifying_key().device_id();
    let heading = Heading { position: Position { source, ..heading(&element).position }, ..heading(&element) };
    let mut message = Sealer::new(source, &device, bundle).seal(&heading, PAYLOAD, NOW, &mut rng()).unwrap();
    let (payload, polls) = drive(async {
        let (_, routing_len) = RoutingHeader::parse(&message).unwrap();
        let sealed = Encrypt0::parse(&message[routing_len..]).unwrap();
        let encapsulated = sealed.headers().encapsulated_key.unwrap().try_into().unwrap();
        let secrets = [element.agree(encapsulated).await.unwrap()];
        let mut opener = Opener::new(&secrets, device.verifying_key(), <Trackers>::new(1, 1).unwrap());
        opener.open(Some(heading.topic), &mut message, &mut [0; 512]).unwrap().payload().to_vec()
    });
    assert_eq!((&payload[..], polls), (PAYLOAD, 3));
}

#[test]
fn rotations_are_those_that_are_signed_at_once() {
    let element = Element::new();
    let next: Vec<_> = (20..23).map(|seed| SigningKey::from_seed(&[seed; 32])).collect();
    let thumbprint = |index: usize| next[index].verifying_key().thumbprint();
    let mut at_once = [0; Succession::BUFFER_LEN];
    let (first, second) = (element.signing.verifying_key(), next[0].verifying_key());
    let len = Succession::begin_into(&element.signing, &second, &thumbprint(1), &mut at_once).unwrap();
    let mut later = [0; Succession::BUFFER_LEN];
    let (later_len, _) = drive(async {
        let unsigned = Succession::begin(&first, &second, &thumbprint(1), &mut later).unwrap();
        let signature = element.sign(unsigned.to_be_signed()).await.unwrap();
        unsigned.finish(signature).unwrap()
    });
    assert_eq!(later[..later_len], at_once[..len]);

    let chain = Succession::verify(&later[..later_len], &element.source()).unwrap();
    let third = next[1].verifying_key();
    let len = chain.extend_into(&next[0], &third, &thumbprint(2), &mut at_once).unwrap();
    let mut longer = [0; Succession::BUFFER_LEN];
    let unsigned = chain.extend(&third, &thumbprint(2), &mut longer).unwrap();
    let signature = next[0].sign(unsigned.to_be_signed());
    let longer_len = unsigned.finish(signature).unwrap();
    assert_eq!(longer[..longer_len], at_once[..len]);
    let unsigned = chain.extend(&third, &thumbprint(2), &mut longer).unwrap();
    assert_eq!(unsigned.finish(element.signing.sign(b"faulty")), Err(ExtendError::Signature(SignatureError)));
}
