//! One payload in each form in which a message can be sealed or signed.

use std::num::NonZeroU16;
use std::sync::LazyLock;

use iot_core::Timestamp;
use iot_crypto::{
    BundleDraft, Carries, KeyBundle, MultiSealer, Padding, Publisher, SealError, Sealer, XWingKey, XWingSecret,
};

use crate::party::{PAYLOAD, Party, TODAY, rng};

/// A message, and what it lets everybody see.
pub struct Envelope {
    pub octets: Vec<u8>,
    pub is_sealed: bool,
    /// Whether the topic stands in the routing header.
    pub says_topic: bool,
}

pub struct Envelopes {
    pub device: Party,
    /// One of the readers of each message.
    pub reader: Party,
    pub x_wing: [XWingSecret; 1],
    pub all: [Envelope; 8],
}

/// The number of each message: that of its place and no other's.
pub const fn sequence(index: usize) -> u64 {
    70_000 + index as u64
}

pub static ENVELOPES: LazyLock<Envelopes> = LazyLock::new(|| {
    let (device, reader) = (Party::new(1), Party::new(2));
    let (x_wing, other) = ([XWingSecret::from_bytes(&[5; 32])], Party::new(3));
    let two_keys = [XWingSecret::from_bytes(&[6; 32]).public().clone(), x_wing[0].public().clone()];
    let two = [with_x_wing(&other, &two_keys[0]), with_x_wing(&reader, &two_keys[1])];
    let readers = [other.bundle, reader.bundle, Party::new(4).bundle];
    let padding = Padding::Multiple(NonZeroU16::new(64).expect("64 is not zero"));
    let (source, signer, rng) = (device.id(), &device.signing, &mut rng(6));
    let at = |index| device.heading(sequence(index));
    let one = || Sealer::new(source, signer, reader.bundle);
    let three = || MultiSealer::new(source, signer, &readers).expect("three are few, and each is there once");
    let publisher = || Publisher::new(source, signer);
    let everything = Carries::SourceAndTopic;
    let sealed = |octets: Result<Vec<u8>, SealError>, carries: Carries| Envelope {
        octets: octets.expect("all is within limits"),
        is_sealed: true,
        says_topic: carries == everything,
    };
    let all = [
        sealed(one().seal(&at(0), PAYLOAD, TODAY, rng), Carries::Position),
        sealed(one().carrying(everything).seal(&at(1), PAYLOAD, TODAY, rng), everything),
        sealed(one().carrying(Carries::Source).padded(padding).seal(&at(2), PAYLOAD, TODAY, rng), Carries::Source),
        sealed(three().padded(padding).seal(&at(3), PAYLOAD, TODAY, rng), Carries::Position),
        sealed(
            MultiSealer::new(source, signer, &two)
                .and_then(|it| it.to_x_wing(&two_keys))
                .and_then(|it| it.carrying(everything).seal(&at(4), PAYLOAD, TODAY, rng)),
            everything,
        ),
        sealed(
            Sealer::new(source, signer, two[1])
                .to_x_wing(x_wing[0].public())
                .and_then(|it| it.seal(&at(5), PAYLOAD, TODAY, rng)),
            Carries::Position,
        ),
        Envelope { is_sealed: false, ..sealed(publisher().publish(&at(6), PAYLOAD), Carries::Position) },
        Envelope { is_sealed: false, ..sealed(publisher().carrying(everything).publish(&at(7), PAYLOAD), everything) },
    ];
    Envelopes { device, reader, x_wing, all }
});

fn with_x_wing(party: &Party, key: &XWingKey) -> KeyBundle {
    let draft = BundleDraft::new(party.bundle.agreement_key(), 2, Timestamp::from_secs(2_000_000_000));
    let issued = draft.with_x_wing(key).issue(&party.signing).expect("the key is at hand");
    KeyBundle::verify(&issued, &party.id(), TODAY).expect("it is its own")
}

/// What the target takes: a form and a policy, and what is changed.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let forms = ["one", "one-topic", "one-padded", "three", "x-wing-two", "x-wing", "signed", "signed-topic"];
    let mut seeds = Vec::new();
    for (form, name) in (0..).zip(forms) {
        seeds.push((format!("{name}-unchanged"), vec![form | 1 << 3]));
        seeds.push((format!("{name}-bit"), vec![form | 1 << 3, 0, 100, 0, 1]));
    }
    seeds.push(("one-tagged".into(), vec![1 << 3, 1, 13, 0, 0xd0]));
    seeds.push(("three-readers-swapped".into(), vec![3, 4, 200, 0, 128]));
    for policy in 0..8 {
        seeds.push((format!("policy-{policy}"), vec![1 | policy << 3]));
    }
    seeds.push(("no-topic".into(), vec![1 | 0x40]));
    seeds.push(("other-topic".into(), vec![0x80]));
    seeds
}
