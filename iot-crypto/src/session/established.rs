use alloc::vec::Vec;
use core::fmt;

use iot_core::{DeviceId, Freshness, Instant, KeyId, SequenceError};

use super::handshake::fmt_redacted;
use super::noise::Role;
use super::retry::Retry;
use super::transport::{Closed, Exporter, Incoming, Outgoing, Split};
use super::wire::{self, Kind};
use super::{HandshakeError, Pattern, SessionId, Settings};
use crate::aead::TAG_LEN;
use crate::stream::{ContextId, Epoch, EpochSecret};
use crate::{Heading, KeyBundle};

/// Two parties that know each other and share keys that nobody else has.
///
/// Its messages carry explicit numbers, so they may be lost and reordered; a repeated one is refused, and so is one
/// that comes more than 960 numbers late. Or it is the root of [stream](crate::stream) epochs, each with a secret of
/// its own.
///
/// The key of a direction changes each 65,536 messages and on [`rekey`](Self::rekey). That does not bring in new
/// randomness: who wants to recover from a theft of the keys begins a new session.
pub struct Session {
    parties: Parties,
    role: Role,
    hash: [u8; 32],
    outgoing: Outgoing,
    incoming: Incoming,
    begun: Exporter,
    accepted: Exporter,
    ending: Ending,
}

/// Who they are.
pub(super) struct Parties {
    pub(super) id: SessionId,
    pub(super) own: DeviceId,
    pub(super) own_key: KeyId,
    pub(super) peer: KeyBundle,
}

/// What is left of the handshake.
enum Ending {
    /// The initiator's last message, until the responder shows that it has it.
    Third(Retry),
    /// The responder's word that it has it, and what asks for that word.
    Done {
        third: Vec<u8>,
        done: Vec<u8>,
        is_due: bool,
    },
    Over,
}

/// Why a session does not take a message, or does not make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The octets are no message of a session.
    #[error("the octets are no message of a session")]
    Form,
    /// The message belongs to another session.
    #[error("the message belongs to another session")]
    OtherSession,
    /// The message was accepted before, or is too old to tell.
    #[error("the number of the message is refused")]
    Number(#[from] SequenceError),
    /// The message is more changes of the key ahead than a receiver makes.
    #[error("the message {number} is too many keys ahead")]
    TooFarAhead {
        /// Its number.
        number: u64,
    },
    /// The message was not written by the peer, or was altered. Says no more.
    #[error("the message is not authentic")]
    NotAuthentic,
    /// The payload is longer than a message takes.
    #[error("the payload has {len} octets, more than {max}", max = Session::MAX_PAYLOAD_LEN)]
    TooLong {
        /// How many it has.
        len: usize,
    },
    /// All numbers are used up.
    #[error("no number is left in the session")]
    Exhausted,
    /// An epoch is asked for in which another device writes than its side of the session is.
    #[error("the epoch's source is {found}")]
    OtherSource {
        /// Who is to write.
        found: DeviceId,
    },
}

impl Session {
    /// Octets of the longest payload.
    pub const MAX_PAYLOAD_LEN: usize = 65_535 - TAG_LEN;

    /// Octets that a message has beyond its payload.
    pub const OVERHEAD: usize = wire::HEADER_LEN + NUMBER_LEN + TAG_LEN;

    pub(super) fn of_initiator(
        parties: Parties,
        split: Split,
        pattern: Pattern,
        mut third: Vec<u8>,
        settings: &Settings,
        now: Instant,
    ) -> Self {
        let mut outgoing = Outgoing::new(split.initiator.clone());
        // The number 0 is the handshake's: of the last message of IK, and in XX of none.
        match pattern {
            Pattern::Ik => outgoing.seal(&[], &mut third),
            Pattern::Xx => outgoing.seal(&[], &mut Vec::new()),
        };
        Self {
            hash: split.hash,
            begun: Exporter::new(&split.initiator, &split.hash),
            accepted: Exporter::new(&split.responder, &split.hash),
            outgoing,
            incoming: Incoming::new(split.responder),
            ending: Ending::Third(Retry::new(third, settings, now)),
            role: Role::Initiator,
            parties,
        }
    }

