//! The process that is killed, and the one that opens what it left: this same program under a first argument of its
//! own, because a store in the measuring process could not be killed, and its memory not be told apart.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::stores::{Fjall, Ours, Redb, Reopen};
use crate::allocation::peak_octets;
use crate::report::Failure;

/// The first argument of such a process.
pub const ARGUMENT: &str = "--as-store";

/// A store that can be filled and opened again, by its name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `iot-queue`.
    Ours,
    /// `redb`.
    Redb,
    /// `fjall`.
    Fjall,
}

impl Kind {
    /// All of them, ours first, then the peer that judges.
    pub const ALL: [Self; 3] = [Self::Ours, Self::Redb, Self::Fjall];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Redb => "redb",
            Self::Fjall => "fjall",
        }
    }

    fn fill_and_wait(self, directory: &Path, count: u64) -> Result<(), Failure> {
        match self {
            Self::Ours => wait(Ours::fill(directory, count)?),
            Self::Redb => wait(Redb::fill(directory, count)?),
            Self::Fjall => wait(Fjall::fill(directory, count)?),
        }
    }

    fn open_and_take(self, directory: &Path) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Ours => Ours::open_and_take(directory),
            Self::Redb => Redb::open_and_take(directory),
            Self::Fjall => Fjall::open_and_take(directory),
        }
    }
}

/// What opening a store again cost.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// From the call that opens until the oldest message is there.
    pub time: Duration,
    /// The most memory that the process ever had resident.
    pub peak_octets: u64,
    /// Octets that it asked the system for while it opened the store.
    pub read_octets: u64,
}

/// Fills a store of `count` messages in another process, and kills that with SIGKILL while the store is open.
pub(super) fn fill_and_kill(program: &Path, kind: Kind, directory: &Path, count: u64) -> Result<(), Failure> {
    let mut child = start(program, &["fill", kind.name()], directory, &[&count.to_string()])?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    child.kill()?;
    child.wait()?;
    if line == FILLED { Ok(()) } else { Err(format!("the store {} was not filled", kind.name()).into()) }
}

/// Opens the store in a process of its own.
pub(super) fn open(program: &Path, kind: Kind, directory: &Path) -> Result<Opening, Failure> {
    let mut child = start(program, &["open", kind.name()], directory, &[])?;
    let mut text = String::new();
    child.stdout.take().ok_or("no output")?.read_to_string(&mut text)?;
    let failed = || format!("the store {} was not opened", kind.name());
    if !child.wait()?.success() {
        return Err(failed().into());
    }
    let [nanos, peak, read] = text.split_whitespace().collect::<Vec<_>>()[..] else { return Err(failed().into()) };
    Ok(Opening { time: Duration::from_nanos(nanos.parse()?), peak_octets: peak.parse()?, read_octets: read.parse()? })
}

/// What the program does when its first argument is [`ARGUMENT`]; `arguments` are those after it.
///
/// # Errors
/// When the arguments are wrong or the store fails.
pub fn main(arguments: &[String]) -> Result<(), Failure> {
    let kind = |name: &str| Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or("no such store");
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["fill", name, directory, count] => kind(name)?.fill_and_wait(Path::new(directory), count.parse()?),
        ["open", name, directory] => {
            let before = read_octets()?;
            let start = Instant::now();
            let message = kind(name)?.open_and_take(Path::new(directory))?;
            let time = start.elapsed();
            let read = read_octets()? - before;
            if message != super::PAYLOADS[0] {
                return Err("the oldest message is another one".into());
            }
            println!("{} {} {read}", time.as_nanos(), peak_octets()?);
            Ok(())
        }
        _ => Err("wrong arguments".into()),
    }
}

const FILLED: &str = "filled\n";

fn start(program: &Path, before: &[&str], directory: &Path, after: &[&str]) -> Result<Child, Failure> {
    let mut command = Command::new(program);
    command.arg(ARGUMENT).args(before).arg(directory).args(after);
    Ok(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)
}

/// Says that the store is filled, and keeps it open until this process is killed, or its parent is gone.
fn wait<S>(store: S) -> Result<(), Failure> {
    print!("{FILLED}");
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(store);
    Ok(())
}

/// `rchar` of `proc_pid_io(5)`: octets of all calls that read, from the cache or not. What is mapped does not count.
fn read_octets() -> Result<u64, Failure> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("rchar:")).ok_or("the kernel does not say rchar")?;
    Ok(line.trim().parse()?)
}
