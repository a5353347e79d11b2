//! Reads an XML stream of XMPP (RFC 6120 §4), stanza by stanza, over any reader: one that times out, too, after which it
//! goes on where it stopped.
//!
//! It writes nothing, speaks no TLS, knows no stanza by its meaning, and keeps of each what a device needs: names, the type
//! and texts.
//!
//! ```
//! use iot_stanzas::Stanzas;
//!
//! # fn main() -> std::io::Result<()> {
//! let server = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>\
//!               <message type='chat'><body>21.5 C</body></message>";
//! let mut stanzas = Stanzas::new(server.as_bytes());
//! let message = loop {
//!     if let Some(stanza) = stanzas.step()? {
//!         break stanza;
//!     }
//! };
//! assert_eq!((&*message.name, &*message.kind, message.text_of("body")), ("message", "chat", Some("21.5 C")));
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//!
//! A stanza has 64 KiB of text and tags at the most; one that is longer is an error before it is whole. There are no entities,
//! comments, processing instructions or document types in XMPP (RFC 6120 §11.1), and none is accepted.

#![forbid(unsafe_code)]

use std::io::{self, BufReader, ErrorKind, Read};

use rxml::{Event, Namespace, Reader};

/// Octets of the longest stanza.
pub const MAX_LEN: usize = 64 * 1024;

/// What matters of an element that stands directly in a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stanza {
    /// Its name.
    pub name: String,
    /// Its attribute `type`; empty if it has none.
    pub kind: String,
    /// Each element in it, however deep, by its name and its text.
    pub inside: Vec<(String, String)>,
}

impl Stanza {
    /// The text of the first element of this name in it.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.inside.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }
}

/// What was read of a stream, and where the rest comes from.
pub struct Stanzas<R: Read> {
    reader: Reader<BufReader<R>>,
    depth: usize,
    len: usize,
    stanza: Stanza,
}

impl<R: Read> Stanzas<R> {
    /// Reads a stream from its beginning.
    pub fn new(stream: R) -> Self {
        Self { reader: Reader::new(BufReader::new(stream)), depth: 0, len: 0, stanza: Stanza::default() }
    }

    /// Reads another one that comes over the same connection, as after a log-in. What came of this one is forgotten.
    #[must_use]
    pub fn begin_anew(self) -> Self {
        Self::new(self.reader.into_inner().0.into_inner())
    }

    /// Where it comes from.
    pub fn get_ref(&self) -> &R {
        self.reader.inner().get_ref()
    }

    /// Where it comes from, to write there.
    pub fn get_mut(&mut self) -> &mut R {
        self.reader.inner_mut().get_mut()
    }

