//! A packet a frame, as `examples/tcp` sends them.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use iot_exchange::frames::{self, Frames, MAX_PACKET};

use crate::store::Way;
use crate::{Refusal, Store};

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
pub fn open(address: &str, store: Arc<Store>) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    let inside = Arc::new(());
    let keep = move || {
        for stream in listener.incoming().flatten() {
            if Arc::strong_count(&inside) > MAX_CONNECTIONS {
                continue;
            }
            let (store, inside) = (store.clone(), inside.clone());
            let serve = move || {
                // A device whose connection ends comes again.
                let _ = serve(stream, &store);
                drop(inside);
            };
            let thread = std::thread::Builder::new().name("tcp".into()).stack_size(128 << 10).spawn(serve);
            if let Err(error) = thread {
                eprintln!("gateway: tcp: {error}");
            }
        }
    };
    std::thread::Builder::new().name("tcp".into()).spawn(keep).map(drop)
}

fn serve(stream: TcpStream, store: &Store) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(MAX_SILENCE))?;
    stream.set_write_timeout(Some(MAX_STALL))?;
    let address = stream.peer_addr()?.ip();
    let back = Mutex::new(stream.try_clone()?);
    let way: Way = Arc::new(move |packet| {
        if let Ok(mut stream) = back.lock()
            && frames::write(&mut *stream, [packet, &[]]).is_err()
        {
            // A part of a frame may have gone: the device is to connect anew.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    });
    let mut frames = Frames::new(stream, MAX_PACKET);
    while let Some(packet) = frames.packet()? {
        match store.take(address, &packet, way.clone()) {
            // Here the sender can be made to wait.
            Err(Refusal::TooMuch { .. }) => std::thread::sleep(Duration::from_millis(100)),
            Err(Refusal::Queue(error)) => return Err(io::Error::other(error)),
            Err(_) => return Err(io::ErrorKind::InvalidData.into()),
            Ok(()) => {}
        }
    }
    Ok(())
}
