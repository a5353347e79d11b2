//! Sealed messages between two ends, each once and in order, over a link that may lose, repeat, reorder and alter them.
//!
//! [`Endpoint`] is one end: a state machine without a socket, a clock or a thread. Whoever drives it brings a way for
//! packets, two [queues](iot_queue::Queue) and the time: `iot-link` is such a driver, and each application below
//! `examples/` brings it a transport. It does not find peers, does not measure the link, and knows one peer only.
//!
//! ```
//! use core::time::Duration;
//! use iot_core::{Instant, Timestamp};
//! use iot_exchange::{Endpoint, Event, Feedback, Keys, Role, queue_config};
//! use iot_queue::{MemoryStorage, Queue};
//! use rand_chacha::ChaCha20Rng;
//! use rand_core::SeedableRng as _;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (now, wall) = (Instant::START, Timestamp::from_secs(1_767_225_600));
//! let mut rng = ChaCha20Rng::seed_from_u64(1);
//! let [device, receiver] = Keys::draw(wall, &mut rng);
//! let (device, receiver) = (Keys::parse(&device, wall)?, Keys::parse(&receiver, wall)?);
//! let queue = |random| Queue::open(MemoryStorage::new(), queue_config(), [random; 8]);
//! let feedback = Feedback::Acknowledged { within: Duration::from_secs(1) };
//! let rngs = [2, 3].map(ChaCha20Rng::seed_from_u64);
//! let mut device = Endpoint::new(&device, Role::Device, feedback, [queue(1)?, queue(2)?], rngs[0].clone())?;
//! let mut receiver = Endpoint::new(&receiver, Role::Receiver, feedback, [queue(3)?, queue(4)?], rngs[1].clone())?;
//!
//! device.append(wall, b"21.5")?;
//! while let Some(mut packet) = device.poll_transmit(now, wall)? {
//!     receiver.handle_packet(now, &mut packet)?;
//! }
//! assert_eq!(receiver.poll_event(), Some(Event::Accepted { sequence: 0, payload: b"21.5".to_vec() }));
//! let mut acknowledgement = receiver.poll_transmit(now.saturating_add(Duration::from_millis(20)), wall)?;
//! device.handle_packet(now, acknowledgement.as_mut().ok_or("it acknowledges")?)?;
//! assert_eq!(device.waiting(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! # The protocol
//!
//! Both ends have an *outbox*, a queue of what the other has not acknowledged, and a *ledger*, one of what was accepted.
//! A packet is one envelope (`docs/formats/envelope.md`), sealed for the peer and signed. Its topic is `readings` if the
//! device wrote it and `commands` if the receiver did. Its position says what it is:
//!
//! | stream | packet | incarnation | sequence number |
//! | --- | --- | --- | --- |
//! | 0 | a message | the epoch of its writer's outbox | its place there |
//! | 1 | an acknowledgement, without a payload | of the messages that it is about | the first of them that is not in the ledger |
//! | 2 | an answer to one that waits for what is gone, without a payload | the epoch of its writer's outbox | the first message that is still there |
//! | 3 | a cursor, without a payload | of the messages that it asks for; zeros from who knows none | the first of them that is not in the ledger |
//!
//! Whoever sends:
//!
//! 1. A message gets its position from its place in the outbox, and leaves when it is durable there. So a power cut can
//!    neither lose the count nor use a number twice.
//! 2. At most 128 messages are on their way. One is sent again when its acknowledgement has not come within the patience
//!    with it, and all of them when the link is made anew.
//! 3. An acknowledgement of its own incarnation frees what is before its number. One of a number that was never given
//!    says that the outbox is an old copy: the end stops, for it would use numbers twice.
//! 4. Is the number of an acknowledgement that of a message which is gone, it answers by a packet of stream 2.
//! 5. A cursor is an acknowledgement; what is behind it is sent again at once. One of another incarnation frees nothing,
//!    and everything is sent again.
//!
//! Whoever receives:
//!
//! 1. Messages are opened and accepted in their order. What comes early waits unopened, at most 128. What was accepted
//!    before is acknowledged again.
//! 2. It acknowledges 20 ms after the first message that came, or after 32, and never what is not durable.
//! 3. A packet of stream 2 makes it go on at the number there; it says which messages are missing.
//! 4. One that [fetches](Turn::Ask) begins with its cursor whatever it sends, and never sends it while packets that came
//!    wait to be read: so nothing is sent twice that was not lost.
//! 5. Nothing is remembered twice: at its start it reads from its ledger what it has accepted.
//!
//! Old, repeated and forged acknowledgements do no harm: old ones say less than new ones, and nobody else can sign.
//! Over a link that brings nothing back ([`Feedback::None`]) messages are sent once and accepted as they come; a gap is
//! reported when a later message comes.
//!
//! # One publisher, many subscribers
//!
//! [`fanout::Publisher`] is an end with many peers, to each of which it speaks this protocol: it seals a message once for
//! all of them, and each has a cursor of its own in the one outbox, which its acknowledgements move. Whoever lost its ledger
//! gets everything again that is still there, and whoever is too far behind a packet of stream 2.
//!
//! # Limits
//!
//! Each queue of [`queue_config`] holds 16 MiB. A full outbox refuses more ([`iot_queue::AppendError::Full`]); a full
//! ledger ends the receiver, unless what it accepted [goes on](Endpoint::accepted) to somewhere else.

#![forbid(unsafe_code)]

mod endpoint;
pub mod fanout;
pub mod folder;
pub mod frames;
mod keys;
mod role;

pub use endpoint::{Endpoint, Event, ExchangeError, Feedback, Turn, label, queue_config};
pub use keys::{Keys, KeysError};
pub use role::Role;
