extern crate std;

use std::vec::Vec;

use super::*;
use crate::cbor::DecodeErrorKind;

fn items(datagram: &[u8]) -> (Vec<&[u8]>, Option<DecodeError>, usize) {
    let mut sequence = Sequence::new(datagram, &Limits::default()).unwrap();
    let mut items = Vec::new();
    let mut error = None;
    for item in &mut sequence {
        match item {
            Ok(item) => items.push(item.as_bytes()),
            Err(fault) => error = Some(fault),
        }
    }
    (items, error, sequence.rest().len())
}

const DATAGRAM: [u8; 9] = [0x01, 0x82, 0x02, 0x03, 0x62, b'o', b'k', 0xf9, 0x3c];

#[test]
fn items_come_one_by_one_up_to_the_first_fault() {
    assert_eq!(items(&[]), (std::vec![], None, 0));
    let whole: [&[u8]; 3] = [&[0x01], &[0x82, 0x02, 0x03], b"\x62ok"];
    assert_eq!(items(&DATAGRAM[..7]), (whole.to_vec(), None, 0));
    let error = DecodeError::new(DecodeErrorKind::UnexpectedEnd, 7);
    assert_eq!(items(&DATAGRAM), (whole.to_vec(), Some(error), 2));
}

#[test]
fn every_truncation_keeps_the_whole_items_before_it() {
    for len in 0..DATAGRAM.len() {
        let (items, error, lost) = items(&DATAGRAM[..len]);
        assert_eq!(items.concat(), &DATAGRAM[..len - lost]);
        assert_eq!(error.is_some(), lost > 0);
    }
}

#[test]
fn the_limits_hold_for_all_items_together() {
    let limits = Limits::default().items(3);
    let datagram = [0x82, 0x00, 0x00, 0x82, 0x00, 0x00];
    let mut sequence = Sequence::new(&datagram, &limits).unwrap();
    assert!(sequence.next().unwrap().is_ok());
    assert_eq!(sequence.next().unwrap().unwrap_err().kind(), DecodeErrorKind::TooManyItems);
    assert!(sequence.next().is_none());
    assert_eq!(sequence.rest(), &datagram[3..]);
    let error = Sequence::new(&datagram, &Limits::default().bytes(5)).unwrap_err();
    assert_eq!(error.kind(), DecodeErrorKind::TooManyBytes);
}

#[test]
fn an_item_that_does_not_fit_leaves_the_datagram_as_it_was() {
    let mut space = [0; 6];
    let mut writer = SequenceWriter::new(&mut space);
    writer.push(&1u8).unwrap();
    assert!(writer.push("too long").is_err());
    writer.push(&300u16).unwrap();
    assert_eq!(writer.written(), [0x01, 0x19, 0x01, 0x2c]);
    writer.push("x").unwrap();
    assert!(writer.push(&0u8).is_err());
    assert_eq!(items(writer.into_written()).0.len(), 3);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]
    #[test]
    fn any_bytes_end_in_an_error_or_are_all_read(datagram in proptest::collection::vec(0u8.., 0..60)) {
        let (items, error, lost) = items(&datagram);
        proptest::prop_assert_eq!(items.concat(), &datagram[..datagram.len() - lost]);
        proptest::prop_assert_eq!(error.is_some(), lost > 0);
    }
}
