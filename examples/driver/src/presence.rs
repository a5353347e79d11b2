use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use iot_core::{DeviceId, Timestamp};
use iot_crypto::SigningKey;
use iot_dht::{Contact, Event, Node, NodeConfig, Peer};
use rand_core::CryptoRng;

use crate::Driver;

/// How long a contact is good for, and how often it is signed anew.
const LIFE: Duration = Duration::from_secs(3600);
const RENEWAL: Duration = Duration::from_secs(1200);

/// How soon it is tried when nobody is known yet, and again when no node took it.
const RETRY: Duration = Duration::from_secs(10);

/// How soon it ends.
const TICK: Duration = Duration::from_millis(200);

/// A node that keeps a signed [`Contact`] in the hash table, by which others find a server at an address that strangers
/// reach. [`Party`](crate::Party) is for those who may be behind a NAT.
pub struct Presence {
    driver: Driver,
    signer: Arc<SigningKey>,
    wall: fn() -> Timestamp,
    peer: Peer<{ DeviceId::LEN }>,
    due: Instant,
}

impl Presence {
    /// Runs a node at `address` for the server of `signer`, in the network of those at `known`. Others reach it at `reached`,
    /// or where it is.
    ///
    /// # Errors
    ///
    /// When the address is not free, or as [`Driver::spawn`].
    pub fn start(
        address: SocketAddr,
        reached: Option<SocketAddr>,
        known: Vec<SocketAddr>,
        signer: SigningKey,
        wall: fn() -> Timestamp,
        rng: &mut impl CryptoRng,
    ) -> io::Result<Self> {
        let at = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
        let (socket, signer) = (UdpSocket::bind(address).map_err(at)?, Arc::new(signer));
        let node = Node::new(NodeConfig::default(), signer.clone(), iot_core::Instant::START, rng);
        let peer = Peer { id: *node.id(), address: reached.unwrap_or(socket.local_addr()?) };
        let driver = Driver::spawn(socket, node, wall)?;
        driver.call(move |node, now, _| node.bootstrap(now, &known));
        Ok(Self { driver, signer, wall, peer, due: Instant::now() + RETRY })
    }

    /// Publishes the contact when that is due, and waits for news: how many nodes have it now.
    pub fn poll(&mut self, patience: Duration) -> Option<usize> {
        if self.due <= Instant::now() {
            let now = (self.wall)();
            let contact = Contact::sign(&*self.signer, now.as_micros(), now, LIFE, &[self.peer]);
            let contact = contact.expect("a key in memory signs one address");
            let begun = self.driver.call(move |node, now, wall| node.put(now, wall, contact).ok()).flatten();
            self.due = Instant::now() + if begun.is_some() { RENEWAL } else { RETRY };
        }
        match self.driver.events().recv_timeout(patience) {
            Ok(Event::Bootstrapped { .. }) => self.due = Instant::now(),
            Ok(Event::PutDone(done)) if done.stored == 0 => self.due = Instant::now() + RETRY,
            Ok(Event::PutDone(done)) => return Some(done.stored),
            _ => {}
        }
        None
    }

    /// Keeps the contact in the table until `stop`, and tells how many nodes have it, and where it says that the server is.
    pub fn keep(mut self, stop: &AtomicBool, mut tell: impl FnMut(usize, SocketAddr)) {
        while !stop.load(Ordering::Relaxed) {
            if let Some(nodes) = self.poll(TICK) {
                tell(nodes, self.peer.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use iot_dht::GetMode;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn others_find_the_contact() {
        let wall = || Timestamp::from_secs(1_767_225_600);
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let (socket, other) = (UdpSocket::bind("127.0.0.1:0").unwrap(), Arc::new(SigningKey::from_seed(&[1; 32])));
        let node = Node::new(NodeConfig::default(), other, iot_core::Instant::START, &mut rng);
        let other = Driver::spawn(socket, node, wall).unwrap();
        let (own, reached) = ("127.0.0.1:0".parse().unwrap(), "192.0.2.1:4000".parse().unwrap());
        let signer = SigningKey::from_seed(&[2; 32]);
        let key = Contact::key(&signer.verifying_key().device_id());
        let mut presence = Presence::start(own, Some(reached), vec![other.address()], signer, wall, &mut rng).unwrap();
        while presence.poll(Duration::from_millis(50)).is_none() {}
        other.call(move |node, now, wall| node.get(now, wall, key, GetMode::Newest).ok());
        let found = other.events().iter().find_map(|event| match event {
            Event::GetDone(done) => done.record,
            _ => None,
        });
        let contact = Contact::read(&found.unwrap(), wall()).unwrap();
        assert_eq!(contact.peers().first().map(|peer| peer.address), Some(reached));
    }
}
