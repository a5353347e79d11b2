//! A packet a datagram, as `examples/udp` sends them.

use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::sync::Arc;

use iot_link::Options;
use iot_lobby::Lobby;

/// Opens the door at `address`, and keeps it on a thread.
///
/// # Errors
///
/// When the address is not free.
pub fn open(address: &str, _: &Options, lobby: &Arc<Lobby>) -> io::Result<()> {
    let (socket, lobby) = (Arc::new(UdpSocket::bind(address)?), lobby.clone());
    std::thread::Builder::new().name("udp".into()).spawn(move || keep(&socket, &lobby)).map(drop)
}

fn keep(socket: &Arc<UdpSocket>, lobby: &Lobby) {
    let mut datagram = vec![0; 65_536];
    loop {
        match socket.recv_from(&mut datagram) {
            Ok((len, from)) => {
                let socket = socket.clone();
                let way = Arc::new(move |packet: &[u8]| {
                    // A datagram that cannot leave is lost like any other.
                    let _ = socket.send_to(packet, from);
                });
                // Whoever sends rubbish gets no answer, so nobody can be made to send some to others.
                let _ = lobby.enter(from.ip(), &datagram[..len], way);
            }
            // An earlier datagram found nobody.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::Interrupted) => {}
            Err(error) => {
                lobby.complain(&format!("udp: {error}"));
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
        }
    }
}
