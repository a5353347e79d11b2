//! A pack of `SenML` in CBOR.
//!
//! - What is read, written in CBOR, is deterministic and reads as the same pack, NaNs to the bit.
//! - JSON refuses what is not finite, and gives all else back.
//! - What is resolved has valid names, is in order of time, is bounded, and survives a batch.

#![no_main]

use iot_codec::{
    cbor::{Limits, validate},
    senml::{SenmlError, from_cbor, from_json, to_cbor, to_json},
};
use iot_fuzz::pack;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let limits = Limits::default();
    let Ok(read) = from_cbor(input, &limits) else { return };
    let cbor = to_cbor(&read);
    assert_eq!(validate(&cbor, &limits), Ok(()));
    let again = from_cbor(&cbor, &limits).expect("what was written can be read");
    assert!(pack::same(&again, &read), "{cbor:02x?} is not {read:?}");
    match to_json(&read) {
        Ok(json) => {
            let again = from_json(json.as_bytes(), &limits).expect("what was written can be read");
            assert!(pack::same(&again, &read), "{json} is not {read:?}");
        }
        Err(error) => assert!(matches!(error, SenmlError::NotFinite { .. }), "{error}"),
    }
    pack::check_resolution(&read);
});
