//! `iot queue dead` and `redrive`.

use std::io::{BufWriter, Write as _};

use iot_queue::{Entry, Offset, Release};
use lexopt::Parser;

use super::arguments::{Places, printed_queue};
use super::directory::{self, refused};
use super::text::write_message;
use crate::{Failure, output};

/// Runs `queue dead`.
pub fn run_dead(parser: Parser) -> Result<(), Failure> {
    let (path, form) = printed_queue(parser)?;
    let (queue, _) = directory::open_read_only(&path)?;
    let mut output = BufWriter::new(output::standard());
    for letter in queue.dead_letters(Offset::START) {
        let entry = queue.read(letter.offset).map_err(|error| refused(&path, &error))?;
        // Of a message that is damaged the reason is still there.
        let payload = if let Some(Entry::Message(stored)) = entry { stored.payload } else { Vec::new() };
        let (offset, attempts) = (letter.offset.to_string(), letter.attempts.to_string());
        // A reason is the words of whoever gave the message up.
        let reason = letter.reason.escape_debug().to_string();
        write_message(&mut output, form, &[&offset, &attempts, &reason], &payload)
            .map_err(|error| refused(&path, &error))?;
    }
    output.flush().map_err(|error| refused(&path, &error))
}

/// Runs `queue redrive`.
pub fn run_redrive(parser: Parser) -> Result<(), Failure> {
    let Places { path, memory, mut offsets } = Places::read(parser)?;
    let (mut queue, clock) = directory::open(&path, memory)?;
    if offsets.is_empty() {
        offsets = queue.dead_letters(Offset::START).map(|letter| letter.offset).collect();
    }
    let mut refusals = Vec::new();
    for &offset in &offsets {
        if let Err(error) = queue.redrive(clock.now(), offset, Release::InPlace) {
            refusals.push(error.to_string());
        }
    }
    // What is said to be done is durable.
    queue.commit().map_err(|error| refused(&path, &error))?;
    say!("{} messages are tried again", offsets.len() - refusals.len());
    if refusals.is_empty() {
        Ok(())
    } else {
        Err(Failure::Input(format!("{}: {}", path.display(), refusals.join("; "))))
    }
}
