//! Both roles of a session's handshake in each of their states, and a session, fed by whoever is on the way.
//!
//! The input is a pattern (bit 0 of the first octet) and steps: an octet that says to whom (low two bits: the server
//! for a first message, the initiator, the responder, the session) and what (next two bits: the true message changed,
//! junk behind a header of this session, junk), a length, and as many octets.
//!
//! - No session begins but by the true message, and after all that was refused it still begins, with the same keys on
//!   both sides.
//! - A responder that answers a changed first message comes to nothing, and its answer is at most three times as long.
//! - A session gives out nothing but what its peer wrote.

#![no_main]

use std::sync::LazyLock;

use iot_core::{Instant, Timestamp};
use iot_crypto::session::{Context, Identity, Initiator, Peer, Progress, Responder, Session, Settings};
use iot_crypto::{AgreementSecret, KeyBundle, SigningKey};
use libfuzzer_sys::fuzz_target;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

const TODAY: Timestamp = Timestamp::from_secs(1_767_225_600);
const NOW: Instant = Instant::from_micros(0);

struct Device {
    secret: AgreementSecret,
    octets: Vec<u8>,
    bundle: KeyBundle,
}

impl Device {
    fn new(seed: u8) -> Self {
        let (signing, secret) = (SigningKey::from_seed(&[seed; 32]), AgreementSecret::from_bytes(&[seed; 32]));
        let expires = Timestamp::from_secs(2_000_000_000);
        let octets = KeyBundle::issue(&signing, secret.public(), 1, expires).expect("the key is at hand");
        let bundle = KeyBundle::verify(&octets, &signing.verifying_key().device_id(), TODAY).expect("it is its own");
        Self { secret, octets, bundle }
    }

    fn identity(&self) -> Identity<'_> {
        Identity::new(&self.secret, &self.octets)
    }
}

static ENDS: LazyLock<[Device; 2]> = LazyLock::new(|| [Device::new(1), Device::new(2)]);

fuzz_target!(|input: &[u8]| {
    let Some((pattern, steps)) = input.split_first() else { return };
    let [device, server] = &*ENDS;
    let settings = Settings::default().with_max_refused(1000).expect("within limits");
    let context = Context::new(b"fuzz", TODAY).with_settings(settings);
    let peer = if pattern & 1 == 0 { Peer::Bundle(&server.bundle) } else { Peer::Device(server.bundle.device()) };
    let rng = |seed| ChaCha20Rng::from_seed([seed; 32]);
    let begin = || Initiator::begin(&device.identity(), peer, &context, NOW, &mut rng(1)).expect("all is in order");
    let answer = |first: &[u8]| Responder::answer(first, &server.identity(), Peer::Anyone, &context, NOW, &mut rng(2));

    let mut initiator = begin();
    let first = initiator.poll_transmit().expect("it begins");
    let mut responder = answer(&first).expect("the first message is the true one");
    let second = responder.poll_transmit().expect("it answers");
    let mut ours = session(begin().handle_message(NOW, &second));
    let third = ours.poll_transmit().expect("it confirms");
    let mut theirs = session(answer(&first).expect("as before").handle_message(&third));
    let transport = ours.send(b"21.5 Cel").expect("numbers are left");

    for (step, octets) in Steps(steps).take(64) {
        let truth = [&first, &second, &third, &transport][usize::from(step & 3)];
        let message = match step >> 2 & 3 {
            0 | 1 => changed(truth, octets),
            2 => [&truth[..9], octets].concat(),
            _ => octets.to_vec(),
        };
        if message == *truth {
            continue;
        }
        match step & 3 {
            0 => {
                if let Ok(mut fooled) = answer(&message) {
                    let answer = fooled.poll_transmit().expect("it answers");
                    assert!(answer.len() <= 3 * message.len());
                    assert!(!matches!(begin().handle_message(NOW, &answer), Ok(Progress::Established(_))));
                }
            }
            1 => initiator = waiting(initiator.handle_message(NOW, &message)),
            2 => responder = waiting(responder.handle_message(&message)),
            _ => {
                assert!(!matches!(theirs.handle_message(&message), Ok(Some(_))), "a forged message was opened");
                assert!(!matches!(ours.handle_message(&message), Ok(Some(_))), "a forged message was opened");
            }
        }
    }

    let initiators = session(initiator.handle_message(NOW, &second));
    let responders = session(responder.handle_message(&third));
    assert_eq!(initiators.handshake_hash(), responders.handshake_hash());
    assert_eq!(responders.peer().device(), device.bundle.device());
    assert_eq!(theirs.handle_message(&transport), Ok(Some(b"21.5 Cel".to_vec())));
});

fn session<H>(progress: Result<Progress<H>, iot_crypto::session::HandshakeError>) -> Session {
    match progress {
        Ok(Progress::Established(session)) => *session,
        Ok(Progress::Waiting { refused, .. }) => panic!("the true message was refused: {refused:?}"),
        Err(error) => panic!("the handshake ended: {error}"),
    }
}

fn waiting<H>(progress: Result<Progress<H>, iot_crypto::session::HandshakeError>) -> H {
    match progress {
        Ok(Progress::Waiting { handshake, .. }) => handshake,
        Ok(Progress::Established(_)) => panic!("a session began with a forged message"),
        Err(error) => panic!("the handshake ended: {error}"),
    }
}

/// Cuts the message to the length in the first two octets, if it is longer, and changes octets at the offsets that
/// follow.
fn changed(truth: &[u8], octets: &[u8]) -> Vec<u8> {
    let mut message = truth.to_vec();
    let Some((len, changes)) = octets.split_first_chunk() else { return message };
    message.truncate(usize::from(u16::from_le_bytes(*len)));
    for change in changes.chunks_exact(3) {
        let offset = usize::from(u16::from_le_bytes([change[0], change[1]]));
        if let Some(octet) = message.get_mut(offset) {
            *octet ^= change[2];
        }
    }
    message
}

/// The steps that the input holds.
struct Steps<'i>(&'i [u8]);

impl<'i> Iterator for Steps<'i> {
    type Item = (u8, &'i [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let ([step, len], rest) = self.0.split_first_chunk()?;
        let (octets, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        self.0 = rest;
        Some((*step, octets))
    }
}
