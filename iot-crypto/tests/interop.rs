//! Other implementations read what this crate writes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use iot_core::{DeviceId, Incarnation, Position, StreamId, Timestamp, Topic};
use iot_crypto::{AgreementSecret, Carries, Heading, KeyBundle, Sealer, SigningKey};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// Each message is opened by python-cwt with HPKE-4, its signature verified by python-cwt, and every binding computed
/// anew by cbor2. A second time with one bit flipped, it must be refused. What was opened, and the bundle of its reader's
/// key, must follow the CDDL of `docs/formats/envelope.md`.
#[test]
#[ignore = "needs the python packages cwt, cbor2, cryptography, zcbor and pycddl"]
fn python_cwt_opens_1000_random_messages() {
    let mut rng = ChaCha20Rng::from_seed([11; 32]);
    let mut lines = String::new();
    for _ in 0..1000 {
        lines.push_str(&random_message(&mut rng));
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/open.py");
    let mut python = Command::new("python3").arg(script).stdin(Stdio::piped()).spawn().expect("python3 is installed");
    python.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(python.wait().unwrap().success(), "python-cwt disagrees; its words stand above");
}

/// One line of hexadecimal fields, as `open.py` reads them.
fn random_message(rng: &mut ChaCha20Rng) -> String {
    let (mut signing_seed, mut agreement_seed, mut incarnation) = ([0; 32], [0; 32], [0; 8]);
    rng.fill_bytes(&mut signing_seed);
    rng.fill_bytes(&mut agreement_seed);
    rng.fill_bytes(&mut incarnation);
    let device = SigningKey::from_seed(&signing_seed);
    let secret = AgreementSecret::from_bytes(&agreement_seed);
    let source: DeviceId = device.verifying_key().device_id();
    let stream = StreamId::new(rng.next_u32() >> (rng.next_u32() % 32));
    let sequence = rng.next_u64() >> (rng.next_u32() % 64);
    let position = Position { source, stream, incarnation: Incarnation::from_bytes(incarnation), sequence };
    let topic = format!("plant/{}", rng.next_u32() % 1000);
    let mut payload = vec![0; (rng.next_u32() % 400) as usize];
    rng.fill_bytes(&mut payload);

    let now = Timestamp::from_secs(1_767_225_600);
    let server = SigningKey::generate(rng);
    let issued = KeyBundle::issue(&server, secret.public(), 1, Timestamp::from_secs(1_800_000_000)).unwrap();
    let bundle = KeyBundle::verify(&issued, &server.verifying_key().device_id(), now).unwrap();
    let carries = [Carries::Position, Carries::Source, Carries::SourceAndTopic][(rng.next_u32() % 3) as usize];
    let sealer = Sealer::new(source, &device, bundle).carrying(carries);
    let heading = Heading { topic: Topic::new(&topic).unwrap(), position };
    let message = sealer.seal(&heading, &payload, now, rng).unwrap();
    let (_, routing_len) = iot_crypto::RoutingHeader::parse(&message).unwrap();
    let (routing, envelope) = message.split_at(routing_len);
    format!(
        "{} {} {} {} {} {} {} {} {} {}\n",
        hex(&signing_seed),
        hex(&agreement_seed),
        hex(topic.as_bytes()),
        stream.number(),
        hex(&incarnation),
        sequence,
        hex(routing),
        hex(envelope),
        hex(&payload),
        hex(&issued),
    )
}

fn hex(octets: &[u8]) -> String {
    // A field without octets is a dash, so that the fields of a line can be told apart.
    if octets.is_empty() { "-".into() } else { octets.iter().map(|octet| format!("{octet:02x}")).collect() }
}
