//! Payloads on their way through the owner's cipher.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::Queue;
use crate::cipher::{PayloadCipher, PayloadPlace};
use crate::config::QueueConfig;
use crate::error::{AppendError, OpenError};
use crate::format::record;
use crate::log::{Lookup, Window};
use crate::message::{Message, Payload};
use crate::offset::{Epoch, Offset};
use crate::storage::{Storage, StorageError};

/// With so many messages at either end of the log a key is tried.
const TRIED: usize = 4;

impl<S: Storage> Queue<S> {
    /// As [`open`](Self::open), and lets `cipher` encrypt each payload that is appended and decrypt each that is read.
    ///
    /// Everything else stays in the clear: numbers, positions, keys, lanes, identifiers, times, attempts, the names of
    /// cursors, the reasons of dead letters, the lengths of payloads, and what was dropped. Messages that were appended
    /// without a cipher are given as they are; a queue that holds one of either kind may get the other at any time.
    ///
    /// A sealed payload that is sound by its checksum and does not open is given up like a damaged one: its message becomes
    /// a [gap](crate::GapCause::Damaged). Whoever changes the key lets the cipher know the old one as long as messages are
    /// left from its time.
    ///
    /// # Errors
    /// As [`open`](Self::open); and [`OpenError::WrongKey`] when none of the oldest four or none of the newest four
    /// sealed messages that somebody still needs opens. Nothing is lost then: open the queue again with the right one.
    pub fn open_encrypted(
        storage: S,
        config: QueueConfig,
        random: [u8; 8],
        cipher: Box<dyn PayloadCipher>,
    ) -> Result<Self, OpenError> {
        let mut queue = Self::restored(storage, config, random)?;
        queue.cipher = Some(cipher);
        queue.check_key()?;
        #[cfg(feature = "tracing")]
        crate::trace::opened(&queue.stats());
        Ok(queue)
    }

    /// Seals the payloads of messages that get the numbers from `first` on. Nothing where there is no cipher.
    pub(super) fn seal(&mut self, messages: &[Message<'_>], first: u64) -> Result<Option<Vec<Vec<u8>>>, AppendError> {
        let epoch = self.log.epoch();
        let Some(cipher) = &mut self.cipher else { return Ok(None) };
        let overhead = cipher.overhead() as usize;
        let mut seal = |(number, message): (u64, &Message<'_>)| {
            let mut payload = Vec::with_capacity(message.payload().len() + overhead);
            payload.extend_from_slice(message.payload());
            let place = PayloadPlace { epoch, offset: Offset::new(number) };
            cipher.seal(place, &mut payload).map_err(|_| AppendError::Unsealed)?;
            // Room was found for so many octets and no more.
            let is_as_announced = payload.len() == message.payload().len() + overhead;
            if is_as_announced { Ok(payload) } else { Err(AppendError::Unsealed) }
        };
        (first..).zip(messages).map(&mut seal).collect::<Result<_, _>>().map(Some)
    }

    /// Octets that a cipher adds to a payload.
    pub(super) fn overhead(&self) -> u32 {
        self.cipher.as_ref().map_or(0, |cipher| cipher.overhead())
    }

    /// Whether the cipher opens what somebody still needs, or there is nothing to be opened.
    pub(super) fn check_key(&self) -> Result<(), OpenError> {
        let (mut oldest, mut newest) = (Vec::new(), VecDeque::new());
        let held = self.cursors.first_held().unwrap_or(u64::MAX);
        let needed = |number: &u64| *number >= held || self.log.next_unsettled(*number) == Some(*number);
        for number in self.log.flagged(self.log.oldest(), record::IS_SEALED).filter(needed) {
            if oldest.len() < TRIED {
                oldest.push(number);
            }
            if newest.len() == TRIED {
                newest.pop_front();
            }
            newest.push_back(number);
        }
        let Some(&first) = oldest.first() else { return Ok(()) };
        if self.cipher.is_none() {
            return Err(OpenError::Encrypted { offset: Offset::new(first) });
        }
        for numbers in [oldest, newest.into()] {
            if let Some(number) = self.unopened(&numbers)? {
                return Err(OpenError::WrongKey { offset: Offset::new(number) });
            }
        }
        Ok(())
    }

    /// The first of these messages that can be read and does not open, if none of them opens.
    fn unopened(&self, numbers: &[u64]) -> Result<Option<u64>, StorageError> {
        let (mut window, mut unopened) = (Window::default(), None);
        for &number in numbers {
            // What cannot be read says nothing about the key.
            let Ok(Lookup::Message { payload, .. }) = self.log.read(number, &mut window) else { continue };
            if opened(self.cipher.as_deref(), self.log.epoch(), Offset::new(number), payload).is_some() {
                return Ok(None);
            }
            unopened.get_or_insert(number);
        }
        Ok(unopened)
    }
}

/// The payload of a message as it was appended; nothing when it does not open.
pub(super) fn opened(
    cipher: Option<&dyn PayloadCipher>,
    epoch: Epoch,
    offset: Offset,
    payload: Payload<'_>,
) -> Option<Vec<u8>> {
    let mut octets = payload.octets().to_vec();
    if let Payload::Sealed(_) = payload {
        cipher?.open(PayloadPlace { epoch, offset }, &mut octets).ok()?;
    }
    Some(octets)
}