    pub(super) fn of_responder(parties: Parties, split: Split, third: Vec<u8>) -> Self {
        let mut outgoing = Outgoing::new(split.responder.clone());
        let mut done = wire::begin(Kind::Done, parties.id);
        outgoing.seal(&[], &mut done);
        Self {
            hash: split.hash,
            begun: Exporter::new(&split.responder, &split.hash),
            accepted: Exporter::new(&split.initiator, &split.hash),
            outgoing,
            incoming: Incoming::new(split.initiator),
            ending: Ending::Done { third, done, is_due: true },
            role: Role::Responder,
            parties,
        }
    }

    /// Encrypts a message for the peer, to be sent by the caller. Those of an initiator that overtake the handshake's
    /// last message are lost.
    ///
    /// # Errors
    ///
    /// [`SessionError::TooLong`], [`SessionError::Exhausted`].
    pub fn send(&mut self, payload: &[u8]) -> Result<Vec<u8>, SessionError> {
        if payload.len() > Self::MAX_PAYLOAD_LEN {
            return Err(SessionError::TooLong { len: payload.len() });
        }
        let number = self.outgoing.next().ok_or(SessionError::Exhausted)?;
        let mut message = Vec::with_capacity(Self::OVERHEAD + payload.len());
        message.push(Kind::Transport as u8);
        message.extend_from_slice(self.parties.id.as_bytes());
        message.extend_from_slice(&number.to_be_bytes());
        self.outgoing.seal(payload, &mut message).ok_or(SessionError::Exhausted)?;
        Ok(message)
    }

    /// Changes the key of the messages that this side sends; the peer follows with the next message. What was sent
    /// before cannot be decrypted with what is kept from now on, here at once, and at the peer after one more change.
    ///
    /// Messages that are still on their way are refused once the next one has arrived. A peer that has missed more than
    /// eight changes on end can no longer follow, so at least one message of each key should arrive.
    pub fn rekey(&mut self) {
        self.outgoing.rekey();
    }

    /// Takes a message. `None` if it belonged to the handshake, of which messages may come late or again.
    ///
    /// # Errors
    ///
    /// [`SessionError`]; the session goes on.
    pub fn handle_message(&mut self, message: &[u8]) -> Result<Option<Vec<u8>>, SessionError> {
        let (kind, id, body) = wire::parse(message).ok_or(SessionError::Form)?;
        if id != self.parties.id {
            return Err(SessionError::OtherSession);
        }
        match (kind, self.role) {
            (Kind::Transport, _) => self.open(body).map(Some),
            (Kind::Done, Role::Initiator) => self.handle_done(body),
            (Kind::Third, Role::Responder) => self.handle_third(message),
            // Copies of what this side has answered already. Nothing in them is looked at.
            (Kind::Second, Role::Initiator) | (Kind::FirstIk | Kind::FirstXx, Role::Responder) => Ok(None),
            _ => Err(SessionError::Form),
        }
    }

