use alloc::boxed::Box;
use alloc::vec::Vec;

use iot_core::KeyId;
use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

use super::HandshakeError;
use super::resolver::Primitives;
use super::transport::Split;
use crate::{AgreementKey, AgreementSecret};

/// What the initiator knows before it begins decides the pattern (Noise §7.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// The initiator knows the responder's key, and shows its own in the first message.
    Ik,
    /// The initiator does not know the responder's key. Each shows its own encrypted, the responder first.
    Xx,
}

impl Pattern {
    const fn name(self) -> &'static str {
        match self {
            Self::Ik => "Noise_IK_25519_ChaChaPoly_SHA256",
            Self::Xx => "Noise_XX_25519_ChaChaPoly_SHA256",
        }
    }

    /// Octets that Noise adds to the payload of the first message.
    pub(super) const fn first_overhead(self) -> usize {
        match self {
            Self::Ik => 32 + 48 + 16,
            Self::Xx => 32,
        }
    }

    /// Octets that Noise adds to the payload of the second.
    pub(super) const fn second_overhead(self) -> usize {
        match self {
            Self::Ik => 32 + 16,
            Self::Xx => 32 + 48 + 16,
        }
    }

    /// Octets that Noise adds to the initiator's last payload.
    pub(super) const fn last_overhead(self) -> usize {
        match self {
            Self::Ik => 32 + 48 + 16,
            Self::Xx => 48 + 16,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Initiator,
    Responder,
}

/// What a handshake begins with. It gives the same messages each time, so that a state which has refused a message is
/// thrown away and made anew.
pub(super) struct Start {
    pub(super) pattern: Pattern,
    pub(super) role: Role,
    pub(super) secret: Zeroizing<[u8; 32]>,
    pub(super) ephemeral: Zeroizing<[u8; 32]>,
    /// The responder's key, where the initiator knows it.
    pub(super) remote: Option<AgreementKey>,
    pub(super) prologue: Vec<u8>,
}

impl Start {
    pub(super) fn own_key(&self) -> KeyId {
        AgreementSecret::from_bytes(&self.secret).key_id()
    }

    pub(super) fn noise(&self) -> Noise {
        let params = self.pattern.name().parse().expect("the names of the patterns are Noise's");
        let primitives = Primitives { ephemeral: self.ephemeral.clone() };
        let builder = Builder::with_resolver(params, Box::new(primitives));
        let once = "each is set once";
        let mut builder = builder.local_private_key(&*self.secret).expect(once).prologue(&self.prologue).expect(once);
        if let Some(remote) = &self.remote {
            builder = builder.remote_public_key(remote.as_bytes()).expect(once);
        }
        let built = match self.role {
            Role::Initiator => builder.build_initiator(),
            Role::Responder => builder.build_responder(),
        };
        Noise(Box::new(built.expect("the pattern has the keys that it needs")))
    }
}

/// Octets that Noise adds to a payload at most: two keys and two tags.
const MAX_OVERHEAD: usize = 2 * 32 + 2 * 16;

/// The state of Noise between two messages.
pub(super) struct Noise(Box<HandshakeState>);

impl Noise {
    /// Appends a message to `out`.
    pub(super) fn write(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), HandshakeError> {
        let start = out.len();
        out.resize(start + payload.len() + MAX_OVERHEAD, 0);
        let len = self.0.write_message(payload, &mut out[start..]).map_err(|_| HandshakeError::Noise)?;
        out.truncate(start + len);
        Ok(())
    }

    /// Reads a message and returns its payload. After an error, the state is of no use.
    pub(super) fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, HandshakeError> {
        let mut payload = alloc::vec![0; message.len()];
        let len = self.0.read_message(message, &mut payload).map_err(|_| HandshakeError::Noise)?;
        payload.truncate(len);
        Ok(payload)
    }

    /// The other's static key, as soon as it is known.
    pub(super) fn remote(&self) -> Option<&[u8]> {
        self.0.get_remote_static()
    }

    /// The keys, once the last message is through.
    pub(super) fn split(mut self) -> Result<Split, HandshakeError> {
        if !self.0.is_handshake_finished() {
            return Err(HandshakeError::Noise);
        }
        let hash = self.0.get_handshake_hash().try_into().map_err(|_| HandshakeError::Noise)?;
        let (initiator, responder) = self.0.dangerously_get_raw_split();
        #[cfg(iot_fault)]
        let responder = if crate::fault::is_off(crate::fault::Check::DirectionKeys) { initiator } else { responder };
        Ok(Split { hash, initiator: Zeroizing::new(initiator), responder: Zeroizing::new(responder) })
    }
}

#[cfg(test)]
mod tests;
