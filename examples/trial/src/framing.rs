//! Where the messages stand in a stream, for a proxy that repeats and exchanges them.

use std::ops::Range;

/// A part of a stream that is passed on as a whole, or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its octets.
    pub len: usize,
    /// What may be altered of it, if it is a message; a part that is none is passed on as it is.
    pub payload: Option<Range<usize>>,
}

/// What knows a protocol well enough to tell the messages in one direction of a connection.
pub trait Framing: Send {
    /// The first part of what has not been passed on yet; `None` while its end has not come.
    fn split(&mut self, stream: &[u8]) -> Option<Part>;

    /// Which bits of an octet of a payload may be turned over, so that the message stays one.
    fn bits(&self, _octet: u8) -> u8 {
        u8::MAX
    }
}

/// `WebSocket` (RFC 6455), behind the request or the answer that opens it. Binary messages of one frame are messages; each
/// frame brings its mask along, so it may come again.
#[derive(Clone, Copy, Debug, Default)]
pub struct WebSocketFraming {
    is_open: bool,
}

impl Framing for WebSocketFraming {
    fn split(&mut self, stream: &[u8]) -> Option<Part> {
        if !self.is_open {
            let len = find(stream, b"\r\n\r\n")? + 4;
            self.is_open = true;
            return Some(Part { len, payload: None });
        }
        let &[first, second, ..] = stream else { return None };
        let (header, len) = match second & 0x7f {
            126 => (4, usize::from(u16::from_be_bytes(*stream.get(2..)?.first_chunk()?))),
            127 => (10, u64::from_be_bytes(*stream.get(2..)?.first_chunk()?) as usize),
            short => (2, usize::from(short)),
        };
        let start: usize = header + if second & 0x80 == 0 { 0 } else { 4 };
        let end = start.checked_add(len)?;
        // FIN and the opcode of binary data.
        (stream.len() >= end).then(|| Part { len: end, payload: (first == 0x82 && len > 0).then_some(start..end) })
    }
}

/// XMPP without TLS (RFC 6120). Stanzas with a body are messages; a letter in it that changes its case leaves base64.
#[derive(Clone, Copy, Debug, Default)]
pub struct XmppFraming;

impl Framing for XmppFraming {
    fn split(&mut self, stream: &[u8]) -> Option<Part> {
        const START: &[u8] = b"<message";
        if stream.starts_with(START) {
            let len = find(stream, b"</message>")? + b"</message>".len();
            let body = find(&stream[..len], b"<body>").map(|start| start + b"<body>".len());
            let payload = body.zip(find(&stream[..len], b"</body>")).map(|(start, end)| start..end);
            return Some(Part { len, payload: payload.filter(|body| body.start < body.end) });
        }
        if START.starts_with(stream) {
            return None;
        }
        let next = stream[1..].iter().position(|octet| *octet == b'<');
        Some(Part { len: next.map_or(stream.len(), |next| next + 1), payload: None })
    }

    fn bits(&self, octet: u8) -> u8 {
        if octet.is_ascii_alphabetic() { 0x20 } else { 0 }
    }
}

/// The protocol of NATS clients. What is published to a subject that begins so is a message, and what a server delivers of it;
/// of its headers nothing is altered.
#[derive(Clone, Debug)]
pub struct NatsFraming {
    /// How the subject begins.
    pub subject: String,
}

impl Framing for NatsFraming {
    fn split(&mut self, stream: &[u8]) -> Option<Part> {
        let line = find(stream, b"\r\n")?;
        let words: Vec<_> = std::str::from_utf8(&stream[..line]).unwrap_or_default().split_ascii_whitespace().collect();
        let number = |word: Option<&&str>| word.and_then(|word| word.parse::<usize>().ok());
        let (headers, len) = match words.as_slice() {
            ["PUB" | "MSG", .., len] => (Some(0), number(Some(len))),
            ["HPUB" | "HMSG", .., headers, len] => (number(Some(headers)), number(Some(len))),
            _ => (None, None),
        };
        let Some((headers, len)) = headers.zip(len) else { return Some(Part { len: line + 2, payload: None }) };
        let (start, end) = (line + 2 + headers, line + 2 + len);
        let is_ours = words.get(1).is_some_and(|subject| subject.starts_with(&self.subject));
        (stream.len() >= end + 2)
            .then(|| Part { len: end + 2, payload: (is_ours && start < end).then_some(start..end) })
    }
}

fn find(octets: &[u8], word: &[u8]) -> Option<usize> {
    octets.windows(word.len()).position(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All parts of a stream, which comes octet by octet.
    fn split(framing: &mut dyn Framing, stream: &[u8]) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let (mut parts, mut waiting) = (Vec::new(), Vec::new());
        for octet in stream {
            waiting.push(*octet);
            while let Some(part) = framing.split(&waiting) {
                let whole: Vec<_> = waiting.drain(..part.len).collect();
                let payload = part.payload.map(|range| whole[range].to_vec());
                parts.push((whole, payload));
            }
        }
        assert!(waiting.is_empty(), "{waiting:?} is left");
        parts
    }

    fn payloads(framing: &mut dyn Framing, stream: &[u8]) -> Vec<Vec<u8>> {
        let parts = split(framing, stream);
        assert_eq!(parts.iter().flat_map(|(whole, _)| whole).copied().collect::<Vec<_>>(), stream);
        parts.into_iter().filter_map(|(_, payload)| payload).collect()
    }

    #[test]
    fn binary_frames_are_messages_of_a_web_socket() {
        let long = [&[0x82, 126, 1, 0][..], &[9; 256]].concat();
        let masked = [0x82, 0x83, 1, 2, 3, 4, 5, 6, 7];
        let stream = [b"GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n", &masked[..], &[0x89, 1, 8], &long].concat();
        assert_eq!(payloads(&mut WebSocketFraming::default(), &stream), [vec![5, 6, 7], vec![9; 256]]);
    }

    #[test]
    fn stanzas_with_a_body_are_messages_of_xmpp() {
        let stream = b"<?xml version='1.0'?><stream:stream to='a'><message to='b'><body>QUJD</body></message> \
                       <presence/><message type='error'><gone/></message><message><body>Rg==</body></message>";
        assert_eq!(payloads(&mut XmppFraming, stream), [b"QUJD".to_vec(), b"Rg==".to_vec()]);
    }

    #[test]
    fn what_is_published_to_a_subject_is_a_message_of_nats() {
        let stream = b"CONNECT {}\r\nPUB readings.a 5\r\nhello\r\nPUB other 2\r\nhi\r\nPING\r\n\
                       HPUB readings.b inbox.1 4 7\r\nh\r\n\rabc\r\nMSG readings.c 1 0\r\n\r\n\
                       HMSG readings.d 1 $JS.ACK 2 6\r\n\r\n\r\nab\r\n";
        let mut framing = NatsFraming { subject: "readings.".into() };
        assert_eq!(payloads(&mut framing, stream), [b"hello".to_vec(), b"abc".to_vec(), b"\r\nab".to_vec()]);
    }
}
