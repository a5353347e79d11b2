use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use iot_core::{DeviceId, Instant, Timestamp};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::established::Parties;
use super::handshake::{fmt_redacted, pass_over};
use super::identity::{Expected, padding, verify_peer};
use super::noise::{Noise, Role, Start};
use super::retry::Retry;
use super::wire::{self, Kind, MAX_HANDSHAKE_LEN, Payload};
use super::{Context, HandshakeError, Identity, Pattern, Peer, Progress, Session, SessionId, Settings};

/// The side that begins a handshake, until the answer is there.
///
/// It drives the handshake: it alone has a timer that sends again.
pub struct Initiator {
    id: SessionId,
    start: Start,
    /// Gone after a message that it refused; made anew from `start` for the next.
    noise: Option<Noise>,
    first_payload: Vec<u8>,
    payload: Vec<u8>,
    own: DeviceId,
    expected: Expected,
    at: Timestamp,
    settings: Settings,
    retry: Retry,
    refused: u32,
}

impl Initiator {
    /// Begins a handshake: IK with a peer of which a bundle is known, otherwise XX. The first message waits in
    /// [`poll_transmit`](Self::poll_transmit).
    ///
    /// # Errors
    ///
    /// [`HandshakeError`], when the peer would refuse the own `identity`.
    pub fn begin(
        identity: &Identity<'_>,
        peer: Peer<'_>,
        context: &Context<'_>,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, HandshakeError> {
        let own = identity.check(context.at)?;
        let mut id = [0; SessionId::LEN];
        rng.fill_bytes(&mut id);
        let id = SessionId::from_bytes(id);
        let mut ephemeral = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *ephemeral);
        let remote = if let Peer::Bundle(bundle) = peer { Some(*bundle.agreement_key()) } else { None };
        let pattern = if remote.is_some() { Pattern::Ik } else { Pattern::Xx };
        let secret = Zeroizing::new(*identity.secret.secret());
        let prologue = wire::prologue(context.overlay, id);
        let start = Start { pattern, role: Role::Initiator, secret, ephemeral, remote, prologue };

        let settings = context.settings;
        let payload = wire::payload(&identity.payload());
        let first_payload = first_payload(identity, pattern, settings.first_len);
        let mut first = wire::begin(Kind::first(pattern), id);
        let mut noise = start.noise();
        noise.write(&first_payload, &mut first)?;
        let len = first.len().max(wire::HEADER_LEN + pattern.last_overhead() + payload.len());
        if len > MAX_HANDSHAKE_LEN {
            return Err(HandshakeError::TooLong { len });
        }
        Ok(Self {
            id,
            start,
            noise: Some(noise),
            first_payload,
            payload,
            own,
            expected: peer.expected(),
            at: context.at,
            settings,
            retry: Retry::new(first, &settings, now),
            refused: 0,
        })
    }

    /// Takes a message. A session begins with the one that answers; what it sends next waits in
    /// [`Session::poll_transmit`].
    ///
    /// # Errors
    ///
    /// [`HandshakeError`], with which the handshake has ended.
    pub fn handle_message(mut self, now: Instant, message: &[u8]) -> Result<Progress<Self>, HandshakeError> {
        match self.read(now, message) {
            Ok(session) => Ok(Progress::Established(Box::new(session))),
            Err(refused) => {
                self.refused = self.refused.saturating_add(1);
                let (count, settings) = (self.refused, self.settings);
                pass_over(self, count, &settings, refused)
            }
        }
    }

    /// Sends the first message again when it is time.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::TimedOut`], with which the handshake has ended.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), HandshakeError> {
        self.retry.handle_timeout(now).map_err(|_| HandshakeError::TimedOut)
    }

    /// A message to send, if there is one.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.retry.poll_transmit()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        Some(self.retry.poll_timeout())
    }

    /// What the messages carry.
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// Which pattern the handshake follows.
    pub const fn pattern(&self) -> Pattern {
        self.start.pattern
    }

    fn read(&mut self, now: Instant, message: &[u8]) -> Result<Session, HandshakeError> {
        let (Kind::Second, body) = wire::parse_own(message, self.id)? else {
            return Err(HandshakeError::Unexpected);
        };
        let mut noise = match self.noise.take() {
            Some(noise) => noise,
            None => self.begin_anew()?,
        };
        let payload = noise.read(body)?;
        let peer = verify_peer(&payload, noise.remote(), self.expected, self.at)?;
        let mut third = wire::begin(Kind::Third, self.id);
        if self.start.pattern == Pattern::Xx {
            noise.write(&self.payload, &mut third)?;
        }
        let parties = Parties { id: self.id, own: self.own, own_key: self.start.own_key(), peer };
        Ok(Session::of_initiator(parties, noise.split()?, self.start.pattern, third, &self.settings, now))
    }

    fn begin_anew(&self) -> Result<Noise, HandshakeError> {
        let mut noise = self.start.noise();
        let mut first = Vec::new();
        noise.write(&self.first_payload, &mut first)?;
        debug_assert_eq!(first, self.retry.message()[wire::HEADER_LEN..]);
        Ok(noise)
    }
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_redacted("Initiator", self.id, f)
    }
}

/// In XX nobody could yet keep the bundle of the initiator from a listener, so there is only padding.
fn first_payload(identity: &Identity<'_>, pattern: Pattern, target: usize) -> Vec<u8> {
    let body = match pattern {
        Pattern::Ik => identity.payload(),
        Pattern::Xx => Payload { bundle: None, succession: None, padding: None },
    };
    let len = wire::HEADER_LEN + pattern.first_overhead() + wire::payload(&body).len();
    let padding = padding(len, target);
    let padding = (!padding.is_empty()).then_some(&padding[..]);
    wire::payload(&Payload { padding, ..body })
}
