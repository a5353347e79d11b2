//! Tells the hash table where the gateway is.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use iot_core::Timestamp;
use iot_crypto::SigningKey;
use iot_dht::{Contact, Event, Node, NodeConfig, NodeId, Peer};
use iot_driver::Driver;
use iot_link::process::wall;
use rand_chacha::ChaCha20Rng;

use crate::options::Dht;

/// How long a contact is good for, and how often it is signed anew.
const LIFE: Duration = Duration::from_secs(3600);
const RENEWAL: Duration = Duration::from_secs(1200);

/// How soon it is tried again when no node took it.
const RETRY: Duration = Duration::from_secs(10);

/// A node that runs.
pub struct Presence {
    driver: Driver,
    key: Arc<SigningKey>,
    reached: SocketAddr,
    due: Instant,
}

impl Presence {
    /// Starts a node and has it join the table.
    ///
    /// # Errors
    ///
    /// When the address is not free.
    pub fn start(options: &Dht, key: SigningKey, rng: &mut ChaCha20Rng) -> io::Result<Self> {
        let socket = UdpSocket::bind(options.address)?;
        let reached = options.reached.unwrap_or(socket.local_addr()?);
        let key = Arc::new(key);
        let node = Node::new(NodeConfig::default(), key.clone(), iot_core::Instant::START, rng);
        let driver = Driver::spawn(socket, node, wall)?;
        let bootstrap = options.bootstrap.clone();
        driver.call(move |node, now, _| node.bootstrap(now, &bootstrap));
        Ok(Self { driver, key, reached, due: Instant::now() })
    }

    /// Keeps the gateway's contact in the table until `stop`.
    pub fn keep(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            if self.due <= Instant::now() {
                self.due = Instant::now() + RENEWAL;
                self.publish();
            }
            if let Ok(Event::PutDone(done)) = self.driver.events().recv_timeout(Duration::from_millis(200)) {
                if done.stored == 0 {
                    self.due = Instant::now() + RETRY;
                } else {
                    println!("gateway: {} nodes know that {} is at {}", done.stored, self.driver_id(), self.reached);
                }
            }
        }
    }

    fn publish(&self) {
        let now: Timestamp = wall();
        let peer = Peer { id: NodeId::of_node(&self.key.verifying_key()), address: self.reached };
        match Contact::sign(&self.key, now.as_micros(), now, LIFE, &[peer]) {
            Ok(contact) => {
                self.driver.call(move |node, now, wall| node.put(now, wall, contact));
            }
            Err(error) => eprintln!("gateway: the contact cannot be signed: {error}"),
        }
    }

    fn driver_id(&self) -> iot_core::DeviceId {
        self.key.verifying_key().device_id()
    }
}
