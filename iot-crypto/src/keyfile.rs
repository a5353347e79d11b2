mod cost;

use alloc::vec::Vec;
use core::fmt;

use argon2::{Algorithm, Argon2, Block, Version};
use iot_codec::cbor::{Cursor, DecodeError, EncodeError, Writer};
use rand_core::CryptoRng;
use zeroize::{Zeroize as _, Zeroizing};

use crate::BufferTooSmall;
use crate::aead::{Aead as _, KEY_LEN, NONCE_LEN, RustCrypto, TAG_LEN};

pub use cost::{CostError, KeyFileCost};

/// Secrets at rest on a host, locked with a password: Argon2id (RFC 9106) and ChaCha20-Poly1305, as a tagged
/// `COSE_Encrypt0`. `docs/formats/keys.md` draws it.
///
/// What is inside is for the caller to choose; the tool `iot` stores a secret [`CoseKey`](crate::CoseKey). The external
/// data, of which the file holds nothing, binds it to its use: a file for one purpose does not open for another.
///
/// ```
/// # use iot_crypto::{CoseKey, KeyFile, KeyFileCost, SigningKey};
/// # use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
/// # let mut rng = ChaCha20Rng::from_seed([1; 32]);
/// let mut secret = [0; CoseKey::MAX_LEN];
/// let len = SigningKey::generate(&mut rng).write_secret_cose_key(&mut secret)?;
/// let octets = KeyFile::lock(&secret[..len], b"password", b"gateway 7", KeyFileCost::default(), &mut rng)?;
///
/// let mut buffer = [0; CoseKey::MAX_LEN];
/// let unlocked = KeyFile::parse(&octets)?.unlock(b"password", b"gateway 7", &mut buffer)?;
/// let key = CoseKey::parse(unlocked)?.signing_key()?;
/// # assert_eq!(unlocked, &secret[..len]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Wipe the buffers after use.
#[derive(Clone, Copy)]
pub struct KeyFile<'b> {
    protected: &'b [u8],
    cost: KeyFileCost,
    salt: &'b [u8; SALT_LEN],
    nonce: &'b [u8; NONCE_LEN],
    ciphertext: &'b [u8],
}

