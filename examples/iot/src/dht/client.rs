//! A node that joins a network for as long as a command takes.

use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use iot_core::{DeviceId, Instant, Timestamp};
use iot_crypto::SigningKey;
use iot_dht::subscription::{Subscription, SubscriptionConfig};
use iot_dht::wire::Role;
use iot_dht::{
    Admission, AdmissionKey, Event, GetDone, GetMode, Key, Node, NodeConfig, PutDone, Record, Rejection, SubnetLimit,
    TableConfig, Verification,
};
use iot_driver::{Beside, Task};
use rand_chacha::ChaCha20Rng;

use crate::Failure;
use crate::envelope::keys::{self, Signing};
use crate::envelope::options::Options;
use crate::envelope::{failed, generator, octets_of};

/// How long a network may take to answer for the first time.
const JOINING: Duration = Duration::from_secs(15);

/// How long one operation may take.
const LONGEST: Duration = Duration::from_secs(60);

/// The options of all commands that join a network.
pub const OPTIONS: [&str; 3] = ["bootstrap", "overlay", "admission"];

/// Runs what a command does, on one thread.
pub fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::Input(format!("there is no runtime: {error}")))?.block_on(command)
}

/// A client of a network.
pub struct Client {
    task: Task,
    started: std::time::Instant,
}

impl Client {
    /// Joins through the addresses of `--bootstrap`.
    pub async fn join(options: &Options) -> Result<Self, Failure> {
        Self::join_beside(options, Beside::Nothing).await
    }

    /// Joins, and is told of new versions of the record under a key.
    pub async fn join_and_subscribe(options: &Options, key: Key) -> Result<Self, Failure> {
        let subscription = Subscription::new(key, None, SubscriptionConfig::default(), &mut generator()?);
        Self::join_beside(options, Beside::Subscription(subscription)).await
    }

    async fn join_beside(options: &Options, beside: Beside) -> Result<Self, Failure> {
        let addresses = bootstrap(options)?;
        if addresses.is_empty() {
            return Err(Failure::Usage("--bootstrap is missing".into()));
        }
        let local = if addresses.iter().all(SocketAddr::is_ipv4) {
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
        } else {
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
        };
        let mut rng = generator()?;
        let node = node(options, Role::Client, SigningKey::generate(&mut rng), &mut rng)?;
        let started = std::time::Instant::now();
        let mut client = Self { task: spawn(local, node, beside).await?, started };
        let asked = addresses.len();
        client.task.call(move |node, now, _| node.bootstrap(now, &addresses)).await;
        let joined = client.wait(JOINING, |event| matches!(event, Event::Bootstrapped { .. }).then_some(())).await;
        joined.map_err(|_| Failure::Input(format!("none of {asked} addresses of --bootstrap answers")))?;
        Ok(client)
    }

    /// Puts a record; where the record with this sequence stands, if one is named.
    pub async fn put(&mut self, record: Record, replaces: Option<u64>) -> Result<PutDone, Failure> {
        let start = move |node: &mut Node, now, wall| match replaces {
            Some(sequence) => node.put_replacing(now, wall, record, sequence),
            None => node.put(now, wall, record),
        };
        let operation = self.call(start).await?.map_err(busy)?;
        self.wait(LONGEST, |event| match event {
            Event::PutDone(done) if done.operation == operation => Some(done),
            _ => None,
        })
        .await
    }

    pub async fn get(&mut self, key: Key, mode: GetMode) -> Result<GetDone, Failure> {
        let operation = self.call(move |node, now, wall| node.get(now, wall, key, mode)).await?.map_err(busy)?;
        self.wait(LONGEST, |event| match event {
            Event::GetDone(done) if done.operation == operation => Some(done),
            _ => None,
        })
        .await
    }

    /// Runs `call` on the node.
    pub async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Node, Instant, Timestamp) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        self.task.call(call).await.ok_or_else(stopped)
    }

    /// The next event, or the next version of the record that was subscribed to, if one comes in this time.
    pub async fn event_or_change(&mut self, within: Duration) -> Result<Option<Result<Event, Record>>, Failure> {
        match tokio::time::timeout(within, self.task.event_or_change()).await {
            Ok(Some(come)) => Ok(Some(come)),
            Ok(None) => Err(stopped()),
            Err(_) => Ok(None),
        }
    }

    /// How long the client has been there, on a clock that starts with it.
    pub fn now(&self) -> Instant {
        Instant::START.saturating_add(self.started.elapsed())
    }

    async fn wait<T>(&mut self, within: Duration, mut wanted: impl FnMut(Event) -> Option<T>) -> Result<T, Failure> {
        let search = async {
            loop {
                let event = self.task.event().await.ok_or_else(stopped)?;
                if let Some(found) = wanted(event) {
                    return Ok(found);
                }
            }
        };
        let late = || Failure::Input(format!("the network gave no answer within {} s", within.as_secs()));
        tokio::time::timeout(within, search).await.unwrap_or_else(|_| Err(late()))
    }
}

