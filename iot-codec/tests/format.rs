//! The vectors in the text of `docs/formats` are what this crate writes and reads.

#![cfg(feature = "alloc")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use iot_codec::cbor;
use iot_codec::framing::{LengthDelimited, frame_header};
use iot_codec::record;

record! {
    #[derive(Debug, PartialEq)]
    struct Documented<'b> {
        1 => topic: &'b str,
        2 => sequence: u64,
        3 => note: Option<&'b str>,
        -1 => critical: Option<u64>,
    }
}

/// The octets of the `index`-th block or inline vector that follows the heading `section` of a page.
fn vector(page: &str, section: &str, index: usize) -> Vec<u8> {
    let path = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/formats/{}.md"), page);
    let page = std::fs::read_to_string(path).unwrap();
    let section = page.split(&format!("\n## {section}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    let is_vector = |part: &&str| part.split_whitespace().count() > 1 && part.split_whitespace().all(is_octet);
    let digits = section.split(['`', '\n']).filter(is_vector).nth(index).unwrap();
    digits.split_whitespace().map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect()
}

fn is_octet(word: &str) -> bool {
    word.len() == 2 && word.bytes().all(|digit| digit.is_ascii_hexdigit())
}

#[test]
fn records_are_as_documented() {
    let full = Documented { topic: "a/b", sequence: 70_001, note: Some("x"), critical: Some(3) };
    assert_eq!(cbor::to_vec(&full), vector("codec", "Records", 0));
    assert_eq!(cbor::from_slice::<Documented>(&vector("codec", "Records", 0)), Ok(full));
    let short = Documented { topic: "a/b", sequence: 70_001, note: None, critical: None };
    assert_eq!(cbor::to_vec(&short), vector("codec", "Records", 1));
}

#[test]
fn frames_are_as_documented() {
    let documented = vector("framing", "Streams: length-delimited", 0);
    assert_eq!([&frame_header(5).unwrap()[..], b"hello"].concat(), documented);
    let mut decoder = LengthDelimited::new([0; 8]);
    assert_eq!(decoder.push(&documented), Ok(documented.len()));
    assert_eq!(decoder.next_frame(), Some(&b"hello"[..]));
}
