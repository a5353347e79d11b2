use core::hash::Hasher as _;
use core::net::SocketAddr;

use iot_codec::cbor::{self, Cursor};
use iot_crypto::{Signature, Signer, SignerError, SigningKey, VerifyingKey};
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use crate::id::NodeId;
use crate::peer::Peer;
use crate::wire::proof::{self, Signed};
use crate::wire::{Challenge, Endpoint, Message};

const DOMAIN: &[u8] = b"iot-dht simulated signature 1\0";

/// A stand-in for Ed25519 that costs a hundredth: the signature is a hash of the *public* key and the message, so that
/// anybody could make it. Nodes of a [`Sim`](crate::sim::Sim) believe it if they are told to, and no other node does.
///
/// It has the length of a real signature, and a [`Trace`](crate::sim::Trace) leaves both kinds out: what else a network does
/// must not depend on which kind it was.
pub struct SimulatedSigner(VerifyingKey);

impl SimulatedSigner {
    /// Pretends to hold this key.
    pub fn new(key: &SigningKey) -> Self {
        Self(key.verifying_key())
    }
}

impl Signer for SimulatedSigner {
    fn verifying_key(&self) -> VerifyingKey {
        self.0
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        Ok(Signature::from_bytes(simulated(self.0.as_bytes(), message)))
    }
}

/// What a node proves that is taken to have found the key of an identifier: the identifier stands for the key.
pub(crate) fn prove_as(id: &NodeId, message: &Message<'_>, challenge: &Challenge, from: SocketAddr) -> Signed {
    let challenger = Peer { id: message.sender, address: from };
    let prover = Peer { id: *id, address: challenge.asked.0 };
    let statement = proof::statement(message.overlay, &challenge.nonce, &challenger, &prover);
    let signature = simulated(id.as_bytes(), &statement);
    Signed { key: id.as_bytes().to_vec(), signature, seen: Endpoint(from), capability: alloc::vec::Vec::new() }
}

/// Whether a proof carries the simulated signature of the key of an identifier, or of what stands for such a key.
pub(crate) fn is_proof_simulated(prover: &NodeId, key: &[u8], signature: &[u8; 64], statement: &[u8]) -> bool {
    (key == prover.as_bytes() || NodeId::of_node_key(key) == *prover) && *signature == simulated(key, statement)
}

fn simulated(key: &[u8], message: &[u8]) -> [u8; 64] {
    let mut hasher = SipHasher24::new();
    [DOMAIN, key, message].iter().for_each(|part| hasher.write(part));
    let mut octets = [0; 64];
    for (quarter, chunk) in octets.chunks_exact_mut(16).enumerate() {
        let mut hasher = hasher;
        hasher.write(&[quarter as u8]);
        chunk.copy_from_slice(&hasher.finish128().as_u128().to_be_bytes());
    }
    octets
}

/// Whether a `COSE_Sign1` in these octets carries the simulated signature of a key.
pub(crate) fn is_simulated(octets: &[u8], key: &VerifyingKey, external: &[u8]) -> bool {
    let read = || {
        let mut cursor = Cursor::new(octets);
        cursor.array()?;
        let protected = cursor.bytes()?;
        cursor.skip()?;
        Ok::<_, cbor::DecodeError>((protected, cursor.bytes()?, cursor.bytes()?))
    };
    let Ok((protected, payload, signature)) = read() else { return false };
    // Sig_structure, RFC 9052 §4.4.
    let mut message = alloc::vec![0x84, 0x6a];
    message.extend_from_slice(b"Signature1");
    for part in [protected, external, payload] {
        message.extend_from_slice(&cbor::to_vec(&part));
    }
    signature == simulated(key.as_bytes(), &message)
}
