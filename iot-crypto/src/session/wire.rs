use alloc::vec::Vec;
use core::fmt;

use iot_codec::cbor;
use iot_codec::record;

use super::HandshakeError;
use super::noise::Pattern;

/// What the first octet of a message says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    FirstIk = 0xe1,
    FirstXx = 0xe3,
    Second = 0xe5,
    Third = 0xe7,
    Done = 0xe9,
    Transport = 0xeb,
}

impl Kind {
    fn of(octet: u8) -> Option<Self> {
        [Self::FirstIk, Self::FirstXx, Self::Second, Self::Third, Self::Done, Self::Transport]
            .into_iter()
            .find(|kind| *kind as u8 == octet)
    }

    pub(super) const fn first(pattern: Pattern) -> Self {
        match pattern {
            Pattern::Ik => Self::FirstIk,
            Pattern::Xx => Self::FirstXx,
        }
    }
}

/// What tells a session's messages from those of others: drawn by the initiator, and in front of each message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; 8]);

impl SessionId {
    /// Octets of an identifier.
    pub const LEN: usize = 8;

    /// Wraps 8 octets.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The identifier that a message carries, if it is a session's by its form. Nothing of it is verified.
    ///
    /// Two initiators may draw the same, by chance or on purpose, so a server looks a session up by the address and
    /// this.
    pub fn of(message: &[u8]) -> Option<Self> {
        parse(message).map(|(_, id, _)| id)
    }

    /// The 8 octets.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({:016x})", u64::from_be_bytes(self.0))
    }
}

/// Whether `message` is the first of a handshake by its form: what a server that has no such session gives to
/// [`Responder::answer`](super::Responder::answer).
pub fn is_first(message: &[u8]) -> bool {
    matches!(parse(message), Some((Kind::FirstIk | Kind::FirstXx, ..)))
}

/// Octets in front of what Noise writes.
pub(super) const HEADER_LEN: usize = 1 + SessionId::LEN;

/// Octets of the longest message of a handshake: what a datagram carries on every path of IPv6, and more than two
/// credentials of the longest kind need.
pub(super) const MAX_HANDSHAKE_LEN: usize = 1232;

pub(super) fn parse(message: &[u8]) -> Option<(Kind, SessionId, &[u8])> {
    let (head, body) = message.split_first_chunk::<HEADER_LEN>()?;
    let (kind, id) = head.split_first()?;
    Some((Kind::of(*kind)?, SessionId(id.try_into().ok()?), body))
}

/// As [`parse`], for a message that belongs to the handshake `id`.
pub(super) fn parse_own(message: &[u8], id: SessionId) -> Result<(Kind, &[u8]), HandshakeError> {
    let len = message.len();
    if len > MAX_HANDSHAKE_LEN {
        return Err(HandshakeError::Length { len });
    }
    let (kind, found, body) = parse(message).ok_or(HandshakeError::Unexpected)?;
    if found == id { Ok((kind, body)) } else { Err(HandshakeError::OtherSession) }
}

pub(super) fn begin(kind: Kind, id: SessionId) -> Vec<u8> {
    let mut message = Vec::with_capacity(MAX_HANDSHAKE_LEN);
    message.push(kind as u8);
    message.extend_from_slice(&id.0);
    message
}

record! {
    pub(super) struct Payload<'b> {
        1 => pub(super) bundle: Option<&'b [u8]>,
        2 => pub(super) succession: Option<&'b [u8]>,
        3 => pub(super) padding: Option<&'b [u8]>,
    }
}

/// The octets of a payload.
pub(super) fn payload(body: &Payload<'_>) -> Vec<u8> {
    let mut octets = alloc::vec![0; cbor::encoded_len(body)];
    let written = cbor::to_slice(body, &mut octets).expect("the buffer has the length of the record");
    debug_assert_eq!(written.len(), cbor::encoded_len(body));
    octets
}

/// What both sides hash before the first message: the protocol and its version, the overlay, and the session's
/// identifier. The pattern's name is hashed by Noise itself.
pub(super) fn prologue(overlay: &[u8], id: SessionId) -> Vec<u8> {
    record! {
        struct Prologue<'b> {
            1 => protocol: &'b str,
            2 => overlay: &'b [u8],
            3 => id: &'b [u8; SessionId::LEN],
        }
    }
    let body = Prologue { protocol: "iot session 1", overlay, id: id.as_bytes() };
    let mut octets = alloc::vec![0; cbor::encoded_len(&body)];
    cbor::to_slice(&body, &mut octets).expect("the buffer has the length of the record");
    octets
}
