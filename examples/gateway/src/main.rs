//! A gateway: packets of many devices come in over many transports, wait in one queue, and go out by one mirror. It can
//! neither read nor forge what it forwards, but for thermometers that send to it: of their readings it forwards means.
//!
//! This puts libraries together, each of which says what it is for: doors lead to a lobby, behind which a depot keeps what
//! minutes do not take; an uplink takes that to the receiver, and what comes back goes to the lobby again.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use iot_core::{DeviceId, Instant};
use iot_depot::{CURSOR, Depot, Keeper, queue_config};
use iot_driver::Presence;
use iot_link::process::{self, rng, wall};
use iot_link::{Failure, Options};
use iot_lobby::{Limits, Lobby, position_of};
use iot_minutes::Minutes;
use iot_queue::FileStorage;
use iot_status::Figure;
use iot_uplink::Uplink;
use lexopt::prelude::*;

const HELP: &str = "Takes sealed packets of many devices over many transports, keeps them in one queue, and mirrors \
that to a receiver.

  gateway FOLDER --receiver ADDRESS [options]
";

/// Options beside those of the parts.
const OPTIONS: &[(&str, &str)] = &[
    ("receiver", "ADDRESS   where the receiver takes packets (TCP); `gateway-receiver` and `iot queue receive` do"),
    ("back", "ADDRESS       where it has packets for devices (TCP)"),
    ("status", "ADDRESS     answer /metrics and /health"),
    ("dht", "ADDRESS        be a node of the hash table there"),
    ("reached", "ADDRESS    where others reach that node, if that is somewhere else"),
    ("bootstrap", "ADDRESS  a node to join by; may be said again"),
    (
        "capacity",
        "N         MiB of the queue, 16 to 65536, by default 64; when it is full, the oldest packets are dropped",
    ),
    ("rate", "N             packets a second that an address may send, by default 1000"),
];

/// What has something to say of itself.
type Parts = (Arc<Depot>, Arc<Lobby>, Arc<Minutes>, Arc<Uplink<FileStorage, fn() -> Instant>>);

/// The options, and those that may be said again: thermometers, and nodes to join by.
type Line = (Options, Vec<PathBuf>, Vec<SocketAddr>);

fn main() -> ExitCode {
    process::end(
        "gateway",
        parse().map_err(Failure::from).and_then(|line| match line {
            Some(line) => run(line),
            None => help(),
        }),
    )
}

fn options() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    OPTIONS.iter().chain(iot_doors::OPTIONS).chain(iot_minutes::OPTIONS)
}

fn help() -> Result<(), Failure> {
    println!("{HELP}{}", options().map(|(name, about)| format!("\n  --{name} {about}")).collect::<String>());
    Ok(())
}

/// Reads the command line; nothing if it asks for help.
fn parse() -> Result<Option<Line>, lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    let (mut line, mut minutes, mut bootstrap) = (Options::default(), Vec::new(), Vec::new());
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(None),
            Long("minutes") => minutes.push(parser.value()?.into()),
            Long("bootstrap") => bootstrap.push(parser.value()?.parse()?),
            Long(name) => {
                let Some((name, _)) = options().find(|(known, _)| *known == name) else {
                    return Err(argument.unexpected());
                };
                line.own.insert(name, parser.value()?.string()?);
            }
            Value(path) if line.folder.as_os_str().is_empty() => line.folder = path.into(),
            other => return Err(other.unexpected()),
        }
    }
    let missing = [(line.folder.as_os_str().is_empty(), "a folder"), (line.own("receiver").is_none(), "--receiver")];
    if let Some((_, what)) = missing.iter().find(|(is_missing, _)| *is_missing) {
        return Err(format!("{what} is missing: see --help").into());
    }
    if line.own("dht").is_none() && (line.own("reached").is_some() || !bootstrap.is_empty()) {
        return Err("--reached and --bootstrap are for --dht".into());
    }
    Ok(Some((line, minutes, bootstrap)))
}

