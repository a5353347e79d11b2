//! What every door hands packets to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use iot_core::{DeviceId, Position};
use iot_crypto::{RoutingError, RoutingHeader};
use iot_exchange::frames::MAX_PACKET;
use iot_link::Failure;
use iot_link::process::now;
use iot_status::Figure;

use crate::limits::{Limits, Sender};
use crate::recent::Recent;

/// Sends a packet back to a device over the transport that it came by.
pub type Way = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Keeps a packet, or says why not.
type Keep = Box<dyn Fn(Position, &[u8]) -> Result<(), Failure> + Send + Sync>;

/// Devices whose way is known. Beyond, the one that was silent longest is forgotten.
const MAX_WAYS: usize = 4096;

/// Why a packet was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It has no routing header.
    #[error("the packet is malformed")]
    Malformed(#[from] RoutingError),
    /// Its header does not say who wrote it.
    #[error("the packet names no source")]
    Nameless,
    /// It is longer than [`MAX_PACKET`].
    #[error("the packet has {len} octets, more than {MAX_PACKET}")]
    TooLong {
        /// Its octets.
        len: usize,
    },
    /// The sender sends more than it may.
    #[error("{sender} sends too much")]
    TooMuch {
        /// Which one.
        sender: Sender,
    },
    /// Whoever keeps packets did not keep it.
    #[error("the packet was not kept")]
    NotKept(#[source] Failure),
}

/// What is behind all doors; see [the crate](crate).
pub struct Lobby {
    name: &'static str,
    limits: Limits,
    keep: Keep,
    ways: Mutex<Recent<DeviceId, Way>>,
    malformed: AtomicU64,
    limited: AtomicU64,
    returned: AtomicU64,
    lost: AtomicU64,
}

impl Lobby {
    /// The lobby of the program `name`, where senders have these limits and packets go to `keep`. That is called by each
    /// door's own threads, before it answers.
    pub fn new(
        name: &'static str,
        limits: Limits,
        keep: impl Fn(Position, &[u8]) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Self {
        let ways = Mutex::new(Recent::new(MAX_WAYS));
        let [malformed, limited, returned, lost] = [const { AtomicU64::new(0) }; 4];
        Self { name, limits, keep: Box::new(keep), ways, malformed, limited, returned, lost }
    }

    /// Takes a packet that came from `sender`, and learns that its source is reached by `way`.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub fn enter(&self, sender: impl Into<Sender>, packet: &[u8], way: Way) -> Result<(), Refusal> {
        let sender = sender.into();
        if !self.limits.admits(now(), sender) {
            self.limited.fetch_add(1, Ordering::Relaxed);
            return Err(Refusal::TooMuch { sender });
        }
        let position = position_of(packet).inspect_err(|_| _ = self.malformed.fetch_add(1, Ordering::Relaxed))?;
        self.ways.lock().unwrap_or_else(PoisonError::into_inner).enter(position.source, way);
        (self.keep)(position, packet).map_err(Refusal::NotKept)
    }

    /// Sends a packet to a device. If nobody knows where it is, the packet is lost; its sender repeats it.
    pub fn send(&self, device: &DeviceId, packet: &[u8]) {
        let way = self.ways.lock().unwrap_or_else(PoisonError::into_inner).get(device).cloned();
        let count = if way.is_some() { &self.returned } else { &self.lost };
        count.fetch_add(1, Ordering::Relaxed);
        if let Some(way) = way {
            way(packet);
        }
    }

    /// Says in the program's name what is wrong with a door.
    pub fn complain(&self, words: &str) {
        eprintln!("{}: {words}", self.name);
    }

    /// What happened so far.
    pub fn figures(&self) -> [Figure; 4] {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            Figure::counter("packets_malformed_total", "Packets refused for what they are.", count(&self.malformed)),
            Figure::counter("packets_limited_total", "Packets of addresses that send too much.", count(&self.limited)),
            Figure::counter("packets_returned_total", "Packets sent back to devices.", count(&self.returned)),
            Figure::counter("packets_lost_total", "Packets for devices whose way is not known.", count(&self.lost)),
        ]
    }
}

/// What the header of a packet says.
///
/// # Errors
///
/// [`Refusal::Malformed`], [`Refusal::Nameless`] and [`Refusal::TooLong`].
pub fn position_of(packet: &[u8]) -> Result<Position, Refusal> {
    if packet.len() > MAX_PACKET {
        return Err(Refusal::TooLong { len: packet.len() });
    }
    let (header, _) = RoutingHeader::parse(packet)?;
    let source = header.source.ok_or(Refusal::Nameless)?;
    let RoutingHeader { stream, incarnation, sequence, .. } = header;
    Ok(Position { source, stream, incarnation, sequence })
}
