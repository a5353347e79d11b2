//! Packets in confirmable posts to `/packets/DEVICE`, as `examples/coap` sends them. What is meant for a device it
//! observes at `/commands/DEVICE`.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use iot_coap::{Arrived, ResponseType, Server};
use iot_core::DeviceId;
use iot_link::Options;
use iot_lobby::{Lobby, Refusal};

/// Packets that wait for the door's thread. Of more, the newest are dropped, and sent again in time.
const MAX_WAITING: usize = 1024;

/// How long it listens before it looks whether something is to go.
const TICK: Duration = Duration::from_millis(10);

/// A packet for whoever observes a name.
type Going = (String, Vec<u8>);

/// Opens the door at `address`, and keeps it on a thread.
///
/// # Errors
///
/// When the address is not free.
pub fn open(address: &str, _: &Options, lobby: &Arc<Lobby>) -> io::Result<()> {
    let mut server = Server::bind(address, |name| name.parse::<DeviceId>().is_ok())?;
    let lobby = lobby.clone();
    let (going, to_go) = sync_channel(MAX_WAITING);
    let keep = move || {
        loop {
            if let Err(error) = serve(&mut server, &lobby, &going, &to_go) {
                lobby.complain(&format!("coap: {error}"));
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    };
    std::thread::Builder::new().name("coap".into()).spawn(keep).map(drop)
}

fn serve(server: &mut Server, lobby: &Lobby, going: &SyncSender<Going>, to_go: &Receiver<Going>) -> io::Result<()> {
    for (name, packet) in to_go.try_iter() {
        server.put(&name, &packet);
    }
    server.serve(TICK, &mut |Arrived { from, name, packet }| {
        let going = going.clone();
        let way = Arc::new(move |packet: &[u8]| {
            // The receiver sends it again.
            let _ = going.try_send((name.clone(), packet.to_vec()));
        });
        match lobby.enter(from.ip(), &packet, way) {
            Ok(()) => ResponseType::Changed,
            Err(Refusal::TooMuch { .. }) => ResponseType::TooManyRequests,
            Err(Refusal::NotKept(_)) => ResponseType::ServiceUnavailable,
            Err(_) => ResponseType::BadRequest,
        }
    })
}
