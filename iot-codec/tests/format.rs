//! The vectors in the text of `docs/formats` are what this crate writes and reads.

#![cfg(feature = "alloc")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::PathBuf};

use iot_codec::cbor::{self, TypedArray};
use iot_codec::framing::{LengthDelimited, frame_header};
use iot_codec::record;
use iot_codec::registry::{Channel, Entry, Registry};

record! {
    #[derive(Debug, PartialEq)]
    struct Documented<'b> {
        1 => topic: &'b str,
        2 => sequence: u64,
        3 => note: Option<&'b str>,
        -1 => critical: Option<u64>,
    }
}

const PAGES: [&str; 6] = ["codec", "framing", "fragment", "registry", "senml", "series"];

fn crate_path(path: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), path].iter().collect()
}

fn page(name: &str) -> String {
    fs::read_to_string(crate_path(&format!("../docs/formats/{name}.md"))).unwrap()
}

/// What follows a heading, up to the next one of its level.
fn section<'p>(page: &'p str, heading: &str) -> &'p str {
    let (level, _) = heading.split_once(' ').unwrap();
    page.split(&format!("\n{heading}\n")).nth(1).unwrap().split(&format!("\n{level} ")).next().unwrap()
}

/// The octets of the `index`-th block or inline vector that follows the heading `section` of a page.
fn vector(name: &str, heading: &str, index: usize) -> Vec<u8> {
    let page = page(name);
    let is_vector = |part: &&str| part.split_whitespace().count() > 1 && part.split_whitespace().all(is_octet);
    let digits = section(&page, heading).split(['`', '\n']).filter(is_vector).nth(index).unwrap();
    digits.split_whitespace().map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect()
}

/// The octets of a block in which each line has words of them, and then says what they are.
fn annotated(name: &str, heading: &str) -> String {
    let page = page(name);
    let is_octets = |word: &&str| word.len().is_multiple_of(2) && word.bytes().all(|digit| digit.is_ascii_hexdigit());
    let of_line = |line: &str| -> String {
        let octets = line.trim().split("  ").next().unwrap();
        if octets.split(' ').all(|word| is_octets(&word)) { octets.replace(' ', "") } else { "none".into() }
    };
    let blocks = section(&page, heading).split("```").skip(1).step_by(2);
    let blocks = blocks.map(|block| block.trim_start_matches("text").trim_matches('\n').lines().map(of_line).collect());
    blocks.into_iter().find(|octets: &String| !octets.contains("none")).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_octet(word: &str) -> bool {
    word.len() == 2 && word.bytes().all(|digit| digit.is_ascii_hexdigit())
}

#[test]
fn records_are_as_documented() {
    let full = Documented { topic: "a/b", sequence: 70_001, note: Some("x"), critical: Some(3) };
    assert_eq!(cbor::to_vec(&full), vector("codec", "## Records", 0));
    assert_eq!(cbor::from_slice::<Documented>(&vector("codec", "## Records", 0)), Ok(full));
    let short = Documented { topic: "a/b", sequence: 70_001, note: None, critical: None };
    assert_eq!(cbor::to_vec(&short), vector("codec", "## Records", 1));
}

#[test]
fn frames_are_as_documented() {
    let documented = vector("framing", "## Streams: length-delimited", 0);
    assert_eq!([&frame_header(5).unwrap()[..], b"hello"].concat(), documented);
    let mut decoder = LengthDelimited::new([0; 8]);
    assert_eq!(decoder.push(&documented), Ok(documented.len()));
    assert_eq!(decoder.next_frame(), Some(&b"hello"[..]));
}

#[test]
fn typed_arrays_are_as_documented() {
    let mut space = [0; 8];
    let array = TypedArray::encoded(&[21.5f32, -0.25], &mut space).unwrap();
    assert_eq!(hex(&cbor::to_vec(&array)), annotated("codec", "### Typed arrays"));
}

#[test]
fn the_file_of_a_registry_is_as_documented() {
    let topics = [Entry::new(1, 1, "plant/7"), Entry::new(9, 3, "plant/8")];
    let channels = [Channel::new(0, 1, "temperature", 1), Channel::new(24, 2, "load", 1024)];
    let units = [Entry::new(1024, 2, "bushel")];
    let registry = Registry::new(3, &topics, &channels, &units).unwrap();
    assert_eq!(hex(&cbor::to_vec(&registry)), annotated("registry", "## Example"));
}

#[test]
fn every_file_of_vectors_is_named_by_a_page_and_read_by_a_test() {
    let pages = PAGES.map(page).concat();
    let mut sources = Vec::new();
    let mut folders = vec![crate_path("src"), crate_path("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                sources.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(crate_path("tests/vectors")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".txt") {
            assert!(pages.contains(&name), "no page names {name}");
            let include = format!("vectors/{name}\")");
            let is_read = |source: &&String| source.contains("include_str!(") && source.contains(&include);
            assert!(sources.iter().any(|source| is_read(&source)), "no test reads {name}");
            names.push(name);
        }
    }
    // And the other way round.
    for word in pages.split(['`', '/']).filter(|word| word.ends_with(".txt")) {
        assert!(names.iter().any(|name| name == word), "a page names {word}");
    }
    assert!(names.len() >= 9);
}
