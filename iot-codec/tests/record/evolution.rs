//! Two versions of one record, each reading what the other writes.

use iot_codec::{
    cbor::{DecodeErrorKind, Limits, from_slice, from_slice_within, to_vec},
    record,
};

record! {
    #[derive(Clone, Debug, PartialEq)]
    struct Older<'b> {
        2 => name: &'b str,
        5 => count: u8,
    }
}

record! {
    #[derive(Clone, Debug, PartialEq)]
    struct Newer<'b> {
        1 => before: Option<u64>,
        2 => name: &'b str,
        3 => between: Option<&'b [u8]>,
        4 => between_too: Option<f64>,
        5 => count: u8,
        1000 => after: Option<bool>,
        -1 => critical: Option<u8>,
    }
}

const OLD: Older = Older { name: "n", count: 7 };
const NEW: Newer = Newer {
    before: Some(1),
    name: "n",
    between: Some(&[1, 2]),
    between_too: Some(0.1),
    count: 7,
    after: Some(true),
    critical: None,
};

#[test]
fn the_newer_reads_the_older() {
    let expected = Newer { before: None, between: None, between_too: None, after: None, ..NEW };
    assert_eq!(from_slice::<Newer>(&to_vec(&OLD)), Ok(expected));
}

#[test]
fn the_older_skips_what_it_does_not_know() {
    for mask in 0..16 {
        let newer = Newer {
            before: NEW.before.filter(|_| mask & 1 != 0),
            between: NEW.between.filter(|_| mask & 2 != 0),
            between_too: NEW.between_too.filter(|_| mask & 4 != 0),
            after: NEW.after.filter(|_| mask & 8 != 0),
            ..NEW
        };
        let bytes = to_vec(&newer);
        assert_eq!(from_slice::<Older>(&bytes), Ok(OLD));
        assert_eq!(from_slice::<Newer>(&bytes), Ok(newer));
    }
}

#[test]
fn the_older_refuses_a_negative_key_that_it_does_not_know() {
    let bytes = to_vec(&Newer { critical: Some(1), ..NEW });
    let error = from_slice::<Older>(&bytes).unwrap_err();
    assert_eq!((error.kind(), error.key()), (DecodeErrorKind::UnknownKey, Some(-1)));
    assert_eq!(error.offset(), bytes.len() - 2);
}

#[test]
fn a_skipped_key_may_be_as_large_as_cbor_allows() {
    let bytes = b"\xa3\x02\x61n\x05\x07\x1b\xff\xff\xff\xff\xff\xff\xff\xff\x00";
    assert_eq!(from_slice::<Older>(bytes), Ok(OLD));
    let bytes = b"\xa3\x02\x61n\x05\x07\x3b\xff\xff\xff\xff\xff\xff\xff\xff\x00";
    let error = from_slice::<Older>(bytes).unwrap_err();
    assert_eq!((error.kind(), error.key(), error.offset()), (DecodeErrorKind::UnknownKey, None, 6));
}

#[test]
fn what_is_skipped_is_validated_within_the_limits() {
    let limits = Limits::default().depth(2).unwrap().items(10);
    let read = |skipped: &[u8]| {
        let bytes = [b"\xa3\x02\x61n\x04", skipped, b"\x05\x07"].concat();
        let older = from_slice_within::<Older>(&bytes, &limits);
        older.map(|older| assert_eq!(older, OLD)).map_err(|error| (error.kind(), error.offset(), error.key()))
    };
    assert_eq!(read(b"\x81\x00"), Ok(()));
    assert_eq!(read(b"\x81\x80"), Err((DecodeErrorKind::TooDeep, 6, Some(4))));
    assert_eq!(read(b"\x84\x00\x00\x00\x00"), Ok(()));
    assert_eq!(read(b"\x85\x00\x00\x00\x00\x00"), Err((DecodeErrorKind::TooManyItems, 5, Some(4))));
    assert_eq!(read(b"\xa2\x01\x00\x01\x00"), Err((DecodeErrorKind::DuplicateKey, 8, Some(4))));
    assert_eq!(read(b"\x18\x00"), Err((DecodeErrorKind::LongArgument, 5, Some(4))));
}
