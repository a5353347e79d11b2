//! `iot cbor`: is it deterministic, and what does it say?

use iot_codec::cbor::{Diagnostic, Limits, validate};
use lexopt::Parser;
use lexopt::prelude::*;

use crate::{Failure, source};

/// A person looks at larger things than a device reads.
fn limits(len: usize) -> Limits {
    Limits::default().bytes(u32::try_from(len).unwrap_or(u32::MAX)).items(u32::MAX)
}

/// Runs `cbor validate` or `cbor diag`.
pub fn run(mut parser: Parser) -> Result<(), Failure> {
    let command = parser.next()?;
    match command {
        Some(Value(command)) if command == "validate" => {
            let input = source::read(&source::only_argument(&mut parser, "FILE")?)?;
            validate(&input, &limits(input.len())).map_err(|error| Failure::Input(error.to_string()))
        }
        Some(Value(command)) if command == "diag" => {
            let input = source::read(&source::only_argument(&mut parser, "FILE")?)?;
            print_notation(&input)
        }
        Some(other) => Err(other.unexpected().into()),
        None => Err(Failure::Usage("cbor takes 'validate' or 'diag'".into())),
    }
}

fn print_notation(input: &[u8]) -> Result<(), Failure> {
    let mut rest = input;
    loop {
        let offset = input.len() - rest.len();
        let fail = |error| Failure::Input(format!("{error}, in the item at {offset}"));
        let (notation, after) = Diagnostic::first(rest, &limits(rest.len())).map_err(fail)?;
        say!("{notation}");
        if after.is_empty() {
            return Ok(());
        }
        rest = after;
    }
}
