//! Sealed readings between two ends behind NATs, which find each other in the hash table and talk in a session.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::iter;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use iot_core::Instant;
use iot_crypto::session::{
    Context, HandshakeError, Identity, Initiator, Peer, Progress, Responder, Session, SessionId, is_first,
};
use iot_crypto::{AgreementSecret, KeyBundle, SigningKey};
use iot_dht::wire::MAX_PAYLOAD_LEN;
use iot_dht::{LinkId, Node, NodeConfig, Path, SubnetLimit, TableConfig};
use iot_driver::{News, Party};
use iot_exchange::{Keys, folder};
use iot_link::process::{now, rng, wall};
use iot_link::{Application, Dialer, Feedback, Link, Options, Role, address_of, invalid};
use rand_chacha::ChaCha20Rng;

const APPLICATION: Application = Application {
    name: "p2p",
    about: "Sends sealed readings to a receiver that is found in a hash table, both of them behind NATs.",
    server: "127.0.0.1:4000",
    hint: "does a node of the hash table run there (`iot dht node`), and the receiver somewhere?",
    options: &[("listen", "ADDRESS  where the own socket is, by default any port")],
    feedback: Feedback::Acknowledged { within: Duration::from_secs(1) },
    dialer,
    sink: None,
};

/// A session for something else is none for this.
const OVERLAY: &[u8] = b"p2p";
/// How long an end waits for news at once.
const TICK: Duration = Duration::from_millis(50);
/// How long the receiver may leave everything unanswered before it is looked for again.
const SILENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    APPLICATION.main()
}

fn dialer(options: &Options) -> io::Result<Dialer> {
    let talk = Rc::new(RefCell::new(Talk::start(options)?));
    Ok(Box::new(move || {
        talk.borrow_mut().begin()?;
        Ok(Box::new(Talking(talk.clone())))
    }))
}

/// What an end says to the other, and to those who call.
struct Talk {
    party: Party<SigningKey>,
    role: Role,
    secret: AgreementSecret,
    bundle: Vec<u8>,
    peer: KeyBundle,
    rng: ChaCha20Rng,
    calling: Option<(LinkId, Initiator)>,
    /// Those who called, and have not shown yet that they are the device.
    callers: BTreeMap<LinkId, Responder>,
    session: Option<(LinkId, Box<Session>)>,
    /// Since when something was sent and nothing came.
    waiting_since: Option<Instant>,
}

impl Talk {
    fn start(options: &Options) -> io::Result<Self> {
        let (known, role, mut rng) = (address_of(&options.server)?, options.role, rng()?);
        let keys = folder::load_keys(&options.folder.join(role.to_string()), wall()).map_err(io::Error::other)?;
        let Keys { signing, agreement: [secret], peer_bundle: peer, .. } = keys;
        let bundle = KeyBundle::issue(&signing, secret.public(), 1, peer.expires()).map_err(io::Error::other)?;
        let is_local = known.ip().is_loopback();
        let any = SocketAddr::new(if is_local { known.ip() } else { Ipv6Addr::UNSPECIFIED.into() }, 0);
        let listen = options.own("listen").map(str::parse).transpose().map_err(invalid)?;
        let mut config = NodeConfig::default().relays(3).links(8);
        if is_local {
            config = config.table(TableConfig::default().subnets(SubnetLimit::Off));
        }
        // Who is met is proved by the session: the node has a key of its own, each time another.
        let node = Node::new(config, SigningKey::generate(&mut rng), Instant::START, &mut rng);
        let party = Party::start(UdpSocket::bind(listen.unwrap_or(any))?, node, signing, vec![known], wall)?;
        let (calling, callers, session) = (None, BTreeMap::new(), None);
        Ok(Self { party, role, secret, bundle, peer, rng, calling, callers, session, waiting_since: None })
    }

    /// The device calls, the receiver waits for a call: until there is a session.
    fn begin(&mut self) -> io::Result<()> {
        if self.role == Role::Device {
            self.party.search(&self.peer.device());
        }
        self.listen(TICK)?;
        self.session.as_ref().map(drop).ok_or_else(|| ErrorKind::WouldBlock.into())
    }

