//! Who keeps a depot: a key, drawn at the first start, by which it signs what it drops, and whatever else it says.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use iot_crypto::{Signer, SigningKey};
use iot_queue::{GapSigner, GapSigningError};

/// Who keeps a depot.
pub struct Keeper([u8; 32]);

impl Keeper {
    /// Reads the key in `folder`, or draws it.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written, or holds something else.
    pub fn load(folder: &Path) -> io::Result<Self> {
        let path = folder.join("key");
        let fail = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        match fs::read(&path) {
            Ok(seed) => seed.try_into().map(Self).map_err(|_| fail(io::ErrorKind::InvalidData.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).map_err(io::Error::other)?;
                // It has its name when it is durable, and not before.
                let new = folder.join("key.new");
                let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new);
                let file = file.as_mut().map_err(|error| fail(error.kind().into()))?;
                file.write_all(&seed)
                    .and_then(|()| file.sync_all())
                    .and_then(|()| fs::rename(&new, &path))
                    .map_err(fail)?;
                fs::File::open(folder)?.sync_all()?;
                Ok(Self(seed))
            }
            Err(error) => Err(fail(error)),
        }
    }

    /// The key, once more: whoever signs has one of its own.
    pub fn key(&self) -> SigningKey {
        SigningKey::from_seed(&self.0)
    }
}

/// Signs what the queue drops: the keeper's own claim.
pub(crate) struct Claims(pub SigningKey);

impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Claims({})", self.0.verifying_key().device_id())
    }
}

impl GapSigner for Claims {
    fn signature_len(&self) -> usize {
        64
    }

    fn sign(&mut self, claim: &[u8]) -> Result<Vec<u8>, GapSigningError> {
        let signature = Signer::sign(&self.0, claim).map_err(|_| GapSigningError)?;
        Ok(signature.as_bytes().to_vec())
    }
}
