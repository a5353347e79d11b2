//! Packets in the bodies of requests to `/packets/DEVICE`, as `examples/http` posts them. What is meant for the device is
//! in the answer.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use iot_core::DeviceId;
use iot_exchange::frames::{self, Frames, MAX_PACKET};
use iot_link::Options;
use iot_lobby::{Lobby, Refusal};
use tiny_http::{Method, Request, Response, Server};

/// Octets of the longest body.
const MAX_BODY: u64 = 256 * 1024;

/// Requests at a time, one a thread.
const THREADS: usize = 8;

/// How long a request is held back until there is something to answer.
const HOLD: Duration = Duration::from_millis(100);

/// Devices with a mailbox, and packets in it. Beyond, one that is empty is forgotten, and the oldest packet is dropped.
const MAX_MAILBOXES: usize = 4096;
const MAX_WAITING: usize = 256;

#[derive(Default)]
struct Mailbox {
    packets: Mutex<VecDeque<Vec<u8>>>,
    arrival: Condvar,
}

type Mailboxes = Mutex<BTreeMap<DeviceId, Arc<Mailbox>>>;

/// Opens the door at `address`, and keeps it on threads of its own.
///
/// # Errors
///
/// When the address is not free.
pub fn open(address: &str, _: &Options, lobby: &Arc<Lobby>) -> io::Result<()> {
    let server = Arc::new(Server::http(address).map_err(io::Error::other)?);
    let mailboxes = Arc::new(Mailboxes::default());
    for _ in 0..THREADS {
        let (server, lobby, mailboxes) = (server.clone(), lobby.clone(), mailboxes.clone());
        let keep = move || {
            for request in server.incoming_requests() {
                // Who hung up asks again.
                let _ = serve(request, &lobby, &mailboxes);
            }
        };
        std::thread::Builder::new().name("http".into()).spawn(keep)?;
    }
    Ok(())
}

fn serve(mut request: Request, lobby: &Lobby, mailboxes: &Mailboxes) -> io::Result<()> {
    let device = request.url().strip_prefix("/packets/").and_then(|id| id.parse::<DeviceId>().ok());
    let Some(device) = device.filter(|_| *request.method() == Method::Post) else {
        return request.respond(Response::empty(404));
    };
    let address = request.remote_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), std::net::SocketAddr::ip);
    let mailbox = mailbox(mailboxes, device);
    let mut packets = Frames::new(request.as_reader().take(MAX_BODY), MAX_PACKET);
    loop {
        let packet = match packets.packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            Err(_) => return request.respond(Response::empty(400)),
        };
        let slot = mailbox.clone();
        let way = Arc::new(move |packet: &[u8]| slot.put(packet));
        let status = match lobby.enter(address, &packet, way) {
            Ok(()) => continue,
            Err(Refusal::TooMuch { .. }) => 429,
            Err(Refusal::NotKept(_)) => 503,
            Err(_) => 400,
        };
        // What came before in the same body is kept; when it comes again, that is noticed.
        return request.respond(Response::empty(status));
    }
    request.respond(Response::from_data(frames::join(mailbox.take())?))
}

fn mailbox(mailboxes: &Mailboxes, device: DeviceId) -> Arc<Mailbox> {
    let mut mailboxes = mailboxes.lock().unwrap_or_else(PoisonError::into_inner);
    if mailboxes.len() >= MAX_MAILBOXES {
        mailboxes.retain(|_, mailbox| Arc::strong_count(mailbox) > 1);
    }
    mailboxes.entry(device).or_default().clone()
}

impl Mailbox {
    fn put(&self, packet: &[u8]) {
        let mut packets = self.packets.lock().unwrap_or_else(PoisonError::into_inner);
        if packets.len() == MAX_WAITING {
            packets.pop_front();
        }
        packets.push_back(packet.to_vec());
        self.arrival.notify_one();
    }

    /// All that is there, or that comes soon.
    fn take(&self) -> VecDeque<Vec<u8>> {
        let packets = self.packets.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.arrival.wait_timeout_while(packets, HOLD, |packets| packets.is_empty());
        std::mem::take(&mut *waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}
