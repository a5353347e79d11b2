//! A topic's publishers, as the topic's authority says.
//!
//! One record while they fit it. Else the first record names pages by their hashes, so that what is read is one roster
//! and not parts of two.

use alloc::vec::Vec;

use iot_codec::cbor::{self, DecodeError, List};
use iot_codec::record;
use iot_core::{DeviceId, Timestamp, Topic};
use iot_crypto::Signer;
use sha2::{Digest as _, Sha256};

use crate::record::{Record, SignRecordError};

mod reader;
#[cfg(test)]
mod tests;

pub use crate::roster::reader::{RosterFetch, RosterReader};

record! {
    /// A device that publishes on a topic, and in which feed.
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Publication {
        /// Who owns the feed.
        0 => device: [u8; 32],
        /// What the owner calls it.
        1 => feed: Vec<u8>,
    }
}

impl Publication {
    /// The feed that `owner` calls `feed`, a name of at most 40 octets.
    pub fn new(owner: DeviceId, feed: &[u8]) -> Self {
        Self { device: *owner.as_bytes(), feed: feed.to_vec() }
    }

    /// Who owns the feed: for [`feed::Reader::new`](crate::feed::Reader::new).
    pub fn owner(&self) -> DeviceId {
        DeviceId::from_bytes(self.device)
    }

    /// What the owner calls it.
    pub fn feed(&self) -> &[u8] {
        &self.feed
    }
}

record! {
    /// The value of the first record.
    struct Front {
        /// The SHA-256 of each page's value.
        0 => pages: List<[u8; 32]>,
        /// The publications, where there is no page.
        1 => publications: List<Publication>,
    }
}

/// Who publishes on a topic: a list that the topic's authority owns and signs, so that nobody else can add or remove a
/// name. [`RosterReader`] reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    publications: Vec<Publication>,
    sequence: u64,
    expires: Timestamp,
}

impl Roster {
    /// The most pages of a roster: about 500 publications in all.
    pub const MAX_PAGES: usize = 25;

    /// What an authority calls the roster of a topic, unless the group hides its names
    /// ([`NameKey::hide`](crate::NameKey::hide)): the topic's SHA-256 stands in it, so whoever guesses the topic finds
    /// the roster.
    pub fn name(topic: &Topic<'_>) -> [u8; 39] {
        let hash = Sha256::new().chain_update(b"iot-dht topic 1\0").chain_update(topic.as_str());
        let mut name = [0; 39];
        name[..7].copy_from_slice(b"roster/");
        name[7..].copy_from_slice(&hash.finalize());
        name
    }

    /// Signs the records of a roster: its pages, which have names of their own, and last the record that names them. Put
    /// them in this order. Of two rosters the one with the higher `sequence` is in force.
    ///
    /// # Errors
    ///
    /// [`RosterError::NameTooLong`], [`RosterError::FeedTooLong`], [`RosterError::TooMany`], [`RosterError::Sign`].
    pub fn sign(
        authority: &impl Signer,
        name: &[u8],
        sequence: u64,
        expires: Timestamp,
        publications: &[Publication],
    ) -> Result<Vec<Record>, RosterError> {
        if name.len() > MAX_NAME_LEN {
            return Err(RosterError::NameTooLong { len: name.len() });
        }
        if let Some(index) = publications.iter().position(|publication| publication.feed.len() > MAX_FEED_LEN) {
            return Err(RosterError::FeedTooLong { index });
        }
        let mut front = Front { pages: List(Vec::new()), publications: List(publications.to_vec()) };
        let mut records = Vec::new();
        if cbor::encoded_len(&front) > MAX_VALUE_LEN {
            front.publications.0.clear();
            for (number, page) in cut(publications)?.into_iter().enumerate() {
                let value = cbor::to_vec(&page);
                front.pages.0.push(Sha256::digest(&value).into());
                records.push(Record::sign(authority, &page_name(name, number), sequence, expires, &value)?);
            }
        }
        records.push(Record::sign(authority, name, sequence, expires, &cbor::to_vec(&front))?);
        Ok(records)
    }

    /// Who publishes.
    pub fn publications(&self) -> &[Publication] {
        &self.publications
    }

    /// Which roster of the topic it is: the highest is in force.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// When it ceases to be in force.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }
}

/// Divides what does not fit one record among pages.
fn cut(publications: &[Publication]) -> Result<Vec<List<Publication>>, RosterError> {
    let mut pages: Vec<List<Publication>> = Vec::new();
    let mut room = 0;
    for publication in publications {
        let len = cbor::encoded_len(publication);
        if len > room {
            pages.push(List(Vec::new()));
            // The head of an array takes up to 3 octets.
            room = MAX_VALUE_LEN - 3;
        }
        room -= len;
        if let Some(page) = pages.last_mut() {
            page.0.push(publication.clone());
        }
    }
    if pages.len() > Roster::MAX_PAGES {
        return Err(RosterError::TooMany { count: publications.len() });
    }
    Ok(pages)
}

fn page_name(name: &[u8], number: usize) -> Vec<u8> {
    let mut page = name.to_vec();
    page.extend_from_slice(b"/p/");
    if number >= 10 {
        page.push(b'0' + (number / 10) as u8);
    }
    page.push(b'0' + (number % 10) as u8);
    page
}

/// The most octets of a roster's name, so that with `/p/` and two digits it is still a record's.
const MAX_NAME_LEN: usize = Record::MAX_NAME_LEN - 5;

/// The most octets of a feed's name.
const MAX_FEED_LEN: usize = 40;

const MAX_VALUE_LEN: usize = Record::MAX_CONTENT_LEN - Record::MAX_NAME_LEN;

/// Why there is no roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RosterError {
    /// The name of the roster is longer than 59 octets.
    #[error("the name of {len} octets is too long for a roster")]
    NameTooLong {
        /// Octets of the name.
        len: usize,
    },
    /// The name of a feed is longer than 40 octets.
    #[error("the name of feed {index} is too long")]
    FeedTooLong {
        /// Which publication, counted from 0.
        index: usize,
    },
    /// They do not fit [`Roster::MAX_PAGES`].
    #[error("{count} publications are too many for a roster")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// A record was not signed.
    #[error(transparent)]
    Sign(#[from] SignRecordError),
    /// The authority signed what is no roster.
    #[error("the roster is malformed")]
    Malformed(#[from] DecodeError),
    /// No node returned the first record.
    #[error("no roster was found")]
    NotFound,
    /// The newest that was found is older than what the reader has seen.
    #[error("roster {found} is older than {known}, which was seen")]
    Stale {
        /// The sequence that was found.
        found: u64,
        /// The highest that was seen.
        known: u64,
    },
    /// Pages that the signed record names were not returned.
    #[error("{missing} of {pages} pages of the roster are unavailable")]
    Unavailable {
        /// How many are missing.
        missing: usize,
        /// Of how many.
        pages: usize,
    },
}
