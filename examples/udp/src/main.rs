//! Sealed readings over UDP: each packet is a datagram. The network may drop, repeat and reorder them.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use iot_link::{Application, Dialer, Feedback, Link, Options, Role, address_of, invalid};

const APPLICATION: Application = Application {
    name: "udp",
    about: "Sends sealed readings over UDP until the receiver has verified and kept them.",
    server: "127.0.0.1:4711",
    hint: "trying again",
    options: &[],
    feedback: Feedback::Acknowledged { within: Duration::from_secs(1) },
    dialer,
    sink: None,
};

/// Octets of the longest datagram: what IPv6 carries anywhere without fragments.
const MAX_DATAGRAM: usize = 1232;

fn main() -> ExitCode {
    APPLICATION.main()
}

fn dialer(options: &Options) -> io::Result<Dialer> {
    let (server, role) = (options.address("udp")?.to_owned(), options.role);
    let patience = if let Feedback::Acknowledged { within } = options.feedback { within } else { Duration::MAX };
    Ok(Box::new(move || {
        let socket = match role {
            Role::Device => towards(&server)?,
            Role::Receiver => UdpSocket::bind(address_of(&server)?)?,
        };
        let (server, standing) = (server.clone(), Standing::Unknown);
        Ok(Box::new(Datagrams { server, role, socket, peer: None, patience, unanswered: None, standing }))
    }))
}

/// A socket that sends to `server` and hears nobody else. The system tells it, and no other, when nobody has that port.
fn towards(server: &str) -> io::Result<UdpSocket> {
    let address = address_of(server)?;
    let any = SocketAddr::new(if address.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() }, 0);
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    Ok(socket)
}

/// Packets as datagrams.
struct Datagrams {
    server: String,
    role: Role,
    socket: UdpSocket,
    /// Where the receiver's packets go to: wherever the last one came from. Nobody needs to be believed: what is sent there
    /// only the device can read, and what comes from there is verified.
    peer: Option<SocketAddr>,
    /// After which a message is sent again.
    patience: Duration,
    /// When the first and the last of the device's packets left since something came.
    unanswered: Option<(Instant, Instant)>,
    standing: Standing,
}

/// What the device has said of the receiver last.
#[derive(PartialEq)]
enum Standing {
    Unknown,
    Doubted,
    Heard,
}

impl Datagrams {
    /// Says once that nobody seems to be there. What is sent is lost then, like any datagram, and sent again.
    fn doubt(&mut self, why: &str) {
        if self.standing != Standing::Doubted {
            let advice = "is the receiver there? `udp receiver FOLDER --server ADDRESS` starts it; trying again";
            println!("udp device: {}: {why}; {advice}", self.server);
            self.standing = Standing::Doubted;
        }
    }

    /// Goes on where the socket still works: nothing came, or an earlier datagram found nobody.
    fn pass(&mut self, error: io::Error) -> io::Result<()> {
        use ErrorKind::{ConnectionRefused, ConnectionReset, Interrupted, TimedOut, WouldBlock};
        match error.kind() {
            WouldBlock | TimedOut | Interrupted => Ok(()),
            ConnectionReset | ConnectionRefused if self.role == Role::Receiver => Ok(()),
            ConnectionReset | ConnectionRefused => {
                self.doubt("nobody has that port");
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Takes note that a packet leaves. A message that is not acknowledged leaves again and again; one that stands alone is
    /// an acknowledgement, to which there is no answer.
    fn note_sent(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let is_again = |last: Instant| now.duration_since(last) < self.patience.saturating_mul(2);
        let first = self.unanswered.filter(|(_, last)| is_again(*last)).map_or(now, |(first, _)| first);
        self.unanswered = Some((first, now));
        if now.duration_since(first) > self.patience.saturating_mul(3) {
            self.doubt("nobody answers");
            // It may be somewhere else by now, as this machine may.
            (self.socket, self.unanswered) = (towards(&self.server)?, None);
        }
        Ok(())
    }
}

impl Link for Datagrams {
    fn greeting(&self) -> &'static str {
        if self.role == Role::Device { "sends; nobody has answered yet" } else { "listens" }
    }

    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        if packet.len() > MAX_DATAGRAM {
            let len = packet.len();
            return Err(invalid(format!(
                "a packet of {len} octets is longer than {MAX_DATAGRAM}: use a smaller --batch"
            )));
        }
        let sent = match (self.role, self.peer) {
            (Role::Device, _) => self.note_sent().and_then(|()| self.socket.send(packet)),
            (Role::Receiver, Some(peer)) => self.socket.send_to(packet, peer),
            (Role::Receiver, None) => return Ok(()),
        };
        sent.map(drop).or_else(|error| self.pass(error))
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        let mut datagram = vec![0; 65_536];
        // A time-out of zero would mean none to the operating system.
        self.socket.set_read_timeout(Some(patience.max(Duration::from_micros(1))))?;
        let (len, from) = match self.socket.recv_from(&mut datagram) {
            Ok(came) => came,
            Err(error) => return self.pass(error).map(|()| None),
        };
        (self.peer, self.unanswered) = (Some(from), None);
        if self.role == Role::Device && self.standing != Standing::Heard {
            println!("udp device: answers come");
            self.standing = Standing::Heard;
        }
        datagram.truncate(len);
        Ok(Some(datagram))
    }
}
