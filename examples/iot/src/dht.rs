//! `iot dht`: nodes on UDP, records and feeds, and a network in virtual time.

mod client;
mod feed;
mod folder;
mod node;
mod record;
mod sim;

use lexopt::Parser;
use lexopt::prelude::*;

use crate::Failure;

/// Runs the subcommands of `dht`.
pub fn run(mut parser: Parser) -> Result<(), Failure> {
    match next_command(&mut parser, "dht", "node, put, get, feed, sim or plots")?.as_str() {
        "node" => node::run(parser),
        "put" => record::put(parser),
        "get" => record::get(parser),
        "feed" => feed::run(parser),
        "sim" => sim::run(parser),
        "plots" => sim::plots::run(parser),
        other => Err(Failure::Usage(format!("there is no command 'dht {other}'"))),
    }
}

/// The word that says which of a command's own commands it is.
fn next_command(parser: &mut Parser, command: &str, commands: &str) -> Result<String, Failure> {
    match parser.next()? {
        Some(Value(word)) => Ok(word.string()?),
        Some(other) => Err(other.unexpected().into()),
        None => Err(Failure::Usage(format!("'{command}' needs a command: {commands}"))),
    }
}
