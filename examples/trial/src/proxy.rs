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
    /// It arrives twice, with another one in between.
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
        // Whoever is cut off before it has logged in, or logs in by an altered password, may give up for good.
        let pass = |source, target, interference: Interference| pour(source, target, interference.by_chance_alone());
        Self::listen(server, Mischief { repeat: 0, reorder: 0, ..mischief }, seed, pass)
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
    // So small that the length of a stream, and not the haste of its ends, says how many pieces it has at least.
    let mut buffer = [0; 256];
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

/// What interferes with packets one by one.
///
/// What is asked for and has not been done yet befalls the first packets, in an order in which none of them arrives in time and
/// as it was before all of it was done: however few packets an exchange needs, it does not end without. The rest is chance.
pub struct Interference {
    mischief: Mischief,
    chance: u64,
    counts: Arc<Counts>,
    is_chance_alone: bool,
    late: Option<Vec<u8>>,
}

/// What befalls a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Altered,
    Dropped,
    Repeated,
    Reordered,
    Spared,
}

impl Interference {
    /// Interference with chance that follows from `seed`, which is counted in `counts`.
    pub fn new(mischief: Mischief, seed: u64, counts: &Arc<Counts>) -> Self {
        Self { mischief, chance: seed, counts: counts.clone(), is_chance_alone: false, late: None }
    }

    /// Leaves the first packets to chance as well.
    #[must_use]
    pub fn by_chance_alone(self) -> Self {
        Self { is_chance_alone: true, ..self }
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
        let mut now = packet.to_vec();
        let mut arriving = Vec::new();
        match self.fate() {
            Fate::Altered => {
                let may_turn = |&(octet, bit): &(usize, u32)| bits(packet[octet]) & (1 << bit) != 0;
                let all: Vec<_> =
                    payload.flat_map(|octet| (0..8).map(move |bit| (octet, bit))).filter(may_turn).collect();
                if !all.is_empty() {
                    self.counts.altered.fetch_add(1, Relaxed);
                    let (octet, bit) = all[self.draw() as usize % all.len()];
                    now[octet] ^= 1 << bit;
                }
                arriving.push(now);
                arriving.extend(before);
            }
            Fate::Dropped => {
                self.counts.dropped.fetch_add(1, Relaxed);
                arriving.extend(before);
            }
            Fate::Repeated => {
                self.counts.repeated.fetch_add(1, Relaxed);
                arriving.push(now.clone());
                match before {
                    Some(before) => arriving.extend([before, now]),
                    None => self.late = Some(now),
                }
            }
            Fate::Reordered => {
                self.counts.reordered.fetch_add(1, Relaxed);
                arriving.extend(before);
                self.late = Some(now);
            }
            Fate::Spared => {
                arriving.push(now);
                arriving.extend(before);
            }
        }
        arriving
    }

    fn fate(&mut self) -> Fate {
        let Mischief { alter, drop, repeat, reorder } = self.mischief;
        let counts = &*self.counts;
        let first = [
            (Fate::Dropped, drop, &counts.dropped),
            (Fate::Altered, alter, &counts.altered),
            (Fate::Reordered, reorder, &counts.reordered),
            (Fate::Repeated, repeat, &counts.repeated),
        ];
        let is_due = |&(_, share, count): &(Fate, u64, &AtomicU64)| share > 0 && count.load(Relaxed) == 0;
        if let Some((fate, ..)) = first.into_iter().find(is_due).filter(|_| !self.is_chance_alone) {
            return fate;
        }
        let mut drawn = self.draw() % 1000;
        let shares =
            [(Fate::Altered, alter), (Fate::Dropped, drop), (Fate::Repeated, repeat), (Fate::Reordered, reorder)];
        for (fate, share) in shares {
            if drawn < share {
                return fate;
            }
            drawn -= share;
        }
        Fate::Spared
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_arrives_in_time_and_as_it_was_before_each_kind_was_done() {
        let counts = Arc::<Counts>::default();
        let mut interference = Interference::new(Mischief::OF_EACH, 1, &counts);
        let arriving: Vec<_> = (0..4_u8).map(|number| interference.interfere(&[number; 8])).collect();
        let [dropped, altered, held_back, rest] = &arriving[..] else { panic!("{arriving:?}") };
        assert!(dropped.is_empty() && held_back.is_empty(), "{arriving:?}");
        let turned = |packet: &[u8]| packet.iter().map(|octet| (octet ^ 1).count_ones()).sum::<u32>();
        assert_eq!(altered.iter().map(|packet| turned(packet)).collect::<Vec<_>>(), [1]);
        assert_eq!(rest, &[[3; 8], [2; 8], [3; 8]]);
        assert!(counts.is_of_each());
    }

    #[test]
    fn each_kind_comes_as_often_as_it_is_asked_for() {
        let counts = Arc::<Counts>::default();
        let mut interference =
            Interference::new(Mischief { alter: 0, drop: 10, repeat: 100, reorder: 200 }, 1, &counts);
        let arrived = (0..10_000).map(|_| interference.interfere(&[0; 8]).len()).sum::<usize>();
        let of = |count: &AtomicU64| count.load(Relaxed);
        let [altered, dropped, repeated, reordered] =
            [&counts.altered, &counts.dropped, &counts.repeated, &counts.reordered].map(of);
        assert_eq!(altered, 0);
        assert!((50..200).contains(&dropped) && (800..1_200).contains(&repeated), "{counts:?}");
        assert!((1_800..2_200).contains(&reordered), "{counts:?}");
        // The last one may be on its way still.
        let sent = 10_000 + repeated - dropped;
        assert!((sent - 1..=sent).contains(&(arrived as u64)), "{arrived} arrived: {counts:?}");
    }

    #[test]
    fn chance_alone_spares_the_first_packets_most_of_the_time() {
        let counts = Arc::<Counts>::default();
        let mut interference = Interference::new(Mischief::OF_EACH, 1, &counts).by_chance_alone();
        let first: Vec<_> = (0..4_u8).map(|number| interference.interfere(&[number; 8])).collect();
        assert_eq!(first, [0, 1, 2, 3_u8].map(|number| vec![vec![number; 8]]));
    }
}
