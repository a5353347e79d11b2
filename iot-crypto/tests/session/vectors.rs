//! The vector of `docs/formats/session.md`.

use iot_codec::cbor;
use iot_crypto::session::Pattern;
use rand_core::Rng as _;

use crate::support::{Device, PATTERNS, Payload, prologue, rng, sessions};

const VECTOR: &str = include_str!("../vectors/session.txt");

fn line(name: &str, octets: &[u8]) -> String {
    let digits: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("{name}: {digits}\n")
}

/// Both handshakes, a message, and one under the next key, with what they follow from.
fn written() -> String {
    let mut text = String::new();
    for pattern in PATTERNS {
        text += &line("pattern", format!("{pattern:?}").to_uppercase().as_bytes());
        text += &line("overlay", b"plant 7");
        let [ours_bundle, theirs_bundle] = [1, 2].map(|seed| Device::new(seed).bundle);
        for (role, seed) in [("initiator", 1), ("responder", 2)] {
            let (device, mut rng) = (Device::new(seed), rng(seed));
            let mut ephemeral = [0; 32];
            if role == "initiator" {
                // The identifier is drawn first.
                rng.fill_bytes(&mut [0; 8]);
            }
            rng.fill_bytes(&mut ephemeral);
            text += &line(&format!("{role} static"), &[seed; 32]);
            text += &line(&format!("{role} ephemeral"), &ephemeral);
            text += &line(&format!("{role} bundle"), &device.bundle);
        }
        let (mut ours, theirs, messages) = sessions(pattern);
        text += &line("prologue", &cbor::to_vec(&prologue(messages[0][1..9].try_into().unwrap())));
        let (bundle, around) = match pattern {
            Pattern::Ik => (Some(&*ours_bundle), 32 + 48 + 16),
            Pattern::Xx => (None, 32),
        };
        text += &line("first payload", &padded(bundle, messages[0].len() - 9 - around));
        text += &line("second payload", &cbor::to_vec(&Payload { bundle: Some(&theirs_bundle), padding: None }));
        for (name, message) in ["first", "second", "third", "done"].iter().zip(&messages) {
            text += &line(name, message);
        }
        text += &line("hash", theirs.handshake_hash());
        text += &line("message", &ours.send(b"21.5 Cel").unwrap());
        ours.rekey();
        text += &line("rekeyed", &ours.send(b"21.5 Cel").unwrap());
    }
    text
}

/// A payload with as much padding as gives it this length.
fn padded(bundle: Option<&[u8]>, len: usize) -> Vec<u8> {
    let payload = |padding| cbor::to_vec(&Payload { bundle, padding: Some(&vec![0; padding]) });
    (0..len).map(payload).find(|payload| payload.len() == len).unwrap()
}

#[test]
fn a_handshake_writes_the_vector() {
    let vector: Vec<_> = VECTOR.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(written().lines().collect::<Vec<_>>(), vector);
}
