//! Nodes of the hash table that lie to whoever asks them, and one that floods another.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use iot_core::Timestamp;
use iot_crypto::{Signature, Signer, SignerError, SigningKey, VerifyingKey};
use iot_dht::wire::proof::Signed;
use iot_dht::wire::{Body, Get, Message, Role, Value};
use iot_dht::{Key, NodeId, Record, UnverifiedRecord};
use iot_driver::{Filter, Verdict};

/// How an attacker answers whoever asks for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lie {
    /// With the right name and owner, but signed by itself.
    Forge,
    /// With what the owner signed, one bit changed.
    Alter,
    /// With the oldest version that has not expired.
    Replay,
    /// With a version that has expired.
    Expire,
}

/// Somebody who signs as somebody else.
pub struct Impostor<'k> {
    /// As whom.
    pub claimed: VerifyingKey,
    /// With what.
    pub key: &'k SigningKey,
}

impl Signer for Impostor<'_> {
    fn verifying_key(&self) -> VerifyingKey {
        self.claimed
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        Ok(self.key.sign(message))
    }
}

/// A node that stores and routes as it should, so that it stays in everyone's table, and lies when it is asked for a
/// record of which it knows enough.
pub struct Liar {
    lie: Lie,
    told: Arc<AtomicU64>,
    key: Arc<SigningKey>,
    id: NodeId,
    /// Every version that it was ever given, in order.
    known: HashMap<Key, Vec<Vec<u8>>>,
}

/// Versions of one record that a liar remembers: the first ones, which are the oldest.
const MAX_VERSIONS: usize = 64;

impl Liar {
    /// A liar with the node key `key`, who starts with `planted` records.
    /// Counts in `told` how often it lied.
    pub fn new(lie: Lie, told: Arc<AtomicU64>, key: Arc<SigningKey>, planted: &[Record]) -> Self {
        let mut known: HashMap<Key, Vec<Vec<u8>>> = HashMap::new();
        for record in planted {
            known.entry(*record.key()).or_default().push(record.as_bytes().to_vec());
        }
        Self { lie, told, id: NodeId::of_node(&key.verifying_key()), key, known }
    }

    /// What stands between the network and the node.
    pub fn into_filter(mut self, overlay: u64) -> Filter {
        Box::new(move |wall, from, datagram| self.judge(overlay, wall, from, datagram).unwrap_or(Verdict::Deliver))
    }

    fn judge(&mut self, overlay: u64, wall: Timestamp, from: SocketAddr, datagram: &[u8]) -> Option<Verdict> {
        let message = Message::decode(datagram).ok()?;
        match message.body {
            Body::Put(put) => {
                let record = UnverifiedRecord::parse(put.record).ok()?;
                let versions = self.known.entry(*record.key()).or_default();
                if versions.len() < MAX_VERSIONS {
                    versions.push(put.record.to_vec());
                }
                None
            }
            Body::Get(Get { key, .. }) => {
                let record = self.lie_about(&key, wall)?;
                self.told.fetch_add(1, Ordering::Relaxed);
                // It holds the key of its identifier, and lies about nothing but the record.
                let signed = message.challenge.map(|challenge| Signed::answer(&self.key, &message, &challenge, from));
                let signed = signed.transpose().ok()?;
                let body = Body::Value(Value { record: &record, nodes: None });
                let mut answer = Message::new(overlay, message.transaction, self.id, Role::Server, body);
                answer.proof = signed.as_ref().map(Signed::proof);
                Some(Verdict::Answer(answer.encode()))
            }
            _ => None,
        }
    }

    fn lie_about(&self, key: &Key, wall: Timestamp) -> Option<Vec<u8>> {
        let versions = self.known.get(key)?;
        match self.lie {
            Lie::Forge => self.forge(versions.last()?, wall),
            Lie::Alter => {
                let mut altered = versions.last()?.clone();
                // The last octets are the signature; what stands before them is the value.
                let place = altered.len().checked_sub(80)?;
                altered[place] ^= 1;
                Some(altered)
            }
            Lie::Replay => {
                let alive = |octets: &&Vec<u8>| UnverifiedRecord::parse(octets).is_ok_and(|it| it.verify(wall).is_ok());
                let (_, older) = versions.split_last()?;
                older.iter().find(alive).cloned()
            }
            Lie::Expire => {
                let expired = |octets: &&Vec<u8>| UnverifiedRecord::parse(octets).is_ok_and(|it| it.expires() <= wall);
                versions.iter().find(expired).cloned()
            }
        }
    }

    fn forge(&self, known: &[u8], wall: Timestamp) -> Option<Vec<u8>> {
        let record = UnverifiedRecord::parse(known).ok()?;
        let impostor = Impostor { claimed: record.verifying_key(), key: &self.key };
        let expires = wall.saturating_add(Duration::from_secs(86_400));
        let forged = Record::sign(&impostor, record.name(), record.sequence() + 1, expires, b"forged").ok()?;
        Some(forged.as_bytes().to_vec())
    }
}

/// Sends `count` requests to one node, as fast as a thousand a second, from one address.
pub fn flood(target: SocketAddr, overlay: u64, count: u32) -> std::io::Result<u32> {
    let socket = UdpSocket::bind((target.ip(), 0))?;
    for number in 0..count {
        let body = Body::Get(Get { key: Key::from_bytes([number as u8; 32]), near: None });
        let (transaction, sender) = (u64::from(number).to_be_bytes(), NodeId::from_bytes([0xff; 32]));
        let request = Message::new(overlay, transaction, sender, Role::Client, body);
        socket.send_to(&request.encode(), target)?;
        if number % 10 == 9 {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(count)
}
