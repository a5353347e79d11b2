//! How messages are read and printed.

use std::io::{self, BufRead, Read as _, Write};

use iot_codec::framing::frame_header;
use iot_core::Position;

/// How messages stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A message a line, printed after its offset and more, with what is not printable escaped.
    Lines,
    /// Each message behind its length in four octets, most significant first, and nothing else.
    Frames,
}

/// The next message of `input`, up to `limit` octets and one more. Nothing at its end.
pub fn read_message(input: &mut impl BufRead, form: Form, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut message = Vec::new();
    match form {
        Form::Lines => {
            let taken = input.by_ref().take(limit as u64 + 2).read_until(b'\n', &mut message)?;
            if message.last() == Some(&b'\n') {
                message.pop();
            }
            Ok((taken > 0).then_some(message))
        }
        Form::Frames => {
            let mut header = Vec::new();
            let wanted = frame_header(0).map_or(4, |header| header.len());
            input.by_ref().take(wanted as u64).read_to_end(&mut header)?;
            if header.is_empty() {
                return Ok(None);
            }
            let header = header.try_into().map_err(|_| cut_off())?;
            let len = u32::from_be_bytes(header) as usize;
            if len > limit {
                // Its length is what counts.
                return Ok(Some(vec![0; limit + 1]));
            }
            input.by_ref().take(len as u64).read_to_end(&mut message)?;
            if message.len() < len { Err(cut_off()) } else { Ok(Some(message)) }
        }
    }
}

/// Writes a message as [`read_message`] reads it; as a line behind `columns`.
pub fn write_message(output: &mut impl Write, form: Form, columns: &[&str], payload: &[u8]) -> io::Result<()> {
    match form {
        Form::Lines => {
            for column in columns {
                write!(output, "{column}\t")?;
            }
            writeln!(output, "{}", payload.escape_ascii())
        }
        Form::Frames => {
            let header = frame_header(payload.len()).map_err(io::Error::other)?;
            output.write_all(&header)?;
            output.write_all(payload)
        }
    }
}

/// A position for a column: a dash where there is none.
pub fn position(position: Option<&Position>) -> String {
    position.map_or_else(|| "-".into(), ToString::to_string)
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the last record is cut off")
}
