//! The story, from the first node to the last line.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use iot_codec::cbor::{self, List};
use iot_core::{DeviceId, Timestamp};
use iot_crypto::{BundleError, KeyBundle};
use iot_dht::feed::{Cursor, Reader, ReaderConfig};
use iot_dht::{Key, Record};

use crate::attacker::Lie;
use crate::audit::Audit;
use crate::batch;
use crate::cast::{Party, Role, party, secrets};
use crate::clock::Clock;
use crate::day;
use crate::device::{Device, Field};
use crate::gateway::FEED;
use crate::input::{Input, Reading};
use crate::intruder::Intruders;
use crate::network::{Network, Placement};
use crate::options::{Options, Progress};
use crate::process::Process;
use crate::progress::Bar;
use crate::receipt;
use crate::recipients;
use crate::report::Outage;
use crate::stage::{LIARS, Stage};
use crate::verdict::Findings;
use crate::words::{GatewayConfig, GatewayWord, LinkState, Order, ServerConfig, ServerStatus, ServerWord};

/// How long the story's day takes the machine.
#[cfg(not(iot_fault))]
pub const DAY: Duration = Duration::from_secs(20);
/// The tests that switch on faults tell the story often.
#[cfg(iot_fault)]
pub const DAY: Duration = Duration::from_secs(8);

/// How much faster than the machine's the clock of the story runs.
const FACTOR: u64 = 86_400 / DAY.as_secs();

/// How long nothing may happen before the run is given up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Messages that a device spreads its readings over, if it has enough of them.
const MESSAGES: usize = 48;

/// Everything that is under way.
pub struct Story {
    pub(crate) options: Options,
    pub(crate) folder: PathBuf,
    pub(crate) clock: Clock,
    pub(crate) day_begins: Timestamp,
    pub(crate) network: Network,
    pub(crate) field: Arc<Field>,
    pub(crate) devices: Vec<JoinHandle<std::io::Result<u64>>>,
    ids: Vec<DeviceId>,
    pub(crate) gateway: Option<Process<GatewayWord>>,
    pub(crate) server: Option<Process<ServerWord>>,
    pub(crate) link: LinkState,
    intruders: Intruders,
    pub(crate) findings: Findings,
}

/// Tells the story and says how it ended.
///
/// # Errors
///
/// What kept it from its end.
pub fn run(mut stage: Stage) -> Result<Findings, Box<dyn Error>> {
    let started = Instant::now();
    let progress = stage.options.progress;
    let readings_of = |index| stage.input.channel(index).readings.clone();
    let sent: Vec<Vec<Reading>> = (0..stage.options.devices).map(readings_of).collect();
    // Ends with the run, however it ends: the processes' folder holds secrets.
    let _cleaner = Cleaner(stage.processes());
    let mut story = Story::begin(&mut stage)?;
    day::live(&mut story, progress)?;
    story.catch_up(progress)?;
    story.check_receipts(progress)?;
    story.audit(&sent)?;
    story.findings.seconds = started.elapsed().as_secs_f64();
    Ok(story.findings)
}

impl Story {
    fn begin(stage: &mut Stage) -> Result<Self, Box<dyn Error>> {
        let (options, seed) = (stage.options.clone(), stage.options.seed);
        let first = (0..options.devices).find_map(|index| stage.input.channel(index).readings.first());
        // Those who set everything up do so on the day before.
        let eve = first.map_or(Timestamp::from_secs(86_400), |reading| reading.time);
        let eve = Timestamp::from_secs(eve.as_secs().saturating_sub(43_200).max(10 * 86_400));
        let clock = Clock::new(eve, SystemTime::now(), FACTOR);
        let network = build_network(stage, clock, eve)?;
        let verified = |party: &Party| KeyBundle::verify(&bundle_of(party, clock)?, &party.id(), clock.now());
        let (server, snoop) = (party(seed, Role::Server, 0), party(seed, Role::Snoop, 0));
        let day_begins = clock.now();
        let field = Arc::new(Field {
            gateway: stage.gateway,
            clock,
            day: (day_begins, clock.stretched(DAY)),
            server: verified(&server)?,
            snoop: verified(&snoop)?,
            handed_over: AtomicU64::new(0),
            octets: (AtomicU64::new(0), AtomicU64::new(0)),
            overheard: Mutex::new(Vec::new()),
            for_snoop: Mutex::new(Vec::new()),
        });
        let devices: Vec<_> = (0..options.devices).map(|index| party(seed, Role::Device, index)).collect();
        let mut story = Self {
            findings: Findings::new(options.nodes, LIARS, seed),
            folder: stage.processes(),
            ids: devices.iter().map(Party::id).collect(),
            intruders: Intruders::new(seed, field.server, snoop, &devices),
            options,
            clock,
            day_begins,
            network,
            field,
            devices: Vec::new(),
            gateway: None,
            server: None,
            link: LinkState::Up,
        };
        story.configure_server()?;
        drop(stage.place.take());
        story.start_gateway()?;
        story.start_devices(&stage.input)?;
        Ok(story)
    }

