//! The records of a feed are what the CDDL of `docs/formats/dht.md` says. Its other rules, and that they refuse what is
//! broken, are checked by the tests of `iot-codec` with the vectors of that page.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use iot_core::Timestamp;
use iot_crypto::SigningKey;
use iot_dht::feed::{Publisher, PublisherConfig};

#[test]
#[ignore = "needs the python packages zcbor, pycddl and cbor2"]
fn records_of_a_feed_are_as_documented() {
    let owner = SigningKey::from_seed(&[7; 32]);
    let mut publisher = Publisher::new(b"feed", PublisherConfig::default());
    let mut lines = Vec::new();
    // Two pages, the second with a link to the first, and three segments that no page names.
    for number in 0u8..35 {
        publisher.push(&vec![number; usize::from(number)]).unwrap();
        publisher.push(b"another").unwrap();
        publisher.seal(&owner, Timestamp::from_secs(1_767_225_600 + u64::from(number)), 0).unwrap();
        let written: Vec<_> = publisher.outbox().cloned().collect();
        for record in written {
            let name = String::from_utf8_lossy(record.name()).into_owned();
            let (rule, other) = match name.split('/').nth(1).unwrap() {
                "head" => ("head", "page"),
                "p" => ("page", "head"),
                _ => ("segment", "page"),
            };
            lines.push((rule, hex(record.value()), "valid"));
            lines.push((other, hex(record.value()), "refused"));
            lines.push(("record", hex(record.as_bytes()), "valid"));
            lines.push(("message", hex(record.as_bytes()), "refused"));
            publisher.confirm(record.key(), record.sequence());
        }
    }
    let count = |rule| lines.iter().filter(|(found, _, verdict)| *found == rule && *verdict == "valid").count();
    assert_eq!([count("segment"), count("head"), count("page"), count("record")], [35, 35, 2, 72]);

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../iot-codec/tests/interop/cddl.py");
    let mut python = Command::new("python3");
    python.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().expect("python3 is installed");
    let input: String = lines.iter().map(|(rule, digits, _)| format!("dht {rule} {digits}\n")).collect();
    let mut pipe = python.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || pipe.write_all(input.as_bytes()));
        python.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "the script failed; its words stand above");
    let answers = String::from_utf8(output.stdout).unwrap();
    assert_eq!(answers.lines().count(), lines.len());
    for (answer, (rule, digits, verdict)) in answers.lines().zip(lines) {
        assert_eq!(answer.split(' ').next(), Some(verdict), "{rule} {digits}: {answer}");
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
