//! `iot envelope sign` and `verify`.

use iot_crypto::cose::{Algorithm, Sign1};
use iot_crypto::{Signature, Signer};
use lexopt::Parser;

use super::keys::{self, Signing};
use super::options::Options;
use super::{encode, octets_of, refused, write};
use crate::{Failure, source};

/// `iot envelope sign`.
pub fn sign(parser: Parser) -> Result<(), Failure> {
    let valued = ["key", "password", "external-aad", "alg", "out"];
    let options = Options::parse(parser, &valued, &["raw"], &["FILE"])?;
    let external = external(&options)?;
    let signer = keys::signing(&options)?;
    let payload = source::read(options.file(0))?;
    let octets = if options.has("raw") {
        raw_structure(&signer, &payload, &external, options.number("alg")?)?
    } else if options.has("alg") {
        return Err(Failure::Usage("--alg needs --raw".into()));
    } else {
        Sign1::sign(&signer, &payload, &external).map_err(|error| refused(options.file(0), &error))?
    };
    write(options.get("out"), &octets)
}

/// `iot envelope verify`.
pub fn verify(parser: Parser) -> Result<(), Failure> {
    let options = Options::parse(parser, &["key", "external-aad", "out"], &["raw"], &["FILE"])?;
    let external = external(&options)?;
    let key = keys::verifying(options.required("key")?)?;
    let mut octets = source::read(options.file(0))?;
    Sign1::parse(&octets).map_err(|error| refused(options.file(0), &error))?;
    if options.has("raw") && key.algorithm() == Algorithm::Esp256 {
        accept_either_s(&mut octets);
    }
    let signed = Sign1::parse(&octets).map_err(|error| refused(options.file(0), &error))?;
    let mut scratch = vec![0; signed.scratch_len(external.len())];
    let payload = signed.verify(&key, &external, &mut scratch).map_err(|error| refused(options.file(0), &error))?;
    write(options.get("out"), payload)
}

/// What the signature covers besides the payload: as given, or bound to being a file that this tool signed.
fn external(options: &Options) -> Result<Vec<u8>, Failure> {
    let given = octets_of(options.text("external-aad")?.unwrap_or_default())?;
    if options.has("raw") {
        return Ok(given);
    }
    Ok(encode(|writer| {
        writer.array(2)?;
        writer.text("iot signed file 1")?;
        writer.bytes(&given)
    }))
}

/// A tagged `COSE_Sign1` with an algorithm number of the user's choice.
fn raw_structure(signer: &Signing, payload: &[u8], external: &[u8], number: Option<i64>) -> Result<Vec<u8>, Failure> {
    let key = signer.verifying_key();
    let allowed = match key.algorithm() {
        Algorithm::Esp256 => [-9, -7],
        _ => [-19, -8],
    };
    let number = number.unwrap_or(allowed[0]);
    if !allowed.contains(&number) {
        return Err(Failure::Usage(format!("the key signs with the algorithms {} and {}", allowed[0], allowed[1])));
    }
    let protected = encode(|writer| {
        writer.map(2)?;
        writer.int(1)?;
        writer.int(number)?;
        writer.int(4)?;
        writer.bytes(key.key_id().as_bytes())
    });
    let to_be_signed = encode(|writer| {
        writer.array(4)?;
        writer.text("Signature1")?;
        writer.bytes(&protected)?;
        writer.bytes(external)?;
        writer.bytes(payload)
    });
    let signature = signer.sign(&to_be_signed).map_err(|error| Failure::Input(error.to_string()))?;
    Ok(encode(|writer| {
        writer.tag(Sign1::TAG)?;
        writer.array(4)?;
        writer.bytes(&protected)?;
        writer.map(0)?;
        writer.bytes(payload)?;
        writer.bytes(signature.as_bytes())
    }))
}

/// Other tools write either of the two ECDSA signatures; the library takes one. The signature is the structure's end.
fn accept_either_s(octets: &mut [u8]) {
    let place = octets.len() - Signature::LEN;
    let found = octets[place..].try_into().map(Signature::from_bytes);
    if let Some(low) = found.ok().and_then(Signature::with_low_s) {
        octets[place..].copy_from_slice(low.as_bytes());
    }
}
