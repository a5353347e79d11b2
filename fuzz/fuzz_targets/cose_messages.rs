//! The structures of COSE beside those of an envelope, in each way that they come: tagged, untagged, and with their
//! content apart.
//!
//! - What is a structure and what is none, and each part of it, is as `minicbor` reads it by the rules of RFC 9052.
//! - The parts lie inside the input, and each structure that can be countersigned is the same afterwards.
//! - Whatever is verified or decrypted is what the holders of the keys wrote, and nothing decrypted remains of what is
//!   refused.

#![no_main]

use std::fmt::Debug;

use iot_crypto::cose::{Algorithm, CoseError, Countersigned, Encrypt, Encrypt0, Headers, Mac0, Sign, Sign1};
use iot_crypto::{Signature, Signer, SignerError, VerifyingKey};
use iot_fuzz::cose::{
    ABBREVIATED, COUNTERSIGNATURE, EK, Entry, IV, KID, Layer, PARTIAL_IV, SIGNING, Structure, countersignatures,
    entries, is_too_deep, recipient, signature, string_of, structure,
};
use iot_fuzz::party::{PAYLOAD, holds_payload};
use iot_fuzz::structures::{EXTERNAL, KEYS};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if is_too_deep(input) {
        return;
    }
    sign1(input);
    sign(input);
    mac0(input);
    encrypt0(input);
    encrypt(input);
});

fn sign1(input: &[u8]) {
    let model = structure(input, Sign1::TAG, 4)
        .filter(|it| it.layer.algorithm().is_some_and(|algorithm| SIGNING.contains(&algorithm)))
        .filter(|it| string_of(it.last, 64).is_some());
    let Some((parsed, model)) = agreed(input, Sign1::parse, Sign1::parse_detached, model) else { return };
    same_headers(parsed.headers(), &model.layer, model.layer.algorithm());
    check_content(input, parsed.unverified_payload(), &model);
    countersigned(input, parsed.countersigned(), &model.layer, |octets| {
        let again = if model.content.is_some() { Sign1::parse(octets) } else { Sign1::parse_detached(octets, PAYLOAD) };
        again.map(|again| (again.unverified_payload(), again.headers().protected))
    });
    let [first, _] = &KEYS.parties;
    let mut scratch = [0; 2048];
    if parsed.headers().key_id() == Some(first.key().key_id())
        && let Ok(payload) = parsed.verify(&first.key(), EXTERNAL, &mut scratch)
    {
        assert_eq!(payload, PAYLOAD, "a signature over another payload");
    }
}

fn sign(input: &[u8]) {
    let model = structure(input, Sign::TAG, 4).filter(|it| !it.layer.has_unprotected_algorithm());
    let model = model.filter(|it| entries(it.last, Sign::MAX_SIGNATURES, signature).is_some());
    let Some((parsed, model)) = agreed(input, Sign::parse, Sign::parse_detached, model) else { return };
    assert_eq!(parsed.protected(), model.layer.protected);
    check_content(input, parsed.unverified_payload(), &model);
    let entries = entries(model.last, Sign::MAX_SIGNATURES, signature).expect("it was read before");
    assert_eq!(parsed.signature_count(), entries.len());
    same_entries(parsed.signatures().map(|it| (*it.headers(), it.countersigned())), &entries);
    countersigned(input, parsed.countersigned(), &model.layer, |octets| {
        let again = if model.content.is_some() { Sign::parse(octets) } else { Sign::parse_detached(octets, PAYLOAD) };
        again.map(|again| (again.unverified_payload(), again.protected()))
    });
    let mut scratch = [0; 2048];
    for party in &KEYS.parties {
        if let Ok(payload) = parsed.verify(&party.key(), EXTERNAL, &mut scratch) {
            assert_eq!(payload, PAYLOAD, "a signature over another payload");
        }
    }
}

fn mac0(input: &[u8]) {
    let model = structure(input, Mac0::TAG, 4)
        .filter(|it| it.layer.algorithm() == Some(Algorithm::Hmac256.number()))
        .filter(|it| string_of(it.last, 32).is_some());
    let Some((parsed, model)) = agreed(input, Mac0::parse, Mac0::parse_detached, model) else { return };
    same_headers(parsed.headers(), &model.layer, model.layer.algorithm());
    check_content(input, parsed.unverified_payload(), &model);
    countersigned(input, parsed.countersigned(), &model.layer, |octets| {
        let again = if model.content.is_some() { Mac0::parse(octets) } else { Mac0::parse_detached(octets, PAYLOAD) };
        again.map(|again| (again.unverified_payload(), again.headers().protected))
    });
    if let Ok(payload) = parsed.verify(&KEYS.mac, EXTERNAL) {
        assert_eq!(payload, PAYLOAD, "a tag over another payload");
    }
}