    fn bootstrap(&self) -> List<String> {
        List(self.network.bootstrap_addresses().iter().map(SocketAddr::to_string).collect())
    }

    /// Writes what the server is given.
    fn configure_server(&self) -> Result<(), Box<dyn Error>> {
        let seed = self.options.seed;
        let retired = party(seed, Role::Retired, 0).signing.verifying_key();
        let devices = self.intruders.devices().chain([&retired]);
        let devices = devices.map(|key| key.as_bytes().try_into().expect("the fleet signs with Ed25519"));
        let server = ServerConfig {
            secrets: secrets(seed, Role::Server, 0),
            clock: self.clock,
            bootstrap: self.bootstrap(),
            gateway: *party(seed, Role::Gateway, 0).id().as_bytes(),
            devices: List(devices.collect()),
        };
        std::fs::write(self.folder.join("server.cbor"), cbor::to_vec(&server))?;
        Ok(())
    }

    /// Starts the gateway out of what it has on disk.
    pub(crate) fn start_gateway(&mut self) -> Result<(), Box<dyn Error>> {
        let config = GatewayConfig {
            secrets: secrets(self.options.seed, Role::Gateway, 0),
            clock: self.clock,
            bootstrap: self.bootstrap(),
            port: self.field.gateway.port(),
            devices: List(self.ids.iter().map(|id| *id.as_bytes()).collect()),
            link: self.link,
        };
        std::fs::write(self.folder.join("gateway.cbor"), cbor::to_vec(&config))?;
        let gateway = Process::start("gateway", &self.folder)?;
        match gateway.words.recv_timeout(PATIENCE) {
            Ok(GatewayWord::Ready(_)) => {}
            _ => return Err("the gateway did not start".into()),
        }
        self.gateway = Some(gateway);
        self.findings.gateway_starts += 1;
        Ok(())
    }

    /// Starts the server.
    pub(crate) fn start_server(&mut self) -> Result<(), Box<dyn Error>> {
        self.findings.server_started = self.seconds();
        self.server = Some(Process::start("server", &self.folder)?);
        self.outage("server down", 0.0);
        Ok(())
    }

    fn start_devices(&mut self, input: &Input) -> Result<(), Box<dyn Error>> {
        for index in 0..self.options.devices {
            let channel = input.channel(index);
            let party = party(self.options.seed, Role::Device, index);
            let expires = self.clock.now().saturating_add(LONG);
            let announcement =
                Record::sign(&party.signing, receipt::BUNDLE, 1, expires, &bundle_of(&party, self.clock)?)?;
            let device = Device {
                party,
                topic: format!("station/{index}"),
                readings: channel.readings.clone(),
                batch: channel.readings.len().div_ceil(MESSAGES).clamp(1, batch::MAX_READINGS),
                announcement: announcement.as_bytes().to_vec(),
            };
            self.findings.channels.push((format!("device {index}: {}", channel.name), Vec::new()));
            self.findings.expected += channel.readings.len() as u64;
            let field = self.field.clone();
            let thread = std::thread::Builder::new().name(format!("device {index}"));
            self.devices.push(thread.spawn(move || device.live(&field))?);
        }
        Ok(())
    }

    /// Until the gateway has published and the server has read everything.
    fn catch_up(&mut self, progress: Progress) -> Result<(), Box<dyn Error>> {
        let mut bar = Bar::new(progress, "the server catches up");
        if self.server.is_none() {
            self.start_server()?;
        }
        wait_for("an intruder was not let in", || {
            self.intrude();
            self.listen()?;
            Ok((self.intruders.waiting() == 0).then_some(()).ok_or(self.intruders.waiting() as u64))
        })?;
        self.order_gateway(Order::Finish);
        let expected = self.findings.expected as usize;
        let mut show = |server: &ServerStatus, words: &str| {
            bar.show(server.readings as usize, expected, &format!("{} readings verified:", server.readings), words);
        };
        wait_for("the gateway did not publish everything", || {
            self.listen()?;
            show(&self.findings.server, "the gateway publishes the last of them");
            Ok(self.findings.gateway_is_done.then_some(()).ok_or(self.findings.progress()))
        })?;
        self.server.as_mut().ok_or("there is no server")?.order(Order::Finish);
        wait_for("the server did not read everything", || {
            self.listen()?;
            show(&self.findings.server, "the server reads the last of them and seals its receipts");
            Ok(self.findings.server_is_done.then_some(()).ok_or(self.findings.progress()))
        })?;
        self.count_copies();
        (self.findings.network_octets, self.findings.rate_limited) = self.network.traffic();
        self.findings.lies = self.network.lies();
        bar.done(&format!("{} readings verified and written", self.findings.server.readings));
        Ok(())
    }

