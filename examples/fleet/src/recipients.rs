//! Devices that fetch their receipts, and a thief who tries to.

use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use iot_codec::cbor;
use iot_core::{DeviceId, Freshness, KeyId, Position, Topic};
use iot_crypto::{Directory, KeyBundle, Opener, ReplayError, ReplayGuard, VerifyingKey};
use iot_dht::wire::Role as NodeRole;
use iot_dht::{Event, GetMode, Key, Node, Record};
use iot_driver::Driver;

use crate::cast::{Party, Role, party};
use crate::clock::Clock;
use crate::network;
use crate::receipt::{self, Receipt};

/// A client of the hash table for those who have none.
pub struct Recipients {
    driver: Driver,
    server: KeyBundle,
}

impl Recipients {
    /// Joins the network.
    ///
    /// # Errors
    ///
    /// When the network cannot be found.
    pub fn join(seed: u64, clock: Clock, addresses: &[SocketAddr], server: KeyBundle) -> Result<Self, Box<dyn Error>> {
        let mut party = party(seed, Role::Auditor, 0);
        let config = network::config().service(NodeRole::Client);
        let node = Node::new(config, party.signing, iot_core::Instant::START, &mut party.rng);
        let driver = Driver::spawn(UdpSocket::bind("127.0.0.1:0")?, node, move || clock.now())?;
        let addresses = addresses.to_vec();
        driver.call(move |node, now, _| node.bootstrap(now, &addresses));
        let mut recipients = Self { driver, server };
        recipients.wait(|event| matches!(event, Event::Bootstrapped { .. }).then_some(()))?;
        Ok(recipients)
    }

    /// How many messages the server says it has, as `party` reads it with its keys; `None` if there is no receipt that
    /// it can read.
    ///
    /// # Errors
    ///
    /// When the network does not answer.
    pub fn receipt_of(&mut self, party: &Party) -> Result<Option<u64>, Box<dyn Error>> {
        let key = Key::of_record(&self.server.device(), &receipt::name(&party.id()));
        let Some(record) = self.get(key)? else { return Ok(None) };
        let mut message = record.value().to_vec();
        let mut scratch = vec![0; iot_crypto::scratch_len(message.len(), receipt::TOPIC.len())];
        let secrets = std::slice::from_ref(&party.agreement);
        let mut opener = Opener::new(secrets, OnlyServer(*self.server.verifying_key()), FirstTime);
        let topic = Topic::new(receipt::TOPIC)?;
        let Ok(opened) = opener.open(Some(topic), &mut message, &mut scratch) else { return Ok(None) };
        let receipt: Receipt = cbor::from_slice(opened.payload())?;
        Ok(Some(receipt.messages))
    }

    fn get(&mut self, key: Key) -> Result<Option<Record>, Box<dyn Error>> {
        for _ in 0..3 {
            let operation = self.driver.call(move |node, now, wall| node.get(now, wall, key, GetMode::Newest));
            let operation = operation.ok_or("the node has stopped")??;
            let done = self.wait(|event| match event {
                Event::GetDone(done) if done.operation == operation => Some(done),
                _ => None,
            })?;
            if done.record.is_some() {
                return Ok(done.record);
            }
        }
        Ok(None)
    }

    fn wait<T>(&mut self, mut wanted: impl FnMut(Event) -> Option<T>) -> Result<T, Box<dyn Error>> {
        loop {
            let event = self.driver.events().recv_timeout(Duration::from_secs(20))?;
            if let Some(found) = wanted(event) {
                return Ok(found);
            }
        }
    }
}

struct OnlyServer(VerifyingKey);

impl Directory for OnlyServer {
    fn sender(&self, key: KeyId) -> Option<(DeviceId, VerifyingKey)> {
        (key == self.0.key_id()).then(|| (self.0.device_id(), self.0))
    }
}

/// Each opener of a receipt opens one.
struct FirstTime;

impl ReplayGuard for FirstTime {
    fn check(&self, _: &Position) -> Result<(), ReplayError> {
        Ok(())
    }

    fn accept(&mut self, _: &Position) -> Result<Freshness, ReplayError> {
        Ok(Freshness::Unproven)
    }
}
