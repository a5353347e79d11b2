//! `iot dht feed`: publish the lines of a file, and read them.

mod publish;
mod read;

use lexopt::Parser;

use super::next_command;
use crate::Failure;
use crate::envelope::options::Options;

/// Runs the subcommands of `feed`.
pub fn run(mut parser: Parser) -> Result<(), Failure> {
    match next_command(&mut parser, "dht feed", "publish or read")?.as_str() {
        "publish" => publish::run(parser),
        "read" => read::run(parser),
        other => Err(Failure::Usage(format!("there is no command 'dht feed {other}'"))),
    }
}

/// What the owner calls the feed.
fn name(options: &Options) -> Result<&[u8], Failure> {
    let name = options.text("name")?.ok_or_else(|| Failure::Usage("--name is missing".into()))?.as_bytes();
    if name.len() > 40 {
        return Err(Failure::Usage(format!("--name of {} octets is longer than 40", name.len())));
    }
    Ok(name)
}
