//! What a subscriber answers: how far it has the publisher's messages, signed, and sealed for the publisher. So no proxy
//! can make the publisher believe that something has arrived.

use iot_core::{Freshness, Incarnation, Position, Topic};
use iot_crypto::{Heading, Opener, ReplayError, ReplayGuard, Sealer};
use iot_link::Failure;
use iot_link::process::wall;
use rand_chacha::ChaCha20Rng;

use crate::keys::{Keys, Other};
use crate::{HAVE, RECEIPTS};

/// Makes a receipt for everything of `incarnation` before `next`.
pub fn seal(keys: &Keys, incarnation: Incarnation, next: u64, rng: &mut ChaCha20Rng) -> Result<Vec<u8>, Failure> {
    let publisher = keys.others.first().ok_or("the keys name no publisher")?;
    let source = keys.signing.verifying_key().device_id();
    let sealer = Sealer::new(source, &keys.signing, publisher.bundle);
    let position = Position { source, stream: HAVE, incarnation, sequence: next };
    Ok(sealer.seal(&Heading { topic: Topic::new(RECEIPTS)?, position }, &[], wall(), rng)?)
}

/// Reads a receipt of `subscriber`: up to where it has the messages of which incarnation.
pub fn open(keys: &Keys, subscriber: &Other, receipt: &mut [u8]) -> Result<(Incarnation, u64), Failure> {
    let mut opener = Opener::new(&keys.agreement, subscriber, Anything);
    let mut scratch = vec![0; iot_crypto::scratch_len(receipt.len(), RECEIPTS.len())];
    let opened = opener.open(Some(Topic::new(RECEIPTS)?), receipt, &mut scratch)?;
    let position = opened.position();
    if position.stream != HAVE {
        return Err("that is no receipt".into());
    }
    Ok((position.incarnation, position.sequence))
}

/// Old receipts do no harm: they say less than new ones.
pub struct Anything;

impl ReplayGuard for Anything {
    fn check(&self, _: &Position) -> Result<(), ReplayError> {
        Ok(())
    }

    fn accept(&mut self, _: &Position) -> Result<Freshness, ReplayError> {
        Ok(Freshness::Unproven)
    }
}
