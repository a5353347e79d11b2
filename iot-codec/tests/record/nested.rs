//! Records in records, in arrays and in themselves, owned and borrowed, in two versions.

use std::borrow::Cow;

use iot_codec::{
    cbor::{Array, Bignum, DecodeErrorKind, Limits, List, Sign, TypedArray, from_slice, from_slice_within, to_vec},
    record,
};

use crate::round_trip;

mod older {
    use iot_codec::{cbor::List, record};

    record! {
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) struct Sample { 1 => pub(crate) time: u64, 2 => pub(crate) value: f64 }
    }

    record! {
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) enum Entry { 1 => Sample(Sample), 2 => Gap(u32) }
    }

    record! {
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) struct Batch { 1 => pub(crate) name: String, 2 => pub(crate) entries: List<Entry> }
    }
}

mod newer {
    use iot_codec::{cbor::Items, record};

    record! {
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) struct Sample<'b> {
            1 => pub(crate) time: u64,
            2 => pub(crate) value: f64,
            3 => pub(crate) unit: Option<&'b str>,
            -1 => pub(crate) scale: Option<i8>,
        }
    }

    record! {
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) enum Entry<'b> { 1 => Sample(Sample<'b>), 2 => Gap(u32), 3 => Note(&'b str) }
    }

    record! {
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) struct Batch<'b> {
            1 => pub(crate) name: &'b str,
            2 => pub(crate) entries: Items<'b, Entry<'b>>,
            7 => pub(crate) more: Option<Items<'b, u8>>,
        }
    }
}

fn sample(unit: Option<&str>, scale: Option<i8>) -> newer::Entry<'_> {
    newer::Entry::Sample(newer::Sample { time: 7, value: 0.5, unit, scale })
}

fn newer_batch(entries: &[newer::Entry]) -> Vec<u8> {
    let (mut space, mut more) = ([0; 128], [0; 8]);
    let entries = iot_codec::cbor::Items::encoded(entries, &mut space).expect("room for all");
    let more = iot_codec::cbor::Items::encoded(&[1, 2], &mut more).expect("room for all");
    to_vec(&newer::Batch { name: "b", entries, more: Some(more) })
}

fn older_batch() -> older::Batch {
    let sample = older::Entry::Sample(older::Sample { time: 7, value: 0.5 });
    older::Batch { name: "b".into(), entries: List(vec![sample, older::Entry::Gap(3)]) }
}

#[test]
fn the_newer_reads_what_the_older_wrote_at_every_level() {
    let bytes = to_vec(&older_batch());
    let batch = from_slice::<newer::Batch>(&bytes).unwrap();
    let entries: Vec<_> = batch.entries.iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(entries, [sample(None, None), newer::Entry::Gap(3)]);
    assert_eq!((batch.name, batch.more), ("b", None));
}

#[test]
fn the_older_reads_what_the_newer_wrote_at_every_level() {
    let bytes = newer_batch(&[sample(Some("Cel"), None), newer::Entry::Gap(3)]);
    assert_eq!(from_slice::<older::Batch>(&bytes), Ok(older_batch()));
}

#[test]
fn what_the_older_must_not_ignore_is_named_by_its_key_and_place() {
    let fault = |entries: &[newer::Entry]| {
        let bytes = newer_batch(entries);
        let error = from_slice::<older::Batch>(&bytes).unwrap_err();
        (error.kind(), error.offset(), error.key())
    };
    // {1: "b", 2: [[1, {1: 7, 2: 0.5, -1: 3}], ...
    assert_eq!(fault(&[sample(None, Some(3))]), (DecodeErrorKind::UnknownKey, 15, Some(-1)));
    let number = DecodeErrorKind::UnknownVariant { number: 3 };
    assert_eq!(fault(&[newer::Entry::Gap(1), newer::Entry::Note("n")]), (number, 10, Some(2)));
}

record! {
    #[derive(Clone, Debug, PartialEq)]
    struct Node {
        1 => name: String,
        2 => next: Option<Box<Node>>,
        3 => leaves: List<Node>,
    }
}

fn chain(depth: usize) -> Node {
    let node = |next| Node { name: "n".into(), next, leaves: List(vec![]) };
    (1..depth).fold(node(None), |next, _| node(Some(Box::new(next))))
}

