//! A manager, members, and what they keep.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;

use iot_core::{DeviceId, Incarnation, KeyId, Position, StreamId, Timestamp, Topic};
use iot_crypto::group::{Group, GroupId, GroupLimits, GroupManager, GroupMember, GroupPublisher, RekeyError};
use iot_crypto::stream::{Counter, CounterStore, Reservation};
use iot_crypto::{
    AgreementSecret, Directory, Heading, KeyBundle, OpenError, Opener, SigningKey, Verified, VerifyingKey,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

pub use crate::seen::Seen;

pub const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
pub const INCARNATION: Incarnation = Incarnation::from_bytes(*b"a chance");
pub const PAYLOAD: &[u8] = b"twenty octets, yes: ";

/// One that keeps many older epochs.
pub type Member = GroupMember<iot_crypto::stream::RustCrypto, 64>;
pub type Publisher = GroupPublisher<'static, Ram>;

pub fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([7; 32])
}

pub fn topic() -> Topic<'static> {
    Topic::new("plant/7/boiler/12").unwrap()
}

pub fn keys_topic() -> Topic<'static> {
    Topic::new("plant/7/keys").unwrap()
}

/// Somebody with keys that follow from a number.
pub struct Party {
    pub signing: SigningKey,
    pub agreement: AgreementSecret,
}

impl Party {
    pub fn new(seed: u8) -> Self {
        let agreement = AgreementSecret::from_bytes(&[seed | 0x80; 32]);
        Self { signing: SigningKey::from_seed(&[seed; 32]), agreement }
    }

    pub fn id(&self) -> DeviceId {
        self.signing.verifying_key().device_id()
    }

    pub fn bundle(&self) -> KeyBundle {
        let expires = Timestamp::from_secs(NOW.as_secs() + 86_400);
        let octets = KeyBundle::issue(&self.signing, self.agreement.public(), 1, expires).unwrap();
        KeyBundle::verify(&octets, &self.id(), NOW).unwrap()
    }

    pub fn heading(&self, sequence: u64) -> Heading<'static> {
        let position = Position { source: self.id(), stream: StreamId::new(0), incarnation: INCARNATION, sequence };
        Heading { topic: topic(), position }
    }

    pub fn keys_heading(&self, sequence: u64) -> Heading<'static> {
        Heading { topic: keys_topic(), ..self.heading(sequence) }
    }

    /// Opens a message of `manager` and hands it on.
    pub fn opened<T>(
        &self,
        manager: &Party,
        message: &[u8],
        then: impl FnOnce(&Verified<'_>) -> T,
    ) -> Result<T, OpenError> {
        let mut message = message.to_vec();
        let mut opener =
            Opener::new(std::slice::from_ref(&self.agreement), manager.signing.verifying_key(), Seen::default());
        let mut scratch = vec![0; 32_768];
        opener.open(Some(keys_topic()), &mut message, &mut scratch).map(|opened| then(&opened))
    }
}

/// A directory of these devices.
pub struct Known<'a>(Vec<&'a Party>);

pub fn known<'a>(parties: &[&'a Party]) -> Known<'a> {
    Known(parties.to_vec())
}

impl Directory for Known<'_> {
    fn sender(&self, key: KeyId) -> Option<(DeviceId, VerifyingKey)> {
        let party = self.0.iter().find(|party| party.signing.verifying_key().key_id() == key)?;
        Some((party.id(), party.signing.verifying_key()))
    }
}

/// Storage that outlives its device.
#[derive(Clone, Default)]
pub struct Ram(pub Rc<Cell<Option<Counter>>>);

impl CounterStore for Ram {
    type Error = Infallible;

    fn load(&mut self) -> Result<Option<Counter>, Infallible> {
        Ok(self.0.get())
    }

    fn store(&mut self, counter: Counter) -> Result<(), Infallible> {
        self.0.set(Some(counter));
        Ok(())
    }
}

pub fn group(manager: &Party) -> Group {
    Group { manager: manager.id(), id: GroupId::from_bytes(*b"plant  7") }
}

/// A manager and its members, in an epoch.
pub struct Plant {
    pub manager: Party,
    pub manages: GroupManager,
    pub rng: ChaCha20Rng,
    sequence: u64,
}

impl Plant {
    pub fn found(members: &[&Party]) -> Self {
        let (manager, mut rng) = (Party::new(0x7f), rng());
        let bundles: Vec<_> = members.iter().map(|member| member.bundle()).collect();
        let limits = GroupLimits::default().history(16).unwrap();
        let manages = GroupManager::found(group(&manager), limits, 0, &bundles, &mut rng).unwrap();
        Self { manager, manages, rng, sequence: 0 }
    }

    pub fn group(&self) -> Group {
        *self.manages.group()
    }

    /// The messages of the current epoch.
    pub fn messages(&mut self) -> Vec<Vec<u8>> {
        let heading = self.manager.keys_heading(self.sequence);
        self.sequence += self.manages.message_count() as u64;
        self.manages.seal_epoch(&self.manager.signing, &heading, NOW, &mut self.rng).unwrap()
    }

    pub fn history(&mut self, reader: &Party, epochs: std::ops::Range<u64>) -> Vec<u8> {
        let heading = self.manager.keys_heading(self.sequence);
        self.sequence += 1;
        let signer = &self.manager.signing;
        self.manages.seal_history(&reader.id(), epochs, signer, &heading, NOW, &mut self.rng).unwrap()
    }

    /// Whether `party` enters the epoch of one of the messages.
    pub fn enter(&self, party: &Party, member: &mut Member, messages: &[Vec<u8>]) -> Result<u64, Refused> {
        let mut refused = None;
        for message in messages {
            match party.opened(&self.manager, message, |opened| member.enter(opened)) {
                Ok(entered) => return entered.map_err(Refused::Rekey),
                Err(error) => refused = Some(error),
            }
        }
        Err(Refused::Open(refused.unwrap()))
    }

    /// A member in the current epoch.
    pub fn member(&mut self, party: &Party) -> Member {
        let mut member = Member::new(self.group());
        let messages = self.messages();
        self.enter(party, &mut member, &messages).unwrap();
        member
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Open(OpenError),
    Rekey(RekeyError),
}

pub fn publisher(member: &Member, party: &Party) -> Publisher {
    GroupPublisher::begin(member, &party.heading(0), Ram::default(), Reservation::default()).unwrap()
}
