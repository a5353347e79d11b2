//! The receiver's end.

use std::error::Error as _;
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use iot_core::DeviceId;
use iot_exchange::frames;
use iot_queue::Storage;
use iot_queue::shared::{Clock, SharedQueue, serve};
use iot_queue::sink::Intake;

/// How soon a gateway that comes is given what there is.
const TICK: Duration = Duration::from_millis(20);

/// How long a gateway may take to take a packet.
const PATIENCE: Duration = Duration::from_secs(60);

/// A packet for a device.
pub type Back = (DeviceId, Vec<u8>);

/// Takes the mirrors of gateways into a queue, a thread each, for as long as the process runs. `intake` has
/// [recovered](Intake::recover) what is there. Why a connection ended is said in the name of the program.
pub fn receive<S, C>(name: &'static str, listener: &TcpListener, arrived: &SharedQueue<S, C>, intake: Intake)
where
    S: Storage + Send + 'static,
    C: Clock + Send + Sync + 'static,
{
    let intake = Arc::new(Mutex::new(intake));
    for stream in listener.incoming().flatten() {
        let (arrived, intake) = (arrived.clone(), intake.clone());
        std::thread::spawn(move || {
            if let Err(error) = serve(&arrived, &intake, frames::MAX_PACKET as u32, &mut &stream) {
                let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
                eprintln!("{name}: a mirror's connection ended: {cause}");
            }
        });
    }
}

/// Gives packets to whichever gateway fetches them, the last one that came, until nobody has any more to give. While none
/// is there they are lost: what matters is sent again.
pub fn give(listener: &TcpListener, to_go: &Receiver<Back>) {
    let mut gateway = None;
    if listener.set_nonblocking(true).is_err() {
        return;
    }
    loop {
        while let Ok((stream, _)) = listener.accept() {
            let ready = stream.set_nonblocking(false).and_then(|()| stream.set_nodelay(true));
            gateway = ready.and_then(|()| stream.set_write_timeout(Some(PATIENCE))).ok().map(|()| stream);
        }
        let (device, packet) = match to_go.recv_timeout(TICK) {
            Ok(going) => going,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let written = gateway.as_mut().map(|stream| frames::write(stream, [device.as_bytes(), &packet]));
        if matches!(written, Some(Err(_))) {
            gateway = None;
        }
    }
}
