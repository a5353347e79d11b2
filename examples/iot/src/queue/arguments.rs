//! Command lines that several commands read alike.

use std::path::PathBuf;

use iot_queue::Offset;
use lexopt::Parser;
use lexopt::prelude::*;

use super::directory::{self, Memory};
use super::text::Form;
use crate::Failure;
use crate::number::within;

/// The queue whose messages are printed, and how.
pub fn printed_queue(mut parser: Parser) -> Result<(PathBuf, Form), Failure> {
    let (mut form, mut path) = (Form::Lines, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("frames") => form = Form::Frames,
            Value(value) if path.is_none() => path = Some(PathBuf::from(value)),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok((path.ok_or_else(directory::no_directory)?, form))
}

/// Messages of a queue, by their places.
pub struct Places {
    pub path: PathBuf,
    pub memory: Memory,
    pub offsets: Vec<Offset>,
}

impl Places {
    /// What 'reserve' printed is taken as it is: the offset stands before the colon.
    pub fn read(mut parser: Parser) -> Result<Self, Failure> {
        let (mut memory, mut path, mut offsets) = (Memory::default(), None, Vec::new());
        while let Some(argument) = parser.next()? {
            match argument {
                Long("sources") => memory.sources = within(&mut parser, "--sources", ..)?,
                Long("ids") => memory.ids = within(&mut parser, "--ids", ..)?,
                Value(value) if path.is_none() => path = Some(PathBuf::from(value)),
                Value(value) => {
                    let text = value.string()?;
                    let offset = text.split(':').next().and_then(|number| number.parse().ok()).map(Offset::new);
                    offsets.push(offset.ok_or_else(|| Failure::Usage(format!("{text:?} is no offset")))?);
                }
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(Self { path: path.ok_or_else(directory::no_directory)?, memory, offsets })
    }
}
