//! What a node signs to prove who it is.

use alloc::vec::Vec;
use core::net::SocketAddr;

use iot_crypto::{Signature, Signer, SignerError, VerifyingKey};

use crate::id::NodeId;
use crate::peer::{Address, Peer};
use crate::wire::{Challenge, Endpoint, Message, Nonce, Proof};

/// What distinguishes the statement from everything else that a key signs.
const DOMAIN: &[u8] = b"iot-dht proof 1\0";

/// What the prover signs: the network, the challenger's nonce, who both are, and where each has seen the other.
///
/// Nobody in between can pass a challenge on and use the proof for itself: it would hold for the address from which it asked.
pub fn statement(overlay: u64, nonce: &Nonce, challenger: &Peer<32>, prover: &Peer<32>) -> Vec<u8> {
    let mut octets = Vec::with_capacity(DOMAIN.len() + 16 + 2 * (NodeId::LEN + Address::LEN));
    octets.extend_from_slice(DOMAIN);
    octets.extend_from_slice(&overlay.to_be_bytes());
    octets.extend_from_slice(nonce);
    for peer in [challenger, prover] {
        octets.extend_from_slice(peer.id.as_bytes());
        octets.extend_from_slice(&Address::from(peer.address).to_octets());
    }
    octets
}

/// The signature of a proof, and the octets of its key, which it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The verifying key.
    pub key: Vec<u8>,
    /// By that key, over the [`statement`].
    pub signature: [u8; 64],
    /// Where the challenge came from.
    pub seen: Endpoint,
    /// What is shown beside the proof; empty, if that is nothing.
    pub capability: Vec<u8>,
}

impl Signed {
    /// Answers the challenge of a message that came from `from`.
    ///
    /// # Errors
    ///
    /// [`SignerError`] when whatever holds the key did not sign.
    pub fn answer(
        signer: &(impl Signer + ?Sized),
        message: &Message<'_>,
        challenge: &Challenge,
        from: SocketAddr,
    ) -> Result<Self, SignerError> {
        let key = signer.verifying_key();
        let challenger = Peer { id: message.sender, address: from };
        let prover = Peer { id: NodeId::of_node(&key), address: challenge.asked.0 };
        let signature = signer.sign(&statement(message.overlay, &challenge.nonce, &challenger, &prover))?;
        let (key, capability) = (key.as_bytes().to_vec(), Vec::new());
        Ok(Self { key, signature: *signature.as_bytes(), seen: Endpoint(from), capability })
    }

    /// What stands in the message.
    pub fn proof(&self) -> Proof<'_> {
        let capability = (!self.capability.is_empty()).then_some(&self.capability[..]);
        Proof { key: &self.key, signature: self.signature, seen: self.seen, capability }
    }
}

/// Whether a signature by the key that `prover` is the hash of stands over the statement.
pub(crate) fn is_valid(prover: &NodeId, key: &[u8], signature: &[u8; 64], statement: &[u8]) -> bool {
    let is_signed = |key: VerifyingKey| key.verify(statement, &Signature::from_bytes(*signature)).is_ok();
    NodeId::of_node_key(key) == *prover && VerifyingKey::from_bytes(key).is_ok_and(is_signed)
}
