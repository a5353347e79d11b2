use alloc::collections::VecDeque;
use alloc::vec::Vec;

use iot_codec::cbor::{self, DecodeError, Limits, List};
use iot_codec::record;
use iot_core::{DeviceId, Timestamp};
use iot_crypto::Signer;

use crate::id::Key;
use crate::record::{Record, SignRecordError};

/// What a sender leaves for a reader who sleeps: a record of the sender's own, named by the reader's identifier, with
/// the last messages that the reader has not confirmed.
///
/// The hash table sees octets: seal the messages to the reader first. A reader finds the mail of those whom it listens
/// to, from its list of senders or a topic's [`Roster`](crate::Roster); nobody can fill the mailbox of another, because
/// each sender has its own. For more messages than fit one record, leave a [`feed`](crate::feed).
///
/// # Order of things
///
/// [`post`](Self::post), [`sign`](Self::sign), **store [`state`](Self::state)**, put the record. When the reader's
/// [`Receipt`] is found, [`confirm`](Self::confirm).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    name: Vec<u8>,
    mail: Body,
    sequence: u64,
}

record! {
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Body {
        /// The number of the first message.
        0 => first: u64,
        1 => messages: List<Vec<u8>>,
    }
}

record! {
    struct Snapshot {
        0 => name: Vec<u8>,
        1 => mail: Body,
        2 => sequence: u64,
    }
}

impl Mailbox {
    /// The most octets that the messages of a mailbox take together, each with up to 3 octets for its length.
    pub const MAX_OCTETS: usize = Record::MAX_CONTENT_LEN - Record::MAX_NAME_LEN - 16;

    /// What every sender calls the record that it leaves for this reader, unless the group hides its names
    /// ([`NameKey::hide`](crate::NameKey::hide)).
    pub fn name(reader: &DeviceId) -> [u8; 37] {
        let mut name = [0; 37];
        name[..5].copy_from_slice(b"mail/");
        name[5..].copy_from_slice(reader.as_bytes());
        name
    }

    /// An empty mailbox with this name.
    ///
    /// # Panics
    ///
    /// When the name is longer than [`Record::MAX_NAME_LEN`].
    pub fn new(name: &[u8]) -> Self {
        assert!(name.len() <= Record::MAX_NAME_LEN, "a name of {} octets is too long", name.len());
        Self { name: name.to_vec(), mail: Body { first: 0, messages: List(Vec::new()) }, sequence: 0 }
    }

    /// The mailbox as it was when [`state`](Self::state) was called.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the octets are not such a state.
    pub fn restore(state: &[u8]) -> Result<Self, DecodeError> {
        let Snapshot { name, mail, sequence } = cbor::from_slice_within(state, &Limits::default().bytes(2048))?;
        Ok(Self { name: name.into_iter().take(Record::MAX_NAME_LEN).collect(), mail, sequence })
    }

    /// Adds a message, and gives its number, counted from 0 by ones.
    ///
    /// # Errors
    ///
    /// [`PostError::TooLarge`]: no mailbox takes it. [`PostError::Full`]: not before the reader has confirmed some.
    pub fn post(&mut self, message: &[u8]) -> Result<u64, PostError> {
        let len = cbor::encoded_len(message);
        let there: usize = self.mail.messages.0.iter().map(|message| cbor::encoded_len(&message[..])).sum();
        if len > Self::MAX_OCTETS {
            return Err(PostError::TooLarge { len: message.len() });
        }
        if there + len > Self::MAX_OCTETS {
            return Err(PostError::Full { waiting: self.mail.messages.0.len() });
        }
        self.mail.messages.0.push(message.to_vec());
        Ok(self.next() - 1)
    }

    /// Forgets the messages below this number: the reader has them.
    pub fn confirm(&mut self, next: u64) {
        let gone = next.saturating_sub(self.mail.first).min(self.mail.messages.0.len() as u64);
        self.mail.messages.0.drain(..gone as usize);
        self.mail.first += gone;
    }

    /// Signs the mailbox as it is, each time with the next sequence.
    ///
    /// # Errors
    ///
    /// [`SignRecordError`]; the sequence is then not used.
    pub fn sign(&mut self, signer: &impl Signer, expires: Timestamp) -> Result<Record, SignRecordError> {
        let sequence = self.sequence.saturating_add(1);
        let record = Record::sign(signer, &self.name, sequence, expires, &cbor::to_vec(&self.mail))?;
        self.sequence = sequence;
        Ok(record)
    }

