//! `iot dht node`: a node that stores and answers until it is told to stop.

use std::io;
use std::mem;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use iot_core::Instant;

use iot_crypto::SigningKey;
use iot_dht::subscription::{Leases, LeasesConfig};
use iot_dht::wire::Role;
use iot_dht::{Event, Node, Side, Snapshot, Stats};
use iot_driver::{Beside, Task};
use lexopt::Parser;
use tokio::signal::unix::{SignalKind, signal};

use super::client;
use super::folder::{self, Changes, Folder};
use crate::Failure;
use crate::envelope::options::Options;
use crate::envelope::{generator, write};

/// How often the node says how it is.
const REPORT: Duration = Duration::from_secs(60);

/// How often what changed is written to the directory: what a process that is killed loses came since.
const SAVING: Duration = Duration::from_secs(1);

pub fn run(parser: Parser) -> Result<(), Failure> {
    let valued = [&client::OPTIONS[..], &["listen", "key", "password", "store"]].concat();
    let options = Options::parse(parser, &valued, &["local"], &[])?;
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
    let mut node = client::node(options, Role::Server, key, &mut rng)?;
    let mut shelf = Shelving::open(options, &mut node)?;
    let id = *node.id();
    let beside = match options.get("admission") {
        // Whoever asks for a lease shows no key.
        Some(_) => Beside::Nothing,
        None => Beside::Leases(Leases::new(LeasesConfig::default(), &mut rng)),
    };
    let no_signals = |error| Failure::Input(format!("the system gives no signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let mut task = client::spawn(listen, node, beside).await?;
    let greeting = format!("address  {}\nid       {id}\n", task.address());
    write(None, greeting.as_bytes())?;
    if !addresses.is_empty() {
        task.call(move |node, now, _| node.bootstrap(now, &addresses)).await;
    }
    let mut report = tokio::time::interval(REPORT);
    report.reset();
    let mut saving = tokio::time::interval(SAVING);
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
                shelf.save_table(&task).await;
            }
            _ = saving.tick() => shelf.save(&task).await,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    shelf.save(&task).await;
    shelf.save_table(&task).await;
    if let Some(node) = task.stop().await {
        eprintln!("told to stop: {}", words(&node.stats()));
    }
    Ok(())
}

/// Keeps what the node holds in the directory of `--store`, if there is one.
struct Shelving {
    folder: Option<Arc<Folder>>,
    changes: Changes,
    /// What was said last of why it cannot be written.
    complaint: Option<String>,
}

impl Shelving {
    /// Opens the directory, and gives the node what is there.
    fn open(options: &Options, node: &mut Node) -> Result<Self, Failure> {
        let folder = options.get("store").map(Folder::open).transpose()?;
        if let Some(folder) = &folder {
            let unreadable = |error: io::Error| Failure::Input(format!("the store cannot be read: {error}"));
            let mut held = 0;
            for (path, octets) in folder.records().map_err(unreadable)? {
                match node.restore_record(client::wall(), &octets) {
                    Ok(_) => held += 1,
                    Err(reason) => {
                        eprintln!("removed {}: {}", path.display(), client::words(reason));
                        folder::remove(&path).map_err(unreadable)?;
                    }
                }
            }
            if let Some(snapshot) = folder.table().and_then(|octets| Snapshot::parse(&octets).ok()) {
                node.restore(Instant::START, client::wall(), snapshot);
            }
            eprintln!("holds {held} records of the store");
        }
        Ok(Self { folder: folder.map(Arc::new), changes: Changes::default(), complaint: None })
    }

    /// Writes which records came and went. The node goes on meanwhile.
    async fn save(&mut self, task: &Task) {
        let Some(folder) = self.folder.clone() else { return };
        let mut changes = mem::take(&mut self.changes);
        let take = move |node: &mut Node, _, _| {
            let Ok(_) = node.write_to(&mut changes);
            changes
        };
        let Some(mut changes) = task.call(take).await else { return };
        let write = move || (folder.write(&mut changes), changes);
        if let Ok((written, left)) = tokio::task::spawn_blocking(write).await {
            self.changes = left;
            self.complain(written);
        }
    }

    /// Writes who is in the table, so that the node finds the network again.
    async fn save_table(&mut self, task: &Task) {
        let Some(folder) = self.folder.clone() else { return };
        let Some(snapshot) = task.call(|node, _, _| node.table().snapshot()).await else { return };
        if let Ok(written) = tokio::task::spawn_blocking(move || folder.write_table(&snapshot.to_vec())).await {
            self.complain(written);
        }
    }

    /// Says once, and not each second, what is wrong.
    fn complain(&mut self, written: io::Result<()>) {
        let complaint = written.err().map(|error| format!("the store cannot be written, trying again: {error}"));
        if complaint != self.complaint {
            complaint.iter().for_each(|words| eprintln!("{words}"));
            self.complaint = complaint;
        }
    }
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
