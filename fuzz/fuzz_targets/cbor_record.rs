//! A type declared by `record!`: what it decodes from, it encodes to again, and what it skips is all that is lost.

#![no_main]

use iot_codec::{
    cbor::{Limits, encoded_len, from_slice, to_slice, to_vec, validate},
    record,
};
use libfuzzer_sys::fuzz_target;

record! {
    #[derive(Debug)]
    struct Report<'b> {
        0 => device: [u8; 8],
        1 => topic: &'b str,
        2 => sequence: u32,
        3 => reading: Option<Reading<'b>>,
        4 => position: Option<Place>,
        5 => payload: Option<&'b [u8]>,
        6 => is_last: bool,
        24 => note: Option<String>,
        -1 => quality: Option<Quality>,
    }
}

record! {
    #[derive(Debug)]
    struct Place {
        1 => latitude: f64,
        2 => longitude: f64,
        3 => altitude: Option<f32>,
        4 => offset: i64,
    }
}

record! {
    #[derive(Debug)]
    enum Quality {
        0 => Good,
        1 => Doubtful,
        30 => Bad,
    }
}

record! {
    #[derive(Debug)]
    enum Reading<'b> {
        0 => Number(f32),
        1 => Label(&'b str),
        2 => Place(Place),
        300 => Raw(&'b [u8]),
    }
}

fuzz_target!(|input: &[u8]| {
    let Ok(report) = from_slice::<Report>(input) else { return };
    let encoded = to_vec(&report);
    assert_eq!(validate(&encoded, &Limits::default()), Ok(()), "encoded something that is not deterministic");
    assert_eq!(encoded_len(&report), encoded.len());
    assert!(encoded.len() < input.len() || encoded == input, "{report:?} has a second encoding");

    let again = from_slice::<Report>(&encoded).expect("what was encoded decodes");
    assert_eq!(to_vec(&again), encoded);

    let mut space = vec![0; encoded.len()];
    assert_eq!(to_slice(&report, &mut space), Ok(&encoded[..]));
    assert!(space.is_empty() || to_slice(&report, &mut space[1..]).is_err(), "wrote past the end of its buffer");
});
