//! Sealed readings between two ends behind NATs, which find each other in the hash table and talk in a session.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use iot_core::Instant;
use iot_crypto::{KeyBundle, SigningKey};
use iot_dht::{Node, NodeConfig, Path, SubnetLimit, TableConfig};
use iot_driver::{Credentials, Heard, Party, Side, Talk};
use iot_exchange::{Keys, folder};
use iot_link::process::{rng, wall};
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

fn main() -> ExitCode {
    APPLICATION.main()
}

fn dialer(options: &Options) -> io::Result<Dialer> {
    let talk = Rc::new(RefCell::new(start(options)?));
    Ok(Box::new(move || {
        let mut talking = Talking(talk.clone());
        talking.receive(TICK)?;
        if talk.borrow().is_established() { Ok(Box::new(talking)) } else { Err(ErrorKind::WouldBlock.into()) }
    }))
}

fn start(options: &Options) -> io::Result<Talk<SigningKey, ChaCha20Rng>> {
    let (known, role, mut rng) = (address_of(options.address("udp")?)?, options.role, rng()?);
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
    let side = if role == Role::Device { Side::Caller } else { Side::Called };
    Ok(Talk::new(party, side, Credentials { secret, bundle, peer, overlay: OVERLAY }, wall, rng))
}

/// The session, as packets see it.
struct Talking(Rc<RefCell<Talk<SigningKey, ChaCha20Rng>>>);

impl Link for Talking {
    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().send(packet)
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        match self.0.borrow_mut().poll(patience)? {
            Some(Heard::Said(packet)) => return Ok(Some(packet)),
            Some(Heard::Met(Path::Direct(_))) => println!("p2p: meets directly"),
            Some(Heard::Met(_)) => println!("p2p: meets over a relay"),
            None => {}
        }
        Ok(None)
    }
}
