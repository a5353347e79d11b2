//! The receiver's end.

use std::collections::VecDeque;
use std::error::Error as _;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
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

/// Gateways that fetch at a time. Of more, the one that came first is left.
const MAX_GATEWAYS: usize = 64;

/// Packets that wait for one of them. Of more, the newest are lost.
const MAX_WAITING: usize = 1024;

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

/// Gives each packet to every gateway that fetches, until nobody has any more to give: devices that several hear have a way
/// through each, and which of them still lives, nobody knows here. While none is there packets are lost, as they are for
/// one that reads too slowly: what matters is sent again.
pub fn give(listener: &TcpListener, to_go: &Receiver<Back>) {
    let mut gateways = VecDeque::new();
    if listener.set_nonblocking(true).is_err() {
        return;
    }
    loop {
        while let Ok((stream, _)) = listener.accept() {
            if gateways.len() == MAX_GATEWAYS {
                gateways.pop_front();
            }
            gateways.extend(attend(stream));
        }
        let packet = match to_go.recv_timeout(TICK) {
            Ok(going) => Arc::new(going),
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        gateways.retain(|gateway| !matches!(gateway.try_send(packet.clone()), Err(TrySendError::Disconnected(_))));
    }
}

/// A thread that writes to a gateway, so that none waits for another. It ends when the gateway does not take what it
/// writes, or when nobody gives it any more.
fn attend(mut stream: TcpStream) -> io::Result<SyncSender<Arc<Back>>> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (give, given) = sync_channel::<Arc<Back>>(MAX_WAITING);
    std::thread::Builder::new()
        .name("back".into())
        .stack_size(64 << 10)
        .spawn(move || given.iter().try_for_each(|going| frames::write(&mut stream, [going.0.as_bytes(), &going.1])))?;
    Ok(give)
}