fn encrypt0(input: &[u8]) {
    let known = [Algorithm::ChaCha20Poly1305, Algorithm::Hpke4, Algorithm::Hpke9].map(Algorithm::number);
    let model = structure(input, Encrypt0::TAG, 3)
        .filter(|it| it.layer.algorithm().is_some_and(|algorithm| known.contains(&algorithm)));
    let Some((parsed, model)) = agreed(input, Encrypt0::parse, Encrypt0::parse_detached, model) else { return };
    same_headers(parsed.headers(), &model.layer, model.layer.algorithm());
    check_content(input, parsed.ciphertext(), &model);
    countersigned(input, parsed.countersigned(), &model.layer, |octets| {
        let again =
            if model.content.is_some() { Encrypt0::parse(octets) } else { Encrypt0::parse_detached(octets, PAYLOAD) };
        again.map(|again| (again.ciphertext(), again.headers().protected))
    });
    let mut buffer = vec![0; parsed.open_len(EXTERNAL.len())];
    let [first, _] = &KEYS.parties;
    let opened = match parsed.headers().algorithm {
        Algorithm::Hpke9 => return,
        Algorithm::Hpke4 if parsed.headers().key_id() != Some(first.secrets[0].key_id()) => return,
        Algorithm::Hpke4 => parsed.open_sealed_into(&first.secrets[0], EXTERNAL, &mut buffer).map(|it| it.to_vec()),
        _ => parsed.open_into(&KEYS.content, EXTERNAL, &mut buffer).map(|it| it.to_vec()),
    };
    check_opened(input, opened.ok(), &buffer);
}

fn encrypt(input: &[u8]) {
    let model = structure(input, Encrypt::TAG, 4)
        .filter(|it| it.layer.algorithm() == Some(Algorithm::ChaCha20Poly1305.number()))
        .filter(|it| entries(it.last, Encrypt::MAX_RECIPIENTS, recipient).is_some());
    let Some((parsed, model)) = agreed(input, Encrypt::parse, Encrypt::parse_detached, model) else { return };
    same_headers(parsed.headers(), &model.layer, model.layer.algorithm());
    check_content(input, parsed.ciphertext(), &model);
    let entries = entries(model.last, Encrypt::MAX_RECIPIENTS, recipient).expect("it was read before");
    assert_eq!(parsed.recipient_count(), entries.len());
    same_entries(parsed.recipients().map(|it| (*it.headers(), it.countersigned())), &entries);
    countersigned(input, parsed.countersigned(), &model.layer, |octets| {
        let again =
            if model.content.is_some() { Encrypt::parse(octets) } else { Encrypt::parse_detached(octets, PAYLOAD) };
        again.map(|again| (again.ciphertext(), again.headers().protected))
    });
    let mut buffer = vec![0; parsed.open_len(EXTERNAL.len())];
    let secret = &KEYS.parties[0].secrets[0];
    if let Some(recipient) = parsed.recipient(secret.thumbprint().as_bytes())
        && let Ok(key) = recipient.unwrap_key(secret, parsed.headers().algorithm)
    {
        let opened = parsed.open_into(&key, EXTERNAL, &mut buffer).map(|it| it.to_vec());
        check_opened(input, opened.ok(), &buffer);
    }
}

/// What the decoder and the model both read, if they read anything; with its content in it or apart.
fn agreed<'b, T: Copy + Debug>(
    input: &'b [u8],
    parse: fn(&'b [u8]) -> Result<T, CoseError>,
    parse_detached: fn(&'b [u8], &'b [u8]) -> Result<T, CoseError>,
    model: Option<Structure<'b>>,
) -> Option<(T, Structure<'b>)> {
    let (attached, detached) = (parse(input), parse_detached(input, PAYLOAD));
    let Some(model) = model else {
        assert!(attached.is_err() && detached.is_err(), "{attached:?} and {detached:?}, where there is no structure");
        return None;
    };
    let (parsed, other, expected) = match model.content {
        Some(_) => (attached, detached, CoseError::Attached),
        None => (detached, attached, CoseError::Detached),
    };
    assert_eq!(other.err(), Some(expected));
    Some((parsed.expect("the model has a structure"), model))
}

