//! A gateway: packets of many devices come in over many transports, wait in one queue, and go out by one mirror.
//!
//! It can neither read nor forge what it forwards, and holds nobody's keys, but for thermometers that send to it: of their
//! readings it forwards [means of a minute](minutes). A packet is a signed and sealed message
//! (`docs/formats/envelope.md`) whose routing header names its source. What comes again while it waits is dropped; what
//! comes too fast from one address is refused; when the queue is full the oldest packets go, and a signed record says
//! which. The receiver's acknowledgements and commands come back to wherever the device was heard last.
//!
//! A device keeps its messages until its receiver has acknowledged them, end to end: so nothing that a stranger hands
//! in under somebody's name, and nothing that the gateway loses, makes a device forget anything. A stranger can make
//! the gateway send a device's commands elsewhere until the device is heard again; they are sealed, and are repeated.
//!
//! `examples/gateway/README.md` says how to run it, with devices of the other examples and a receiver.

#![forbid(unsafe_code)]

mod doors;
mod identity;
mod limits;
#[cfg(feature = "minutes")]
pub mod minutes;
mod options;
#[cfg(feature = "dht")]
mod presence;
mod recent;
#[cfg(feature = "status")]
mod status;
mod store;
mod uplink;

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use iot_core::{DeviceId, Instant};
use iot_crypto::SigningKey;
use iot_link::{Failure, process};
use iot_queue::shared::{SharedQueue, SharedSettings};
use iot_queue::{ConfigError, Consumers, Durability, FileStorage, MaxLag, Queue, QueueConfig, Seek, WhenFull};
use rand_core::Rng as _;

use crate::identity::Claims;
pub use crate::limits::{Limits, Sender};
pub use crate::options::Options;
pub use crate::store::{Counts, Ending, Files, Refusal, Store, Way};
use crate::uplink::Health;

/// Octets of a segment of the queue.
const SEGMENT: u32 = 2 << 20;

/// The cursor that holds what the receiver has not confirmed.
pub const CURSOR: &str = "receiver";

/// How soon the gateway ends when it is told to.
const TICK: Duration = Duration::from_millis(100);

/// How long packets wait for a sync that makes them durable together. Only then they go on.
const FLUSH_AFTER: Duration = Duration::from_millis(20);

/// Runs the gateway as the command line of this process says, until SIGTERM or SIGINT.
pub fn main() -> ExitCode {
    let options = match Options::parse(lexopt::Parser::from_env()) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(error) => return process::end("gateway", Err(error.into())),
    };
    process::end("gateway", run(&options))
}

fn run(options: &Options) -> Result<(), Failure> {
    let stop = process::stop_flag()?;
    std::fs::create_dir_all(&options.folder)?;
    let seed = identity::load(&options.folder)?;
    let key = || SigningKey::from_seed(&seed);
    let origin = key().verifying_key().device_id();
    let store = Store::new(open_queue(options, Claims(key()))?, Limits::new(options.rate)?);
    #[cfg(feature = "minutes")]
    let (store, minutes) = minutes::open(options, store)?;
    let store = Arc::new(store);
    let health = Arc::new(Health { is_storing: AtomicBool::new(true), ..Health::default() });
    open_doors(options, origin, &store, &health)?;
    println!("gateway: {origin} is ready, {} packets wait", store.queue.stats().depth);

    let outcome = std::thread::scope(|threads| -> Result<(), Failure> {
        let (store, health, stop) = (&store, &*health, &*stop);
        #[cfg(feature = "dht")]
        if let Some(dht) = &options.dht {
            let presence =
                presence::Presence::start(dht, key(), &mut process::rng()?).map_err(at(&dht.address.to_string()))?;
            threads.spawn(move || presence.keep(stop));
        }
        if let Some(back) = &options.back {
            threads.spawn(move || uplink::pass_back(store, back, stop));
        }
        let upkeep = threads.spawn(move || {
            let outcome = store.queue.run();
            health.is_storing.store(false, Ordering::Relaxed);
            outcome
        });
        #[cfg(feature = "minutes")]
        let minutes = minutes.map(|minutes| {
            threads.spawn(move || {
                let outcome = minutes.run(store, stop);
                // Whatever failed there, nobody is to take readings any more.
                stop.store(true, Ordering::Relaxed);
                outcome
            })
        });
        threads.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(TICK);
            }
            store.queue.close();
        });
        let outcome = uplink::forward(store, &options.receiver, origin, health);
        stop.store(true, Ordering::Relaxed);
        upkeep.join().map_err(|_| "the thread of the queue panicked")??;
        #[cfg(feature = "minutes")]
        if let Some(minutes) = minutes {
            minutes.join().map_err(|_| "the thread of the minutes panicked")??;
        }
        outcome
    });
    println!("gateway: ends, {} packets wait", store.queue.stats().depth);
    outcome
}

