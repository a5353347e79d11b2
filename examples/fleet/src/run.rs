//! The story, from the first node to the last line.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use iot_codec::cbor::{self, List};
use iot_core::{DeviceId, Timestamp, Topic};
use iot_crypto::KeyBundle;
use iot_dht::feed::{Cursor, Reader, ReaderConfig};
use iot_dht::{Key, Record};

use crate::attacker::{self, Lie};
use crate::audit::Audit;
use crate::cast::{Party, Role, party, secrets};
use crate::clock::Clock;
use crate::device::{Device, Field};
use crate::gateway::FEED;
use crate::input::{Input, Reading};
use crate::intruder::{self, Forger};
use crate::network::{Network, OVERLAY, Placement, Sockets};
use crate::options::{Options, Progress};
use crate::process::Process;
use crate::progress::Bar;
use crate::receipt;
use crate::recipients;
use crate::report::Outage;
use crate::verdict::Findings;
use crate::words::{GatewayConfig, GatewayWord, Order, ServerConfig, ServerStatus, ServerWord};

/// How long the story's day takes the machine.
#[cfg(not(iot_fault))]
const DAY: Duration = Duration::from_secs(20);
/// The tests that switch on faults tell the story often.
#[cfg(iot_fault)]
const DAY: Duration = Duration::from_secs(8);

/// How much faster than the machine's the clock of the story runs.
const FACTOR: u64 = 86_400 / DAY.as_secs();

/// What happens when, in parts of the day.
const FLOOD: f64 = 0.20;
const LINK_DOWN: (f64, f64) = (0.35, 0.52);
/// While the link is down and the queue is full.
const KILL_GATEWAY: f64 = 0.43;
const REPLACE_NODES: f64 = 0.62;
const START_SERVER: f64 = 0.75;

/// How long the gateway stays dead.
const DEAD: Duration = Duration::from_millis(1200);

/// How long anything else may take before the run is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Requests of the flood.
const FLOOD_REQUESTS: u32 = 5_000;

/// One intruder message of each kind for so many that devices send.
const INTRUSION_INTERVAL: usize = 16;

/// Readings of one message at the most, so that it fits a segment whatever they are.
const MAX_BATCH: usize = 30;

/// Messages that a device spreads its readings over, if it has enough of them.
const MESSAGES: usize = 48;

/// What must be there before the story can begin, and is refused with a message if it is not.
pub struct Stage {
    options: Options,
    input: Input,
    sockets: Sockets,
    gateway: SocketAddr,
    folder: PathBuf,
    liars: usize,
}

/// How many nodes lie.
const LIARS: usize = 12;

impl Stage {
    /// Checks everything that a person can get wrong.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub fn set(options: Options) -> Result<Self, String> {
        let input = match &options.input {
            Some(path) => Input::from_path(path).map_err(|error| format!("{}: {error}", path.display()))?,
            None => Input::from_reader(&include_bytes!("../data/surfrad-alamosa-2016-01-01.csv")[..])
                .map_err(|error| error.to_string())?,
        };
        let taken = |(port, error): (u16, std::io::Error)| format!("port {port} on 127.0.0.1 cannot be had: {error}");
        let sockets = Sockets::bind(options.port, options.nodes + LIARS).map_err(taken)?;
        let port = options.port.unwrap_or(0);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| taken((port, error)))?;
        let gateway = listener.local_addr().map_err(|error| error.to_string())?;
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
        let folder = target.join("fleet");
        prepare(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self { options, input, sockets, gateway, folder, liars: LIARS })
    }

    /// Where the page with the plots goes.
    pub fn page(&self) -> PathBuf {
        self.folder.join("report.html")
    }
}

/// Makes the folder for this run, without what an earlier run left.
fn prepare(folder: &Path) -> std::io::Result<()> {
    let processes = folder.join("processes");
    if processes.exists() {
        std::fs::remove_dir_all(&processes)?;
    }
    std::fs::create_dir_all(&processes)
}

/// Everything that is under way.
struct Story {
    options: Options,
    folder: PathBuf,
    clock: Clock,
    day_begins: Timestamp,
    network: Network,
    field: Arc<Field>,
    devices: Vec<JoinHandle<std::io::Result<u64>>>,
    ids: Vec<DeviceId>,
    gateway: Option<Process<GatewayWord>>,
    server: Option<Process<ServerWord>>,
    intruders: Intruders,
    findings: Findings,
}

/// Those who hand in what is not theirs.
struct Intruders {
    forger: Forger,
    snoop: Party,
    /// Overheard messages that were made use of, and messages for the second reader that were passed on.
    used: (usize, usize),
    waiting: Vec<Vec<u8>>,
    devices: Vec<(iot_crypto::VerifyingKey, iot_core::Incarnation)>,
}

