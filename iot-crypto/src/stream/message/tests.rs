extern crate std;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

fn compact(flags: u8, rest: &[u8]) -> Vec<u8> {
    [&[flags], rest, &[0xcc; TAG_LEN + 20]].concat()
}

#[test]
fn header_takes_five_octets_with_two_of_context_and_a_low_sequence_number() {
    let octets = compact(0b1001_0010, &[0xab, 0xcd, 0xff, 0xff]);
    let message = StreamMessage::parse(&octets).unwrap();
    assert_eq!(message.context().as_bytes(), [0xab, 0xcd]);
    assert_eq!(message.sequence(), 65_535);
    assert_eq!(octets.len() - 20, 21);
    assert_eq!(message.compact_len(), octets.len());
}

#[test]
fn expands_to_the_structure_of_the_rfc() {
    let octets = compact(0b1001_0000, &[0xab, 0xcd, 0x05]);
    let message = StreamMessage::parse(&octets).unwrap();
    let mut buffer = vec![0; message.cose_len()];
    assert_eq!(message.write_cose(&mut buffer), Ok(buffer.len()));
    let expected = [&b"\x83\x44\xa1\x01\x18\x18\xa2\x04\x42\xab\xcd\x06\x41\x05\x58\x24"[..], &[0xcc; 36]].concat();
    assert_eq!(buffer, expected);
    assert_eq!(StreamMessage::parse(&expected), Ok(message));
    assert_eq!(
        message.write_cose(&mut buffer[1..]),
        Err(BufferTooSmall { needed: expected.len(), available: expected.len() - 1 })
    );
}

#[test]
fn refuses_every_truncation() {
    let octets = [&[0b1001_0010, 0xab, 0xcd, 0xff, 0xff][..], &[0xcc; TAG_LEN]].concat();
    assert!(StreamMessage::parse(&octets).is_ok());
    for offset in 0..octets.len() {
        assert_eq!(StreamMessage::parse(&octets[..offset]), Err(FormError::Truncated { offset }));
    }
    let message = StreamMessage::parse(&octets).unwrap();
    let mut expanded = vec![0; message.cose_len()];
    message.write_cose(&mut expanded).unwrap();
    for end in 0..expanded.len() {
        assert!(StreamMessage::parse(&expanded[..end]).is_err(), "{end} octets");
    }
    expanded.push(0);
    assert!(matches!(StreamMessage::parse(&expanded), Err(FormError::Malformed(_))));
}

#[test]
fn refuses_other_forms() {
    // A routing header, the tag of COSE_Encrypt0, arrays of other lengths, a flag of a later version.
    for flags in [0x02, 0xd1, 0x82 | 1, 0x85, 0b1001_0011] {
        let octets = compact(flags, &[0xab, 0xcd, 0x05]);
        let refused = StreamMessage::parse(&octets);
        assert!(refused.is_err(), "{flags:#04x}: {refused:?}");
    }
    assert_eq!(StreamMessage::parse(&compact(0x02, &[])), Err(FormError::Flags { flags: 0x02 }));
}

#[test]
fn refuses_a_number_that_is_longer_than_it_must_be() {
    let octets = compact(0b1001_0010, &[0xab, 0xcd, 0x00, 0x05]);
    assert_eq!(StreamMessage::parse(&octets), Err(FormError::NotShortest { offset: 3 }));
    let octets = [&b"\x83\x44\xa1\x01\x18\x18\xa2\x04\x41\xab\x06\x42\x00\x05\x50"[..], &[0xcc; 16]].concat();
    assert_eq!(StreamMessage::parse(&octets), Err(FormError::NotShortest { offset: 12 }));
}

#[test]
fn refuses_a_number_above_the_last() {
    let octets = compact(0b1000_1110, &[&[0xab][..], &[0xff; 8]].concat());
    assert_eq!(StreamMessage::parse(&octets), Err(FormError::AboveLast));
}

#[test]
fn refuses_a_ciphertext_that_is_too_long() {
    let octets = [&[0b1000_0000, 0xab, 0x05][..], &vec![0; MAX_CIPHERTEXT_LEN + 1]].concat();
    assert_eq!(StreamMessage::parse(&octets), Err(FormError::TooLong { len: MAX_CIPHERTEXT_LEN + 1 }));
    assert!(StreamMessage::parse(&octets[..octets.len() - 1]).is_ok());
}

#[test]
fn refuses_other_headers() {
    let tail = [0xcc; 16];
    let with = |head: &[u8]| [head, &tail].concat();
    assert!(StreamMessage::parse(&with(b"\x83\x44\xa1\x01\x18\x18\xa2\x04\x41\xab\x06\x41\x05\x50")).is_ok());
    for (other, what) in [
        (&b"\x83\x43\xa1\x01\x01\xa2\x04\x41\xab\x06\x41\x05\x50"[..], "AES-GCM"),
        (b"\x83\x44\xa1\x01\x18\x18\xa2\x04\x40\x06\x41\x05\x50", "no context"),
        (b"\x83\x44\xa1\x01\x18\x18\xa2\x04\x41\xab\x06\x40\x50", "no sequence number"),
        (b"\x83\x44\xa1\x01\x18\x18\xa2\x04\x41\xab\x05\x41\x05\x50", "a full IV"),
        (b"\x83\x44\xa1\x01\x18\x18\xa1\x04\x41\xab\x50", "a header less"),
        (b"\x83\x44\xa1\x01\x18\x18\xa3\x04\x41\xab\x06\x41\x05\x07\x01\x50", "a header more"),
        (b"\x83\x44\xa1\x01\x18\x18\xa2\x06\x41\x05\x04\x41\xab\x50", "another order"),
    ] {
        let octets = with(other);
        let refused = StreamMessage::parse(&octets);
        assert!(matches!(refused, Err(FormError::OtherHeaders { .. })), "{what}: {refused:?}");
    }
}

proptest! {
    #[test]
    fn both_forms_are_the_same_message(
        context in proptest::collection::vec(any::<u8>(), 1..=8),
        sequence in 0..u64::MAX,
        shift in 0..64_u32,
        ciphertext in proptest::collection::vec(any::<u8>(), TAG_LEN..400),
    ) {
        let sequence = sequence >> shift;
        let context = ContextId::new(&context).unwrap();
        let message = StreamMessage { context, sequence, ciphertext: &ciphertext };
        let (mut small, mut large) = (vec![0; message.compact_len()], vec![0; message.cose_len()]);
        prop_assert_eq!(message.write_compact(&mut small), Ok(small.len()));
        prop_assert_eq!(message.write_cose(&mut large), Ok(large.len()));
        prop_assert_eq!(StreamMessage::parse(&small), Ok(message));
        prop_assert_eq!(StreamMessage::parse(&large), Ok(message));
        prop_assert!(crate::cose::Encrypt0::parse(&large).is_ok());
    }

    #[test]
    fn what_is_read_is_written_the_same(mut octets in proptest::collection::vec(any::<u8>(), 1..64)) {
        octets[0] |= COMPACT;
        if let Ok(message) = StreamMessage::parse(&octets) {
            let mut buffer = vec![0; 80];
            let len = match octets[0] {
                COSE_HEAD => message.write_cose(&mut buffer),
                _ => message.write_compact(&mut buffer),
            };
            prop_assert_eq!(&buffer[..len.unwrap()], &octets[..]);
        }
    }
}
