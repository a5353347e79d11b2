use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::iter;
use std::time::Duration;

use iot_core::{Instant, Timestamp};
use iot_crypto::session::{
    Context, HandshakeError, Identity, Initiator, Peer, Progress, Responder, Session, SessionId, is_first,
};
use iot_crypto::{AgreementSecret, KeyBundle, Signer};
use iot_dht::wire::MAX_PAYLOAD_LEN;
use iot_dht::{LinkId, Path};
use rand_core::CryptoRng;

use crate::{News, Party};

/// How long the other end may leave everything unanswered before it is looked for again.
const SILENCE: Duration = Duration::from_secs(5);

/// Which end of a talk this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that looks for the other, and begins.
    Caller,
    /// The one that waits to be called.
    Called,
}

/// With what one end proves to the other who it is.
pub struct Credentials {
    /// To which the other end agrees.
    pub secret: AgreementSecret,
    /// The bundle of `secret`, which binds it to this end.
    pub bundle: Vec<u8>,
    /// The other end, and nobody else.
    pub peer: KeyBundle,
    /// What the talk is for: a session for something else is none for this.
    pub overlay: &'static [u8],
}

/// A session with one peer, over whichever path a [`Party`] meets it: it is looked for again when it is silent, or
/// when the path is gone. Where nobody answers a call as the peer would, the next way that its contact names is tried first,
/// because a relay that drops or alters what it carries would be met again. Any number of strangers may call meanwhile.
pub struct Talk<S, R> {
    party: Party<S>,
    side: Side,
    credentials: Credentials,
    wall: fn() -> Timestamp,
    started: std::time::Instant,
    rng: R,
    calling: Option<(LinkId, Initiator)>,
    /// Those who called, and have not shown yet that they are the peer.
    callers: BTreeMap<LinkId, Responder>,
    session: Option<(LinkId, Box<Session>)>,
    /// Since when something was sent and nothing came.
    waiting_since: Option<Instant>,
}

/// What an end hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A path to the peer, or to who says that he is it, was found.
    Met(Path),
    /// The peer said this.
    Said(Vec<u8>),
}

impl<S: Signer, R: CryptoRng> Talk<S, R> {
    /// An end that meets the other by `party`.
    pub fn new(party: Party<S>, side: Side, credentials: Credentials, wall: fn() -> Timestamp, rng: R) -> Self {
        let (started, callers) = (std::time::Instant::now(), BTreeMap::new());
        let (calling, session, waiting_since) = (None, None, None);
        Self { party, side, credentials, wall, started, rng, calling, callers, session, waiting_since }
    }

    /// Whether there is a session, in which the other end [hears](Self::send).
    pub fn is_established(&self) -> bool {
        self.session.is_some()
    }