    /// Reads a tag or a text more. Gives a stanza when it is whole.
    ///
    /// # Errors
    ///
    /// What the reader says, such as that it timed out: what it has given is kept. [`UnexpectedEof`](ErrorKind::UnexpectedEof)
    /// when the stream has ended, [`InvalidData`](ErrorKind::InvalidData) for what is no stream of XMPP, or is cut off.
    pub fn step(&mut self) -> io::Result<Option<Stanza>> {
        let event = self.reader.read()?.ok_or(ErrorKind::UnexpectedEof)?;
        let is_end = matches!(event, Event::EndElement(_));
        self.take(event)?;
        match (is_end, self.depth) {
            (true, 0) => Err(ErrorKind::UnexpectedEof.into()),
            (true, 1) => Ok(Some(std::mem::take(&mut self.stanza))),
            _ => Ok(None),
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

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: &str = "<?xml version='1.0'?><stream:stream from='localhost' xmlns='jabber:client' \
                        xmlns:stream='http://etherx.jabber.org/streams'>";
    const MESSAGE: &str = "<message type='chat' to='a@b'><body>21.5 &lt; &#x43;</body><x><y>deep</y></x></message>";

    /// Gives so many octets at a time, and times out in between.
    struct Drip<'s> {
        rest: &'s [u8],
        at_a_time: usize,
        is_due: bool,
    }

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.is_due = !self.is_due;
            if !self.is_due {
                return Err(ErrorKind::WouldBlock.into());
            }
            let (now, rest) = self.rest.split_at(self.at_a_time.min(self.rest.len()).min(buffer.len()));
            buffer[..now.len()].copy_from_slice(now);
            self.rest = rest;
            Ok(now.len())
        }
    }

    /// Every stanza, and why it ends.
    fn read(stream: &str, at_a_time: usize) -> (Vec<Stanza>, io::Error) {
        let mut stanzas = Stanzas::new(Drip { rest: stream.as_bytes(), at_a_time, is_due: false });
        let mut came = Vec::new();
        loop {
            match stanzas.step() {
                Ok(stanza) => came.extend(stanza),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return (came, error),
            }
        }
    }

    #[test]
    fn gives_each_stanza_however_it_comes_in_pieces() {
        let stream = format!("{OPEN}<presence/>\n{MESSAGE} {MESSAGE}</stream:stream>");
        for at_a_time in [1, 2, 3, 7, 4096] {
            let (came, end) = read(&stream, at_a_time);
            assert_eq!(end.kind(), ErrorKind::UnexpectedEof, "{end}");
            assert_eq!(came.iter().map(|stanza| &*stanza.name).collect::<Vec<_>>(), ["presence", "message", "message"]);
            assert_eq!((&*came[0].kind, &*came[1].kind), ("", "chat"));
            assert_eq!(
                [came[1].text_of("body"), came[1].text_of("y"), came[1].text_of("z")],
                [Some("21.5 < C"), Some("deep"), None]
            );
            assert_eq!(came[1], came[2]);
        }
    }

    #[test]
    fn a_stream_that_is_cut_off_gives_what_was_whole() {
        let stream = format!("{OPEN}{MESSAGE}");
        for len in 0..stream.len() {
            let (came, error) = read(&stream[..len], 64);
            assert!(came.is_empty() && error.kind() == ErrorKind::InvalidData, "{len}: {came:?}, {error:?}");
        }
        assert_eq!(read(&stream, 64).0.len(), 1);
    }

    #[test]
    fn a_stanza_that_is_too_long_is_refused_before_it_is_whole() {
        let body = |len| "x".repeat(len);
        let (came, _) = read(&format!("{OPEN}<message><body>{}</body></message>", body(MAX_LEN - 100)), 4096);
        assert_eq!(came.len(), 1);
        // It has no end, and many small elements are as long as one.
        for endless in [format!("<message><body>{}", body(2 * MAX_LEN)), "<m>".to_owned() + &"<a/>".repeat(MAX_LEN)] {
            let (came, error) = read(&format!("{OPEN}{endless}"), 4096);
            assert!(came.is_empty() && error.to_string().contains("too long"), "{error}");
        }
        // What is long together is not one.
        let many = MESSAGE.repeat(2 * MAX_LEN / MESSAGE.len());
        assert_eq!(read(&format!("{OPEN}{many}"), 4096).0.len(), 2 * MAX_LEN / MESSAGE.len());
    }

    #[test]
    fn what_xmpp_forbids_is_refused() {
        for odd in ["<!-- x -->", "<?x y?>", "<!DOCTYPE x>", "<message>&amp;&nbsp;</message>", "</message>"] {
            let (came, error) = read(&format!("{OPEN}{odd}"), 64);
            assert!(came.is_empty() && error.kind() == ErrorKind::InvalidData, "{odd}: {error:?}");
        }
    }

    #[test]
    fn another_stream_begins_over_the_same_connection() {
        let mut stanzas = Stanzas::new(OPEN.as_bytes());
        assert_eq!(stanzas.step().ok(), Some(None));
        let rest = *stanzas.get_ref();
        *stanzas.get_mut() = rest;
        let mut stanzas = stanzas.begin_anew();
        assert_eq!(stanzas.get_ref(), &rest);
        assert_eq!(stanzas.step().unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
