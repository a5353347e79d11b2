//! The gateway with one door, one mirror and a node of the hash table, for machines with little of everything.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use iot_depot::{CURSOR, Depot, Keeper, queue_config};
use iot_driver::Presence;
use iot_link::process::{self, rng, wall};
use iot_link::{Failure, Options};
use iot_lobby::{Limits, Lobby};
use iot_uplink::Uplink;
use lexopt::prelude::*;

const HELP: &str =
    "Takes sealed packets of many devices over UDP, keeps them in one queue, and mirrors that to a receiver.

  gateway FOLDER --receiver ADDRESS [options]
";

/// Options beside those of the door.
const OPTIONS: &[(&str, &str)] = &[
    ("receiver", "ADDRESS   where the receiver takes packets (TCP); `gateway-receiver` and `iot queue receive` do"),
    ("back", "ADDRESS       where it has packets for devices (TCP)"),
    ("dht", "ADDRESS        be a node of the hash table there"),
    ("reached", "ADDRESS    where others reach that node, if that is somewhere else"),
    ("bootstrap", "ADDRESS  a node to join by; may be said again"),
    (
        "capacity",
        "N         MiB of the queue, 16 to 65536, by default 64; when it is full, the oldest packets are dropped",
    ),
    ("rate", "N             packets a second that an address may send, by default 1000"),
];

fn main() -> ExitCode {
    process::end(
        "gateway",
        parse().map_err(Failure::from).and_then(|line| match line {
            Some((options, bootstrap)) => run(&options, bootstrap),
            None => help(),
        }),
    )
}

fn options() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    OPTIONS.iter().chain(iot_doors::OPTIONS)
}

fn help() -> Result<(), Failure> {
    println!("{HELP}{}", options().map(|(name, about)| format!("\n  --{name} {about}")).collect::<String>());
    Ok(())
}

/// Reads the command line, the nodes to join by apart; nothing if it asks for help.
fn parse() -> Result<Option<(Options, Vec<SocketAddr>)>, lexopt::Error> {
    let (mut parser, mut line, mut bootstrap) = (lexopt::Parser::from_env(), Options::default(), Vec::new());
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(None),
            Long("bootstrap") => bootstrap.push(parser.value()?.parse()?),
            Long(name) => {
                let known = options().find(|(known, _)| *known == name);
                let Some((name, _)) = known else { return Err(argument.unexpected()) };
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
    Ok(Some((line, bootstrap)))
}

/// Runs the gateway until SIGTERM or SIGINT.
fn run(options: &Options, bootstrap: Vec<SocketAddr>) -> Result<(), Failure> {
    let stop = process::stop_flag()?;
    std::fs::create_dir_all(&options.folder)?;
    let keeper = Keeper::load(&options.folder)?;
    let origin = keeper.key().verifying_key().device_id();
    let config = queue_config(options.number("capacity", 64)?)?;
    let depot = Arc::new(Depot::open(&options.folder.join("queue"), config, keeper.key())?);
    let (kept, limits) = (depot.clone(), Limits::new(options.number("rate", 1000)?)?);
    let lobby = Arc::new(Lobby::new("gateway", limits, move |position, packet| Ok(kept.keep(position, packet)?)));
    iot_doors::open(options, &lobby)?;
    let receiver = options.own("receiver").unwrap_or_default();
    let uplink = Uplink::new("gateway", depot.queue(), CURSOR, origin, receiver)?;
    let presence = options.own("dht").map(|address| -> Result<Presence, Failure> {
        let reached = options.own("reached").map(str::parse).transpose()?;
        Ok(Presence::start(address.parse()?, reached, bootstrap, keeper.key(), wall, &mut rng()?)?)
    });
    let presence = presence.transpose()?;
    println!("gateway: {origin} is ready, {} packets wait", depot.queue().stats().depth);

    let outcome = std::thread::scope(|threads| -> Result<(), Failure> {
        let (stop, depot) = (&*stop, &*depot);
        let upkeep = threads.spawn(|| depot.run(stop));
        if let Some(presence) = presence {
            let tell = move |nodes, place| println!("gateway: {nodes} nodes know that {origin} is at {place}");
            threads.spawn(move || presence.keep(stop, tell));
        }
        let outcome = uplink.run(stop, options.own("back"), |device, packet| lobby.send(&device, packet));
        upkeep.join().map_err(|_| "the thread of the queue panicked")??;
        outcome
    });
    println!("gateway: ends, {} packets wait", depot.queue().stats().depth);
    outcome
}
