//! What `record!` accepts and refuses.

use iot_codec::{
    cbor::{DecodeErrorKind, from_slice, to_vec},
    record,
};

record! {
    /// A reading.
    #[derive(Clone, Debug, PartialEq)]
    struct Reading<'b> {
        1 => topic: &'b str,
        2 => sequence: u64,
        /// Remarks.
        3 => note: Option<&'b str>,
        -1 => critical: Option<u64>,
    }
}
record! { #[derive(Clone, Copy, Debug, PartialEq, Eq)] enum Quality { 0 => Good, 1 => Stale, } }
record! { #[derive(Clone, Debug, PartialEq)] enum Body<'b> { 1 => Read(Reading<'b>), 2 => Raw(&'b [u8]), } }
record! { #[derive(Clone, Debug, PartialEq)] struct Id { 1 => id: [u8; 4], 2 => quality: Quality, 3 => list: iot_codec::cbor::List<Quality> } }

#[test]
fn round_trips() {
    let r = Reading { topic: "a/b", sequence: 70001, note: None, critical: Some(3) };
    let b = to_vec(&r);
    assert_eq!(from_slice::<Reading>(&b), Ok(r.clone()));
    let body = Body::Read(r);
    let b = to_vec(&body);
    assert_eq!(from_slice::<Body>(&b), Ok(body));
    let id = Id { id: [1; 4], quality: Quality::Stale, list: iot_codec::cbor::List(vec![Quality::Good]) };
    let b = to_vec(&id);
    assert_eq!(from_slice::<Id>(&b), Ok(id));
    assert_eq!(from_slice::<Quality>(&[5]).unwrap_err().kind(), DecodeErrorKind::UnknownVariant { number: 5 });
}