#[test]
fn a_record_may_contain_itself_within_the_limit_of_depth() {
    let limits = Limits::default().depth(4).unwrap();
    let bytes = to_vec(&chain(3));
    assert_eq!(from_slice_within::<Node>(&bytes, &limits), Ok(chain(3)));
    let bytes = to_vec(&chain(5));
    let error = from_slice_within::<Node>(&bytes, &limits).unwrap_err();
    assert_eq!((error.kind(), error.key()), (DecodeErrorKind::TooDeep, Some(2)));
    let bytes = to_vec(&chain(5000));
    let read = move || from_slice::<Node>(&bytes).map(drop).unwrap_err().kind();
    let thread = std::thread::Builder::new().stack_size(64 * 1024).spawn(read).unwrap();
    assert_eq!(thread.join().unwrap(), DecodeErrorKind::TooDeep);
}

record! {
    #[derive(Clone, Debug, PartialEq)]
    struct Arrays<'b> {
        1 => grid: Array<Array<i16, 2>, 2>,
        2 => names: Array<&'b str, 2>,
        3 => samples: Option<TypedArray<'b, f32>>,
        4 => serial: Option<Bignum<'b>>,
        5 => topic: Cow<'b, str>,
        6 => data: Option<Cow<'b, [u8]>>,
        7 => empty: Option<Array<u8, 0>>,
    }
}

#[test]
fn records_side_by_side_are_one_level() {
    let limits = Limits::default().depth(3).unwrap();
    let sample = older::Sample { time: 7, value: 0.5 };
    let samples = List(vec![sample.clone(); 60]);
    assert_eq!(from_slice_within(&to_vec(&samples), &limits), Ok(samples));
    let entry = |number| if number % 2 == 0 { older::Entry::Sample(sample.clone()) } else { older::Entry::Gap(number) };
    let entries = List((0..60).map(entry).collect());
    assert_eq!(from_slice_within(&to_vec(&entries), &limits), Ok(entries));
    let arrays = List(vec![Array([List(vec![1u8])]); 60]);
    assert_eq!(from_slice_within(&to_vec(&arrays), &limits), Ok(arrays));
}

#[test]
fn arrays_of_any_element_and_strings_that_are_borrowed_or_owned() {
    let mut space = [0; 8];
    let arrays = Arrays {
        grid: Array([Array([1, -1]), Array([300, 0])]),
        names: Array(["a", "b"]),
        samples: Some(TypedArray::encoded(&[0.5, 1.5], &mut space).unwrap()),
        serial: Some(Bignum::new(Sign::Positive, &[1; 9])),
        topic: Cow::Owned("t".into()),
        data: Some(Cow::Borrowed(&[1])),
        empty: Some(Array([])),
    };
    let bytes = b"\xa7\x01\x82\x82\x01\x20\x82\x19\x01\x2c\x00\x02\x82\x61a\x61b\x03\xd8\x55\x48\0\0\0\x3f\0\0\xc0\x3f\
        \x04\xc2\x49\x01\x01\x01\x01\x01\x01\x01\x01\x01\x05\x61t\x06\x41\x01\x07\x80";
    round_trip(&arrays, bytes);
    assert!(matches!(from_slice::<Arrays>(bytes).unwrap().topic, Cow::Borrowed("t")));
}

#[test]
fn an_array_of_another_length_or_with_a_wrong_element_is_refused() {
    use DecodeErrorKind::*;
    fn fault(bytes: &[u8]) -> Result<Arrays<'_>, (DecodeErrorKind, usize, Option<i32>)> {
        from_slice(bytes).map_err(|error| (error.kind(), error.offset(), error.key()))
    }
    let length = |found| UnexpectedLength { expected: 2, found };
    assert_eq!(fault(b"\xa1\x01\x81\x82\x01\x20"), Err((length(1), 2, Some(1))));
    assert_eq!(fault(b"\xa1\x01\x82\x82\x01\x20\x83\0\0\0"), Err((length(3), 6, Some(1))));
    assert_eq!(fault(b"\xa1\x01\x82\x82\x01\x20\x82\x00\x19\xff\xff"), Err((OutOfRange, 8, Some(1))));
    let limits = Limits::default().depth(1).unwrap();
    let error = from_slice_within::<Array<Array<u8, 1>, 1>>(b"\x81\x81\x00", &limits).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (TooDeep, 1));
}
