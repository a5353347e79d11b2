//! Proxies that interfere with what passes.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use crate::framing::Framing;

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

impl Mischief {
    /// Each of it, to one message in twenty.
    pub const OF_EACH: Self = Self { alter: 50, drop: 50, repeat: 50, reorder: 50 };
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

impl Counts {
    /// Whether messages were altered, dropped, repeated and reordered.
    pub fn is_of_each(&self) -> bool {
        [&self.altered, &self.dropped, &self.repeated, &self.reordered].iter().all(|count| count.load(Relaxed) > 0)
    }
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

/// A proxy for connections, which interferes with what passes. It runs until the process ends.
pub struct TcpProxy {
    /// Where clients connect to.
    pub address: SocketAddr,
    /// What was done on the way to the server, and back.
    pub counts: [Arc<Counts>; 2],
}

impl TcpProxy {
    /// Stands in front of `server`, knows nothing of what passes, turns bits over and cuts connections: a piece of a stream
    /// that would be dropped cuts its connection; nothing is repeated or reordered, which no sane stack would let pass.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    pub fn start(server: SocketAddr, mischief: Mischief, seed: u64) -> Self {
        Self::listen(server, Mischief { repeat: 0, reorder: 0, ..mischief }, seed, pour)
    }

    /// Stands in front of `server`, tells the messages in each direction by a framing of its own, and does to them whatever is
    /// asked for.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    pub fn between_messages<F: Framing + Clone + 'static>(
        server: SocketAddr,
        framing: F,
        mischief: Mischief,
        seed: u64,
    ) -> Self {
        let pass = move |source, target, interference| pass_messages(source, target, interference, framing.clone());
        Self::listen(server, mischief, seed, pass)
    }

    fn listen(
        server: SocketAddr,
        mischief: Mischief,
        seed: u64,
        pass: impl Fn(TcpStream, TcpStream, Interference) + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let counts = [Arc::<Counts>::default(), Arc::<Counts>::default()];
        let kept = counts.clone();
        std::thread::spawn(move || {
            for (number, client) in (0..).zip(listener.incoming().flatten()) {
                let Ok(server) = TcpStream::connect(server) else { continue };
                let pairs = [(client.try_clone(), server.try_clone()), (Ok(server), Ok(client))];
                for (pair, counts) in pairs.into_iter().zip(&kept) {
                    let (Ok(source), Ok(target)) = pair else { continue };
                    let interference = Interference::new(mischief, seed.wrapping_add(number), counts);
                    let pass = pass.clone();
                    std::thread::spawn(move || pass(source, target, interference));
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
    hang_up(&source, &target);
}

fn pass_messages(
    mut source: TcpStream,
    mut target: TcpStream,
    mut interference: Interference,
    mut framing: impl Framing,
) {
    let (mut buffer, mut waiting) = ([0; 4096], Vec::new());
    'open: while let Ok(len @ 1..) = source.read(&mut buffer) {
        waiting.extend_from_slice(&buffer[..len]);
        while let Some(part) = framing.split(&waiting) {
            let whole: Vec<_> = waiting.drain(..part.len).collect();
            let arriving = match part.payload {
                Some(payload) => interference.interfere_within(&whole, payload, |octet| framing.bits(octet)),
                None => vec![whole],
            };
            if target.write_all(&arriving.concat()).is_err() {
                break 'open;
            }
        }
    }
    hang_up(&source, &target);
}

fn hang_up(source: &TcpStream, target: &TcpStream) {
    // Whoever is gone cannot be shut down, which is all right.
    let _ = source.shutdown(Shutdown::Both);
    let _ = target.shutdown(Shutdown::Both);
}

/// Passes packets on between two links for ever, as a proxy would that knows what they are, and interferes with those of each.
pub fn pass_packets<L>(
    mut ends: [L; 2],
    receive: impl Fn(&mut L) -> Option<Vec<u8>>,
    send: impl Fn(&mut L, &[u8]),
    mut ways: [Interference; 2],
) -> ! {
    loop {
        for (from, way) in ways.iter_mut().enumerate() {
            while let Some(packet) = receive(&mut ends[from]) {
                way.interfere(&packet).iter().for_each(|packet| send(&mut ends[1 - from], packet));
            }
        }
    }
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
        self.interfere_within(packet, 0..packet.len(), |_| u8::MAX)
    }

    /// What arrives when `packet` is sent, of which only this `payload` may be altered, and of an octet only these `bits`.
    pub fn interfere_within(&mut self, packet: &[u8], payload: Range<usize>, bits: impl Fn(u8) -> u8) -> Vec<Vec<u8>> {
        self.counts.packets.fetch_add(1, Relaxed);
        self.counts.octets.fetch_add(packet.len() as u64, Relaxed);
        let before = self.late.take();
        let Mischief { alter, drop, repeat, reorder } = self.mischief;
        let mut now = packet.to_vec();
        let mut arriving = Vec::new();
        let is = |chance: u64, from: u64, share: u64| (from..from + share).contains(&chance);
        match self.draw() % 1000 {
            drawn if is(drawn, 0, alter) => {
                let may_turn = |&(octet, bit): &(usize, u32)| bits(packet[octet]) & (1 << bit) != 0;
                let all: Vec<_> =
                    payload.flat_map(|octet| (0..8).map(move |bit| (octet, bit))).filter(may_turn).collect();
                if !all.is_empty() {
                    self.counts.altered.fetch_add(1, Relaxed);
                    let (octet, bit) = all[self.draw() as usize % all.len()];
                    now[octet] ^= 1 << bit;
                }
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
