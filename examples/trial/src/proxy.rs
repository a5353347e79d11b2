//! Proxies that interfere with what passes.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// How often a proxy interferes, each in one of a thousand packets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mischief {
    /// A bit is turned over.
    pub alter: u64,
    /// It never arrives.
    pub drop: u64,
    /// It arrives twice, the second time later.
    pub repeat: u64,
    /// It arrives behind the next one.
    pub reorder: u64,
}

/// What a proxy has done so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Packets, or pieces of a stream, that came.
    pub packets: AtomicU64,
    /// Octets in them.
    pub octets: AtomicU64,
    /// Those of them that were altered.
    pub altered: AtomicU64,
    /// Those that were dropped.
    pub dropped: AtomicU64,
    /// Those that were sent twice.
    pub repeated: AtomicU64,
    /// Those that were sent behind the next.
    pub reordered: AtomicU64,
}

/// A port of the loopback interface that nobody has now. It is none of those that the system gives to connections: whoever
/// connects again and again to one of these, where nobody listens, ends up connected with himself, and has the port.
///
/// # Panics
///
/// If there is none.
pub fn free_port() -> u16 {
    static DRAWN: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(97);
    let is_free = |port: &u16| {
        let address = (Ipv4Addr::LOCALHOST, *port);
        TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
    };
    let draw = || 10_000 + (first.wrapping_add(DRAWN.fetch_add(1, Relaxed)) % 20_000) as u16;
    (0..20_000).map(|_| draw()).find(is_free).expect("there is a free port")
}

/// A proxy for datagrams of one client. It runs until the process ends.
pub struct UdpProxy {
    /// Where the client sends to.
    pub address: SocketAddr,
    /// What was done on the way to the server, and back.
    pub counts: [Arc<Counts>; 2],
}

impl UdpProxy {
    /// Stands in front of `server`, with chance that follows from `seed`.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    pub fn start(server: SocketAddr, mischief: Mischief, seed: u64) -> Self {
        let bind = || Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port"));
        let (front, back, client) = (bind(), bind(), Arc::new(Mutex::new(None)));
        let address = front.local_addr().expect("it is bound");
        let counts = [Arc::<Counts>::default(), Arc::<Counts>::default()];
        let (there, here) =
            (Interference::new(mischief, seed, &counts[0]), Interference::new(mischief, !seed, &counts[1]));
        let (source, target, caller) = (front.clone(), back.clone(), client.clone());
        std::thread::spawn(move || {
            let whereto = |from| {
                *caller.lock().expect("nobody panics with the lock") = Some(from);
                Some(server)
            };
            pass(&source, there, whereto, &target);
        });
        std::thread::spawn(move || pass(&back, here, |_| *client.lock().expect("nobody panics with the lock"), &front));
        Self { address, counts }
    }
}

fn pass(
    source: &UdpSocket,
    mut interference: Interference,
    whereto: impl Fn(SocketAddr) -> Option<SocketAddr>,
    target: &UdpSocket,
) {
    let mut buffer = [0; 65_536];
    loop {
        // Somebody who is not there yet makes an error of what was sent to him before.
        let Ok((len, from)) = source.recv_from(&mut buffer) else { continue };
        let Some(to) = whereto(from) else { continue };
        for packet in interference.interfere(&buffer[..len]) {
            let _ = target.send_to(&packet, to);
        }
    }
}

/// A proxy for connections, which turns bits over and cuts connections. It runs until the process ends.
pub struct TcpProxy {
    /// Where clients connect to.
    pub address: SocketAddr,
    /// What was done on the way to the server, and back.
    pub counts: [Arc<Counts>; 2],
}

impl TcpProxy {
    /// Stands in front of `server`. A piece of a stream that would be dropped cuts its connection; nothing is repeated
    /// or reordered, which no sane stack would let pass.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    pub fn start(server: SocketAddr, mischief: Mischief, seed: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let counts = [Arc::<Counts>::default(), Arc::<Counts>::default()];
        let mischief = Mischief { repeat: 0, reorder: 0, ..mischief };
        let kept = counts.clone();
        std::thread::spawn(move || {
            for (number, client) in (0..).zip(listener.incoming().flatten()) {
                let Ok(server) = TcpStream::connect(server) else { continue };
                let pairs = [(client.try_clone(), server.try_clone()), (Ok(server), Ok(client))];
                for (pair, counts) in pairs.into_iter().zip(&kept) {
                    let (Ok(source), Ok(target)) = pair else { continue };
                    let interference = Interference::new(mischief, seed.wrapping_add(number), counts);
                    std::thread::spawn(move || pour(source, target, interference));
                }
            }
        });
        Self { address, counts }
    }
}

fn pour(mut source: TcpStream, mut target: TcpStream, mut interference: Interference) {
    let mut buffer = [0; 4096];
    while let Ok(len) = source.read(&mut buffer) {
        let [piece] = &interference.interfere(&buffer[..len])[..] else { break };
        if len == 0 || target.write_all(piece).is_err() {
            break;
        }
    }
    // Whoever is gone cannot be shut down, which is all right.
    let _ = source.shutdown(Shutdown::Both);
    let _ = target.shutdown(Shutdown::Both);
}

/// What interferes with packets one by one.
pub struct Interference {
    mischief: Mischief,
    chance: u64,
    counts: Arc<Counts>,
    late: Option<Vec<u8>>,
}

impl Interference {
    /// Interference with chance that follows from `seed`, which is counted in `counts`.
    pub fn new(mischief: Mischief, seed: u64, counts: &Arc<Counts>) -> Self {
        Self { mischief, chance: seed, counts: counts.clone(), late: None }
    }

    /// What arrives when `packet` is sent.
    pub fn interfere(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        self.counts.packets.fetch_add(1, Relaxed);
        self.counts.octets.fetch_add(packet.len() as u64, Relaxed);
        let before = self.late.take();
        let Mischief { alter, drop, repeat, reorder } = self.mischief;
        let mut now = packet.to_vec();
        let mut arriving = Vec::new();
        let is = |chance: u64, from: u64, share: u64| (from..from + share).contains(&chance);
        match self.draw() % 1000 {
            drawn if is(drawn, 0, alter) && !now.is_empty() => {
                self.counts.altered.fetch_add(1, Relaxed);
                let place = self.draw() as usize % now.len();
                now[place] ^= 1 << (self.draw() % 8);
                arriving.push(now);
            }
            drawn if is(drawn, alter, drop) => _ = self.counts.dropped.fetch_add(1, Relaxed),
            drawn if is(drawn, alter + drop, repeat) => {
                self.counts.repeated.fetch_add(1, Relaxed);
                self.late = Some(now.clone());
                arriving.push(now);
            }
            drawn if is(drawn, alter + drop + repeat, reorder) => {
                self.counts.reordered.fetch_add(1, Relaxed);
                self.late = Some(now);
            }
            _ => arriving.push(now),
        }
        arriving.extend(before);
        arriving
    }

    /// `SplitMix64` (Steele, Lea, Flood 2014).
    fn draw(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
