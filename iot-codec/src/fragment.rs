//! Messages over links whose frames are shorter than the messages, with or without a way back.
//!
//! [`Sender`] cuts a message into fragments and adds as many parity fragments ([`fec`](crate::fec)) as the link's loss
//! asks for; any of them, as many as there are data fragments, give it back. [`Receiver`] collects them in memory that is
//! fixed when it is compiled. A message that fits into a frame travels alone in it, without a header.
//!
//! ```
//! use core::time::Duration;
//! use iot_codec::fec::Redundancy;
//! use iot_codec::fragment::{Peer, Received, Receiver, ReceiverConfig, Sender, SenderConfig, slot_bytes};
//! use iot_core::Instant;
//!
//! let lifetime = Duration::from_secs(60);
//! let loss = Redundancy::for_loss(200_000, 1_000)?;
//! let config = SenderConfig::default().mtu(51)?.lifetime(lifetime)?.redundancy(loss);
//! let mut sender = Sender::new(config, 0);
//! let mut receiver = Receiver::<4, { slot_bytes(480, 51) }>::new(ReceiverConfig::default().lifetime(lifetime)?);
//!
//! let (now, message) = (Instant::START, [7; 480]);
//! let mut outgoing = sender.send(now, &message)?;
//! assert_eq!(outgoing.frames(), 20);
//!
//! let mut frame = [0; 51];
//! let mut arrived = false;
//! for number in 0.. {
//!     let Some(frame) = outgoing.next_frame(now, &mut frame)? else { break };
//!     if number % 2 == 0 {
//!         continue; // Half of all frames are lost.
//!     }
//!     if let Received::Message(received) = receiver.handle_frame(now, Peer(1), frame)? {
//!         assert_eq!(received, message);
//!         arrived = true;
//!     }
//! }
//! assert!(arrived);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # Octets
//! The first octet of a frame tells what it is:
//!
//! | first octet | frame |
//! | --- | --- |
//! | `0xxxxxxx`, `10xxxxxx` | a whole message, of which this is the first octet |
//! | `110xxxxx` | a fragment, header of 2 octets |
//! | `1110xxxx` | a fragment, header of 3 octets |
//! | `11110xxx` | a fragment, header of 4 octets |
//! | `0xf8` to `0xfe` | not used |
//! | `0xff` | a whole message follows: one that is empty, or begins with an octet from `0xc0` |
//!
//! ```text
//!   0                   1                   2                   3
//!   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!  +-+-+-+-----+---------+---------+---------
//!  |1|1|0| id  |    k    |  index  | shard ..   k up to 31, index up to 31
//!  +-+-+-+-+---+---+-----+---------+---------------+---------
//!  |1|1|1|0|  id   |       k       |     index     | shard ..
//!  +-+-+-+-+-+-----+---------------+---------------+---------------+---------
//!  |1|1|1|1|0|         id          |       k       |     index     | shard ..
//!  +-+-+-+-+-+---------------------+---------------+---------------+---------
//! ```
//!
//! A sender takes the shortest header that has room for `k` and every index, and a free id. The `k` data shards (1 or
//! more) are equally long pieces of a block, `index` 0 to `k - 1`; higher ones, up to 254, are
//! parity. A shard ends where its frame ends. The block is the message, fewer than `k` octets of zero, their number in
//! one octet, and the message's CRC-32 (RFC 1662 §C.3, [`Crc32`](crate::framing::Checksum::Crc32)), most significant
//! octet first:
//!
//! ```text
//!  +------------------------------+-----------+---------+---------------+
//!  | message                      | 0 .. 0    | padding |    CRC-32     |   k · s octets, 0 <= padding < k
//!  +------------------------------+-----------+---------+---------------+
//! ```
//!
//! # Time
//! Both ends know a *lifetime*. The sender hands out a message's frames within one lifetime and takes their id for
//! another message after two; the receiver forgets a message one lifetime after its first fragment, whole or not. What a
//! link holds back for longer mixes with another message at worst, and then the checksum fails.
//!
//! # What it does not do
//! A peer is who the transport says, and whoever can write to the link can spoil a message that is being collected, as he
//! could by noise. The checksum finds accidents; only the envelope inside proves anything. Whole messages have no
//! checksum beyond the link's, and are not compared with those that came before.

mod header;
mod ids;
mod receiver;
mod sender;
mod slot;

pub use receiver::{Peer, ReceiveError, Received, Receiver, ReceiverConfig, Stats};
pub use sender::{Outgoing, SendError, Sender, SenderConfig};

use core::time::Duration;

use header::Form;
use iot_core::limits::OutOfRange;

/// Octets of a block behind message and padding: the length of the padding, and the checksum.
const TRAILER: usize = 5;

/// The shortest frame: a header, and a shard.
const SHORTEST_MTU: u16 = 8;

/// The octets of a [`Receiver`]'s slot that suffice for messages up to `len` from senders with frames of `mtu` octets or
/// more.
///
/// It holds the block, and an octet for each shard.
pub const fn slot_bytes(len: usize, mtu: u16) -> usize {
    let mtu = if mtu < SHORTEST_MTU { SHORTEST_MTU } else { mtu };
    let needed = len.saturating_add(TRAILER);
    let data = needed.div_ceil(mtu as usize - Form::Long.len());
    needed.saturating_add(data.saturating_mul(2) - 1)
}

/// How long a message lives by default.
const LIFETIME: Duration = Duration::from_secs(60);

/// Any lifetime that is not over at once: one beyond the clock's end lasts up to it.
const fn checked_lifetime(lifetime: Duration) -> Result<Duration, OutOfRange> {
    if lifetime.as_micros() == 0 {
        return Err(OutOfRange { setting: "lifetime in microseconds", value: 0, min: 1, max: u64::MAX });
    }
    Ok(lifetime)
}
