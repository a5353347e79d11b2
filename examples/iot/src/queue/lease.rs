//! `iot queue reserve` and `ack`.
//!
//! A lease lasts as long as its queue is open, at most, and a queue is open in one process at a time. So either one
//! process holds the leases and is told what became of them (`reserve --hold`), or none outlives its command, and
//! messages are acknowledged by their place.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufWriter, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use iot_queue::{FileStorage, LeaseId, Leased, Offset, Queue, Release, ReserveError};
use lexopt::Parser;
use lexopt::prelude::*;

use super::arguments::Places;
use super::directory::{self, Clock, Memory, refused};
use super::text::{Form, position, write_message};
use crate::number::{seconds, within};
use crate::{Failure, output};

/// For how long messages are leased while they are printed: longer than any command runs.
const LONG: Duration = Duration::from_secs(1 << 32);

struct Reserving {
    path: PathBuf,
    queue: Queue<FileStorage>,
    clock: Clock,
    form: Form,
    max: usize,
}

/// Runs `queue reserve`.
pub fn run_reserve(mut parser: Parser) -> Result<(), Failure> {
    let (mut form, mut memory, mut max, mut hold, mut path) = (Form::Lines, Memory::default(), 1, None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("frames") => form = Form::Frames,
            Long("sources") => memory.sources = within(&mut parser, "--sources", ..)?,
            Long("ids") => memory.ids = within(&mut parser, "--ids", ..)?,
            Long("max") => max = within(&mut parser, "--max", 1..)?,
            Long("hold") => hold = Some(seconds(&mut parser, "--hold")?),
            Value(value) if path.is_none() => path = Some(PathBuf::from(value)),
            other => return Err(other.unexpected().into()),
        }
    }
    let path = path.ok_or_else(directory::no_directory)?;
    let (queue, clock) = directory::open(&path, memory)?;
    let mut reserving = Reserving { path, queue, clock, form, max };
    if let Some(timeout) = hold {
        reserving.hold(timeout)?;
    } else {
        reserving.hand_out(LONG)?;
    }
    // The attempts count.
    reserving.queue.commit().map(drop).map_err(|error| refused(&reserving.path, &error))
}

impl Reserving {
    /// Reserves messages and prints them.
    fn hand_out(&mut self, timeout: Duration) -> Result<Vec<Leased>, Failure> {
        let leased = self.queue.reserve(self.clock.now(), timeout, self.max);
        let leased = leased.map_err(|error| refused(&self.path, &error))?;
        let mut output = BufWriter::new(output::standard());
        let mut print = || {
            for message in &leased {
                let (lease, attempts) = (message.lease.to_string(), message.attempts.to_string());
                let columns = [&*lease, &attempts, &position(message.position.as_ref())];
                write_message(&mut output, self.form, &columns, &message.payload)?;
            }
            output.flush()
        };
        print().map_err(|error| refused(&self.path, &error))?;
        Ok(leased)
    }

    /// Hands messages out, and does what standard input says about them, until it ends.
    fn hold(&mut self, timeout: Duration) -> Result<(), Failure> {
        let name = |message: Leased| (message.lease.to_string(), message.lease);
        let mut held: BTreeMap<String, LeaseId> = self.hand_out(timeout)?.into_iter().map(name).collect();
        for line in io::stdin().lock().lines() {
            let line = line.map_err(|error| Failure::Input(format!("-: {error}")))?;
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            if verb == "more" {
                held.extend(self.hand_out(timeout)?.into_iter().map(name));
                continue;
            }
            let (name, reason) = rest.split_once(' ').unwrap_or((rest, ""));
            let Some(&lease) = held.get(name) else {
                say!("no lease {name}");
                continue;
            };
            let now = self.clock.now();
            let done = match verb {
                "ack" => self.queue.ack(lease).map(|()| "acknowledged"),
                "release" => self.queue.release(lease).map(|()| "released"),
                "nack" => self.queue.nack(now, lease, reason, Release::InPlace).map(|_| "released"),
                "reject" => self.queue.reject(lease, reason).map(|()| "dead"),
                "touch" => self.queue.touch(now, lease, timeout).map(|_| "held"),
                _ => {
                    say!("no verb {verb}");
                    continue;
                }
            };
            // What is said to be done is durable.
            self.queue.commit().map_err(|error| refused(&self.path, &error))?;
            match done {
                Ok(word) => say!("{word} {name}"),
                Err(error) => say!("refused {name}: {error}"),
            }
        }
        Ok(())
    }
}

/// Runs `queue ack`.
pub fn run_ack(parser: Parser) -> Result<(), Failure> {
    let Places { path, memory, offsets } = Places::read(parser)?;
    if offsets.is_empty() {
        return Err(Failure::Usage("the offset is missing".into()));
    }
    let (mut queue, clock) = directory::open(&path, memory)?;
    let mut refusals = Vec::new();
    for offset in offsets {
        if !acknowledge(&mut queue, &clock, offset).map_err(|error| refused(&path, &*error))? {
            refusals.push(offset.to_string());
        }
    }
    queue.commit().map_err(|error| refused(&path, &error))?;
    if refusals.is_empty() {
        return Ok(());
    }
    let words = "could not be acknowledged: it is gone already, delayed, or behind another of its key";
    Err(Failure::Input(format!("{}: {} {words}", path.display(), refusals.join(", "))))
}

/// Acknowledges the message at `offset`, if it waits there or is a dead letter.
fn acknowledge(
    queue: &mut Queue<FileStorage>,
    clock: &Clock,
    offset: Offset,
) -> Result<bool, Box<dyn std::error::Error>> {
    if queue.dead_letters(offset).next().is_some_and(|dead| dead.offset == offset) {
        queue.ack_dead(offset)?;
        return Ok(true);
    }
    match queue.reserve_at(clock.now(), LONG, offset) {
        Ok(None) => Ok(false),
        Ok(Some(leased)) => Ok(queue.ack(leased.lease).map(|()| true)?),
        // Who has read it elsewhere, or gives it up, takes it out so.
        Err(ReserveError::Storage(_)) => Ok(queue.ack_at(offset)?),
        Err(error) => Err(error.into()),
    }
}
