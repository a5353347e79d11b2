//! The vectors in `tests/vectors/`, which name their sources.

use iot_codec::cbor::{
    Bignum, DecodeErrorKind, Diagnostic, Limits, from_slice,
    lenient::{self, Rules, normalize},
    to_vec, validate,
};

use super::{
    appendix_a::{hex, rows},
    value::Value,
};

struct Row {
    bytes: Vec<u8>,
    /// The deterministic encoding, unless the bytes are not well-formed.
    deterministic: Option<Vec<u8>>,
    notation: String,
}

fn read(text: &str) -> Vec<Row> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.splitn(3, ' ');
            let bytes = hex(words.next().expect("an encoding"));
            let deterministic = match words.next().expect("a deterministic encoding") {
                "!" => None,
                "=" => Some(bytes.clone()),
                other => Some(hex(other)),
            };
            Row { bytes, deterministic, notation: words.next().unwrap_or_default().into() }
        })
        .collect()
}

fn check(row: &Row) {
    let limits = Limits::default();
    let Row { bytes, deterministic, notation } = row;
    let Some(deterministic) = deterministic else {
        assert!(lenient::validate(bytes, &limits, Rules::default()).is_err(), "{bytes:02x?}");
        assert!(validate(bytes, &limits).is_err());
        return;
    };
    assert_eq!(validate(bytes, &limits).is_ok(), deterministic == bytes, "{bytes:02x?}");
    assert_eq!(lenient::validate(bytes, &limits, Rules::default()), Ok(()), "{bytes:02x?}");
    assert_eq!(&normalize(bytes, &limits, Rules::default()).expect("well-formed"), deterministic);
    assert_eq!(&Diagnostic::new(bytes, &limits).expect("well-formed").to_string(), notation);
    let value = from_slice::<Value>(deterministic).expect("well-formed");
    assert_eq!(&to_vec(&value), deterministic);
}

#[test]
fn every_row_of_appendix_a_is_read_and_normalized_and_noted() {
    let vectors = read(include_str!("../vectors/cbor_appendix_a.txt"));
    assert_eq!(vectors.len(), 81, "the rows of the appendix");
    vectors.iter().for_each(check);
    // The rows that are also written from values are the deterministic ones, all of them.
    let deterministic = vectors.iter().filter(|row| row.deterministic.as_ref() == Some(&row.bytes));
    let written: Vec<_> = rows().into_iter().map(|(row, _)| hex(row)).collect();
    assert_eq!(deterministic.map(|row| row.bytes.clone()).collect::<Vec<_>>(), written);
}

#[test]
fn published_deterministic_vectors_hold() {
    let vectors = read(include_str!("../vectors/cbor_deterministic.txt"));
    assert!(vectors.len() > 105, "{}", vectors.len());
    vectors.iter().for_each(check);
}

#[test]
fn bignums_that_are_not_preferred_are_refused_where_they_are_read() {
    let preferred_is_another = ["c34a00010000000000000000", "c243010000", "c24101", "c2420001", "c243000001"];
    for row in preferred_is_another.into_iter().chain(["c240", "c248ffffffffffffffff"]) {
        let error = from_slice::<Bignum>(&hex(row)).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::LongArgument, 0), "{row}");
    }
    let error = from_slice::<Bignum>(&hex("c449010000000000000000")).unwrap_err();
    assert_eq!(error.kind(), DecodeErrorKind::InvalidValue);
    assert_eq!(
        from_slice::<u128>(&hex("c2510100000000000000000000000000000000")).unwrap_err().kind(),
        DecodeErrorKind::OutOfRange
    );
    assert_eq!(from_slice::<u128>(&hex("20")).unwrap_err().kind(), DecodeErrorKind::OutOfRange);
    for value in
        [0, 1, i128::from(u64::MAX), i128::from(u64::MAX) + 1, -1, -1 - i128::from(u64::MAX), i128::MIN, i128::MAX]
    {
        let bytes = to_vec(&value);
        assert_eq!(from_slice::<i128>(&bytes), Ok(value));
        assert_eq!(Diagnostic::new(&bytes, &Limits::default()).unwrap().to_string(), value.to_string());
        for len in 0..bytes.len() {
            assert!(from_slice::<i128>(&bytes[..len]).is_err());
        }
    }
}
