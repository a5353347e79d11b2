//! Where an end keeps what is its own: a folder with its keys, its outbox and its ledger.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use iot_core::{Position, Timestamp};
use iot_queue::{Entry, FileStorage, Offset, OpenError, Queue, QueueConfig, Stored};
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, Rng as _};

use crate::endpoint::queue_config;
use crate::fanout::{PublisherKeys, outbox_config};
use crate::{Endpoint, ExchangeError, Feedback, Keys, KeysError, Role};

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// A file cannot be read or written.
    #[error("{}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The key file is not usable.
    #[error("{}", path.display())]
    Keys {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: KeysError,
    },
    /// A queue cannot be opened.
    #[error("{}", path.display())]
    Queue {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// The queues do not make an end.
    #[error("outbox and ledger are not usable")]
    Exchange(#[from] ExchangeError),
}

/// Draws keys for both ends, and writes `device/keys` and `receiver/keys` below `folder`.
///
/// A product locks them with a password or keeps them in a secure element (`KeyFile` and `Signer` of `iot-crypto`); here
/// only their owner may read the files.
///
/// # Errors
///
/// [`FolderError::File`], above all if there are keys already: nothing is overwritten.
pub fn provision(folder: &Path, wall: Timestamp, rng: &mut impl CryptoRng) -> Result<(), FolderError> {
    let files = Keys::draw(wall, rng);
    [Role::Device, Role::Receiver]
        .iter()
        .zip(files)
        .try_for_each(|(role, file)| write_secret(&folder.join(role.to_string()).join("keys"), &file))
}

/// Draws keys for a publisher and subscribers of these names, and writes `publisher/keys` and `NAME/receiver/keys` below
/// `folder`.
///
/// # Errors
///
/// As [`provision`].
pub fn provision_fanout(
    folder: &Path,
    names: &[String],
    wall: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<(), FolderError> {
    let (publisher, subscribers) = PublisherKeys::draw(names, wall, rng);
    write_secret(&folder.join("publisher/keys"), &publisher)?;
    let mut files = names.iter().zip(subscribers);
    files.try_for_each(|(name, file)| write_secret(&folder.join(name).join("receiver/keys"), &file))
}

/// Makes a file that only its owner may read, and the folders above it.
///
fn write_secret(path: &Path, octets: &[u8]) -> Result<(), FolderError> {
    let write = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(octets)?;
        file.sync_all()
    };
    write().map_err(|source| FolderError::File { path: path.into(), source })
}

/// Reads the keys of the end whose folder this is.
///
/// # Errors
///
/// [`FolderError::File`], [`FolderError::Keys`].
pub fn load_keys(folder: &Path, wall: Timestamp) -> Result<Keys, FolderError> {
    load(folder, |octets| Keys::parse(octets, wall))
}

fn load<K>(folder: &Path, parse: impl FnOnce(&[u8]) -> Result<K, KeysError>) -> Result<K, FolderError> {
    let path = folder.join("keys");
    match fs::read(&path) {
        Ok(octets) => parse(&octets).map_err(|source| FolderError::Keys { path, source }),
        Err(source) => Err(FolderError::File { path, source }),
    }
}

/// Reads the keys of the publisher whose folder this is.
///
/// # Errors
///
/// [`FolderError::File`], [`FolderError::Keys`].
pub fn load_publisher_keys(folder: &Path, wall: Timestamp) -> Result<PublisherKeys, FolderError> {
    load(folder, |octets| PublisherKeys::parse(octets, wall))
}

/// Opens the outbox of the publisher whose folder this is, or makes it. `random` is drawn anew for each opening.
///
/// # Errors
///
/// When the folder cannot be used, or another process has the outbox.
pub fn open_published(folder: &Path, random: [u8; 8]) -> Result<Queue<FileStorage>, FolderError> {
    open_queue(&folder.join("outbox"), outbox_config(), random)
}

/// Opens the end whose folder this is, or makes it.
///
/// # Errors
///
/// When the folder cannot be used, or another process uses it.
pub fn open<'k>(
    folder: &Path,
    keys: &'k Keys,
    role: Role,
    feedback: Feedback,
    mut rng: ChaCha20Rng,
) -> Result<Endpoint<'k, FileStorage>, FolderError> {
    let mut open = |name| open_queue(&folder.join(name), queue_config(), rng.next_u64().to_be_bytes());
    let queues = [open("outbox")?, open("ledger")?];
    Ok(Endpoint::new(keys, role, feedback, queues, rng)?)
}

/// Shows each message in the ledger of the end whose folder this is, in the order in which they were accepted.
///
/// # Errors
///
/// When the ledger is not there, cannot be read, or another process has it.
pub fn read_ledger(folder: &Path, mut show: impl FnMut(&Position, &[u8])) -> Result<(), FolderError> {
    let path = folder.join("ledger");
    if !path.exists() {
        let source = io::Error::new(io::ErrorKind::NotFound, "nothing was ever received here");
        return Err(FolderError::File { path, source });
    }
    let ledger = open_queue(&path, queue_config(), [0; 8])?;
    for entry in ledger.entries_from(Offset::START) {
        let entry = entry.map_err(ExchangeError::from)?;
        if let Entry::Message(Stored { position: Some(position), payload, .. }) = entry {
            show(&position, &payload);
        }
    }
    Ok(())
}

fn open_queue(path: &Path, config: QueueConfig, random: [u8; 8]) -> Result<Queue<FileStorage>, FolderError> {
    let fail = |source| FolderError::File { path: path.into(), source };
    let storage = FileStorage::create(path).map_err(|error| fail(io::Error::other(error)))?;
    Queue::open(storage, config, random).map_err(|source| FolderError::Queue { path: path.into(), source })
}
