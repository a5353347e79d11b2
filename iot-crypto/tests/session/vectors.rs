//! The vector of `docs/formats/session.md`.

use rand_core::Rng as _;

use crate::support::{Device, PATTERNS, rng, sessions};

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

#[test]
fn a_handshake_writes_the_vector() {
    let vector: Vec<_> = VECTOR.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(written().lines().collect::<Vec<_>>(), vector);
}