/// Tells the story and says how it ended.
///
/// # Errors
///
/// What kept it from its end.
pub fn run(stage: Stage) -> Result<Findings, Box<dyn Error>> {
    let started = Instant::now();
    let progress = stage.options.progress;
    let sent: Vec<Vec<Reading>> =
        (0..stage.options.devices).map(|index| stage.input.channel(index).readings.clone()).collect();
    let mut story = Story::begin(stage)?;
    story.live_the_day(progress)?;
    story.catch_up(progress)?;
    story.check_receipts(progress)?;
    story.audit(&sent)?;
    story.findings.seconds = started.elapsed().as_secs_f64();
    Ok(story.findings)
}

impl Story {
    fn begin(stage: Stage) -> Result<Self, Box<dyn Error>> {
        let Stage { options, input, sockets, gateway, folder, liars } = stage;
        let seed = options.seed;
        let mut bar = Bar::new(options.progress, "building the network");
        let first = (0..options.devices).find_map(|index| input.channel(index).readings.first());
        // Those who set everything up do so on the day before.
        let eve = first.map_or(Timestamp::from_secs(86_400), |reading| reading.time);
        let eve = Timestamp::from_secs(eve.as_secs().saturating_sub(43_200).max(10 * 86_400));
        let clock = Clock::new(eve, SystemTime::now(), FACTOR);
        let placements = placements(seed, eve)?;
        debug_assert_eq!(placements.len(), liars);
        let network = Network::start(seed, clock, options.nodes, sockets, placements)?;
        wait_for("the nodes did not find each other", || {
            let found = network.bootstrapped();
            bar.show(
                found,
                network.len(),
                &format!("{found} of {} nodes", network.len()),
                "have found their neighbours",
            );
            Ok((found == network.len()).then_some(()))
        })?;
        bar.done(&format!("{} nodes on 127.0.0.1, {LIARS} of them liars", network.len()));

        let bundle_of = |party: &Party| -> Result<Vec<u8>, Box<dyn Error>> {
            Ok(KeyBundle::issue(&party.signing, party.agreement.public(), 1, clock.now().saturating_add(LONG))?)
        };
        let verified = |party: &Party| -> Result<KeyBundle, Box<dyn Error>> {
            Ok(KeyBundle::verify(&bundle_of(party)?, &party.id(), clock.now())?)
        };
        let (server, snoop) = (party(seed, Role::Server, 0), party(seed, Role::Snoop, 0));
        let day_begins = clock.now();
        let field = Arc::new(Field {
            gateway,
            clock,
            day: (day_begins, clock.stretched(DAY)),
            server: verified(&server)?,
            snoop: verified(&snoop)?,
            handed_over: AtomicU64::new(0),
            octets: (AtomicU64::new(0), AtomicU64::new(0)),
            overheard: Mutex::new(Vec::new()),
            for_snoop: Mutex::new(Vec::new()),
        });
        let parties = (0..options.devices).map(|index| party(seed, Role::Device, index));
        let known = parties.map(|device| (device.signing.verifying_key(), device.incarnation)).collect::<Vec<_>>();
        let intruders = Intruders {
            forger: Forger::new(party(seed, Role::Forger, 0), field.server),
            snoop,
            used: (0, 0),
            waiting: Vec::new(),
            devices: known,
        };
        let ids = (0..options.devices).map(|index| party(seed, Role::Device, index).id()).collect();
        let mut story = Self {
            findings: Findings::new(options.nodes, LIARS),
            folder: folder.join("processes"),
            options,
            clock,
            day_begins,
            network,
            field,
            devices: Vec::new(),
            ids,
            gateway: None,
            server: None,
            intruders,
        };
        story.configure()?;
        story.start_gateway()?;
        story.start_devices(&input, bundle_of)?;
        Ok(story)
    }

    /// Writes what each process is given.
    fn configure(&self) -> Result<(), Box<dyn Error>> {
        let seed = self.options.seed;
        let bootstrap = || List(self.network.bootstrap_addresses().iter().map(SocketAddr::to_string).collect());
        let gateway = GatewayConfig {
            secrets: secrets(seed, Role::Gateway, 0),
            clock: self.clock,
            bootstrap: bootstrap(),
            port: self.field.gateway.port(),
        };
        std::fs::write(self.folder.join("gateway.cbor"), cbor::to_vec(&gateway))?;
        let retired = party(seed, Role::Retired, 0).signing.verifying_key();
        let devices = self.intruders.devices.iter().map(|(key, _)| *key.as_bytes());
        let server = ServerConfig {
            secrets: secrets(seed, Role::Server, 0),
            clock: self.clock,
            bootstrap: bootstrap(),
            gateway: *party(seed, Role::Gateway, 0).id().as_bytes(),
            devices: List(devices.chain([*retired.as_bytes()]).collect()),
        };
        std::fs::write(self.folder.join("server.cbor"), cbor::to_vec(&server))?;
        Ok(())
    }

