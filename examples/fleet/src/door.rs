//! The gateway's door, where devices hand in. It answers when what it took is durable, and not before.

use std::collections::HashSet;
use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use iot_core::{DeviceId, Position};
use iot_crypto::RoutingHeader;
use iot_dht::UnverifiedRecord;
use iot_dht::feed::Publisher;
use iot_queue::Message;

use crate::clock::Clock;
use crate::gateway::{FEED, Files};
use crate::link::{FrameReader, write_frame};

/// What the door and the gateway's own thread share.
pub struct Shared {
    /// Messages for the feed.
    pub queue: Mutex<Files>,
    /// Records that devices want published as they are.
    pub announcements: Mutex<Files>,
    /// Octets of messages taken in.
    pub octets: AtomicU64,
}

/// Somebody panicked with a lock, so nothing that it guards can be trusted.
pub const POISONED: &str = "a thread of the gateway panicked";

/// Connections that are served at once. Who comes when all are taken is sent away, and comes again.
const MAX_CONNECTIONS: usize = 128;

/// How long a connection may be silent.
const MAX_SILENCE: Duration = Duration::from_secs(120);

/// Where devices hand in.
#[derive(Clone)]
pub struct Door {
    /// Where it keeps what they hand in.
    pub shared: Arc<Shared>,
    /// Those whose records are published.
    pub devices: HashSet<DeviceId>,
    /// The clock of the story.
    pub clock: Clock,
    /// Connections that are served now.
    pub inside: Arc<()>,
}

impl Door {
    /// Serves whoever comes.
    pub fn keep(self, listener: &TcpListener) {
        for stream in listener.incoming().flatten() {
            if Arc::strong_count(&self.inside) > MAX_CONNECTIONS {
                continue;
            }
            let door = self.clone();
            std::thread::spawn(move || {
                // A device that breaks the rules, or whose link breaks, is gone; it comes again.
                let _ = door.serve(stream);
            });
        }
    }

    /// Answers each frame with an empty one, when what it holds is durable.
    fn serve(&self, mut stream: TcpStream) -> Result<(), Box<dyn Error>> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(MAX_SILENCE))?;
        let mut frames = FrameReader::new(stream.try_clone()?);
        while let Some(frame) = frames.frame()? {
            // The first bit tells a message from everything else (docs/formats/envelope.md).
            match frame.first() {
                Some(first) if first & 0x80 == 0 => self.take_message(&frame)?,
                _ => self.take_record(&frame)?,
            }
            write_frame(&mut stream, &[])?;
        }
        Ok(())
    }

    fn take_message(&self, message: &[u8]) -> Result<(), Box<dyn Error>> {
        let (header, _) = RoutingHeader::parse(message)?;
        let RoutingHeader { stream, incarnation, sequence, .. } = header;
        let source = header.source.ok_or("the message names no source")?;
        let position = Position { source, stream, incarnation, sequence };
        if message.len() > Publisher::max_message_len(FEED) {
            return Err("the message fits no segment".into());
        }
        #[cfg(iot_fault)]
        if crate::fault::is("lose-message") && sequence == 5 {
            return Ok(());
        }
        let mut queue = self.shared.queue.lock().map_err(|_| POISONED)?;
        queue.append(&Message::new(message).at(position))?;
        queue.commit()?;
        self.shared.octets.fetch_add(message.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn take_record(&self, octets: &[u8]) -> Result<(), Box<dyn Error>> {
        let record = UnverifiedRecord::parse(octets)?.verify(self.clock.now())?;
        if !self.devices.contains(record.owner()) {
            return Err("a record of nobody known".into());
        }
        let mut announcements = self.shared.announcements.lock().map_err(|_| POISONED)?;
        announcements.append(&Message::new(octets))?;
        announcements.commit()?;
        Ok(())
    }
}