    /// Sends the handshake's last message again when it is time.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::TimedOut`] when the responder never said that it has it; the session is of no use then.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), HandshakeError> {
        match &mut self.ending {
            Ending::Third(retry) => retry.handle_timeout(now).map_err(|_| HandshakeError::TimedOut),
            Ending::Done { .. } | Ending::Over => Ok(()),
        }
    }

    /// A message of the handshake to send, if there is one.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        match &mut self.ending {
            Ending::Third(retry) => retry.poll_transmit(),
            Ending::Done { done, is_due, .. } => core::mem::take(is_due).then(|| done.clone()),
            Ending::Over => None,
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if let Ending::Third(retry) = &self.ending { Some(retry.poll_timeout()) } else { None }
    }

    /// The epoch of a stream that this side writes. `first` is the heading of its first message; `context` is what the
    /// peer assigned.
    ///
    /// The nth epoch that one side begins is the nth that the other accepts: the two agree on the order, as by a
    /// message of the session. Both are to give the same context and heading, or no message opens.
    ///
    /// # Errors
    ///
    /// [`SessionError::OtherSource`].
    pub fn begin_epoch<'t>(&mut self, context: ContextId, first: &Heading<'t>) -> Result<Epoch<'t>, SessionError> {
        let (source, reader) = (self.parties.own, self.parties.peer.device());
        check_source(first, source)?;
        Ok(epoch(&mut self.begun, &self.hash, self.parties.own_key, context, first, reader))
    }

    /// The epoch of a stream that the peer writes; see [`begin_epoch`](Self::begin_epoch).
    ///
    /// # Errors
    ///
    /// [`SessionError::OtherSource`].
    pub fn accept_epoch<'t>(&mut self, context: ContextId, first: &Heading<'t>) -> Result<Epoch<'t>, SessionError> {
        let (source, reader) = (self.parties.peer.device(), self.parties.own);
        check_source(first, source)?;
        let key = self.parties.peer.agreement_key().key_id();
        Ok(epoch(&mut self.accepted, &self.hash, key, context, first, reader))
    }

    /// What the messages carry.
    pub const fn id(&self) -> SessionId {
        self.parties.id
    }

    /// Who the peer is, as its bundle says, whose agreement key it has shown to hold.
    pub const fn peer(&self) -> &KeyBundle {
        &self.parties.peer
    }

    /// The hash of the handshake, the same on both sides and in no other session. It is no secret.
    pub const fn handshake_hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Whether the peer has shown that the handshake's last message arrived. A responder's session begins with that.
    pub const fn is_confirmed(&self) -> bool {
        !matches!(self.ending, Ending::Third(_))
    }

    fn open(&mut self, body: &[u8]) -> Result<Vec<u8>, SessionError> {
        let (number, ciphertext) = body.split_first_chunk::<NUMBER_LEN>().ok_or(SessionError::Form)?;
        let number = u64::from_be_bytes(*number);
        // Number 0 is the handshake's, whose last words would else be taken for an empty message.
        if number == 0 {
            return Err(SessionError::Form);
        }
        let payload = self.incoming.open(number, ciphertext).map_err(|closed| refuse(closed, number))?;
        if self.role == Role::Initiator {
            self.ending = Ending::Over;
        }
        Ok(payload)
    }

    fn handle_done(&mut self, body: &[u8]) -> Result<Option<Vec<u8>>, SessionError> {
        if !matches!(self.ending, Ending::Third(_)) {
            return Ok(None);
        }
        match self.incoming.open(0, body) {
            Ok(_) => self.ending = Ending::Over,
            Err(closed) => return Err(refuse(closed, 0)),
        }
        Ok(None)
    }

    fn handle_third(&mut self, message: &[u8]) -> Result<Option<Vec<u8>>, SessionError> {
        match &mut self.ending {
            Ending::Done { third, is_due, .. } if third == message => *is_due = true,
            _ => return Err(SessionError::NotAuthentic),
        }
        Ok(None)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_redacted("Session", self.parties.id, f)
    }
}

/// Octets of a message's number.
const NUMBER_LEN: usize = 8;

fn check_source(first: &Heading<'_>, source: DeviceId) -> Result<(), SessionError> {
    let found = first.position.source;
    if found == source { Ok(()) } else { Err(SessionError::OtherSource { found }) }
}

fn epoch<'t>(
    exporter: &mut Exporter,
    hash: &[u8; 32],
    key: KeyId,
    context: ContextId,
    first: &Heading<'t>,
    reader: DeviceId,
) -> Epoch<'t> {
    let secret = exporter.take();
    // Both sides have put an ephemeral key into the handshake.
    let agreed = EpochSecret { secret: &secret, transcript: hash, key, freshness: Freshness::Proven };
    Epoch::from_agreed(context, first, reader, &agreed)
}

fn refuse(closed: Closed, number: u64) -> SessionError {
    match closed {
        Closed::Number(error) => SessionError::Number(error),
        Closed::Ahead => SessionError::TooFarAhead { number },
        Closed::Tag => SessionError::NotAuthentic,
    }
}