/// How the gateway makes a queue of so many MiB, which takes at least as many octets on the disk.
///
/// # Errors
///
/// When a queue of that length is not possible.
pub fn queue_config(capacity: u32) -> Result<QueueConfig, ConfigError> {
    let segments = capacity / (SEGMENT >> 20);
    let config = QueueConfig::default().segment_len(SEGMENT)?.segments(segments)?;
    Ok(config.consumers(Consumers::CursorsOnly).durability(Durability::Manual).when_full(WhenFull::DropOldest))
}

fn open_queue(options: &Options, claims: Claims) -> Result<Files, Failure> {
    let random = process::rng()?.next_u64().to_be_bytes();
    let path = options.folder.join("queue");
    let fail = |error: &dyn Error| io::Error::other(format!("{}: {error}", path.display()));
    let storage = FileStorage::create(&path).map_err(|error| fail(&error))?;
    let mut queue = Queue::open(storage, queue_config(options.capacity)?, random).map_err(|error| fail(&error))?;
    queue.sign_gaps_with(Box::new(claims));
    // Before the first packet, so that none is without a reader.
    queue.open_cursor(CURSOR, Seek::Oldest, MaxLag::UNLIMITED).map_err(|error| fail(&error))?;
    let settings = SharedSettings::default().flush_after(Some(FLUSH_AFTER));
    Ok(SharedQueue::new(queue, process::now as fn() -> Instant, settings))
}

/// Opens what was asked for. A build that leaves it out says so.
fn open_doors(options: &Options, origin: DeviceId, store: &Arc<Store>, health: &Arc<Health>) -> io::Result<()> {
    macro_rules! open {
        ($feature:literal, $asked:expr, $address:ident => $name:expr, $open:expr) => {
            if let Some($address) = &$asked {
                #[cfg(feature = $feature)]
                $open.map_err(at(&$name.to_string()))?;
                #[cfg(not(feature = $feature))]
                return Err(without($feature, &$name.to_string()));
            }
        };
    }
    open!("udp", options.udp, address => address, doors::udp::open(address, store.clone()));
    open!("tcp", options.tcp, address => address, doors::tcp::open(address, store.clone()));
    open!("http", options.http, address => address, doors::http::open(address, store));
    open!("mqtt", options.mqtt, broker => broker.address, doors::mqtt::open(broker, origin, store.clone()));
    open!("coap", options.coap, address => address, doors::coap::open(address, store.clone()));
    open!("status", options.status, address => address, status::open(address, store.clone(), health.clone()));
    // These are opened elsewhere.
    open!("dht", options.dht, dht => dht.address, io::Result::Ok(()));
    open!("minutes", options.reports, folder => folder.display(), io::Result::Ok(()));
    let _ = (origin, store, health);
    Ok(())
}

fn at(address: &str) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{address}: {error}"))
}

#[allow(dead_code, reason = "a build with every feature leaves nothing out")]
fn without(feature: &str, address: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("--{feature} {address}: this gateway was built without {feature}"),
    )
}