/// Why a key file was not written or not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The octets are not the deterministic CBOR of a key file.
    #[error("the key file is malformed")]
    Malformed(#[from] DecodeError),
    /// The octets are CBOR, but not a key file, or one of a later form.
    #[error("the octets are no key file of a form that is known")]
    Form,
    /// The cost of the password is out of bounds.
    #[error("the cost of the key file is out of bounds")]
    Cost(#[from] CostError),
    /// The secret is longer than [`KeyFile::MAX_SECRET_LEN`].
    #[error("the secret has {len} octets, more than {max}", max = KeyFile::MAX_SECRET_LEN)]
    TooLong {
        /// Its octets.
        len: usize,
    },
    /// The password is longer than Argon2 takes: 2³² - 1 octets.
    #[error("the password has {len} octets")]
    PasswordTooLong {
        /// Its octets.
        len: usize,
    },
    /// There is not as much memory as the cost demands.
    #[error("there are not {kibibytes} KiB of memory")]
    Memory {
        /// How much it demands.
        kibibytes: u32,
    },
    /// The password is wrong, or the external data, or the file was changed. Which of them, nobody can tell.
    #[error("the password is wrong, or the key file was changed")]
    Locked,
    /// The caller's buffer is too short.
    #[error(transparent)]
    Buffer(#[from] BufferTooSmall),
}

impl<'b> KeyFile<'b> {
    /// Octets of the longest secret.
    pub const MAX_SECRET_LEN: usize = 65_535;

    /// Locks `secret` with `password` and `external`, and returns the octets of the file.
    ///
    /// The password counts as the octets that it is: normalise text before.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`].
    pub fn lock(
        secret: &[u8],
        password: &[u8],
        external: &[u8],
        cost: KeyFileCost,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, KeyFileError> {
        if secret.len() > Self::MAX_SECRET_LEN {
            return Err(KeyFileError::TooLong { len: secret.len() });
        }
        let (mut salt, mut nonce) = ([0; SALT_LEN], [0; NONCE_LEN]);
        rng.fill_bytes(&mut salt);
        rng.fill_bytes(&mut nonce);
        let key = derive(password, &salt, &cost)?;
        let protected = encoded(|writer| write_protected(&cost, &salt, writer));
        let authenticated = authenticated(&protected, external);
        // All at once, so that no copy of the secret is left behind where a vector grew.
        let mut octets = Vec::with_capacity(secret.len() + protected.len() + OVERHEAD);
        octets = extended(octets, |writer| {
            writer.tag(TAG)?;
            writer.array(3)?;
            writer.bytes(&protected)?;
            writer.map(1)?;
            writer.int(IV)?;
            writer.bytes(&nonce)?;
            writer.bytes_header((secret.len() + TAG_LEN) as u64)?;
            writer.put(secret)
        });
        let start = octets.len() - secret.len();
        let tag = RustCrypto::seal(&key, &nonce, &authenticated, &mut octets[start..]);
        octets.extend_from_slice(&tag.expect("the cipher takes what is shorter than 256 GB"));
        Ok(octets)
    }

    /// Reads a file that fills `octets`, without opening it.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::Malformed`], [`KeyFileError::Form`], and [`KeyFileError::Cost`] below
    /// [`KeyFileCost::LEAST`] and above [`KeyFileCost::MOST`].
    pub fn parse(octets: &'b [u8]) -> Result<Self, KeyFileError> {
        Self::parse_within(octets, &KeyFileCost::LEAST, &KeyFileCost::MOST)
    }

    /// [`parse`](Self::parse) with a bound of the caller's on what the file may cost, say on a small machine.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub fn parse_up_to(octets: &'b [u8], most: &KeyFileCost) -> Result<Self, KeyFileError> {
        Self::parse_within(octets, &KeyFileCost::LEAST, most)
    }

    fn parse_within(octets: &'b [u8], least: &KeyFileCost, most: &KeyFileCost) -> Result<Self, KeyFileError> {
        let mut cursor = Cursor::new(octets);
        expect(cursor.tag()? == TAG)?;
        expect(cursor.array()? == 3)?;
        let protected = cursor.bytes()?;
        expect(cursor.map()? == 1)?;
        expect(cursor.int()? == IV)?;
        let nonce = cursor.bytes()?.try_into().map_err(|_| KeyFileError::Form)?;
        let ciphertext = cursor.bytes()?;
        cursor.finish()?;
        expect((TAG_LEN..=Self::MAX_SECRET_LEN + TAG_LEN).contains(&ciphertext.len()))?;
        let mut header = Cursor::new(protected);
        expect(header.map()? == 2)?;
        expect(header.int()? == ALG)?;
        expect(header.int()? == CHACHA20_POLY1305)?;
        expect(header.int()? == ARGON2ID)?;
        expect(header.array()? == 4)?;
        let cost = KeyFileCost::read(&mut header, least, most)?;
        let salt = header.bytes()?.try_into().map_err(|_| KeyFileError::Form)?;
        header.finish()?;
        Ok(Self { protected, cost, salt, nonce, ciphertext })
    }

    /// What opening it costs.
    pub const fn cost(&self) -> KeyFileCost {
        self.cost
    }

    /// Octets of the secret inside.
    pub const fn secret_len(&self) -> usize {
        self.ciphertext.len() - TAG_LEN
    }

    /// Opens the file with `password` and the `external` data with which it was locked, writes the secret to the front
    /// of `buffer`, which must have [`secret_len`](Self::secret_len) octets, and returns it.
    ///
    /// Takes as much memory and time as [`cost`](Self::cost) says.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`]; the buffer then holds nothing of the secret.
    pub fn unlock<'s>(&self, password: &[u8], external: &[u8], buffer: &'s mut [u8]) -> Result<&'s [u8], KeyFileError> {
        let secret = BufferTooSmall::check(buffer, self.secret_len())?;
        let key = derive(password, self.salt, &self.cost)?;
        let (ciphertext, tag) = self.ciphertext.split_last_chunk::<TAG_LEN>().ok_or(KeyFileError::Form)?;
        secret.copy_from_slice(ciphertext);
        let authenticated = authenticated(self.protected, external);
        match RustCrypto::open(&key, self.nonce, &authenticated, secret, tag) {
            Ok(()) => Ok(secret),
            Err(_) => {
                secret.zeroize();
                Err(KeyFileError::Locked)
            }
        }
    }
}

