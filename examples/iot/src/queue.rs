//! `iot queue`: a queue in a directory, what is sent from one to another, and the simulator.

mod append;
mod arguments;
mod dead;
mod directory;
mod lease;
mod mirror;
mod read_only;
mod report;
mod sim;
mod text;

use lexopt::Parser;
use lexopt::prelude::*;

use crate::Failure;

/// Runs the subcommands of `queue`.
pub fn run(mut parser: Parser) -> Result<(), Failure> {
    let command = match parser.next()? {
        Some(Value(command)) => command.string()?,
        Some(other) => return Err(other.unexpected().into()),
        None => return Err(Failure::Usage("queue takes a command".into())),
    };
    match command.as_str() {
        "create" => directory::run_create(parser),
        "append" => append::run(parser),
        "reserve" => lease::run_reserve(parser),
        "ack" => lease::run_ack(parser),
        "dead" => dead::run_dead(parser),
        "redrive" => dead::run_redrive(parser),
        "stat" => report::run_stat(parser),
        "verify" => report::run_verify(parser),
        "dump" => report::run_dump(parser),
        "mirror" => mirror::run_mirror(parser),
        "receive" => mirror::run_receive(parser),
        "sim" => sim::run(parser),
        other => Err(Failure::Usage(format!("there is no command 'queue {other}'"))),
    }
}
