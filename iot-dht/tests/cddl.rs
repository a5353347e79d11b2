//! The records of a feed are what the CDDL of `docs/formats/dht.md` says. Its other rules, and that they refuse what is
//! broken, are checked by the tests of `iot-codec` with the vectors of that page.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use iot_codec::cbor::Cursor;
use iot_core::{Incarnation, StreamId, Timestamp};
use iot_crypto::SigningKey;
use iot_crypto::cose::Sign1;
use iot_dht::feed::{Numbers, Publisher, PublisherConfig};
use iot_dht::{Contact, Id, Mailbox, Peer, Publication, Receipt, Roster};

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
    lines.extend(others(&owner, &mut publisher));
    let page = include_str!("../../docs/formats/dht.md").split("```feed-vectors\n").nth(1).unwrap();
    for line in page.lines().take_while(|line| *line != "```") {
        let (name, digits) = line.split_once(": ").unwrap();
        let rules = ["subscribe", "challenge", "granted", "changed", "seen"];
        if let Some(rule) = rules.into_iter().find(|rule| *rule == name.trim_end_matches("-again")) {
            lines.push((rule, digits.into(), "valid"));
            lines.push(("message", digits.into(), "refused"));
        }
    }

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

/// Segments with all kinds of element, and what is no part of a feed.
fn others(owner: &SigningKey, publisher: &mut Publisher) -> Vec<(&'static str, String, &'static str)> {
    let (now, expires) = (Timestamp::from_secs(1_767_225_600), Timestamp::from_secs(1_767_229_200));
    let device = owner.verifying_key().device_id();
    let (stream, incarnation) = (StreamId::new(1), Incarnation::from_bytes([2; 8]));
    publisher.push(b"one").unwrap();
    publisher.push_dropped(Numbers { source: device, stream, incarnation, start: 7, end: 9 }).unwrap();
    publisher.push_skipped(&Sign1::sign(owner, b"payload", b"").unwrap()).unwrap();
    publisher.flush(owner, now, 0).unwrap();
    // The two libraries do not look for a choice in an array, so that each element is checked by itself.
    let open: Vec<_> = publisher.outbox().map(|record| record.value().to_vec()).collect();
    let mut segment = Cursor::new(&open[0]);
    let count = segment.array().unwrap();
    assert_eq!(count, 4);
    let elements: Vec<_> = (0..count).map(|_| hex(segment.raw_item().unwrap().as_bytes())).collect();

    let peer = Peer { id: Id::from_bytes([1; 32]), address: "[2001:db8::1]:4001".parse().unwrap() };
    let contact = Contact::sign(owner, 1, now, Duration::from_secs(60), &[peer]).unwrap();
    let publications = vec![Publication::new(device, b"feed"); 40];
    let roster = Roster::sign(owner, b"roster", 1, expires, &publications).unwrap();
    let short = Roster::sign(owner, b"roster", 1, expires, &publications[..2]).unwrap();
    let mut mailbox = Mailbox::new(b"mail");
    mailbox.post(b"sealed").unwrap();
    let mail = mailbox.sign(owner, expires).unwrap();
    let receipt = Receipt::sign(owner, b"seen", 1, expires).unwrap();
    let values = [
        ("head", hex(&open[1]), "segment"),
        ("contact", hex(contact.value()), "roster"),
        ("roster-page", hex(roster[0].value()), "roster"),
        ("roster", hex(roster[roster.len() - 1].value()), "roster-page"),
        ("roster", hex(short[0].value()), "contact"),
        ("mail", hex(mail.value()), "receipt"),
        ("receipt", hex(receipt.value()), "mail"),
    ];
    let both = |(rule, digits, other): (_, String, _)| [(rule, digits.clone(), "valid"), (other, digits, "refused")];
    let elements = elements.into_iter().map(|digits| ("element", digits, "head"));
    values.into_iter().chain(elements).flat_map(both).collect()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
