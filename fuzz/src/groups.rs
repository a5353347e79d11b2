//! A group of a manager, two publishers and a reader, in its third epoch, and what was written in it.

use std::sync::LazyLock;

use iot_crypto::group::{Batch, Group, GroupId, GroupLimits, GroupManager, GroupMember, GroupPublisher};
use iot_crypto::stream::Reservation;
use iot_crypto::{Carries, Heading, Opener, Trackers, Verified, scratch_len};

use crate::party::{PAYLOAD, Party, Ram, TODAY, rng, topic};

/// Messages of the publisher.
pub const COUNT: usize = 4;

pub struct Plant {
    pub manager: Party,
    pub publisher: Party,
    pub reader: Party,
    pub group: Group,
    /// Of the publisher, with the source and the topic in the header; the first is of the epoch before.
    pub messages: Vec<Vec<u8>>,
    /// What another member wrote in the place of the second message.
    pub forged: Vec<u8>,
    /// What the publisher signed of those of the current epoch.
    pub batch: Vec<u8>,
    /// The reader, saved.
    pub member: Vec<u8>,
}

pub static PLANT: LazyLock<Plant> = LazyLock::new(|| {
    let (manager, publisher, reader) = (Party::new(1), Party::new(2), Party::new(3));
    let group = Group { manager: manager.id(), id: GroupId::from_bytes(*b"plant  7") };
    let mut rng = rng(4);
    let members = [publisher.bundle, reader.bundle];
    let limits = GroupLimits::default();
    let mut manages = GroupManager::found(group, limits, 0, &members, &mut rng).expect("two members are few");
    let mut enter = |manages: &GroupManager, member: &mut GroupMember| {
        let messages = manages.seal_epoch(&manager.signing, &manager.heading(manages.epoch()), TODAY, &mut rng);
        let sealed = messages.expect("the bundles are valid").swap_remove(0);
        opened(&manager, &reader, &sealed, |opened| member.enter(opened)).expect("the epoch is the next one");
    };

    let mut member = GroupMember::new(group);
    enter(&manages, &mut member);
    let first = publisher.heading(70_000);
    let begin = |member: &GroupMember| -> GroupPublisher<'static, Ram> {
        let publisher = GroupPublisher::begin(member, &first, Ram::default(), Reservation::default());
        publisher.and_then(|it| it.carrying(Carries::SourceAndTopic)).expect("the storage is empty")
    };
    let (mut honest, mut forger) = (begin(&member), begin(&member));
    let mut nowhere: Batch = Batch::new(group);
    let mut messages = vec![honest.publish(PAYLOAD, &mut nowhere).expect("numbers are left")];
    forger.publish(PAYLOAD, &mut Batch::<32>::new(group)).expect("numbers are left");

    let mut again = self::rng(5);
    manages.change(&[], &[], &mut again).expect("numbers are left");
    manages.change(&[], &[], &mut again).expect("numbers are left");
    enter(&manages, &mut member);
    honest.follow(&member).expect("the epoch is later");
    forger.follow(&member).expect("the epoch is later");
    let forged = forger.publish(b"forged", &mut Batch::<32>::new(group)).expect("numbers are left");
    let mut batch: Batch = Batch::new(group);
    messages.extend((1..COUNT).map(|_| honest.publish(PAYLOAD, &mut batch).expect("numbers are left")));
    let batch = batch.sign(&publisher.signing).expect("the key is at hand");

    let mut saved = vec![0; <GroupMember>::MAX_SAVED_LEN];
    let len = member.save_into(&mut saved).expect("the buffer takes the longest");
    saved.truncate(len);
    Plant { manager, publisher, reader, group, messages, forged, batch, member: saved }
});

/// Opens a message of `from` for `to`, and hands it on.
pub fn opened<T>(from: &Party, to: &Party, sealed: &[u8], then: impl FnOnce(&Verified<'_>) -> T) -> T {
    let mut message = sealed.to_vec();
    let mut scratch = vec![0; scratch_len(message.len(), topic().as_str().len())];
    let trackers = <Trackers>::new(1, 1).expect("within limits");
    let mut opener = Opener::new(&to.secrets, from.key(), trackers);
    then(&opener.open(Some(topic()), &mut message, &mut scratch).expect("it is genuine"))
}

/// Where the message of this index stands.
pub fn heading(index: usize) -> Heading<'static> {
    PLANT.publisher.heading(70_000 + index as u64)
}

/// What the target takes: the octet that names the decoder, and what it reads.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let plant = &*PLANT;
    let kind = |text: &str| [&[0x01, 0x60 | text.len() as u8], text.as_bytes(), b"\x02\x48plant  7"].concat();
    let key = |key: u8, octet: u8| [&[key, 0x58, 0x20][..], &[octet; 32]].concat();
    let rekeying = [&[0xa5][..], &kind("iot group epoch 1"), &[3, 7], &key(4, 8), &key(5, 9)].concat();
    let history = [&[0xa4][..], &kind("iot group history 1"), &[3, 0, 4, 0x58, 0x80], &[6; 128]].concat();
    let body =
        [&b"\xa5\x01\x02\x02\x01\x03\x48\x07\x07\x07\x07\x07\x07\x07\x07\x04\x05\x05\x58\x40"[..], &[1; 64]].concat();
    [
        (0, "message", &*plant.messages[0]),
        (1, "member", &*plant.member),
        (2, "batch-unchanged", &[]),
        (2, "batch-bit", &[0, 60, 0, 1]),
        (2, "batch-tagged", &[1, 0, 0, 0xd2]),
        (3, "batch-body", &*body),
        (4, "rekeying", &*rekeying),
        (4, "history", &*history),
        (5, "each-once", &[0, 0, 1, 0, 2, 0, 3, 0]),
        (5, "forged-then-true", &[0x40, 0, 1, 0]),
        (5, "unconfirmed", &[0xc0, 0, 0x81, 0, 0x81, 4, 0, 90, 0, 1]),
    ]
    .map(|(decoder, name, octets): (u8, &str, &[u8])| (name.to_owned(), [&[decoder], octets].concat()))
    .to_vec()
}
