//! Sealed readings over a one-way radio with short frames: each packet is cut into fragments, with as many more as the
//! loss asks for, and what still does not arrive is accounted for. Datagrams of UDP stand for the frames.

use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use iot_codec::fec::Redundancy;
use iot_codec::fragment::{Peer, Received, Receiver, ReceiverConfig, SendError, Sender, SenderConfig, slot_bytes};
use iot_link::{Application, Dialer, Feedback, Link, Options, Role, address_of, invalid};

const APPLICATION: Application = Application {
    name: "radio",
    about: "Sends sealed readings in frames of 51 octets over a link that loses some and brings nothing back.",
    server: "127.0.0.1:4711",
    hint: "trying again",
    options: &[
        ("loss", "PERCENT      the loss to prepare for, by default 20"),
        ("pause", "MS          how long the sender pauses after each frame, by default 1"),
    ],
    feedback: Feedback::None,
    dialer,
    sink: None,
};

/// Octets of a frame: what `LoRaWAN` carries at its longest range.
const MTU: u16 = 51;

/// Octets of the longest packet.
const MAX_PACKET: usize = 1024;

/// How long a packet is collected; both ends must know it.
const LIFETIME: Duration = Duration::from_secs(5);

/// Of a million packets, so many may be lost although the link loses no more than it is said to.
const FAILURES: u32 = 1000;

fn main() -> ExitCode {
    APPLICATION.main()
}

fn dialer(options: &Options) -> io::Result<Dialer> {
    let (loss, pause) = (options.number("loss", 20_u32)?, Duration::from_millis(options.number("pause", 1)?));
    let redundancy = Redundancy::for_loss(loss.saturating_mul(10_000), FAILURES)
        .map_err(|error| invalid(format!("--loss {loss}: {error}")))?;
    let (server, role) = (options.address("udp")?.to_owned(), options.role);
    Ok(Box::new(move || {
        let address = address_of(&server)?;
        let sending = SenderConfig::default().mtu(MTU).and_then(|config| config.lifetime(LIFETIME));
        let receiving = ReceiverConfig::default().lifetime(LIFETIME).and_then(|config| config.quota(8));
        let socket = if role == Role::Device {
            let socket = UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
            socket.connect(address)?;
            socket
        } else {
            UdpSocket::bind(address)?
        };
        Ok(Box::new(Radio {
            socket,
            // A number that differs from start to start, so that no packet is mixed with one from before the last.
            sender: Sender::new(sending.map_err(io::Error::other)?.redundancy(redundancy), std::process::id() as u16),
            receiver: Box::new(Receiver::new(receiving.map_err(io::Error::other)?)),
            started: Instant::now(),
            pause,
            role,
            is_lost: false,
        }))
    }))
}

/// Packets in fragments.
struct Radio {
    socket: UdpSocket,
    sender: Sender,
    receiver: Box<Receiver<8, { slot_bytes(MAX_PACKET, MTU) }>>,
    started: Instant,
    pause: Duration,
    role: Role,
    /// Whether it was said that nobody listens.
    is_lost: bool,
}

impl Radio {
    fn now(&self) -> iot_core::Instant {
        iot_core::Instant::from_micros(self.started.elapsed().as_micros() as u64)
    }
}

impl Link for Radio {
    fn greeting(&self) -> &'static str {
        if self.role == Role::Device { "sends, and will not hear whether anybody listens" } else { "listens" }
    }

    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        let (mut outgoing, now) = loop {
            let now = self.now();
            match self.sender.send(now, packet) {
                Ok(outgoing) => break (outgoing, now),
                Err(SendError::NoFreeId { retry_at }) => std::thread::sleep(retry_at.saturating_since(now)),
                Err(error) => return Err(invalid(error)),
            }
        };
        let mut buffer = [0; MTU as usize];
        while let Some(frame) = outgoing.next_frame(now, &mut buffer).map_err(io::Error::other)? {
            // A radio does not know whether somebody listens; what stands for it here may.
            let sent = self.socket.send(frame).map_err(|error| error.kind());
            if sent == Err(ErrorKind::ConnectionRefused) && !std::mem::replace(&mut self.is_lost, true) {
                let advice = "`radio receiver FOLDER --server ADDRESS` starts the receiver";
                println!("radio device: nobody has that port, so what is sent is lost: {advice}");
            }
            std::thread::sleep(self.pause);
        }
        Ok(())
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        let end = Instant::now() + patience;
        loop {
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_micros(1));
            self.socket.set_read_timeout(Some(left))?;
            let mut frame = [0; MTU as usize];
            match self.socket.recv(&mut frame) {
                Ok(len) => {
                    let now = self.now();
                    // What is no fragment is noise, and counted by the receiver.
                    let received = self.receiver.handle_frame(now, Peer(0), &frame[..len]);
                    if let Some(packet) = received.ok().and_then(Received::message) {
                        return Ok(Some(packet.to_vec()));
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(None),
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
