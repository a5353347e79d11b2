//! Where input comes from: a file, or standard input.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;

use lexopt::Parser;
use lexopt::prelude::*;

use crate::Failure;

/// All octets of `name`; of standard input if it is `-`.
pub fn read(name: &OsStr) -> Result<Vec<u8>, Failure> {
    let fail = |error| Failure::Input(format!("{}: {error}", name.display()));
    if name == "-" {
        let mut octets = Vec::new();
        std::io::stdin().read_to_end(&mut octets).map_err(fail)?;
        return Ok(octets);
    }
    std::fs::read(name).map_err(fail)
}

/// The one argument that is left.
pub fn only_argument(parser: &mut Parser, what: &str) -> Result<OsString, Failure> {
    let Some(argument) = parser.next()? else { return Err(Failure::Usage(format!("{what} is missing"))) };
    let Value(value) = argument else { return Err(argument.unexpected().into()) };
    match parser.next()? {
        None => Ok(value),
        Some(other) => Err(other.unexpected().into()),
    }
}