    /// Waits for news; gives what the other end said.
    fn listen(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        let (mut said, own) = (None, self.session.as_ref().map(|(link, _)| *link));
        match self.party.poll(patience)? {
            Some(News::Met(link, path)) => {
                println!("p2p: meets {}", if let Path::Direct(_) = path { "directly" } else { "over a relay" });
                if self.role == Role::Device && own.is_none() && self.calling.is_none() {
                    self.call(link)?;
                }
            }
            Some(News::Octets(link, octets)) => said = self.handle(link, &octets)?,
            Some(News::Parted(link)) if own == Some(link) || self.role == Role::Device => {
                return Err(self.hang_up("no path leads to the other end"));
            }
            Some(News::Parted(link)) => _ = self.callers.remove(&link),
            Some(News::Alone) if own.is_none() => return Err(io::Error::other("no node answers")),
            Some(News::Nowhere) if own.is_none() => return Err(io::Error::other("the receiver is not found")),
            _ => {}
        }
        self.flush()?;
        let waits = self.waiting_since.map_or(Duration::ZERO, |since| now().saturating_since(since));
        if self.role == Role::Device && waits > SILENCE {
            return Err(self.hang_up("the receiver is silent"));
        }
        Ok(said)
    }

    fn call(&mut self, link: LinkId) -> io::Result<()> {
        let (identity, context) = (Identity::new(&self.secret, &self.bundle), Context::new(OVERLAY, wall()));
        let call = Initiator::begin(&identity, Peer::Bundle(&self.peer), &context, now(), &mut self.rng);
        self.calling = Some((link, call.map_err(io::Error::other)?));
        self.waiting_since = Some(now());
        Ok(())
    }

    fn handle(&mut self, link: LinkId, octets: &[u8]) -> io::Result<Option<Vec<u8>>> {
        if let Some((of, session)) = &mut self.session
            && *of == link
            && let Ok(said) = session.handle_message(octets)
        {
            self.waiting_since = self.waiting_since.filter(|_| said.is_none());
            return Ok(said);
        }
        let session = match self.calling.take_if(|(of, _)| *of == link) {
            Some((_, call)) => match call.handle_message(now(), octets).map_err(io::Error::other)? {
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

    /// Answers whoever calls, if it can only be the device.
    fn answer(&mut self, link: LinkId, octets: &[u8]) -> Result<Progress<Responder>, HandshakeError> {
        match self.callers.remove(&link) {
            Some(caller) if !is_first(octets) || SessionId::of(octets) == Some(caller.id()) => {
                caller.handle_message(octets)
            }
            _ => {
                let (identity, context) = (Identity::new(&self.secret, &self.bundle), Context::new(OVERLAY, wall()));
                let peer = Peer::Bundle(&self.peer);
                let handshake = Responder::answer(octets, &identity, peer, &context, now(), &mut self.rng)?;
                Ok(Progress::Waiting { handshake, refused: None })
            }
        }
    }

    /// Sends what the handshakes have to say.
    fn flush(&mut self) -> io::Result<()> {
        let party = &self.party;
        let send = |link, octets: Vec<u8>| party.send(link, octets);
        if let Some((link, call)) = &mut self.calling {
            call.handle_timeout(now()).map_err(io::Error::other)?;
            iter::from_fn(|| call.poll_transmit()).for_each(|octets| send(*link, octets));
        }
        for (link, caller) in &mut self.callers {
            iter::from_fn(|| caller.poll_transmit()).for_each(|octets| send(*link, octets));
        }
        if let Some((link, session)) = &mut self.session {
            session.handle_timeout(now()).map_err(io::Error::other)?;
            iter::from_fn(|| session.poll_transmit()).for_each(|octets| send(*link, octets));
        }
        Ok(())
    }

    fn hang_up(&mut self, words: &str) -> io::Error {
        let links =
            self.calling.take().map(|(link, _)| link).into_iter().chain(self.session.take().map(|(link, _)| link));
        links.for_each(|link| self.party.part(link));
        self.waiting_since = None;
        io::Error::new(ErrorKind::TimedOut, words)
    }
}

/// The session, as packets see it.
struct Talking(Rc<RefCell<Talk>>);

impl Link for Talking {
    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        let Talk { session, party, waiting_since, .. } = &mut *self.0.borrow_mut();
        let (link, session) = session.as_mut().ok_or(ErrorKind::NotConnected)?;
        let octets = session.send(packet).map_err(io::Error::other)?;
        if octets.len() > MAX_PAYLOAD_LEN {
            let words = format!("a packet of {} octets is too long: use a smaller --batch", packet.len());
            return Err(io::Error::new(ErrorKind::InvalidInput, words));
        }
        waiting_since.get_or_insert_with(now);
        party.send(*link, octets);
        Ok(())
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        self.0.borrow_mut().listen(patience)
    }
}