    fn start_gateway(&mut self) -> Result<(), Box<dyn Error>> {
        let gateway = Process::start("gateway", &self.folder)?;
        match gateway.words.recv_timeout(PATIENCE) {
            Ok(GatewayWord::Ready(_)) => {}
            _ => return Err("the gateway did not start".into()),
        }
        self.gateway = Some(gateway);
        Ok(())
    }

    fn start_devices(
        &mut self,
        input: &Input,
        bundle_of: impl Fn(&Party) -> Result<Vec<u8>, Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        for index in 0..self.options.devices {
            let channel = input.channel(index);
            let party = party(self.options.seed, Role::Device, index);
            let expires = self.clock.now().saturating_add(LONG);
            let announcement = Record::sign(&party.signing, receipt::BUNDLE, 1, expires, &bundle_of(&party)?)?;
            let device = Device {
                party,
                topic: format!("station/{index}"),
                readings: channel.readings.clone(),
                batch: channel.readings.len().div_ceil(MESSAGES).clamp(1, MAX_BATCH),
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

    /// From the first reading to the last, with everything that goes wrong on the way.
    fn live_the_day(&mut self, progress: Progress) -> Result<(), Box<dyn Error>> {
        let mut bar = Bar::new(progress, "the day");
        let mut words = "devices sign, seal and hand over";
        let mut killed: Option<(Instant, f64)> = None;
        let mut flood = None;
        let mut gateway_was_killed = false;
        let mut link_is_down = false;
        let mut nodes_were_replaced = false;
        let deadline = Instant::now() + DAY + 2 * PATIENCE;
        while self.devices.iter().any(|device| !device.is_finished()) {
            if Instant::now() > deadline {
                return Err("the devices did not come to the end of the day".into());
            }
            let share = self.hour() / 24.0;
            if share > KILL_GATEWAY && !gateway_was_killed {
                gateway_was_killed = true;
                killed = Some((Instant::now(), self.seconds()));
                self.gateway.take().into_iter().for_each(Process::kill);
                words = "the gateway was killed; devices keep what it did not acknowledge";
            }
            if let Some((_, seconds)) = killed.filter(|(at, _)| at.elapsed() > DEAD) {
                self.start_gateway()?;
                // The new process knows nothing of the link.
                link_is_down = false;
                killed = None;
                self.outage("gateway killed", seconds);
                words = "the gateway is back with its queue, its link is still down";
            }
            if share > FLOOD && flood.is_none() {
                let victim = self.network.victim();
                flood = Some(std::thread::spawn(move || attacker::flood(victim, OVERLAY, FLOOD_REQUESTS)));
            }
            let is_down = (LINK_DOWN.0..LINK_DOWN.1).contains(&share);
            if is_down != link_is_down && self.gateway.is_some() {
                link_is_down = is_down;
                self.order_gateway(if is_down { Order::LinkDown } else { Order::LinkUp });
                if is_down && !gateway_was_killed {
                    words = "the gateway's link is down; its queue grows";
                } else if !is_down {
                    self.outage("link down", LINK_DOWN.0 * 86_400.0);
                    words = "the link is back; the queue drains into the hash table";
                }
            }
            if share > REPLACE_NODES && !nodes_were_replaced {
                nodes_were_replaced = true;
                let seconds = self.seconds();
                self.findings.replaced = self.network.replace_a_quarter()?;
                self.outage("a quarter of the nodes replaced", seconds);
                words = "a quarter of the nodes has left, others have joined";
            }
            if share > START_SERVER && self.server.is_none() {
                self.findings.server_started = self.seconds();
                self.server = Some(Process::start("server", &self.folder)?);
                self.outage("server down", 0.0);
                words = "the server is up, and pulls what it missed";
            }
            self.intrude();
            self.listen()?;
            let handed_over = self.field.handed_over.load(Ordering::Relaxed);
            let count = format!("{:4.1} h, {handed_over} readings:", self.hour().min(24.0));
            bar.show(handed_over as usize, self.findings.expected as usize, &count, words);
            std::thread::sleep(Duration::from_millis(15));
        }
        for device in std::mem::take(&mut self.devices) {
            let sent = device.join().map_err(|_| "a device panicked")??;
            self.findings.messages_sent.push(sent);
        }
        let flooded = flood.map(|flood| flood.join().map_err(|_| "the flood panicked")).transpose()?.transpose()?;
        self.findings.flooded = u64::from(flooded.unwrap_or(0));
        bar.done(&format!("{} readings handed over", self.field.handed_over.load(Ordering::Relaxed)));
        Ok(())
    }

    /// Until the gateway has published and the server has read everything.
    fn catch_up(&mut self, progress: Progress) -> Result<(), Box<dyn Error>> {
        let mut bar = Bar::new(progress, "the server catches up");
        if self.server.is_none() {
            self.findings.server_started = self.seconds();
            self.server = Some(Process::start("server", &self.folder)?);
        }
        wait_for("an intruder was not let in", || {
            self.intrude();
            self.listen()?;
            Ok(self.intruders.waiting.is_empty().then_some(()))
        })?;
        self.order_gateway(Order::Finish);
        let expected = self.findings.expected as usize;
        let mut show = |server: &ServerStatus, words: &str| {
            bar.show(server.readings as usize, expected, &format!("{} readings verified:", server.readings), words);
        };
        wait_for("the gateway did not publish everything", || {
            self.listen()?;
            show(&self.findings.server, "the gateway publishes the last of them");
            Ok(self.findings.gateway_is_done.then_some(()))
        })?;
        self.server.as_mut().ok_or("there is no server")?.order(Order::Finish);
        wait_for("the server did not read everything", || {
            self.listen()?;
            show(&self.findings.server, "the server reads the last of them and seals its receipts");
            Ok(self.findings.server_is_done.then_some(()))
        })?;
        self.findings.copies = self.network.copies().into_values().max().unwrap_or(0);
        let (octets, rate_limited) = self.network.traffic();
        (self.findings.network_octets, self.findings.rate_limited) = (octets, rate_limited);
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

    fn order_gateway(&mut self, order: Order) {
        if let Some(gateway) = &mut self.gateway {
            gateway.order(order);
        }
    }

    /// Takes in what the processes say.
    fn listen(&mut self) -> Result<(), Box<dyn Error>> {
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

    /// Forges, alters and repeats some of what was overheard, and passes on what was meant for another.
    fn intrude(&mut self) {
        let overheard = self.field.overheard.lock().expect("nobody panics with the lock").clone();
        let intruders = &mut self.intruders;
        while intruders.used.0 + INTRUSION_INTERVAL <= overheard.len()
            || (intruders.used.0 == 0 && !overheard.is_empty())
        {
            let message = &overheard[intruders.used.0];
            intruders.used.0 += INTRUSION_INTERVAL;
            let Some(source) = intruder::source_of(message) else { continue };
            let Some(index) = self.ids.iter().position(|id| *id == source) else { continue };
            let (key, incarnation) = intruders.devices[index];
            let topic = format!("station/{index}");
            let topic = Topic::new(&topic).expect("a topic without wildcards");
            intruders.waiting.push(intruders.forger.forge(key, incarnation, topic, self.clock.now()));
            intruders.waiting.push(intruder::altered(message));
            intruders.waiting.push(message.clone());
        }
        let for_snoop = self.field.for_snoop.lock().expect("nobody panics with the lock").clone();
        for message in &for_snoop[intruders.used.1..] {
            let server = self.field.server.agreement_key();
            let snoop = &mut intruders.snoop;
            let mut rng = snoop.rng.clone();
            intruders.waiting.extend(intruder::resealed(message, snoop, server, &mut rng));
            snoop.rng = rng;
        }
        intruders.used.1 = for_snoop.len();
        // While the gateway is away, the intruders wait.
        if self.gateway.is_some() && intruder::hand_in(self.field.gateway, &intruders.waiting).is_ok() {
            self.findings.intrusions += intruders.waiting.len() as u64;
            intruders.waiting.clear();
        }
    }

    fn outage(&mut self, what: &'static str, since: f64) {
        let now = self.seconds();
        self.findings.outages.push(Outage { what, span: (since, now) });
    }

    /// Seconds of the story since the day began.
    fn seconds(&self) -> f64 {
        self.clock.now().saturating_since(self.day_begins).as_secs_f64()
    }

    fn hour(&self) -> f64 {
        self.seconds() / 3600.0
    }
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

/// Waits until `ready` gives something.
fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Result<Option<T>, Box<dyn Error>>) -> Result<T, Box<dyn Error>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ready()? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(format!("{what} within {} s", PATIENCE.as_secs()).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
