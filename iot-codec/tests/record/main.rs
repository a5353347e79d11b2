//! What `record!` writes, accepts and refuses.

mod evolution;
mod nested;
mod refusals;

use iot_codec::{
    cbor::{Decode, Encode, Items, List, RawItem, encoded_len, from_slice, to_slice, to_vec},
    record,
};

record! {
    /// Attributes and documentation pass through.
    #[derive(Clone, Debug, PartialEq)]
    pub(crate) struct Reading<'b> {
        1 => pub(crate) topic: &'b str,
        2 => pub(crate) sequence: u64,
        /// Optional.
        3 => pub(crate) note: Option<&'b str>,
        -1 => pub(crate) critical: Option<u64>,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Quality {
        0 => Good,
        1 => Stale,
        300 => Invented,
        -1 => Unknown,
    }
}

record! {
    #[derive(Clone, Debug, PartialEq)]
    pub(crate) enum Body<'b> {
        1 => Reading(Reading<'b>),
        /// Documentation passes through.
        2 => Raw(&'b [u8]),
    }
}

record! {
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Owned {
        0 => flag: bool,
        23 => identifier: [u8; 4],
        24 => name: String,
        300 => bytes: Vec<u8>,
        70_000 => numbers: List<i16>,
        -1 => ratio: f32,
        -25 => inner: Option<Inner>,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Inner { 1 => value: i8 }
}

record! {
    #[derive(Clone, Debug, PartialEq)]
    enum Choice { 7 => Inner(Inner), 8 => Number(u8) }
}

record! {
    #[derive(Clone, Debug, PartialEq)]
    struct Lent<'x> {
        1 => key: &'x [u8; 2],
        2 => qualities: Items<'x, Quality>,
        3 => any: RawItem<'x>,
    }
}

record! {
    #[derive(Clone, Debug, PartialEq)]
    struct Empty {}
}

/// Writes `value` as exactly `bytes`, reads it back, and refuses every truncation and every trailing byte.
fn round_trip<'b, T: Encode + Decode<'b> + PartialEq + core::fmt::Debug>(value: &T, bytes: &'b [u8]) {
    assert_eq!(to_vec(value), bytes);
    assert_eq!(encoded_len(value), bytes.len());
    let mut space = [0xaa; 128];
    assert_eq!(to_slice(value, &mut space), Ok(bytes));
    assert_eq!(from_slice::<T>(bytes).as_ref(), Ok(value));
    for len in 0..bytes.len() {
        assert!(from_slice::<T>(&bytes[..len]).is_err(), "{bytes:02x?} cut to {len}");
        assert!(to_slice(value, &mut space[..len]).is_err());
    }
}

#[test]
fn structs_are_maps_with_their_keys_in_order() {
    let reading = Reading { topic: "a/b", sequence: 70_001, note: None, critical: None };
    round_trip(&reading, b"\xa2\x01\x63a/b\x02\x1a\x00\x01\x11\x71");
    let reading = Reading { note: Some("x"), critical: Some(3), ..reading };
    round_trip(&reading, b"\xa4\x01\x63a/b\x02\x1a\x00\x01\x11\x71\x03\x61x\x20\x03");
    round_trip(&Empty {}, b"\xa0");
}

#[test]
fn keys_of_every_width_and_owned_fields() {
    let owned = Owned {
        flag: true,
        identifier: [1, 2, 3, 4],
        name: "n".into(),
        bytes: vec![9],
        numbers: List(vec![-1, 1000]),
        ratio: 0.5,
        inner: Some(Inner { value: -128 }),
    };
    let bytes = b"\xa7\x00\xf5\x17\x44\x01\x02\x03\x04\x18\x18\x61n\x19\x01\x2c\x41\x09\x1a\x00\x01\x11\x70\x82\x20\x19\x03\xe8\x20\xf9\x38\x00\x38\x18\xa1\x01\x38\x7f";
    round_trip(&owned, bytes);
    round_trip(
        &Owned::default(),
        b"\xa6\x00\xf4\x17\x44\0\0\0\0\x18\x18\x60\x19\x01\x2c\x40\x1a\x00\x01\x11\x70\x80\x20\xf9\0\0",
    );
}

#[test]
fn enums_are_numbers_and_pairs() {
    round_trip(&Quality::Good, &[0]);
    round_trip(&Quality::Invented, &[0x19, 0x01, 0x2c]);
    round_trip(&Quality::Unknown, &[0x20]);
    round_trip(&Body::Raw(&[7]), &[0x82, 0x02, 0x41, 0x07]);
    let reading = Reading { topic: "", sequence: 0, note: None, critical: None };
    round_trip(&Body::Reading(reading), &[0x82, 0x01, 0xa2, 0x01, 0x60, 0x02, 0x00]);
    round_trip(&Choice::Inner(Inner { value: 1 }), &[0x82, 0x07, 0xa1, 0x01, 0x01]);
    round_trip(&Choice::Number(1), &[0x82, 0x08, 0x01]);
}

#[test]
fn borrowed_fields_point_into_the_input() {
    let bytes = [0xa3, 0x01, 0x42, 0x05, 0x06, 0x02, 0x82, 0x00, 0x01, 0x03, 0x81, 0xf6];
    let lent = from_slice::<Lent>(&bytes).unwrap();
    round_trip(&lent, &bytes);
    assert!(core::ptr::eq(lent.key.as_ptr(), &bytes[3]));
    assert_eq!(lent.any.as_bytes(), [0x81, 0xf6]);
    assert_eq!(lent.qualities.iter().collect::<Result<Vec<_>, _>>(), Ok(vec![Quality::Good, Quality::Stale]));
}

#[test]
fn items_are_written_without_allocation() {
    let mut space = [0; 8];
    let items = Items::encoded(&[Quality::Stale, Quality::Invented], &mut space).unwrap();
    assert_eq!(items.count(), 2);
    assert_eq!(to_vec(&items), [0x82, 0x01, 0x19, 0x01, 0x2c]);
    assert_eq!(items.iter().collect::<Result<Vec<_>, _>>(), Ok(vec![Quality::Stale, Quality::Invented]));
    assert!(Items::encoded(&[1000u16; 3], &mut space).is_err());
}

#[test]
fn names_that_the_macro_uses_itself_are_free() {
    record! {
        #[derive(Debug, PartialEq)]
        struct Names<'input> {
            1 => cursor: u8,
            2 => writer: &'input str,
            3 => fields: Option<u8>,
            4 => value: u8,
            5 => number: u8,
            6 => offset: u8,
            7 => r#type: u8,
        }
    }
    record! {
        #[derive(Debug, Default, PartialEq)]
        enum O { 0 => Ok, #[default] 1 => Err, 2 => Some, 3 => None }
    }
    type Optional<T> = Option<T>;
    record! {
        /// A field is optional by its type, whatever the type is called.
        #[derive(Debug, Default, PartialEq)]
        struct Encode { 0 => o: O, 1 => optional: Optional<O>, }
    }
    let names = Names { cursor: 1, writer: "", fields: None, value: 2, number: 3, offset: 4, r#type: 5 };
    round_trip(&names, b"\xa6\x01\x01\x02\x60\x04\x02\x05\x03\x06\x04\x07\x05");
    for (number, variant) in [O::Ok, O::Err, O::Some, O::None].into_iter().enumerate() {
        round_trip(&variant, [b"\x00", b"\x01", b"\x02", b"\x03"][number]);
    }
    round_trip(&Encode::default(), b"\xa1\x00\x01");
    round_trip(&Encode { o: O::None, optional: Some(O::Some) }, b"\xa2\x00\x03\x01\x02");
}