    /// Says something in the session. It may be lost like any datagram.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](ErrorKind::NotConnected) without a session, and [`InvalidInput`](ErrorKind::InvalidInput) for more
    /// octets than a datagram of the hash table holds.
    pub fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        let now = self.now();
        let (link, session) = self.session.as_mut().ok_or(ErrorKind::NotConnected)?;
        let sealed = session.send(octets).map_err(io::Error::other)?;
        if sealed.len() > MAX_PAYLOAD_LEN {
            let words = format!("a packet of {} octets is too long", octets.len());
            return Err(io::Error::new(ErrorKind::InvalidInput, words));
        }
        self.waiting_since.get_or_insert(now);
        self.party.send(*link, sealed);
        Ok(())
    }

    /// Waits for what the other end says, and sees to it that there is a session.
    ///
    /// # Errors
    ///
    /// Why there is none: the peer is not found, or silent, or no path leads to it. The next call begins anew.
    pub fn poll(&mut self, patience: Duration) -> io::Result<Option<Heard>> {
        if self.side == Side::Caller && self.session.is_none() {
            self.party.search(&self.credentials.peer.device());
        }
        let (mut heard, own) = (None, self.session.as_ref().map(|(link, _)| *link));
        match self.party.poll(patience)? {
            Some(News::Met(link, path)) => {
                heard = Some(Heard::Met(path));
                if self.side == Side::Caller && own.is_none() && self.calling.is_none() {
                    self.call(link)?;
                }
            }
            Some(News::Octets(link, octets)) => heard = self.handle_octets(link, &octets)?.map(Heard::Said),
            Some(News::Parted(link)) if own == Some(link) || (own.is_none() && self.is_called_over(link)) => {
                return Err(self.hang_up("no path leads to the other end"));
            }
            Some(News::Parted(link)) => _ = self.callers.remove(&link),
            Some(News::Alone) if own.is_none() => return Err(io::Error::other("no node answers")),
            Some(News::Nowhere) if own.is_none() => return Err(io::Error::other("the other end is not found")),
            _ => {}
        }
        self.flush()?;
        let waits = self.waiting_since.map_or(Duration::ZERO, |since| self.now().saturating_since(since));
        if self.side == Side::Caller && waits > SILENCE {
            return Err(self.hang_up("the other end is silent"));
        }
        Ok(heard)
    }

    fn call(&mut self, link: LinkId) -> io::Result<()> {
        let now = self.now();
        let Credentials { secret, bundle, peer, overlay } = &self.credentials;
        let (identity, context) = (Identity::new(secret, bundle), Context::new(overlay, (self.wall)()));
        let call = Initiator::begin(&identity, Peer::Bundle(peer), &context, now, &mut self.rng);
        self.calling = Some((link, call.map_err(io::Error::other)?));
        self.waiting_since = Some(now);
        Ok(())
    }

    fn handle_octets(&mut self, link: LinkId, octets: &[u8]) -> io::Result<Option<Vec<u8>>> {
        if let Some((of, session)) = &mut self.session
            && *of == link
            && let Ok(said) = session.handle_message(octets)
        {
            self.waiting_since = self.waiting_since.filter(|_| said.is_none());
            return Ok(said);
        }
        let now = self.now();
        let session = match self.calling.take_if(|(of, _)| *of == link) {
            Some((_, call)) => match call.handle_message(now, octets).map_err(io::Error::other)? {
                Progress::Established(session) => session,
                Progress::Waiting { handshake, .. } => {
                    self.calling = Some((link, handshake));
                    return Ok(None);
                }
            },
            None => match self.answer(link, octets) {
                Ok(Progress::Established(session)) => session,
                Ok(Progress::Waiting { handshake, .. }) => {
                    self.callers.insert(link, handshake);
                    return Ok(None);
                }
                // Anybody may say anything, once.
                Err(_) if self.session.as_ref().is_none_or(|(own, _)| *own != link) => {
                    self.party.part(link);
                    return Ok(None);
                }
                Err(_) => return Ok(None),
            },
        };
        self.session = Some((link, session));
        self.waiting_since = None;
        Ok(None)
    }

    /// Answers whoever calls, if it can only be the peer.
    fn answer(&mut self, link: LinkId, octets: &[u8]) -> Result<Progress<Responder>, HandshakeError> {
        match self.callers.remove(&link) {
            Some(caller) if !is_first(octets) || SessionId::of(octets) == Some(caller.id()) => {
                caller.handle_message(octets)
            }
            _ => {
                let now = self.now();
                let Credentials { secret, bundle, peer, overlay } = &self.credentials;
                let (identity, context) = (Identity::new(secret, bundle), Context::new(overlay, (self.wall)()));
                let peer = Peer::Bundle(peer);
                let handshake = Responder::answer(octets, &identity, peer, &context, now, &mut self.rng)?;
                Ok(Progress::Waiting { handshake, refused: None })
            }
        }
    }

    /// Sends what the handshakes have to say.
    fn flush(&mut self) -> io::Result<()> {
        let now = self.now();
        let party = &self.party;
        let send = |link, octets: Vec<u8>| party.send(link, octets);
        if let Some((link, call)) = &mut self.calling {
            call.handle_timeout(now).map_err(io::Error::other)?;
            iter::from_fn(|| call.poll_transmit()).for_each(|octets| send(*link, octets));
        }
        for (link, caller) in &mut self.callers {
            iter::from_fn(|| caller.poll_transmit()).for_each(|octets| send(*link, octets));
        }
        if let Some((link, session)) = &mut self.session {
            session.handle_timeout(now).map_err(io::Error::other)?;
            iter::from_fn(|| session.poll_transmit()).for_each(|octets| send(*link, octets));
        }
        Ok(())
    }

    /// Whether the caller has no other link than this.
    fn is_called_over(&self, link: LinkId) -> bool {
        self.side == Side::Caller && self.calling.as_ref().is_none_or(|(calling, _)| *calling == link)
    }

    fn hang_up(&mut self, words: &str) -> io::Error {
        if let Some((link, _)) = self.calling.take()
            && self.party.reroute(link).is_none()
        {
            self.party.part(link);
        }
        // With whom there was a session may be elsewhere now, and has said so.
        self.session.take().into_iter().for_each(|(link, _)| self.party.part(link));
        self.waiting_since = None;
        io::Error::new(ErrorKind::TimedOut, words)
    }

    fn now(&self) -> Instant {
        Instant::START.saturating_add(self.started.elapsed())
    }
}
