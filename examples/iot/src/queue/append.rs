//! `iot queue append`: lines or records into a queue.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use iot_queue::{FileStorage, Message, Queue};
use lexopt::Parser;
use lexopt::prelude::*;

use super::directory::{self, Memory, refused};
use super::text::{Form, read_message};
use crate::Failure;
use crate::number::within;

/// Messages that are made durable together while more of them are at hand.
const GROUP: u64 = 1024;

/// A message longer than this is refused before the queue is asked.
const LONGEST: usize = 1 << 30;

/// Runs `queue append`.
pub fn run(mut parser: Parser) -> Result<(), Failure> {
    let (mut form, mut memory, mut names) = (Form::Lines, Memory::default(), Vec::new());
    while let Some(argument) = parser.next()? {
        match argument {
            Long("frames") => form = Form::Frames,
            Long("sources") => memory.sources = within(&mut parser, "--sources", ..)?,
            Long("ids") => memory.ids = within(&mut parser, "--ids", ..)?,
            Value(value) => names.push(value),
            other => return Err(other.unexpected().into()),
        }
    }
    if names.is_empty() {
        return Err(directory::no_directory());
    }
    let path = PathBuf::from(names.remove(0));
    if names.is_empty() {
        names.push("-".into());
    }
    let (queue, _) = directory::open(&path, memory)?;
    let mut appending = Appending { queue, path: &path, form, appended: 0, open: 0 };
    let outcome = names.iter().try_for_each(|name| {
        let fail = |error: io::Error| Failure::Input(format!("{}: {error}", name.display()));
        if name == "-" {
            appending.take(io::stdin().lock(), fail)
        } else {
            appending.take(File::open(name).map_err(fail)?, fail)
        }
    });
    let kept = appending.commit();
    match (outcome, kept) {
        (Ok(()), Ok(())) => {}
        // What was appended before it went wrong counts, and whoever goes on must know how much that is.
        (Err(Failure::Input(words)), Ok(())) => {
            let appended = appending.appended;
            return Err(Failure::Input(format!("{words}; {appended} messages before that are appended and durable")));
        }
        (_, Err(failure)) | (Err(failure), _) => return Err(failure),
    }
    say!("{} messages, up to {}", appending.appended, appending.queue.next_offset());
    appending.queue.close().map_err(|error| refused(&path, &error))?;
    Ok(())
}

struct Appending<'a> {
    queue: Queue<FileStorage>,
    path: &'a Path,
    form: Form,
    appended: u64,
    /// How many of them are not durable yet.
    open: u64,
}

impl Appending<'_> {
    /// Appends all messages of `input`, and makes them durable whenever the next one is yet to come.
    fn take(&mut self, input: impl Read, fail: impl Fn(io::Error) -> Failure) -> Result<(), Failure> {
        let mut input = BufReader::new(input);
        while let Some(message) = read_message(&mut input, self.form, LONGEST).map_err(&fail)? {
            self.queue.append(&Message::new(&message)).map_err(|error| refused(self.path, &error))?;
            self.appended += 1;
            self.open += 1;
            if self.open == GROUP || input.buffer().is_empty() {
                self.commit()?;
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.open = 0;
        self.queue.commit().map(drop).map_err(|error| refused(self.path, &error))
    }
}