fn same_headers(headers: &Headers<'_>, model: &Layer<'_>, algorithm: Option<i64>) {
    assert_eq!((headers.protected, headers.unprotected), (model.protected, model.unprotected));
    assert_eq!(Some(headers.algorithm.number()), algorithm);
    let strings = [headers.kid, headers.iv, headers.partial_iv, headers.encapsulated_key];
    assert_eq!(strings, [KID, IV, PARTIAL_IV, EK].map(|label| model.string(label)));
}

fn same_entries<'b>(parsed: impl Iterator<Item = (Headers<'b>, Countersigned<'b>)>, entries: &[Entry<'_>]) {
    let mut known = entries.iter().filter_map(|entry| match entry {
        Entry::Known(layer, _) => Some(layer),
        Entry::Foreign => None,
    });
    for (headers, target) in parsed {
        let layer = known.next().expect("the model has as many entries");
        let outside = layer.has_unprotected_algorithm().then_some(Algorithm::Direct.number());
        same_headers(&headers, layer, layer.algorithm().or(outside));
        check_countersignatures(&target, layer);
    }
    assert!(known.next().is_none(), "an entry was passed over");
}

fn check_content(input: &[u8], content: &[u8], model: &Structure<'_>) {
    assert_eq!(content, model.content.unwrap_or(PAYLOAD));
    assert!(model.content.is_none() || input.as_ptr_range().start <= content.as_ptr_range().start);
    assert!(model.content.is_none() || content.as_ptr_range().end <= input.as_ptr_range().end);
}

fn check_opened(input: &[u8], opened: Option<Vec<u8>>, buffer: &[u8]) {
    match opened {
        Some(plaintext) => assert_eq!(plaintext, PAYLOAD, "a ciphertext of another payload"),
        None => assert!(!holds_payload(buffer) || holds_payload(input), "plaintext of a refused one"),
    }
}

fn check_countersignatures(target: &Countersigned<'_>, layer: &Layer<'_>) {
    let expected = match layer.unprotected_value(COUNTERSIGNATURE) {
        Some(octets) => countersignatures(octets),
        None => Some(Vec::new()),
    };
    match (target.countersignatures(), expected) {
        (Ok(found), Some(entries)) => {
            let [_, second] = &KEYS.parties;
            let mut known = entries.iter().filter(|entry| matches!(entry, Entry::Known(..)));
            for countersignature in found {
                let Some(Entry::Known(layer, _)) = known.next() else { panic!("the model has fewer") };
                same_headers(countersignature.headers(), layer, layer.algorithm());
                if countersignature.headers().key_id() == Some(second.key().key_id()) {
                    // Over what, the structure around it says.
                    let _ = countersignature.verify(&second.key(), EXTERNAL, &mut [0; 2048]);
                }
            }
            assert!(known.next().is_none(), "a countersignature was passed over");
        }
        (Err(_), None) => {}
        (Ok(_), None) => panic!("countersignatures that the model refuses"),
        (Err(error), Some(entries)) => panic!("{error}: {entries:?}"),
    }
}

/// Countersigns the structure, unless it is countersigned so already, and reads it again.
fn countersigned<'b>(
    input: &'b [u8],
    target: Countersigned<'b>,
    layer: &Layer<'_>,
    read: impl Fn(&[u8]) -> Result<(&[u8], &[u8]), CoseError>,
) {
    check_countersignatures(&target, layer);
    let before = read(input).expect("it was read before");
    let mut buffer = vec![0; target.countersign_len(input.len(), 0)];
    let added = target.countersign_abbreviated_into(input, &Stamp, &[], &mut buffer);
    assert_eq!(added.is_err(), layer.value(ABBREVIATED).is_some(), "{added:?}");
    if let Ok(len) = added {
        let is_head_longer = matches!(layer.unprotected, [0xb7, ..] | [0xb8, 0xff, ..]);
        assert_eq!(len, input.len() + 67 + usize::from(is_head_longer));
        assert_eq!(read(&buffer[..len]), Ok(before), "a countersignature changed the structure");
    }
}

/// Signs nothing in particular: where a countersignature goes does not depend on it.
struct Stamp;

impl Signer for Stamp {
    fn verifying_key(&self) -> VerifyingKey {
        KEYS.parties[0].key()
    }

    fn sign(&self, _: &[u8]) -> Result<Signature, SignerError> {
        Ok(Signature::from_bytes([0x5a; Signature::LEN]))
    }
}
