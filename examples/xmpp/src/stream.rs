//! An XML stream, stanza by stanza.

use std::io::{self, BufReader, ErrorKind, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Stanzas that wait to be read. The server waits when there are as many.
const MAX_WAITING: usize = 256;

/// Octets of the longest stanza.
const MAX_LEN: usize = 64 * 1024;

/// What matters of an element that stands directly in a stream.
#[derive(Debug, Default)]
pub struct Stanza {
    /// Its name, without a prefix.
    pub name: String,
    /// Its attribute `type`.
    pub kind: String,
    /// The names of what is in it.
    pub children: Vec<String>,
    /// The text of each of these that has one.
    pub texts: Vec<String>,
}

/// A connection whose stanzas a thread of its own reads.
pub struct Stream {
    socket: TcpStream,
    stanzas: Receiver<io::Result<Stanza>>,
}

impl Stream {
    /// Connects.
    pub fn connect(server: &str, patience: Duration) -> io::Result<Self> {
        let socket = iot_link::connect(server, patience)?;
        let (source, (said, stanzas)) = (socket.try_clone()?, sync_channel(MAX_WAITING));
        std::thread::spawn(move || {
            let end = parse(BufReader::new(source), &said);
            // Nobody listens when the connection is not wanted any more.
            let _ = said.send(Err(end.err().unwrap_or_else(|| ErrorKind::UnexpectedEof.into())));
        });
        Ok(Self { socket, stanzas })
    }

    /// Writes.
    pub fn write(&mut self, text: &str) -> io::Result<()> {
        self.socket.write_all(text.as_bytes())
    }

    /// The next stanza, or `None` if none comes for so long.
    pub fn read(&mut self, patience: Duration) -> io::Result<Option<Stanza>> {
        match self.stanzas.recv_timeout(patience) {
            Ok(stanza) => stanza.map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // It ends the thread; whoever has hung up need not be told.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// Reads stanzas until the stream ends.
fn parse(source: BufReader<TcpStream>, said: &SyncSender<io::Result<Stanza>>) -> io::Result<()> {
    let mut reader = Reader::from_reader(source);
    let (mut buffer, mut depth, mut len, mut stanza) = (Vec::new(), 0, 0, Stanza::default());
    loop {
        buffer.clear();
        let event = reader.read_event_into(&mut buffer).map_err(io::Error::other)?;
        len += event.len();
        if depth > 0 && len > MAX_LEN {
            return Err(io::Error::other("the server sends a stanza that is too long"));
        }
        match event {
            // Each log-in begins the stream anew.
            Event::Start(start) if start.name().as_ref() == "stream:stream" => (depth, len) = (0, 0),
            Event::Start(start) => {
                begin(&mut stanza, &start, depth)?;
                depth += 1;
            }
            Event::Empty(start) => {
                begin(&mut stanza, &start, depth)?;
                if depth == 0 && said.send(Ok(std::mem::take(&mut stanza))).is_err() {
                    return Ok(());
                }
            }
            Event::Text(text) if depth > 1 => stanza.texts.push(text.to_string()),
            Event::End(_) if depth == 1 => {
                (depth, len) = (0, 0);
                if said.send(Ok(std::mem::take(&mut stanza))).is_err() {
                    return Ok(());
                }
            }
            // The end of the stream itself.
            Event::End(_) if depth == 0 => return Ok(()),
            Event::End(_) => depth -= 1,
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

fn begin(stanza: &mut Stanza, start: &BytesStart<'_>, depth: usize) -> io::Result<()> {
    let name = start.local_name().as_ref().to_owned();
    if depth > 0 {
        stanza.children.push(name);
        return Ok(());
    }
    let kind = start.try_get_attribute("type").map_err(io::Error::other)?;
    let kind = kind.map(|kind| kind.value.into_owned()).unwrap_or_default();
    *stanza = Stanza { name, kind, ..Stanza::default() };
    Ok(())
}
