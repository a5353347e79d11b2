//! `iot queue stat`, `verify` and `dump`: what a queue holds, without changing it.

use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use iot_queue::{Entry, Gap, GapCause, Inspection, Queue, Stats};
use lexopt::Parser;
use lexopt::prelude::*;

use super::arguments::printed_queue;
use super::directory::{self, refused};
use super::read_only::ReadOnlyStorage;
use super::text::{position, write_message};
use crate::{Failure, output};

/// Runs `queue stat`.
pub fn run_stat(mut parser: Parser) -> Result<(), Failure> {
    let (mut json, mut path) = (false, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("json") => json = true,
            Value(value) if path.is_none() => path = Some(PathBuf::from(value)),
            other => return Err(other.unexpected().into()),
        }
    }
    let path = path.ok_or_else(directory::no_directory)?;
    let (queue, _) = directory::open_read_only(&path)?;
    let figures = figures(&queue);
    let unreadable = queue.stats().unreadable_segments;
    if unreadable > 0 {
        eprintln!(
            "iot: {}: {unreadable} segments say nothing about what was in them; see 'iot queue verify'",
            path.display()
        );
    }
    if json {
        let members: Vec<_> = figures.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        say!("{{{}}}", members.join(", "));
    } else {
        for (name, value) in figures {
            say!("{value:>20} {name}");
        }
    }
    Ok(())
}

/// What there is to say of a queue that rests, by name; `null` where something is not known.
fn figures(queue: &Queue<ReadOnlyStorage>) -> Vec<(&'static str, String)> {
    let Stats { depth, oldest_age, delayed, unread, dead, expired, cursors, cursor_lag, gaps, quarantined, .. } =
        queue.stats();
    let Stats { unreadable_segments, cut, octets, budget, segments_used, segments, .. } = queue.stats();
    // What is recorded, for what was dropped is counted only where it is.
    let dropped = queue.dropped().map_or(0, |record| record.messages);
    let oldest_age = oldest_age.map_or_else(|| "null".into(), |age| format!("{:.6}", age.as_secs_f64()));
    let numbers = [
        ("oldest_offset", queue.oldest().number()),
        ("next_offset", queue.next_offset().number()),
        ("depth", depth),
        ("delayed", delayed),
        ("dead", dead),
        ("unread", unread),
        ("expired", expired),
        ("dropped", dropped),
        ("cursors", cursors.into()),
        ("cursor_lag", cursor_lag),
        ("gaps", gaps),
        ("quarantined", quarantined),
        ("unreadable_segments", unreadable_segments),
        ("cut_octets", cut),
        ("octets", octets),
        ("budget_octets", budget),
        ("segments_used", segments_used.into()),
        ("segments", segments.into()),
    ];
    let mut figures: Vec<_> = numbers.into_iter().map(|(name, value)| (name, value.to_string())).collect();
    figures.push(("oldest_age_seconds", oldest_age));
    figures
}

/// Runs `queue verify`.
pub fn run_verify(mut parser: Parser) -> Result<(), Failure> {
    let path = PathBuf::from(crate::source::only_argument(&mut parser, "the directory")?);
    let storage = directory::read_only(&path)?;
    let inspection = Inspection::of(&storage).map_err(|error| refused(&path, &error))?;
    for record in inspection.damaged() {
        say!("{record}");
    }
    let (queue, _) = directory::open_on(&path, storage, directory::shape_of(&path)?)?;
    let (mut whole, mut damaged, mut unread) = (0_u64, 0_u64, 0_u64);
    let mut name = |gap: Gap| {
        let words = match gap.cause {
            GapCause::Damaged => "is damaged",
            GapCause::Uncertain => "was not durable yet and is torn or damaged",
            _ => return,
        };
        for number in gap.from.number()..gap.until.number() {
            say!("message {number} {words}");
        }
        damaged += gap.until.number() - gap.from.number();
    };
    for (entry, number) in queue.entries_from(queue.oldest()).zip(queue.oldest().number()..) {
        match entry {
            Ok(Entry::Message(_)) => whole += 1,
            Ok(Entry::Gap(gap)) => name(gap),
            Err(error) => {
                say!("message {number} cannot be read: {error}");
                unread += 1;
            }
        }
    }
    // Torn octets at the end are what an append leaves that was killed, and no message.
    let Stats { unreadable_segments, cut, .. } = queue.stats();
    if cut > 0 {
        say!("{cut} octets of a record at the end were never completed");
    }
    let records = inspection.damaged().len();
    if damaged + unread + unreadable_segments > 0 || records > 0 {
        let words = format!("{whole} messages are whole, {damaged} damaged, {unread} cannot be read");
        let words = format!("{words}; of all records, {} are whole, {records} damaged", inspection.intact());
        let segments = format!("{unreadable_segments} segments say nothing about what was in them");
        return Err(Failure::Input(format!("{}: {words}; {segments}", path.display())));
    }
    say!("{whole} messages are whole");
    Ok(())
}

/// Runs `queue dump`.
pub fn run_dump(parser: Parser) -> Result<(), Failure> {
    let (path, form) = printed_queue(parser)?;
    let (queue, _) = directory::open_read_only(&path)?;
    let mut output = BufWriter::new(output::standard());
    for entry in queue.entries_from(queue.oldest()) {
        let written = match entry {
            Ok(Entry::Message(message)) => {
                let columns = [&*message.offset.to_string(), &position(message.position.as_ref())];
                write_message(&mut output, form, &columns, &message.payload)
            }
            // What is missing is named where it does not get in among the messages.
            Ok(Entry::Gap(gap)) => {
                eprintln!("iot: messages {} to {} are missing: {:?}", gap.from, gap.until, gap.cause);
                Ok(())
            }
            Err(error) => {
                eprintln!("iot: {error}");
                Ok(())
            }
        };
        written.map_err(|error| refused(&path, &error))?;
    }
    output.flush().map_err(|error| refused(&path, &error))
}
