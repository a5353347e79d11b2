//! `iot envelope`: keys, signatures and sealed messages in files.

mod inspect;
pub mod keys;
pub mod options;
mod raw;
mod sealed;
mod signed;
mod state;

use std::error::Error;
use std::ffi::OsStr;
use std::io::Write as _;

use iot_codec::cbor::{EncodeError, Writer};
use lexopt::Parser;
use lexopt::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::{Failure, output};

/// Runs the subcommands of `envelope`.
pub fn run(mut parser: Parser) -> Result<(), Failure> {
    let command = match parser.next()? {
        Some(Value(command)) => command.string()?,
        Some(other) => return Err(other.unexpected().into()),
        None => return Err(Failure::Usage("envelope takes a command".into())),
    };
    match command.as_str() {
        "keygen" => keys::generate(parser),
        "sign" => signed::sign(parser),
        "verify" => signed::verify(parser),
        "bundle" => sealed::bundle(parser),
        "seal" => sealed::seal(parser),
        "open" => sealed::open(parser),
        "inspect" => inspect::run(parser),
        other => Err(Failure::Usage(format!("there is no command 'envelope {other}'"))),
    }
}

/// Input at fault, with everything that the error knows.
pub fn refused(name: &OsStr, error: &dyn Error) -> Failure {
    let mut words = format!("{}: {error}", name.display());
    let mut source = error.source();
    while let Some(error) = source {
        words += &format!(": {error}");
        source = error.source();
    }
    Failure::Input(words)
}

/// Writes octets to a file, or to standard output.
pub fn write(name: Option<&OsStr>, octets: &[u8]) -> Result<(), Failure> {
    let written = match name {
        Some(name) if name != "-" => std::fs::write(name, octets),
        _ => output::standard().write_all(octets).and_then(|()| output::standard().flush()),
    };
    written.map_err(|error| failed(name.unwrap_or(OsStr::new("-")), &error))
}

/// A file that could not be read or written.
pub fn failed(name: &OsStr, error: &std::io::Error) -> Failure {
    Failure::Input(format!("{}: {error}", name.display()))
}

/// CBOR in a new vector.
fn encode(write: impl FnOnce(&mut Writer<Vec<u8>>) -> Result<(), EncodeError>) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    write(&mut writer).expect("a vector grows");
    writer.into_output()
}

pub fn generator() -> Result<ChaCha20Rng, Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Failure::Input(format!("the system gives no randomness: {error}")))?;
    Ok(ChaCha20Rng::from_seed(seed))
}

pub fn octets_of(hexadecimal: &str) -> Result<Vec<u8>, Failure> {
    let wrong = || Failure::Usage(format!("{hexadecimal:?} is not hexadecimal"));
    let digits: Vec<u8> = hexadecimal
        .chars()
        .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()
        .ok_or_else(wrong)?;
    if digits.len() % 2 == 1 {
        return Err(wrong());
    }
    Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
