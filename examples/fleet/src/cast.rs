//! Who takes part, and with which keys. All of it follows from the seed.

use iot_codec::record;
use iot_core::{DeviceId, Incarnation};
use iot_crypto::{AgreementSecret, SigningKey};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// A part in the story. Each has keys and chance of its own, whatever the others do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A sensor.
    Device = 1,
    /// Who takes the devices' messages and owns the feed.
    Gateway = 2,
    /// Who reads.
    Server = 3,
    /// A second reader, who passes on what is not his to pass on.
    Snoop = 4,
    /// A device that was taken out of service. A thief has its agreement key, its bundle has expired.
    Retired = 5,
    /// A node of the hash table.
    Node = 6,
    /// A node of the hash table that lies.
    Attacker = 7,
    /// Someone in front of the gateway's door who forges, alters and repeats messages.
    Forger = 8,
    /// The run itself, as a client of the hash table.
    Auditor = 9,
}

record! {
    /// What one party alone knows. Handed to a process in a file of its own.
    #[derive(Clone)]
    pub struct Secrets {
        /// From which its signing key follows.
        1 => pub signing: [u8; 32],
        /// To which others seal.
        2 => pub agreement: [u8; 32],
        /// The run of its counters.
        3 => pub incarnation: [u8; 8],
        /// From which its chance follows.
        4 => pub chance: [u8; 32],
    }
}

/// One party, ready to act.
pub struct Party {
    /// With which it signs.
    pub signing: SigningKey,
    /// To which others seal.
    pub agreement: AgreementSecret,
    /// The same as octets, which a dishonest party uses in its own way.
    pub agreement_octets: [u8; 32],
    /// The run of its counters.
    pub incarnation: Incarnation,
    /// Its chance.
    pub rng: ChaCha20Rng,
}

impl Party {
    /// The identity.
    pub fn id(&self) -> DeviceId {
        self.signing.verifying_key().device_id()
    }
}

impl From<&Secrets> for Party {
    fn from(secrets: &Secrets) -> Self {
        Self {
            signing: SigningKey::from_seed(&secrets.signing),
            agreement: AgreementSecret::from_bytes(&secrets.agreement),
            agreement_octets: secrets.agreement,
            incarnation: Incarnation::from_bytes(secrets.incarnation),
            rng: ChaCha20Rng::from_seed(secrets.chance),
        }
    }
}

/// The secrets of a party.
pub fn secrets(seed: u64, role: Role, index: usize) -> Secrets {
    let mut octets = [0; 32];
    octets[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = ChaCha20Rng::from_seed(octets);
    rng.set_stream((role as u64) << 32 | index as u64);
    let mut secrets = Secrets { signing: [0; 32], agreement: [0; 32], incarnation: [0; 8], chance: [0; 32] };
    rng.fill_bytes(&mut secrets.signing);
    rng.fill_bytes(&mut secrets.agreement);
    rng.fill_bytes(&mut secrets.incarnation);
    rng.fill_bytes(&mut secrets.chance);
    secrets
}

/// A party.
pub fn party(seed: u64, role: Role, index: usize) -> Party {
    Party::from(&secrets(seed, role, index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parties_differ_and_follow_from_the_seed() {
        let id = |seed, role, index| party(seed, role, index).id();
        assert_eq!(id(1, Role::Device, 0), id(1, Role::Device, 0));
        assert_ne!(id(1, Role::Device, 0), id(1, Role::Device, 1));
        assert_ne!(id(1, Role::Device, 0), id(1, Role::Node, 0));
        assert_ne!(id(1, Role::Device, 0), id(2, Role::Device, 0));
    }
}