    /// Whether each device can read how far the server has its messages, and the thief cannot.
    fn check_receipts(&mut self, progress: Progress) -> Result<(), Box<dyn Error>> {
        let bar = Bar::new(progress, "receipts");
        let seed = self.options.seed;
        let addresses = self.network.bootstrap_addresses();
        let mut auditor = recipients::Recipients::join(seed, self.clock, &addresses, self.field.server)?;
        for index in 0..self.options.devices {
            let receipt = auditor.receipt_of(&party(seed, Role::Device, index))?;
            let sent = self.findings.messages_sent.get(index).copied();
            self.findings.receipts += u64::from(receipt.is_some() && receipt == sent);
        }
        self.findings.thief_reads = auditor.receipt_of(&party(seed, Role::Retired, 0))?.is_some();
        self.server.take().map_or(Ok(()), Process::finish)?;
        self.gateway.take().map_or(Ok(()), Process::finish)?;
        bar.done(&format!("{} devices know that the server has all of their messages", self.findings.receipts));
        Ok(())
    }

    /// Holds what the server wrote against what the devices read.
    fn audit(&mut self, sent: &[Vec<Reading>]) -> Result<(), Box<dyn Error>> {
        let mut accepted = crate::server::accepted(&self.folder)?;
        for (index, (id, sent)) in self.ids.iter().zip(sent).enumerate() {
            let arrived = accepted.remove(id).unwrap_or_default();
            self.findings.audit = self.findings.audit.plus(Audit::compare(sent, &arrived));
            self.findings.channels[index].1 = arrived;
        }
        // Readings of somebody who is no device were never sent.
        for strange in accepted.values() {
            self.findings.audit = self.findings.audit.plus(Audit::compare(&[], strange));
        }
        self.findings.payload_octets = self.field.octets.0.load(Ordering::Relaxed);
        self.findings.message_octets = self.field.octets.1.load(Ordering::Relaxed);
        Ok(())
    }

    /// Tells the gateway something, if it lives.
    pub(crate) fn order_gateway(&mut self, order: Order) {
        if let Some(gateway) = &mut self.gateway {
            gateway.order(order);
        }
    }

    /// Remembers on how many nodes the most widespread record is now, if that is more than ever.
    pub(crate) fn count_copies(&mut self) {
        let copies = self.network.copies().into_values().max().unwrap_or(0);
        self.findings.copies = self.findings.copies.max(copies);
    }

    /// Takes in what the processes say.
    pub(crate) fn listen(&mut self) -> Result<(), Box<dyn Error>> {
        self.network.drain_events();
        if let Some(gateway) = &mut self.gateway {
            for word in gateway.words.try_iter() {
                let (GatewayWord::Status(status) | GatewayWord::Done(status)) = &word else { continue };
                self.findings.gateway_is_done |= matches!(word, GatewayWord::Done(_));
                let seconds = status.at_us.saturating_sub(self.day_begins.as_micros()) as f64 / 1e6;
                self.findings.hear_gateway(seconds, status);
            }
            if gateway.has_ended() {
                return Err("the gateway stopped by itself".into());
            }
        }
        if let Some(server) = &mut self.server {
            for word in server.words.try_iter() {
                self.findings.server_is_done |= matches!(word, ServerWord::Done(_));
                let (ServerWord::Status(status) | ServerWord::Done(status)) = word;
                self.findings.hear_server(status);
            }
            if server.has_ended() {
                return Err("the server stopped by itself".into());
            }
        }
        Ok(())
    }

    /// Lets the intruders make what they can of what they overheard, and hand it in.
    pub(crate) fn intrude(&mut self) {
        self.intruders.listen(&self.field);
        // While the gateway is away, the intruders wait.
        if self.gateway.is_some() {
            let handed_in = self.intruders.hand_in(self.field.gateway);
            self.findings.intrusions = self.findings.intrusions.plus(handed_in);
        }
    }

