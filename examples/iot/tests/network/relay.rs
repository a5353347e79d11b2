use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Stands between all nodes: each place has an address at the relay, and whoever is connected there is reached, and
/// seen by the others, under that address alone.
pub struct Relay {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    sockets: Vec<UdpSocket>,
    connected: Mutex<Vec<Option<SocketAddr>>>,
    loss_permille: AtomicU64,
    divided: AtomicBool,
    stopped: AtomicBool,
    relayed: AtomicU64,
    lost: AtomicU64,
}

impl Relay {
    pub fn start(places: usize) -> Self {
        let sockets: Vec<_> = (0..places).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        for socket in &sockets {
            socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        }
        let shared = Arc::new(Shared {
            connected: Mutex::new(vec![None; places]),
            sockets,
            loss_permille: AtomicU64::new(0),
            divided: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            relayed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        });
        let thread = |to| {
            let shared = shared.clone();
            std::thread::Builder::new().stack_size(64 * 1024).spawn(move || shared.run(to)).unwrap()
        };
        let threads = (0..places).map(thread).collect();
        Self { shared, threads }
    }

    /// Under which address a place is reached.
    pub fn address(&self, place: usize) -> SocketAddr {
        self.shared.sockets[place].local_addr().unwrap()
    }

    /// Whoever has this socket has that place from now on.
    pub fn connect(&self, place: usize, socket: SocketAddr) {
        self.shared.connected.lock().unwrap()[place] = Some(socket);
    }

    /// Loses so many of a thousand datagrams.
    pub fn lose(&self, permille: u64) {
        self.shared.loss_permille.store(permille, Ordering::Relaxed);
    }

    /// Loses all datagrams between even and odd places.
    pub fn divide(&self) {
        self.shared.divided.store(true, Ordering::Relaxed);
    }

    pub fn unite(&self) {
        self.shared.divided.store(false, Ordering::Relaxed);
    }

    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// Hands on what comes for one place.
    fn run(&self, to: usize) {
        let mut buffer = [0; 2048];
        while !self.stopped.load(Ordering::Relaxed) {
            let Ok((len, socket)) = self.sockets[to].recv_from(&mut buffer) else { continue };
            let (from, receiver) = {
                let connected = self.connected.lock().unwrap();
                (connected.iter().position(|other| *other == Some(socket)), connected[to])
            };
            let (Some(from), Some(receiver)) = (from, receiver) else { continue };
            let number = self.relayed.fetch_add(1, Ordering::Relaxed);
            // The fraction of multiples of the golden ratio is spread evenly (Knuth, TAOCP §6.4).
            let draw = ((number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) * 1000) >> 32;
            let apart = self.divided.load(Ordering::Relaxed) && from % 2 != to % 2;
            if apart || draw < self.loss_permille.load(Ordering::Relaxed) {
                self.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            // Who is not there any more gets nothing.
            let _ = self.sockets[from].send_to(&buffer[..len], receiver);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}