    /// The number that the next message will have.
    pub fn next(&self) -> u64 {
        self.mail.first.saturating_add(self.mail.messages.0.len() as u64)
    }

    /// Everything that a sender must remember.
    pub fn state(&self) -> Vec<u8> {
        cbor::to_vec(&Snapshot { name: self.name.clone(), mail: self.mail.clone(), sequence: self.sequence })
    }
}

/// What a reader found in the mailbox of one sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    sender: DeviceId,
    first: u64,
    messages: VecDeque<Vec<u8>>,
    missed: u64,
}

impl Mail {
    /// Where to look for what `sender` has left in a mailbox with this name.
    pub fn key(sender: &DeviceId, name: &[u8]) -> Key {
        Key::of_record(sender, name)
    }

    /// Reads the messages of a verified record from the number `next` on: the first that the reader does not have.
    ///
    /// # Errors
    ///
    /// [`MailError`].
    pub fn read(record: &Record, name: &[u8], next: u64) -> Result<Self, MailError> {
        if record.name() != name {
            return Err(MailError::Name);
        }
        let Body { first, messages: List(messages) } = cbor::from_slice(record.value())?;
        let known = next.saturating_sub(first).min(messages.len() as u64) as usize;
        let messages = messages.into_iter().skip(known).collect();
        let start = first.saturating_add(known as u64);
        Ok(Self { sender: *record.owner(), first: start, messages, missed: start.saturating_sub(next) })
    }

    /// Who left them.
    pub fn sender(&self) -> &DeviceId {
        &self.sender
    }

    /// How many messages the sender has forgotten though the reader never had them: it thought that they were confirmed.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// The messages that the reader does not have, and their numbers.
    pub fn messages(&self) -> impl Iterator<Item = (u64, &[u8])> + '_ {
        (self.first..).zip(self.messages.iter().map(Vec::as_slice))
    }

    /// The first number that the reader will not have after these: what it remembers, and confirms.
    pub fn next(&self) -> u64 {
        self.first.saturating_add(self.messages.len() as u64)
    }
}

/// The word of a reader that it has the messages of a sender up to a number: a record of the reader's own, named by the
/// sender's identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    reader: DeviceId,
    next: u64,
}

record! {
    struct ReceiptBody {
        0 => next: u64,
    }
}

impl Receipt {
    /// What a reader calls the record in which it confirms the messages of this sender, unless the group hides its
    /// names.
    pub fn name(sender: &DeviceId) -> [u8; 42] {
        let mut name = [0; 42];
        name[..10].copy_from_slice(b"mail-seen/");
        name[10..].copy_from_slice(sender.as_bytes());
        name
    }

    /// Confirms all messages below `next`, which is the record's sequence too: a later receipt is never lower.
    ///
    /// # Errors
    ///
    /// [`SignRecordError`].
    pub fn sign(signer: &impl Signer, name: &[u8], next: u64, expires: Timestamp) -> Result<Record, SignRecordError> {
        Record::sign(signer, name, next, expires, &cbor::to_vec(&ReceiptBody { next }))
    }

    /// Reads a receipt out of a verified record.
    ///
    /// # Errors
    ///
    /// [`MailError`].
    pub fn read(record: &Record, name: &[u8]) -> Result<Self, MailError> {
        if record.name() != name {
            return Err(MailError::Name);
        }
        let ReceiptBody { next } = cbor::from_slice(record.value())?;
        Ok(Self { reader: *record.owner(), next })
    }

    /// Who confirms.
    pub fn reader(&self) -> &DeviceId {
        &self.reader
    }

    /// The first number that the reader does not have: for [`Mailbox::confirm`].
    pub fn next(&self) -> u64 {
        self.next
    }
}

/// Why a message was not added to a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// It fits no mailbox.
    #[error("the message of {len} octets exceeds what a mailbox holds")]
    TooLarge {
        /// Octets of the message.
        len: usize,
    },
    /// The reader has to confirm some first.
    #[error("the mailbox is full: {waiting} messages wait for their reader")]
    Full {
        /// Messages that are not confirmed.
        waiting: usize,
    },
}

/// Why a record is neither mail nor a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MailError {
    /// It has another name.
    #[error("the record has another name")]
    Name,
    /// Its value is malformed.
    #[error("the value of the record is malformed")]
    Malformed(#[from] DecodeError),
}

#[cfg(test)]
mod tests;
