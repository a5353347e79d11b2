//! An internet on loopback: hosts that are seen under addresses of their own alone, some of them behind a NAT.
//!
//! Each address at which a host is seen is a socket of this program. Whatever a host sends there is passed on from the address
//! at which the host itself is seen, as its NAT has it, to the socket of whoever is seen there, if the NAT before that one lets it
//! in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use iot_trial::{Counts, Interference, Mischief};

/// What stands before a host, in the words of RFC 4787 §4.1 and §5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nat {
    /// One address for all, open for all: a server.
    None,
    /// One port for all, open for all to whom the host has sent: by address.
    AddressRestricted,
    /// The same, by address and port.
    PortRestricted,
    /// A port for each to whom the host sends, open for that one alone.
    Symmetric,
}

/// A host: its socket, and what its NAT remembers.
struct Host {
    socket: SocketAddr,
    ip: IpAddr,
    nat: Nat,
    /// From which address it is seen by whom; by all, where the key is none.
    mapped: BTreeMap<Option<SocketAddr>, Arc<UdpSocket>>,
    /// To whom it has sent from which address.
    sent: BTreeSet<(SocketAddr, SocketAddr)>,
}

impl Host {
    fn lets_in(&self, at: SocketAddr, from: SocketAddr) -> bool {
        match self.nat {
            Nat::None => true,
            Nat::AddressRestricted => self.sent.iter().any(|(own, to)| *own == at && to.ip() == from.ip()),
            Nat::PortRestricted | Nat::Symmetric => self.sent.contains(&(at, from)),
        }
    }
}

/// All hosts.
pub struct Internet {
    hosts: Mutex<Vec<Host>>,
    /// What befalls datagrams on their way, for each way.
    interference: Mutex<BTreeMap<[SocketAddr; 2], Interference>>,
    mischief: Mischief,
    /// What was done to what went through.
    pub counts: Arc<Counts>,
    /// Datagrams that no NAT let in.
    pub filtered: AtomicU64,
}

impl Internet {
    pub fn start(mischief: Mischief) -> Arc<Self> {
        let (hosts, interference) = (Mutex::default(), Mutex::default());
        Arc::new(Self { hosts, interference, mischief, counts: Arc::default(), filtered: AtomicU64::new(0) })
    }

    /// The host whose socket this is. A server is seen at the address that this gives.
    pub fn add(self: &Arc<Self>, socket: SocketAddr, nat: Nat) -> SocketAddr {
        let mut hosts = self.hosts.lock().expect("nobody panics with the lock");
        let ip = Ipv4Addr::new(127, 7, hosts.len() as u8 + 1, 1).into();
        hosts.push(Host { socket, ip, nat, mapped: BTreeMap::new(), sent: BTreeSet::new() });
        let (own, _) = self.leave(hosts.last_mut().expect("it is there"), socket);
        own
    }

    /// From where a host is seen by `to`.
    fn leave(self: &Arc<Self>, host: &mut Host, to: SocketAddr) -> (SocketAddr, Arc<UdpSocket>) {
        let key = (host.nat == Nat::Symmetric).then_some(to);
        let socket = host.mapped.entry(key).or_insert_with(|| {
            let socket = Arc::new(UdpSocket::bind((host.ip, 0)).expect("there is a free port"));
            let (internet, own) = (self.clone(), socket.clone());
            std::thread::Builder::new().stack_size(64 * 1024).spawn(move || internet.run(&own)).expect("there is room");
            socket
        });
        let own = socket.local_addr().expect("it is bound");
        host.sent.insert((own, to));
        (own, socket.clone())
    }

    /// Passes on what is sent to an address.
    fn run(self: Arc<Self>, at: &UdpSocket) {
        let (mut buffer, to) = ([0; 2048], at.local_addr().expect("it is bound"));
        loop {
            // Whoever is not there any more makes an error of what was sent to it before.
            let Ok((len, socket)) = at.recv_from(&mut buffer) else { continue };
            let Some((seen, target)) = self.route(socket, to) else { continue };
            let mut ways = self.interference.lock().expect("nobody panics with the lock");
            let way = [seen.local_addr().expect("it is bound"), to];
            let seed = way.iter().fold(0, |seed, end| seed * 65_537 + u64::from(end.port()));
            let way = ways.entry(way).or_insert_with(|| Interference::new(self.mischief, seed, &self.counts));
            way.interfere(&buffer[..len]).iter().for_each(|packet| _ = seen.send_to(packet, target));
        }
    }

    /// From where what a host sends `to` an address leaves, and to which socket it goes, if at all.
    fn route(self: &Arc<Self>, socket: SocketAddr, to: SocketAddr) -> Option<(Arc<UdpSocket>, SocketAddr)> {
        let mut hosts = self.hosts.lock().expect("nobody panics with the lock");
        let sender = hosts.iter_mut().find(|host| host.socket == socket)?;
        let (from, seen) = self.leave(sender, to);
        let receiver = hosts.iter().find(|host| host.ip == to.ip())?;
        let is_let_in = receiver.lets_in(to, from);
        self.filtered.fetch_add(u64::from(!is_let_in), Relaxed);
        is_let_in.then_some((seen, receiver.socket))
    }
}
