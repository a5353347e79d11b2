//! Everything of an envelope that is read before a key is touched: routing header, `COSE_Encrypt0`, `COSE_Sign1`,
//! bundle.
//!
//! - A routing header has one encoding.
//! - The parts of a structure are parts of the input, and fit in it together.
//! - Nothing that the fuzzer makes is signed by the device that is asked for.

#![no_main]

use std::sync::LazyLock;

use iot_core::{DeviceId, Timestamp};
use iot_crypto::cose::{Encrypt0, Sign1};
use iot_crypto::{KeyBundle, RoutingHeader, SigningKey};
use libfuzzer_sys::fuzz_target;

static DEVICE: LazyLock<DeviceId> =
    LazyLock::new(|| SigningKey::from_seed(b"this key signed none of the seed").verifying_key().device_id());

fuzz_target!(|input: &[u8]| {
    let mut envelope = input;
    if let Ok((header, len)) = RoutingHeader::parse(input) {
        let mut again = vec![0; header.encoded_len()];
        assert_eq!(header.encode(&mut again), Some(len));
        assert_eq!(again, &input[..len], "a routing header has a second encoding");
        envelope = &input[len..];
    }
    for octets in [input, envelope] {
        if let Ok(sealed) = Encrypt0::parse(octets) {
            assert!(octets.ends_with(sealed.ciphertext()));
            assert!(sealed.headers().protected.len() + sealed.ciphertext().len() < octets.len());
        }
        if let Ok(signed) = Sign1::parse(octets) {
            assert!(signed.headers().protected.len() + signed.unverified_payload().len() + 64 < octets.len());
        }
        assert!(KeyBundle::verify(octets, &DEVICE, Timestamp::from_secs(0)).is_err());
    }
});