    /// Remembers that something did not work from a second of the day until now.
    pub(crate) fn outage(&mut self, what: &'static str, since: f64) {
        let now = self.seconds();
        self.findings.outages.push(Outage { what, span: (since, now) });
    }

    /// Seconds of the story since the day began.
    pub(crate) fn seconds(&self) -> f64 {
        self.clock.now().saturating_since(self.day_begins).as_secs_f64()
    }
}

/// Removes the folder of the processes when the run ends.
struct Cleaner(PathBuf);

impl Drop for Cleaner {
    fn drop(&mut self) {
        // What cannot be removed is removed by the next run.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A signed bundle of a party's keys, good for the whole story.
fn bundle_of(party: &Party, clock: Clock) -> Result<Vec<u8>, BundleError> {
    let expires = clock.now().saturating_add(LONG);
    let issued = KeyBundle::issue(&party.signing, party.agreement.public(), 1, expires);
    Ok(issued.expect("a key in memory signs"))
}

/// Starts all nodes and waits until they have found each other.
fn build_network(stage: &mut Stage, clock: Clock, eve: Timestamp) -> Result<Network, Box<dyn Error>> {
    let mut bar = Bar::new(stage.options.progress, "building the network");
    let placements = placements(stage.options.seed, eve)?;
    let sockets = std::mem::take(&mut stage.sockets);
    let network = Network::start(stage.options.seed, clock, stage.options.nodes, sockets, placements)?;
    wait_for("the nodes did not find each other", || {
        let (found, all) = (network.bootstrapped(), network.len());
        bar.show(found, all, &format!("{found} of {all} nodes"), "have found their neighbours");
        Ok((found == all).then_some(()).ok_or(found as u64))
    })?;
    bar.done(&format!("{} nodes on 127.0.0.1, {LIARS} of them liars", network.len()));
    Ok(network)
}

/// How long keys and announcements live.
const LONG: Duration = Duration::from_secs(28 * 86_400);

/// Where the liars stand: next to the head of the feed, next to the bundle of the retired device, and anywhere.
fn placements(seed: u64, eve: Timestamp) -> Result<Vec<Placement>, Box<dyn Error>> {
    let gateway = party(seed, Role::Gateway, 0);
    let mut reader = Reader::new(gateway.id(), FEED, Cursor::default(), ReaderConfig::default());
    let head = reader.poll_fetch(iot_core::Instant::START, eve).ok_or("a reader asks for the head first")?;
    let yesterday = Timestamp::from_secs(eve.as_secs() - 86_400);
    let old_head = Record::sign(&gateway.signing, &head.name, 0, yesterday, b"what was the head long ago")?;

    let retired = party(seed, Role::Retired, 0);
    let bundle = KeyBundle::issue(&retired.signing, retired.agreement.public(), 1, yesterday)?;
    let bundle = Record::sign(&retired.signing, receipt::BUNDLE, 1, yesterday, &bundle)?;
    let of_retired: Key = *bundle.key();

    let near_head = |lie| Placement { lie, near: Some(head.key), planted: vec![old_head.clone()] };
    let near_retired = || Placement { lie: Lie::Expire, near: Some(of_retired), planted: vec![bundle.clone()] };
    let anywhere = |lie| Placement { lie, near: None, planted: Vec::new() };
    Ok(vec![
        near_head(Lie::Forge),
        near_head(Lie::Alter),
        near_head(Lie::Replay),
        near_head(Lie::Expire),
        near_retired(),
        near_retired(),
        near_retired(),
        anywhere(Lie::Forge),
        anywhere(Lie::Forge),
        anywhere(Lie::Alter),
        anywhere(Lie::Alter),
        anywhere(Lie::Alter),
    ])
}

/// Waits until `ready` gives something. Until then it says how far it is; when that does not change for long, the run
/// is given up.
pub(crate) fn wait_for<T>(
    what: &str,
    mut ready: impl FnMut() -> Result<Result<T, u64>, Box<dyn Error>>,
) -> Result<T, Box<dyn Error>> {
    let mut last = (u64::MAX, Instant::now());
    loop {
        match ready()? {
            Ok(found) => return Ok(found),
            Err(progress) if progress != last.0 => last = (progress, Instant::now()),
            Err(_) if last.1.elapsed() > PATIENCE => {
                return Err(format!("{what}: nothing happened for {} s", PATIENCE.as_secs()).into());
            }
            Err(_) => {}
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
