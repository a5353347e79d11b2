//! Sealed readings over UDP: each packet is a datagram. The network may drop, repeat and reorder them.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

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
    Ok(Box::new(move || {
        let address = address_of(&server)?;
        Ok(Box::new(match role {
            Role::Device => {
                let any = SocketAddr::new(if address.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() }, 0);
                Datagrams { socket: UdpSocket::bind(any)?, role, peer: Some(address) }
            }
            Role::Receiver => Datagrams { socket: UdpSocket::bind(address)?, role, peer: None },
        }))
    }))
}

/// Packets as datagrams.
struct Datagrams {
    socket: UdpSocket,
    role: Role,
    /// Where packets go to: for the receiver, wherever the last one came from. Nobody needs to be believed: what is
    /// sent there only the device can read, and what comes from there is verified.
    peer: Option<SocketAddr>,
}

impl Link for Datagrams {
    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        let Some(peer) = self.peer else { return Ok(()) };
        if packet.len() > MAX_DATAGRAM {
            let len = packet.len();
            return Err(invalid(format!(
                "a packet of {len} octets is longer than {MAX_DATAGRAM}: use a smaller --batch"
            )));
        }
        match self.socket.send_to(packet, peer) {
            // Nobody is there, or there is no room: lost like any datagram, and sent again.
            Err(error) if is_passing(&error) => Ok(()),
            other => other.map(drop),
        }
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        let mut datagram = vec![0; 65_536];
        // A time-out of zero would mean none to the operating system.
        self.socket.set_read_timeout(Some(patience.max(Duration::from_micros(1))))?;
        match self.socket.recv_from(&mut datagram) {
            Ok((len, from)) if self.role == Role::Receiver || self.peer == Some(from) => {
                self.peer = Some(from);
                datagram.truncate(len);
                Ok(Some(datagram))
            }
            Ok(_) => Ok(None),
            Err(error) if is_passing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether a socket that said this still works: nothing came, or an earlier datagram found nobody.
fn is_passing(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionRefused, ConnectionReset, Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted | ConnectionReset | ConnectionRefused)
}
