//! An XML stream, stanza by stanza.

use std::io::{self, BufReader, ErrorKind, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rxml::{Event, Namespace, Reader};

/// Octets of the longest stanza.
const MAX_LEN: usize = 64 * 1024;

/// What matters of an element that stands directly in a stream.
#[derive(Debug, Default)]
pub struct Stanza {
    /// Its name.
    pub name: String,
    /// Its attribute `type`.
    pub kind: String,
    /// Each element in it, however deep, by its name and its text.
    pub inside: Vec<(String, String)>,
}

/// A connection, and what was read of the stream that comes over it.
pub struct Stream {
    reader: Reader<BufReader<TcpStream>>,
    depth: usize,
    len: usize,
    stanza: Stanza,
}

impl Stream {
    /// Reads a stream from its beginning.
    pub fn new(socket: TcpStream) -> Self {
        Self { reader: Reader::new(BufReader::new(socket)), depth: 0, len: 0, stanza: Stanza::default() }
    }

    /// Reads another one over the same connection.
    pub fn begin_anew(self) -> Self {
        Self::new(self.reader.into_inner().0.into_inner())
    }

    /// Writes.
    pub fn write(&mut self, text: &str) -> io::Result<()> {
        self.reader.inner_mut().get_mut().write_all(text.as_bytes())
    }

    /// The next stanza, or `None` if none comes for so long.
    pub fn read(&mut self, patience: Duration) -> io::Result<Option<Stanza>> {
        let end = Instant::now() + patience;
        loop {
            // A time-out of zero would mean none to the operating system.
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_micros(1));
            self.reader.inner().get_ref().set_read_timeout(Some(left))?;
            let event = match self.reader.read() {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(None),
                event => event?.ok_or(ErrorKind::UnexpectedEof)?,
            };
            let is_end = matches!(event, Event::EndElement(_));
            self.take(event)?;
            match (is_end, self.depth) {
                (true, 0) => return Err(ErrorKind::UnexpectedEof.into()),
                (true, 1) => return Ok(Some(std::mem::take(&mut self.stanza))),
                _ => {}
            }
        }
    }

    fn take(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::StartElement(metrics, (_, name), attributes) => {
                self.len = if self.depth < 2 { metrics.len() } else { self.len + metrics.len() };
                if self.depth == 1 {
                    let kind = attributes.get(&Namespace::NONE, "type").cloned().unwrap_or_default();
                    self.stanza = Stanza { name: name.to_string(), kind, inside: Vec::new() };
                } else if self.depth > 1 {
                    self.stanza.inside.push((name.to_string(), String::new()));
                }
                self.depth += 1;
            }
            Event::Text(metrics, text) if self.depth > 1 => {
                self.len += metrics.len();
                self.stanza.inside.last_mut().into_iter().for_each(|(_, inside)| inside.push_str(&text));
            }
            Event::EndElement(_) => self.depth -= 1,
            _ => {}
        }
        if self.len > MAX_LEN { Err(io::Error::other("the server sends a stanza that is too long")) } else { Ok(()) }
    }
}
