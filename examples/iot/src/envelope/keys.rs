//! Keys as `COSE_Key` files, the secret ones locked with a password or not.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write as _;

use iot_crypto::{
    AgreementKey, AgreementSecret, BufferTooSmall, CoseKey, CoseKeyError, KeyFile, KeyFileCost, KeyFileError, KeyKind,
    P256SigningKey, Signature, Signer, SignerError, SigningKey, VerifyingKey, XWingKey, XWingSecret,
};
use lexopt::Parser;
use zeroize::Zeroizing;

use super::options::Options;
use super::{generator, refused};
use crate::{Failure, source};

/// To what a locked file is bound: to being a key of this tool.
const USE: &[u8] = b"iot envelope key";

/// `iot envelope keygen`.
pub fn generate(parser: Parser) -> Result<(), Failure> {
    let options = Options::parse(parser, &["kind", "password"], &[], &["SECRET", "PUBLIC"])?;
    let mut rng = generator()?;
    let (secret, public, thumbprint) = match options.text("kind")?.unwrap_or("ed25519") {
        "ed25519" => {
            let key = SigningKey::generate(&mut rng);
            let public = key.verifying_key();
            (object(|buffer| key.write_secret_cose_key(buffer)), public.to_cose_key(), public.thumbprint())
        }
        "p256" => {
            let key = P256SigningKey::generate(&mut rng);
            let public = key.verifying_key();
            (object(|buffer| key.write_secret_cose_key(buffer)), public.to_cose_key(), public.thumbprint())
        }
        "x25519" => {
            let key = AgreementSecret::generate(&mut rng);
            (object(|buffer| key.write_secret_cose_key(buffer)), key.public().to_cose_key(), key.thumbprint())
        }
        "x-wing" => {
            let key = XWingSecret::generate(&mut rng);
            (key.to_secret_cose_key(), key.public().to_cose_key(), key.public().thumbprint())
        }
        other => return Err(Failure::Usage(format!("there are no keys of the kind {other:?}"))),
    };
    let locked;
    let secret = match options.get("password") {
        None => &secret[..],
        Some(name) => {
            let lock = KeyFile::lock(&secret, &password(name)?, USE, KeyFileCost::default(), &mut rng);
            locked = lock.map_err(|error| refused(name, &error))?;
            &locked[..]
        }
    };
    create(options.file(0), 0o600, secret)?;
    create(options.file(1), 0o644, &public)?;
    say!("thumbprint  {}", thumbprint.device_id());
    say!("key id      {}", thumbprint.key_id());
    Ok(())
}

/// The octets of a secret key object.
fn object(write: impl FnOnce(&mut [u8]) -> Result<usize, BufferTooSmall>) -> Zeroizing<Vec<u8>> {
    let mut octets = Zeroizing::new(vec![0; CoseKey::MAX_LEN]);
    let len = write(&mut octets).expect("the buffer takes the longest key");
    octets.truncate(len);
    octets
}

/// A new file that never replaces another one, since that could be a key.
fn create(name: &OsStr, mode: u32, octets: &[u8]) -> Result<(), Failure> {
    let mut how = OpenOptions::new();
    how.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut how, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let written = how.open(name).and_then(|mut file| file.write_all(octets));
    written.map_err(|error| Failure::Input(format!("{}: {error}", name.display())))
}

/// The first line of a file.
fn password(name: &OsStr) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut octets = Zeroizing::new(source::read(name)?);
    if let Some(end) = octets.iter().position(|octet| matches!(octet, b'\n' | b'\r')) {
        octets.truncate(end);
    }
    Ok(octets)
}

/// The octets of a secret key object, unlocked if it is locked.
fn secret_object(options: &Options) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let name = options.required("key")?;
    let octets = Zeroizing::new(source::read(name)?);
    let file = match KeyFile::parse(&octets) {
        Ok(file) => file,
        Err(error @ KeyFileError::Cost(_)) => return Err(refused(name, &error)),
        Err(_) => return Ok(octets),
    };
    let Some(password_file) = options.get("password") else {
        return Err(Failure::Usage(format!("{} is locked: --password is missing", name.display())));
    };
    let mut secret = Zeroizing::new(vec![0; file.secret_len()]);
    file.unlock(&password(password_file)?, USE, &mut secret).map_err(|error| refused(name, &error))?;
    Ok(secret)
}

/// A signing key of either kind.
pub enum Signing {
    Ed25519(SigningKey),
    P256(P256SigningKey),
}

impl Signer for Signing {
    fn verifying_key(&self) -> VerifyingKey {
        match self {
            Self::Ed25519(key) => key.verifying_key(),
            Self::P256(key) => key.verifying_key(),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        Ok(match self {
            Self::Ed25519(key) => key.sign(message),
            Self::P256(key) => key.sign(message),
        })
    }
}

/// The secret of `--key`, to sign with.
pub fn signing(options: &Options) -> Result<Signing, Failure> {
    let octets = secret_object(options)?;
    let read = |object: CoseKey<'_>| match object.kind() {
        KeyKind::P256 => object.p256_signing_key().map(Signing::P256),
        _ => object.signing_key().map(Signing::Ed25519),
    };
    CoseKey::parse(&octets).and_then(read).map_err(|error| refused(options.get("key").unwrap_or_default(), &error))
}

/// The secret of `--key`, to open with.
pub fn agreement(options: &Options) -> Result<AgreementSecret, Failure> {
    agreement_of(options, &secret_object(options)?)
}

fn agreement_of(options: &Options, octets: &[u8]) -> Result<AgreementSecret, Failure> {
    let read = CoseKey::parse(octets).and_then(|object| object.agreement_secret());
    read.map_err(|error| refused(options.get("key").unwrap_or_default(), &error))
}

/// The secrets of a reader, of which the tool is given one at a time.
#[derive(Default)]
pub struct Secrets {
    pub agreement: Vec<AgreementSecret>,
    pub x_wing: Vec<XWingSecret>,
}

/// The secret of `--key`, of either kind to which messages are sealed.
pub fn opening(options: &Options) -> Result<Secrets, Failure> {
    let octets = secret_object(options)?;
    match XWingSecret::from_secret_cose_key(&octets) {
        Ok(secret) => Ok(Secrets { x_wing: vec![secret], ..Secrets::default() }),
        Err(CoseKeyError::KeyType { .. }) => {
            Ok(Secrets { agreement: vec![agreement_of(options, &octets)?], ..Secrets::default() })
        }
        Err(error) => Err(refused(options.get("key").unwrap_or_default(), &error)),
    }
}

/// The public key of a file, to verify with.
pub fn verifying(name: &OsStr) -> Result<VerifyingKey, Failure> {
    let octets = source::read(name)?;
    CoseKey::parse(&octets).and_then(|object| object.verifying_key()).map_err(|error| refused(name, &error))
}

/// The public key of a file, to seal to.
pub fn sealing(name: &OsStr) -> Result<AgreementKey, Failure> {
    let octets = source::read(name)?;
    CoseKey::parse(&octets).and_then(|object| object.agreement_key()).map_err(|error| refused(name, &error))
}

/// The X-Wing key of a file, to seal to.
pub fn sealing_x_wing(name: &OsStr) -> Result<XWingKey, Failure> {
    XWingKey::from_cose_key(&source::read(name)?).map_err(|error| refused(name, &error))
}
