//! `iot dht node`: a node that stores and answers until it is told to stop.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use iot_crypto::SigningKey;
use iot_dht::subscription::{Leases, LeasesConfig};
use iot_dht::wire::Role;
use iot_dht::{Event, Side, Stats};
use iot_driver::Beside;
use lexopt::Parser;
use tokio::signal::unix::{SignalKind, signal};

use super::client;
use crate::Failure;
use crate::envelope::options::Options;
use crate::envelope::{generator, write};

/// How often the node says how it is.
const REPORT: Duration = Duration::from_secs(60);

pub fn run(parser: Parser) -> Result<(), Failure> {
    let options = Options::parse(parser, &["bootstrap", "overlay", "listen", "key", "password"], &["local"], &[])?;
    client::block_on(serve(&options))
}

async fn serve(options: &Options) -> Result<(), Failure> {
    let listen = options.number("listen")?.unwrap_or(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)));
    let addresses = client::bootstrap(options)?;
    let mut rng = generator()?;
    let key = match options.get("key") {
        Some(_) => client::signing(options)?,
        None => SigningKey::generate(&mut rng),
    };
    let node = client::node(options, Role::Server, key, &mut rng)?;
    let id = *node.id();
    let leases = Leases::new(LeasesConfig::default(), &mut rng);
    let no_signals = |error| Failure::Input(format!("the system gives no signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let mut task = client::spawn(listen, node, Beside::Leases(leases)).await?;
    let greeting = format!("address  {}\nid       {id}\n", task.address());
    write(None, greeting.as_bytes())?;
    if !addresses.is_empty() {
        task.call(move |node, now, _| node.bootstrap(now, &addresses)).await;
    }
    let mut report = tokio::time::interval(REPORT);
    report.reset();
    loop {
        tokio::select! {
            event = task.event() => match event {
                Some(event) => log(&event),
                None => return Err(Failure::Input("the socket failed".into())),
            },
            _ = report.tick() => {
                if let Some(stats) = task.call(|node, _, _| node.stats()).await {
                    eprintln!("{}", words(&stats));
                }
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    if let Some(node) = task.stop().await {
        eprintln!("told to stop: {}", words(&node.stats()));
    }
    Ok(())
}

fn log(event: &Event) {
    match event {
        Event::Bootstrapped { nodes } => eprintln!("joined the network: {nodes} nodes are in the table"),
        Event::BootstrapFailed { asked } => eprintln!("none of {asked} bootstrap addresses answers; asking again"),
        Event::Rejected(rejected) => {
            let what = match rejected.side {
                Side::Reader => "its answer",
                Side::Store => "a record that it put",
            };
            eprintln!("refused of {}: {what}: {}", rejected.from, client::words(rejected.reason));
        }
        _ => {}
    }
}

fn words(stats: &Stats) -> String {
    format!(
        "{} nodes in the table, {} records of {} octets, {} requests answered, {} datagrams in and {} out, {} malformed",
        stats.nodes,
        stats.records,
        stats.record_octets,
        stats.served,
        stats.datagrams_in,
        stats.datagrams_out,
        stats.malformed
    )
}
