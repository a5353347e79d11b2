//! `iot envelope seal --raw` and `open --raw`: plain structures, which prove nothing about who wrote them.

use std::error::Error;

use iot_crypto::AgreementSecret;
use iot_crypto::cose::{CoseError, Encrypt, Encrypt0, Recipient};
use lexopt::Parser;
use zeroize::Zeroizing;

use super::options::Options;
use super::{encode, generator, keys, octets_of, refused, write};
use crate::{Failure, source};

/// `iot envelope seal --raw`: a tagged `COSE_Encrypt0` of HPKE-4.
pub fn seal(parser: Parser) -> Result<(), Failure> {
    let options = Options::parse(parser, &["to", "external-aad", "out"], &["raw"], &["FILE"])?;
    let external = external(&options)?;
    let reader = keys::sealing(options.required("to")?)?;
    let payload = source::read(options.file(0))?;
    let mut buffer = vec![0; Encrypt0::sealed_len(payload.len(), external.len())];
    let sealed = Encrypt0::seal_to_into(&reader, &payload, &external, &mut generator()?, &mut buffer);
    let len = sealed.map_err(|error| refused(options.file(0), &error))?;
    let tagged = encode(|writer| {
        writer.tag(Encrypt0::TAG)?;
        writer.put(&buffer[..len])
    });
    write(options.get("out"), &tagged)
}

/// `iot envelope open --raw`: a `COSE_Encrypt0` of HPKE-4, or a `COSE_Encrypt` with a recipient of HPKE-4-KE.
pub fn open(parser: Parser) -> Result<(), Failure> {
    let options = Options::parse(parser, &["key", "password", "external-aad", "out"], &["raw"], &["FILE"])?;
    let external = external(&options)?;
    let secret = keys::agreement(&options)?;
    let octets = source::read(options.file(0))?;
    let opened = match Encrypt0::parse(&octets) {
        Ok(sealed) => open_for_one(&sealed, &secret, &external),
        Err(CoseError::Tag { found: Encrypt::TAG, .. } | CoseError::Members { found: 4, .. }) => {
            open_for_several(&octets, &secret, &external)
        }
        Err(error) => Err(error.into()),
    };
    write(options.get("out"), &opened.map_err(|error| refused(options.file(0), &*error))?)
}

type Opened = Result<Zeroizing<Vec<u8>>, Box<dyn Error>>;

fn open_for_one(sealed: &Encrypt0<'_>, secret: &AgreementSecret, external: &[u8]) -> Opened {
    let mut buffer = Zeroizing::new(vec![0; sealed.open_len(external.len())]);
    let len = sealed.open_sealed_into(secret, external, &mut buffer)?.len();
    buffer.truncate(len);
    Ok(buffer)
}

fn open_for_several(octets: &[u8], secret: &AgreementSecret, external: &[u8]) -> Opened {
    let sealed = Encrypt::parse(octets)?;
    let recipient = own(&sealed, secret).ok_or("no recipient names the key")?;
    let key = recipient.unwrap_key(secret, sealed.headers().algorithm)?;
    let mut buffer = Zeroizing::new(vec![0; sealed.open_len(external.len())]);
    let len = sealed.open_into(&key, external, &mut buffer)?.len();
    buffer.truncate(len);
    Ok(buffer)
}

/// The recipient that names the key, by its thumbprint or by its identifier; or the only one, if it names none.
fn own<'b>(sealed: &Encrypt<'b>, secret: &AgreementSecret) -> Option<Recipient<'b>> {
    let thumbprint = secret.thumbprint();
    let only = || sealed.recipients().next().filter(|it| sealed.recipient_count() == 1 && it.headers().kid.is_none());
    let named = sealed.recipient(thumbprint.as_bytes());
    named.or_else(|| sealed.recipient(thumbprint.key_id().as_bytes())).or_else(only)
}

fn external(options: &Options) -> Result<Vec<u8>, Failure> {
    octets_of(options.text("external-aad")?.unwrap_or_default())
}
