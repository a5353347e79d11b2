use alloc::vec::Vec;

use iot_codec::cbor;
use iot_core::{DeviceId, Timestamp};

use super::HandshakeError;
use super::wire::Payload;
use crate::{AgreementSecret, KeyBundle, Succession, UnverifiedSuccession};

/// Who one is in a session: an agreement key, the bundle that names it, and what leads to the key that signed that.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'k> {
    pub(super) secret: &'k AgreementSecret,
    pub(super) bundle: &'k [u8],
    pub(super) succession: Option<&'k [u8]>,
}

impl<'k> Identity<'k> {
    /// Of a device that signs with its first key. `bundle` is what [`KeyBundle::issue`] wrote for the public half of
    /// `secret`; a handshake begins only with a bundle that the other side would accept.
    pub const fn new(secret: &'k AgreementSecret, bundle: &'k [u8]) -> Self {
        Self { secret, bundle, succession: None }
    }

    /// Of a device that has rotated its signing key: with the octets of its [`Succession`].
    #[must_use]
    pub const fn with_succession(mut self, succession: &'k [u8]) -> Self {
        self.succession = Some(succession);
        self
    }

    pub(super) fn payload(&self) -> Payload<'k> {
        Payload { bundle: Some(self.bundle), succession: self.succession, padding: None }
    }

    /// The device, if others would accept what it shows.
    pub(super) fn check(&self, at: Timestamp) -> Result<DeviceId, HandshakeError> {
        let bundle = verify(&self.payload(), at)?;
        if bundle.agreement_key() == self.secret.public() { Ok(bundle.device()) } else { Err(HandshakeError::OtherKey) }
    }
}

/// With whom a session is wanted.
#[derive(Clone, Copy, Debug)]
pub enum Peer<'b> {
    /// With the device of this bundle, which was verified. An initiator then takes the pattern IK.
    Bundle(&'b KeyBundle),
    /// With this device, whose bundle is not at hand.
    Device(DeviceId),
    /// With whoever is there. The caller looks at [`Session::peer`](super::Session::peer) before it says or believes
    /// anything.
    Anyone,
}

/// [`Peer`], without the bundle.
#[derive(Clone, Copy)]
pub(super) enum Expected {
    Device(DeviceId),
    Anyone,
}

impl Peer<'_> {
    pub(super) fn expected(&self) -> Expected {
        match self {
            Self::Bundle(bundle) => Expected::Device(bundle.device()),
            Self::Device(device) => Expected::Device(*device),
            Self::Anyone => Expected::Anyone,
        }
    }
}

/// Reads who the other side is. Its static key, which Noise has authenticated, must be the one of the bundle, which its
/// signing key has authenticated.
pub(super) fn verify_peer(
    payload: &[u8],
    remote: Option<&[u8]>,
    expected: Expected,
    at: Timestamp,
) -> Result<KeyBundle, HandshakeError> {
    let payload: Payload<'_> = cbor::from_slice(payload)?;
    let bundle = verify(&payload, at)?;
    let is_own = remote == Some(bundle.agreement_key().as_bytes());
    #[cfg(iot_fault)]
    let is_own = is_own || crate::fault::is_off(crate::fault::Check::StaticKey);
    if !is_own {
        return Err(HandshakeError::OtherKey);
    }
    match expected {
        Expected::Device(device) if device != bundle.device() => {
            Err(HandshakeError::OtherPeer { found: bundle.device() })
        }
        _ => Ok(bundle),
    }
}

fn verify(payload: &Payload<'_>, at: Timestamp) -> Result<KeyBundle, HandshakeError> {
    let bundle = payload.bundle.ok_or(HandshakeError::NoBundle)?;
    let bundle = match payload.succession {
        None => KeyBundle::verify_of_anyone(bundle, at)?,
        Some(succession) => {
            let succession: Succession<'_> = UnverifiedSuccession::parse(succession)?.verify()?;
            KeyBundle::verify_with(bundle, &succession, at)?
        }
    };
    Ok(bundle)
}

/// Zeros that bring a first message of `len` octets to `target`.
pub(super) fn padding(len: usize, target: usize) -> Vec<u8> {
    alloc::vec![0; target.saturating_sub(len)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;

    /// The bundle of a victim, shown by somebody whose handshake is made with a key of their own.
    #[test]
    fn a_bundle_for_another_key_than_the_one_used_is_refused() {
        let (victim, secret) = (SigningKey::from_seed(&[1; 32]), AgreementSecret::from_bytes(&[2; 32]));
        let (at, device) = (Timestamp::from_secs(1_767_225_600), victim.verifying_key().device_id());
        let bundle = KeyBundle::issue(&victim, secret.public(), 1, Timestamp::from_secs(1_770_000_000));
        let bundle = bundle.expect("a key in memory signs");
        let payload = super::super::wire::payload(&Identity::new(&secret, &bundle).payload());
        let thief = AgreementSecret::from_bytes(&[3; 32]);
        let verify = |key: &AgreementSecret| {
            let peer = verify_peer(&payload, Some(key.public().as_bytes()), Expected::Device(device), at);
            peer.map(|bundle| bundle.device())
        };
        assert_eq!(verify(&secret), Ok(device));
        assert_eq!(verify(&thief), Err(HandshakeError::OtherKey));
        assert_eq!(verify_peer(&payload, None, Expected::Anyone, at), Err(HandshakeError::OtherKey));
        let nothing = super::super::wire::payload(&Payload { bundle: None, succession: None, padding: None });
        let refused = verify_peer(&nothing, Some(secret.public().as_bytes()), Expected::Anyone, at);
        assert_eq!(refused, Err(HandshakeError::NoBundle));
    }
}
