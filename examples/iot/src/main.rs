//! A tool with a subcommand for each format of the workspace: inspect, verify, measure, simulate.

mod cbor;
mod fragment;
mod series;
mod source;

use std::process::ExitCode;

use lexopt::Parser;
use lexopt::prelude::*;

const HELP: &str = "\
iot: a tool for the formats of the workspace

Usage: iot COMMAND [ARGUMENTS]

  cbor validate FILE       whether FILE is one item of deterministic CBOR; exit status 0 or 1, and where and why not
  cbor diag FILE           the items of FILE in diagnostic notation, a line each
  series FILE.csv          octets a sample of each column, as batches of series, beside plain CBOR and zstd
    --column NAME          this column alone
    --batch N              samples of a batch, 1 to 65535 [60]
    --out DIR              write the batches into DIR, which must not exist
  series --decode DIR      the CSV again: the same header, times and values
  fragment sim             how often a message arrives over a link that loses frames
    --size N               octets of the message, 1 to 60000 [480]
    --mtu N                octets of a frame, 8 to 1500 [51]
    --loss P               the share of frames that is lost, 0 up to 0.9 [0.2]
    --trials N             messages, at most 10000000 [100000]
    --seed S               from which the losses follow [1]

FILE may be '-', which is standard input. What is wrong with the arguments ends with exit status 2, what is wrong
with the input with 1.";

/// Why a command did not do what was asked.
pub enum Failure {
    /// The arguments are at fault.
    Usage(String),
    /// The input is.
    Input(String),
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

fn main() -> ExitCode {
    match run(Parser::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(words)) => {
            eprintln!("iot: {words}; 'iot --help' explains");
            ExitCode::from(2)
        }
        Err(Failure::Input(words)) => {
            eprintln!("iot: {words}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut parser: Parser) -> Result<(), Failure> {
    let command = match parser.next()? {
        Some(Long("help") | Short('h')) | None => {
            println!("{HELP}");
            return Ok(());
        }
        Some(Value(command)) => command.string()?,
        Some(other) => return Err(other.unexpected().into()),
    };
    match command.as_str() {
        "cbor" => cbor::run(parser),
        "series" => series::run(parser),
        "fragment" => fragment::run(parser),
        other => Err(Failure::Usage(format!("there is no command {other:?}"))),
    }
}
