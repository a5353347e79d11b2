//! Packets by way of a broker, as `examples/mqtt --topic NAME` publishes them: each device has topics of its own, below
//! a name that the filter covers.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use iot_exchange::Role;
use iot_link::process::now;
use iot_link::{Options, invalid};
use iot_lobby::{Lobby, Sender};
use iot_queue::Backoff;
use mqtt::{Broker, Client, Message, Session};
use sha2::{Digest as _, Sha256};

/// Packets that wait for the broker. Of more, the newest are dropped, and sent again in time.
const MAX_WAITING: usize = 1024;

/// How long the broker is listened to before it is looked whether something is to go.
const TICK: Duration = Duration::from_millis(10);

/// Between tries to reach the broker.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));

/// A packet for a device: the topic that it listens to, and the packet.
type Going = (String, Vec<u8>);

/// Opens the door in the name of the program, and keeps it on a thread. The broker may be away.
///
/// # Errors
///
/// When the options make no sense.
pub fn open(address: &str, options: &Options, lobby: &Arc<Lobby>) -> io::Result<()> {
    let source = options.source.ok_or_else(|| invalid("a client of a broker has a name"))?;
    let client = Client {
        version: mqtt::version(options.own("mqtt-version").unwrap_or("5"))?,
        id: format!("gateway-{}", &source.to_string()[..15]),
        // What came for a gateway that is away nobody else would get; devices send it again to who is there.
        session: Session::EndsWithConnection,
        login: options.login()?,
        status: None,
        // Gateways share what comes, and the work.
        filter: format!("$share/gateways/{}/{}", options.own("topic").unwrap_or("iot/+"), Role::Device.topic()),
    };
    let server = mqtt::server(&Options { server: address.to_owned(), ..options.clone() })?;
    let (address, lobby, (going, to_go)) = (address.to_owned(), lobby.clone(), sync_channel(MAX_WAITING));
    let keep = move || {
        let (mut attempts, mut complaint) = (0, String::new());
        loop {
            let served = Broker::dial(&server, client.clone()).and_then(|broker| {
                attempts = 0;
                complaint.clear();
                serve(broker, &lobby, &going, &to_go)
            });
            let Err(error) = served;
            let words = format!("mqtt: {address}: {error}; trying again");
            if words != complaint {
                lobby.complain(&words);
                complaint = words;
            }
            attempts += 1;
            std::thread::sleep(BACKOFF.delay(attempts, now().as_micros()));
        }
    };
    std::thread::Builder::new().name("mqtt".into()).spawn(keep).map(drop)
}

/// Takes and sends until the connection is lost.
fn serve(
    mut broker: Broker,
    lobby: &Lobby,
    going: &SyncSender<Going>,
    to_go: &Receiver<Going>,
) -> io::Result<std::convert::Infallible> {
    loop {
        for (topic, packet) in to_go.try_iter() {
            broker.send(&topic, &packet)?;
        }
        let Some(Message { topic, payload }) = broker.receive(TICK)? else { continue };
        let name = topic.strip_suffix(Role::Device.topic()).ok_or(ErrorKind::InvalidData)?;
        let back = format!("{name}{}", Role::Receiver.topic());
        let going = going.clone();
        let way = Arc::new(move |packet: &[u8]| {
            // The receiver sends it again.
            let _ = going.try_send((back.clone(), packet.to_vec()));
        });
        let digest = Sha256::digest(topic.as_bytes());
        let sender = Sender::Topic(*digest.first_chunk().expect("it has 32 octets"));
        // The broker has let go of what is refused here; its device has not.
        let _ = lobby.enter(sender, &payload, way);
    }
}
