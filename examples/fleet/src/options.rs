//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

/// What a person asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The readings; the shipped day if there is none.
    pub input: Option<PathBuf>,
    /// How many devices replay them.
    pub devices: usize,
    /// How many honest nodes the hash table has.
    pub nodes: usize,
    /// The first of the ports that the nodes take, or whatever ports are free.
    pub port: Option<u16>,
    /// From which every key, delay and attack follows.
    pub seed: u64,
    /// Whether a person watches.
    pub progress: Progress,
}

/// Whether progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A bar a phase.
    Bars,
    /// Nothing but the table and the last line.
    Silent,
}

/// What to do, as the command line says.
pub enum Command {
    /// Print the help.
    Help,
    /// Run the story.
    Run(Options),
    /// Be one of the story's other processes: its role, and the folder that holds what it needs.
    Role { name: String, folder: PathBuf },
}

pub const HELP: &str = "\
fleet: sensors, a gateway, a hash table under attack and a server that was down, on real readings

Usage: cargo run --release --bin fleet -- [OPTIONS]

Devices replay the readings of a day in seconds. They sign and seal them for a server, and hand them to a
gateway, a process of its own with a persistent queue, which is killed on the way. The gateway publishes them
into a distributed hash table of real UDP nodes, some of which are attackers and some of which leave. A server,
a third process, was down for most of the day; it pulls what it missed, verifies it and writes it down. Then all
of it is compared with the input, reading by reading.

Options:
  --input FILE.csv   lines that begin with '#', a header, then rows of an RFC 3339 time and numbers or empty
                     fields; device i replays column i modulo the columns [the day that is shipped]
  --devices N        devices, 1 to 64 [8]
  --nodes N          honest nodes of the hash table, 128 to 1024 [128]
  --port P           the first of the ports on 127.0.0.1 that the first nodes and the gateway take; those who
                     join later take any that are free [any that are free]
  --seed S           what every key, delay and attack follows from [1]
  --no-progress      print only the table and the last line
  --help             this text

The last line is 'fleet: ok ...' and the exit status 0, or 'fleet: FAILED ...' and 1. What cannot be run at all
is said in words, with exit status 2. A page with plots is written to target/fleet/report.html.";

const DEVICES: std::ops::RangeInclusive<usize> = 1..=64;
const NODES: std::ops::RangeInclusive<usize> = 128..=1024;

impl Default for Options {
    fn default() -> Self {
        Self { input: None, devices: 8, nodes: 128, port: None, seed: 1, progress: Progress::Bars }
    }
}

impl Command {
    /// Reads the arguments behind the program's name.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        let mut parser = lexopt::Parser::from_args(arguments);
        let mut options = Options::default();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("help") | Short('h') => return Ok(Self::Help),
                Long("input") => options.input = Some(parser.value()?.into()),
                Long("devices") => options.devices = number(&mut parser, "--devices", DEVICES)?,
                Long("nodes") => options.nodes = number(&mut parser, "--nodes", NODES)?,
                Long("port") => options.port = Some(number(&mut parser, "--port", 1..=u16::MAX)?),
                Long("seed") => options.seed = parser.value()?.parse()?,
                Long("no-progress") => options.progress = Progress::Silent,
                Long("role") => {
                    let name = parser.value()?.string()?;
                    return Ok(Self::Role { name, folder: parser.value()?.into() });
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(Self::Run(options))
    }
}

fn number<T>(parser: &mut lexopt::Parser, name: &str, range: std::ops::RangeInclusive<T>) -> Result<T, lexopt::Error>
where
    T: std::str::FromStr<Err = std::num::ParseIntError> + PartialOrd + std::fmt::Display,
{
    use lexopt::ValueExt as _;
    let value = parser.value()?.parse()?;
    if range.contains(&value) {
        return Ok(value);
    }
    Err(format!("{name} takes a number from {} to {}, not {value}", range.start(), range.end()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        match Command::parse(line.split_whitespace().map(OsString::from)) {
            Ok(Command::Run(options)) => Ok(options),
            Ok(_) => Err("another command".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn without_arguments_the_defaults_hold() {
        assert_eq!(parse(""), Ok(Options::default()));
    }

    #[test]
    fn reads_every_option() {
        let options = parse("--input a.csv --devices 3 --nodes 200 --port 4000 --seed 9 --no-progress").unwrap();
        let (input, port) = (Some(PathBuf::from("a.csv")), Some(4000));
        assert_eq!(options, Options { input, devices: 3, nodes: 200, port, seed: 9, progress: Progress::Silent });
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(parse("--nodes 127").unwrap_err(), "--nodes takes a number from 128 to 1024, not 127");
        assert_eq!(
            parse("--devices none").unwrap_err(),
            "cannot parse argument \"none\": invalid digit found in string"
        );
        assert!(parse("--unknown").unwrap_err().contains("--unknown"));
        assert!(parse("--seed").unwrap_err().contains("missing"));
    }
}
