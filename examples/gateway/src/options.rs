//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use lexopt::prelude::*;

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where the gateway keeps its key and its queue.
    pub folder: PathBuf,
    /// Where the receiver takes packets.
    pub receiver: String,
    /// Where it has packets for devices.
    pub back: Option<String>,
    /// Where datagrams come in.
    pub udp: Option<String>,
    /// Where connections come in.
    pub tcp: Option<String>,
    /// Where requests come in.
    pub http: Option<String>,
    /// The broker that packets come by.
    pub mqtt: Option<Mqtt>,
    /// Where confirmable posts come in.
    pub coap: Option<String>,
    /// Where metrics are.
    pub status: Option<String>,
    /// The folders of thermometers whose readings leave as means of a minute.
    pub minutes: Vec<PathBuf>,
    /// The folder with the keys under which those leave.
    pub reports: Option<PathBuf>,
    /// The node of the hash table, if there is one.
    pub dht: Option<Dht>,
    /// MiB of the queue.
    pub capacity: u32,
    /// Packets a second from one address.
    pub rate: u32,
}

/// A broker of MQTT.
#[derive(Clone, Debug)]
pub struct Mqtt {
    /// Where it is.
    pub address: String,
    /// What is before `/readings` and `/commands` in the topics of devices.
    pub topic: String,
    /// Its version.
    pub version: String,
    /// The user that it knows, and a file with the password.
    pub user: Option<(String, PathBuf)>,
}

/// A node of the hash table.
#[derive(Clone, Debug)]
pub struct Dht {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where others reach it, if that is somewhere else.
    pub reached: Option<SocketAddr>,
    /// Nodes to join by.
    pub bootstrap: Vec<SocketAddr>,
}

/// What `--help` prints.
pub const HELP: &str =
    "Takes sealed packets of many devices over many transports, keeps them in one queue, and mirrors \
that to a receiver.

  gateway FOLDER --receiver ADDRESS [options]

  --receiver ADDRESS   where the receiver takes packets (TCP); `gateway-receiver` and `iot queue receive` do
  --back ADDRESS       where it has packets for devices (TCP)
  --udp ADDRESS        take packets in datagrams
  --tcp ADDRESS        take packets in connections
  --http ADDRESS       take packets in requests to /packets/DEVICE
  --mqtt ADDRESS       take packets of devices that publish them to a broker
  --topic FILTER       what is before /readings and /commands in their topics, by default iot/+
  --user NAME          the user that the broker knows
  --password FILE      a file with the user's password
  --mqtt-version V     5 or 3.1.1, by default 5
  --coap ADDRESS       take packets in confirmable posts to /packets/DEVICE; what is for it, it observes at
                       /commands/DEVICE
  --minutes FOLDER     read the messages of a thermometer, and forward means of a minute; FOLDER holds its keys and the
                       gateway's, as `udp keys FOLDER` draws them; may be said again
  --reports FOLDER     keys of the same kind, by which the receiver gets those means
  --status ADDRESS     answer /metrics and /health
  --dht ADDRESS        be a node of the hash table there
  --reached ADDRESS    where others reach that node, if that is somewhere else
  --bootstrap ADDRESS  a node to join by; may be said again
  --capacity N         MiB of the queue, 16 to 65536, by default 64; when it is full, the oldest packets are dropped
  --rate N             packets a second that an address may send, by default 1000";

impl Options {
    /// Reads a command line; nothing if it asks for help.
    ///
    /// # Errors
    ///
    /// When it makes no sense.
    pub fn parse(mut parser: lexopt::Parser) -> Result<Option<Self>, lexopt::Error> {
        let mut options = Self { capacity: 64, rate: 1000, ..Self::default() };
        let (mut receiver, mut dht, mut reached, mut bootstrap) = (None, None, None, Vec::new());
        let (mut mqtt, mut user, mut password) = (None, None, None);
        let (mut topic, mut version) = ("iot/+".to_owned(), "5".to_owned());
        while let Some(argument) = parser.next()? {
            match argument {
                Long("help") | Short('h') => return Ok(None),
                Long("receiver") => receiver = Some(parser.value()?.string()?),
                Long("back") => options.back = Some(parser.value()?.string()?),
                Long("udp") => options.udp = Some(parser.value()?.string()?),
                Long("tcp") => options.tcp = Some(parser.value()?.string()?),
                Long("http") => options.http = Some(parser.value()?.string()?),
                Long("mqtt") => mqtt = Some(parser.value()?.string()?),
                Long("topic") => topic = parser.value()?.string()?,
                Long("user") => user = Some(parser.value()?.string()?),
                Long("password") => password = Some(PathBuf::from(parser.value()?)),
                Long("mqtt-version") => version = parser.value()?.string()?,
                Long("coap") => options.coap = Some(parser.value()?.string()?),
                Long("minutes") => options.minutes.push(parser.value()?.into()),
                Long("reports") => options.reports = Some(parser.value()?.into()),
                Long("status") => options.status = Some(parser.value()?.string()?),
                Long("dht") => dht = Some(parser.value()?.parse()?),
                Long("reached") => reached = Some(parser.value()?.parse()?),
                Long("bootstrap") => bootstrap.push(parser.value()?.parse()?),
                Long("capacity") => options.capacity = parser.value()?.parse()?,
                Long("rate") => options.rate = parser.value()?.parse()?,
                Value(path) if options.folder.as_os_str().is_empty() => options.folder = path.into(),
                other => return Err(other.unexpected()),
            }
        }
        if options.folder.as_os_str().is_empty() {
            return Err("a folder is missing: see --help".into());
        }
        options.receiver = receiver.ok_or("--receiver is missing: see --help")?;
        if !(16..=65_536).contains(&options.capacity) {
            return Err(format!("--capacity takes a number from 16 to 65536, not {}", options.capacity).into());
        }
        if dht.is_none() && (reached.is_some() || !bootstrap.is_empty()) {
            return Err("--reached and --bootstrap are for --dht".into());
        }
        if options.minutes.is_empty() != options.reports.is_none() {
            return Err("--minutes and --reports go together".into());
        }
        if user.is_some() != password.is_some() {
            return Err("--user and --password go together".into());
        }
        let user = user.zip(password);
        options.mqtt = mqtt.map(|address| Mqtt { address, topic, version, user });
        options.dht = dht.map(|address| Dht { address, reached, bootstrap });
        Ok(Some(options))
    }
}