impl fmt::Debug for KeyFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile").field("cost", &self.cost).finish_non_exhaustive()
    }
}

fn expect(is_so: bool) -> Result<(), KeyFileError> {
    if is_so { Ok(()) } else { Err(KeyFileError::Form) }
}

/// The key that Argon2id (RFC 9106 §3.1) makes of the password.
fn derive(password: &[u8], salt: &[u8], cost: &KeyFileCost) -> Result<Zeroizing<[u8; KEY_LEN]>, KeyFileError> {
    let params = cost.params();
    let mut blocks = Memory::new(params.block_count()).ok_or(KeyFileError::Memory { kibibytes: cost.kibibytes() })?;
    let mut key = Zeroizing::new([0; KEY_LEN]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password, salt, &mut *key, &mut blocks.0)
        .map_err(|_| KeyFileError::PasswordTooLong { len: password.len() })?;
    Ok(key)
}

/// The memory of Argon2, wiped when dropped.
struct Memory(Vec<Block>);

impl Memory {
    fn new(count: usize) -> Option<Self> {
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(count).ok()?;
        blocks.resize(count, Block::new());
        Some(Self(blocks))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        for block in &mut self.0 {
            block.zeroize();
        }
    }
}

fn write_protected(cost: &KeyFileCost, salt: &[u8], writer: &mut Writer<Vec<u8>>) -> Result<(), EncodeError> {
    writer.map(2)?;
    writer.int(ALG)?;
    writer.int(CHACHA20_POLY1305)?;
    writer.int(ARGON2ID)?;
    writer.array(4)?;
    cost.write(writer)?;
    writer.bytes(salt)
}

/// The `Enc_structure` (RFC 9052 §5.3), whose external data is `["iot key file 1", external]`.
fn authenticated(protected: &[u8], external: &[u8]) -> Vec<u8> {
    let external = encoded(|writer| {
        writer.array(2)?;
        writer.text("iot key file 1")?;
        writer.bytes(external)
    });
    encoded(|writer| {
        writer.array(3)?;
        writer.text("Encrypt0")?;
        writer.bytes(protected)?;
        writer.bytes(&external)
    })
}

fn encoded(write: impl FnOnce(&mut Writer<Vec<u8>>) -> Result<(), EncodeError>) -> Vec<u8> {
    extended(Vec::new(), write)
}

fn extended(octets: Vec<u8>, write: impl FnOnce(&mut Writer<Vec<u8>>) -> Result<(), EncodeError>) -> Vec<u8> {
    let mut writer = Writer::new(octets);
    write(&mut writer).expect("a vector always has room");
    writer.into_output()
}

/// `COSE_Encrypt0` (RFC 9052 §2, table 1).
const TAG: u64 = 16;
const ALG: i64 = 1;
const IV: i64 = 5;
/// RFC 9053 §4.3.
const CHACHA20_POLY1305: i64 = 24;
/// A label for private use (RFC 9052 §11.2): no registered one says how a password becomes a key.
const ARGON2ID: i64 = -65_537;

const SALT_LEN: usize = 16;

/// At least the octets of a file besides its secret and its protected header.
const OVERHEAD: usize = 48 + TAG_LEN;

#[cfg(test)]
mod tests;
