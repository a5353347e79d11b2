//! A pack of `SenML` in JSON.
//!
//! - What is read, written in JSON or in CBOR, is read as the same pack.
//! - What is resolved has valid names, is in order of time, is bounded, and survives a batch.

#![no_main]

use iot_codec::{
    cbor::{Limits, validate},
    senml::{from_cbor, from_json, to_cbor, to_json},
};
use iot_fuzz::pack;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let limits = Limits::default();
    let Ok(read) = from_json(input, &limits) else { return };
    let json = to_json(&read).expect("json holds no number that is not finite");
    let again = from_json(json.as_bytes(), &limits).expect("what was written can be read");
    assert!(pack::same(&again, &read), "{json} is not {read:?}");

    let cbor = to_cbor(&read);
    assert_eq!(validate(&cbor, &limits), Ok(()));
    let again = from_cbor(&cbor, &limits).expect("what was written can be read");
    assert!(pack::same(&again, &read), "{cbor:02x?} is not {read:?}");
    pack::check_resolution(&read);
});