/// Runs the gateway until SIGTERM or SIGINT.
fn run((mut options, thermometers, bootstrap): Line) -> Result<(), Failure> {
    let (stop, folder) = (process::stop_flag()?, options.folder.clone());
    std::fs::create_dir_all(&folder)?;
    let keeper = Keeper::load(&folder)?;
    let origin = keeper.key().verifying_key().device_id();
    options.source = Some(origin);
    let config = queue_config(options.number("capacity", 64)?)?;
    let depot = Arc::new(Depot::open(&folder.join("queue"), config, keeper.key())?);
    let minutes = Arc::new(Minutes::open(&folder.join("readings"), &thermometers, options.own("reports"))?);
    let (kept, ended) = (depot.clone(), minutes.clone());
    let lobby = Lobby::new("gateway", Limits::new(options.number("rate", 1000)?)?, move |position, packet| {
        let ends_here = ended.take(&position.source, packet);
        if ends_here { Ok(()) } else { Ok(kept.keep(position, packet)?) }
    });
    let lobby = Arc::new(lobby);
    iot_doors::open(&options, &lobby)?;
    let receiver = options.own("receiver").unwrap_or_default();
    let uplink = Arc::new(Uplink::new("gateway", depot.queue(), CURSOR, origin, receiver)?);
    if let Some(address) = options.own("status") {
        let parts = (depot.clone(), lobby.clone(), minutes.clone(), uplink.clone());
        open_status(address, parts).map_err(|error| format!("{address}: {error}"))?;
    }
    let presence = options.own("dht").map(|address| -> Result<Presence, Failure> {
        let reached = options.own("reached").map(str::parse).transpose()?;
        Ok(Presence::start(address.parse()?, reached, bootstrap, keeper.key(), wall, &mut rng()?)?)
    });
    let presence = presence.transpose()?;
    println!("gateway: {origin} is ready, {} packets wait", depot.queue().stats().depth);

    let outcome = std::thread::scope(|threads| -> Result<(), Failure> {
        let (stop, depot, lobby, minutes) = (&*stop, &*depot, &*lobby, &*minutes);
        let upkeep = threads.spawn(|| depot.run(stop));
        let means = threads.spawn(move || {
            let send = |device: &DeviceId, packet: &[u8]| lobby.send(device, packet);
            minutes.run(stop, send, |packet| _ = position_of(packet).map(|position| depot.keep(position, packet)))
        });
        if let Some(presence) = presence {
            let tell = move |nodes, place| println!("gateway: {nodes} nodes know that {origin} is at {place}");
            threads.spawn(move || presence.keep(stop, tell));
        }
        let outcome = uplink.run(stop, options.own("back"), |device, packet| {
            if !minutes.take(&device, packet) {
                lobby.send(&device, packet);
            }
        });
        upkeep.join().map_err(|_| "the thread of the queue panicked")??;
        means.join().map_err(|_| "the thread of the minutes panicked")??;
        outcome
    });
    println!("gateway: ends, {} packets wait", depot.queue().stats().depth);
    outcome
}

/// What the gateway says of itself. One that cannot reach its receiver is healthy: that is what it is for. One that cannot
/// store is not.
fn open_status(address: &str, (depot, lobby, minutes, uplink): Parts) -> io::Result<()> {
    let (stored, reached) = (depot.clone(), uplink.clone());
    let health = move || match (stored.is_storing(), reached.is_connected()) {
        (true, true) => Ok("ok"),
        (true, false) => Ok("ok, without a receiver: packets wait in the queue"),
        (false, _) => Err("the queue's storage has failed"),
    };
    iot_status::open(address, "gateway", health, move || {
        let connected = f64::from(u8::from(uplink.is_connected()));
        let connected = [Figure::gauge("mirror_connected", "Whether the receiver is reached.", connected)];
        [&depot.figures()[..], &lobby.figures(), &minutes.figures(), &connected].concat()
    })
}
