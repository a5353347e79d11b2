//! The receiver behind a gateway: it verifies what devices sent through it, and answers them.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use iot_core::{DeviceId, Instant};
use iot_crypto::RoutingHeader;
use iot_exchange::{Endpoint, Event, Feedback, Role, folder};
use iot_link::Failure;
use iot_link::process::{self, now, rng, wall};
use iot_minutes::{Account, Report};
use iot_queue::shared::{SharedQueue, SharedSettings};
use iot_queue::sink::Intake;
use iot_queue::{DroppedFeed, FileStorage, Gap, GapNotice, Queue, QueueConfig};
use iot_uplink::Back;
use lexopt::prelude::*;
use rand_core::Rng as _;

const HELP: &str = "Verifies what devices send through a gateway, keeps it, and acknowledges it.

  gateway-receiver FOLDER --listen ADDRESS --back ADDRESS DEVICE...
  gateway-receiver --minutes DEVICE     list means of a minute, and what they account for

  FOLDER             where it keeps what has arrived and is not verified yet
  DEVICE             a folder with the keys of a device and its receiver, as `udp keys DEVICE` makes it; its readings
                     are listed by `udp list DEVICE`, when the receiver has ended; what a gateway has for --reports is one, too
  --listen ADDRESS   where gateways mirror their queues to (TCP)
  --back ADDRESS     where they fetch what is meant for devices (TCP)";

/// How long the receiver waits for packets before it looks at everything else.
const TICK: Duration = Duration::from_millis(20);

/// How long a packet is worked on.
const LEASE: Duration = Duration::from_secs(60);

/// When a message to a device is repeated: it may be on its way for a while.
const FEEDBACK: Feedback = Feedback::Acknowledged { within: Duration::from_secs(10) };

/// Gateways whose place is remembered.
const MAX_FEEDS: usize = 1024;

/// Packets that wait for a gateway. Of more, the newest are dropped, and sent again in time.
const MAX_WAITING: usize = 1024;

type Files = SharedQueue<FileStorage, fn() -> Instant>;

fn main() -> ExitCode {
    process::end("gateway-receiver", run(lexopt::Parser::from_env()))
}

fn run(mut parser: lexopt::Parser) -> Result<(), Failure> {
    let (mut folders, mut listen, mut back) = (Vec::<PathBuf>::new(), None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => {
                println!("{HELP}");
                return Ok(());
            }
            Long("listen") => listen = Some(parser.value()?.string()?),
            Long("minutes") => return list(&PathBuf::from(parser.value()?)),
            Long("back") => back = Some(parser.value()?.string()?),
            Value(path) => folders.push(path.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    let missing = |what| lexopt::Error::from(format!("{what} missing: see --help"));
    let [own, devices @ ..] = &folders[..] else { return Err(missing("folders are").into()) };
    let listen = listen.ok_or_else(|| missing("--listen is"))?;
    let back = back.ok_or_else(|| missing("--back is"))?;
    let stop = process::stop_flag()?;
    let keys = devices.iter().map(|device| {
        let folder = device.join("receiver");
        folder::load_keys(&folder, wall()).map(|keys| (folder, keys))
    });
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let mut endpoints = BTreeMap::new();
    for (folder, keys) in &keys {
        let endpoint = folder::open(folder, keys, Role::Receiver, FEEDBACK, rng()?)?;
        endpoints.insert(keys.peer.device_id(), endpoint);
    }
    let arrived = open_queue(own)?;
    let (going, to_go) = sync_channel(MAX_WAITING);
    let (mirrors, fetchers) = (bind(&listen)?, bind(&back)?);
    let mut intake = Intake::new(MAX_FEEDS);
    arrived.with(|queue, _| intake.recover(queue))?;
    let queue = arrived.clone();
    std::thread::spawn(move || iot_uplink::receive("gateway-receiver", &mirrors, &queue, intake));
    std::thread::spawn(move || iot_uplink::give(&fetchers, &to_go));
    println!("gateway-receiver: ready for {} devices", endpoints.len());
    work(&arrived, &mut endpoints, &going, &stop)?;
    for endpoint in endpoints.into_values() {
        endpoint.into_queues().into_iter().try_for_each(|queue| queue.close().map(drop))?;
    }
    arrived.commit()?;
    println!("gateway-receiver: ends");
    Ok(())
}

/// Verifies what has arrived, and lets go of it when the device's ledger has it.
fn work(
    arrived: &Files,
    endpoints: &mut BTreeMap<DeviceId, Endpoint<'_, FileStorage>>,
    going: &SyncSender<Back>,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    while !stop.load(Ordering::Relaxed) {
        for mut leased in arrived.reserve_wait(LEASE, 64, TICK)? {
            if let Some(notice) = leased.gap_notice() {
                tell_of_gap(&notice);
                arrived.ack(leased.lease)?;
                continue;
            }
            let source = RoutingHeader::parse(&leased.payload).ok().and_then(|(header, _)| header.source);
            match source.and_then(|source| endpoints.get_mut(&source)) {
                Some(endpoint) => endpoint.handle_packet(now(), &mut leased.payload)?,
                None => println!("gateway-receiver: refused: a packet of nobody known"),
            }
            // What an endpoint has accepted and not yet made durable, its device sends again.
            arrived.ack(leased.lease)?;
        }
        for (device, endpoint) in &mut *endpoints {
            while let Some(event) = endpoint.poll_event() {
                tell(device, &event);
            }
            while let Some(packet) = endpoint.poll_transmit(now(), wall())? {
                // Nobody fetches them just now: what matters is sent again.
                let _ = going.try_send((*device, packet));
            }
        }
    }
    Ok(())
}

/// What a gateway made of readings that it took, and whether that is all.
fn list(device: &Path) -> Result<(), Failure> {
    let mut account = Account::default();
    folder::read_ledger(&device.join("receiver"), |position, payload| match Report::parse(payload) {
        Some(report) => {
            account.note(&report);
            println!("{report}");
        }
        None => println!("# message {} is no gateway's", position.sequence),
    })?;
    println!("{account}");
    Ok(())
}

/// What a gateway says that it is without. It signed that as its claim, and a device's own words outweigh it.
fn tell_of_gap(notice: &GapNotice) {
    let Gap { from, until, cause } = notice.gap;
    println!("gateway-receiver: a gateway says that it is without {from} to {until}: {}", cause.name());
    for feed in notice.record().into_iter().flat_map(|(_, record)| record.feeds) {
        let DroppedFeed { source, stream, messages, from, until, .. } = feed;
        println!("gateway-receiver: among them {messages} of {source}, stream {stream}, between {from} and {until}");
    }
}

fn tell(device: &DeviceId, event: &Event) {
    let report = if let Event::Accepted { payload, .. } = event { Report::parse(payload) } else { None };
    let words = report.map(|report| format!(": {report}")).unwrap_or_default();
    println!("gateway-receiver: {event} of {device}{words}");
}

fn bind(address: &str) -> io::Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))
}

fn open_queue(folder: &Path) -> Result<Files, Failure> {
    let random = rng()?.next_u64().to_be_bytes();
    std::fs::create_dir_all(folder)?;
    let queue = Queue::open(FileStorage::create(folder.join("arrived"))?, QueueConfig::default(), random)?;
    Ok(SharedQueue::new(queue, now as fn() -> Instant, SharedSettings::default()))
}
