extern crate std;

use std::{format, string::String, vec::Vec};

use super::*;
use crate::{cbor::to_vec, registry::List};

fn sample() -> Registry<'static> {
    static TOPICS: [Entry; 2] = [Entry::new(1, 1, "plant/7"), Entry::new(9, 3, "plant/8")];
    static CHANNELS: [Channel; 2] = [Channel::new(0, 1, "temperature", 1), Channel::new(24, 2, "load", 1024)];
    static UNITS: [Entry; 1] = [Entry::new(1024, 2, "bushel")];
    Registry::new(3, &TOPICS, &CHANNELS, &UNITS).unwrap()
}

#[test]
fn a_file_gives_the_registry_that_was_written() {
    let bytes = to_vec(&sample());
    // The file of docs/formats/registry.md.
    let vector = include_str!("../../../tests/vectors/registry.txt");
    let vector: String = vector.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), vector);
    let file = RegistryFile::read(&bytes, &Limits::default()).unwrap();
    let registry = file.registry();
    assert_eq!(registry, sample());
    assert_eq!(registry.at(2).unwrap().unit(1024), Ok("bushel"));
    let empty = Registry::new(1, &[], &[], &[]).unwrap();
    assert_eq!(to_vec(&empty), [0xa1, 0x01, 0x01]);
    let file = RegistryFile::read(&[0xa1, 0x01, 0x01], &Limits::default()).unwrap();
    assert_eq!(file.registry(), empty);
}

#[test]
fn every_truncation_and_bit_flip_is_refused_or_another_registry() {
    let bytes = to_vec(&sample());
    for len in 0..bytes.len() {
        let error = RegistryFile::read(&bytes[..len], &Limits::default()).unwrap_err();
        assert!(matches!(error, RegistryError::Malformed(_)));
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(file) = RegistryFile::read(&flipped, &Limits::default()) {
            assert_eq!(to_vec(&file.registry()), flipped);
            assert_ne!(file.registry(), sample());
        }
    }
}

#[test]
fn trailing_bytes_false_claims_and_depth_are_refused_on_a_small_stack() {
    let refuse = |bytes: &[u8]| match RegistryFile::read(bytes, &Limits::default()).unwrap_err() {
        RegistryError::Malformed(error) => (error.kind(), error.offset(), error.key()),
        other => panic!("{other:?}"),
    };
    let nested = |depth: usize| [&[0xa2, 0x01, 0x01, 0x18, 0x63][..], &std::vec![0x81; depth], &[0]].concat();
    let read = move || {
        let bytes = [to_vec(&sample()), std::vec![0]].concat();
        assert_eq!(refuse(&bytes), (DecodeErrorKind::TrailingBytes, bytes.len() - 1, None));
        assert_eq!(refuse(b"\xa2\x01\x01\x02\x9a\xff\xff\xff\xff"), (DecodeErrorKind::UnexpectedEnd, 4, Some(2)));
        assert_eq!(
            refuse(b"\xa2\x01\x01\x02\x81\x82\x01\x01").0,
            DecodeErrorKind::UnexpectedLength { expected: 3, found: 2 }
        );
        // A key of a later form is skipped, as deep as the limit goes: the map is a level, too.
        assert!(RegistryFile::read(&nested(15), &Limits::default()).is_ok());
        assert_eq!(refuse(&nested(16)), (DecodeErrorKind::TooDeep, 5 + 15, Some(99)));
        assert_eq!(refuse(&nested(100_000)).0, DecodeErrorKind::TooDeep);
        let limits = Limits::default().depth(2).unwrap();
        assert!(RegistryFile::read(&to_vec(&sample()), &limits).is_err());
        assert!(RegistryFile::read(&to_vec(&sample()), &limits.depth(3).unwrap()).is_ok());
    };
    std::thread::Builder::new().stack_size(32 * 1024).spawn(read).unwrap().join().unwrap();
}

#[test]
fn a_file_is_refused_for_what_a_table_in_code_is_refused_for() {
    use RegistryError::*;
    let refuse = |version, topics: &[Entry], channels: &[Channel], units: &[Entry]| {
        let error = Registry::from_lists(version, topics, channels, units).unwrap_err();
        assert_eq!(Registry::new(version, topics, channels, units), Err(error));
        error
    };
    let entry = |number, since, name| [Entry::new(number, since, name)];
    assert_eq!(refuse(0, &[], &[], &[]), NoVersion);
    let topics = [entry(2, 1, "a"), entry(1, 1, "b")].concat();
    assert_eq!(refuse(1, &topics, &[], &[]), Unsorted { list: List::Topics, number: 1 });
    let topics = [entry(1, 1, "a"), entry(2, 1, "a")].concat();
    assert_eq!(refuse(1, &topics, &[], &[]), DuplicateName { list: List::Topics, number: 2 });
    let error = WrongSince { list: List::Topics, number: 1, since: 2 };
    assert_eq!(refuse(1, &entry(1, 2, "a"), &[], &[]), error);
    assert_eq!(refuse(1, &[], &[], &entry(5, 1, "u")), ReservedUnit { number: 5, least: 1024 });
    let error = DuplicateName { list: List::Units, number: 1024 };
    assert_eq!(refuse(1, &[], &[], &entry(1024, 1, "m")), error);
    let error = UnknownUnit { number: 1, unit: 1025 };
    assert_eq!(refuse(1, &[], &[Channel::new(1, 1, "c", 1025)], &[]), error);
    // The unit comes a version later than the channel, or is of SenML.
    let units = entry(1025, 2, "u");
    assert_eq!(refuse(2, &[], &[Channel::new(1, 1, "c", 1025)], &units), error);
    assert!(
        Registry::from_lists(2, &[], &[Channel::new(1, 2, "c", 1025), Channel::new(2, 1, "d", 98)], &units).is_ok()
    );
    assert!(Registry::from_lists(2, &[], &[Channel::new(2, 1, "d", 99)], &units).is_err());
    let channels = [Channel::new(1, 1, "c", 0), Channel::new(2, 1, "c", 0)];
    let error = DuplicateName { list: List::Channels, number: 2 };
    assert_eq!(refuse(1, &[], &channels, &[]), error);
}

#[test]
fn a_file_of_the_largest_size_is_read_in_linear_time() {
    let names: Vec<String> = (0..15_000).map(|number| format!("topic/{number}")).collect();
    let topics: Vec<_> = names.iter().zip(0..).map(|(name, number)| Entry::new(number, 1, name)).collect();
    let bytes = to_vec(&Registry::from_lists(1, &topics, &[], &[]).unwrap());
    let file = RegistryFile::read(&bytes, &Limits::default()).unwrap();
    assert_eq!(file.registry().latest().topic(14_999), Ok("topic/14999"));
}
