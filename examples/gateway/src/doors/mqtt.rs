//! Packets by way of a broker, as `examples/mqtt --topic NAME` publishes them: each device has topics of its own, below
//! a name that the filter covers.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use iot_core::DeviceId;
use iot_exchange::Role;
use iot_link::process::now;
use iot_queue::Backoff;
use mqtt::{Broker, Client, Message};
use sha2::{Digest as _, Sha256};

use crate::options::Mqtt;
use crate::{Sender, Store};

/// Packets that wait for the broker. Of more, the newest are dropped, and sent again in time.
const MAX_WAITING: usize = 1024;

/// How long the broker is listened to before it is looked whether something is to go.
const TICK: Duration = Duration::from_millis(10);

/// Between tries to reach the broker.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));

/// A packet for a device: the topic that it listens to, and the packet.
type Going = (String, Vec<u8>);

/// Opens the door in the name of `gateway`, and keeps it on a thread. The broker may be away.
///
/// # Errors
///
/// When the options make no sense.
pub fn open(options: &Mqtt, gateway: DeviceId, store: Arc<Store>) -> io::Result<()> {
    let client = Client {
        version: mqtt::version(&options.version)?,
        id: format!("gateway-{}", &gateway.to_string()[..15]),
        login: login(options)?,
        status: None,
        // Gateways share what comes, so that a second one can take over.
        filter: format!("$share/gateways/{}/{}", options.topic, Role::Device.topic()),
    };
    let (address, (going, to_go)) = (options.address.clone(), sync_channel(MAX_WAITING));
    let keep = move || {
        let (mut attempts, mut complaint) = (0, String::new());
        loop {
            let served = Broker::dial(&address, client.clone()).and_then(|broker| {
                attempts = 0;
                complaint.clear();
                serve(broker, &store, &going, &to_go)
            });
            let Err(error) = served;
            let words = format!("gateway: mqtt: {address}: {error}; trying again");
            if words != complaint {
                eprintln!("{words}");
                complaint = words;
            }
            attempts += 1;
            std::thread::sleep(BACKOFF.delay(attempts, now().as_micros()));
        }
    };
    std::thread::Builder::new().name("mqtt".into()).spawn(keep).map(drop)
}

/// The user and the password, if the broker is to be told.
fn login(options: &Mqtt) -> io::Result<Option<(String, String)>> {
    let Some((user, file)) = &options.user else { return Ok(None) };
    let password = std::fs::read_to_string(file)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
    Ok(Some((user.clone(), password.trim_end().into())))
}

/// Takes and sends until the connection is lost.
fn serve(
    mut broker: Broker,
    store: &Store,
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
        let _ = store.take(sender, &payload, way);
    }
}
