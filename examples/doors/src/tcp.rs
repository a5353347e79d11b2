//! A packet a frame, as `examples/tcp` sends them.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use iot_exchange::frames::{self, Frames, MAX_PACKET};
use iot_link::Options;
use iot_lobby::{Lobby, Refusal, Way};

/// Connections at a time. Who comes when all are taken is sent away, and comes again.
const MAX_CONNECTIONS: usize = 256;

/// How long a connection may be silent, and how long a write may take.
const MAX_SILENCE: Duration = Duration::from_secs(300);
const MAX_STALL: Duration = Duration::from_secs(5);

/// Opens the door at `address`, and keeps it on a thread, and one for each connection.
///
/// # Errors
///
/// When the address is not free.
pub fn open(address: &str, _: &Options, lobby: &Arc<Lobby>) -> io::Result<()> {
    let (listener, lobby, inside) = (TcpListener::bind(address)?, lobby.clone(), Arc::new(()));
    let keep = move || {
        for stream in listener.incoming().flatten() {
            if Arc::strong_count(&inside) > MAX_CONNECTIONS {
                continue;
            }
            let (entered, inside) = (lobby.clone(), inside.clone());
            let serve = move || {
                // A device whose connection ends comes again.
                let _ = serve(stream, &entered);
                drop(inside);
            };
            let thread = std::thread::Builder::new().name("tcp".into()).stack_size(128 << 10).spawn(serve);
            if let Err(error) = thread {
                lobby.complain(&format!("tcp: {error}"));
            }
        }
    };
    std::thread::Builder::new().name("tcp".into()).spawn(keep).map(drop)
}

fn serve(stream: TcpStream, lobby: &Lobby) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(MAX_SILENCE))?;
    stream.set_write_timeout(Some(MAX_STALL))?;
    let address = stream.peer_addr()?.ip();
    let back = Arc::new(Mutex::new(stream.try_clone()?));
    // Ways are remembered for longer than connections, which are to be closed when they end here.
    let open = Arc::downgrade(&back);
    let way: Way = Arc::new(move |packet| {
        if let Some(back) = open.upgrade()
            && let Ok(mut stream) = back.lock()
            && frames::write(&mut *stream, [packet, &[]]).is_err()
        {
            // A part of a frame may have gone: the device is to connect anew.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    });
    let mut frames = Frames::new(stream, MAX_PACKET);
    while let Some(packet) = frames.packet()? {
        match lobby.enter(address, &packet, way.clone()) {
            // Here the sender can be made to wait.
            Err(Refusal::TooMuch { .. }) => std::thread::sleep(Duration::from_millis(100)),
            Err(Refusal::NotKept(error)) => return Err(io::Error::other(error)),
            Err(_) => return Err(io::ErrorKind::InvalidData.into()),
            Ok(()) => {}
        }
    }
    Ok(())
}
