use alloc::boxed::Box;
use core::net::SocketAddr;

use iot_crypto::Signer;

use crate::id::NodeId;
use crate::wire::proof::Signed;
use crate::wire::{Challenge, Message};

/// What a node proves with who it is.
pub(super) enum Identity {
    /// It holds the key that its identifier is the hash of.
    Held(Box<dyn Signer + Send>),
    /// An attacker of a simulation, who is taken to have found the key of this identifier.
    #[cfg(feature = "sim")]
    Found(NodeId),
}

impl Identity {
    pub(super) fn id(&self) -> NodeId {
        match self {
            Self::Held(signer) => NodeId::of_node(&signer.verifying_key()),
            #[cfg(feature = "sim")]
            Self::Found(id) => *id,
        }
    }

    /// The answer to a challenge; nothing, if whatever holds the key does not sign just now.
    pub(super) fn prove(&self, message: &Message<'_>, challenge: &Challenge, from: SocketAddr) -> Option<Signed> {
        match self {
            Self::Held(signer) => Signed::answer(&**signer, message, challenge, from).ok(),
            #[cfg(feature = "sim")]
            Self::Found(id) => Some(crate::sim::prove_as(id, message, challenge, from)),
        }
    }
}