/// Runs a node, and what is beside it, on a socket.
pub async fn spawn(address: SocketAddr, node: Node, beside: Beside) -> Result<Task, Failure> {
    let bound = tokio::net::UdpSocket::bind(address).await;
    let bound = bound.and_then(|socket| Task::spawn_beside(socket, node, beside, wall));
    bound.map_err(|error| Failure::Input(format!("cannot listen on {address}: {error}")))
}

/// A node of the network that `--overlay` names.
pub fn node(options: &Options, role: Role, key: SigningKey, rng: &mut ChaCha20Rng) -> Result<Node, Failure> {
    let mut config = NodeConfig::default().service(role).overlay(options.number("overlay")?.unwrap_or(0));
    if role == Role::Server {
        config = config.verification(Verification::HandedOut);
    }
    // A client holds what it is told, and is in nobody's table.
    if role == Role::Client || options.has("local") {
        config = config.table(TableConfig::default().subnets(SubnetLimit::Off));
    }
    Ok(Node::new(config, key, Instant::START, rng).with_admission(admission(options)?))
}

/// Who belongs to the network: whoever has the key in the file of `--admission`, if there is one.
fn admission(options: &Options) -> Result<Admission, Failure> {
    let Some(file) = options.get("admission") else { return Ok(Admission::Open) };
    let digits = std::fs::read_to_string(file).map_err(|error| failed(file, &error))?;
    let key = octets_of(digits.trim()).ok().and_then(|octets| <[u8; 32]>::try_from(octets).ok());
    let wrong = || Failure::Input(format!("{}: not a key of 64 hexadecimal digits", file.display()));
    Ok(Admission::Key(AdmissionKey::new(&key.ok_or_else(wrong)?)))
}

/// The addresses of `--bootstrap`: names or numbers with a port, several with commas between them.
pub fn bootstrap(options: &Options) -> Result<Vec<SocketAddr>, Failure> {
    let mut addresses = Vec::new();
    for name in options.text("bootstrap")?.into_iter().flat_map(|names| names.split(',')) {
        let found = name.to_socket_addrs();
        addresses.extend(found.map_err(|error| Failure::Usage(format!("--bootstrap {name:?}: {error}")))?);
    }
    Ok(addresses)
}

/// The key of `--key`, which signs records.
pub fn signing(options: &Options) -> Result<SigningKey, Failure> {
    match keys::signing(options)? {
        Signing::Ed25519(key) => Ok(key),
        Signing::P256(_) => Err(Failure::Input("records are signed with a key of the kind ed25519".into())),
    }
}

/// Whose records are meant: the device of `--from`, a public key, or of `--device`, a thumbprint.
pub fn owner(options: &Options) -> Result<DeviceId, Failure> {
    match (options.get("from"), options.text("device")?) {
        (Some(file), None) => Ok(keys::verifying(file)?.device_id()),
        (None, Some(digits)) => <[u8; 32]>::try_from(octets_of(digits)?)
            .map(DeviceId::from_bytes)
            .map_err(|_| Failure::Usage("--device takes 64 hexadecimal digits".into())),
        _ => Err(Failure::Usage("one of --from and --device says whose it is".into())),
    }
}

/// The time of day.
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::EPOCH.saturating_add(since)
}

/// Why a node refused a record.
pub fn words(reason: Rejection) -> &'static str {
    match reason {
        Rejection::Malformed => "it is malformed",
        Rejection::TooLarge => "it is too large",
        Rejection::WrongKey => "it is another record",
        Rejection::Signature => "its owner did not sign it",
        Rejection::Expired => "it has expired",
        Rejection::ExpiryTooFar => "it would live too long",
        Rejection::WrongHash => "it is not what the index names",
        Rejection::Superseded => "a newer one is known",
        Rejection::Conflict => "another one of the same sequence is known",
        Rejection::Quota => "its owner has too many",
        Rejection::Full => "the store is full",
        Rejection::Token => "the token is not good any more",
        Rejection::Changed => "another record is there than the one to replace",
        _ => "for a reason that this tool does not know",
    }
}

fn busy(error: iot_dht::Busy) -> Failure {
    Failure::Input(error.to_string())
}

fn stopped() -> Failure {
    Failure::Input("the node has stopped".into())
}
