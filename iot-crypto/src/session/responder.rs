use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use iot_codec::cbor;
use iot_core::{DeviceId, Instant, Timestamp};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::established::Parties;
use super::handshake::{fmt_redacted, pass_over};
use super::identity::{Expected, verify_peer};
use super::noise::{Noise, Role, Start};
use super::transport::{Incoming, Split};
use super::wire::{self, HEADER_LEN, Kind, MAX_HANDSHAKE_LEN, Payload};
use super::{Context, HandshakeError, Identity, Pattern, Peer, Progress, Session, SessionId, Settings};
use crate::KeyBundle;
#[cfg(iot_fault)]
use crate::fault::{Check, is_off};

/// The side that answers a handshake, until the initiator has confirmed that the answer arrived.
///
/// It has no timer that sends: it answers the first message once each time that this comes, so nobody is sent more
/// because of it than three times what came from there.
pub struct Responder {
    id: SessionId,
    start: Start,
    state: State,
    payload: Vec<u8>,
    own: DeviceId,
    expected: Expected,
    at: Timestamp,
    settings: Settings,
    first: Vec<u8>,
    second: Vec<u8>,
    is_due: bool,
    deadline: Instant,
    refused: u32,
}

enum State {
    /// The initiator is known, and is to show that it has the keys.
    Ik { peer: Box<KeyBundle>, split: Split },
    /// The initiator is to say who it is. The state is gone after a message that it refused.
    Xx(Option<Noise>),
}

impl Responder {
    /// Answers the first message of a handshake. The answer waits in [`poll_transmit`](Self::poll_transmit).
    ///
    /// Costs at most four key agreements, and the verification of two signatures and one for each rotation of either
    /// side; nothing is kept of a message that is refused. Whoever fears that strangers spend its time limits the rate
    /// by address ([`RateLimit`](iot_core::RateLimit)), or has addresses verified first, as the overlay does by
    /// cookies.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`]; nothing is to be sent then.
    pub fn answer(
        first: &[u8],
        identity: &Identity<'_>,
        peer: Peer<'_>,
        context: &Context<'_>,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, HandshakeError> {
        let id = SessionId::of(first).ok_or(HandshakeError::Unexpected)?;
        let (kind, body) = wire::parse_own(first, id)?;
        let pattern = match kind {
            Kind::FirstIk => Pattern::Ik,
            Kind::FirstXx => Pattern::Xx,
            _ => return Err(HandshakeError::Unexpected),
        };
        let payload = wire::payload(&identity.payload());
        check_answer(first.len(), HEADER_LEN + pattern.second_overhead() + payload.len())?;
        let own = identity.check(context.at)?;
        let mut ephemeral = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *ephemeral);
        let secret = Zeroizing::new(*identity.secret.secret());
        let prologue = wire::prologue(context.overlay, id);
        let start = Start { pattern, role: Role::Responder, secret, ephemeral, remote: None, prologue };

        let mut noise = start.noise();
        let said = noise.read(body)?;
        let (expected, at) = (peer.expected(), context.at);
        let initiator = match pattern {
            Pattern::Ik => Some(Box::new(verify_peer(&said, noise.remote(), expected, at)?)),
            Pattern::Xx => {
                cbor::from_slice::<Payload<'_>>(&said)?;
                None
            }
        };
        let mut second = wire::begin(Kind::Second, id);
        noise.write(&payload, &mut second)?;
        let state = match initiator {
            Some(peer) => State::Ik { peer, split: noise.split()? },
            None => State::Xx(Some(noise)),
        };
        let settings = context.settings;
        let deadline = now.saturating_add(settings.patience());
        let first = first.to_vec();
        let (is_due, refused) = (true, 0);
        Ok(Self { id, start, state, payload, own, expected, at, settings, first, second, is_due, deadline, refused })
    }

    /// Takes a message. When the first one comes again, it is answered again.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`], with which the handshake has ended.
    pub fn handle_message(mut self, message: &[u8]) -> Result<Progress<Self>, HandshakeError> {
        if message == self.first {
            self.is_due = self.settings.link == super::Link::Datagrams;
            return Ok(Progress::Waiting { handshake: self, refused: None });
        }
        match self.read(message) {
            Ok((parties, split)) => {
                let session = Session::of_responder(parties, split, message.to_vec());
                Ok(Progress::Established(Box::new(session)))
            }
            Err(refused) => {
                self.refused = self.refused.saturating_add(1);
                let (count, settings) = (self.refused, self.settings);
                pass_over(self, count, &settings, refused)
            }
        }
    }

    /// Gives up when it is time.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::TimedOut`], with which the handshake has ended.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), HandshakeError> {
        if now < self.deadline { Ok(()) } else { Err(HandshakeError::TimedOut) }
    }

    /// A message to send, if there is one.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        core::mem::take(&mut self.is_due).then(|| self.second.clone())
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        Some(self.deadline)
    }

    /// What the messages carry.
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// Which pattern the handshake follows.
    pub const fn pattern(&self) -> Pattern {
        self.start.pattern
    }

    fn read(&mut self, message: &[u8]) -> Result<(Parties, Split), HandshakeError> {
        let (Kind::Third, body) = wire::parse_own(message, self.id)? else {
            return Err(HandshakeError::Unexpected);
        };
        let (peer, split) = match &mut self.state {
            State::Ik { peer, split } => {
                let confirmed = Incoming::new(split.initiator.clone()).open(0, body);
                #[cfg(iot_fault)]
                let confirmed = if is_off(Check::KeyConfirmation) { Ok(Vec::new()) } else { confirmed };
                if confirmed.map_err(|_| HandshakeError::Noise)?.is_empty() {
                    (**peer, split.clone())
                } else {
                    return Err(HandshakeError::Noise);
                }
            }
            State::Xx(noise) => {
                let mut noise = match noise.take() {
                    Some(noise) => noise,
                    None => begin_anew(&self.start, &self.first, &self.payload)?,
                };
                let said = noise.read(body)?;
                let peer = verify_peer(&said, noise.remote(), self.expected, self.at)?;
                (peer, noise.split()?)
            }
        };
        Ok((Parties { id: self.id, own: self.own, own_key: self.start.own_key(), peer }, split))
    }
}

/// Fails unless the answer to a first message fits, and is no more than three times as long.
fn check_answer(len: usize, answer: usize) -> Result<(), HandshakeError> {
    if answer > MAX_HANDSHAKE_LEN {
        return Err(HandshakeError::TooLong { len: answer });
    }
    if answer > 3 * len { Err(HandshakeError::Amplification { len, answer }) } else { Ok(()) }
}

fn begin_anew(start: &Start, first: &[u8], payload: &[u8]) -> Result<Noise, HandshakeError> {
    let mut noise = start.noise();
    noise.read(&first[HEADER_LEN..])?;
    noise.write(payload, &mut Vec::new())?;
    Ok(noise)
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_redacted("Responder", self.id, f)
    }
}
